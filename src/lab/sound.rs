//! A recording in memory: samples and their rate, read from and written to WAV.

use std::io::{Cursor, Read};
use std::path::Path;
use std::time::Duration;

use crate::units::SampleRate;

/// Mono audio, 16-bit linear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sound {
    /// Samples a second.
    pub rate: SampleRate,
    /// The samples.
    pub samples: Vec<i16>,
}

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    /// The file cannot be opened or is no WAV.
    #[error("{name}: {source}")]
    Wav {
        /// Which file.
        name: String,
        /// What is wrong with it.
        source: hound::Error,
    },
    /// A kind of WAV we do not read.
    #[error("{name}: {bits} bits a sample; 16-bit PCM is wanted (sox {name} -b 16 out.wav)")]
    Bits {
        /// Which file.
        name: String,
        /// Bits a sample.
        bits: u16,
    },
}

impl Sound {
    /// Samples at a rate.
    pub fn new(rate: SampleRate, samples: Vec<i16>) -> Self {
        Self { rate, samples }
    }

    /// Nothing, for so long.
    pub fn silence(rate: SampleRate, long: Duration) -> Self {
        Self { rate, samples: vec![0; samples_in(rate, long)] }
    }

    /// A sine of `hz`, with its peak at `peak` of full scale 32767.
    pub fn tone(rate: SampleRate, hz: f64, peak: i16, long: Duration) -> Self {
        let step = std::f64::consts::TAU * hz / f64::from(rate.hz());
        let samples = (0..samples_in(rate, long)).map(|n| (f64::from(peak) * (step * n as f64).sin()) as i16);
        Self { rate, samples: samples.collect() }
    }

    /// Reads a 16-bit PCM WAV of any rate and number of channels: the first channel, at the nearest
    /// rate of ours that is not lower (24000 Hz at most).
    pub fn read(path: &Path) -> Result<Self, SoundError> {
        let name = path.display().to_string();
        let reader =
            hound::WavReader::open(path).map_err(|source| SoundError::Wav { name: name.clone(), source })?;
        Self::from_reader(reader, name)
    }

    /// Reads a WAV that is in memory; `name` is for the error.
    pub fn from_wav(bytes: &[u8], name: &str) -> Result<Self, SoundError> {
        let wrap = |source| SoundError::Wav { name: name.to_owned(), source };
        Self::from_reader(hound::WavReader::new(Cursor::new(bytes)).map_err(wrap)?, name.to_owned())
    }

    fn from_reader<R: Read>(mut reader: hound::WavReader<R>, name: String) -> Result<Self, SoundError> {
        let spec = reader.spec();
        if spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
            return Err(SoundError::Bits { name, bits: spec.bits_per_sample });
        }
        let channels = usize::from(spec.channels.max(1));
        let samples: Result<Vec<i16>, _> = reader.samples::<i16>().step_by(channels).collect();
        let samples = samples.map_err(|source| SoundError::Wav { name, source })?;
        let rate = match spec.sample_rate {
            0..=8000 => SampleRate::Hz8000,
            8001..=16000 => SampleRate::Hz16000,
            _ => SampleRate::Hz24000,
        };
        Ok(Self { rate, samples: resample(&samples, spec.sample_rate.max(1), rate.hz()) })
    }

    /// Writes a mono 16-bit WAV.
    pub fn write(&self, path: &Path) -> Result<(), hound::Error> {
        std::fs::write(path, self.to_wav()?).map_err(hound::Error::IoError)
    }

    /// The same as a WAV in memory.
    pub fn to_wav(&self) -> Result<Vec<u8>, hound::Error> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: self.rate.hz(),
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut bytes = Cursor::new(Vec::with_capacity(44 + 2 * self.samples.len()));
        let mut writer = hound::WavWriter::new(&mut bytes, spec)?;
        self.samples.iter().try_for_each(|&sample| writer.write_sample(sample))?;
        writer.finalize()?;
        Ok(bytes.into_inner())
    }

    /// How long it lasts.
    pub fn duration(&self) -> Duration {
        self.rate.duration(self.samples.len() as u64)
    }

    /// The same at another rate.
    pub fn at(&self, rate: SampleRate) -> Self {
        if self.samples.iter().all(|&sample| sample == 0) {
            return Self::silence(rate, self.duration()); // at once: who answers with it is not to be late
        }
        Self { rate, samples: resample(&self.samples, self.rate.hz(), rate.hz()) }
    }

    /// This, then `next` at this rate.
    pub fn then(mut self, next: &Self) -> Self {
        self.samples.extend(next.at(self.rate).samples);
        self
    }

    /// What is between two times, as far as there is something.
    pub fn part(&self, from: Duration, to: Duration) -> Self {
        let end = samples_in(self.rate, to).min(self.samples.len());
        let start = samples_in(self.rate, from).min(end);
        Self { rate: self.rate, samples: self.samples[start..end].to_vec() }
    }
}

/// Samples in so long a time, rounded down.
pub(super) fn samples_in(rate: SampleRate, long: Duration) -> usize {
    (long.as_nanos() * u128::from(rate.hz()) / 1_000_000_000) as usize
}

/// Converts between any two rates with a windowed sinc: a second opinion on the product's own
/// resampler, and for rates it does not know. No delay: sample 0 stays at time 0.
pub(super) fn resample(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    if from == to {
        return samples.to_vec();
    }
    let (from, to) = (u64::from(from), u64::from(to));
    let common = greatest_common_divisor(from, to);
    let kernels = kernels(from / common, to / common);
    let length = samples.len() as u64 * to / from;
    let at = |n: u64| {
        let kernel = &kernels[(n * from % to / common) as usize];
        let first = (n * from / to) as i64 - (kernel.len() / 2) as i64;
        let skipped = (-first).max(0) as usize;
        let there = samples.get((first + skipped as i64) as usize..).unwrap_or_default();
        let products = kernel.iter().skip(skipped).zip(there).map(|(k, &s)| k * f32::from(s));
        products.sum::<f32>().round().clamp(-32768.0, 32767.0) as i16
    };
    (0..length).map(at).collect()
}

/// One kernel for each place a sample of the new rate may have between two of the old.
fn kernels(from: u64, to: u64) -> Vec<Vec<f32>> {
    const ZEROS: f64 = 24.0;
    let cutoff = 0.95 * (to as f64 / from as f64).min(1.0);
    let reach = (ZEROS / cutoff) as i64 + 1;
    let weight = |distance: f64| match distance.abs() * cutoff {
        x if x < ZEROS => (cutoff * sinc(x, ZEROS)) as f32,
        _ => 0.0,
    };
    let kernel = |place: u64| {
        let place = place as f64 / to as f64;
        (-reach..=reach).map(|k| weight(place - k as f64)).collect()
    };
    (0..to).map(kernel).collect()
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// sin(πx)/πx under a Hann window that ends at `zeros`.
fn sinc(x: f64, zeros: f64) -> f64 {
    if x.abs() < 1e-9 {
        return 1.0;
    }
    let angle = std::f64::consts::PI * x;
    angle.sin() / angle * (0.5 + 0.5 * (angle / zeros).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wav_comes_back_as_it_was_written() {
        let sound = Sound::tone(SampleRate::Hz16000, 440.0, 9000, Duration::from_millis(100));
        assert_eq!(Sound::from_wav(&sound.to_wav().unwrap(), "tone").unwrap(), sound);
    }

    #[test]
    fn what_is_no_wav_is_refused_by_name() {
        let error = Sound::from_wav(b"RIFF....", "broken.wav").unwrap_err();
        assert!(error.to_string().starts_with("broken.wav: "), "{error}");
    }

    #[test]
    fn a_tone_keeps_its_shape_at_another_rate() {
        let long = Duration::from_millis(200);
        let up = Sound::tone(SampleRate::Hz8000, 1000.0, 10_000, long).at(SampleRate::Hz24000);
        let wanted = Sound::tone(SampleRate::Hz24000, 1000.0, 10_000, long);
        assert_eq!(up.samples.len(), wanted.samples.len());
        let inner = 1000..up.samples.len() - 1000;
        let worst = inner.map(|n| (i32::from(up.samples[n]) - i32::from(wanted.samples[n])).abs()).max();
        assert!(worst < Some(60), "{worst:?} of 10000");
    }

    #[test]
    fn a_part_beyond_the_end_is_empty() {
        let sound = Sound::silence(SampleRate::Hz8000, Duration::from_secs(1));
        assert_eq!(sound.part(Duration::from_millis(900), Duration::from_secs(9)).samples.len(), 800);
        assert!(sound.part(Duration::from_secs(2), Duration::from_secs(1)).samples.is_empty());
    }
}
