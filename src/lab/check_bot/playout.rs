//! When what a bot sends would be heard, and when its marks come back (agentstream.md sections 7.2 and 8): the
//! arithmetic of a playout, without audio.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::units::SampleRate;

/// `playout_prebuffer_ms`.
const PREBUFFER: Duration = Duration::from_millis(60);
/// A queue that is fed again after so long was not starved: the bot had said all it wanted.
const PAUSE: Duration = Duration::from_secs(1);
/// `max_queue_ms`.
const QUEUE: Duration = Duration::from_secs(120);
/// `max_pending_marks`.
const MARKS: usize = 8192;
/// Marks with nothing before them come back so far apart (section 8: 100 a second), lest one who sends each straight
/// back spins the call.
const APART: Duration = Duration::from_millis(10);
/// An utterance shorter than this says nothing about its pace.
const UTTERANCE: Duration = Duration::from_secs(2);

/// What came of some audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Silence heard before it, within an utterance.
    pub(super) hole: Option<Duration>,
    /// The utterance so far lasts longer than the audio in it, by so much.
    pub(super) behind: Option<Duration>,
    /// Nothing was taken: too much waits.
    pub(super) full: bool,
}

/// The playout of one call.
#[derive(Debug)]
pub(super) struct Playout {
    rate: SampleRate,
    /// The byte of half a sample waits.
    half: bool,
    /// When all that is queued has been heard.
    ends: Option<Instant>,
    /// Since when, and how much audio, in this utterance.
    utterance: Option<(Instant, Duration)>,
    /// Marks and when they come back.
    marks: VecDeque<(Instant, String)>,
    /// Nothing but a mark came since the last audio: the bot has said what it wanted.
    concluded: bool,
    /// When the last mark comes, or came, back.
    returns: Option<Instant>,
}

impl Playout {
    pub(super) fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            half: false,
            ends: None,
            utterance: None,
            marks: VecDeque::new(),
            concluded: false,
            returns: None,
        }
    }

    /// Audio of so many octets.
    pub(super) fn audio(&mut self, now: Instant, octets: usize) -> Heard {
        let whole = octets + usize::from(self.half);
        self.half = !whole.is_multiple_of(2);
        let long = self.rate.duration(whole as u64 / 2);
        let dry = self.ends.filter(|ends| *ends <= now);
        let busy = self.ends.filter(|ends| *ends > now);
        if busy.is_some_and(|ends| ends - now > QUEUE) {
            return Heard { full: true, ..Heard::default() };
        }
        let follows = dry.is_some_and(|ends| now - ends < PAUSE) && !self.concluded;
        let begins = busy.unwrap_or(if long >= PREBUFFER { now } else { now + PREBUFFER });
        let hole = dry.filter(|_| follows).map(|ends| begins - ends);
        self.concluded = false;
        self.ends = Some(begins + long);
        let (since, said) = match self.utterance {
            Some((since, said)) if busy.is_some() || follows => (since, said + long),
            _ => (begins, long),
        };
        self.utterance = Some((since, said));
        let lasted = now.saturating_duration_since(since);
        // A tenth behind cannot be jitter, and no prebuffer makes up for it.
        let behind = (lasted > UTTERANCE && said < lasted.mul_f64(0.9)).then(|| lasted - said);
        Heard { hole, behind, full: false }
    }

    /// A mark; false if too many wait.
    pub(super) fn mark(&mut self, now: Instant, name: String) -> bool {
        self.concluded = true;
        if self.marks.len() >= MARKS {
            return false;
        }
        let due = match self.ends {
            Some(ends) if ends > now => ends,
            _ => self.returns.map_or(now, |last| now.max(last + APART)),
        };
        self.returns = Some(due);
        self.marks.push_back((due, name));
        true
    }

    /// Everything that waits is dropped, and its marks come back at once.
    pub(super) fn clear(&mut self, now: Instant) {
        (self.half, self.concluded, self.utterance) = (false, true, None);
        self.ends = self.ends.map(|ends| ends.min(now));
        self.marks.iter_mut().for_each(|(due, _)| *due = now);
        self.returns = None;
    }

    /// A hole before the next audio is not the bot's doing.
    pub(super) fn excuse(&mut self) {
        (self.concluded, self.utterance) = (true, None);
    }

    /// Whether a mark of that name has not come back yet.
    pub(super) fn waits_for(&self, name: &str) -> bool {
        self.marks.iter().any(|(_, waiting)| waiting == name)
    }

    /// What waits to be heard.
    pub(super) fn queued(&self, now: Instant) -> Duration {
        self.ends.map_or(Duration::ZERO, |ends| ends.saturating_duration_since(now))
    }

    /// When the next mark comes back.
    pub(super) fn next_mark(&self) -> Option<Instant> {
        self.marks.front().map(|(due, _)| *due)
    }

    /// A mark that comes back now.
    pub(super) fn due(&mut self, now: Instant) -> Option<String> {
        let (due, _) = self.marks.front()?;
        if *due > now {
            return None;
        }
        self.marks.pop_front().map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::Hz8000;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_mark_comes_back_when_the_audio_before_it_was_heard() {
        let (t, mut playout) = (Instant::now(), Playout::new(RATE));
        assert_eq!(playout.audio(t, 16_000), Heard::default());
        assert!(playout.mark(t, "a".into()) && playout.waits_for("a"));
        assert_eq!((playout.next_mark(), playout.due(t + ms(999))), (Some(t + ms(1000)), None));
        assert_eq!(playout.due(t + ms(1000)), Some("a".into()));
        playout.mark(t + ms(1500), "b".into());
        assert_eq!(playout.due(t + ms(1500)), Some("b".into()), "nothing stands before it");
        playout.mark(t + ms(1501), "c".into());
        assert_eq!(playout.next_mark(), Some(t + ms(1510)), "and no more than 100 a second do so");
    }

    #[test]
    fn a_clear_gives_all_marks_back_and_what_follows_is_new() {
        let (t, mut playout) = (Instant::now(), Playout::new(RATE));
        playout.audio(t, 160_001);
        playout.mark(t, "a".into());
        playout.clear(t + ms(20));
        assert_eq!((playout.due(t + ms(20)), playout.queued(t + ms(20))), (Some("a".into()), ms(0)));
        assert_eq!(playout.audio(t + ms(400), 1600).hole, None);
        assert_eq!(playout.queued(t + ms(400)), ms(100));
    }

    #[test]
    fn pieces_that_come_as_fast_as_they_are_heard_leave_no_hole() {
        let (t, mut playout) = (Instant::now(), Playout::new(RATE));
        for n in 0..200 {
            let jitter = if n % 7 == 3 { 15 } else { 0 };
            assert_eq!(playout.audio(t + ms(40 * n + jitter), 640), Heard::default(), "piece {n}");
        }
    }

    #[test]
    fn pieces_that_come_at_half_the_pace_leave_holes_and_fall_behind() {
        let (t, mut playout) = (Instant::now(), Playout::new(RATE));
        let heard: Vec<Heard> = (0..50).map(|n| playout.audio(t + ms(80 * n), 640)).collect();
        assert!(heard[2].hole.is_some() && heard[2].behind.is_none());
        assert!(heard[49].behind > Some(ms(1500)), "{:?}", heard[49]);
    }

    #[test]
    fn a_pause_after_a_mark_or_of_a_second_is_meant() {
        let (t, mut playout) = (Instant::now(), Playout::new(RATE));
        playout.audio(t, 1600);
        assert_eq!(playout.audio(t + ms(1200), 1600).hole, None);
        playout.mark(t + ms(1200), "said".into());
        assert_eq!(playout.audio(t + ms(1700), 1600).hole, None);
        assert_eq!(playout.audio(t + ms(2000), 1600).hole, Some(ms(200)));
        playout.excuse();
        assert_eq!(playout.audio(t + ms(2300), 1600).hole, None);
    }

    #[test]
    fn more_than_two_minutes_are_refused() {
        let (t, mut playout) = (Instant::now(), Playout::new(RATE));
        assert!(!playout.audio(t, 121 * 16_000).full);
        assert!(playout.audio(t, 320).full && !playout.audio(t + ms(2000), 320).full);
    }
}
