//! Loudness over time: silence, peaks for drawing, and the pitch of a tone.

use std::ops::Range;
use std::time::Duration;

use crate::lab::sound::{Sound, samples_in};

/// What G.711 makes of silence stays below this.
const SILENT: u16 = 16;

/// Root mean square in decibels below full scale; -100 for silence.
pub fn dbfs(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return -100.0;
    }
    let sum: f64 = samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
    let rms = (sum / samples.len() as f64).sqrt();
    if rms < 0.33 { -100.0 } else { 20.0 * (rms / 32768.0).log10() }
}

/// Loudness of each `step`, in dBFS.
pub fn levels(sound: &Sound, step: Duration) -> Vec<f64> {
    sound.samples.chunks(samples_in(sound.rate, step).max(1)).map(dbfs).collect()
}

/// Lowest and highest sample in each of `columns` equal parts: what a waveform is drawn from.
pub fn extremes(samples: &[i16], columns: usize) -> Vec<(i16, i16)> {
    let part = |n: usize| {
        let from = n * samples.len() / columns;
        let to = ((n + 1) * samples.len() / columns).max(from + 1).min(samples.len());
        let part = &samples[from.min(to)..to];
        let bounds = |(low, high): (i16, i16), &s: &i16| (low.min(s), high.max(s));
        part.iter().fold((0, 0), bounds)
    };
    if samples.is_empty() { Vec::new() } else { (0..columns).map(part).collect() }
}

/// Where nothing is to be heard for at least `least`.
pub fn silences(sound: &Sound, least: Duration) -> Vec<Range<Duration>> {
    let least = samples_in(sound.rate, least).max(1);
    let time = |n: usize| sound.rate.duration(n as u64);
    let mut found = Vec::new();
    let mut since = None;
    let ends = sound.samples.iter().map(|s| s.unsigned_abs() <= SILENT).chain([false]);
    for (n, silent) in ends.enumerate() {
        match (silent, since) {
            (true, None) => since = Some(n),
            (false, Some(start)) => {
                if n - start >= least {
                    found.push(time(start)..time(n));
                }
                since = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    found
}

/// When the first silence of at least `least` begins that is not over at `from`; `from` at the earliest.
pub fn silence_after(sound: &Sound, from: Duration, least: Duration) -> Option<Duration> {
    let lasts = |s: &Range<Duration>| s.end > from && s.end - s.start.max(from) >= least;
    silences(sound, least).into_iter().find(lasts).map(|s| s.start.max(from))
}

/// The pitch of a tone in Hz and how pure it is: the part of the energy (0 to 1) that is the tone's.
/// None when there are not ten periods of it.
pub fn tone(sound: &Sound) -> Option<(f64, f64)> {
    let samples: Vec<f64> = sound.samples.iter().map(|&s| f64::from(s)).collect();
    let rising: Vec<f64> = samples
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < 0.0 && pair[1] >= 0.0)
        .map(|(n, pair)| n as f64 + pair[0] / (pair[0] - pair[1]))
        .collect();
    let (first, last) = (rising.first()?, rising.last()?);
    if rising.len() < 11 {
        return None;
    }
    let hz = (rising.len() - 1) as f64 / (last - first) * f64::from(sound.rate.hz());
    let step = std::f64::consts::TAU * hz / f64::from(sound.rate.hz());
    let fold = |(re, im), (n, s): (usize, &f64)| {
        (re + s * (step * n as f64).cos(), im + s * (step * n as f64).sin())
    };
    let (re, im): (f64, f64) = samples.iter().enumerate().fold((0.0, 0.0), fold);
    let energy: f64 = samples.iter().map(|s| s * s).sum();
    Some((hz, (2.0 * (re * re + im * im) / samples.len() as f64 / energy).min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SampleRate;

    const RATE: SampleRate = SampleRate::Hz8000;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn loudness_is_measured_below_full_scale() {
        let tone = Sound::tone(RATE, 1000.0, 16_384, ms(100));
        assert!((dbfs(&tone.samples) + 9.03).abs() < 0.05);
        assert_eq!(dbfs(&[0; 80]), -100.0);
        assert_eq!(levels(&tone, ms(20)).len(), 5);
    }

    #[test]
    fn silence_is_found_between_tones_and_after_a_time() {
        let tone = Sound::tone(RATE, 400.0, 9000, ms(300));
        let sound = tone.clone().then(&Sound::silence(RATE, ms(200))).then(&tone);
        let found = silences(&sound, ms(100));
        assert_eq!(found.len(), 1);
        assert!(found[0].start.abs_diff(ms(300)) < ms(1) && found[0].end.abs_diff(ms(500)) < ms(1));
        assert_eq!(silence_after(&sound, ms(350), ms(100)), Some(ms(350)));
        assert_eq!(silence_after(&sound, ms(450), ms(100)), None);
    }

    #[test]
    fn a_tone_is_recognised_by_pitch_and_purity() {
        let (hz, purity) = tone(&Sound::tone(SampleRate::Hz16000, 1004.0, 8000, ms(500))).unwrap();
        assert!((hz - 1004.0).abs() < 0.2 && purity > 0.999, "{hz} {purity}");
        assert_eq!(tone(&Sound::silence(RATE, ms(500))), None);
    }

    #[test]
    fn drawing_takes_every_sample_into_account() {
        let mut samples = vec![0i16; 1000];
        samples[999] = 77;
        samples[0] = -5;
        let drawn = extremes(&samples, 7);
        assert_eq!((drawn.len(), drawn[0].0, drawn[6].1), (7, -5, 77));
        assert_eq!(extremes(&[1, 2], 5).len(), 5);
    }
}
