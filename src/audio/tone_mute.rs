//! Takes the tones of telephone keys out of a line, 8000 Hz (`mute_dtmf_audio`, agentstream.md section 5.4).
//!
//! ```text
//!  samples ─┬─► detector ── a key is down ──┐
//!           └─► 40 ms of delay ────────── mute ─► samples
//! ```
//!
//! A key is known only when most of its shortest length has been heard, so the line is held back that long: then not
//! even its beginning gets through.

use super::tone_detect::ToneDetector;

/// Samples the line is late by: what the detector needs to be sure of a key, and two hops more.
pub const DELAY: usize = 320;
/// Samples judged at a time; divides `DELAY`.
const PIECE: usize = 40;

/// A line without key tones.
#[derive(Clone, Debug)]
pub struct ToneMute {
    detector: ToneDetector,
    held: [i16; DELAY],
    at: usize,
    /// Samples that are still to be silenced as they leave.
    silence: usize,
}

impl Default for ToneMute {
    fn default() -> Self {
        Self { detector: ToneDetector::new(), held: [0; DELAY], at: 0, silence: 0 }
    }
}

impl ToneMute {
    /// Takes the next samples and puts those of `DELAY` samples ago in their places.
    pub fn process(&mut self, samples: &mut [i16]) {
        for piece in samples.chunks_mut(PIECE) {
            self.detector.push(piece);
            while self.detector.poll().is_some() {}
            if self.detector.is_down() {
                self.silence = DELAY + piece.len(); // all that is held, and what comes now
            }
            for sample in piece {
                std::mem::swap(sample, &mut self.held[self.at]);
                self.at = (self.at + 1) % DELAY;
                if self.silence > 0 {
                    self.silence -= 1;
                    *sample = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level;
    use crate::audio::tone::Tone;
    use crate::units::{Digit, SampleRate};

    fn muted(samples: &[i16], block: usize) -> Vec<i16> {
        let (mut mute, mut out) = (ToneMute::default(), samples.to_vec());
        out.chunks_mut(block).for_each(|block| mute.process(block));
        out
    }

    fn key(ms: usize) -> Vec<i16> {
        let mut samples = vec![0; ms * 8];
        Tone::digit(SampleRate::Hz8000, Digit::from_char('5').expect("a key")).fill(&mut samples);
        samples
    }

    #[test]
    fn not_a_sample_of_a_key_gets_through_however_short_and_wherever_it_begins() {
        for (ms, before, block) in [(40, 0, 160), (60, 37, 160), (160, 113, 80), (2000, 251, 7)] {
            let line = [vec![0; before], key(ms), vec![0; 800]].concat();
            assert!(muted(&line, block).iter().all(|&sample| sample == 0), "{ms} ms at {before}");
        }
    }

    #[test]
    fn other_sound_passes_bit_by_bit_late_by_the_delay() {
        let mut speech = vec![0; 4000];
        Tone::sine(SampleRate::Hz8000, 440.0, 9000).fill(&mut speech);
        let out = muted(&speech, 160);
        assert_eq!(out[DELAY..], speech[..4000 - DELAY]);
        assert!(out[..DELAY].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn what_is_said_before_and_after_a_key_is_heard() {
        let mut hum = vec![0; 1600];
        Tone::sine(SampleRate::Hz8000, 300.0, 9000).fill(&mut hum);
        let line = [hum.clone(), key(100), hum.clone(), vec![0; DELAY]].concat();
        let out = muted(&line, 160);
        let loud = out.iter().filter(|sample| sample.unsigned_abs() > 3000).count();
        let whole = 2 * hum.iter().filter(|sample| sample.unsigned_abs() > 3000).count();
        // the key takes what stands beside it along: 40 ms before it at most, as long after it as it takes to be sure
        assert!(loud > whole * 6 / 10, "{loud} of {whole}");
        assert!(level::rms(&out[DELAY..DELAY + 1200]) > 3000.0);
    }
}
