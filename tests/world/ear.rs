//! What a telephone hears: every packet with its time, and the line they make.

use std::time::{Duration, Instant};

use streamkit::audio::codec::{self, G711};
use streamkit::rtp::Packet;
use streamkit::units::Ssrc;

use super::clock::ms;

/// One packet.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) marker: bool,
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: Ssrc,
    pub(crate) samples: Vec<i16>,
}

/// All of them, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    pub(crate) packets: Vec<Heard>,
}

impl Ear {
    pub(crate) fn hear(&mut self, at: Instant, bytes: &[u8]) {
        let packet = Packet::read(bytes).expect("streamkit sends RTP");
        let law = match packet.payload_type {
            0 => G711::Mu,
            8 => G711::A,
            other => panic!("nobody agreed on payload type {other}"),
        };
        let mut samples = vec![0; packet.payload.len()];
        codec::decode(law, packet.payload, &mut samples);
        let Packet { marker, seq, timestamp, ssrc, .. } = packet;
        self.packets.push(Heard { at, marker, seq, timestamp, ssrc, samples });
    }

    /// Where a packet stands on the line, which begins with the earliest: the first may have overtaken it.
    fn place(&self, packet: &Heard) -> usize {
        let after = |packet: &Heard| packet.timestamp.wrapping_sub(self.packets[0].timestamp) as i32;
        let earliest = self.packets.iter().take(50).map(after).min().unwrap_or(0);
        (after(packet) - earliest).max(0) as usize
    }

    /// The line by RTP time; what did not come is silence.
    pub(crate) fn line(&self) -> Vec<i16> {
        let mut line = Vec::new();
        for packet in &self.packets {
            let place = self.place(packet);
            line.resize(line.len().max(place + packet.samples.len()), 0);
            line[place..place + packet.samples.len()].copy_from_slice(&packet.samples);
        }
        line
    }

    /// When that sample of the line came.
    pub(crate) fn came(&self, sample: usize) -> Instant {
        let place = |packet: &Heard| self.place(packet);
        let of = self.packets.iter().find(|p| (place(p)..place(p) + p.samples.len()).contains(&sample));
        of.expect("it came").at
    }

    /// When the first packet came that is not silent, from this moment on.
    pub(crate) fn sound_after(&self, from: Instant) -> Option<Instant> {
        self.packets.iter().find(|packet| packet.at >= from && !is_silent(&packet.samples)).map(|p| p.at)
    }

    /// When the last packet came that is not silent, before this moment.
    pub(crate) fn sound_before(&self, until: Instant) -> Option<Instant> {
        self.packets
            .iter()
            .rev()
            .find(|packet| packet.at < until && !is_silent(&packet.samples))
            .map(|p| p.at)
    }

    /// One source, numbers and stamps without a gap, one packet every 20 ms: sip-trunk.md 11.1. Behind a silent one the
    /// beat may be moved, and never away: docs/agentstream/playout.md.
    pub(crate) fn assert_steady(&self) {
        let Some(first) = self.packets.first() else { return };
        let mut line = Duration::ZERO;
        for pair in self.packets.windows(2) {
            let [one, next] = pair else { unreachable!() };
            assert_eq!(next.ssrc, one.ssrc);
            assert_eq!(next.seq, one.seq.wrapping_add(1), "a sequence number is missing");
            assert_eq!(
                next.timestamp.wrapping_sub(one.timestamp) as usize,
                one.samples.len(),
                "time has a gap"
            );
            let beat = Duration::from_micros(one.samples.len() as u64 * 125);
            line += beat;
            let (took, moved) = (next.at - one.at, is_silent(&one.samples));
            assert!(took == beat || moved && took <= beat + beat / 10, "off the beat: {took:?}");
            assert!(took + beat / 10 >= beat || next.marker, "a beat that is moved is marked");
            let ideal = first.at + line;
            assert!(next.at <= ideal + ms(20) && next.at + ms(20) >= ideal, "off the line");
        }
    }
}

/// Silence as G.711 says it: mu-law 0, A-law ±8.
pub(crate) fn is_silent(samples: &[i16]) -> bool {
    samples.iter().all(|sample| sample.abs() <= 8)
}

/// A line from its first sound to its last.
pub(crate) fn sound(line: &[i16]) -> &[i16] {
    let loud = |sample: &i16| !is_silent(std::slice::from_ref(sample));
    match (line.iter().position(loud), line.iter().rposition(loud)) {
        (Some(first), Some(last)) => &line[first..=last],
        _ => &[],
    }
}

/// What is left of samples that went through a G.711 law.
pub(crate) fn companded(law: G711, samples: &[i16]) -> Vec<i16> {
    let (mut octets, mut back) = (vec![0; samples.len()], vec![0; samples.len()]);
    codec::encode(law, samples, &mut octets);
    codec::decode(law, &octets, &mut back);
    back
}

/// Where one line holds another whole, octet for octet.
pub(crate) fn find(line: &[i16], part: &[i16]) -> Option<usize> {
    line.windows(part.len()).position(|window| window == part)
}

/// Frequency of a tone by its zero crossings.
pub(crate) fn pitch(samples: &[i16], rate: u32) -> f64 {
    let rises: Vec<usize> =
        samples.windows(2).enumerate().filter(|(_, w)| w[0] < 0 && w[1] >= 0).map(|(at, _)| at).collect();
    let (Some(first), Some(last)) = (rises.first(), rises.last()) else { return 0.0 };
    (rises.len() - 1) as f64 * f64::from(rate) / (last - first).max(1) as f64
}
