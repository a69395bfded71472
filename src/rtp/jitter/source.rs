//! A source's own numbers and time, and how they stand to the line's.

use crate::units::{RtpTime, SeqNum, Ssrc};

/// Numbers behind the highest that can still be told apart.
pub(super) const MEMORY: u64 = 128;

/// Maps the wire's numbers of one source to those of the line, which go on over every change of source.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) ssrc: Ssrc,
    /// Highest sequence number that came.
    highest: SeqNum,
    /// Added (with wrap) to a sequence number gives the line's number.
    shift: u64,
    /// Timestamp that came with the highest audio.
    time: RtpTime,
    /// Added to a timestamp gives the place in the line.
    offset: i64,
    /// Before this number, timestamps stood to the line by another offset.
    before: (u64, i64),
    /// A bit for each number from the highest down: it came.
    seen: u128,
    /// Place of the first sample after the newest audio.
    pub(super) end: i64,
    /// The newest number brought no audio.
    pub(super) quiet: bool,
}

/// Where a number stands to those that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// Newer than all: so many are missing between.
    Newest { number: u64, missing: u64 },
    /// Between those that came.
    Older(u64),
    /// It came before.
    Again,
    /// Further back than can be remembered.
    Ancient,
}

impl Source {
    /// A source whose first packet has this number and place in the line.
    pub(super) fn begin(ssrc: Ssrc, seq: u16, timestamp: u32, number: u64, place: i64) -> Self {
        let (highest, time) = (SeqNum::first(seq), RtpTime::first(timestamp));
        let offset = place - time.0 as i64;
        Self {
            ssrc,
            highest,
            shift: number.wrapping_sub(highest.0),
            time,
            offset,
            before: (number, offset),
            seen: 1,
            end: place,
            quiet: false,
        }
    }

    /// The line's number of the highest that came.
    pub(super) fn newest(&self) -> u64 {
        self.highest.0.wrapping_add(self.shift)
    }

    /// Where a wire number stands.
    pub(super) fn number(&self, seq: u16) -> Number {
        let seq = self.highest.nearest(seq);
        let number = seq.0.wrapping_add(self.shift);
        if seq > self.highest {
            return Number::Newest { number, missing: seq.0 - self.highest.0 - 1 };
        }
        match self.highest.0 - seq.0 {
            behind if behind >= MEMORY => Number::Ancient,
            behind if self.seen >> behind & 1 == 1 => Number::Again,
            _ => Number::Older(number),
        }
    }

    /// Remembers that a number came.
    pub(super) fn came(&mut self, number: u64) {
        let newest = self.newest();
        if number > newest {
            let step = number - newest;
            self.seen = if step < MEMORY { self.seen << step | 1 } else { 1 };
            self.highest = SeqNum(self.highest.0 + step);
        } else if newest - number < MEMORY {
            self.seen |= 1 << (newest - number);
        }
    }

    /// Where a timestamp stands in the line.
    pub(super) fn place(&self, number: u64, timestamp: u32) -> i64 {
        let offset = if number < self.before.0 { self.before.1 } else { self.offset };
        self.time.nearest(timestamp).0 as i64 + offset
    }

    /// The newest audio came: from `number` on its timestamp stands at `place`, whatever it was before.
    pub(super) fn anchor(&mut self, number: u64, timestamp: u32, place: i64) {
        self.time = self.time.nearest(timestamp);
        let offset = place - self.time.0 as i64;
        if offset != self.offset {
            self.before = (number, self.offset);
            self.offset = offset;
        }
    }

    /// What follows the newest audio stands so much later in the line (earlier when negative).
    pub(super) fn slide(&mut self, by: i64) {
        self.before = (self.newest() + 1, self.offset);
        self.offset += by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_apart_over_the_wrap() {
        let mut source = Source::begin(Ssrc(1), 65_534, 0, 500, 0);
        assert_eq!(source.number(1), Number::Newest { number: 503, missing: 2 });
        source.came(503);
        assert_eq!(source.number(0), Number::Older(502));
        source.came(502);
        assert_eq!(source.number(0), Number::Again);
        assert_eq!(source.number(65_535), Number::Older(501));
        assert_eq!(source.number(65_000), Number::Ancient);
    }

    #[test]
    fn a_packet_from_before_a_jump_keeps_its_place() {
        let mut source = Source::begin(Ssrc(1), 10, 1000, 0, 0);
        source.came(2);
        source.anchor(2, 900_000, 320);
        assert_eq!(source.place(1, 1160), 160);
        assert_eq!(source.place(3, 900_160), 480);
    }

    #[test]
    fn a_timestamp_wraps_without_a_jump() {
        let mut source = Source::begin(Ssrc(1), 0, u32::MAX - 79, 0, 0);
        assert_eq!(source.place(1, 80), 160);
        source.anchor(1, 80, 160);
        assert_eq!(source.before.1, source.offset);
    }
}
