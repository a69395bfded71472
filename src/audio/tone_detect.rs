//! Telephone keys heard as pairs of tones (ITU-T Q.23, Q.24), 8000 Hz.
//!
//! ```text
//!  samples ─► windows of 12.75 ms, each half over the last ─► Goertzel at the eight tones ─► key or none
//!  four windows of one key: it is down; four without it: it is released, and told with its length
//! ```
//!
//! A key of 40 ms is always heard and one of 23 ms never, a pause of 40 ms parts two presses and one of 10 ms does not
//! (Q.24 §2). What keeps speech from being keys: nearly all energy must be in the two tones, and so for four windows.

use std::f32::consts::TAU;
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::units::Digit;

/// Samples of a window: 78 Hz between bins, so that the tones, 73 Hz and more apart, are told from one another and one
/// that is 1.5 % off is still found.
const WINDOW: usize = 102;
const HOP: usize = WINDOW / 2;
const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];
/// Windows of one key that make it, windows without it that end it.
const PRESSED: u32 = 4;
const RELEASED: u32 = 4;
/// Least amplitude of either tone: -33 dBm0.
const FLOOR: f32 = 500.0;
/// Share of all energy that is in the two tones.
const PURE: f32 = 0.75;
/// The strongest of four is so much stronger than each other, in power: 8 dB.
const CLEAR: f32 = 6.3;
/// The high tone may be so much weaker, in power (10 dB), and so much stronger (6 dB) than the low one.
const TWIST: f32 = 10.0;
const REVERSE: f32 = 4.0;

/// Hears keys in a line.
#[derive(Clone, Debug)]
pub struct ToneDetector {
    /// 2 cos of each tone's step.
    rows: [f32; 4],
    columns: [f32; 4],
    window: [f32; WINDOW],
    filled: usize,
    /// The key of the last windows, and how many they are.
    run: (Option<Digit>, u32),
    /// The key that is down: windows since it went down, windows it was missing in at the end.
    down: Option<(Digit, u32, u32)>,
    done: ArrayVec<(Digit, Duration), 4>,
}

impl Default for ToneDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl ToneDetector {
    /// Nothing heard.
    pub fn new() -> Self {
        let turn = |hz: f32| 2.0 * (TAU * hz / 8000.0).cos();
        Self {
            rows: ROWS.map(turn),
            columns: COLUMNS.map(turn),
            window: [0.0; WINDOW],
            filled: 0,
            run: (None, 0),
            down: None,
            done: ArrayVec::new(),
        }
    }

    /// Takes the next samples. Then `poll` until it says nothing.
    pub fn push(&mut self, mut samples: &[i16]) {
        while !samples.is_empty() {
            let n = samples.len().min(WINDOW - self.filled);
            let (now, later) = samples.split_at(n);
            for (place, &sample) in self.window[self.filled..].iter_mut().zip(now) {
                *place = sample.into();
            }
            self.filled += n;
            samples = later;
            if self.filled == WINDOW {
                let key = self.key();
                self.hear(key);
                self.window.copy_within(HOP.., 0);
                self.filled = WINDOW - HOP;
            }
        }
    }

    /// Whether a key is down, or was until so lately that it may come again.
    pub fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// The next key that was released, and how long it was held.
    pub fn poll(&mut self) -> Option<(Digit, Duration)> {
        self.done.pop_at(0)
    }

    /// One more window.
    fn hear(&mut self, key: Option<Digit>) {
        self.run = if key == self.run.0 { (key, self.run.1.saturating_add(1)) } else { (key, 1) };
        if let Some((digit, windows, missing)) = &mut self.down {
            *windows = windows.saturating_add(1);
            *missing = if key == Some(*digit) { 0 } else { *missing + 1 };
            if *missing < RELEASED {
                return;
            }
            let (digit, windows) = (*digit, *windows - *missing);
            self.down = None;
            // A window counts as soon as four fifths of it are tone.
            let samples = u64::from(windows - 1) * HOP as u64 + 88;
            // Four cannot end at once; one that nobody asked for is lost.
            let _ = self.done.try_push((digit, Duration::from_millis(samples / 8)));
        }
        if let (Some(digit), PRESSED..) = self.run {
            self.down = Some((digit, self.run.1, 0));
        }
    }

    /// The key in the window.
    fn key(&self) -> Option<Digit> {
        let all: f32 = self.window.iter().map(|sample| sample * sample).sum();
        // The energy of a sine of amplitude a over n samples is a²n/2.
        let least = FLOOR * FLOOR * WINDOW as f32 / 2.0;
        if all < least {
            return None;
        }
        let (row, low) = self.strongest(&self.rows)?;
        let (column, high) = self.strongest(&self.columns)?;
        let loud = low >= least && high >= least;
        let even = low <= high * TWIST && high <= low * REVERSE;
        let pure = low + high >= all * PURE;
        let key = KEYS.get(row)?.get(column)?;
        if loud && even && pure { Digit::from_char(*key) } else { None }
    }

    /// The strongest of four tones, if it is that clearly, and its energy.
    fn strongest(&self, turns: &[f32; 4]) -> Option<(usize, f32)> {
        let energies = turns.map(|turn| self.energy(turn));
        let (at, &most) = energies.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
        let clear = energies.iter().enumerate().all(|(other, &energy)| other == at || most >= energy * CLEAR);
        clear.then_some((at, most))
    }

    /// Energy of one tone in the window (Goertzel).
    fn energy(&self, turn: f32) -> f32 {
        let (mut last, mut before) = (0.0, 0.0);
        for sample in &self.window {
            (last, before) = (sample + turn * last - before, last);
        }
        (last * last + before * before - turn * last * before) * 2.0 / WINDOW as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::g711;
    use crate::audio::tone::{Tone, frequencies};
    use crate::units::SampleRate;

    const RATE: SampleRate = SampleRate::Hz8000;

    /// Two sines for so many samples, as a telephone line has them: through mu-law, over a little noise.
    fn line(low: (f64, f64), high: (f64, f64), samples: usize, noise: i16) -> Vec<i16> {
        let mut seed = 1_u32;
        let mut chance = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (i64::from(seed >> 8) * i64::from(noise) * 2 / 0x100_0000) as i16 - noise
        };
        let sine = |(hz, amplitude): (f64, f64), n: usize| {
            amplitude * (std::f64::consts::TAU * hz * n as f64 / 8000.0).sin()
        };
        (0..samples)
            .map(|n| {
                let sample = (sine(low, n) + sine(high, n)) as i16;
                let octet = g711::linear_to_mu(sample.saturating_add(if noise > 0 { chance() } else { 0 }));
                g711::MU_TO_LINEAR[usize::from(octet)]
            })
            .collect()
    }

    fn key(key: char, samples: usize) -> Vec<i16> {
        let (low, high) = frequencies(Digit::from_char(key).expect("a key"));
        line((low, 4000.0), (high, 4000.0), samples, 0)
    }

    fn hear(samples: &[i16]) -> String {
        heard(samples).iter().map(|(digit, _)| digit.as_char()).collect()
    }

    fn heard(samples: &[i16]) -> Vec<(Digit, Duration)> {
        let (mut detector, mut keys) = (ToneDetector::new(), Vec::new());
        for block in samples.chunks(160).chain([&[0; 400][..]]) {
            detector.push(block);
            keys.extend(std::iter::from_fn(|| detector.poll()));
        }
        keys
    }

    #[test]
    fn each_key_is_heard_once_with_its_length() {
        for char in "0123456789*#ABCD".chars() {
            for (samples, offset) in [(320, 0), (400, 17), (800, 51), (8000, 77)] {
                let keys = heard(&[vec![0; offset], key(char, samples)].concat());
                let [(digit, held)] = keys[..] else { panic!("{char} of {samples}: {keys:?}") };
                assert_eq!(digit.as_char(), char);
                let off = held.as_millis() as i64 - samples as i64 / 8;
                assert!(off.abs() <= 8, "{held:?} for {samples} samples");
            }
        }
    }

    #[test]
    fn a_key_of_40_ms_is_heard_and_one_of_23_ms_is_not_wherever_the_windows_fall() {
        for offset in 0..102 {
            let press = |samples| [vec![0; offset], key('5', samples), vec![0; 320]].concat();
            assert_eq!(hear(&press(320)), "5", "at {offset}");
            assert_eq!(hear(&press(184)), "", "at {offset}");
        }
    }

    #[test]
    fn a_pause_of_40_ms_parts_two_presses_and_one_of_10_ms_does_not() {
        for offset in 0..102 {
            let pause = |samples| [vec![0; offset], key('7', 400), vec![0; samples], key('7', 400)].concat();
            assert_eq!(hear(&pause(320)), "77", "at {offset}");
            assert_eq!(hear(&pause(80)), "7", "at {offset}");
        }
        let dial: Vec<i16> =
            "08012345".chars().flat_map(|char| [key(char, 400), vec![0; 400]].concat()).collect();
        assert_eq!(hear(&dial), "08012345");
        let slurred: Vec<i16> = "159".chars().flat_map(|char| key(char, 480)).collect();
        assert_eq!(hear(&slurred), "159", "without any pause");
    }

    #[test]
    fn tones_may_be_a_little_off_and_unequal_but_not_much() {
        for off in [-0.015, 0.015] {
            let (low, high) = (941.0 * (1.0 + off), 1633.0 * (1.0 + off));
            assert_eq!(hear(&line((low, 4000.0), (high, 4000.0), 400, 0)), "D", "{off}");
        }
        let twisted = |low: f64, high: f64| hear(&line((770.0, low), (1336.0, high), 400, 0));
        // 8 dB the one way, 4 dB the other (Q.24, AT&T); 14 dB is no key.
        assert_eq!([twisted(5000.0, 2000.0), twisted(3200.0, 5000.0)], ["5", "5"]);
        assert_eq!([twisted(8000.0, 1600.0), twisted(1600.0, 8000.0)], ["", ""]);
    }

    #[test]
    fn loud_and_soft_keys_are_heard_and_noise_at_15_db_does_not_matter() {
        for amplitude in [900.0, 4000.0, 14_000.0] {
            assert_eq!(hear(&line((852.0, amplitude), (1209.0, amplitude), 400, 0)), "7", "{amplitude}");
        }
        assert_eq!(hear(&line((852.0, 300.0), (1209.0, 300.0), 400, 0)), "", "-38 dBm0");
        assert_eq!(hear(&line((852.0, 4000.0), (1209.0, 4000.0), 400, 1200)), "7");
    }

    #[test]
    fn what_is_no_key_is_passed_over() {
        let mut tone = [0; 8000];
        for hz in [440.0, 697.0, 941.0, 1209.0, 1004.0] {
            Tone::sine(RATE, hz, 10_000).fill(&mut tone);
            assert_eq!(hear(&tone), "", "{hz}");
        }
        // Dial tone, ring back, busy of North America.
        for (low, high) in [(350.0, 440.0), (440.0, 480.0), (480.0, 620.0)] {
            assert_eq!(hear(&line((low, 6000.0), (high, 6000.0), 8000, 0)), "");
        }
        assert_eq!(hear(&line((0.0, 0.0), (0.0, 0.0), 16_000, 8000)), "", "noise");
        assert_eq!(hear(&[i16::MIN; 800]), "");
    }

    /// Talk-off: the built-in recordings, as they are, louder, softer, and at other speeds, which is other voices.
    #[test]
    fn speech_is_no_key() {
        let recordings: [&[u8]; 5] = [
            include_bytes!("../lab/speech/barge.wav"),
            include_bytes!("../lab/speech/caller.wav"),
            include_bytes!("../lab/speech/goodbye.wav"),
            include_bytes!("../lab/speech/greeting.wav"),
            include_bytes!("../lab/speech/story.wav"),
        ];
        for (n, recording) in recordings.into_iter().enumerate() {
            let speech = crate::audio::wav::read(recording, RATE, 80_000).expect("a recording");
            for speed in [0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4, 1.6] {
                for gain in [0.25, 1.0, 1.9] {
                    let at = |k: usize| {
                        let sample = f64::from(speech[(k as f64 * speed) as usize]) * gain;
                        g711::MU_TO_LINEAR[usize::from(g711::linear_to_mu(sample as i16))]
                    };
                    let spoken: Vec<i16> = (0..(speech.len() as f64 / speed) as usize - 1).map(at).collect();
                    assert_eq!(hear(&spoken), "", "recording {n} at {speed}, {gain}");
                }
            }
        }
    }

    #[test]
    fn any_pieces_hear_the_same() {
        let samples: Vec<i16> =
            "42#".chars().flat_map(|char| [key(char, 400), vec![0; 400]].concat()).collect();
        for piece in [1, 7, 80, 160, 1600] {
            let (mut detector, mut keys) = (ToneDetector::new(), String::new());
            for block in samples.chunks(piece) {
                detector.push(block);
                keys.extend(std::iter::from_fn(|| detector.poll()).map(|(digit, _)| digit.as_char()));
            }
            assert_eq!(keys, "42#", "in pieces of {piece}");
        }
    }
}
