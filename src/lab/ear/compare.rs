//! Finds what was said in what was heard, by normalised cross-correlation: first on a coarse scale over
//! every delay, then sample by sample around the best, then piece by piece to find where it breaks.

use std::ops::Range;
use std::time::Duration;

use super::level::{dbfs, silences};
use crate::lab::sound::{Sound, samples_in};
use crate::units::SampleRate;

/// A piece is so long.
const PIECE: Duration = Duration::from_millis(200);
/// How far a piece may have moved and still be found.
const MOVED: Duration = Duration::from_millis(60);
/// Quieter than this, a piece says nothing about the line.
const AUDIBLE_DBFS: f64 = -40.0;
/// Rate of the coarse search.
const COARSE_HZ: u32 = 2000;

/// How what was heard stands to what was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Where in the heard the said begins, in seconds; negative when its beginning was not heard.
    pub delay: f64,
    /// 1 is the same up to loudness, 0 has nothing to do with it; over the whole of what was said.
    pub correlation: f64,
    /// Each audible piece of 200 ms of what was said.
    pub segments: Vec<Segment>,
}

/// One audible piece of what was said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Where it begins in what was said.
    pub at: Duration,
    /// Best correlation near its place.
    pub correlation: f64,
    /// How far from its place it was heard, in milliseconds: steps show inserted or skipped audio.
    pub moved_ms: f64,
}

impl Judgement {
    /// The piece that came through worst.
    pub fn worst(&self) -> Option<Segment> {
        self.segments.iter().copied().min_by(|a, b| a.correlation.total_cmp(&b.correlation))
    }

    /// The furthest a piece that is still recognisable (0.8) has moved, in milliseconds.
    pub fn moved_ms(&self) -> f64 {
        let known = self.segments.iter().filter(|s| s.correlation > 0.8);
        known.map(|s| s.moved_ms.abs()).fold(0.0, f64::max)
    }
}

/// Finds `said` in `heard`, at the rate of `heard`. None when one of them is silent or empty.
pub fn compare(heard: &Sound, said: &Sound) -> Option<Judgement> {
    let said = said.at(heard.rate);
    let factor = (heard.rate.hz() / COARSE_HZ) as usize;
    let (coarse_heard, coarse_said) = (coarse(&heard.samples, factor), coarse(&said.samples, factor));
    let (fine_heard, fine_said) = (Track::new(floats(&heard.samples)), Track::new(floats(&said.samples)));
    let rough = best_lags(&Track::new(coarse_heard), &Track::new(coarse_said), 3);
    let near = |lag: isize| (lag - 2) * factor as isize..=(lag + 2) * factor as isize;
    let (correlation, lag) = rough
        .into_iter()
        .flat_map(near)
        .map(|lag| (correlate(&fine_heard, &fine_said, lag, 0..fine_said.len()), lag))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    if correlation <= 0.0 {
        return None;
    }
    let segments = pieces(&fine_heard, &fine_said, &said, lag);
    Some(Judgement { delay: lag as f64 / f64::from(heard.rate.hz()), correlation, segments })
}

/// Silences of at least `least` in `heard` where `said` (which begins there `delay` seconds in) is audible;
/// in the time of `heard`.
pub fn gaps(heard: &Sound, said: &Sound, delay: f64, least: Duration) -> Vec<Range<Duration>> {
    let said = said.at(heard.rate);
    let audible = |gap: &Range<Duration>| {
        let from = gap.start.as_secs_f64() - delay;
        let to = gap.end.as_secs_f64() - delay;
        if to <= 0.0 {
            return false;
        }
        let part = said.part(Duration::from_secs_f64(from.max(0.0)), Duration::from_secs_f64(to));
        !part.samples.is_empty() && dbfs(&part.samples) > AUDIBLE_DBFS
    };
    silences(heard, least).into_iter().filter(audible).collect()
}

/// Samples with their running energy, so that the energy of any part is a difference.
struct Track {
    samples: Vec<f32>,
    energy: Vec<f64>,
}

impl Track {
    fn new(samples: Vec<f32>) -> Self {
        let mut sum = 0.0;
        let mut energy = Vec::with_capacity(samples.len() + 1);
        energy.push(0.0);
        energy.extend(samples.iter().map(|&s| {
            sum += f64::from(s) * f64::from(s);
            sum
        }));
        Self { samples, energy }
    }

    fn len(&self) -> usize {
        self.samples.len()
    }

    fn energy(&self, part: &Range<usize>) -> f64 {
        self.energy[part.end] - self.energy[part.start]
    }
}

fn floats(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|&s| f32::from(s)).collect()
}

/// Every `factor` samples as their mean.
fn coarse(samples: &[i16], factor: usize) -> Vec<f32> {
    let mean = |part: &[i16]| part.iter().map(|&s| f32::from(s)).sum::<f32>() / factor as f32;
    samples.chunks_exact(factor).map(mean).collect()
}

/// Normalised correlation of `part` of the said with the heard `lag` samples later; what lies outside
/// the heard counts as silence, so half a match is half a correlation.
fn correlate(heard: &Track, said: &Track, lag: isize, part: Range<usize>) -> f64 {
    let start = (part.start as isize + lag).clamp(0, heard.len() as isize);
    let end = (part.end as isize + lag).clamp(start, heard.len() as isize);
    let there = start as usize..end as usize;
    let here = (start - lag) as usize..(end - lag) as usize;
    let energy = said.energy(&part) * heard.energy(&there);
    if there.is_empty() || energy <= f64::from(f32::EPSILON) {
        return 0.0;
    }
    dot(&heard.samples[there], &said.samples[here]) / energy.sqrt()
}

/// Eight sums side by side, so that the compiler may use vectors.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0f32; 8];
    let mut total = 0f64;
    for (a, b) in a.chunks(1024).zip(b.chunks(1024)) {
        for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
            for lane in 0..8 {
                sums[lane] += a[lane] * b[lane];
            }
        }
        let rest = a.len() - a.len() % 8;
        total += a[rest..].iter().zip(&b[rest..]).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        total += sums.iter().map(|&s| f64::from(s)).sum::<f64>();
        sums = [0.0; 8];
    }
    total
}

/// The `count` best delays, best first, each at least 10 coarse steps (5 ms) from the others.
fn best_lags(heard: &Track, said: &Track, count: usize) -> Vec<isize> {
    let half = (said.len() / 2) as isize;
    let mut scored: Vec<(f64, isize)> = (-half..=heard.len() as isize - half)
        .map(|lag| (correlate(heard, said, lag, 0..said.len()), lag))
        .filter(|(score, _)| *score > 0.0)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut best: Vec<isize> = Vec::with_capacity(count);
    for (_, lag) in scored {
        if best.len() == count {
            break;
        }
        if best.iter().all(|other| (other - lag).abs() >= 10) {
            best.push(lag);
        }
    }
    best
}

fn pieces(heard: &Track, said: &Track, sound: &Sound, lag: isize) -> Vec<Segment> {
    let rate: SampleRate = sound.rate;
    let (size, reach) = (samples_in(rate, PIECE), samples_in(rate, MOVED) as isize);
    let per_ms = f64::from(rate.hz()) / 1000.0;
    let mut segments = Vec::new();
    for start in (0..said.len().saturating_sub(size)).step_by(size) {
        let part = start..start + size;
        if dbfs(&sound.samples[part.clone()]) < AUDIBLE_DBFS {
            continue;
        }
        let tried = (-reach..=reach).map(|by| (correlate(heard, said, lag + by, part.clone()), by));
        // Of equals the nearest: a tone fits at every period.
        let rank = |score: f64, by: isize| score - by.abs() as f64 * 1e-6;
        let best = tried.max_by(|a, b| rank(a.0, a.1).total_cmp(&rank(b.0, b.1)));
        let (correlation, by) = best.unwrap_or((0.0, 0));
        segments.push(Segment { at: rate.duration(start as u64), correlation, moved_ms: by as f64 / per_ms });
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Entropy;
    use crate::lab::speech::Speech;

    const RATE: SampleRate = SampleRate::Hz8000;

    /// Speech `delay` samples late, at a quarter of its loudness, in noise of `noise` peak.
    fn heard(delay: usize, noise: u32) -> (Sound, Sound) {
        let said = Speech::Caller.sound();
        let mut chance = Entropy::seeded(7);
        let mut samples = vec![0i16; delay];
        samples.extend(said.samples.iter().map(|s| s / 4));
        samples.extend(vec![0; 4000]);
        for sample in &mut samples {
            *sample += chance.below(2 * noise + 1) as i16 - noise as i16;
        }
        (Sound::new(RATE, samples), said)
    }

    #[test]
    fn a_known_delay_is_found_to_the_sample() {
        for delay in [0, 1, 777, 12_345] {
            let (heard, said) = heard(delay, 0);
            let judged = compare(&heard, &said).unwrap();
            assert_eq!((judged.delay * 8000.0).round() as usize, delay);
            assert!(judged.correlation > 0.999, "{}", judged.correlation);
            assert!(judged.moved_ms() < 0.2);
        }
    }

    #[test]
    fn noise_lowers_the_correlation_but_not_the_aim() {
        let (heard, said) = heard(5000, 500);
        let judged = compare(&heard, &said).unwrap();
        assert_eq!((judged.delay * 8000.0).round(), 5000.0);
        assert!((0.8..0.99).contains(&judged.correlation), "{}", judged.correlation);
    }

    #[test]
    fn other_speech_is_not_taken_for_it() {
        let other = compare(&Speech::Story.sound(), &Speech::Caller.sound()).unwrap();
        assert!(other.correlation < 0.4, "{}", other.correlation);
        assert_eq!(compare(&Sound::silence(RATE, Duration::from_secs(3)), &Speech::Caller.sound()), None);
    }

    #[test]
    fn a_hole_is_found_where_it_is() {
        let (whole, said) = heard(800, 0);
        let mut holed = whole.clone();
        holed.samples[800 + 16_000..800 + 16_480].fill(0);
        let found = gaps(&holed, &said, 0.1, Duration::from_millis(20));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].start <= Duration::from_millis(2100) && found[0].end >= Duration::from_millis(2160));
        assert_eq!(gaps(&whole, &said, 0.1, Duration::from_millis(20)), []);
    }

    #[test]
    fn audio_that_was_pushed_in_shows_as_a_step() {
        let (mut heard, said) = heard(800, 0);
        let late = heard.samples.split_off(800 + 16_000);
        heard.samples.extend([0; 160]);
        heard.samples.extend(late);
        let judged = compare(&heard, &said).unwrap();
        assert!((judged.moved_ms() - 20.0).abs() < 0.5, "{}", judged.moved_ms());
    }

    #[test]
    fn speech_is_found_at_another_rate() {
        let said = Speech::Greeting.sound();
        let heard = Sound::silence(SampleRate::Hz16000, Duration::from_millis(250)).then(&said);
        let judged = compare(&heard, &said).unwrap();
        assert!((judged.delay - 0.25).abs() < 0.0002 && judged.correlation > 0.999);
    }
}
