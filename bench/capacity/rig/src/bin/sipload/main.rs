//! A caller for many calls: INVITE with PCMU, ACK, RTP of 20 ms paced from one socket a call, BYE.
//!
//! Calls are placed at `--cps`; when all are up (or have failed) and `--warm` seconds are over, the bot is told to
//! begin and for `--win` seconds everything is measured: processor time, memory and context switches of `--sut-pid`,
//! RTP that comes back, the delay from the bot to here. The bot knows the other direction. Then all hang up, and one
//! JSON object is printed. With `--setup-only` each call is hung up `--hold` ms after its ACK and nothing is measured
//! but set-ups.

mod call;
mod media;
mod sip;
mod window;

use std::collections::HashMap;

use call::{Call, Names, State};
use rig::args::{arg, flag, help, text};
use rig::histogram::Histogram;
use rig::net::{Epoll, LO, local_port, sendto, set_rcvbuf, udp_socket};
use rig::process::{memory_kb, now_us, proc_cpu_ns, raise_descriptors};
use serde_json::{Value, json};
use window::Window;

const USAGE: &str = "\
sipload --target-port N [--calls 1] [--cps 50] [--warm 5] [--win 15] [--sut-pid PID] [--bot-port N]
        [--local-port 5071] [--user bot] [--label TEXT] [--setup-only --no-rtp --hold MS]";
const KNOWN: &[&str] = &[
    "--target-port",
    "--calls",
    "--cps",
    "--warm",
    "--win",
    "--sut-pid",
    "--bot-port",
    "--local-port",
    "--user",
    "--label",
    "--setup-only",
    "--no-rtp",
    "--hold",
];
/// The socket of signalling among those of the calls.
const SIP: u64 = u64::MAX;
/// Whoever does not end within this is left.
const ENDS_US: u64 = 15_000_000;

/// What is asked for.
struct Options {
    calls: usize,
    cps: f64,
    warm_us: u64,
    window_us: u64,
    hold_us: u64,
    sut: i32,
    bot_port: u16,
    no_rtp: bool,
    setup_only: bool,
    label: String,
}

#[derive(PartialEq, Clone, Copy)]
enum Phase {
    Placing,
    Warm,
    Window,
    Ending,
    Over,
}

struct Load {
    options: Options,
    names: Names,
    sip: i32,
    control: i32,
    epoll: Epoll,
    calls: Vec<Call>,
    ids: HashMap<String, usize>,
    /// Calls by the millisecond of 20 in which they speak.
    wheel: Vec<Vec<usize>>,
    last_ms: u64,
    phase: Phase,
    since: u64,
    began: u64,
    placed: usize,
    all_up_us: u64,
    early_bye: u64,
    repeated: u64,
    setup: Histogram,
    bye: Histogram,
    /// How long after its time an INVITE left.
    placing: Histogram,
    window: Window,
    report: Value,
}

fn main() {
    help(USAGE, KNOWN);
    raise_descriptors();
    let mut load = Load::new();
    let sut = load.options.sut;
    let before = (memory_kb(sut), proc_cpu_ns(sut));
    load.began = now_us();
    while load.phase != Phase::Over {
        load.turn();
    }
    println!("{}", load.told(before.0, proc_cpu_ns(sut).saturating_sub(before.1)));
}

impl Load {
    fn new() -> Self {
        let seconds = |name: &str, default: &str| (arg::<f64>(name, default) * 1e6) as u64;
        let options = Options {
            calls: arg("--calls", "1"),
            cps: arg("--cps", "50"),
            warm_us: seconds("--warm", "5"),
            window_us: seconds("--win", "15"),
            hold_us: arg::<u64>("--hold", "500") * 1000,
            sut: arg("--sut-pid", "0"),
            bot_port: arg("--bot-port", "0"),
            no_rtp: flag("--no-rtp"),
            setup_only: flag("--setup-only"),
            label: text("--label", ""),
        };
        let sip = udp_socket(arg("--local-port", "5071"));
        set_rcvbuf(sip, 4 << 20);
        let epoll = Epoll::new();
        epoll.add(sip, SIP);
        let names = Names {
            run: now_us(),
            port: local_port(sip),
            target: arg("--target-port", "5060"),
            user: text("--user", "bot"),
        };
        // Without RTP one socket stands for all of them: nothing is read from it.
        let shared = options.no_rtp.then(|| udp_socket(0));
        let open = |i: usize| {
            let rtp = shared.unwrap_or_else(|| udp_socket(0));
            if shared.is_none() {
                set_rcvbuf(rtp, 256 << 10);
                epoll.add(rtp, i as u64);
            }
            Call::new(&names, i, rtp, local_port(rtp))
        };
        let calls: Vec<Call> = (0..options.calls).map(open).collect();
        let ids = (0..options.calls).map(|i| (names.call_id(i), i)).collect();
        let bot = if options.bot_port > 0 {
            ask(udp_socket(0), options.bot_port, b"pid", 1000)
        } else {
            String::new()
        };
        Self {
            window: Window::new(options.sut, bot.parse().unwrap_or(0)),
            options,
            names,
            sip,
            control: udp_socket(0),
            epoll,
            calls,
            ids,
            wheel: vec![Vec::new(); 20],
            last_ms: now_us() / 1000,
            phase: Phase::Placing,
            since: 0,
            began: 0,
            placed: 0,
            all_up_us: 0,
            early_bye: 0,
            repeated: 0,
            setup: Histogram::default(),
            bye: Histogram::default(),
            placing: Histogram::default(),
            report: json!({}),
        }
    }

    /// Waits until the next millisecond at the longest and does what there is to do.
    fn turn(&mut self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
        let ready = self.epoll.wait_us(&mut events, 1000 - now_us() % 1000);
        let tokens: Vec<u64> = ready.iter().map(|event| event.u64).collect();
        for token in tokens {
            match token {
                SIP => self.read_sip(),
                call => self.read_rtp(call as usize),
            }
        }
        self.speak();
        let now = now_us();
        self.place(now);
        if (now / 1000).is_multiple_of(10) || self.phase == Phase::Ending {
            self.repeat_and_end(now);
        }
        self.proceed(now);
    }

    fn place(&mut self, now: u64) {
        let due = |placed: usize| (now - self.began) as f64 / 1e6 * self.options.cps >= placed as f64;
        while self.placed < self.options.calls && due(self.placed) {
            let late = now_us() - self.began - (self.placed as f64 * 1e6 / self.options.cps) as u64;
            self.placing.add(late as i64);
            self.calls[self.placed].invited(now_us());
            self.send(self.calls[self.placed].invite.as_bytes());
            self.placed += 1;
        }
    }

    fn proceed(&mut self, now: u64) {
        let over = |call: &Call| matches!(call.state, State::Done | State::Failed);
        match self.phase {
            Phase::Placing if self.placed < self.options.calls => {}
            Phase::Placing if self.options.setup_only => {
                if self.calls.iter().all(over) {
                    self.all_up_us = now - self.began;
                    self.enter(Phase::Over, now);
                }
            }
            Phase::Placing => {
                if self.calls.iter().all(|call| call.state != State::Inviting) {
                    self.all_up_us = now - self.began;
                    self.enter(Phase::Warm, now);
                }
            }
            Phase::Warm if now - self.since > self.options.warm_us => self.begin_window(),
            Phase::Window if now - self.since > self.options.window_us => self.end_window(),
            Phase::Ending if self.calls.iter().all(over) || now - self.since > ENDS_US => {
                self.enter(Phase::Over, now)
            }
            Phase::Warm | Phase::Window | Phase::Ending | Phase::Over => {}
        }
    }

    fn enter(&mut self, phase: Phase, now: u64) {
        (self.phase, self.since) = (phase, now);
    }

    fn begin_window(&mut self) {
        self.ask(b"start", 50);
        self.calls.iter_mut().for_each(Call::forget_heard);
        self.window.begin();
        self.enter(Phase::Window, now_us());
    }

    fn end_window(&mut self) {
        let up = self.calls.iter().filter(|call| call.state == State::Up).count();
        let gaps = self.calls.iter().map(|call| call.gaps).sum();
        let mut report = self.window.end(self.since, up, gaps);
        let bot = self.ask(b"stop", 300);
        report["bot"] = serde_json::from_str(&bot).unwrap_or(Value::Null);
        self.report = report;
        self.enter(Phase::Ending, now_us());
    }

    fn send(&self, message: &[u8]) {
        sendto(self.sip, message, LO, self.names.target);
    }

    fn ask(&self, what: &[u8], ms: u64) -> String {
        if self.options.bot_port == 0 {
            return String::new();
        }
        ask(self.control, self.options.bot_port, what, ms)
    }

    fn told(&mut self, memory_before: (u64, u64), cpu_ns: u64) -> Value {
        let mut why: HashMap<&str, u32> = HashMap::new();
        for call in self.calls.iter().filter(|call| !call.why.is_empty()) {
            *why.entry(&call.why).or_default() += 1;
        }
        let failed = self.calls.iter().filter(|call| call.state == State::Failed).count();
        let unheard = self.calls.iter().filter(|call| call.heard == 0).count();
        let mut told = json!({
            "label": self.options.label, "calls": self.options.calls, "failed": failed, "why": why,
            "early_bye": self.early_bye, "calls_without_rx": unheard, "retrans": self.repeated,
            "place_s": self.all_up_us as f64 / 1e6, "sut_cpu_total_ms": cpu_ns as f64 / 1e6,
            "rss_before_kb": memory_before.0, "anon_before_kb": memory_before.1,
            "invite_to_200_ms": self.setup.json(), "bye_to_200_ms": self.bye.json(), "place_err_ms": self.placing.json(),
        });
        if let (Value::Object(told), Value::Object(report)) = (&mut told, &mut self.report) {
            told.append(report);
        }
        told
    }
}

/// Asks the bot on its control port; empty when it says nothing in time.
fn ask(socket: i32, port: u16, what: &[u8], ms: u64) -> String {
    sendto(socket, what, LO, port);
    let end = now_us() + ms * 1000;
    let mut buffer = vec![0; 65536];
    while now_us() < end {
        if let Some((length, _)) = rig::net::recvfrom(socket, &mut buffer) {
            return String::from_utf8_lossy(&buffer[..length]).into_owned();
        }
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    String::new()
}
