//! Whether somebody speaks on a line of 8000 Hz: energy over the line's own noise, by frames of 10 ms. It tells speech
//! from silence and steady noise, not from music or keys.

/// Samples of a frame.
const FRAME: usize = 80;
/// Mean square below which nothing is speech: -50 dB of full scale.
const LEAST: f32 = 10_000.0;
/// Speech is so much more than the noise: 10 dB.
const ABOVE: f32 = 10.0;
/// Frames after which the quietest of them is the noise: 5 s. What is steady for longer than twice that is noise too.
const WINDOW: u32 = 500;
/// Loud frames less quiet ones from which on it is speech, and no click: 60 ms.
const ONSET: u8 = 6;
/// Quiet frames after which the next word has to show itself again.
const MOST: u8 = 10;

/// A detector of speech; allocates nothing.
#[derive(Clone, Debug)]
pub struct Voice {
    /// Of the frame in the making.
    energy: u64,
    filled: usize,
    /// The quietest frame of this window, and of the one before.
    low: f32,
    before: f32,
    frames: u32,
    run: u8,
    speaking: bool,
}

impl Default for Voice {
    fn default() -> Self {
        let (low, before) = (f32::INFINITY, f32::INFINITY);
        Self { energy: 0, filled: 0, low, before, frames: 0, run: 0, speaking: false }
    }
}

impl Voice {
    /// Hears samples. Where speech is among them: how many samples of them come after the last of it.
    pub fn hear(&mut self, samples: &[i16]) -> Option<usize> {
        let (mut rest, mut spoke) = (samples, None);
        while !rest.is_empty() {
            let (part, next) = rest.split_at(rest.len().min(FRAME - self.filled));
            self.energy += part.iter().map(|&sample| u64::from(sample.unsigned_abs()).pow(2)).sum::<u64>();
            self.filled += part.len();
            rest = next;
            if self.filled == FRAME && self.frame() {
                spoke = Some(rest.len());
            }
        }
        spoke
    }

    /// A frame is full; true: it is speech.
    fn frame(&mut self) -> bool {
        let energy = self.energy as f32 / FRAME as f32;
        (self.energy, self.filled) = (0, 0);
        let loud = energy > LEAST.max(ABOVE * self.noise());
        self.low = self.low.min(energy);
        self.frames += 1;
        if self.frames == WINDOW {
            (self.before, self.low, self.frames) = (self.low, f32::INFINITY, 0);
        }
        self.run = if loud { (self.run + 1).min(MOST) } else { self.run.saturating_sub(1) };
        self.speaking = self.run >= ONSET || self.speaking && self.run > 0;
        loud && self.speaking
    }

    /// Mean square of the noise: none in the first window, for a line may begin with a word.
    fn noise(&self) -> f32 {
        if self.before.is_finite() { self.low.min(self.before) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tone::Tone;
    use crate::units::SampleRate::Hz8000;

    fn tone(ms: u32, amplitude: i16) -> Vec<i16> {
        let mut samples = vec![0; Hz8000.samples(ms)];
        Tone::sine(Hz8000, 400.0, amplitude).fill(&mut samples);
        samples
    }

    /// Noise of a seeded generator.
    fn noise(ms: u32, amplitude: i32) -> Vec<i16> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) as i32 % (2 * amplitude + 1) - amplitude) as i16
        };
        (0..Hz8000.samples(ms)).map(|_| next()).collect()
    }

    #[test]
    fn the_end_of_a_word_is_found_to_the_frame() {
        for cut in [1, 80, 160, 161, 8000] {
            let mut voice = Voice::default();
            let line = [vec![0; 1600], tone(400, 3000), vec![0; 4000]].concat();
            let (mut place, mut last) = (0, None);
            for piece in line.chunks(cut) {
                place += piece.len();
                last = voice.hear(piece).map(|behind| place - behind).or(last);
            }
            assert_eq!(last, Some(1600 + 3200), "in pieces of {cut}");
        }
    }

    #[test]
    fn a_click_and_a_whisper_of_the_line_are_no_speech() {
        let mut voice = Voice::default();
        for quiet in [vec![0; 800], tone(50, 20_000), vec![0; 800], noise(10_000, 60)] {
            assert_eq!(voice.hear(&quiet), None);
        }
        assert!(voice.hear(&tone(100, 3000)).is_some());
    }

    #[test]
    fn a_word_may_be_the_first_of_the_line() {
        assert_eq!(Voice::default().hear(&tone(200, 3000)), Some(0));
    }

    #[test]
    fn steady_noise_is_noise_after_a_while_and_speech_stands_out_of_it() {
        let mut voice = Voice::default();
        voice.hear(&noise(10_100, 600));
        assert_eq!(voice.hear(&noise(5000, 600)), None);
        assert!(voice.hear(&tone(200, 6000)).is_some());
    }
}
