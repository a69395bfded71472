//! What a caller heard: every packet with the time it came, and what follows from them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::audio::G711;
use crate::audio::codec::decode;
use crate::lab::ear::{Line, mos};
use crate::lab::sound::Sound;
use crate::rtp::Packet;
use crate::units::{RtpTime, SampleRate, SeqNum};

/// Packets kept: half an hour at 20 ms.
const PACKETS: usize = 90_000;
/// Audio kept, in samples of 8000 Hz.
const SAMPLES: u64 = 8000 * 60 * 30;
/// A listener plays a packet so long after the earliest it could have come; later ones are lost to the ear.
pub const PLAYOUT: Duration = Duration::from_millis(60);

/// One packet that came.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// When, by the kernel's clock.
    pub at: Instant,
    /// Sequence number, extended.
    pub seq: SeqNum,
    /// Timestamp, extended.
    pub time: RtpTime,
    /// As on the wire.
    pub payload_type: u8,
    /// The marker bit.
    pub marker: bool,
    /// Who sent it.
    pub ssrc: u32,
    /// Octets.
    pub payload: Vec<u8>,
}

/// Everything that came.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// In the order it came.
    pub arrivals: Vec<Arrival>,
    /// Datagrams that were not RTP.
    pub strange: u64,
}

/// What is said of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quality {
    /// Packets that came, each counted once.
    pub packets: u64,
    /// Never came.
    pub lost: u64,
    /// Came too late to be played.
    pub late: u64,
    /// Came again.
    pub duplicated: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Changes of SSRC.
    pub renamed: u64,
    /// Milliseconds a listener would have had to make up.
    pub concealed_ms: u64,
    /// Interarrival jitter (RFC 3550 §A.8) in milliseconds.
    pub jitter_ms: f64,
    /// How far behind the earliest possible time packets came: the 99th of 100, in milliseconds.
    pub behind_p99_ms: f64,
    /// Longest time between two packets, in milliseconds.
    pub longest_gap_ms: f64,
    /// Estimate (`ear::mos`).
    pub mos: f64,
}

impl Heard {
    /// A datagram came.
    pub(super) fn push(&mut self, at: Instant, datagram: &[u8]) -> Option<&Arrival> {
        let Ok(packet) = Packet::read(datagram) else {
            self.strange += 1;
            return None;
        };
        if self.arrivals.len() >= PACKETS {
            return None;
        }
        let ssrc = packet.ssrc.0;
        let before = self.arrivals.last().filter(|last| last.ssrc == ssrc);
        let (seq, time) = match before {
            Some(last) => (last.seq.nearest(packet.seq), last.time.nearest(packet.timestamp)),
            None => (SeqNum::first(packet.seq), RtpTime::first(packet.timestamp)),
        };
        let (payload_type, marker, payload) = (packet.payload_type, packet.marker, packet.payload.to_vec());
        self.arrivals.push(Arrival { at, seq, time, payload_type, marker, ssrc, payload });
        self.arrivals.last()
    }

    /// When the first sample of `sound` was heard: as if every packet had come as soon as the quickest.
    pub fn begins(&self) -> Option<Instant> {
        let origin = self.origin()?;
        self.audio().filter_map(|a| a.at.checked_sub(since(origin, a.time))).min()
    }

    /// What was heard on one time line, by timestamps: what never came is silence, and so is, if `ears`, what
    /// came too late to be played.
    pub fn sound(&self, ears: bool) -> Sound {
        let (Some(origin), Some(begins)) = (self.origin(), self.begins()) else {
            return Sound::default();
        };
        let mut samples = Vec::new();
        for arrival in self.audio() {
            let place = arrival.time.0 - origin.0;
            let due = begins + since(origin, arrival.time) + PLAYOUT;
            let end = place + arrival.payload.len() as u64;
            let law = law(arrival.payload_type);
            if end > SAMPLES || (ears && arrival.at > due) {
                continue;
            }
            let Some(law) = law else { continue };
            if (samples.len() as u64) < end {
                samples.resize(end as usize, 0);
            }
            decode(law, &arrival.payload, &mut samples[place as usize..end as usize]);
        }
        Sound::new(SampleRate::Hz8000, samples)
    }

    /// Judges what came.
    pub fn quality(&self) -> Quality {
        let mut quality = Quality::default();
        let (Some(first), Some(begins)) = (self.arrivals.first(), self.begins()) else { return quality };
        let mut seen = HashSet::new();
        let mut present = Vec::new();
        let mut behind = Vec::new();
        let mut highest = first.seq;
        let origin = self.origin().unwrap_or(first.time);
        for arrival in &self.arrivals {
            if !seen.insert((arrival.ssrc, arrival.seq)) {
                quality.duplicated += 1;
                continue;
            }
            present.push((arrival.ssrc, arrival.seq.0));
            quality.packets += 1;
            quality.reordered += u64::from(arrival.seq < highest);
            highest = highest.max(arrival.seq);
            if law(arrival.payload_type).is_some() && arrival.ssrc == first.ssrc {
                let late = arrival.at.saturating_duration_since(begins + since(origin, arrival.time));
                quality.late += u64::from(late > PLAYOUT);
                behind.push(late.as_secs_f64() * 1000.0);
            }
        }
        let pairs = || self.arrivals.windows(2);
        quality.renamed = pairs().filter(|w| w[0].ssrc != w[1].ssrc).count() as u64;
        let gap = pairs().map(|w| w[1].at.saturating_duration_since(w[0].at)).max().unwrap_or_default();
        quality.longest_gap_ms = gap.as_secs_f64() * 1000.0;
        let (lost, runs) = holes(present);
        quality.lost = lost;
        quality.concealed_ms = (quality.lost + quality.late) * self.packet_ms();
        quality.jitter_ms = self.jitter();
        behind.sort_by(f64::total_cmp);
        quality.behind_p99_ms = behind.get(behind.len().saturating_sub(1) * 99 / 100).copied().unwrap_or(0.0);
        let gone = (quality.lost + quality.late) as f64 / (quality.packets + quality.lost).max(1) as f64;
        let burst = if runs == 0 { 1.0 } else { (lost as f64 / runs as f64) * (1.0 - gone) };
        quality.mos = mos(Line { loss: gone, burst, delay: PLAYOUT });
        quality
    }

    /// When the first sound came that is not silence.
    pub fn first_sound(&self) -> Option<Instant> {
        self.audio().find(|a| is_voiced(a)).map(|a| a.at)
    }

    fn audio(&self) -> impl Iterator<Item = &Arrival> {
        let ssrc = self.arrivals.first().map(|a| a.ssrc);
        let ours = move |a: &&Arrival| Some(a.ssrc) == ssrc && law(a.payload_type).is_some();
        self.arrivals.iter().filter(ours)
    }

    fn origin(&self) -> Option<RtpTime> {
        self.audio().map(|a| a.time).min()
    }

    fn packet_ms(&self) -> u64 {
        self.audio().next().map_or(20, |a| a.payload.len() as u64 / 8)
    }

    /// RFC 3550 §A.8, in milliseconds.
    fn jitter(&self) -> f64 {
        let audio: Vec<&Arrival> = self.audio().collect();
        let mut jitter = 0.0;
        for pair in audio.windows(2) {
            let came = pair[1].at.saturating_duration_since(pair[0].at).as_secs_f64() * 1000.0;
            let made = (pair[1].time.0 as f64 - pair[0].time.0 as f64) / 8.0;
            jitter += ((came - made).abs() - jitter) / 16.0;
        }
        jitter
    }
}

/// Whether there is more in it than silence.
pub(super) fn is_voiced(arrival: &Arrival) -> bool {
    let Some(law) = law(arrival.payload_type) else { return false };
    let mut samples = [0; 480];
    let count = decode(law, &arrival.payload, &mut samples);
    samples[..count].iter().any(|s| s.unsigned_abs() > 64)
}

fn law(payload_type: u8) -> Option<G711> {
    match payload_type {
        0 => Some(G711::Mu),
        8 => Some(G711::A),
        _ => None, // events, comfort noise
    }
}

fn since(origin: RtpTime, time: RtpTime) -> Duration {
    SampleRate::Hz8000.duration(time.0.saturating_sub(origin.0))
}

/// Numbers that are missing between the lowest and the highest of each source, and in how many runs.
fn holes(mut present: Vec<(u32, u64)>) -> (u64, u64) {
    present.sort_unstable();
    let step = |w: &[(u32, u64)]| if w[0].0 == w[1].0 { w[1].1.saturating_sub(w[0].1 + 1) } else { 0 };
    let missing = present.windows(2).map(step);
    missing.fold((0, 0), |(lost, runs), hole| (lost + hole, runs + u64::from(hole > 0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Ssrc;

    /// Packets by number, each `late` milliseconds behind its time.
    fn heard(packets: &[(u16, u64)]) -> Heard {
        let (start, mut heard) = (Instant::now(), Heard::default());
        for &(n, late) in packets {
            let (seq, timestamp) =
                (65_530u16.wrapping_add(n), 4_294_967_000u32.wrapping_add(u32::from(n) * 160));
            let payload = [n as u8; 160];
            let packet =
                Packet { payload_type: 0, marker: n == 0, seq, timestamp, ssrc: Ssrc(7), payload: &payload };
            let mut out = [0; 200];
            let length = packet.write(&mut out).unwrap();
            let at = start + Duration::from_millis(1000 + u64::from(n) * 20 + late);
            heard.push(at, &out[..length]).unwrap();
        }
        heard
    }

    #[test]
    fn a_clean_line_is_rated_best_over_both_wraps() {
        let heard = heard(&(0..50).map(|n| (n, 5)).collect::<Vec<_>>());
        let quality = heard.quality();
        assert_eq!((quality.packets, quality.lost, quality.late, quality.reordered), (50, 0, 0, 0));
        assert!(quality.jitter_ms < 0.01 && quality.mos > 4.3, "{quality:?}");
        assert_eq!(heard.sound(true).samples.len(), 8000);
    }

    #[test]
    fn loss_lateness_order_and_copies_are_told_apart() {
        let heard = heard(&[(0, 0), (1, 0), (3, 0), (2, 30), (2, 31), (6, 0), (7, 100), (8, 85)]);
        let quality = heard.quality();
        assert_eq!((quality.lost, quality.late, quality.reordered, quality.duplicated), (2, 2, 1, 1));
        assert_eq!(quality.concealed_ms, 80);
        let (all, ears) = (heard.sound(false), heard.sound(true));
        assert!(all.samples[7 * 160] != 0 && ears.samples.len() <= 7 * 160);
        assert!(all.samples[4 * 160..6 * 160].iter().all(|s| *s == 0), "what never came is silence");
    }

    #[test]
    fn the_time_line_begins_with_the_quickest_packet() {
        let slow_start = heard(&[(0, 40), (1, 10), (2, 10)]);
        let begins = slow_start.begins().unwrap();
        assert_eq!(slow_start.arrivals[0].at - begins, Duration::from_millis(30));
    }

    #[test]
    fn what_is_not_rtp_is_counted() {
        let mut heard = Heard::default();
        assert!(heard.push(Instant::now(), b"\x00\x01\x00\x00stun").is_none());
        assert_eq!(heard.strange, 1);
    }
}
