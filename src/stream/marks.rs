//! The bot's marks (agentstream.md section 8): numbered on their way to the playout, back in order, each once.

use std::collections::VecDeque;
use std::time::Instant;

use super::limit::Bucket;
use crate::media::Reached;

/// Marks that find nothing queued before them: so many at once, then so many a second.
const IDLE_BURST: u32 = 500;
const IDLE_PER_SECOND: u32 = 100;

/// The marks of one stream that have not gone back to the bot.
#[derive(Debug)]
pub(crate) struct Marks {
    /// On their way through the playout, in order.
    playing: VecDeque<(u32, Box<str>)>,
    /// Their turn came; `true` where it has to wait for a token.
    due: VecDeque<(bool, Box<str>)>,
    idle: Bucket,
    next: u32,
    /// Marks numbered below this were there when the bot cleared.
    cleared: u32,
}

impl Marks {
    pub(crate) fn new() -> Self {
        let idle = Bucket::new(IDLE_BURST, IDLE_PER_SECOND);
        Self { playing: VecDeque::new(), due: VecDeque::new(), idle, next: 0, cleared: 0 }
    }

    /// How many have not come back.
    pub(crate) fn len(&self) -> usize {
        self.playing.len() + self.due.len()
    }

    /// A mark of the bot; its number.
    pub(crate) fn accept(&mut self, name: &str) -> u32 {
        let mark = self.next;
        self.next = self.next.wrapping_add(1);
        self.playing.push_back((mark, name.into()));
        mark
    }

    /// Its turn came, and why; `None` if there is no such mark. One that stood behind audio which a clear took before
    /// the playout heard of it finds nothing there: it is cleared all the same.
    pub(crate) fn reached(&mut self, mark: u32, how: Reached) -> Option<Reached> {
        let at = self.playing.iter().position(|(number, _)| *number == mark)?;
        let before_clear = self.cleared.wrapping_sub(mark).wrapping_sub(1) < u32::MAX / 2;
        let how = if how == Reached::Idle && before_clear { Reached::Cleared } else { how };
        let waits = how == Reached::Idle;
        // The playout keeps their order; were one lost, those before it would still go back.
        for (_, name) in self.playing.drain(..=at) {
            self.due.push_back((waits, name));
        }
        Some(how)
    }

    /// The bot cleared: all that wait go back at once, those still in the playout when it tells of them.
    pub(crate) fn clear(&mut self) {
        self.cleared = self.next;
        self.due.iter_mut().for_each(|(waits, _)| *waits = false);
    }

    /// The stream ends: all go back now. How many of them were on their way through the playout.
    pub(crate) fn release(&mut self) -> usize {
        self.clear();
        let playing = self.playing.len();
        self.due.extend(self.playing.drain(..).map(|(_, name)| (false, name)));
        playing
    }

    /// The next that may go back now.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Box<str>> {
        let &(waits, _) = self.due.front()?;
        if waits && !self.idle.take(now) {
            return None;
        }
        self.due.pop_front().map(|(_, name)| name)
    }

    /// When `next` is worth asking again.
    pub(crate) fn wake(&self, now: Instant) -> Option<Instant> {
        self.due.front().map(|&(waits, _)| if waits { self.idle.ready(now) } else { now })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // any instant will do: only differences are looked at
    use super::*;
    use std::time::Duration;

    fn back(marks: &mut Marks, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| marks.next(now)).map(String::from).collect()
    }

    #[test]
    fn names_may_repeat_and_come_back_in_order() {
        let (now, mut marks) = (Instant::now(), Marks::new());
        let numbers: Vec<_> = ["a", "a", "b"].map(|name| marks.accept(name)).into();
        for number in numbers {
            assert!(marks.reached(number, Reached::Played).is_some());
            assert!(marks.reached(number, Reached::Played).is_none(), "each exactly once");
        }
        assert_eq!(back(&mut marks, now), ["a", "a", "b"]);
    }

    #[test]
    fn idle_marks_are_slowed_and_a_played_one_waits_behind_them() {
        let (now, mut marks) = (Instant::now(), Marks::new());
        for i in 0..600 {
            let number = marks.accept(&i.to_string());
            marks.reached(number, Reached::Idle);
        }
        let played = marks.accept("played");
        marks.reached(played, Reached::Played);
        assert_eq!(back(&mut marks, now).len(), 500);
        assert_eq!(marks.wake(now), Some(now + Duration::from_millis(10)));
        let later = back(&mut marks, now + Duration::from_secs(1));
        assert_eq!((later.len(), later.last().map(String::as_str)), (101, Some("played")));
    }

    #[test]
    fn a_clear_lets_all_that_wait_go_at_once() {
        let (now, mut marks) = (Instant::now(), Marks::new());
        for i in 0..600 {
            let number = marks.accept(&i.to_string());
            marks.reached(number, Reached::Idle);
        }
        assert_eq!(back(&mut marks, now).len(), 500);
        let behind = marks.accept("behind");
        marks.clear();
        assert_eq!(back(&mut marks, now).len(), 100);
        // What it stood behind never left the backlog.
        assert_eq!(marks.reached(behind, Reached::Idle), Some(Reached::Cleared));
        assert_eq!(back(&mut marks, now), ["behind"]);
    }
}
