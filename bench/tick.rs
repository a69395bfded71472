//! What an ordinary call costs a media core in 20 ms: a packet in, decoded, resampled and left for the bot; a block of
//! the bot resampled, encoded and made a packet. Sockets are not in it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use divan::Bencher;
use streamkit::ids::{CallKey, Entropy, PortId};
use streamkit::media::{
    Command, G711, Graph, Link, Play, Player, Reservation, RtpSpec, Spec, StreamSpec, pair,
};
use streamkit::rtp::Packet;
use streamkit::units::{SampleRate, Ssrc};

fn main() {
    divan::main();
}

const fn port(index: u8) -> PortId {
    PortId { call: CallKey(1), index }
}

fn peer() -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, 7), 4000).into()
}

fn caller() -> Spec {
    let spec = RtpSpec::new(peer(), G711::Mu);
    Spec::Rtp(Box::new(spec), Reservation::simulated(peer()))
}

/// A caller and a bot, both speaking.
#[divan::bench(args = [8000, 16_000, 24_000])]
fn ordinary_call(bencher: Bencher<'_, '_>, hz: u32) {
    let rate = SampleRate::from_hz(hz).expect("one of ours");
    let mut now = divan_now();
    let mut graph = Graph::new(now, Duration::from_millis(200), Entropy::seeded(1));
    let (stream, mut bot) = pair(StreamSpec { rate, prebuffer: Duration::from_millis(60) });
    graph.apply(now, Command::Open(port(0), caller()));
    graph.apply(now, Command::Open(port(1), Spec::Stream(stream)));
    graph.apply(now, Command::Link(Link::plain(port(0), port(1))));
    graph.apply(now, Command::Link(Link::plain(port(1), port(0))));
    for _ in 0..20 {
        bot.play(Play::Audio(vec![1000; rate.samples(20)])).expect("room");
    }
    let (mut bytes, mut samples, mut n) = ([0; 2000], [0; 480], 0_u16);
    bencher.bench_local(|| {
        let packet = Packet {
            payload_type: 0,
            marker: false,
            seq: n,
            timestamp: u32::from(n).wrapping_mul(160),
            ssrc: Ssrc(7),
            payload: &[0x80; 160],
        };
        n = n.wrapping_add(1);
        let length = packet.write(&mut bytes).expect("it fits");
        graph.datagram(now, port(0), peer(), &bytes[..length]);
        now += Duration::from_millis(20);
        graph.run(now);
        while graph.transmit().is_some() {}
        while bot.hear(&mut samples) > 0 {}
        if let Some(buffer) = bot.spent() {
            bot.play(Play::Audio(buffer)).expect("room");
        }
    });
}

/// Ten players heard by one caller: the summing.
#[divan::bench]
fn ten_into_one_ear(bencher: Bencher<'_, '_>) {
    let mut now = divan_now();
    let mut graph = Graph::new(now, Duration::from_millis(200), Entropy::seeded(1));
    graph.apply(now, Command::Open(port(0), caller()));
    for index in 1..=10 {
        let player = Player::new(vec![1000; 8000].into(), true);
        graph.apply(now, Command::Open(port(index), Spec::Player(player)));
        graph.apply(now, Command::Link(Link::plain(port(index), port(0))));
    }
    bencher.bench_local(|| {
        now += Duration::from_millis(20);
        graph.run(now);
        while graph.transmit().is_some() {}
    });
}

#[allow(clippy::disallowed_methods)] // a beginning for simulated time
fn divan_now() -> Instant {
    Instant::now()
}
