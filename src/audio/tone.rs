//! Sines and telephone keys.

use std::f64::consts::TAU;

use crate::units::{Digit, SampleRate};

/// One or two sines, going on for ever.
#[derive(Clone, Debug)]
pub struct Tone {
    sines: [Sine; 2],
    amplitude: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sine {
    step: f64,
    phase: f64,
}

impl Tone {
    /// A sine of so many Hz; `amplitude` is its peak, 0..=32767.
    pub fn sine(rate: SampleRate, hz: f64, amplitude: i16) -> Self {
        Self::pair(rate, hz, 0.0, amplitude)
    }

    /// Two sines at once, each of peak `amplitude`.
    pub fn pair(rate: SampleRate, low: f64, high: f64, amplitude: i16) -> Self {
        let sine = |hz: f64| Sine { step: TAU * hz / f64::from(rate.hz()), phase: 0.0 };
        Self { sines: [sine(low), sine(high)], amplitude: amplitude.into() }
    }

    /// The pair of a key (ITU-T Q.23), each tone at about -9 dBm0.
    pub fn digit(rate: SampleRate, digit: Digit) -> Self {
        let (low, high) = frequencies(digit);
        Self::pair(rate, low, high, 8000)
    }

    /// The next samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            let mut sum = 0.0;
            for sine in &mut self.sines {
                sum += sine.phase.sin();
                sine.phase += sine.step;
                if sine.phase >= TAU {
                    sine.phase -= TAU;
                }
            }
            *sample = (sum * self.amplitude).round().clamp(-32_768.0, 32_767.0) as i16;
        }
    }
}

/// The low and the high tone of a key in Hz (ITU-T Q.23).
pub fn frequencies(digit: Digit) -> (f64, f64) {
    const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
    const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    // Row and column of 0 1 2 .. 9 * # A B C D, as events are numbered (RFC 4733 §3.2).
    const PLACES: [(u8, u8); 16] = [
        (3, 1),
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 0),
        (2, 1),
        (2, 2),
        (3, 0),
        (3, 2),
        (0, 3),
        (1, 3),
        (2, 3),
        (3, 3),
    ];
    let (row, column) = PLACES[usize::from(digit.event() & 15)];
    (ROWS[usize::from(row & 3)], COLUMNS[usize::from(column & 3)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of a frequency is in samples, as the amplitude of a sine.
    fn amplitude(samples: &[i16], rate: SampleRate, hz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (i, &sample) in samples.iter().enumerate() {
            let angle = TAU * hz * i as f64 / f64::from(rate.hz());
            re += f64::from(sample) * angle.cos();
            im += f64::from(sample) * angle.sin();
        }
        2.0 * re.hypot(im) / samples.len() as f64
    }

    #[test]
    fn each_key_is_its_two_tones() {
        let keys = "123A456B789C*0#D";
        let (rows, columns) = ([697.0, 770.0, 852.0, 941.0], [1209.0, 1336.0, 1477.0, 1633.0]);
        for (i, key) in keys.chars().enumerate() {
            let mut samples = [0; 800];
            Tone::digit(SampleRate::Hz8000, Digit::from_char(key).expect("a key")).fill(&mut samples);
            for (place, hz) in rows.iter().chain(&columns).enumerate() {
                let there = place == i / 4 || place == 4 + i % 4;
                let heard = amplitude(&samples, SampleRate::Hz8000, *hz);
                assert!(if there { heard > 7500.0 } else { heard < 1000.0 }, "{key}: {hz} Hz at {heard}");
            }
        }
    }

    #[test]
    fn a_tone_goes_on_from_frame_to_frame() {
        let (mut whole, mut parts) = ([0; 480], [0; 480]);
        Tone::sine(SampleRate::Hz24000, 1004.0, 12_000).fill(&mut whole);
        let mut tone = Tone::sine(SampleRate::Hz24000, 1004.0, 12_000);
        parts.chunks_mut(7).for_each(|part| tone.fill(part));
        assert_eq!(whole, parts);
        assert!((amplitude(&whole, SampleRate::Hz24000, 1004.0) - 12_000.0).abs() < 400.0);
    }

    #[test]
    fn two_loud_tones_are_clipped_not_wrapped() {
        let mut samples = [0; 800];
        Tone::pair(SampleRate::Hz8000, 440.0, 441.0, i16::MAX).fill(&mut samples);
        assert!(samples.windows(2).all(|w| (i32::from(w[1]) - i32::from(w[0])).abs() < 30_000));
    }
}
