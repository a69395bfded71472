//! The quantities everything else is said in. A unit is a type: what is on the wire is widened at
//! the door and never wraps inside.

use std::fmt;
use std::time::Duration;

/// Rates a graph or a voice bot may run at; a rate we cannot resample to has no name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleRate {
    /// Telephone rate: G.711 as it comes.
    #[default]
    Hz8000,
    /// Wide band.
    Hz16000,
    /// What most speech engines speak.
    Hz24000,
}

impl SampleRate {
    /// Every rate there is.
    pub const ALL: [Self; 3] = [Self::Hz8000, Self::Hz16000, Self::Hz24000];

    /// The rate of so many samples a second, if it is one of ours.
    pub const fn from_hz(hz: u32) -> Option<Self> {
        match hz {
            8000 => Some(Self::Hz8000),
            16000 => Some(Self::Hz16000),
            24000 => Some(Self::Hz24000),
            _ => None,
        }
    }

    /// Samples a second.
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8000,
            Self::Hz16000 => 16000,
            Self::Hz24000 => 24000,
        }
    }

    /// Samples in so many milliseconds.
    pub const fn samples(self, ms: u32) -> usize {
        (self.hz() / 1000 * ms) as usize
    }

    /// How long so many samples last.
    pub const fn duration(self, samples: u64) -> Duration {
        // 8, 16 and 24 samples a millisecond: 125000, 62500 and 41666.6 ns a sample.
        Duration::from_nanos((samples as u128 * 1_000_000_000 / self.hz() as u128) as u64)
    }

    /// How many telephone samples (8000 Hz) one sample of this rate's clock is made of, inverted: 1, 2, 3.
    pub const fn times_8k(self) -> usize {
        (self.hz() / 8000) as usize
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.hz())
    }
}

/// RTP sequence number, extended past its 16-bit wire form so it never wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqNum(pub u64);

impl SeqNum {
    /// The first number of a stream, one turn of the counter above zero so that a packet sent
    /// before it still has a number.
    pub const fn first(wire: u16) -> Self {
        Self(0x1_0000 + wire as u64)
    }

    /// The number nearest to `self` whose low 16 bits are `wire` (RFC 3711 §3.3.1).
    pub const fn nearest(self, wire: u16) -> Self {
        let step = wire.wrapping_sub(self.0 as u16) as i16;
        Self(self.0.saturating_add_signed(step as i64))
    }

    /// What stands on the wire.
    pub const fn wire(self) -> u16 {
        self.0 as u16
    }

    /// The number after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// How far this number is behind `other`: 0 when it is not.
    pub const fn after(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

/// RTP timestamp in samples of the codec's clock, extended past its 32-bit wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RtpTime(pub u64);

impl RtpTime {
    /// The first time of a stream, one turn of the counter above zero.
    pub const fn first(wire: u32) -> Self {
        Self(0x1_0000_0000 + wire as u64)
    }

    /// The time nearest to `self` whose low 32 bits are `wire`.
    pub const fn nearest(self, wire: u32) -> Self {
        let step = wire.wrapping_sub(self.0 as u32) as i32;
        Self(self.0.saturating_add_signed(step as i64))
    }

    /// What stands on the wire.
    pub const fn wire(self) -> u32 {
        self.0 as u32
    }
}

/// RTP synchronisation source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ssrc(pub u32);

/// How loud a link is, in 1/256: 256 is as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gain(pub u16);

impl Gain {
    /// As it came.
    pub const UNITY: Self = Self(256);
}

/// One telephone key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digit(u8);

impl Digit {
    const KEYS: &'static [u8; 16] = b"0123456789*#ABCD";

    /// The key of an RFC 4733 event code; flash (16) and above are no key.
    pub fn from_event(code: u8) -> Option<Self> {
        Self::KEYS.get(usize::from(code)).map(|_| Self(code))
    }

    /// The key printed so; letters in either case.
    pub fn from_char(c: char) -> Option<Self> {
        let c = u8::try_from(c).ok()?.to_ascii_uppercase();
        Self::KEYS.iter().position(|&key| key == c).map(|code| Self(code as u8))
    }

    /// RFC 4733 event code, 0..=15.
    pub const fn event(self) -> u8 {
        self.0
    }

    /// `0-9 * # A-D`.
    pub fn as_char(self) -> char {
        char::from(Self::KEYS[usize::from(self.0 & 15)])
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_number_goes_on_over_the_wrap() {
        let last = SeqNum::first(65_535);
        assert_eq!(last.nearest(0), last.next());
        assert_eq!(last.next().nearest(65_535), last);
        assert_eq!(SeqNum::first(0).nearest(65_535).after(SeqNum::first(0)), 0);
    }

    #[test]
    fn a_timestamp_goes_on_over_the_wrap() {
        let last = RtpTime::first(u32::MAX);
        assert_eq!(last.nearest(159).0 - last.0, 160);
    }

    #[test]
    fn keys_are_the_sixteen_of_rfc_4733() {
        assert_eq!(Digit::from_event(10).map(Digit::as_char), Some('*'));
        assert_eq!(Digit::from_char('d').map(Digit::event), Some(15));
        assert_eq!(Digit::from_event(16), None);
        assert_eq!(Digit::from_char('x'), None);
    }

    #[test]
    fn rates_say_how_long_samples_last() {
        assert_eq!(SampleRate::Hz24000.samples(20), 480);
        assert_eq!(SampleRate::Hz8000.duration(8000), Duration::from_secs(1));
    }
}
