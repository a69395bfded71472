//! WAV files as mono audio at a rate of ours (over `hound`).

use std::io::{Read, Seek, Write};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use super::Resampler;
use crate::units::SampleRate;

/// Why a WAV file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// Not a WAV file, cut off, or not written.
    #[error("not a usable WAV file: {0}")]
    Format(#[from] hound::Error),
    /// A rate from which we cannot convert.
    #[error("WAV of {0} Hz; 8000, 16000 and 24000 can be used")]
    Rate(u32),
    /// Neither integer samples of 8 to 32 bits nor 32-bit floats, or more than 2 channels.
    #[error("WAV with {channels} channels of {bits} bits cannot be used")]
    Layout {
        /// Channels.
        channels: u16,
        /// Bits a sample.
        bits: u16,
    },
    /// Longer than the caller allows.
    #[error("WAV of more than {limit} samples")]
    TooLong {
        /// Samples at the wanted rate.
        limit: usize,
    },
}

/// Reads a whole file as mono samples at `rate`; two channels are averaged. At most `limit` samples.
///
/// # Errors
/// When the file is no WAV file we can use, or longer than `limit`.
pub fn read(from: impl Read, rate: SampleRate, limit: usize) -> Result<Vec<i16>, WavError> {
    let reader = WavReader::new(from)?;
    let spec = reader.spec();
    let own = SampleRate::from_hz(spec.sample_rate).ok_or(WavError::Rate(spec.sample_rate))?;
    let (channels, bits) = (spec.channels, spec.bits_per_sample);
    if !(1..=2).contains(&channels) || !(8..=32).contains(&bits) {
        return Err(WavError::Layout { channels, bits });
    }
    // A sample more than allowed is enough to know; what the header claims is never believed.
    let most = limit.saturating_mul(own.times_8k()).div_ceil(rate.times_8k()).saturating_add(1);
    let mono = match spec.sample_format {
        SampleFormat::Int => {
            let to_16 = move |v: i32| if bits >= 16 { v >> (bits - 16) } else { v << (16 - bits) };
            mix(reader.into_samples::<i32>().map(|s| s.map(to_16)), channels, most)?
        }
        SampleFormat::Float => {
            let to_16 = |v: f32| (v * 32_767.0).round() as i32;
            mix(reader.into_samples::<f32>().map(|s| s.map(to_16)), channels, most)?
        }
    };
    let samples = convert(mono, own, rate);
    if samples.len() > limit { Err(WavError::TooLong { limit }) } else { Ok(samples) }
}

/// Writes mono samples as a 16-bit WAV file.
///
/// # Errors
/// When writing fails.
pub fn write(to: impl Write + Seek, rate: SampleRate, samples: &[i16]) -> Result<(), WavError> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: rate.hz(),
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::new(to, spec)?;
    for &sample in samples {
        writer.write_sample(sample)?;
    }
    Ok(writer.finalize()?)
}

fn mix(
    mut samples: impl Iterator<Item = Result<i32, hound::Error>>,
    channels: u16,
    most: usize,
) -> Result<Vec<i16>, WavError> {
    let mut mono = Vec::new();
    while mono.len() < most {
        let Some(first) = samples.next().transpose()? else { break };
        let first = i64::from(first);
        let sum =
            if channels == 2 { first + i64::from(samples.next().transpose()?.unwrap_or(0)) } else { first };
        mono.push((sum / i64::from(channels)).clamp(i16::MIN.into(), i16::MAX.into()) as i16);
    }
    Ok(mono)
}

/// All at once: the converter's delay is cut off in front and fed with silence behind.
fn convert(mut mono: Vec<i16>, from: SampleRate, to: SampleRate) -> Vec<i16> {
    if from == to {
        return mono;
    }
    let mut resampler = Resampler::new(from, to);
    let wanted = resampler.max_output(mono.len());
    mono.resize(mono.len() + from.samples(2) + 1, 0);
    let mut out = vec![0; resampler.max_output(mono.len())];
    let written = resampler.process(&mono, &mut out);
    out.truncate(written);
    out.drain(..resampler.delay().min(written));
    out.truncate(wanted);
    out
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::audio::tone::Tone;

    fn file(spec: WavSpec, fill: impl FnOnce(&mut WavWriter<&mut Cursor<Vec<u8>>>)) -> Cursor<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
        fill(&mut writer);
        writer.finalize().unwrap();
        bytes.set_position(0);
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        let samples: Vec<i16> = (0..1000).map(|i| (i * 37 % 4001) as i16 - 2000).collect();
        let mut bytes = Cursor::new(Vec::new());
        write(&mut bytes, SampleRate::Hz16000, &samples).unwrap();
        bytes.set_position(0);
        assert_eq!(read(bytes, SampleRate::Hz16000, 1000).unwrap(), samples);
    }

    #[test]
    fn another_rate_is_converted_in_place_and_length() {
        for (from, to) in
            [(SampleRate::Hz24000, SampleRate::Hz8000), (SampleRate::Hz8000, SampleRate::Hz16000)]
        {
            let (mut own, mut wanted) = (vec![0; from.samples(500)], vec![0; to.samples(500)]);
            Tone::sine(from, 500.0, 8000).fill(&mut own);
            Tone::sine(to, 500.0, 8000).fill(&mut wanted);
            let mut bytes = Cursor::new(Vec::new());
            write(&mut bytes, from, &own).unwrap();
            bytes.set_position(0);
            let got = read(bytes, to, 100_000).unwrap();
            assert_eq!(got.len(), wanted.len());
            let edge = to.samples(3);
            let inner = edge..got.len() - edge;
            assert!(got[inner.clone()].iter().zip(&wanted[inner]).all(|(a, b)| (a - b).abs() < 30));
        }
    }

    #[test]
    fn layouts_become_mono_of_16_bits() {
        let spec = |channels, bits, format| WavSpec {
            channels,
            sample_rate: 8000,
            bits_per_sample: bits,
            sample_format: format,
        };
        let stereo = file(spec(2, 24, SampleFormat::Int), |w| {
            for value in [100 << 8, 300 << 8, -(1 << 23), -(1 << 23)] {
                w.write_sample(value).unwrap();
            }
        });
        assert_eq!(read(stereo, SampleRate::Hz8000, 9).unwrap(), [200, -32_768]);
        let float = file(spec(1, 32, SampleFormat::Float), |w| {
            for value in [0.5_f32, -1.0, 7.0, f32::NAN] {
                w.write_sample(value).unwrap();
            }
        });
        assert_eq!(read(float, SampleRate::Hz8000, 9).unwrap(), [16_384, -32_767, 32_767, 0]);
        let narrow = file(spec(1, 8, SampleFormat::Int), |w| w.write_sample(-128_i32).unwrap());
        assert_eq!(read(narrow, SampleRate::Hz8000, 9).unwrap(), [-32_768]);
    }

    #[test]
    fn limits_and_strange_files_are_refused_with_their_reason() {
        let mut bytes = Cursor::new(Vec::new());
        write(&mut bytes, SampleRate::Hz8000, &[1; 11]).unwrap();
        assert!(matches!(
            read(&bytes.get_ref()[..], SampleRate::Hz8000, 10),
            Err(WavError::TooLong { limit: 10 })
        ));
        assert!(matches!(read(&bytes.get_ref()[..60], SampleRate::Hz8000, 99), Err(WavError::Format(_))));
        assert!(matches!(read(&b"RIFFxxxx"[..], SampleRate::Hz8000, 10), Err(WavError::Format(_))));
        let odd = WavSpec {
            channels: 1,
            sample_rate: 44_100,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        assert!(matches!(read(file(odd, |_| ()), SampleRate::Hz8000, 10), Err(WavError::Rate(44_100))));
        let many = WavSpec { channels: 6, sample_rate: 8000, ..odd };
        assert!(matches!(
            read(file(many, |_| ()), SampleRate::Hz8000, 10),
            Err(WavError::Layout { channels: 6, .. })
        ));
    }
}
