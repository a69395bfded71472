//! What came of one call's RTP, counted as it comes: nothing is kept a packet. A pure core.

use super::spread::Spread;
use crate::rtp::Packet;

/// A packet so far behind the earliest it could have come is late, in microseconds.
pub(super) const LATE_US: i64 = 40_000;
/// Microseconds a sample at 8000 Hz.
const SAMPLE_US: i64 = 125;
/// A step in sequence beyond this is a new beginning (RFC 3550 §A.1).
const DROPOUT: i64 = 3000;

/// Counts of one call, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heard {
    /// Packets, each once.
    pub packets: u64,
    /// Never came.
    pub lost: u64,
    /// More than 40 ms behind the earliest they could have come.
    pub late: u64,
    /// Came again.
    pub duplicated: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Interarrival jitter (RFC 3550 §A.8) in milliseconds, as it was at the end.
    pub jitter_ms: f64,
    /// The longest time between two packets, in milliseconds.
    pub longest_gap_ms: f64,
}

/// One call's ear.
#[derive(Debug, Default)]
pub(super) struct Ear {
    source: Option<Source>,
    heard: Heard,
}

/// One SSRC.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    first: i64,
    highest: i64,
    /// Which of the 128 up to the highest came; the lowest bit is the highest itself.
    seen: u128,
    came: i64,
    /// Timestamp, unwrapped.
    time: i64,
    at_us: i64,
    transit_us: i64,
    least_transit_us: i64,
    jitter_us: f64,
}

impl Ear {
    /// A packet of audio came at this time of a monotonic clock, in microseconds.
    pub(super) fn hear(&mut self, at_us: i64, packet: &Packet<'_>, behind: &mut Spread) {
        let heard = &mut self.heard;
        match &mut self.source {
            Some(source) if source.ssrc == packet.ssrc.0 && source.follows(packet.seq) => {
                source.take(at_us, packet, heard, behind);
            }
            other => {
                heard.lost += other.take().map_or(0, |source| source.lost());
                heard.packets += 1;
                behind.add(0);
                *other = Some(Source::new(at_us, packet));
            }
        }
    }

    /// What came so far.
    pub(super) fn heard(&self) -> Heard {
        let (lost, jitter_us) =
            self.source.as_ref().map_or((0, 0.0), |source| (source.lost(), source.jitter_us));
        Heard { lost: self.heard.lost + lost, jitter_ms: jitter_us / 1000.0, ..self.heard }
    }
}

impl Source {
    fn new(at_us: i64, packet: &Packet<'_>) -> Self {
        let (seq, time) = (i64::from(packet.seq), i64::from(packet.timestamp));
        let transit_us = at_us - time * SAMPLE_US;
        Self {
            ssrc: packet.ssrc.0,
            first: seq,
            highest: seq,
            seen: 1,
            came: 1,
            time,
            at_us,
            transit_us,
            least_transit_us: transit_us,
            jitter_us: 0.0,
        }
    }

    fn step(&self, seq: u16) -> i64 {
        i64::from(seq.wrapping_sub(self.highest as u16) as i16)
    }

    fn follows(&self, seq: u16) -> bool {
        self.step(seq).abs() < DROPOUT
    }

    fn lost(&self) -> u64 {
        (self.highest - self.first + 1 - self.came).max(0) as u64
    }

    fn take(&mut self, at_us: i64, packet: &Packet<'_>, heard: &mut Heard, behind: &mut Spread) {
        let step = self.step(packet.seq);
        if step > 0 {
            self.seen =
                u32::try_from(step).ok().and_then(|step| self.seen.checked_shl(step)).unwrap_or(0) | 1;
            self.highest += step;
        } else {
            let bit = 1u128.checked_shl(step.unsigned_abs() as u32).unwrap_or(0);
            if self.seen & bit != 0 {
                heard.duplicated += 1;
                return;
            }
            self.seen |= bit;
            heard.reordered += 1;
            self.first = self.first.min(self.highest + step);
        }
        self.came += 1;
        heard.packets += 1;
        self.time += i64::from(packet.timestamp.wrapping_sub(self.time as u32) as i32);
        let transit_us = at_us - self.time * SAMPLE_US;
        let gap_ms = (at_us - self.at_us) as f64 / 1000.0;
        heard.longest_gap_ms = heard.longest_gap_ms.max(gap_ms);
        self.jitter_us += ((transit_us - self.transit_us).abs() as f64 - self.jitter_us) / 16.0;
        self.least_transit_us = self.least_transit_us.min(transit_us);
        let late_us = transit_us - self.least_transit_us;
        heard.late += u64::from(late_us > LATE_US);
        behind.add(late_us as u64);
        (self.at_us, self.transit_us) = (at_us, transit_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Ssrc;

    /// Packets as (milliseconds, sequence number), 20 ms of audio each; what is counted of them.
    fn counted(ssrc: u32, came: &[(i64, u16)], ear: &mut Ear) -> Heard {
        for &(ms, seq) in came {
            let timestamp = u32::from(seq.wrapping_add(100)) * 160;
            let packet = Packet {
                payload_type: 0,
                marker: false,
                seq,
                timestamp,
                ssrc: Ssrc(ssrc),
                payload: &[0; 160],
            };
            ear.hear(ms * 1000, &packet, &mut Spread::default());
        }
        ear.heard()
    }

    #[test]
    fn what_is_missing_doubled_or_out_of_order_is_counted_once() {
        let heard =
            counted(1, &[(0, 7), (20, 8), (60, 10), (61, 10), (62, 9), (120, 13)], &mut Ear::default());
        assert_eq!((heard.packets, heard.lost, heard.duplicated, heard.reordered), (5, 2, 1, 1));
        assert_eq!(heard.longest_gap_ms, 58.0);
    }

    #[test]
    fn late_is_measured_from_the_earliest_that_could_be() {
        let heard = counted(1, &[(30, 1), (20, 2), (70, 3), (95, 4), (131, 5)], &mut Ear::default());
        // earliest: packet 2, which makes packet n due at 20 (n - 1); 3, 4 and 5 are 30, 35 and 51 ms behind
        assert_eq!((heard.late, heard.lost), (1, 0));
        assert!(heard.jitter_ms > 1.0);
    }

    #[test]
    fn numbers_wrap_and_a_new_source_begins_anew() {
        let mut ear = Ear::default();
        assert_eq!(counted(1, &[(0, 65_534), (20, 65_535), (40, 0), (60, 2)], &mut ear).lost, 1);
        let heard = counted(2, &[(80, 500), (100, 501), (140, 503)], &mut ear);
        assert_eq!((heard.packets, heard.lost), (7, 2));
    }
}
