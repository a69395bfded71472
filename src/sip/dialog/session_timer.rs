//! The session timer (RFC 4028, sip-trunk.md section 13): a call whose far end has silently gone is noticed.
//!
//! ```text
//!              2xx with Session-Expires v
//!  off ───────────────────────────────────► we refresh    ─v/2─► Refresh ─2xx─► again from the start
//!   ▲          ┌─────────────────────────►                 └─ no 2xx by v ──────► Expired
//!   │          │                          ► they refresh  ─v − min(32, v/3)────► Expired
//!   └─ a refresh of the refresher's, or a 2xx to ours, without Session-Expires
//! ```
//!
//! It knows header fields and time; who sends what is the endpoint's.

use std::time::{Duration, Instant};

use crate::sip::message::Message;
use crate::sip::message::header::session_expires::{
    MIN_SE, Refresher, SessionExpires, interval_too_small, min_se, session_expires,
};

/// A refresh that finds the dialog busy waits so long.
const BUSY: Duration = Duration::from_secs(1);
/// We never refresh more often, whatever a peer says.
const SHORTEST: Duration = Duration::from_secs(5);

/// Header fields, to be written.
pub(crate) type Lines = Vec<(&'static str, String)>;

/// What its time has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A refresh of ours.
    Refresh,
    /// BYE.
    Expired,
}

/// The session timer of one dialog.
#[derive(Debug)]
pub(crate) struct SessionTimer {
    /// Seconds we ask for, and lower to; 0: none is begun by us.
    wish: u32,
    /// We ask for no less: a 422 said so.
    floor: u32,
    /// The first 2xx has gone by.
    settled: bool,
    running: Option<Running>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    seconds: u32,
    /// We refresh.
    ours: bool,
    since: Instant,
    next: (Instant, Due),
    /// A refresh of ours was refused in this interval.
    refused: bool,
}

impl SessionTimer {
    /// Off; `wish` of zero: it is never begun by us.
    pub(crate) fn new(wish: Duration) -> Self {
        let wish = match u32::try_from(wish.as_secs()).unwrap_or(u32::MAX) {
            0 => 0,
            seconds => seconds.max(MIN_SE),
        };
        Self { wish, floor: MIN_SE, settled: false, running: None }
    }

    /// Whether the peer's request asks for too short an interval: then it gets 422 with this Min-SE, and what runs
    /// runs on.
    pub(crate) fn judge(request: &Message) -> Result<(), u32> {
        if interval_too_small(request) { Err(MIN_SE) } else { Ok(()) }
    }

    /// The peer's request gets a 2xx now: the fields it says so with. `first` is true of the INVITE of the dialog.
    pub(crate) fn accept(&mut self, now: Instant, request: &Message, first: bool) -> Lines {
        self.settled = true;
        let supports = supports(request);
        let floor = min_se(request).unwrap_or(MIN_SE).max(MIN_SE);
        let asked = match (session_expires(request), self.running) {
            (Some(asked), _) => Some(self.lowered(asked, floor)),
            (None, _) if first && self.wish > 0 => {
                Some(SessionExpires { seconds: self.wish.max(floor), refresher: None })
            }
            // Only the refresher turns it off.
            (None, Some(running)) if running.ours => {
                Some(SessionExpires { seconds: running.seconds, refresher: Some(Refresher::Uas) })
            }
            (None, _) => None,
        };
        let Some(asked) = asked else {
            self.running = None;
            return Vec::new();
        };
        let theirs = supports && asked.refresher != Some(Refresher::Uas);
        self.run(now, asked.seconds, !theirs);
        let who = if theirs { "uac" } else { "uas" };
        let mut lines = vec![("Session-Expires", format!("{};refresher={who}", asked.seconds))];
        if theirs {
            lines.push(("Require", "timer".to_owned()));
        }
        lines
    }

    /// As asked, or what we would rather have; never under the request's Min-SE, nor under ours.
    fn lowered(&self, asked: SessionExpires, floor: u32) -> SessionExpires {
        let seconds = match self.wish {
            0 => asked.seconds,
            wish => asked.seconds.min(wish.max(floor)),
        };
        SessionExpires { seconds: seconds.max(MIN_SE), ..asked }
    }

    /// What a request of ours says: an INVITE that begins a dialog, or a re-INVITE or UPDATE in it. Roles stay.
    pub(crate) fn ask(&self) -> Lines {
        let value = match self.running {
            Some(Running { seconds, ours: true, .. }) => format!("{seconds};refresher=uac"),
            Some(Running { seconds, ours: false, .. }) => format!("{seconds};refresher=uas"),
            None if self.wish > 0 && !self.settled => self.wish.max(self.floor).to_string(),
            None => return Vec::new(),
        };
        vec![("Session-Expires", value), ("Min-SE", self.floor.to_string())]
    }

    /// The peer's 2xx to such a request, which went out at `sent`. Its own time runs from when it had the request: one
    /// whose 2xx was long on the way is followed by the next refresh the sooner.
    pub(crate) fn answered(&mut self, now: Instant, sent: Instant, response: &Message) {
        self.settled = true;
        let Some(agreed) = session_expires(response) else {
            self.running = None;
            return;
        };
        match agreed.refresher {
            // Whoever promises more than the RFC lets anybody ask for may be late.
            Some(Refresher::Uas) => self.run(now, agreed.seconds.max(MIN_SE), false),
            Some(Refresher::Uac) | None => self.run(sent, agreed.seconds, true),
        }
    }

    /// The peer's 422 to such a request; false when it says nothing that would help.
    pub(crate) fn raise(&mut self, response: &Message) -> bool {
        let asked = self.running.map_or(self.wish.max(self.floor), |running| running.seconds);
        let Some(wanted) = min_se(response).filter(|wanted| *wanted > asked) else { return false };
        self.floor = self.floor.max(wanted);
        match &mut self.running {
            Some(running) => running.seconds = wanted,
            None => self.wish = wanted,
        }
        true
    }

    /// A refresh of ours could not be sent now.
    pub(crate) fn put_off(&mut self, now: Instant) {
        if let Some(running) = &mut self.running {
            running.again_at(now + BUSY);
        }
    }

    /// The peer refused a refresh of ours: once more at two thirds. A peer that refuses again is there all the same,
    /// and ends the call itself should it mind.
    pub(crate) fn refused(&mut self, now: Instant) {
        let Some(running) = self.running.as_mut().filter(|running| running.ours) else { return };
        let two_thirds = running.since + Duration::from_secs(u64::from(running.seconds) * 2 / 3);
        if !std::mem::replace(&mut running.refused, true) && now < two_thirds {
            return running.again_at(two_thirds);
        }
        let (seconds, ours) = (running.seconds, running.ours);
        self.run(now, seconds, ours);
    }

    /// Whether we refresh.
    #[cfg(test)]
    fn is_ours(&self) -> bool {
        self.running.is_some_and(|running| running.ours)
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.running.map(|running| running.next.0)
    }

    /// What is due now. A refresh must have its 2xx before the interval is over.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        let running = self.running.as_mut().filter(|running| running.next.0 <= now)?;
        match running.next.1 {
            Due::Refresh => {
                running.next = (running.end(), Due::Expired);
                Some(Due::Refresh)
            }
            Due::Expired => {
                self.running = None;
                Some(Due::Expired)
            }
        }
    }

    fn run(&mut self, now: Instant, seconds: u32, ours: bool) {
        let whole = Duration::from_secs(seconds.into());
        let next = if ours {
            (now + (whole / 2).max(SHORTEST), Due::Refresh)
        } else {
            (now + whole - (whole / 3).min(Duration::from_secs(32)), Due::Expired)
        };
        self.running = Some(Running { seconds, ours, since: now, next, refused: false });
    }
}

impl Running {
    fn end(&self) -> Instant {
        self.since + Duration::from_secs(self.seconds.into()).max(2 * SHORTEST)
    }

    fn again_at(&mut self, at: Instant) {
        let end = self.end();
        self.next = if at < end { (at, Due::Refresh) } else { (end, Due::Expired) };
    }
}

fn supports(request: &Message) -> bool {
    request.lists("Supported", "timer") || request.lists("Require", "timer")
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for simulated time
mod tests {
    use super::*;
    use crate::sip::message::header::invite_with;

    const TIMER: &str = "Supported: timer\r\n";

    /// What a 2xx says to an INVITE with these lines when we wish for so many seconds.
    fn answer(wish: u64, lines: &str) -> Vec<String> {
        let mut timer = SessionTimer::new(Duration::from_secs(wish));
        let lines = timer.accept(Instant::now(), &invite_with(lines), true);
        lines.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    /// When and what is due, as seconds from the beginning.
    fn course(timer: &mut SessionTimer, start: Instant) -> Vec<(u64, Due)> {
        let mut course = Vec::new();
        while let Some(at) = timer.poll_timeout() {
            course.push(((at - start).as_secs(), timer.due(at).expect("due when it says so")));
        }
        course
    }

    #[test]
    fn the_interval_is_the_asked_one_or_ours_if_shorter_but_not_under_min_se() {
        let of = |lines: &str| answer(600, &format!("{TIMER}{lines}"));
        let require = "Require: timer";
        assert_eq!(of("Session-Expires: 300\r\n"), ["Session-Expires: 300;refresher=uac", require]);
        assert_eq!(of("x: 1800;refresher=uac\r\n"), ["Session-Expires: 600;refresher=uac", require]);
        assert_eq!(of("x: 1800\r\nMin-SE: 900\r\n"), ["Session-Expires: 900;refresher=uac", require]);
        assert_eq!(of("Session-Expires: 300;refresher=uas\r\n"), ["Session-Expires: 300;refresher=uas"]);
        assert_eq!(of(""), ["Session-Expires: 600;refresher=uac", require]);
        assert_eq!(answer(0, &format!("{TIMER}x: 1800\r\n"))[0], "Session-Expires: 1800;refresher=uac");
    }

    #[test]
    fn a_peer_without_timer_support_is_refreshed_by_us_if_we_want_one() {
        assert_eq!(answer(600, ""), ["Session-Expires: 600;refresher=uas"]);
        assert_eq!(answer(600, "x: 300;refresher=uac\r\n"), ["Session-Expires: 300;refresher=uas"]);
        assert_eq!(answer(600, "x: 30\r\n"), ["Session-Expires: 90;refresher=uas"]);
        assert_eq!((answer(0, ""), answer(0, TIMER)), (vec![], vec![]));
    }

    #[test]
    fn too_short_an_interval_is_refused_only_where_422_is_understood() {
        let judge = |lines: &str| SessionTimer::judge(&invite_with(lines));
        assert_eq!(judge(&format!("{TIMER}x: 89\r\n")), Err(90));
        assert_eq!(judge(&format!("{TIMER}x: 90\r\n")), Ok(()));
        assert_eq!((judge("x: 20\r\n"), judge(TIMER)), (Ok(()), Ok(())));
    }

    #[test]
    fn the_refresher_asks_at_half_time_and_the_other_waits_for_a_third_less() {
        for (refresher, expected) in
            [("uas", vec![(900, Due::Refresh), (1800, Due::Expired)]), ("uac", vec![(1768, Due::Expired)])]
        {
            let (start, mut timer) = (Instant::now(), SessionTimer::new(Duration::ZERO));
            timer.accept(start, &invite_with(&format!("{TIMER}x: 1800;refresher={refresher}\r\n")), true);
            assert_eq!(course(&mut timer, start), expected, "{refresher}");
        }
        let (start, mut timer) = (Instant::now(), SessionTimer::new(Duration::ZERO));
        timer.answered(start, start, &invite_with("x: 90;refresher=uas\r\n"));
        assert_eq!(course(&mut timer, start), [(60, Due::Expired)]);
        timer.answered(start, start, &invite_with("x: 90\r\n"));
        assert_eq!(course(&mut timer, start), [(45, Due::Refresh), (90, Due::Expired)]);
        timer.answered(start, start, &invite_with("x: 0;refresher=uas\r\n"));
        assert_eq!(course(&mut timer, start), [(60, Due::Expired)]);
        timer.answered(start, start, &invite_with("x: 1\r\n"));
        assert_eq!(course(&mut timer, start), [(5, Due::Refresh), (10, Due::Expired)]);
    }

    #[test]
    fn a_refresh_whose_2xx_was_long_on_the_way_is_followed_the_sooner() {
        let (start, mut timer) = (Instant::now(), SessionTimer::new(Duration::ZERO));
        let late = start + Duration::from_secs(20);
        timer.answered(late, start, &invite_with("x: 90;refresher=uac\r\n"));
        assert_eq!(course(&mut timer, start), [(45, Due::Refresh), (90, Due::Expired)]);
        timer.answered(late, start, &invite_with("x: 90;refresher=uas\r\n"));
        assert_eq!(course(&mut timer, start), [(80, Due::Expired)]);
    }

    #[test]
    fn a_refused_refresh_is_tried_again_at_two_thirds_and_then_a_half_later() {
        let (start, mut timer) = (Instant::now(), SessionTimer::new(Duration::from_secs(90)));
        timer.answered(start, start, &invite_with("x: 90;refresher=uac\r\n"));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(timer.due(at(45)), Some(Due::Refresh));
        timer.refused(at(46));
        assert_eq!((timer.poll_timeout(), timer.due(at(60))), (Some(at(60)), Some(Due::Refresh)));
        timer.refused(at(61));
        assert_eq!(timer.poll_timeout(), Some(at(106)));
        assert_eq!(timer.due(at(106)), Some(Due::Refresh));
        timer.put_off(at(106));
        assert_eq!(timer.poll_timeout(), Some(at(107)));
    }

    #[test]
    fn requests_of_ours_keep_the_roles_and_a_422_raises_the_interval() {
        let now = Instant::now();
        let mut timer = SessionTimer::new(Duration::from_secs(60));
        let says = |timer: &SessionTimer| timer.ask().into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(says(&timer), ["90", "90"], "90 is the least there is");
        assert!(timer.raise(&invite_with("Min-SE: 120\r\n")));
        assert_eq!(says(&timer), ["120", "120"]);
        assert!(!timer.raise(&invite_with("Min-SE: 100\r\n")) && !timer.raise(&invite_with("")));
        timer.answered(now, now, &invite_with("x: 120;refresher=uas\r\n"));
        assert_eq!(says(&timer), ["120;refresher=uas", "120"]);
        timer.answered(now, now, &invite_with("x: 120;refresher=uac\r\n"));
        assert!(timer.raise(&invite_with("Min-SE: 300\r\n")));
        assert_eq!(says(&timer), ["300;refresher=uac", "300"]);
        timer.answered(now, now, &invite_with(""));
        assert!(says(&timer).is_empty(), "a 2xx without it turns it off for good");
    }

    #[test]
    fn only_the_refresher_turns_it_off() {
        let now = Instant::now();
        let mut timer = SessionTimer::new(Duration::ZERO);
        timer.accept(now, &invite_with(&format!("{TIMER}x: 300;refresher=uas\r\n")), true);
        let again = timer.accept(now, &invite_with(TIMER), false);
        assert_eq!(again, [("Session-Expires", "300;refresher=uas".to_owned())]);
        timer.accept(now, &invite_with(&format!("{TIMER}x: 300;refresher=uac\r\n")), false);
        assert!(!timer.is_ours());
        assert!(timer.accept(now, &invite_with(TIMER), false).is_empty());
        assert_eq!(timer.poll_timeout(), None);
    }
}
