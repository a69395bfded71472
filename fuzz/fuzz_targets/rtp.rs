//! Datagrams of any content at any time through all that reads RTP: nothing may panic, no line may run
//! ahead of its clock, no key may be told twice at once.
#![no_main]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use streamkit::rtp::digits::{self, DigitReceiver};
use streamkit::rtp::jitter::{Arrival, Item, JitterBuffer, Kind};
use streamkit::rtp::latch::{Latch, LatchMode, Peer, Verdict};
use streamkit::rtp::packet::{COMFORT_NOISE, Packet};
use streamkit::rtp::receiver::Receiver;

// A record: time passed (4 ms a unit), source, length, then so many octets of the datagram.
fuzz_target!(|data: &[u8]| {
    let start = Instant::now();
    let mut now = start;
    let remote = SocketAddr::from(([192, 0, 2, 1], 4000));
    let latch = Latch { mode: LatchMode::Auto, signalling: remote.ip(), networks: Vec::new() };
    let mut peer = Peer::new(now, remote, latch);
    let mut line = JitterBuffer::new(now, Duration::from_millis(200));
    let mut digits = DigitReceiver::new();
    let mut receiver = Receiver::new();
    let mut rest = data;
    while let [passed, source, length, tail @ ..] = rest {
        let (octets, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        now += Duration::from_millis(4) * u32::from(*passed);
        // The last octet is repeated: long payloads need no long input.
        let mut datagram = octets.to_vec();
        datagram.resize(octets.len() + usize::from(source >> 4) * 110, octets.last().copied().unwrap_or(0));
        let Ok(packet) = Packet::read(&datagram) else { continue };
        let from = SocketAddr::from(([192, 0, 2, 1 + (source & 1)], 4000 + u16::from(source >> 1 & 3)));
        if peer.accept(now, from, packet.ssrc, packet.seq, packet.payload_type < 96) != Verdict::Take {
            continue;
        }
        let audio = matches!(packet.payload_type, 0 | 8);
        receiver.push(now, packet.ssrc, packet.seq, packet.timestamp, packet.payload.len(), audio);
        if !audio && packet.payload_type != COMFORT_NOISE {
            digits.push(now, packet.ssrc, packet.seq, packet.timestamp, packet.marker, packet.payload);
        }
        while digits.poll(now).is_some() {}
        let kind = match (audio, packet.payload_type) {
            (true, _) => Kind::Audio,
            (false, COMFORT_NOISE) => Kind::Quiet,
            (false, _) => Kind::Event { end: digits::is_end(packet.payload) },
        };
        let Packet { ssrc, seq, timestamp, payload, .. } = packet;
        let before = line.delivered();
        let _ = line.push(now, Arrival { ssrc, seq, timestamp, kind, payload, faint: source & 8 != 0 });
        let mut sum = 0;
        while let Some(item) = line.pop(now) {
            sum += match item {
                Item::Audio(octets) => octets.len(),
                Item::Lost { samples } | Item::Silence { samples } => samples,
            };
        }
        assert_eq!(line.delivered(), before + sum as u64);
        assert!(line.poll_timeout().is_some_and(|at| at > now));
        // 160 ms ahead, and the length of the first packet.
        let clock = now.duration_since(start).as_millis() as u64 * 8;
        assert!(line.delivered() <= clock + 360 * 8);
        let totals = receiver.totals();
        assert!(totals.lost <= 0x1_0000 * totals.packets);
        let _ = receiver.report();
    }
});
