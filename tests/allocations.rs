//! A running call allocates nothing and frees nothing, whichever way its packets go: counted on the thread that runs
//! the graph, and on the worker of a real engine.
//!
//! Two exceptions, both of kept libraries, are named here and counted: a packet under SRTP costs one allocation each
//! way, and an RTCP report, every 5 s, a few. Plain RTP costs none.

#![allow(clippy::disallowed_methods)] // a beginning for simulated time

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use streamkit::ids::{CallKey, Entropy, PortId};
use streamkit::media::{
    Command, Config, Engine, G711, Graph, Link, Play, Reservation, RtpSpec, Spec, Srtp, SrtpKey, StreamEnd,
    StreamSpec, pair,
};
use streamkit::rtp::Packet;
use streamkit::rtp::packet::is_rtcp;
use streamkit::rtp::srtp::{Key, Sending};
use streamkit::units::{SampleRate, Ssrc};

struct Counting;

thread_local! {
    static HERE: Cell<u64> = const { Cell::new(0) };
    /// Octets this thread took and did not give back.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static ON_CORE: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Of all threads named `media-*`.
static ON_CORES: AtomicU64 = AtomicU64::new(0);

fn hold(octets: isize) {
    let _ = HELD.try_with(|held| held.set(held.get() + octets));
}

fn count() {
    let _ = HERE.try_with(|here| here.set(here.get() + 1));
    let on_core = ON_CORE.try_with(|known| {
        known.get().unwrap_or_else(|| {
            let named = thread_name();
            known.set(named);
            named.unwrap_or(false)
        })
    });
    if on_core == Ok(true) {
        ON_CORES.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the kernel calls this thread a media core; asked without allocating.
fn thread_name() -> Option<bool> {
    let mut name = [0_u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 octets, which `name` holds.
    let asked = unsafe { nix::libc::prctl(nix::libc::PR_GET_NAME, name.as_mut_ptr()) };
    // A thread is named by itself, soon after its first allocation: until then nothing is known.
    (asked == 0 && !name.starts_with(b"allocations")).then(|| name.starts_with(b"media-"))
}

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        hold(layout.size() as isize);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count();
        hold(-(layout.size() as isize));
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        hold(size as isize - layout.size() as isize);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CALLER: PortId = PortId { call: CallKey(1), index: 0 };
const BOT: PortId = PortId { call: CallKey(1), index: 1 };

fn spec(remote: SocketAddr) -> Box<RtpSpec> {
    Box::new(RtpSpec::new(remote, G711::Mu))
}

fn packet(n: u16, bytes: &mut [u8]) -> usize {
    let (seq, timestamp) = (n, u32::from(n) * 160);
    let packet =
        Packet { payload_type: 0, marker: n == 0, seq, timestamp, ssrc: Ssrc(7), payload: &[0x80; 160] };
    packet.write(bytes).expect("it fits")
}

/// Keeps the bot talking with buffers that came home.
fn talk(bot: &mut StreamEnd, samples: &mut [i16]) {
    while bot.hear(samples) > 0 {}
    while bot.told().is_some() {}
    if let Some(mut buffer) = bot.spent() {
        buffer.fill(1000);
        let _ = bot.play(Play::Audio(buffer));
        let _ = bot.play(Play::Mark(1));
    }
}

#[test]
fn ten_thousand_packets_each_way_allocate_nothing() {
    for rate in SampleRate::ALL {
        let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 4000));
        let mut now = Instant::now();
        let mut graph = Graph::new(now, Duration::from_millis(200), Entropy::seeded(1));
        let (stream, mut bot) = pair(StreamSpec { rate, prebuffer: Duration::from_millis(60) });
        graph.apply(now, Command::Open(CALLER, Spec::Rtp(spec(peer), Reservation::simulated(peer))));
        graph.apply(now, Command::Open(BOT, Spec::Stream(stream)));
        graph.apply(now, Command::Link(Link::plain(CALLER, BOT)));
        graph.apply(now, Command::Link(Link::plain(BOT, CALLER)));
        for _ in 0..20 {
            bot.play(Play::Audio(vec![1000; rate.samples(20)])).expect("room");
        }
        let (mut bytes, mut samples, mut sent, mut before) = ([0; 2000], [0; 480], 0, 0);
        let (mut reports, mut for_reports) = (0, 0);
        for n in 0..11_000_u16 {
            if n == 1000 {
                (before, for_reports) = (HERE.with(Cell::get), 0);
            }
            // One in fifty is lost, one in fifty comes twice: concealment is a path like another.
            let length = packet(n, &mut bytes);
            for _ in 0..if n % 50 == 7 { 0 } else { 1 + u8::from(n % 50 == 9) } {
                graph.datagram(now, CALLER, peer, &bytes[..length]);
            }
            for _ in 0..20 {
                now += Duration::from_millis(1);
                let idle = HERE.with(Cell::get);
                if graph.due().is_some_and(|due| due <= now) {
                    graph.run(now);
                }
                while let Some(packet) = graph.transmit() {
                    if packet.beside {
                        reports += 1;
                        for_reports += HERE.with(Cell::get) - idle;
                    } else {
                        sent += 1;
                    }
                }
                while graph.event().is_some() {}
                while graph.wake().is_some() {}
            }
            talk(&mut bot, &mut samples);
        }
        let after = HERE.with(Cell::get);
        assert_eq!((after - before - for_reports, sent), (0, 11_000), "{rate}");
        assert!((30..=90).contains(&reports), "{reports} in 220 s");
        assert!(for_reports <= reports * 20, "{for_reports} for {reports} reports");
    }
}

#[test]
fn a_packet_under_srtp_costs_one_allocation_each_way() {
    let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 4000));
    let key = |octet| SrtpKey { short_tag: false, key: [octet; 16], salt: [octet; 14] };
    let srtp = Some(Box::new(Srtp { send: key(1), receive: key(2), mki: 0 }));
    let mut theirs = Sending::new(Key { short_tag: false, key: [2; 16], salt: [2; 14] });
    let mut now = Instant::now();
    let mut graph = Graph::new(now, Duration::from_millis(200), Entropy::seeded(1));
    let spec = Box::new(RtpSpec { srtp, ..*spec(peer) });
    graph.apply(now, Command::Open(CALLER, Spec::Rtp(spec, Reservation::simulated(peer))));
    let (mut bytes, mut taken, mut allocated) = ([0; 2000], 0, 0);
    for n in 0..3000_u16 {
        let length = packet(n, &mut bytes);
        let length = theirs.protect(&mut bytes, length).expect("it fits");
        let before = HERE.with(Cell::get);
        graph.datagram(now, CALLER, peer, &bytes[..length]);
        now += Duration::from_millis(20);
        graph.run(now);
        let mut reported = false;
        while let Some(packet) = graph.transmit() {
            reported |= is_rtcp(packet.bytes);
        }
        while graph.event().is_some() {}
        // The first packet makes a source known; that costs more.
        if n > 10 && !reported {
            (taken, allocated) = (taken + 1, allocated + HERE.with(Cell::get) - before);
        }
    }
    // Taken and given back, in and out.
    assert_eq!(allocated, taken * 4, "{taken} packets each way");
}

#[test]
fn a_worker_with_a_call_up_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let config = Config {
            cores: Vec::new(),
            realtime: false,
            ports: 37_000..=37_099,
            bind: None,
            dscp: 46,
            jitter_max: Duration::from_millis(200),
        };
        let engine = Engine::start(config, Vec::new(), |_, _| {}).expect("started");
        let caller = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = engine.reserve(IpAddr::from(Ipv4Addr::LOCALHOST)).expect("a port");
        let local = port.local();
        let lane = engine.place();
        let rate = SampleRate::Hz16000;
        let (stream, mut bot) = pair(StreamSpec { rate, prebuffer: Duration::from_millis(60) });
        // Nobody is told anything by RTCP: its reports are the exception.
        let nobody = Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let spec = Box::new(RtpSpec { rtcp: nobody, ..*spec(caller.local_addr().expect("bound")) });
        lane.send(Command::Open(CALLER, Spec::Rtp(spec, port))).await;
        lane.send(Command::Open(BOT, Spec::Stream(stream))).await;
        lane.send(Command::Link(Link::plain(CALLER, BOT))).await;
        lane.send(Command::Link(Link::plain(BOT, CALLER))).await;
        for _ in 0..20 {
            bot.play(Play::Audio(vec![1000; rate.samples(20)])).expect("room");
        }
        let (mut bytes, mut samples, mut before) = ([0; 2000], [0; 480], 0);
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        for n in 0..150 {
            ticks.tick().await;
            let length = packet(n, &mut bytes);
            caller.send_to(&bytes[..length], local).expect("sent");
            talk(&mut bot, &mut samples);
            if n == 50 {
                before = ON_CORES.load(Ordering::Relaxed);
                assert!(before > 0, "the worker's thread is known by its name");
            }
        }
        assert_eq!(ON_CORES.load(Ordering::Relaxed) - before, 0);
        let taken = engine.cores()[0].tally.packets_in;
        assert!(taken >= 100, "{taken} packets went through the worker");
        drop(lane);
        engine.stop().await;
    });
}

/// What the media side of an ordinary call takes: both ports, their rings, links, packets and events.
#[test]
fn the_media_side_of_a_call_is_small() {
    let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 4000));
    let now = Instant::now();
    let held = || HELD.with(Cell::get);
    for (rate, most) in [(SampleRate::Hz8000, 16), (SampleRate::Hz24000, 22)] {
        // Filters are made once for all calls.
        drop(pair(StreamSpec { rate, prebuffer: Duration::from_millis(60) }));
        let began = held();
        let (stream, bot) = pair(StreamSpec { rate, prebuffer: Duration::from_millis(60) });
        let rings = held() - began;
        let mut graph = Graph::new(now, Duration::from_millis(200), Entropy::seeded(1));
        let empty = held() - began - rings;
        graph.apply(now, Command::Open(CALLER, Spec::Rtp(spec(peer), Reservation::simulated(peer))));
        let rtp = held() - began - rings - empty;
        graph.apply(now, Command::Open(BOT, Spec::Stream(stream)));
        graph.apply(now, Command::Link(Link::plain(CALLER, BOT)));
        graph.apply(now, Command::Link(Link::plain(BOT, CALLER)));
        let all = held() - began;
        let told = format!(
            "{rate}: {all} octets: stream and rings {rings}, graph {empty}, RTP port {rtp}, the rest links"
        );
        assert!(all <= most * 1024, "{told}");
        drop((graph, bot));
    }
}
