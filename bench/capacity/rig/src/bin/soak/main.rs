//! Calls that come and go for a long time, and whether anything stays behind or grows.
//!
//! Exit code 0: flat, and everything was given back; 1: not; 2: too short, or the machine was too busy, to say so;
//! 3: something did not start, or cannot be asked.

mod judge;
mod sample;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use judge::{Finding, Mark};
use rig::args::{arg, help, text};
use rig::machine;
use rig::programs::{Program, certificate, configuration, free_port, is_bound, page, sibling};
use sample::Sample;
use serde_json::{Value, json};

const USAGE: &str = "\
soak --streamkit PATH [--out target/soak] [--minutes 30] [--calls 150] [--each 20-90] [--rate 5] [--every 10]

  --each   seconds a call lasts, drawn between the two; the next takes its place
  --every  seconds between two looks";
const KNOWN: &[&str] =
    &["--streamkit", "--out", "--minutes", "--calls", "--each", "--rate", "--every", "--help"];
/// Everything is given back so long after the last call: 64 x T1 + 3 s (reliability R-5).
const GIVEN_BACK: Duration = Duration::from_secs(35);
/// A line of the table so often.
const TOLD: Duration = Duration::from_secs(60);
/// What has just started is idle after this.
const SETTLES: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    help(USAGE, KNOWN);
    match soak() {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("soak: {why}");
            ExitCode::from(3)
        }
    }
}

/// What runs: the daemon, its bot, and who calls.
struct Ground {
    product: Program,
    _bot: Program,
    http: u16,
}

fn soak() -> Result<u8, String> {
    let product = PathBuf::from(text("--streamkit", ""))
        .canonicalize()
        .map_err(|error| format!("--streamkit: {error}"))?;
    let out = PathBuf::from(text("--out", "target/soak"));
    let folder = out.join("work");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let folder = folder.canonicalize().map_err(|error| error.to_string())?;
    let minutes: f64 = arg("--minutes", "30");
    let sip = free_port();
    let ground = start(&product, &folder, sip)?;
    sleep(SETTLES);
    let idle = ground.look(0.0)?;
    println!(
        "{} cores, {}; load {}; idle: {}",
        machine::cores(),
        machine::processor(),
        machine::load(),
        idle.line()
    );
    let began = Instant::now();
    let (load_json, mut load) = begin_load(&product, &folder, sip, minutes)?;
    let samples = watch(&ground, &mut load, began, Duration::from_secs_f64(minutes * 60.0))?;
    load.wait(GIVEN_BACK + Duration::from_secs(30))?;
    let told: Value = std::fs::read_to_string(load_json)
        .map_err(|error| error.to_string())
        .and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))
        .map_err(|error| format!("the load told nothing: {error}; see {}", folder.display()))?;
    let (left, took) = given_back(&ground, &idle)?;
    println!("after   {}", left.line());
    let findings = judge::findings(&idle, &samples, &left, took, &told);
    conclude(&out, &samples, (&idle, &left), &findings, &told)
}

fn start(product: &Path, folder: &Path, sip: u16) -> Result<Ground, String> {
    certificate(folder)?;
    let (bot_port, http) = (free_port(), free_port());
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (port, der, key) = (bot_port.to_string(), file("certificate.der"), file("key.der"));
    let args = ["--port", &port, "--wire", "json", "--mode", "talk", "--tls-cert", &der, "--tls-key", &key];
    let mut bot = Program::start(&sibling("echobot"), &args, folder)?;
    bot.until("control port", || is_bound(bot_port))?;
    let path = file("streamkit.toml");
    let text = configuration(folder, sip, http, bot_port, "");
    std::fs::write(&path, text).map_err(|error| format!("{path}: {error}"))?;
    let mut product = Program::start(product, &["serve", "-c", &path], folder)?;
    product.until("ready", || page(http, "/readyz").is_some())?;
    Ok(Ground { product, _bot: bot, http })
}

/// The load, by the product's own command; where it tells what it found.
fn begin_load(product: &Path, folder: &Path, sip: u16, minutes: f64) -> Result<(PathBuf, Program), String> {
    // Its words go beside those of the daemon, which has the same name.
    let folder = folder.join("load");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let json = folder.join("load.json");
    drop(std::fs::remove_file(&json)); // of another time
    let (target, seconds) = (format!("sip:1000@127.0.0.1:{sip}"), (minutes * 60.0).to_string());
    let (calls, rate, each) = (text("--calls", "150"), text("--rate", "5"), text("--each", "20-90"));
    let args = [
        "load",
        "--target",
        &target,
        "--calls",
        &calls,
        "--rate",
        &rate,
        "--seconds",
        &seconds,
        "--each",
        &each,
        "--json",
        &json.to_string_lossy(),
    ];
    let load = Program::start(product, &args, &folder)?;
    Ok((json.clone(), load))
}

/// Looks again and again while the load runs.
fn watch(ground: &Ground, load: &mut Program, began: Instant, long: Duration) -> Result<Vec<Sample>, String> {
    let every = Duration::from_secs_f64(arg::<f64>("--every", "10").max(1.0));
    let mut samples: Vec<Sample> = Vec::new();
    let mut told = Instant::now();
    while began.elapsed() + every < long {
        sleep(every);
        if let Some(ended) = load.ended() {
            return Err(format!("the load ended before its time: {ended}"));
        }
        let sample = ground.look(began.elapsed().as_secs_f64())?;
        if samples.is_empty() || told.elapsed() >= TOLD {
            told = Instant::now();
            println!("{:>5.0} s {}", sample.at, sample.line());
        }
        samples.push(sample);
    }
    Ok(samples)
}

impl Ground {
    fn look(&self, at: f64) -> Result<Sample, String> {
        let metrics = page(self.http, "/metrics").ok_or("the daemon does not tell its metrics")?;
        Ok(Sample::of(at, self.product.pid(), &metrics))
    }
}

/// Waits until the daemon holds no more than it did; what it holds then, and after how many seconds.
fn given_back(ground: &Ground, idle: &Sample) -> Result<(Sample, f64), String> {
    let since = Instant::now();
    loop {
        let now = ground.look(0.0)?;
        if now.is_idle(idle) || since.elapsed() > GIVEN_BACK {
            return Ok((now, since.elapsed().as_secs_f64()));
        }
        sleep(Duration::from_millis(500));
    }
}

/// The table, the file, the exit code.
fn conclude(
    out: &Path,
    samples: &[Sample],
    (idle, left): (&Sample, &Sample),
    findings: &[Finding],
    load: &Value,
) -> Result<u8, String> {
    println!();
    findings.iter().for_each(|finding| println!("{}", finding.line()));
    let any = |mark: Mark| findings.iter().any(|finding| finding.mark == mark);
    let (code, verdict) = match (any(Mark::Broken), any(Mark::Unknown)) {
        (true, _) => (1, "not flat"),
        (false, true) => (2, "not judged whole"),
        (false, false) => (0, "flat, and everything was given back"),
    };
    println!("{verdict}");
    let told = json!({
        "machine": { "cores": machine::cores(), "processor": machine::processor() },
        "idle": idle.json(), "samples": samples.iter().map(Sample::json).collect::<Vec<_>>(), "after": left.json(),
        "findings": findings.iter().map(Finding::json).collect::<Vec<_>>(), "load": load,
        "verdict": verdict, "exit_code": code,
    });
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let name = format!("soak-{}.json", since.map_or(0, |since| since.as_secs()));
    for name in [name.as_str(), "latest.json"] {
        let path = out.join(name);
        std::fs::write(&path, format!("{told:#}\n"))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(code)
}
