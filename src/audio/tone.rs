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
