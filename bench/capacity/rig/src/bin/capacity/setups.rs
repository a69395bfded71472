//! Set-ups without audio: how long one takes, what it costs, and how many there can be.

use std::time::Duration;

use rig::process::descriptors;
use serde_json::{Value, json};

use crate::judge::PACE_P99_MS;
use crate::run::{Edge, Ground, Subject, is_idle_again};

/// Of the passes that tell times: so many calls, so many a second.
const CALLS: u32 = 800;
const RATE: u32 = 40;
/// The ramp begins here and takes steps of half as much again, each so long.
const RAMP_FROM: u32 = 100;
const RAMP_TO: u32 = 4000;
const STEP_SECONDS: u32 = 4;
/// A step with a slower set-up than this, 1 of 100, is not clean.
const RAMP_P99_MS: f64 = 100.0;
/// reliability R-5: everything is given back within 64 x T1 + 3 s.
const GIVEN_BACK: Duration = Duration::from_secs(35);
/// The bounds under test are those of the machine, not those of the configuration.
const UNBOUNDED: &str =
    "[limits]\ncalls_per_second = 100000\nsource_requests_per_second = 1000000\ncpu_percent = 0\n";

/// Set-ups and tear-downs at one rate.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    pub calls: u32,
    pub rate: u32,
    pub failed: u64,
    pub why: Value,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// How long after its time the generator sent 1 of 100 INVITEs.
    pub late_ms: f64,
    /// Processor time of one set-up with its tear-down.
    pub cpu_ms: f64,
    /// Cores the subject was busy on, on average.
    pub cores: f64,
    /// Handshakes that took up a session again.
    pub resumed: u64,
    pub full: u64,
}

impl Pass {
    fn of(told: &Value, rate: u32, calls: u32, before: (u64, u64), after: (u64, u64)) -> Self {
        let number = |path: &str| told.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let cpu_ms = number("/sut_cpu_total_ms");
        Self {
            calls,
            rate,
            failed: told["failed"].as_u64().unwrap_or(u64::from(calls))
                + told["early_bye"].as_u64().unwrap_or(0),
            why: told["why"].clone(),
            p50_ms: number("/invite_to_200_ms/p50"),
            p99_ms: number("/invite_to_200_ms/p99"),
            late_ms: number("/place_err_ms/p99"),
            cpu_ms: cpu_ms / f64::from(calls),
            cores: cpu_ms / 1000.0 / number("/place_s"),
            full: after.0 - before.0,
            resumed: after.1 - before.1,
        }
    }

    /// Why the times of full handshakes cannot be judged, if they cannot.
    pub fn fault(&self) -> Option<String> {
        if self.failed > 0 {
            return Some(format!("{} of {} set-ups failed ({})", self.failed, self.calls, self.why));
        }
        if self.late_ms > PACE_P99_MS {
            return Some(format!(
                "the generator was late: 1 of 100 INVITEs left {:.1} ms or more after its time, {PACE_P99_MS} are allowed",
                self.late_ms
            ));
        }
        (self.resumed > 0).then(|| format!("{} handshakes were not full", self.resumed))
    }

    fn is_clean(&self) -> bool {
        self.failed == 0 && self.p99_ms <= RAMP_P99_MS
    }

    /// Set-ups a second on one core.
    pub fn per_core(&self) -> f64 {
        f64::from(self.rate) / self.cores
    }

    fn json(&self) -> Value {
        json!({
            "calls": self.calls, "rate": self.rate, "failed": self.failed, "why": self.why, "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms, "late_p99_ms": self.late_ms, "cpu_ms": self.cpu_ms, "cores": self.cores, "full": self.full, "resumed": self.resumed,
        })
    }
}

/// Everything about set-ups.
pub struct Setups {
    pub full: Pass,
    pub resumed: Pass,
    pub floor: Option<Pass>,
    pub ramp: Vec<Pass>,
    /// Why the ramp went no further.
    pub stopped: String,
    pub idle_again: bool,
}

impl Setups {
    /// The highest rate that was clean.
    pub fn best(&self) -> Option<&Pass> {
        self.ramp.iter().filter(|pass| pass.is_clean()).max_by_key(|pass| pass.rate)
    }

    pub fn json(&self) -> Value {
        json!({
            "full": self.full.json(), "resumed": self.resumed.json(), "floor": self.floor.as_ref().map(Pass::json),
            "ramp": self.ramp.iter().map(Pass::json).collect::<Vec<_>>(), "stopped": self.stopped,
            "idle_again": self.idle_again,
        })
    }
}

/// The passes, then the ramp.
pub fn measure(ground: &Ground) -> Result<Setups, String> {
    let floor = one(ground, Subject::Floor, false)?;
    let full = one(ground, Subject::Product, false)?;
    let resumed = one(ground, Subject::Product, true)?;
    let (ramp, stopped, idle_again) = ramp(ground)?;
    Ok(Setups { full, resumed, floor: Some(floor), ramp, stopped, idle_again })
}

fn edge(ground: &Ground, subject: Subject, resume: bool, more: &str) -> Result<Edge, String> {
    let (bot, bot_port) = ground.bot("sink", resume)?;
    let (subject, sip) = match subject {
        Subject::Floor => ground.floor(bot_port)?,
        Subject::Product => ground.product(bot_port, more)?,
    };
    std::thread::sleep(Duration::from_secs(1));
    Ok(Edge { subject, bot, sip, bot_port })
}

fn one(ground: &Ground, subject: Subject, resume: bool) -> Result<Pass, String> {
    let edge = edge(ground, subject, resume, "")?;
    let pass = pass(ground, &edge, RATE, CALLS)?;
    println!("{}", line(subject.name(), &pass));
    Ok(pass)
}

fn line(name: &str, pass: &Pass) -> String {
    let Pass { calls, rate, p50_ms, p99_ms, cpu_ms, full, resumed, failed, .. } = pass;
    format!(
        "{name:<8} {calls:>4} set-ups at {rate} a second: INVITE to 200 p50 {p50_ms:.2} p99 {p99_ms:.2} ms, CPU \
         {cpu_ms:.2} ms, {full} full and {resumed} resumed handshakes, {failed} failed, generator late p99 {:.2} ms",
        pass.late_ms
    )
}

fn pass(ground: &Ground, edge: &Edge, rate: u32, calls: u32) -> Result<Pass, String> {
    let handshakes = || -> (u64, u64) {
        let told = ask(edge.bot_port);
        (told["full"].as_u64().unwrap_or(0), told["resumed"].as_u64().unwrap_or(0))
    };
    let before = handshakes();
    let (calls_text, rate_text) = (calls.to_string(), rate.to_string());
    let args = ["--setup-only", "--no-rtp", "--hold", "0", "--calls", &calls_text, "--cps", &rate_text];
    let told = ground.load(edge, &args, Duration::from_secs(u64::from(calls / rate) + 90))?;
    Ok(Pass::of(&told, rate, calls, before, handshakes()))
}

/// What the bot counts, asked on its control port.
fn ask(port: u16) -> Value {
    let asked = || -> std::io::Result<String> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.send_to(b"stop", ("127.0.0.1", port))?;
        let mut buffer = [0; 65536];
        let length = socket.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    asked().ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null)
}

/// Steps up until one is not clean, and once between the last two.
fn ramp(ground: &Ground) -> Result<(Vec<Pass>, String, bool), String> {
    let edge = edge(ground, Subject::Product, false, UNBOUNDED)?;
    let idle = descriptors(edge.subject.pid());
    let mut passes: Vec<Pass> = Vec::new();
    let mut step = |rate: u32| -> Result<Option<String>, String> {
        let pass = pass(ground, &edge, rate, rate * STEP_SECONDS)?;
        println!("{}", line("ramp", &pass));
        let stopped = match &pass {
            Pass { failed: 1.., .. } => {
                Some(format!("{} of {} failed at {rate} a second ({})", pass.failed, pass.calls, pass.why))
            }
            _ if !pass.is_clean() => Some(format!(
                "p99 {:.0} ms at {rate} a second, the generator itself late by {:.0} ms",
                pass.p99_ms, pass.late_ms
            )),
            _ => None,
        };
        passes.push(pass);
        Ok(stopped)
    };
    let (mut rate, mut clean) = (RAMP_FROM, 0);
    let stopped = loop {
        match step(rate)? {
            None if rate >= RAMP_TO => break format!("{RAMP_TO} a second was clean, too"),
            None => (clean, rate) = (rate, rate * 3 / 2),
            Some(why) => break why,
        }
        std::thread::sleep(Duration::from_secs(1));
    };
    if clean > 0 && rate > clean {
        step((clean + rate) / 2)?;
    }
    let again = is_idle_again(edge.subject.pid(), idle, GIVEN_BACK);
    Ok((passes, stopped, again))
}
