//! Polyphase resampling between 8, 16 and 24 kHz: a Kaiser-windowed low-pass of 4 ms, so each way delays by
//! 2 ms. Flat to 3.4 kHz (or as far as the lower rate goes), aliases and images below -80 dB.
//!
//! A rate of `up / down` times the input's: of the filter, sampled `up` times as densely as the input, each
//! output needs every `up`-th tap; those are one phase, kept in a row so that the inner loop is one product
//! of two slices.

use std::f64::consts::PI;
use std::sync::OnceLock;

use crate::units::SampleRate;

/// Length of the filter.
const FILTER_MS: usize = 4;
/// Taps of the longest phase: 4 ms of 24 kHz.
const MOST_TAPS: usize = FILTER_MS * 24;
/// Input taken at once.
const BLOCK: usize = 160;
/// 83 dB by Kaiser's formula.
const BETA: f64 = 8.2;
/// Middle of the filter's edge, of half the lower rate.
const EDGE: f64 = 0.985;

/// Converts one line of audio between two rates, frames of any length; allocates nothing.
#[derive(Clone, Debug)]
pub struct Resampler {
    from: SampleRate,
    to: SampleRate,
    filter: &'static Filter,
    /// The last `taps - 1` samples, then what is being taken.
    window: [f32; MOST_TAPS + BLOCK],
    /// Where the next output stands after the first sample of the next input, in 1/up of an input sample.
    phase: usize,
}

#[derive(Debug)]
struct Filter {
    up: usize,
    down: usize,
    taps: usize,
    /// `up` phases of `taps` each, newest input last.
    phases: Box<[f32]>,
}

impl Resampler {
    /// From one rate to another; the same rate copies.
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        Self { from, to, filter: filter(from, to), window: [0.0; MOST_TAPS + BLOCK], phase: 0 }
    }

    /// Takes all of `input`, writes what it yields to `out`, and says how much. What does not fit `out`
    /// is lost: give it `max_output(input.len())`.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        if self.from == self.to {
            let n = input.len().min(out.len());
            out[..n].copy_from_slice(&input[..n]);
            return n;
        }
        let mut written = 0;
        for block in input.chunks(BLOCK) {
            written += self.block(block, out.get_mut(written..).unwrap_or_default());
        }
        written
    }

    /// The most samples that so many samples of input can yield.
    pub fn max_output(&self, input: usize) -> usize {
        (input * self.to.times_8k()).div_ceil(self.from.times_8k())
    }

    /// Forgets what was heard.
    pub fn reset(&mut self) {
        self.window = [0.0; MOST_TAPS + BLOCK];
        self.phase = 0;
    }

    /// How many samples of output the audio is delayed by: 2 ms, none when both rates are the same.
    pub fn delay(&self) -> usize {
        if self.from == self.to { 0 } else { self.to.samples(2) }
    }

    fn block(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        let Filter { up, down, taps, ref phases } = *self.filter;
        let kept = taps - 1;
        for (slot, &sample) in self.window[kept..].iter_mut().zip(input) {
            *slot = sample.into();
        }
        let (mut written, end) = (0, input.len() * up);
        while self.phase < end {
            let (first, phase) = (self.phase / up, self.phase % up);
            let sum = product(&self.window[first..first + taps], &phases[phase * taps..][..taps]);
            if let Some(sample) = out.get_mut(written) {
                // `as` saturates: an overshoot of the filter is clipped.
                *sample = sum.round_ties_even() as i16;
                written += 1;
            }
            self.phase += down;
        }
        self.phase -= end;
        self.window.copy_within(input.len()..input.len() + kept, 0);
        written
    }
}

/// Eight sums side by side, which a compiler turns into vector instructions.
#[inline]
fn product(window: &[f32], taps: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (a, b) in window.chunks_exact(8).zip(taps.chunks_exact(8)) {
        for (sum, (x, y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += x * y;
        }
    }
    sums.iter().sum()
}

/// Made once for each pair of rates.
fn filter(from: SampleRate, to: SampleRate) -> &'static Filter {
    static FILTERS: [[OnceLock<Filter>; 3]; 3] = [const { [const { OnceLock::new() }; 3] }; 3];
    FILTERS[from as usize][to as usize].get_or_init(|| Filter::design(from, to))
}

impl Filter {
    fn design(from: SampleRate, to: SampleRate) -> Self {
        let (a, b) = (to.times_8k(), from.times_8k());
        let (up, down) = if a == b { (1, 1) } else { (a, b) };
        let taps = from.samples(FILTER_MS as u32);
        let length = taps * up;
        // Cycles a sample of the dense filter.
        let cutoff = EDGE * f64::from(from.min(to).hz()) / 2.0 / (f64::from(from.hz()) * up as f64);
        let middle = (length / 2) as f64;
        let tap = |i: usize| {
            let x = i as f64 - middle;
            let window = bessel(BETA * (1.0 - (x / middle).powi(2)).max(0.0).sqrt()) / bessel(BETA);
            let sinc = if x == 0.0 { 2.0 * cutoff } else { (2.0 * PI * cutoff * x).sin() / (PI * x) };
            window * sinc
        };
        let mut phases = vec![0.0; length];
        for phase in 0..up {
            let of_phase = |k: usize| tap(phase + k * up);
            // Each phase by itself passes a constant unchanged, or a constant would come out as a tone.
            let sum: f64 = (0..taps).map(of_phase).sum();
            for k in 0..taps {
                phases[phase * taps + taps - 1 - k] = (of_phase(k) / sum) as f32;
            }
        }
        Self { up, down, taps, phases: phases.into() }
    }
}

/// Modified Bessel function of the first kind, order 0.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}
