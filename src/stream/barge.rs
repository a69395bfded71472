//! When a caller begins to speak (`local_barge_in`, agentstream.md section 8): by level alone, over the line's own noise.
//!
//! ```text
//!  Quiet ──60 ms of sound──► Speaking ──400 ms without──► Quiet
//! ```

use crate::audio::level::rms;
use crate::units::SampleRate;

/// Milliseconds judged at a time.
const STEP_MS: u32 = 20;
/// Steps of sound that are speech and no click.
const ONSET: u32 = 3;
/// Steps without sound that end it.
const PAUSE: u32 = 20;
/// Never speech below this: -42 dB of full scale.
const LEAST: f32 = 260.0;
/// So many times the noise is speech: 12 dB.
const ABOVE: f32 = 4.0;
/// Part of the way the noise follows a louder step: a sound without a dip is the line's own after some 3 s. It follows
/// a quieter one at once, as there are between the syllables of any speech.
const RISE: f32 = 0.002;

/// Listens for the beginning of speech.
#[derive(Clone, Debug)]
pub(crate) struct Barge {
    step: Vec<i16>,
    /// Samples a step.
    length: usize,
    /// Level of what is not speech; none before the first step.
    noise: Option<f32>,
    /// Steps of sound in a row while quiet, or without while speaking.
    run: u32,
    speaking: bool,
}

impl Barge {
    pub(crate) fn new(rate: SampleRate) -> Self {
        let length = rate.samples(STEP_MS);
        Self { step: Vec::with_capacity(length), length, noise: None, run: 0, speaking: false }
    }

    /// The caller said this; true once each time speech begins in it.
    pub(crate) fn hear(&mut self, mut samples: &[i16]) -> bool {
        let mut began = false;
        while !samples.is_empty() {
            let room = (self.length - self.step.len()).min(samples.len());
            let (now, later) = samples.split_at(room);
            self.step.extend_from_slice(now);
            samples = later;
            if self.step.len() == self.length {
                let level = rms(&self.step);
                self.step.clear();
                began |= self.judge(level);
            }
        }
        began
    }

    fn judge(&mut self, level: f32) -> bool {
        let noise = self.noise.unwrap_or(level.min(LEAST));
        let sound = level > LEAST.max(noise * ABOVE);
        self.noise = Some(if level < noise { level } else { noise + (level - noise) * RISE });
        self.run = if sound == self.speaking { 0 } else { self.run + 1 };
        let enough = if self.speaking { PAUSE } else { ONSET };
        if self.run < enough {
            return false;
        }
        (self.speaking, self.run) = (!self.speaking, 0);
        self.speaking
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tone::Tone;

    const RATE: SampleRate = SampleRate::Hz16000;

    /// So long of a tone this loud; in pieces of no round size.
    fn hear(barge: &mut Barge, level: f64, ms: u32) -> usize {
        let mut samples = vec![0; RATE.samples(ms)];
        Tone::sine(RATE, 300.0, level as i16).fill(&mut samples);
        samples.chunks(333).filter(|piece| barge.hear(piece)).count()
    }

    #[test]
    fn each_beginning_of_speech_is_told_once() {
        let mut barge = Barge::new(RATE);
        assert_eq!(hear(&mut barge, 0.0, 1000), 0);
        assert_eq!(hear(&mut barge, 3000.0, 70), 1, "within 80 ms");
        assert_eq!(hear(&mut barge, 3000.0, 1000), 0);
        assert_eq!(hear(&mut barge, 0.0, 200), 0, "a pause between two words");
        assert_eq!(hear(&mut barge, 3000.0, 500), 0);
        assert_eq!(hear(&mut barge, 0.0, 1000), 0);
        assert_eq!(hear(&mut barge, 3000.0, 500), 1);
    }

    #[test]
    fn a_click_and_a_whisper_of_the_line_are_no_speech() {
        let mut barge = Barge::new(RATE);
        for _ in 0..20 {
            assert_eq!(hear(&mut barge, 8000.0, 25), 0);
            assert_eq!(hear(&mut barge, 300.0, 300), 0);
        }
    }

    #[test]
    fn a_noise_that_stays_becomes_the_lines_own_and_speech_over_it_is_heard() {
        let mut barge = Barge::new(RATE);
        hear(&mut barge, 1000.0, 10_000);
        assert!(!barge.speaking);
        assert_eq!(hear(&mut barge, 1000.0, 5000), 0);
        assert_eq!(hear(&mut barge, 8000.0, 200), 1);
    }
}
