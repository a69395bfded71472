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

/// Level in dB relative to a full-scale square wave, -100 at the least.
pub fn dbfs(samples: &[i16]) -> f32 {
    (20.0 * (rms(samples) / 32_768.0).log10()).max(-100.0)
}

/// Nothing but zeros.
pub fn is_digital_silence(samples: &[i16]) -> bool {
    samples.iter().all(|&s| s == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_known_signals() {
        assert_eq!((rms(&[]), peak(&[])), (0.0, 0));
        assert_eq!(rms(&[3, -4, 3, -4]), 12.5_f32.sqrt());
        assert_eq!(peak(&[5, i16::MIN, 3]), 32_768);
        assert_eq!((dbfs(&[i16::MIN; 4]), dbfs(&[0; 4])), (0.0, -100.0));
        assert!((dbfs(&[3277, -3277]) + 20.0).abs() < 0.01);
    }

    #[test]
    fn one_sample_ends_digital_silence() {
        assert!(is_digital_silence(&[0; 160]) && !is_digital_silence(&[0, 0, 1]));
    }
}
