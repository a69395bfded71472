//! The jitter buffer: packets in, one gapless line of samples out, forward on arrival (sip-trunk section
//! 11.7, reliability R-45, R-46, R-48, R-122).
//!
//! ```text
//!  push ─► number (source) ─► place in the line ─► store ─► pop: Audio │ Lost │ Silence
//!               │ SSRC, wrap,      │ jump, clock,               ▲
//!               │ twice, ancient   │ late, early      overdue: poll_timeout
//! ```
//!
//! One input (`push`, or the time of `poll_timeout` has come), then `pop` until it says nothing.
//!
//! What holds, at any input:
//!
//! 1. **Order.** The line is a count of samples that only grows; each item begins where the last one ended.
//!    Each packet that was taken is delivered once, at its place; what a Lost before it covered is cut off.
//! 2. **Forward.** A packet whose predecessors are delivered, given up, or without samples is delivered by
//!    the `pop` that follows its `push`.
//! 3. **Patience.** A place is given up when it is overdue, never before: when its last sample should have
//!    come by the fastest path of the last 9 s, and the bound has passed. The bound is the spread of arrival
//!    times over those seconds and 22 ms more (2 ms more than the next packet takes, so that both sides of a
//!    gap are known; 10 ms with short packets); at least 20 ms, at most `max`. (60 ms for the first 2 s.)
//! 4. **Real time.** When nothing comes the line goes on, behind the clock by the bound: the first 60 ms as
//!    Lost, then as Silence; after comfort noise, an event, and before the first packet as Silence at once.
//!    While a key is down, and at each copy of its end, the line goes on by the clock without the bound.
//!    It is never more than 160 ms ahead of the clock. So it is as long as the call, whatever arrives.
//! 5. **Clock.** When packets prove over seconds to run ahead of or behind our clock by over 20 ms, at most 20 ms are
//!    cut out or put in where the peer is silent, or at 40 ms where he speaks; once in 10 s (once a second beyond
//!    60 ms): 300 ppm are one in a minute, 200 ppm one in 100 s.
//! 6. **Beginning anew.** Time stamps are believed as far as the clock allows: a pause may be as long as the
//!    time that passed, and no stamp of a newer packet goes back. Otherwise the stamp begins anew, at the
//!    place where the clock stands. So does a new SSRC, and what is late for 100 ms without catching up.
//! 7. **Cost.** One owner, the core that reads the socket and ticks the call: so nothing is shared, and there is
//!    neither lock nor atomic in it. What crosses threads is the finished line, in `media::ring`. Under 6 KiB at
//!    a `max` of 200 ms, allocated at construction; each input is bounded by the window of 64 numbers (128
//!    when `max` is over 400 ms).

mod buffer;
#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test begins now
mod model;
mod placing;
mod press;
mod source;
mod spread;
mod store;

pub use buffer::JitterBuffer;

use crate::units::Ssrc;

/// What a packet is to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One octet a sample at 8000 Hz.
    Audio,
    /// Comfort noise: takes a sequence number, brings no samples; until the next audio packet the line is
    /// silent, and that is no loss.
    Quiet,
    /// A telephone event (RFC 4733): the same, but it stands for audio until it came, and until the next one.
    Event {
        /// The key was released.
        end: bool,
    },
}

/// A packet of the call's source, as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Who sent it.
    pub ssrc: Ssrc,
    /// Its wire sequence number.
    pub seq: u16,
    /// Its wire timestamp.
    pub timestamp: u32,
    /// What it is.
    pub kind: Kind,
    /// Its octets, at most 1600; looked at when audio.
    pub payload: &'a [u8],
    /// It is so soft that nobody hears what is left out or put in there (`JitterBuffer::runs_off` says when that is
    /// asked for; else false will do).
    pub faint: bool,
}

/// Why a packet does not enter the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// Its place has passed.
    Late,
    /// It came before.
    Duplicate,
    /// So far ahead of the line or of the clock that it has no place.
    Early,
    /// Over 1600 octets.
    TooLong,
    /// Of a source that another has replaced, or of numbers or a time that cannot be placed.
    Stray,
}

/// The next piece of the line.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// Octets that came, one a sample, at most 1600.
    Audio(&'a [u8]),
    /// Samples that did not come: to be concealed. 0 samples: audio was left out here to follow the clock;
    /// join what follows smoothly (`Concealer::lost` with an empty slice does so).
    Lost {
        /// How many, at most 1600.
        samples: usize,
    },
    /// Silence: the sender paused, or a loss went on for too long to conceal.
    Silence {
        /// How many, at most 1600.
        samples: usize,
    },
}

/// What the buffer counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came after their place was concealed.
    pub late: u64,
    /// Packets that came twice.
    pub duplicated: u64,
    /// Packets without a place: too early, too long, strays.
    pub misplaced: u64,
    /// Samples concealed or silent for want of packets.
    pub missing: u64,
    /// Times the source's numbers or time began anew.
    pub resyncs: u64,
    /// Times 20 ms or less were left out or put in to follow the clock.
    pub corrections: u64,
}
