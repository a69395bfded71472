//! G.711 mu-law, sample by sample.

pub fn ulaw_to_pcm(u: u8) -> i16 {
    let u = !u;
    let mut t = (((u & 0x0f) as i32) << 3) + 0x84;
    t <<= (u & 0x70) >> 4;
    (if u & 0x80 != 0 { 0x84 - t } else { t - 0x84 }) as i16
}

pub fn pcm_to_ulaw(s: i16) -> u8 {
    let mut v = s as i32;
    let mask = if v < 0 {
        v = -v;
        0x7fu8
    } else {
        0xffu8
    };
    v = v.min(32635) + 0x84;
    let seg = 31 - (v as u32).leading_zeros() as i32 - 7;
    let seg = seg.clamp(0, 7);
    (((seg << 4) | ((v >> (seg + 3)) & 0x0f)) as u8) ^ mask
}
