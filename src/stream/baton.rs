//! What the caller says while a bot is being reached is for whichever bot is reached in the end (agentstream.md section
//! 2): a stream that never came up leaves it to the next, and with it the end of the audio it was heard through.

use std::sync::{Arc, Mutex, PoisonError};

use crate::audio::Resampler;
use crate::media::StreamEnd;
use crate::units::SampleRate;

/// Most that is kept of what came before `start` (agentstream.md section 2).
const KEPT_MS: u32 = 3000;

/// What is left.
#[derive(Debug)]
pub struct Left {
    /// Its end of the audio.
    pub end: StreamEnd,
    /// What was heard and never sent, at the rate of `end`.
    pub kept: Vec<i16>,
}

/// Where it is left: put there before the stream's end is told, taken when the next begins.
#[derive(Clone, Debug, Default)]
pub struct Baton(Arc<Mutex<Option<Left>>>);

impl Baton {
    /// Leaves it.
    pub fn pass(&self, left: Left) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
    }

    /// Takes in what was heard since, so that nothing is lost while nobody else reads: the newest 3 s are kept.
    pub fn hear(&self) {
        if let Some(left) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            left.hear();
        }
    }

    fn take(&self) -> Option<Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Through what a stream is to hear and speak.
#[derive(Debug)]
pub enum End {
    /// A port of its own; the stream before it, of another rate, may have left something.
    New(StreamEnd, Option<Baton>),
    /// The port of the stream before it, which had the same rate.
    Left(Baton),
}

impl End {
    /// The end of the audio, and what was heard before; nothing where the stream before failed by a fault of ours.
    pub fn take(self) -> Option<Left> {
        match self {
            Self::New(end, None) => Some(Left { end, kept: Vec::new() }),
            Self::New(end, Some(baton)) => {
                let rate = end.rate();
                let kept = baton.take().map(|left| left.converted(rate)).unwrap_or_default();
                Some(Left { end, kept })
            }
            Self::Left(baton) => baton.take(),
        }
    }
}

impl Left {
    fn hear(&mut self) {
        let mut piece = [0; 480];
        loop {
            match self.end.hear(&mut piece) {
                0 => break,
                heard => self.kept.extend(&piece[..heard]),
            }
        }
        let surplus = self.kept.len().saturating_sub(self.end.rate().samples(KEPT_MS));
        self.kept.drain(..surplus);
    }

    /// What was kept, and what waits behind it, at another rate.
    fn converted(mut self, rate: SampleRate) -> Vec<i16> {
        self.hear();
        let mut resampler = Resampler::new(self.end.rate(), rate);
        let mut converted = vec![0; resampler.max_output(self.kept.len()) + 1];
        let made = resampler.process(&self.kept, &mut converted);
        converted.truncate(made);
        converted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::media::{StreamSpec, pair};

    fn end(rate: SampleRate) -> StreamEnd {
        pair(StreamSpec { rate, prebuffer: Duration::ZERO }).1
    }

    #[test]
    fn what_was_left_is_found_once_and_at_the_rate_of_who_finds_it() {
        let baton = Baton::default();
        let leave = || baton.pass(Left { end: end(SampleRate::Hz8000), kept: vec![1000; 800] });
        leave();
        assert_eq!(End::Left(baton.clone()).take().map(|left| left.kept), Some(vec![1000; 800]));
        assert!(End::Left(baton.clone()).take().is_none());
        leave();
        let next = End::New(end(SampleRate::Hz24000), Some(baton.clone())).take().expect("an end");
        assert_eq!((next.end.rate(), next.kept.len()), (SampleRate::Hz24000, 2400));
        assert!((950..=1050).contains(&next.kept[1200]));
        assert!(
            End::New(end(SampleRate::Hz8000), Some(baton)).take().is_some_and(|left| left.kept.is_empty())
        );
    }
}
