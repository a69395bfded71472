//! What the session has ordered and the playout's ring cannot take yet. The socket is read on meanwhile,
//! for a `clear` may stand behind the audio.

use std::collections::VecDeque;
use std::time::Instant;

use crate::media::Play;

/// Orders on their way to the playout, in order.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    orders: VecDeque<Play>,
}

impl Backlog {
    /// Audio behind everything so far; joined to audio that still waits, so that many small messages cost no more than one.
    pub(crate) fn audio(&mut self, samples: Vec<i16>) {
        match self.orders.back_mut() {
            Some(Play::Audio(waiting)) => waiting.extend(samples),
            _ => self.orders.push_back(Play::Audio(samples)),
        }
    }

    /// Another order; marks that follow one another while they wait cost no more than one.
    pub(crate) fn push(&mut self, order: Play) {
        let run = |order: &Play| match *order {
            Play::Mark(mark) => Some((mark, mark)),
            Play::Marks { first, last } => Some((first, last)),
            Play::Audio(_) | Play::Clear { .. } | Play::MarksAndClear { .. } | Play::Finish { .. } => None,
        };
        let before = self.orders.back().and_then(run);
        if let (Some((first, end)), Some((next, last))) = (before, run(&order))
            && next == end.wrapping_add(1)
        {
            self.orders.pop_back();
            return self.orders.push_back(Play::Marks { first, last });
        }
        self.orders.push_back(order);
    }

    /// Audio that waits here is gone at once; marks stay, and go with the `Clear`, which is kept waiting by nothing. How
    /// many samples went. `asked`: when the bot did, if it was the bot.
    pub(crate) fn clear(&mut self, mut asked: Option<Instant>) -> u64 {
        let (mut gone, mut marks) = (0, None::<(u32, u32)>);
        // They are numbered in a row; one behind a `Clear` that waits is told as the others are.
        let mut tell = |first, last| marks = Some((marks.map_or(first, |(before, _)| before), last));
        self.orders.retain(|order| match *order {
            Play::Audio(ref samples) => {
                gone += samples.len() as u64;
                false
            }
            Play::Clear { asked: before } => {
                asked = before.or(asked); // the one behind it does its work too
                false
            }
            Play::MarksAndClear { first, last, asked: before } => {
                asked = before.or(asked);
                tell(first, last);
                false
            }
            Play::Mark(mark) => {
                tell(mark, mark);
                false
            }
            Play::Marks { first, last } => {
                tell(first, last);
                false
            }
            Play::Finish { .. } => true,
        });
        self.orders.push_back(match marks {
            Some((first, last)) => Play::MarksAndClear { first, last, asked },
            None => Play::Clear { asked },
        });
        gone
    }

    /// The next order for the ring.
    pub(crate) fn next(&mut self) -> Option<Play> {
        let next = self.orders.pop_front();
        if self.orders.is_empty() && self.orders.capacity() > 64 {
            self.orders = VecDeque::new();
        }
        next
    }

    /// The ring was full.
    pub(crate) fn give_back(&mut self, order: Play) {
        self.orders.push_front(order);
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(backlog: &mut Backlog) -> Vec<String> {
        std::iter::from_fn(|| backlog.next()).map(|order| format!("{order:?}")).collect()
    }

    #[test]
    fn audio_that_waits_is_joined_but_not_over_a_mark() {
        let mut backlog = Backlog::default();
        backlog.audio(vec![1]);
        backlog.audio(vec![2]);
        backlog.push(Play::Mark(0));
        backlog.audio(vec![3]);
        assert_eq!(text(&mut backlog), ["Audio([1, 2])", "Mark(0)", "Audio([3])"]);
    }

    #[test]
    fn a_clear_takes_the_audio_and_takes_the_marks_before_it_along() {
        let mut backlog = Backlog::default();
        backlog.audio(vec![1; 100]);
        backlog.push(Play::Mark(0));
        assert_eq!(backlog.clear(None), 100);
        backlog.audio(vec![2; 5]);
        backlog.push(Play::Mark(1));
        assert_eq!(backlog.clear(None), 5);
        assert_eq!(text(&mut backlog), ["MarksAndClear { first: 0, last: 1, asked: None }"]);
    }

    #[test]
    fn marks_that_wait_in_a_row_are_joined() {
        let mut backlog = Backlog::default();
        (0..1000).for_each(|mark| backlog.push(Play::Mark(mark)));
        backlog.audio(vec![1]);
        backlog.push(Play::Mark(1000));
        let joined = ["Marks { first: 0, last: 999 }", "Audio([1])", "Mark(1000)"];
        assert_eq!(text(&mut backlog), joined);
    }

    #[test]
    fn what_the_ring_gave_back_is_next_again() {
        let mut backlog = Backlog::default();
        backlog.push(Play::Mark(0));
        backlog.push(Play::Mark(2));
        let first = backlog.next().expect("an order");
        backlog.give_back(first);
        assert_eq!(text(&mut backlog), ["Mark(0)", "Mark(2)"]);
        assert!(backlog.is_empty());
    }
}
