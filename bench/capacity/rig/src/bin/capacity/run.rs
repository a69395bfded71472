//! One run: a bot, the floor or the product, and the generator, from their start to their end.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use rig::machine::{self, Ticks};
use rig::process::{descriptors, memory_kb, proc_cpu_ns};
use rig::programs::{Program, certificate, configuration, free_port, is_bound, page, sibling};
use serde_json::{Value, json};

use crate::judge;

/// Calls placed a second, while those that are up talk.
const PACE: &str = "40";
/// What has just started is idle after this.
const SETTLES: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Floor,
    Product,
}

impl Subject {
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Product => "product",
        }
    }
}

/// Where and how it is measured.
pub struct Ground {
    product: PathBuf,
    pub folder: PathBuf,
    warm: f64,
    window: f64,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Run {
    pub subject: Subject,
    pub round: u32,
    pub calls: u32,
    /// Resident and anonymous memory before the first call.
    pub idle_kb: (u64, u64),
    /// What the generator told, the bot's figures within.
    pub told: Value,
    /// Parts of the machine's time, in percent: stolen by the host, and used by anybody else.
    pub stolen: f64,
    pub others: f64,
    /// Load averages before it began.
    pub load: String,
}

impl Run {
    /// A figure of the generator; a number among several by its place.
    pub fn figure(&self, path: &str) -> Option<f64> {
        self.told.pointer(path)?.as_f64()
    }

    /// Why this run cannot be judged, if it cannot.
    pub fn fault(&self) -> Option<String> {
        judge::fault(&self.told, self.calls)
    }

    pub fn json(&self) -> Value {
        json!({
            "subject": self.subject.name(), "round": self.round, "calls": self.calls,
            "idle_rss_kb": self.idle_kb.0, "idle_anon_kb": self.idle_kb.1, "stolen_percent": self.stolen,
            "others_percent": self.others, "load_before": self.load, "refused": self.fault(), "told": self.told,
        })
    }
}

/// The edge that is measured, with its bot.
pub struct Edge {
    pub subject: Program,
    pub bot: Program,
    pub sip: u16,
    pub bot_port: u16,
}

impl Ground {
    pub fn new(product: PathBuf, folder: PathBuf, warm: f64, window: f64) -> Result<Self, String> {
        if !product.is_file() {
            return Err(format!("--streamkit `{}`: no such program", product.display()));
        }
        certificate(&folder)?;
        Ok(Self { product, folder, warm, window })
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    pub fn bot(&self, mode: &str, resume: bool) -> Result<(Program, u16), String> {
        let port = free_port();
        let (certificate, key) = (self.file("certificate.der"), self.file("key.der"));
        let number = port.to_string();
        let mut args = vec!["--port", &number, "--wire", "json", "--chunk-ms", "20", "--mode", mode];
        args.extend(["--tls-cert", &certificate, "--tls-key", &key]);
        args.extend(resume.then_some("--resume"));
        let mut bot = Program::start(&sibling("echobot"), &args, &self.folder)?;
        bot.until("control port", || is_bound(port))?;
        Ok((bot, port))
    }

    pub fn floor(&self, bot_port: u16) -> Result<(Program, u16), String> {
        let sip = free_port();
        let (ca, sip_text, bot_text) = (self.file("certificate.der"), sip.to_string(), bot_port.to_string());
        let args = ["--sip-port", &sip_text, "--bot-port", &bot_text, "--wire", "json", "--tls-ca", &ca];
        let mut floor = Program::start(&sibling("floor"), &args, &self.folder)?;
        floor.until("SIP port", || is_bound(sip))?;
        Ok((floor, sip))
    }

    /// The product with every default, and these further tables.
    pub fn product(&self, bot_port: u16, more: &str) -> Result<(Program, u16), String> {
        let (sip, http) = (free_port(), free_port());
        let path = self.folder.join("streamkit.toml");
        let text = configuration(&self.folder, sip, http, bot_port, more);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        let args = ["serve", "-c", &path.to_string_lossy()];
        let mut product = Program::start(&self.product, &args, &self.folder)?;
        product.until("ready", || page(http, "/readyz").is_some())?;
        Ok((product, sip))
    }

    /// Starts one of them with a bot that talks in real time.
    fn edge(&self, subject: Subject) -> Result<Edge, String> {
        let (bot, bot_port) = self.bot("talk", false)?;
        let (subject, sip) = match subject {
            Subject::Floor => self.floor(bot_port)?,
            Subject::Product => self.product(bot_port, "")?,
        };
        sleep(SETTLES);
        Ok(Edge { subject, bot, sip, bot_port })
    }

    /// The generator against an edge; what it told.
    pub fn load(&self, edge: &Edge, args: &[&str], longest: Duration) -> Result<Value, String> {
        let (sip, bot, sut) =
            (edge.sip.to_string(), edge.bot_port.to_string(), edge.subject.pid().to_string());
        let own = free_port().to_string();
        let mut all =
            vec!["--target-port", &sip, "--bot-port", &bot, "--sut-pid", &sut, "--local-port", &own];
        all.extend(args);
        let mut generator = Program::start(&sibling("sipload"), &all, &self.folder)?;
        let well = generator.wait(longest)?;
        let text = std::fs::read_to_string(self.folder.join("sipload.log")).unwrap_or_default();
        match serde_json::from_str(&text) {
            Ok(told) if well => Ok(told),
            _ => Err(format!("sipload said: {}", text.trim())),
        }
    }

    pub fn run(&self, subject: Subject, round: u32, calls: u32) -> Result<Run, String> {
        let load = machine::load();
        let edge = self.edge(subject)?;
        let idle_kb = memory_kb(edge.subject.pid());
        let ours = [std::process::id() as i32, edge.subject.pid(), edge.bot.pid()];
        let used = || ours.iter().map(|pid| proc_cpu_ns(*pid)).sum::<u64>();
        let (before, used_before) = (Ticks::now(), used());
        let (calls_text, warm, window) = (calls.to_string(), self.warm.to_string(), self.window.to_string());
        let longest = Duration::from_secs_f64(f64::from(calls) / 40.0 + self.warm + self.window + 60.0);
        let args = ["--calls", &calls_text, "--cps", PACE, "--warm", &warm, "--win", &window];
        let told = self.load(&edge, &args, longest)?;
        let (busy, stolen) = Ticks::now().since(&before);
        let seconds = f64::from(calls) / 40.0 + self.warm + self.window;
        // What the generator used is known for the window alone; it was as busy before, when it placed the calls.
        let generator = told["load_cpu_ms_per_call_s"].as_f64().unwrap_or(0.0) * f64::from(calls) / 1000.0;
        let own = (used() - used_before) as f64 / 1e9 / seconds + generator;
        let others = (busy - own / machine::cores() as f64 * 100.0).max(0.0);
        Ok(Run { subject, round, calls, idle_kb, told, stolen, others, load })
    }
}

/// Waits until a process has no more descriptors than it had; whether it came to that.
pub fn is_idle_again(pid: i32, before: usize, longest: Duration) -> bool {
    let end = std::time::Instant::now() + longest;
    while descriptors(pid) > before {
        if std::time::Instant::now() > end {
            return false;
        }
        sleep(Duration::from_millis(200));
    }
    true
}
