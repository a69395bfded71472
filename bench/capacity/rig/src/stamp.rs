//! The stamp by which one-way delay is measured.
//!
//! Each 20 ms frame is digital silence but for 36 samples: a sync of 4 (full scale - + - +) and 32 bits of a
//! microsecond clock as +-15996, most significant first. They survive mu-law <-> PCM16 bit for bit and a re-framing
//! at any sample offset; they do not survive resampling.

pub const STAMP_LEN: usize = 36;

pub fn stamp_pcm(frame: &mut [i16], v: u32) {
    for s in frame.iter_mut() {
        *s = 0;
    }
    let sync = [-32124i16, 32124, -32124, 32124];
    frame[..4].copy_from_slice(&sync);
    for i in 0..32 {
        frame[4 + i] = if v >> (31 - i) & 1 == 1 { 15996 } else { -15996 };
    }
}

pub fn stamp_ulaw(frame: &mut [u8], v: u32) {
    for s in frame.iter_mut() {
        *s = 0xff;
    }
    frame[..4].copy_from_slice(&[0x00, 0x80, 0x00, 0x80]);
    for i in 0..32 {
        frame[4 + i] = if v >> (31 - i) & 1 == 1 { 0x90 } else { 0x10 };
    }
}

#[derive(Clone, Default)]
pub struct Scanner {
    st: usize,
    val: u32,
}

impl Scanner {
    /// feed samples; `f` is called with each whole stamp and its start offset in samples
    /// relative to the end of this chunk (how long ago in the chunk it began)
    pub fn feed<I: ExactSizeIterator<Item = i16>>(&mut self, it: I, mut f: impl FnMut(u32, usize)) {
        let n = it.len();
        for (i, s) in it.enumerate() {
            if self.st == 0 {
                if s < -30000 {
                    self.st = 1;
                }
                continue;
            }
            if self.st < 4 {
                let ok = if self.st % 2 == 1 { s > 30000 } else { s < -30000 };
                self.st = if ok {
                    self.st + 1
                } else if s < -30000 {
                    1
                } else {
                    0
                };
                self.val = 0;
                continue;
            }
            if !(8000..30000).contains(&(s as i32).abs()) {
                self.st = 0;
                continue;
            }
            self.val = self.val << 1 | (s > 0) as u32;
            self.st += 1;
            if self.st == STAMP_LEN {
                self.st = 0;
                f(self.val, n - i - 1);
            }
        }
    }
}

/// How many frames of 20 ms are missing between two stamps that came one after the other.
pub fn missing(before: u32, stamp: u32) -> u64 {
    let steps = (stamp.wrapping_sub(before).wrapping_add(10_000)) / 20_000;
    u64::from(steps.saturating_sub(1).min(1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::g711::ulaw_to_pcm;

    #[test]
    fn a_stamp_survives_the_law_and_any_cut() {
        let mut frame = [0; 160];
        stamp_ulaw(&mut frame, 0xdead_beef);
        let samples: Vec<i16> = frame.iter().map(|&octet| ulaw_to_pcm(octet)).collect();
        let mut pcm = [0; 160];
        stamp_pcm(&mut pcm, 0xdead_beef);
        assert_eq!(samples, pcm);
        let (mut scanner, mut found) = (Scanner::default(), Vec::new());
        for part in samples.chunks(7) {
            scanner.feed(part.iter().copied(), |stamp, _| found.push(stamp));
        }
        assert_eq!(found, [0xdead_beef]);
    }

    #[test]
    fn frames_that_are_missing_are_counted_over_the_wrap() {
        assert_eq!(missing(1_000, 21_300), 0);
        assert_eq!(missing(1_000, 61_000), 2);
        assert_eq!(missing(u32::MAX - 10_000, 30_000), 1);
    }
}
