//! The product's own chain, whole: datagrams into a graph, samples out of a bot's ring; and the other way.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use streamkit::audio::codec::{self, G711};
use streamkit::ids::{CallKey, Entropy, PortId};
use streamkit::media::{Command, Graph, Link, Play, Reservation, RtpSpec, Spec, StreamEnd, StreamSpec, pair};
use streamkit::rtp::Packet;
use streamkit::units::{SampleRate, Ssrc};

use crate::network::{Dice, Flight, PACKET, PTIME};

const CALLER: PortId = PortId { call: CallKey(1), index: 0 };
const BOT: PortId = PortId { call: CallKey(1), index: 1 };

/// A call between a caller and a bot, in simulated time.
struct Call {
    start: Instant,
    graph: Graph,
    bot: StreamEnd,
    peer: SocketAddr,
    /// What the bot heard.
    heard: Vec<i16>,
    /// What the caller got, by RTP time.
    sent: BTreeMap<u32, Vec<u8>>,
}

impl Call {
    fn new(law: G711, start: Instant) -> Self {
        let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 4000));
        let mut graph = Graph::new(start, Duration::from_millis(200), Entropy::seeded(1));
        let rate = SampleRate::Hz8000;
        let (stream, bot) = pair(StreamSpec { rate, prebuffer: Duration::from_millis(60) });
        let caller = Spec::Rtp(Box::new(RtpSpec::new(peer, law)), Reservation::simulated(peer));
        graph.apply(start, Command::Open(CALLER, caller));
        graph.apply(start, Command::Open(BOT, Spec::Stream(stream)));
        graph.apply(start, Command::Link(Link::plain(CALLER, BOT)));
        graph.apply(start, Command::Link(Link::plain(BOT, CALLER)));
        Self { start, graph, bot, peer, heard: Vec::new(), sent: BTreeMap::new() }
    }

    fn at(&self, us: u64) -> Instant {
        self.start + Duration::from_micros(us)
    }

    /// Time passes until `us`, on the engine's grid of 1 ms.
    fn pass(&mut self, us: u64) {
        while let Some(due) = self.graph.due() {
            let due = due.saturating_duration_since(self.start).as_micros() as u64;
            let due = due.div_ceil(1000) * 1000;
            if due >= us {
                break;
            }
            self.graph.run(self.at(due));
            self.collect();
        }
    }

    fn collect(&mut self) {
        while let Some(transmit) = self.graph.transmit() {
            if let (false, Ok(packet)) = (transmit.beside, Packet::read(transmit.bytes)) {
                self.sent.insert(packet.timestamp, packet.payload.to_vec());
            }
        }
        while self.graph.event().is_some() {}
        let mut samples = [0; 480];
        loop {
            let n = self.bot.hear(&mut samples);
            if n == 0 {
                break;
            }
            self.heard.extend_from_slice(&samples[..n]);
        }
        while self.graph.wake().is_some() {}
        while self.bot.spent().is_some() {}
    }
}

/// What the bot hears of these packets.
pub(crate) fn up(law: G711, start: Instant, flights: &[Flight], until: u64) -> Vec<i16> {
    let mut call = Call::new(law, start);
    let mut bytes = [0; 400];
    for flight in flights {
        call.pass(flight.at);
        let packet = Packet {
            payload_type: law.static_payload_type(),
            marker: flight.index == 0,
            seq: flight.index as u16,
            timestamp: (flight.index * PTIME) as u32,
            ssrc: Ssrc(7),
            payload: &flight.octets,
        };
        let Some(length) = packet.write(&mut bytes) else { continue };
        call.graph.datagram(call.at(flight.at), CALLER, call.peer, &bytes[..length]);
        call.collect();
    }
    call.pass(until);
    call.heard
}

/// What the caller gets of a bot that speaks in real time, 20 ms a message, each up to `jitter` ms late, in order.
pub(crate) fn down(law: G711, start: Instant, speech: &[i16], jitter: u64, seed: u64) -> Vec<i16> {
    let mut call = Call::new(law, start);
    let (mut dice, mut last) = (Dice(seed), 0);
    for (i, piece) in speech.chunks(PTIME).enumerate() {
        let at = last.max((i as u64 + 5) * PACKET + (dice.next() * jitter as f64 * 1000.0) as u64);
        last = at;
        call.pass(at);
        // A refusal would be heard as a gap, and measured as one.
        let _ = call.bot.play(Play::Audio(piece.to_vec()));
    }
    call.pass(last + 1_000_000);
    let first = call.sent.keys().next().copied().unwrap_or(0);
    let mut line = Vec::new();
    for (timestamp, octets) in &call.sent {
        let place = timestamp.wrapping_sub(first) as usize;
        if place > line.len() + 80_000 {
            break;
        }
        line.resize(place.max(line.len()), 0);
        let mut samples = vec![0; octets.len()];
        codec::decode(law, octets, &mut samples);
        line.extend(samples);
    }
    line
}
