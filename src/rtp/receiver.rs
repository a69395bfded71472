//! What is known of the peer's packets (RFC 3550 §6.4.1, A.1, A.3, A.8).

use std::time::{Duration, Instant};

use crate::units::Ssrc;

/// Statistics over all sources of a call, without probation: the latch has judged the source.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    totals: Totals,
}

/// Sums over the whole call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Packets taken, duplicates included.
    pub packets: u64,
    /// Their octets of payload.
    pub octets: u64,
    /// Never came.
    pub lost: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Came twice.
    pub duplicated: u64,
    /// Longest time between two packets.
    pub longest_gap: Duration,
    /// Interarrival jitter in samples of 8000 Hz, of the present source.
    pub jitter: f64,
}

/// A reception report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whom it is about.
    pub ssrc: Ssrc,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost altogether, 24 bits signed.
    pub cumulative_lost: i32,
    /// Highest number received, extended by its cycles.
    pub highest_seq: u32,
    /// Interarrival jitter in samples.
    pub jitter: u32,
}

impl Receiver {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet was taken. `timed` says that its timestamp tells when it was made: not so for events.
    pub fn push(&mut self, now: Instant, ssrc: Ssrc, seq: u16, timestamp: u32, octets: usize, timed: bool) {
        let _ = (now, ssrc, seq, timestamp, timed);
        self.totals.packets += 1;
        self.totals.octets += octets as u64;
    }

    /// The sums so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The report block on the present source; begins the next interval.
    pub fn report(&mut self) -> Option<Report> {
        None
    }
}
