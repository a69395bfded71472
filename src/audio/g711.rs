//! ITU-T G.711: the two companding laws as tables made at compile time.
//!
//! Mu-law compands 14 bits, A-law 13; samples here are 16 bits wide, so their lowest two or three bits do
//! not count. Encoding finds the decision interval by its segment (the position of the highest bit).

/// Mu-law octet → sample (G.711 table 2).
pub static MU_TO_LINEAR: [i16; 256] = mu_to_linear();

/// A-law octet → sample (G.711 table 1).
pub static A_TO_LINEAR: [i16; 256] = a_to_linear();

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
