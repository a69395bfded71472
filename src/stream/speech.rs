//! What the bot says, on its way to the playout: our account of what was ordered, refused, cleared and is left.

use std::time::{Duration, Instant};

use super::backlog::Backlog;
use super::chunk::{Joiner, Undecodable};
use crate::media::Play;
use crate::units::SampleRate;

/// What became of one payload, in samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Queued for playing.
    pub(crate) queued: u64,
    /// Refused: the queue is full.
    pub(crate) refused: u64,
}

/// The bot's audio of one stream. Places are counted in samples ordered since the stream began, as `Play::Finish` is.
#[derive(Debug)]
pub(crate) struct Speech {
    rate: SampleRate,
    /// Samples that may be queued.
    most: u64,
    backlog: Backlog,
    joiner: Joiner,
    /// Behind the last sample ordered.
    ordered: u64,
    /// Behind the last sample that left the playout.
    taken: u64,
    /// Where the last clear stood: nothing before it is queued, though `taken` may not say so yet.
    cleared_to: u64,
    /// Behind the last sample that is not digital silence.
    sound: u64,
    /// Samples accepted, refused, and dropped by clears.
    received: u64,
    refused: u64,
    cleared: u64,
    /// Of those cleared, the ones the playout never heard of.
    unsent: u64,
    /// Most samples that ever waited.
    longest: u64,
}

impl Speech {
    pub(crate) fn new(rate: SampleRate, max_queue: Duration) -> Self {
        let most = max_queue.as_millis() as u64 * u64::from(rate.hz()) / 1000;
        Self {
            rate,
            most,
            backlog: Backlog::default(),
            joiner: Joiner::default(),
            ordered: 0,
            taken: 0,
            cleared_to: 0,
            sound: 0,
            received: 0,
            refused: 0,
            cleared: 0,
            unsent: 0,
            longest: 0,
        }
    }

    /// Audio of the bot; what exceeds the queue is dropped at its tail.
    pub(crate) fn audio(&mut self, now: Instant, payload: &str) -> Result<Taken, Undecodable> {
        let mut samples = self.joiner.samples(now, payload)?;
        let all = samples.len() as u64;
        let room = self.most.saturating_sub(self.queued());
        samples.truncate(room.min(all) as usize);
        let queued = samples.len() as u64;
        if let Some(last) = samples.iter().rposition(|&sample| sample != 0) {
            self.sound = self.ordered + last as u64 + 1;
        }
        self.ordered += queued;
        self.received += queued;
        self.refused += all - queued;
        if queued > 0 {
            self.backlog.audio(samples);
        }
        self.longest = self.longest.max(self.queued());
        Ok(Taken { queued, refused: all - queued })
    }

    /// A mark behind everything so far.
    pub(crate) fn mark(&mut self, number: u32) {
        self.backlog.push(Play::Mark(number));
    }

    /// Nothing that is queued is to be heard: the bot asked for it then, or else nobody is there any more.
    pub(crate) fn clear(&mut self, asked: Option<Instant>) {
        self.joiner.clear();
        let (queued, unsent) = (self.queued(), self.backlog.clear(asked));
        if asked.is_some() {
            self.cleared += queued;
            self.unsent += unsent;
        }
        self.ordered -= unsent; // the playout never hears of it
        self.cleared_to = self.ordered;
        self.sound = self.ordered;
    }

    /// The bot is gone: what is left plays for at most `drain` and as long as it is not silence. False if nothing is left.
    pub(crate) fn finish(&mut self, drain: Duration) -> bool {
        let longest = drain.as_millis() as u64 * u64::from(self.rate.hz()) / 1000;
        let until = self.sound.min(self.played_to() + longest);
        if until <= self.played_to() {
            self.clear(None);
            return false;
        }
        self.backlog.push(Play::Finish { until });
        true
    }

    /// What the playout says has left it.
    pub(crate) fn taken(&mut self, taken: u64) {
        self.taken = taken;
    }

    /// Samples that wait to be played.
    pub(crate) fn queued(&self) -> u64 {
        self.ordered.saturating_sub(self.played_to())
    }

    /// Samples accepted.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Samples refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// Samples played.
    pub(crate) fn played(&self) -> u64 {
        self.received.saturating_sub(self.cleared + self.queued())
    }

    /// Samples dropped by clears of the bot.
    pub(crate) fn cleared(&self) -> u64 {
        self.cleared
    }

    /// Of those, the ones the playout never heard of.
    pub(crate) fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Most samples that ever waited.
    pub(crate) fn longest(&self) -> u64 {
        self.longest
    }

    /// The orders for the playout's ring.
    pub(crate) fn orders(&mut self) -> &mut Backlog {
        &mut self.backlog
    }

    fn played_to(&self) -> u64 {
        self.taken.max(self.cleared_to)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // any instant will do: only differences are looked at
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn payload(samples: &[i16]) -> String {
        let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        base64_simd::STANDARD.encode_to_string(pcm)
    }

    fn said(speech: &mut Speech, samples: &[i16]) -> Taken {
        speech.audio(Instant::now(), &payload(samples)).expect("base64")
    }

    fn last(speech: &mut Speech) -> Option<String> {
        std::iter::from_fn(|| speech.orders().next()).last().map(|order| format!("{order:?}"))
    }

    #[test]
    fn beyond_the_queue_the_newest_is_refused_until_some_has_played() {
        let mut speech = Speech::new(SampleRate::Hz8000, SECOND);
        assert_eq!(said(&mut speech, &[1; 7000]), Taken { queued: 7000, refused: 0 });
        assert_eq!(said(&mut speech, &[1; 7000]), Taken { queued: 1000, refused: 6000 });
        speech.taken(500);
        assert_eq!(said(&mut speech, &[1; 7000]), Taken { queued: 500, refused: 6500 });
    }

    #[test]
    fn a_clear_makes_room_at_once() {
        let mut speech = Speech::new(SampleRate::Hz8000, SECOND);
        said(&mut speech, &[1; 8000]);
        speech.orders().next().expect("it went to the ring");
        speech.clear(Some(Instant::now()));
        assert_eq!((speech.queued(), speech.cleared(), speech.unsent()), (0, 8000, 0));
        assert_eq!(said(&mut speech, &[1; 8000]).refused, 0);
        speech.taken(8000); // the playout has seen the clear
        assert_eq!(speech.queued(), 8000);
    }

    #[test]
    fn what_is_left_plays_up_to_the_last_sound() {
        let mut speech = Speech::new(SampleRate::Hz8000, 60 * SECOND);
        said(&mut speech, &[1; 100]);
        said(&mut speech, &[0; 800]);
        assert!(speech.finish(5 * SECOND));
        assert_eq!(last(&mut speech).as_deref(), Some("Finish { until: 100 }"));
    }

    #[test]
    fn what_is_left_plays_no_longer_than_the_drain() {
        let mut speech = Speech::new(SampleRate::Hz16000, 60 * SECOND);
        said(&mut speech, &[1; 160_000]);
        speech.taken(16_000);
        assert!(speech.finish(5 * SECOND));
        assert_eq!(last(&mut speech).as_deref(), Some("Finish { until: 96000 }"));
    }

    #[test]
    fn silence_or_no_drain_is_not_played_out() {
        let mut speech = Speech::new(SampleRate::Hz8000, 60 * SECOND);
        said(&mut speech, &[1; 100]);
        said(&mut speech, &[0; 8000]);
        speech.taken(100);
        assert!(!speech.finish(5 * SECOND));
        assert_eq!(last(&mut speech).as_deref(), Some("Clear { asked: None }"));
        said(&mut speech, &[1; 100]);
        assert!(!speech.finish(Duration::ZERO));
    }

    #[test]
    fn places_count_what_the_playout_was_told_of_only() {
        let mut speech = Speech::new(SampleRate::Hz8000, 60 * SECOND);
        said(&mut speech, &[1; 100]);
        speech.orders().next().expect("to the ring");
        said(&mut speech, &[1; 50]); // stays behind, and is cleared there
        speech.clear(Some(Instant::now()));
        assert_eq!((speech.cleared(), speech.unsent()), (150, 50));
        speech.taken(100);
        said(&mut speech, &[1; 10]);
        assert!(speech.finish(5 * SECOND));
        assert_eq!(last(&mut speech).as_deref(), Some("Finish { until: 110 }"));
    }
}
