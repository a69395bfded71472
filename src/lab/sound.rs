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

/// Converts between any two rates with a windowed sinc: slow and exact, a second opinion on the
/// product's own resampler. No delay: sample 0 stays at time 0.
pub(super) fn resample(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    const ZEROS: f64 = 24.0;
    if from == to {
        return samples.to_vec();
    }
    let step = f64::from(from) / f64::from(to);
    let cutoff = 0.95 * (1.0 / step).min(1.0);
    let reach = ZEROS / cutoff;
    let length = (samples.len() as u64 * u64::from(to) / u64::from(from)) as usize;
    let at = |n: usize| {
        let centre = n as f64 * step;
        let first = (centre - reach).ceil().max(0.0) as usize;
        let last = ((centre + reach) as usize).min(samples.len().saturating_sub(1));
        let sum: f64 = (first..=last)
            .map(|k| f64::from(samples[k]) * cutoff * sinc((centre - k as f64) * cutoff, ZEROS))
            .sum();
        sum.round().clamp(-32768.0, 32767.0) as i16
    };
    (0..length).map(at).collect()
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
