//! What we send: one source for the whole call (sip-trunk section 11.1), on a steady clock.

use std::time::{Duration, Instant};

use super::packet::Packet;
use crate::units::Ssrc;

/// The numbers of an outgoing RTP source.
#[derive(Clone, Debug)]
pub struct Sender {
    ssrc: Ssrc,
    seq: u16,
    timestamp: u32,
    marker: bool,
    packets: u64,
    octets: u64,
}

impl Sender {
    /// A source of random numbers: its SSRC, its first sequence number (its highest bit is cleared, so that
    /// an early loss cannot hide a turn of the counter: RFC 3711 §3.3.1) and its first timestamp.
    pub fn new(ssrc: u32, seq: u16, timestamp: u32) -> Self {
        Self { ssrc: Ssrc(ssrc), seq: seq & 0x7FFF, timestamp, marker: true, packets: 0, octets: 0 }
    }

    /// Who we are.
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// A new SSRC, after the peer was heard under ours (RFC 3550 §8.2).
    pub fn rename(&mut self, ssrc: u32) {
        self.ssrc = Ssrc(ssrc);
        self.marker = true;
    }

    /// Timestamp of the next packet.
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Packets written.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Their octets of payload.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Writes a packet of audio, one octet a sample; its length, or nothing when `out` is too short.
    pub fn audio(&mut self, payload_type: u8, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let written = self.write(payload_type, self.marker, self.timestamp, payload, out)?;
        self.marker = false;
        self.timestamp = self.timestamp.wrapping_add(payload.len() as u32);
        Some(written)
    }

    /// Time in which nothing is sent: timestamps go on, the next packet is marked.
    pub fn skip(&mut self, samples: u32) {
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.marker = true;
    }

    /// Writes a telephone-event packet whose timestamp is that of the event's start (RFC 4733 §2.2); the
    /// clock is moved by `skip`.
    pub fn event(
        &mut self,
        payload_type: u8,
        marker: bool,
        start: u32,
        payload: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        self.write(payload_type, marker, start, payload, out)
    }

    fn write(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        let packet = Packet { payload_type, marker, seq: self.seq, timestamp, ssrc: self.ssrc, payload };
        let written = packet.write(out)?;
        self.seq = self.seq.wrapping_add(1);
        self.packets += 1;
        self.octets += payload.len() as u64;
        Some(written)
    }
}

/// When packets leave: one a `ptime` on a grid that never drifts.
#[derive(Clone, Debug)]
pub struct Pace {
    next: Instant,
    ptime: Duration,
}

/// What is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Packets whose time passed so long ago that they are not sent: skip their time (before the packets).
    pub skipped: u32,
    /// Packets to send now, at most 3.
    pub packets: u32,
}

impl Pace {
    /// The most packets that are sent at once to catch up.
    pub const BURST: u32 = 3;

    /// The first packet is due at `first`, a place on the call's grid.
    pub fn new(first: Instant, ptime: Duration) -> Self {
        Self { next: first, ptime: ptime.max(Duration::from_millis(1)) }
    }

    /// What is due now; asking moves the clock on.
    pub fn due(&mut self, now: Instant) -> Due {
        let Some(behind) = now.checked_duration_since(self.next) else { return Due::default() };
        let count = (behind.as_nanos() / self.ptime.as_nanos()).min(u128::from(u32::MAX - 1)) as u32 + 1;
        self.next += self.ptime * count;
        let packets = count.min(Self::BURST);
        Due { skipped: count - packets, packets }
    }

    /// When the next packet is due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Another packet time from the next packet on.
    pub fn change(&mut self, ptime: Duration) {
        self.ptime = ptime.max(Duration::from_millis(1));
    }
}
