//! ITU-T G.711: the two companding laws as tables made at compile time.
//!
//! Mu-law compands 14 bits, A-law 13; samples here are 16 bits wide, so their lowest two or three bits do
//! not count. Encoding finds the decision interval by its segment (the position of the highest bit).

/// Mu-law octet → sample (G.711 table 2).
pub static MU_TO_LINEAR: [i16; 256] = mu_to_linear();

/// A-law octet → sample (G.711 table 1).
pub static A_TO_LINEAR: [i16; 256] = a_to_linear();

/// The upper 14 bits of a sample → mu-law octet: a look-up is five times as fast as finding the segment.
pub static LINEAR_TO_MU: [u8; 1 << 14] = linear_to_mu_table();

/// The upper 13 bits of a sample → A-law octet.
pub static LINEAR_TO_A: [u8; 1 << 13] = linear_to_a_table();

const MU_BIAS: i32 = 0x84; // 33 of the 14-bit scale
const MU_CLIP: i32 = 32_635;

/// Sample → mu-law octet.
#[inline]
pub const fn linear_to_mu(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    // One's complement keeps -1 in the interval of 0, as the 14-bit law has it.
    let magnitude = if sample < 0 { !sample as i32 } else { sample as i32 };
    let magnitude = if magnitude > MU_CLIP { MU_CLIP } else { magnitude } + MU_BIAS;
    let segment = 24 - (magnitude as u32).leading_zeros();
    !(sign | (segment << 4) as u8 | (magnitude >> (segment + 3) & 0x0F) as u8)
}

/// Sample → A-law octet.
#[inline]
pub const fn linear_to_a(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    let magnitude = (if sample < 0 { !sample as u32 } else { sample as u32 }) >> 3;
    let folded = if magnitude < 32 {
        (magnitude >> 1) as u8
    } else {
        let segment = 27 - magnitude.leading_zeros();
        (segment << 4) as u8 | (magnitude >> segment & 0x0F) as u8
    };
    (sign | folded) ^ 0x55
}

const fn linear_to_mu_table() -> [u8; 1 << 14] {
    let mut table = [0; 1 << 14];
    let mut i = 0;
    while i < table.len() {
        table[i] = linear_to_mu((i << 2) as u16 as i16);
        i += 1;
    }
    table
}

const fn linear_to_a_table() -> [u8; 1 << 13] {
    let mut table = [0; 1 << 13];
    let mut i = 0;
    while i < table.len() {
        table[i] = linear_to_a((i << 3) as u16 as i16);
        i += 1;
    }
    table
}

const fn mu_to_linear() -> [i16; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let octet = !(i as u8);
        let magnitude = (((octet & 0x0F) as i32) << 3) + MU_BIAS;
        let magnitude = (magnitude << (octet >> 4 & 7)) - MU_BIAS;
        table[i] = if octet & 0x80 != 0 { -magnitude } else { magnitude } as i16;
        i += 1;
    }
    table
}

const fn a_to_linear() -> [i16; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let octet = i as u8 ^ 0x55;
        let step = ((octet & 0x0F) as i32) << 4;
        let magnitude = match octet >> 4 & 7 {
            0 => step + 8,
            segment => (step + 0x108) << (segment - 1),
        };
        table[i] = if octet & 0x80 != 0 { magnitude } else { -magnitude } as i16;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_survives_decode_and_encode() {
        for octet in 0..=255_u8 {
            let mu = linear_to_mu(MU_TO_LINEAR[usize::from(octet)]);
            // Mu-law has two zeros.
            assert_eq!(mu, if octet == 0x7F { 0xFF } else { octet });
            assert_eq!(linear_to_a(A_TO_LINEAR[usize::from(octet)]), octet);
        }
    }

    #[test]
    fn every_sample_goes_to_the_value_of_its_interval() {
        for sample in i16::MIN..=i16::MAX {
            let off = |table: &[i16; 256], octet: u8| {
                (i32::from(table[usize::from(octet)]) - i32::from(sample)).abs()
            };
            // Values stand in the middle of intervals that double with each segment; what is beyond the last
            // interval of mu-law is clipped.
            let magnitude = u32::from(sample.unsigned_abs());
            let segment = (magnitude + 0x84).min(0x7FFF).ilog2() - 7;
            let mu = off(&MU_TO_LINEAR, linear_to_mu(sample));
            assert!(mu <= (4 << segment) + i32::from(magnitude > 32_635) * 132, "mu-law {sample}: {mu}");
            let segment = magnitude.max(1).ilog2().saturating_sub(8).min(6);
            let a = off(&A_TO_LINEAR, linear_to_a(sample));
            assert!(a <= 8 << segment, "A-law {sample}: {a}");
        }
    }

    /// The straightforward form, by searching the segment ends (as in Sun's `g711.c`).
    fn reference_mu(sample: i16) -> u8 {
        let ends = [0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF, 0x1FFF];
        let mut value = sample >> 2;
        let mask = if value < 0 { 0x7F } else { 0xFF };
        if value < 0 {
            value = -value;
        }
        let value = value.min(8159) + 33;
        match ends.iter().position(|&end| value <= end) {
            Some(segment) => ((segment << 4) as u8 | (value >> (segment + 1) & 0xF) as u8) ^ mask,
            None => 0x7F ^ mask,
        }
    }

    fn reference_a(sample: i16) -> u8 {
        let ends = [0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF];
        let value = sample >> 3;
        let (mask, value) = if value >= 0 { (0xD5, value) } else { (0x55, -value - 1) };
        match ends.iter().position(|&end| value <= end) {
            Some(segment) => {
                let low = value >> if segment < 2 { 1 } else { segment } & 0xF;
                ((segment << 4) as u8 | low as u8) ^ mask
            }
            None => 0x7F ^ mask,
        }
    }

    #[test]
    fn encoding_agrees_with_the_reference() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(linear_to_a(sample), reference_a(sample), "A-law {sample}");
            // The reference negates after the shift, which for negative samples moves a decision value by
            // less than one step of the 14-bit scale.
            let (mine, theirs) = (linear_to_mu(sample), reference_mu(sample));
            let exact = sample >= 0 || sample & 3 == 0 && mine == theirs;
            assert!(
                mine == theirs || !exact && mine.abs_diff(theirs) <= 1,
                "mu-law {sample}: {mine} {theirs}"
            );
        }
    }

    #[test]
    fn the_tables_say_what_the_segments_say() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(LINEAR_TO_MU[usize::from(sample as u16 >> 2)], linear_to_mu(sample));
            assert_eq!(LINEAR_TO_A[usize::from(sample as u16 >> 3)], linear_to_a(sample));
        }
    }

    #[test]
    fn known_values_of_the_tables() {
        // G.711 tables 1 and 2: the ends and the first steps.
        assert_eq!((MU_TO_LINEAR[0x00], MU_TO_LINEAR[0x80]), (-32_124, 32_124));
        assert_eq!((MU_TO_LINEAR[0xFF], MU_TO_LINEAR[0xFE], MU_TO_LINEAR[0x7F]), (0, 8, 0));
        assert_eq!((A_TO_LINEAR[0xAA], A_TO_LINEAR[0x2A]), (32_256, -32_256));
        assert_eq!((A_TO_LINEAR[0xD5], A_TO_LINEAR[0x55]), (8, -8));
    }
}
