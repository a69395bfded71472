//! Who spoke when: how long the caller waits for the bot's word, and how soon it falls silent when told to.
//!
//! A **turn** is counted from the end of the caller's last speech before the bot's answer to the moment the packet with
//! the first sound of that answer leaves. An answer is audio that came from the bot after the caller had begun to speak,
//! and with which it begins anew: after a `clear`, after a second without a sound, or after a shorter silence in which
//! the caller was still speaking. So:
//!
//! - A caller who speaks while the bot plays (barge-in) is answered by what the bot begins with next, after its `clear`
//!   or when its audio has come to an end; counted from the caller's last word as well.
//! - What a bot had sent before the caller spoke answers nothing, however late it is played.
//! - A bot that begins while the caller still speaks makes a turn of about 0.
//!
//! A **clear** that cut audio short is counted from its receipt on the bot's socket to the moment the first packet leaves
//! that holds nothing of what was cleared.

use std::time::{Duration, Instant};

use super::super::StreamCounts;
use super::playout::{PAUSE, REPLY};
use crate::audio::{Voice, level};
use crate::units::SampleRate;

/// Peak from which on a block of the bot is a sound: -54 dB of full scale. Bots send silence too.
const SOUND: u16 = 64;

/// The turns of one stream.
#[derive(Debug, Default)]
pub(super) struct Turns {
    voice: Voice,
    /// The end of the caller's last speech.
    spoke: Option<Instant>,
    /// It is not answered: behind the last sample of the bot there was when it began.
    open: Option<u64>,
    /// The bot's last block with a sound in it; none since a clear.
    sounded: Option<Instant>,
    /// An answer that waits for its packet: since when the caller does.
    answer: Option<Instant>,
    /// A clear whose silence waits for its packet.
    clear: Option<Instant>,
}

impl Turns {
    /// The caller was heard, samples at 8000 Hz that end now; `ordered`: behind the last sample of the bot.
    pub(super) fn heard(&mut self, now: Instant, samples: &[i16], ordered: u64) {
        if let Some(behind) = self.voice.hear(samples) {
            let since = SampleRate::Hz8000.duration(behind as u64);
            self.spoke = now.checked_sub(since).or(Some(now));
            self.open.get_or_insert(ordered);
        }
    }

    /// The end of the caller's last speech.
    pub(super) fn spoke(&self) -> Option<Instant> {
        self.spoke
    }

    /// A block with audio of the bot goes out; `place`: of its first sample on the line of all that was ordered.
    pub(super) fn said(&mut self, now: Instant, block: &[i16], place: u64) {
        if level::peak(block) < SOUND {
            return;
        }
        let anew = self.sounded.replace(now).is_none_or(|last| {
            let gap = now.saturating_duration_since(last);
            gap >= PAUSE || gap >= REPLY && self.spoke.is_some_and(|spoke| spoke > last)
        });
        if anew && self.open.take_if(|from| place >= *from).is_some() {
            self.answer = self.spoke;
        }
    }

    /// The bot took back what it had said; `silenced`: when it asked, where that cut its audio short.
    pub(super) fn cleared(&mut self, silenced: Option<Instant>) {
        self.sounded = None;
        if self.answer.take().is_some() {
            self.open = Some(0); // it never left
        }
        self.clear = self.clear.or(silenced);
    }

    /// All blocks so far have left.
    pub(super) fn sent(&mut self, now: Instant, counts: &mut StreamCounts) {
        if let Some(since) = self.answer.take() {
            list(&mut counts.turns_ms, now.saturating_duration_since(since));
        }
        if let Some(since) = self.clear.take() {
            list(&mut counts.clears_ms, now.saturating_duration_since(since));
        }
    }
}

/// The first of them: rare enough that room for more may be taken here.
fn list(times: &mut Vec<u32>, took: Duration) {
    if times.len() < StreamCounts::LISTED {
        times.push(u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // any beginning will do
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Caller and bot, a block of 20 ms at a time.
    struct Line {
        now: Instant,
        turns: Turns,
        counts: StreamCounts,
        /// Samples of the bot that have left, and that have come.
        places: (u64, u64),
    }

    impl Line {
        fn new() -> Self {
            let counts = StreamCounts::with_room();
            Self { now: Instant::now(), turns: Turns::default(), counts, places: (0, 0) }
        }

        /// For so long the caller says this; of the bot there is played this much of what came, as loud as that.
        fn pass(&mut self, ms: u32, caller: i16, bot: Option<i16>) {
            for _ in 0..ms / 20 {
                self.now += 20 * MS;
                self.turns.heard(self.now, &[caller; 160], self.places.1);
                if let Some(loud) = bot {
                    self.turns.said(self.now, &[loud; 160], self.places.0);
                    self.places.0 += 160;
                }
                self.turns.sent(self.now, &mut self.counts);
            }
        }

        /// The bot sent audio.
        fn came(&mut self, ms: u64) {
            self.places.1 += 8 * ms;
        }
    }

    #[test]
    fn a_turn_lasts_from_the_callers_last_word_to_the_bots_first() {
        let mut line = Line::new();
        line.pass(400, 3000, None);
        line.pass(600, 0, None);
        line.came(2000);
        line.pass(1000, 0, Some(8000));
        assert_eq!(line.counts.turns_ms, [620]);
    }

    #[test]
    fn silence_of_the_bot_is_no_answer_and_a_greeting_no_turn() {
        let mut line = Line::new();
        line.came(100_000);
        line.pass(1000, 0, Some(8000));
        assert!(line.counts.turns_ms.is_empty());
        line.places.1 = line.places.0;
        line.pass(500, 3000, Some(0));
        line.pass(300, 0, Some(0));
        line.pass(500, 0, Some(5000));
        assert_eq!(line.counts.turns_ms, [320]);
    }

    #[test]
    fn an_interruption_is_answered_by_what_comes_after_the_clear() {
        let mut line = Line::new();
        line.came(10_000);
        line.pass(1000, 0, Some(8000));
        line.pass(200, 3000, Some(8000));
        let asked = line.now + 5 * MS;
        line.turns.cleared(Some(asked));
        line.places.0 = line.places.1;
        line.came(10_000);
        line.pass(300, 3000, None); // it goes on speaking
        line.pass(200, 0, None);
        line.pass(1000, 0, Some(8000));
        assert_eq!((&line.counts.turns_ms[..], &line.counts.clears_ms[..]), (&[220][..], &[15][..]));
    }

    #[test]
    fn what_was_sent_before_the_caller_spoke_is_no_answer() {
        let mut line = Line::new();
        line.came(10_000);
        line.pass(1000, 0, Some(8000));
        line.pass(500, 3000, Some(0)); // a pause within what was sent
        line.pass(1000, 0, Some(8000));
        assert!(line.counts.turns_ms.is_empty());
        line.places.0 = line.places.1;
        line.came(1000);
        line.pass(1000, 0, None);
        line.pass(20, 0, Some(8000));
        assert_eq!(line.counts.turns_ms, [2020], "the caller's word waited for an answer all the while");
    }

    #[test]
    fn an_answer_that_was_taken_back_before_it_left_is_none() {
        let mut line = Line::new();
        line.pass(400, 3000, None);
        line.came(1000);
        line.turns.said(line.now, &[8000; 160], 0);
        line.turns.cleared(None);
        line.turns.sent(line.now, &mut line.counts);
        assert!(line.counts.turns_ms.is_empty());
        line.pass(100, 0, None);
        line.pass(20, 0, Some(8000));
        assert_eq!(line.counts.turns_ms, [120]);
    }

    #[test]
    fn the_lists_are_bounded() {
        let mut times = Vec::new();
        (0..1000).for_each(|_| list(&mut times, MS));
        assert_eq!(times.len(), StreamCounts::LISTED);
    }
}
