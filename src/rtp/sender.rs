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
    /// Both as they stood when the SSRC was taken.
    before: (u64, u64),
}

impl Sender {
    /// A source of random numbers: its SSRC, its first sequence number (its highest bit is cleared, so that
    /// an early loss cannot hide a turn of the counter: RFC 3711 §3.3.1) and its first timestamp.
    pub fn new(ssrc: u32, seq: u16, timestamp: u32) -> Self {
        let (ssrc, seq) = (Ssrc(ssrc), seq & 0x7FFF);
        Self { ssrc, seq, timestamp, marker: true, packets: 0, octets: 0, before: (0, 0) }
    }

    /// Who we are.
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// A new SSRC, after the peer was heard under ours (RFC 3550 §8.2).
    pub fn rename(&mut self, ssrc: u32) {
        self.ssrc = Ssrc(ssrc);
        self.marker = true;
        self.before = (self.packets, self.octets);
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

    /// Packets and octets under the present SSRC (RFC 3550 §6.4.1).
    pub fn sent_as_this_source(&self) -> (u64, u64) {
        (self.packets - self.before.0, self.octets - self.before.1)
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

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test begins now
mod tests {
    use super::*;
    use crate::rtp::packet::MAX_PACKET;

    const PTIME: Duration = Duration::from_millis(20);

    fn send(sender: &mut Sender, payload: &[u8]) -> (bool, u16, u32, Ssrc) {
        let mut out = [0; MAX_PACKET];
        let n = sender.audio(0, payload, &mut out).unwrap();
        let packet = Packet::read(&out[..n]).unwrap();
        assert_eq!((packet.payload, packet.payload_type), (payload, 0));
        (packet.marker, packet.seq, packet.timestamp, packet.ssrc)
    }

    #[test]
    fn the_first_packet_and_the_first_after_a_pause_are_marked() {
        let mut sender = Sender::new(5, 0xFFFF, u32::MAX - 159);
        assert_eq!(send(&mut sender, &[0xFF; 160]), (true, 0x7FFF, u32::MAX - 159, Ssrc(5)));
        assert_eq!(send(&mut sender, &[0xFF; 160]), (false, 0x8000, 0, Ssrc(5)));
        sender.skip(8000);
        assert_eq!(send(&mut sender, &[0xFF; 240]), (true, 0x8001, 8160, Ssrc(5)));
        sender.rename(6);
        assert_eq!(send(&mut sender, &[0xFF; 80]), (true, 0x8002, 8400, Ssrc(6)));
        assert_eq!((sender.packets(), sender.octets()), (4, 640));
    }

    #[test]
    fn a_packet_that_does_not_fit_costs_no_number() {
        let mut sender = Sender::new(5, 1, 0);
        assert_eq!(sender.audio(0, &[0; 160], &mut [0; 100]), None);
        assert_eq!(send(&mut sender, &[0; 160]), (true, 1, 0, Ssrc(5)));
    }

    #[test]
    fn an_event_keeps_its_start_and_runs_the_numbers_on() {
        let mut sender = Sender::new(5, 1, 1000);
        send(&mut sender, &[0; 160]);
        let (start, mut out) = (sender.timestamp(), [0; 16]);
        for (i, marker) in [true, false, false].into_iter().enumerate() {
            let n = sender.event(101, marker, start, &[1, 10, 0, 160], &mut out).unwrap();
            let packet = Packet::read(&out[..n]).unwrap();
            assert_eq!((packet.marker, packet.seq, packet.timestamp), (marker, 2 + i as u16, 1160));
            sender.skip(160);
        }
        assert_eq!(send(&mut sender, &[0; 160]), (true, 5, 1640, Ssrc(5)));
    }

    #[test]
    fn the_mean_is_exact_whatever_the_wakes() {
        let start = Instant::now();
        let mut pace = Pace::new(start, PTIME);
        let (mut sent, mut at) = (0, 0_u64);
        while at < 3_600_000_000 {
            let due = pace.due(start + Duration::from_micros(at));
            assert!(due.skipped == 0 && due.packets <= 1);
            sent += due.packets;
            at += 300 + at % 7919;
        }
        assert!((180_000 - 1..=180_000 + 1).contains(&sent), "{sent} in an hour");
    }

    #[test]
    fn a_long_delay_is_caught_up_by_three_packets_and_the_rest_is_skipped() {
        let start = Instant::now();
        let mut pace = Pace::new(start, PTIME);
        assert_eq!(pace.due(start), Due { skipped: 0, packets: 1 });
        assert_eq!(pace.due(start + Duration::from_millis(19)), Due::default());
        assert_eq!(pace.due(start + Duration::from_millis(65)), Due { skipped: 0, packets: 3 });
        assert_eq!(pace.due(start + Duration::from_millis(1080)), Due { skipped: 48, packets: 3 });
        assert_eq!(pace.next(), start + Duration::from_millis(1100));
        assert_eq!(pace.due(start + Duration::from_secs(1_000_000_000)).packets, 3);
    }
}
