//! `streamkit capacity`: how many calls this machine takes in this configuration before the first promise breaks.

// A command talks to the person who typed it, and its calls take real time.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

mod daemon;
mod derived;
mod promise;
mod search;
mod watch;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;

use super::reach;
use super::serve::raise_descriptors;
use crate::lab::load::bot::Echo;
use crate::lab::load::{Config, run as place};
use crate::lab::speech::Speech;
use crate::sip::Transport;
use crate::sip::message::Uri;
use daemon::Daemon;
use derived::Derived;
use promise::{Fault, Step};
use search::Search;

const EXAMPLE: &str = "\
Examples:
  streamkit capacity                                    with every default
  streamkit capacity -c /etc/streamkit/streamkit.toml   limits, media, stream and the first trunk as they are there
  streamkit capacity --target sip:1000@192.0.2.20       a daemon that runs elsewhere, with a bot of its own

A daemon of that configuration runs in a process of its own, on loopback ports, for one trunk, which is this machine, and one
bot, which echoes and is built in. Nothing of the installed daemon is touched. Generator and bot share the machine with it:
what they take is told beside what the daemon takes. SRTP and TLS towards the trunk are not part of the measurement.
Exit code 0 if a number of calls was found that keeps every promise, 1 if not.";

/// How many calls this machine takes in this configuration before the first promise breaks, and which.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The configuration; absent: every default
    #[arg(short, long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A daemon that runs, in place of one of our own
    #[arg(long, value_name = "URI")]
    target: Option<String>,
    /// How long all calls of a step talk
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=600))]
    seconds: u32,
    /// Calls placed a second
    #[arg(long, value_name = "CPS", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// The first step
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5000))]
    from: u32,
    /// Never more calls than this
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=5000))]
    most: u32,
    /// Write steps and verdict as JSON; - is stdout, and the table goes to stderr
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Steps up, then between. Exit code 0 if a number was found, 1 if not.
pub(super) fn run(args: &Args) -> ExitCode {
    raise_descriptors();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    match runtime.block_on(measure(args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => fail(&why),
    }
}

fn fail(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "streamkit capacity: {why}"); // nobody left to tell
    ExitCode::from(1)
}

/// Who is called, and the daemon if it is one of our own.
struct Ground {
    uri: String,
    account: Option<String>,
    daemon: Option<Daemon>,
    /// Ends with this.
    _bot: Option<Echo>,
}

async fn measure(args: &Args) -> Result<bool, String> {
    let tell = |text: &str| match args.json.as_deref() == Some(Path::new("-")) {
        true => eprintln!("{text}"),
        false => println!("{text}"),
    };
    let ground = match &args.target {
        Some(uri) => Ground { uri: uri.clone(), account: None, daemon: None, _bot: None },
        None => of_our_own(args.config.as_deref(), &tell).await?,
    };
    let stop = stopped_by_ctrl_c();
    let mut search = Search::new(args.from, args.most);
    let mut steps: Vec<Step> = Vec::new();
    tell(promise::HEAD);
    while let Some(calls) = search.next() {
        let step = step(args, &ground, calls, &stop).await?;
        if stop.load(Relaxed) {
            tell("interrupted: the last step does not count");
            break;
        }
        tell(&step.line());
        search.found(calls, step.fault().is_none());
        steps.push(step);
        if let Some(daemon) = &ground.daemon {
            daemon.is_idle().await?;
        }
    }
    let (good, text) = promise::verdict(&steps);
    tell(&format!("\n{text}"));
    if let Some(path) = &args.json {
        let told = json!({
            "steps": steps.iter().map(Step::json).collect::<Vec<_>>(), "calls": good, "verdict": text,
        });
        keep(path, &told)?;
    }
    if let Some(daemon) = ground.daemon {
        daemon.stop().await;
    }
    Ok(good > 0)
}

fn keep(path: &Path, told: &serde_json::Value) -> Result<(), String> {
    if path == Path::new("-") {
        println!("{told:#}");
        return Ok(());
    }
    std::fs::write(path, format!("{told:#}\n")).map_err(|error| format!("{}: {error}", path.display()))
}

fn stopped_by_ctrl_c() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            told.store(true, Relaxed);
        }
    });
    stop
}

/// A daemon of that configuration on loopback, and its bot.
async fn of_our_own(config: Option<&Path>, tell: &impl Fn(&str)) -> Result<Ground, String> {
    let bot = Echo::start().await.map_err(|error| format!("bot: {error}"))?;
    let folder = daemon::folder()?;
    let ca = folder.join("bot.pem");
    bot.certificate().write(&ca).map_err(|error| format!("{}: {error}", ca.display()))?;
    let tables = match config {
        Some(path) => derived::read(path)?,
        None => toml::Table::new(),
    };
    let Derived { text, account, sip, http, left_out } =
        derived::on_loopback(tables, &folder, &bot.url("/media"))?;
    if !left_out.is_empty() {
        tell(&format!("not part of this: {}", left_out.join(", ")));
    }
    let daemon = Daemon::start(folder, &text, http).await?;
    Ok(Ground {
        uri: format!("sip:1000@{sip}"),
        account: Some(account),
        daemon: Some(daemon),
        _bot: Some(bot),
    })
}

/// So many calls, and what was found.
async fn step(args: &Args, ground: &Ground, calls: u32, stop: &AtomicBool) -> Result<Step, String> {
    let uri = Uri::parse(ground.uri.as_bytes()).map_err(|_| format!("`{}` is no SIP URI", ground.uri))?;
    let (to, transport) = reach::address(&uri, None).await?;
    if transport == Transport::Tls {
        return Err("over UDP or TCP only".to_owned());
    }
    let account = ground.account.clone().map(|account| ("X-Exotel-AccountSid".to_owned(), account));
    let config = Config {
        uri: ground.uri.clone(),
        to,
        transport,
        from: None,
        headers: account.into_iter().collect(),
        credentials: None,
        tls: None,
        tls_names: Vec::new(),
        srtp: false,
        calls,
        rate: f64::from(args.rate),
        long: Duration::from_secs(args.seconds.into()),
        each: None,
        sound: Speech::Caller.sound(),
    };
    let watched = ground.daemon.as_ref().map(|daemon| watch::begin(daemon.http(), daemon.pid()));
    let report = place(config, stop).await.map_err(|error| error.to_string())?;
    let seen = match watched {
        Some(watched) => watched.end(calls).await,
        None => watch::Seen::default(),
    };
    Ok(Step { calls, report, seen })
}

/// Why a step is the last that counts.
impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Product(what) => f.write_str(what),
            Self::Generator(what) => write!(f, "not the daemon but this machine: {what}"),
        }
    }
}
