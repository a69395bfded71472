//! The signalling of all calls: one task that places, answers what is asked, and hangs up.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::Config;
use super::line::Line;
use super::pacer::{Order, Pacer};
use super::report::Sums;
use crate::ids::{Entropy, LegId, TrunkId};
use crate::lab::caller::line::{Pair, pair};
use crate::rtp::sender::Sender;
use crate::sdp::{self, Agreed, Master, Session, Wish};
use crate::sip::{Body, Command, Destination, Dial, Ended, Event, Refusal};

/// Calls are placed and hung up on this grid.
const GRID: Duration = Duration::from_millis(2);
/// Nobody rings longer.
const RINGS: Duration = Duration::from_secs(30);
/// Whoever does not answer a BYE is given up after 64 x T1 and a little.
const ENDS: Duration = Duration::from_secs(34);

/// How many calls went which way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// INVITE sent.
    pub placed: u64,
    /// 200 came, and its description could be used.
    pub answered: u64,
    /// The most that were up at once.
    pub most: u64,
    /// Never up, by cause.
    pub failed: BTreeMap<String, u64>,
    /// Up, and ended by the other side or the network, by cause.
    pub early: BTreeMap<String, u64>,
    /// Not answered yet when the run ended.
    pub given_up: u64,
    /// No answer to the BYE.
    pub hanging: u64,
}

struct Call {
    session: Session,
    wish: Wish,
    /// Sockets that wait for the answer.
    pair: Option<Pair>,
    up: bool,
    leaving: bool,
    /// An offer of ours is out, and its answer comes with the ACK.
    offered: bool,
    ends: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Calls are placed.
    Filling,
    /// All are up; until then.
    Holding(Instant),
    /// All are told to end; until then.
    Ending(Instant),
}

pub(super) struct Desk<'a> {
    config: &'a Config,
    own: SocketAddr,
    commands: mpsc::Sender<Command>,
    pacer: Pacer,
    entropy: Entropy,
    calls: HashMap<LegId, Call>,
    next: u64,
    began: Instant,
    stage: Stage,
    up: u64,
    tally: Tally,
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        config: &'a Config,
        own: SocketAddr,
        commands: mpsc::Sender<Command>,
        pacer: Pacer,
        entropy: Entropy,
    ) -> Self {
        let began = Instant::now();
        let stage = if config.each.is_some() { Stage::Holding(began + config.long) } else { Stage::Filling };
        let (calls, tally) = (HashMap::new(), Tally::default());
        Self { config, own, commands, pacer, entropy, calls, next: 0, began, stage, up: 0, tally }
    }

    /// Everything, to the end.
    pub(super) async fn attend(
        mut self,
        mut events: mpsc::Receiver<Event>,
        stop: &AtomicBool,
    ) -> (Tally, Sums) {
        let mut grid = interval(GRID);
        grid.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.told(event).await,
                    None => break, // signalling is gone
                },
                _ = grid.tick() => {
                    if self.proceed(Instant::now(), stop.load(Relaxed)).await {
                        break;
                    }
                }
            }
        }
        let (reply, sums) = oneshot::channel();
        self.pacer.order(Order::Finish(reply));
        (self.tally, sums.await.unwrap_or_default())
    }

    /// Does what is due; true when all is over.
    async fn proceed(&mut self, now: Instant, stop: bool) -> bool {
        match self.stage {
            Stage::Filling if stop => self.end(now).await,
            Stage::Filling => {
                self.place(now).await;
                let settled = self.calls.values().all(|call| call.up || call.leaving);
                if self.tally.placed == u64::from(self.config.calls) && settled {
                    self.stage = Stage::Holding(now + self.config.long);
                }
            }
            Stage::Holding(until) if stop || now >= until => self.end(now).await,
            Stage::Holding(_) if self.config.each.is_some() => {
                self.place(now).await;
                self.leave_in_turn(now).await;
            }
            Stage::Holding(_) if self.calls.is_empty() => return true,
            Stage::Holding(_) => {}
            Stage::Ending(until) if self.calls.is_empty() || now >= until => {
                self.tally.hanging += self.calls.len() as u64;
                return true;
            }
            Stage::Ending(_) => {}
        }
        false
    }

    async fn end(&mut self, now: Instant) {
        self.stage = Stage::Ending(now + ENDS);
        let legs: Vec<LegId> = self.calls.keys().copied().collect();
        for leg in legs {
            self.leave(leg).await;
        }
    }

    /// Those whose time is over.
    async fn leave_in_turn(&mut self, now: Instant) {
        let over = |call: &Call| !call.leaving && call.ends.is_some_and(|ends| ends <= now);
        let legs: Vec<LegId> =
            self.calls.iter().filter(|(_, call)| over(call)).map(|(leg, _)| *leg).collect();
        for leg in legs {
            self.leave(leg).await;
        }
    }

    async fn leave(&mut self, leg: LegId) {
        let Some(call) = self.calls.get_mut(&leg).filter(|call| !call.leaving) else { return };
        call.leaving = true;
        let was_up = std::mem::take(&mut call.up);
        self.up -= u64::from(was_up);
        // One whose answer was of no use is counted already.
        self.tally.given_up += u64::from(!was_up && call.pair.is_some());
        self.pacer.order(Order::Close(leg.0));
        let reason = Some("Q.850;cause=16".to_owned());
        self.command(Command::Hangup { leg, reason }).await;
    }

    /// Places what is due: the rate counts from the beginning, and never are there more than were asked for.
    async fn place(&mut self, now: Instant) {
        let due = (now.saturating_duration_since(self.began).as_secs_f64() * self.config.rate) as u64 + 1;
        let most = u64::from(self.config.calls);
        let all = if self.config.each.is_some() { u64::MAX } else { most };
        while self.tally.placed < due.min(all) && (self.calls.len() as u64) < most {
            self.dial().await;
        }
        // Places that were not free in their time are not made up for in a burst.
        if self.config.each.is_some() && self.calls.len() as u64 == most {
            self.began = now - Duration::from_secs_f64(self.tally.placed as f64 / self.config.rate);
        }
    }

    async fn dial(&mut self) {
        self.tally.placed += 1;
        let pair = match pair(self.own.ip()) {
            Ok(pair) => pair,
            Err(error) => return self.count_failed(format!("no socket here: {error}")),
        };
        let Ok(local) = pair.rtp.local_addr() else { return };
        let leg = LegId((1 << 63) + self.next); // below are the endpoint's own
        self.next += 1;
        let srtp = if self.config.srtp { sdp::Srtp::Required } else { sdp::Srtp::Off };
        let wish = Wish { srtp, secret: self.secret(), ..Wish::new(local) };
        let mut session = Session::new(self.entropy.u32());
        let body = Some(Body::sdp(sdp::offer(&mut session, &wish)));
        let dial = Box::new(Dial {
            leg,
            trunk: TrunkId(0),
            uri: self.config.uri.clone(),
            to: Destination::Address(self.config.to, self.config.transport),
            from: self.config.from.clone().unwrap_or_else(|| format!("sip:load@{}", self.own)),
            headers: self.config.headers.clone(),
            body,
            ring_limit: RINGS,
            credentials: self.config.credentials.clone(),
        });
        let (up, leaving, offered, ends) = (false, false, false, None);
        self.calls.insert(leg, Call { session, wish, pair: Some(pair), up, leaving, offered, ends });
        self.command(Command::Dial(dial)).await;
    }

    fn secret(&mut self) -> Master {
        Master(std::array::from_fn(|_| self.entropy.u32() as u8))
    }

    async fn told(&mut self, event: Event) {
        match event {
            Event::Answered { leg, body } => self.answered(leg, body).await,
            Event::Reoffer { leg, body } => self.reoffered(leg, body).await,
            Event::Confirmed { leg, body: Some(body) } => {
                let Some(call) = self.calls.get_mut(&leg).filter(|call| call.offered) else { return };
                call.offered = false;
                if let Ok(agreed) = sdp::accept(&body.bytes, &body.content_type, &mut call.session) {
                    self.pacer.order(Order::Turn(leg.0, Box::new(agreed)));
                }
            }
            Event::Ended { leg, how } => self.ended(leg, &how),
            Event::Incoming(_)
            | Event::Progress { .. }
            | Event::Confirmed { .. }
            | Event::Acknowledged { .. }
            | Event::Modified { .. }
            | Event::Digit { .. } => {}
        }
    }

    async fn answered(&mut self, leg: LegId, body: Option<Body>) {
        let chance = [self.entropy.u32(), self.entropy.u32(), self.entropy.u32(), self.entropy.u32()];
        let each = self.config.each;
        let Some(call) = self.calls.get_mut(&leg).filter(|call| !call.leaving) else { return };
        let body = body.unwrap_or_else(|| Body::sdp(""));
        let agreed = sdp::accept(&body.bytes, &body.content_type, &mut call.session);
        let (Some(pair), Ok(agreed)) = (call.pair.take(), agreed) else {
            self.count_failed("an answer without usable audio".to_owned());
            return self.leave(leg).await;
        };
        let now = Instant::now();
        call.up = true;
        call.ends = each.map(|(least, most)| now + drawn(least, most, chance[0]));
        self.tally.answered += 1;
        self.up += 1;
        self.tally.most = self.tally.most.max(self.up);
        let sender = Sender::new(chance[1], chance[2] as u16, chance[3]);
        let place = (leg.0 as usize).wrapping_mul(3217) % 8000; // no two say the same at once
        self.pacer.order(Order::Open(leg.0, Box::new(Line::new(pair, agreed, sender, place, now))));
    }

    /// The other side changes the session, or asks whether it lives.
    async fn reoffered(&mut self, leg: LegId, body: Option<Body>) {
        let secret = self.secret();
        let Some(call) = self.calls.get_mut(&leg) else { return };
        call.wish.secret = secret;
        let Some(offer) = body else {
            call.offered = true;
            let body = Some(Body::sdp(sdp::offer(&mut call.session, &call.wish)));
            return self.command(Command::Accept { leg, body }).await;
        };
        match sdp::answer(&offer.bytes, &offer.content_type, &call.wish, &call.session) {
            Ok(answered) => {
                let body = Some(Body::sdp(call.session.render(&answered.sdp)));
                let agreed: Agreed = answered.media;
                self.pacer.order(Order::Turn(leg.0, Box::new(agreed)));
                self.command(Command::Accept { leg, body }).await;
            }
            Err(_) => {
                let refusal = Refusal { status: 488, reason: None, retry_after: None, warning: None };
                self.command(Command::Reject { leg, refusal }).await;
            }
        }
    }

    fn ended(&mut self, leg: LegId, how: &Ended) {
        let Some(call) = self.calls.remove(&leg) else { return };
        if call.leaving {
            return;
        }
        if !call.up {
            return self.count_failed(cause(how));
        }
        self.up -= 1;
        self.pacer.order(Order::Close(leg.0));
        *self.tally.early.entry(cause(how)).or_default() += 1;
    }

    fn count_failed(&mut self, cause: String) {
        *self.tally.failed.entry(cause).or_default() += 1;
    }

    /// A task that is gone does nothing any more.
    async fn command(&self, command: Command) {
        drop(self.commands.send(command).await);
    }
}

/// A time between these two.
fn drawn(least: Duration, most: Duration, chance: u32) -> Duration {
    least + most.saturating_sub(least).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

/// Why a call is over, in few words: what is counted by.
fn cause(how: &Ended) -> String {
    match how {
        Ended::Bye { reason: None } => "BYE".to_owned(),
        Ended::Bye { reason: Some(reason) } => format!("BYE, {reason}"),
        Ended::Cancelled { .. } => "cancelled".to_owned(),
        Ended::ByUs => "ended here".to_owned(),
        Ended::AckTimeout => "no ACK".to_owned(),
        Ended::PrackTimeout => "no PRACK".to_owned(),
        Ended::SessionExpired => "session timer".to_owned(),
        Ended::Refused { status: 408, .. } => "408 or no answer at all".to_owned(),
        Ended::Refused { status, reason: None } => status.to_string(),
        Ended::Refused { status, reason: Some(reason) } => format!("{status}, {reason}"),
        Ended::Lost => "connection lost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_drawn_between_the_two() {
        let (least, most) = (Duration::from_secs(20), Duration::from_secs(90));
        assert_eq!((drawn(least, most, 0), drawn(least, most, u32::MAX)), (least, most));
        assert_eq!(drawn(most, least, 7), most, "the wrong way round: the first");
    }

    #[test]
    fn a_refusal_is_counted_by_its_status_and_reason() {
        let refused =
            |status, reason: Option<&str>| Ended::Refused { status, reason: reason.map(str::to_owned) };
        assert_eq!(cause(&refused(503, Some("Q.850;cause=42"))), "503, Q.850;cause=42");
        assert_eq!(cause(&refused(404, None)), "404");
    }
}
