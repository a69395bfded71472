//! The engine over real sockets: a caller on loopback, a session on a task, workers on their threads.

#![allow(clippy::disallowed_methods)] // real sockets, real time

use std::f64::consts::TAU;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streamkit::audio::codec;
use streamkit::ids::{CallKey, PortId};
use streamkit::media::{
    Command, Config, Counts, Engine, Event, G711, Lane, Latch, LatchMode, Link, Play, Reached, RtpCounts,
    RtpSpec, Spec, Srtp, SrtpKey, StreamEnd, StreamSpec, Tally, Told, pair,
};
use streamkit::rtp::Packet;
use streamkit::units::{SampleRate, Ssrc};
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Interval, interval, sleep, timeout};

/// Descriptors and threads are counted by process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());
/// What is on its way has come by then, on a busy machine, too.
const PATIENCE: Duration = Duration::from_secs(30);
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn alone() -> (MutexGuard<'static, ()>, Runtime) {
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    (guard, runtime.expect("a runtime"))
}

fn start(cores: Vec<usize>) -> (Engine, Receiver<(CallKey, Event)>) {
    start_with(cores, 28_000..=28_199) // below those the system gives to whoever asks for any
}

fn start_with(
    cores: Vec<usize>,
    ports: std::ops::RangeInclusive<u16>,
) -> (Engine, Receiver<(CallKey, Event)>) {
    let (to, events) = channel(1000);
    let config = Config {
        cores,
        realtime: false,
        ports,
        bind: None,
        dscp: 46,
        jitter_max: Duration::from_millis(200),
    };
    let engine =
        Engine::start(config, Vec::new(), move |call, event| to.try_send((call, event)).expect("room"));
    (engine.expect("started"), events)
}

const fn port(call: u64, index: u8) -> PortId {
    PortId { call: CallKey(call), index }
}

fn spec(remote: SocketAddr) -> Box<RtpSpec> {
    Box::new(RtpSpec {
        telephone_event: None,
        latch: Latch { mode: LatchMode::Strict, signalling: remote.ip(), networks: Vec::new() },
        ..RtpSpec::new(remote, G711::A)
    })
}

/// A caller's socket, where it sends to, the call's lane and the bot's end.
struct Call {
    socket: UdpSocket,
    ours: SocketAddr,
    lane: Lane,
    bot: StreamEnd,
}

async fn call(engine: &Engine, number: u64, host: IpAddr, rate: SampleRate) -> Call {
    let socket = UdpSocket::bind((host, 0)).await.expect("a port");
    let reserved = engine.reserve(host).expect("a port");
    let (ours, lane) = (reserved.local(), engine.place());
    let (stream, bot) = pair(StreamSpec { rate, prebuffer: Duration::from_millis(60) });
    let (caller, stream_port) = (port(number, 0), port(number, 1));
    let remote = socket.local_addr().expect("bound");
    lane.send(Command::Open(stream_port, Spec::Stream(stream))).await;
    lane.send(Command::Open(caller, Spec::Rtp(spec(remote), reserved))).await;
    lane.send(Command::Link(Link::plain(caller, stream_port))).await;
    lane.send(Command::Link(Link::plain(stream_port, caller))).await;
    Call { socket, ours, lane, bot }
}

/// Waits until the cores counted enough, which they tell within 100 ms; what they counted.
async fn counted(engine: &Engine, what: &str, enough: impl Fn(&Tally) -> bool) -> Tally {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let mut all = Tally::default();
        engine.cores().iter().for_each(|core| all.add(&core.tally));
        if enough(&all) {
            return all;
        }
        assert!(std::time::Instant::now() < until, "{what}: not within {PATIENCE:?}: {all:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A caller who sings, in real time, and hears what comes back meanwhile.
struct Singer<'a> {
    call: &'a Call,
    clock: Interval,
    sent: u16,
    heard: Vec<i16>,
}

impl<'a> Singer<'a> {
    fn of(call: &'a Call) -> Self {
        Self { call, clock: interval(Duration::from_millis(20)), sent: 0, heard: Vec::new() }
    }

    /// Sends the next packet of a tone, and decodes what came.
    async fn sing(&mut self) {
        self.clock.tick().await;
        let n = self.sent;
        let sample =
            |k: usize| (8000.0 * (TAU * 400.0 * (usize::from(n) * 160 + k) as f64 / 8000.0).sin()) as i16;
        let tone: Vec<i16> = (0..160).map(sample).collect();
        let (mut payload, mut bytes) = ([0; 160], [0; 2000]);
        codec::encode(G711::A, &tone, &mut payload);
        let timestamp = u32::from(n) * 160;
        let packet =
            Packet { payload_type: 8, marker: n == 0, seq: n, timestamp, ssrc: Ssrc(5), payload: &payload };
        let length = packet.write(&mut bytes).expect("it fits");
        self.call.socket.send_to(&bytes[..length], self.call.ours).await.expect("sent");
        self.sent += 1;
        self.listen();
    }

    fn listen(&mut self) {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = self.call.socket.try_recv_from(&mut buffer) {
            assert_eq!(from, self.call.ours, "sent from the port of the SDP");
            let packet = Packet::read(&buffer[..length]).expect("well-formed");
            let mut samples = [0; 160];
            assert_eq!(codec::decode(G711::A, packet.payload, &mut samples), 160);
            self.heard.extend_from_slice(&samples);
        }
    }
}

/// A bot that says what it hears, and marks what it said, until the caller has heard enough.
async fn echo(mut bot: StreamEnd, enough: Arc<Notify>) -> (u64, Vec<Told>) {
    let (mut samples, mut said, mut told, mut waiting) = ([0; 4800], 0, Vec::new(), Vec::new());
    let talk = async {
        loop {
            bot.woken().await;
            told.extend(std::iter::from_fn(|| bot.told()));
            loop {
                let n = bot.hear(&mut samples);
                if n == 0 {
                    break;
                }
                waiting.extend_from_slice(&samples[..n]);
                said += n as u64;
            }
            bot.play(Play::Audio(std::mem::take(&mut waiting))).expect("room");
            bot.play(Play::Mark(told.len() as u32)).expect("room");
        }
    };
    tokio::select! {
        () = talk => {}
        () = enough.notified() => {}
    }
    (said, told)
}

/// Share of the energy that is the tone of 400 Hz, from 0 to 1.
fn purity(samples: &[i16]) -> f64 {
    let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let (sin, cos) = (TAU * 400.0 * n as f64 / 8000.0).sin_cos();
        let sample = f64::from(sample);
        (re, im, energy) = (re + sample * cos, im + sample * sin, energy + sample * sample);
    }
    2.0 * (re * re + im * im) / (energy.max(1.0) * samples.len() as f64)
}

async fn closed(events: &mut Receiver<(CallKey, Event)>, of: PortId) -> Counts {
    loop {
        let event = timeout(PATIENCE, events.recv()).await.expect("told in time").expect("the engine runs");
        if let (_, Event::Closed(port, counts)) = event
            && port == of
        {
            return *counts;
        }
    }
}

/// Whether there is half a second in the last whole one that is one tone: a machine that stands still tears it.
fn ends_in_a_whole_tone(heard: &[i16]) -> bool {
    let last = &heard[heard.len().saturating_sub(8000)..];
    last.windows(4000).step_by(400).any(|piece| purity(piece) > 0.98)
}

/// What an RTP port counted.
async fn rtp_closed(events: &mut Receiver<(CallKey, Event)>, of: PortId) -> RtpCounts {
    match closed(events, of).await {
        Counts::Rtp(counts) => counts,
        other => panic!("not an RTP port's: {other:?}"),
    }
}

#[test]
fn a_tone_comes_back_from_a_bot_that_echoes() {
    let (_alone, runtime) = alone();
    runtime.block_on(async {
        let (engine, mut events) = start(vec![0]);
        let mut sent_before = 0;
        for (number, host, rate) in
            [(1, LOCAL, SampleRate::Hz8000), (2, Ipv6Addr::LOCALHOST.into(), SampleRate::Hz24000)]
        {
            let mut call = call(&engine, number, host, rate).await;
            let (_, unused) = pair(StreamSpec { rate, prebuffer: Duration::ZERO });
            let enough = Arc::new(Notify::new());
            let bot = tokio::spawn(echo(std::mem::replace(&mut call.bot, unused), enough.clone()));
            let (mut singer, until) = (Singer::of(&call), std::time::Instant::now() + PATIENCE);
            while singer.sent < 75 || !(singer.sent % 5 == 0 && ends_in_a_whole_tone(&singer.heard)) {
                let best = || singer.heard.chunks(4000).map(purity).fold(0.0, f64::max);
                let time_is_left = std::time::Instant::now() < until;
                assert!(time_is_left, "{rate}: {} samples heard, purity {}", singer.heard.len(), best());
                singer.sing().await;
            }
            let (sent, heard) = (u64::from(singer.sent), singer.heard.len() as u64 / 160);
            enough.notify_one();
            let (said, told) = bot.await.expect("the bot ends well");
            assert!(said > u64::from(rate.hz()) / 2, "the bot heard {said} samples");
            assert!(matches!(told[..], [Told::Mark { mark: 0, how: Reached::Played | Reached::Idle }, ..]));
            sent_before += sent;
            counted(&engine, "every packet", |all| all.packets_in >= sent_before).await;
            call.lane.send(Command::Close(port(number, 0))).await;
            let counts = rtp_closed(&mut events, port(number, 0)).await;
            assert_eq!((counts.packets_in, counts.lost, counts.foreign), (sent, 0, 0));
            assert!(counts.packets_out >= heard, "{heard} came of {counts:?}");
            call.lane.send(Command::Close(port(number, 1))).await;
            closed(&mut events, port(number, 1)).await;
        }
        engine.stop().await;
    });
}

#[test]
fn a_stranger_is_not_heard() {
    let (_alone, runtime) = alone();
    runtime.block_on(async {
        let (engine, mut events) = start(Vec::new());
        let mut call = call(&engine, 1, LOCAL, SampleRate::Hz8000).await;
        call.socket = UdpSocket::bind((LOCAL, 0)).await.expect("another port than the SDP's");
        let mut singer = Singer::of(&call);
        while singer.sent < 20 {
            singer.sing().await;
        }
        counted(&engine, "every packet", |all| all.packets_in + all.foreign >= 20).await;
        call.lane.send(Command::Close(port(1, 0))).await;
        let counts = rtp_closed(&mut events, port(1, 0)).await;
        assert_eq!((counts.packets_in, counts.foreign), (0, 20));
        engine.stop().await;
    });
}

fn srtp_key(octet: u8) -> SrtpKey {
    SrtpKey { short_tag: octet.is_multiple_of(2), key: [octet; 16], salt: [octet; 14] }
}

/// One end of a session between two engines: keys of its own by number.
fn end(remote: SocketAddr, rtcp_mux: bool, keys: Option<(u8, u8)>) -> Box<RtpSpec> {
    let srtp = |(send, receive)| Srtp { send: srtp_key(send), receive: srtp_key(receive), mki: 0 };
    Box::new(RtpSpec { rtcp_mux, srtp: keys.map(srtp).map(Box::new), ..*spec(remote) })
}

/// What an end counted; a core that was kept from its work on a busy machine is allowed what that costs.
fn judge(number: u64, counts: &RtpCounts, in_time: bool) {
    let stall = if in_time { 0 } else { counts.longest_gap_ms };
    // Keys change on both sides at once, but for what is under way between them.
    assert!(counts.unauthentic <= 3 + stall / 20, "call {number}: {counts:?}");
    assert!(counts.lost <= 3 + counts.unauthentic, "call {number}: {counts:?}");
    assert_eq!((counts.malformed, counts.foreign, counts.replayed), (0, 0, 0), "call {number}");
    let told = counts.told.as_ref().unwrap_or_else(|| panic!("call {number} was told nothing"));
    let trip = told.round_trip_ms.expect("a report that knew ours");
    assert!(
        (0.0..50.0 + 2.0 * stall as f64).contains(&trip),
        "call {number}: {trip} ms on loopback, {counts:?}"
    );
    let (inward, outward) = (counts.mos_in.expect("rated"), counts.mos_out.expect("rated"));
    let least = if in_time { 4.0 } else { 2.0 };
    assert!(inward > least && outward > least, "call {number}: {inward} {outward}, {counts:?}");
}

#[test]
fn two_engines_talk_under_srtp_and_report_to_one_another() {
    let (_alone, runtime) = alone();
    runtime.block_on(async {
        let (here, mut events_here) = start(Vec::new());
        let (there, mut events_there) = start_with(Vec::new(), 28_200..=28_399);
        let calls = [(1, false, false), (2, true, false), (3, false, true), (4, true, true)];
        let mut ends = Vec::new();
        for (number, rtcp_mux, secure) in calls {
            let (a, b) = (here.reserve(LOCAL).expect("a port"), there.reserve(LOCAL).expect("a port"));
            let (to_a, to_b) = (a.local(), b.local());
            let (lane_a, lane_b) = (here.place(), there.place());
            let keys = |pair| secure.then_some(pair);
            let of_a = Spec::Rtp(end(to_b, rtcp_mux, keys((1, 2))), a);
            let of_b = Spec::Rtp(end(to_a, rtcp_mux, keys((2, 1))), b);
            lane_a.send(Command::Open(port(number, 0), of_a)).await;
            lane_b.send(Command::Open(port(number, 0), of_b)).await;
            ends.push((number, rtcp_mux, secure, (lane_a, to_b), (lane_b, to_a)));
        }
        let flowed = async |each: u64| {
            let all = each * ends.len() as u64;
            let here = counted(&here, "packets here", |tally| tally.packets_in >= all).await;
            let there = counted(&there, "packets there", |tally| tally.packets_in >= all).await;
            (here.ticks_late, there.ticks_late) == (0, 0)
        };
        flowed(75).await;
        for (number, rtcp_mux, _, (lane_a, to_b), (lane_b, to_a)) in ends.iter().filter(|end| end.2) {
            lane_a.send(Command::Change(port(*number, 0), end(*to_b, *rtcp_mux, Some((3, 4))))).await;
            lane_b.send(Command::Change(port(*number, 0), end(*to_a, *rtcp_mux, Some((4, 3))))).await;
        }
        // A first report within 3.75 s, and one that knows it 7.5 s later: 12 s of packets.
        let in_time = flowed(600).await;
        for (number, _, _, (lane_a, _), (lane_b, _)) in &ends {
            for (lane, events) in [(lane_a, &mut events_here), (lane_b, &mut events_there)] {
                lane.send(Command::Close(port(*number, 0))).await;
                let counts = rtp_closed(events, port(*number, 0)).await;
                judge(*number, &counts, in_time);
            }
        }
        here.stop().await;
        there.stop().await;
    });
}

#[test]
fn a_leave_is_the_last_a_peer_hears() {
    let (_alone, runtime) = alone();
    runtime.block_on(async {
        let (engine, mut events) = start(Vec::new());
        // A peer with RTCP one port above RTP.
        let (rtp, rtcp) = loop {
            let rtp = UdpSocket::bind((LOCAL, 0)).await.expect("a port");
            let above = rtp.local_addr().expect("bound").port().saturating_add(1);
            if let Ok(rtcp) = UdpSocket::bind((LOCAL, above)).await {
                break (rtp, rtcp);
            }
        };
        let reserved = engine.reserve(LOCAL).expect("a port");
        let ours = reserved.local();
        let lane = engine.place();
        let spec = spec(rtp.local_addr().expect("bound"));
        lane.send(Command::Open(port(1, 0), Spec::Rtp(spec, reserved))).await;
        let mut bytes = [0; 2000];
        timeout(PATIENCE, rtp.recv_from(&mut bytes)).await.expect("in time").expect("RTP");
        lane.send(Command::Close(port(1, 0))).await;
        closed(&mut events, port(1, 0)).await;
        let (length, from) =
            timeout(PATIENCE, rtcp.recv_from(&mut bytes)).await.expect("in time").expect("RTCP");
        assert_eq!((from.ip(), from.port()), (ours.ip(), ours.port() + 1), "from the socket beside");
        let heard = streamkit::rtp::rtcp::compound::read(&bytes[..length], Ssrc(0)).expect("RTCP");
        assert!(heard.bye);
        engine.stop().await;
    });
}

#[test]
fn ports_are_given_back_and_rest() {
    let (_alone, runtime) = alone();
    runtime.block_on(async {
        let (engine, mut events) = start(Vec::new());
        let total = engine.ports_total();
        assert_eq!((total, engine.ports_free()), (100, 100));
        let call = call(&engine, 1, LOCAL, SampleRate::Hz8000).await;
        assert_eq!(engine.ports_free(), total - 1);
        assert!(std::net::UdpSocket::bind(call.ours).is_err(), "it is taken");
        call.lane.send(Command::Close(port(1, 0))).await;
        closed(&mut events, port(1, 0)).await;
        let free = async {
            while std::net::UdpSocket::bind(call.ours).is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, free).await.expect("the socket is closed");
        assert_eq!(engine.ports_free(), total - 1, "at rest");
        engine.stop().await;
    });
}

#[test]
fn calls_are_spread_over_the_workers() {
    let (_alone, runtime) = alone();
    runtime.block_on(async {
        let (engine, _events) = start(vec![0, 0]);
        let lanes: Vec<_> = (0..6).map(|_| engine.place()).collect();
        assert_eq!(engine.load().iter().map(|load| load.calls).collect::<Vec<_>>(), [3, 3]);
        let clone = lanes[0].clone();
        drop(lanes);
        assert_eq!(engine.load().iter().map(|load| load.calls).sum::<usize>(), 1, "held by a clone");
        drop(clone);
        assert_eq!(engine.load().iter().map(|load| load.calls).sum::<usize>(), 0);
        engine.stop().await;
    });
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("readable").count()
}

fn media_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("readable").flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("media-")).count()
}

/// Waits until there are so many: a thread is named by itself, once it runs, and goes a moment after it was joined.
fn threads(count: usize) {
    let until = std::time::Instant::now() + PATIENCE;
    while media_threads() != count {
        let found = media_threads();
        assert!(std::time::Instant::now() < until, "{found} threads, not {count}, after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn nothing_is_left_after_the_stop() {
    let (_alone, runtime) = alone();
    runtime.block_on(async {
        let before = descriptors();
        let (engine, mut events) = start(vec![0, 0]);
        let mut calls = Vec::new();
        for number in 0..20 {
            calls.push(call(&engine, number, LOCAL, SampleRate::Hz16000).await);
        }
        Singer::of(&calls[0]).sing().await;
        threads(2);
        engine.clone().stop().await;
        let mut told = 0;
        while let Ok((_, event)) = events.try_recv() {
            told += usize::from(matches!(event, Event::Closed(..)));
        }
        assert_eq!(told, 40, "every port is told");
        threads(0);
        drop(calls);
        assert_eq!(descriptors(), before);
        engine.stop().await; // again: nothing happens
    });
}

#[test]
fn a_runtime_that_is_dropped_ends_the_threads_of_its_engine() {
    let (_alone, runtime) = alone();
    let engine = runtime.block_on(async {
        let (engine, _events) = start(Vec::new());
        threads(1);
        engine
    });
    drop(runtime);
    threads(0); // an idle worker heard that its courier is gone
    drop(engine);
}

#[test]
fn an_engine_that_is_dropped_ends_its_threads() {
    let (_alone, runtime) = alone();
    runtime.block_on(async {
        let (engine, events) = start(Vec::new());
        let call = call(&engine, 1, LOCAL, SampleRate::Hz8000).await;
        threads(1);
        drop((engine, call, events.is_closed()));
        threads(0);
    });
}
