//! What a bad bot does to the calls beside its own (reliability R-51, R-65): frame times of twenty quiet calls, alone,
//! beside bots that read nothing, and beside bots that flood their sockets. Engine, streams and sockets are real; all
//! calls share one media core, which carries their streams, too.
//!
//! ```text
//!   measuring thread ◄── RTP ── engine ── rings ── streams (its own) ──┬─ WebSocket ── quiet bots (a thread)
//!                                                                      └─ WebSocket ── bad bots (another)
//! ```
//!
//! Measured is how far each frame's distance from the one before is from 20 ms: what a part adds at the 99th percentile
//! to the calls alone is told in milliseconds, which must be 5 at most, and as a ratio.
//!
//! A quiet bot speaks all the time, so a silent frame is one that came too late, from whomever. How late the quiet bots
//! themselves were with what they sent, and how late a thread was that did nothing but sleep for a millisecond at a
//! time, tells whose fault that was: theirs, the machine's, or ours.
//!
//! `cargo bench --bench neighbours`; each part lasts `NEIGHBOURS_SECONDS`, 10 unless said otherwise.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a clock and a table are what a benchmark is for

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use streamkit::ids::{CallKey, CallSid, Entropy, PortId, StreamSid};
use streamkit::media::{
    Command, Config, Engine, G711, Lane, Latch, LatchMode, Link, RtpSpec, Spec, StreamSpec, pair,
};
use streamkit::stream::io::{Connector, Lane as StreamLane, Lanes, Open, Trust, run};
use streamkit::stream::{self, BotUrl, Egress, Event, Settings, Start, Stop};
use streamkit::units::SampleRate;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const FRAME: Duration = Duration::from_millis(20);
const QUIET: u64 = 20;
const BAD: u64 = 4;
/// R-51.
const MOST: Duration = Duration::from_millis(5);

/// What a bot does.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Says 20 ms every 20 ms and reads what comes.
    Quiet,
    /// Has said a minute, and reads nothing.
    Stalled,
    /// Sends small audio, marks and clears as fast as the socket takes them, and reads nothing it can help.
    Flooding,
}

fn main() -> ExitCode {
    let asked = std::env::var("NEIGHBOURS_SECONDS").ok().and_then(|text| text.parse().ok());
    let trial = std::env::args().any(|argument| argument == "--test");
    let lasts = Duration::from_secs(if trial { 1 } else { asked.unwrap_or(10) });
    let bots = Bots { quiet: threads(1), bad: threads(1), late: Arc::default() };
    println!("{QUIET} calls for {lasts:?} each; distance of frames from 20 ms:");
    let alone = part("alone", &bots, None, lasts);
    let mut sound = true;
    for (name, manner) in
        [("beside stalled bots", Manner::Stalled), ("beside flooding bots", Manner::Flooding)]
    {
        let beside = part(name, &bots, Some(manner), lasts);
        let (more, ratio) =
            (beside.saturating_sub(alone), beside.as_secs_f64() / alone.as_secs_f64().max(1e-6));
        sound &= more <= MOST;
        println!("{:24} p99 {ratio:.2} times that of alone, {more:?} more: {}", "", verdict(more <= MOST));
    }
    if sound || trial { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn verdict(sound: bool) -> &'static str {
    if sound { "sound" } else { "too much" }
}

/// Where bots live: the bad ones do not hold up the others.
struct Bots {
    quiet: Runtime,
    bad: Runtime,
    /// The latest that a quiet bot has been, in microseconds.
    late: Arc<AtomicU64>,
}

fn threads(count: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(count).enable_all().build().expect("a runtime")
}

/// One measurement: the 99th percentile.
fn part(name: &str, bots: &Bots, bad: Option<Manner>, lasts: Duration) -> Duration {
    let phones = UdpSocket::bind((LOCAL, 0)).expect("a port");
    phones.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let peer = phones.local_addr().expect("bound");
    let runtime = threads(1);
    let (quiet, calls) = runtime.block_on(async {
        let engine = engine();
        let (mut quiet, mut calls) = (Vec::new(), Vec::new());
        for number in 0..QUIET {
            let call = Call::open(&engine, bots, number, peer, Manner::Quiet).await;
            quiet.push(call.from);
            calls.push(call);
        }
        for number in QUIET..QUIET + bad.map_or(0, |_| BAD) {
            calls.push(Call::open(&engine, bots, number, peer, bad.unwrap_or(Manner::Quiet)).await);
        }
        (quiet, (engine, calls))
    });
    let machine = Sleeper::start();
    let (mut off, silent) = measure(&phones, &quiet, &bots.late, lasts);
    let (bot, machine) = (Duration::from_micros(bots.late.load(Relaxed)), machine.latest());
    drop((calls, runtime));
    off.sort_unstable();
    let at = |share: usize| off[(off.len() - 1) * share / 1000];
    let (half, most, last) = (at(500), at(990), at(1000));
    let silent = 100.0 * silent as f64 / off.len() as f64;
    println!("{name:24} p50 {half:?}, p99 {most:?}, longest {last:?} of {} frames", off.len());
    println!("{:24} {silent:.2} % silent; latest quiet bot {bot:?}, latest sleeper {machine:?}", "");
    most
}

/// A thread that only sleeps: when it wakes late, the machine was busy or away.
struct Sleeper(Arc<AtomicBool>, JoinHandle<Duration>);

impl Sleeper {
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&over);
        let nap = Duration::from_millis(1);
        let thread = std::thread::spawn(move || {
            let mut latest = Duration::ZERO;
            while !asked.load(Relaxed) {
                let slept = Instant::now();
                std::thread::sleep(nap);
                latest = latest.max(slept.elapsed().saturating_sub(nap));
            }
            latest
        });
        Self(over, thread)
    }

    fn latest(self) -> Duration {
        self.0.store(true, Relaxed);
        self.1.join().expect("it only slept")
    }
}

fn engine() -> (Engine, StreamLane) {
    let config = Config {
        cores: Vec::new(),
        realtime: false,
        ports: 36_000..=36_999,
        bind: None,
        dscp: 46,
        jitter_max: Duration::from_millis(200),
    };
    let (lanes, streams) = Lanes::new(1).expect("descriptors");
    (Engine::start(config, streams, |_, _| {}).expect("the engine starts"), lanes.on(0))
}

/// Distances from 20 ms of the frames of these sockets, after a second to settle; and how many were silent, which
/// their bots are not.
fn measure(
    phones: &UdpSocket,
    quiet: &[SocketAddr],
    late: &AtomicU64,
    lasts: Duration,
) -> (Vec<Duration>, usize) {
    let (began, mut bytes) = (Instant::now(), [0; 2000]);
    let (settled, over) = (began + Duration::from_secs(1), began + Duration::from_secs(1) + lasts);
    let mut last: HashMap<SocketAddr, Instant> = HashMap::new();
    let (mut off, mut silent) = (Vec::with_capacity(1 << 16), 0);
    while let Ok((length, from)) = phones.recv_from(&mut bytes) {
        let now = Instant::now();
        if now >= over {
            break;
        }
        if length != 172 || !quiet.contains(&from) {
            continue; // a report, or another call's
        }
        if off.is_empty() {
            late.store(0, Relaxed); // what came before was the beginning of calls
        }
        if let Some(before) = last.insert(from, now).filter(|before| *before >= settled) {
            off.push((now - before).abs_diff(FRAME));
            silent += usize::from(bytes[12..length].iter().all(|&octet| octet == 0xFF));
        }
    }
    assert!(off.len() as u64 > QUIET * 40 * lasts.as_secs(), "frames came: {}", off.len());
    (off, silent)
}

/// A call with its bot.
struct Call {
    from: SocketAddr,
    _lane: Lane,
    commands: mpsc::Sender<stream::Command>,
}

impl Call {
    async fn open(
        (engine, streams): &(Engine, StreamLane),
        bots: &Bots,
        number: u64,
        peer: SocketAddr,
        manner: Manner,
    ) -> Self {
        let url = listen(bots, manner).await;
        let reserved = engine.reserve(LOCAL).expect("a port");
        let (from, lane) = (reserved.local(), engine.place());
        let rate = SampleRate::Hz8000;
        let (port, end) = pair(StreamSpec { rate, prebuffer: Duration::from_millis(60) });
        let id = |index| PortId { call: CallKey(number + 1), index };
        let latch = Latch { mode: LatchMode::Strict, signalling: LOCAL, networks: Vec::new() };
        let spec = RtpSpec { latch, timeout: Duration::ZERO, ..RtpSpec::new(peer, G711::Mu) };
        lane.send(Command::Open(id(0), Spec::Rtp(Box::new(spec), reserved))).await;
        lane.send(Command::Open(id(1), Spec::Stream(port))).await;
        lane.send(Command::Link(Link::plain(id(0), id(1)))).await;
        lane.send(Command::Link(Link::plain(id(1), id(0)))).await;
        let (commands, orders) = mpsc::channel(4);
        let (up, mut begun) = mpsc::channel(1);
        let open = Open {
            config: Arc::new(stream::Config::default()),
            url: BotUrl::parse(&url).expect("a URL"),
            start: start(number, rate),
            settings: Settings::of(&stream::Config::default()),
            keys: stream::Keys::Clear,
            end,
            connector: Arc::new(Connector::new(&Trust::default()).expect("the system's roots")),
            lane: streams.clone(),
            egress: Egress::Configured,
            trace: None,
            kept: Vec::new(),
            leave: None,
        };
        tokio::spawn(run(open, orders, move |event| {
            if matches!(event, Event::Up { .. }) {
                let _ = up.try_send(());
            }
        }));
        begun.recv().await.expect("the bot is up");
        Self { from, _lane: lane, commands }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = self.commands.try_send(stream::Command::Stop(Stop::Stopped));
    }
}

fn start(number: u64, rate: SampleRate) -> Start {
    let mut entropy = Entropy::seeded(number);
    Start {
        stream_sid: StreamSid::fresh(&mut entropy),
        call_sid: CallSid::fresh(&mut entropy),
        account_sid: "acme1".into(),
        from: "sip:08061234509".into(),
        to: "01512340321".into(),
        custom_parameters: vec![],
        rate,
    }
}

/// Where a bot of this manner waits for its one call.
async fn listen(bots: &Bots, manner: Manner) -> String {
    let home = if matches!(manner, Manner::Quiet) { &bots.quiet } else { &bots.bad };
    let late = Arc::clone(&bots.late);
    let listener = home.spawn(TcpListener::bind((LOCAL, 0))).await.expect("it runs").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    home.spawn(async move {
        let (socket, _) = listener.accept().await.expect("a stream");
        let mut bot = accept_async(socket).await.expect("an upgrade");
        let media = |samples: usize| {
            let payload = base64_simd::STANDARD.encode_to_string([0, 32].repeat(samples));
            Message::text(format!(r#"{{"event":"media","media":{{"payload":"{payload}"}}}}"#))
        };
        match manner {
            Manner::Quiet => {
                let (mut say, mut hear) = bot.split();
                let mut clock = tokio::time::interval(FRAME);
                loop {
                    tokio::select! {
                        due = clock.tick() => {
                            late.fetch_max(due.elapsed().as_micros() as u64, Relaxed);
                            if say.send(media(160)).await.is_err() {
                                return;
                            }
                        }
                        heard = hear.next() => if !matches!(heard, Some(Ok(_))) { return },
                    }
                }
            }
            Manner::Stalled => {
                for _ in 0..6 {
                    let _ = bot.send(media(8 * 10_000)).await;
                }
                std::future::pending::<()>().await; // the socket stays open
            }
            Manner::Flooding => {
                let (audio, mark) = (media(10), r#"{"event":"mark","mark":{"name":"m"}}"#);
                let clear = r#"{"event":"clear"}"#;
                for n in 0_u32.. {
                    let message = match n % 8 {
                        6 => Message::text(mark),
                        7 if n % 800 == 799 => Message::text(clear),
                        _ => audio.clone(),
                    };
                    if bot.send(message).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    format!("ws://127.0.0.1:{port}/")
}
