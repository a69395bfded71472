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

#[cfg(test)]
mod tests {
    use rubato::audioadapter_buffers::direct::InterleavedSlice;
    use rubato::{Async, FixedAsync, SincInterpolationParameters, WindowFunction};

    use super::*;
    use crate::audio::tone::Tone;
    use crate::units::SampleRate::{Hz8000, Hz16000, Hz24000};

    const PAIRS: [(SampleRate, SampleRate); 6] = [
        (Hz8000, Hz16000),
        (Hz8000, Hz24000),
        (Hz16000, Hz8000),
        (Hz24000, Hz8000),
        (Hz16000, Hz24000),
        (Hz24000, Hz16000),
    ];

    fn sine(rate: SampleRate, hz: f64) -> Vec<i16> {
        let mut samples = vec![0; rate.samples(600)];
        Tone::sine(rate, hz, 30_000).fill(&mut samples);
        samples
    }

    fn resample(from: SampleRate, to: SampleRate, input: &[i16]) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to);
        let mut out = vec![0; resampler.max_output(input.len())];
        let n = resampler.process(input, &mut out);
        out.truncate(n);
        out
    }

    /// Amplitude of a sine in 500 ms, in dB of what went in: a Hann window keeps other lines out.
    fn line(samples: &[i16], rate: SampleRate, hz: f64) -> f64 {
        let samples = &samples[rate.samples(50)..rate.samples(550)];
        let (mut re, mut im, n) = (0.0, 0.0, samples.len() as f64);
        for (i, &sample) in samples.iter().enumerate() {
            let window = 1.0 - (2.0 * PI * i as f64 / n).cos();
            let angle = 2.0 * PI * hz * i as f64 / f64::from(rate.hz());
            re += window * f64::from(sample) * angle.cos();
            im += window * f64::from(sample) * angle.sin();
        }
        20.0 * (2.0 * re.hypot(im) / n / 30_000.0).log10()
    }

    #[test]
    fn speech_passes_and_its_images_do_not() {
        for (from, to) in PAIRS {
            let low = from.min(to);
            // Up to 3.4 kHz of 8 kHz, and as far of others.
            let most = f64::from(low.hz()) * 3400.0 / 8000.0;
            for hz in [300.0, 1000.0, most * 0.75, most] {
                let out = resample(from, to, &sine(from, hz));
                let gain = line(&out, to, hz);
                assert!(gain.abs() < 0.5, "{from} to {to}: {hz} Hz at {gain} dB");
                // Images of an input at `from` stand at k * from ± hz.
                for image in
                    [1.0, 2.0].map(|k| k * f64::from(from.hz())).iter().flat_map(|f| [f - hz, f + hz])
                {
                    if image < f64::from(to.hz()) / 2.0 {
                        let heard = line(&out, to, image);
                        assert!(heard < -80.0, "{from} to {to}: image of {hz} Hz at {image} Hz: {heard} dB");
                    }
                }
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_gone() {
        for (from, to) in PAIRS.into_iter().filter(|(from, to)| from > to) {
            let low = f64::from(to.hz());
            let mut hz = low * 4600.0 / 8000.0;
            while hz < f64::from(from.hz()) / 2.0 - 50.0 {
                let out = resample(from, to, &sine(from, hz));
                let alias = (hz - low).abs();
                let heard = line(&out, to, alias);
                assert!(heard < -80.0, "{from} to {to}: {hz} Hz comes out at {alias} Hz: {heard} dB");
                hz += 330.0;
            }
        }
    }

    #[test]
    fn the_count_is_exact_and_frames_of_any_length_are_one_line() {
        for (from, to) in PAIRS {
            let input = sine(from, 440.0);
            let whole = resample(from, to, &input);
            assert_eq!(whole.len() * from.times_8k(), input.len() * to.times_8k());
            let mut resampler = Resampler::new(from, to);
            let (mut parts, mut rest, mut length) = (Vec::new(), &input[..], 1);
            while !rest.is_empty() {
                let (part, next) = rest.split_at(length.min(rest.len()));
                let mut out = vec![0; resampler.max_output(part.len())];
                let n = resampler.process(part, &mut out);
                parts.extend_from_slice(&out[..n]);
                (rest, length) = (next, length * 7 % 331);
            }
            assert_eq!(parts, whole, "{from} to {to}");
        }
    }

    #[test]
    fn the_delay_is_2_ms() {
        for (from, to) in PAIRS {
            let mut input = vec![0; from.samples(20)];
            input[from.samples(10)] = 30_000;
            let out = resample(from, to, &input);
            let top = (0..out.len()).max_by_key(|&i| out[i]).unwrap();
            let (at, delay) = (top as i64 - to.samples(10) as i64, Resampler::new(from, to).delay() as i64);
            assert!((at - delay).abs() <= 1, "{from} to {to}: {at} samples");
        }
    }

    #[test]
    fn full_scale_is_clipped_not_wrapped_and_a_constant_stays_one() {
        for (from, to) in PAIRS {
            let square: Vec<i16> =
                (0..from.samples(100)).map(|i| if i / 20 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
            let (out, delay) = (resample(from, to, &square), Resampler::new(from, to).delay());
            for middle in (10..square.len() - 100).step_by(20) {
                let (got, sent) = (out[middle * to.times_8k() / from.times_8k() + delay], square[middle]);
                assert!(
                    got.signum() == sent.signum() && got.unsigned_abs() > 25_000,
                    "{from} to {to}: {got}"
                );
            }
            let out = resample(from, to, &vec![1000; from.samples(100)]);
            assert!(out[to.samples(5)..].iter().all(|s| (s - 1000).abs() <= 1), "{from} to {to}");
        }
    }

    #[test]
    fn the_same_rate_copies_and_a_reset_forgets() {
        assert_eq!(resample(Hz8000, Hz8000, &[1, -2, 3]), [1, -2, 3]);
        let mut resampler = Resampler::new(Hz8000, Hz16000);
        resampler.process(&[30_000; 7], &mut [0; 14]);
        resampler.reset();
        let mut out = [1; 320];
        assert_eq!(resampler.process(&[0; 160], &mut out), 320);
        assert_eq!(out, [0; 320]);
        assert_eq!(resampler.process(&[5; 160], &mut out[..3]), 3);
    }

    /// The oracle: a long sinc of `rubato`.
    fn oracle(from: SampleRate, to: SampleRate, input: &[i16]) -> Vec<i16> {
        let ratio = f64::from(to.hz()) / f64::from(from.hz());
        let parameters = SincInterpolationParameters::new(256, WindowFunction::BlackmanHarris2);
        let mut theirs = Async::<f64>::new_sinc(ratio, 1.0, &parameters, 1024, 1, FixedAsync::Input).unwrap();
        let input: Vec<f64> = input.iter().map(|&s| s.into()).collect();
        let buffer = InterleavedSlice::new(&input, 1, input.len()).unwrap();
        let out = rubato::Resampler::process_all(&mut theirs, &buffer, input.len(), None).unwrap();
        out.take_data().into_iter().map(|s| s.round() as i16).collect()
    }

    #[test]
    fn rubato_lets_the_same_through_and_keeps_the_same_out() {
        for (from, to) in PAIRS {
            let low = f64::from(from.min(to).hz());
            for hz in [300.0, 1000.0, low * 0.25, low * 0.4, low * 0.575] {
                if hz >= f64::from(from.hz()) / 2.0 {
                    continue;
                }
                let input = sine(from, hz);
                let (ours, theirs) = (resample(from, to, &input), oracle(from, to, &input));
                assert!(ours.len().abs_diff(theirs.len()) <= 1);
                let place = if hz < low / 2.0 { hz } else { low - hz };
                let (ours, theirs) = (line(&ours, to, place), line(&theirs, to, place));
                let same = (ours - theirs).abs() < 0.1 || ours < -80.0 && theirs < -80.0;
                assert!(same, "{from} to {to}: {hz} Hz is {ours} dB, by rubato {theirs} dB");
            }
        }
    }

    #[test]
    fn it_is_the_same_sound_at_another_rate() {
        let sound = |rate: SampleRate| {
            let mut sum = vec![0; rate.samples(600)];
            for (hz, amplitude) in [(220.0, 9000), (1150.0, 5000), (2400.0, 3000), (3100.0, 1500)] {
                let mut part = vec![0; sum.len()];
                Tone::sine(rate, hz, amplitude).fill(&mut part);
                sum.iter_mut().zip(part).for_each(|(sum, sample)| *sum += sample);
            }
            sum
        };
        for (from, to) in PAIRS {
            let (ours, wanted) = (resample(from, to, &sound(from)), sound(to));
            let delay = Resampler::new(from, to).delay();
            let (mut error, mut energy) = (0.0, 0.0);
            for i in to.samples(10)..to.samples(590) {
                error += (f64::from(ours[i + delay]) - f64::from(wanted[i])).powi(2);
                energy += f64::from(wanted[i]).powi(2);
            }
            let ratio = 10.0 * (error / energy).log10();
            assert!(ratio < -75.0, "{from} to {to}: {ratio} dB");
        }
    }
}
