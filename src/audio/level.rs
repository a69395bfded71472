//! How loud samples are.

/// Root mean square, 0..=32768; 0 of nothing.
pub fn rms(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    let energy: u64 = samples.iter().map(|&s| u64::from(s.unsigned_abs()).pow(2)).sum();
    (energy as f64 / samples.len() as f64).sqrt() as f32
}

/// The largest magnitude, 0..=32768.
pub fn peak(samples: &[i16]) -> u16 {
    samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0)
}

/// Level in dB relative to a full-scale square wave; -96 and below is `f32::NEG_INFINITY`-free: never under -100.
pub fn dbfs(samples: &[i16]) -> f32 {
    (20.0 * (rms(samples) / 32_768.0).log10()).max(-100.0)
}

/// Nothing but zeros.
pub fn is_digital_silence(samples: &[i16]) -> bool {
    samples.iter().all(|&s| s == 0)
}
