//! `streamkit demo`: a whole call on this machine. The daemon, a bot on `wss://` and a SIP caller in one process, on
//! free loopback ports, with a certificate made for the occasion.

// A command talks to the person who typed it, and its call takes real time.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::{sleep_until, timeout};

use super::bot::rate;
use crate::lab::bot::{self, Bot, Transcript};
use crate::lab::caller::{Caller, Config, Dial, Record};
use crate::lab::ladder::{self, Ladder};
use crate::lab::scene;
use crate::lab::verdict::{Case, Verdict};
use crate::units::SampleRate;

const EXAMPLE: &str = "\
Examples:
  streamkit demo                       a call of 13 seconds; results in ./demo-out
  streamkit demo --rate 24000 --out /tmp/demo
  streamkit demo --keep                leaves daemon and bot up afterwards, to call with `streamkit call`

Writes caller-heard.wav, bot-heard.wav, call.json and report.html. Exit code 0 if all checks hold. A machine that was
itself late is given up to two calls more.";

/// Account named in the INVITE.
const ACCOUNT: &str = "demo";
/// From the end of the caller's part to everything being told.
const SETTLES: Duration = Duration::from_secs(3);
/// A machine that is busy is late now and then, a daemon that is late is so in every call.
const TAKES: u32 = 3;
/// Milliseconds behind from which on this machine is late.
const LATE: u64 = 20;
/// How often that is looked at.
const BEAT: Duration = Duration::from_millis(5);
/// The daemon has no call left by then.
const STOPS: Duration = Duration::from_secs(8);

/// A whole call on this machine: no network, no account, no other program.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// Folder for the results
    #[arg(long, default_value = "./demo-out", value_name = "DIR")]
    out: PathBuf,
    /// Keep the call up for so many seconds (the scene alone takes about 13)
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Rate of the stream: 8000, 16000 or 24000
    #[arg(long, default_value = "16000", value_name = "N", value_parser = rate)]
    rate: SampleRate,
    /// Stay up afterwards, until interrupted
    #[arg(long)]
    keep: bool,
}

/// What the daemon is to do in the demo.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The bot of the only route.
    pub bot_url: String,
    /// `stream.ca_file`.
    pub ca_file: PathBuf,
    /// `node.state_dir`: an empty folder of its own.
    pub state_dir: PathBuf,
    /// The account of the only trunk, whose peer is this machine.
    pub account: String,
}

/// A daemon that runs.
pub struct Daemon {
    /// Where it takes SIP over UDP.
    pub sip: SocketAddr,
    /// Stops it; what it recorded of its last call, if that can be had.
    pub stop: Box<dyn FnOnce() -> Stopping + Send>,
}

/// The daemon, stopping.
pub type Stopping = Pin<Box<dyn Future<Output = Option<Value>> + Send>>;

/// Runs the demo with a daemon that `start` starts. Exit code 0 if every check holds, 1 with the first broken
/// one named.
pub fn run_with<S, F>(args: Args, start: S) -> ExitCode
where
    S: Fn(Wanted) -> F,
    F: Future<Output = Result<Daemon, String>>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    match runtime.block_on(demo(&args, start)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&why),
    }
}

fn fail(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "streamkit demo: {why}"); // nobody left to tell
    ExitCode::from(1)
}

async fn demo<S, F>(args: &Args, start: S) -> Result<(), String>
where
    S: Fn(Wanted) -> F,
    F: Future<Output = Result<Daemon, String>>,
{
    let takes = if args.keep { 1 } else { TAKES };
    for left in (0..takes).rev() {
        let (verdict, late) = take(args, &start).await?;
        match verdict.broken() {
            None => break,
            Some(check) if left > 0 && late > LATE => {
                println!("\nbroken: {check}; this machine was {late} ms late itself: once more\n");
            }
            Some(check) => return Err(format!("broken: {check}")),
        }
    }
    Ok(())
}

/// One call, judged; and how many milliseconds this machine was late itself.
async fn take<S, F>(args: &Args, start: &S) -> Result<(Verdict, u64), String>
where
    S: Fn(Wanted) -> F,
    F: Future<Output = Result<Daemon, String>>,
{
    let state = prepare(&args.out).map_err(|error| format!("{}: {error}", args.out.display()))?;
    let ladder = Ladder::followed(|line| println!("{line}"));
    let config = bot::Config {
        tls: true,
        script: scene::bot(),
        observer: ladder.watching(),
        ..bot::Config::default()
    };
    let bot = Bot::start(config).await.map_err(|error| format!("bot: {error}"))?;
    let ca_file = state.join("bot-certificate.pem");
    let certificate = bot.certificate().ok_or("bot: no certificate")?;
    certificate.write(&ca_file).map_err(|error| format!("{}: {error}", ca_file.display()))?;
    let bot_url = bot.url(&format!("/media?sample-rate={}", args.rate));
    let wanted = Wanted { bot_url, ca_file, state_dir: state.clone(), account: ACCOUNT.to_owned() };
    println!("bot    {}\nwrites {}\n\n{}", wanted.bot_url, args.out.display(), ladder::head());
    let daemon = start(wanted).await.map_err(|why| format!("daemon: {why}"))?;

    let (record, late) = watched(scene_with(daemon.sip, &ladder, args.seconds)).await;
    let record = record?;
    let late = late.max(record.audio.sent_late_ms as u64);
    let transcript = told(&bot).await;
    let sip = daemon.sip;
    let cdr = if args.keep { None } else { stop(daemon).await };
    let case = Case { record: &record, transcript: &transcript, rate: args.rate, account: ACCOUNT };
    let verdict = tokio::task::block_in_place(|| Verdict::of(&case));
    write(&args.out, &case, &verdict, &ladder, cdr)?;
    print(&verdict, &args.out);
    if args.keep {
        println!(
            "\nup until interrupted: streamkit call sip:1000@{sip} --header 'X-Exotel-AccountSid: {ACCOUNT}'"
        );
        drop(tokio::signal::ctrl_c().await);
    } else {
        drop(std::fs::remove_dir_all(&state)); // scratch; what is left is left
    }
    Ok((verdict, late))
}

/// A daemon that does not stop shall not keep the results from being seen.
async fn stop(daemon: Daemon) -> Option<Value> {
    let stopped = timeout(STOPS, (daemon.stop)()).await;
    stopped.unwrap_or_else(|_| {
        println!("the daemon did not stop within {} s", STOPS.as_secs());
        None
    })
}

/// The folder for the results, and in it an empty one for the daemon.
fn prepare(out: &Path) -> std::io::Result<PathBuf> {
    let state = out.join("state");
    if state.exists() {
        std::fs::remove_dir_all(&state)?;
    }
    std::fs::create_dir_all(&state)?;
    state.canonicalize()
}

async fn scene_with(sip: SocketAddr, ladder: &Ladder, seconds: Option<u64>) -> Result<Record, String> {
    let config = Config { bind: Ipv4Addr::LOCALHOST.into(), ..Config::default() };
    let caller = Caller::start(config).await.map_err(|error| format!("caller: {error}"))?;
    let mut dial =
        Dial::to(format!("sip:01512340321@{sip}")).header("X-Exotel-AccountSid", ACCOUNT).on(ladder);
    dial.from = Some("sip:08061234509@127.0.0.1".to_owned());
    for (name, _, value) in scene::HEADERS {
        dial = dial.header(name, value);
    }
    let call = caller.dial(dial).await.map_err(|error| format!("caller: {error}"))?;
    if call.answered().await.is_ok() {
        let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
        tokio::select! {
            () = async { scene::caller(&call).await; sleep_until(until.into()).await } => {}
            _ = call.ended() => {}
        }
    }
    Ok(call.finish().await)
}

/// Does it, and tells how many milliseconds this machine was late meanwhile.
async fn watched<T>(what: impl Future<Output = T>) -> (T, u64) {
    let (mut what, mut late) = (pin!(what), 0);
    loop {
        let due = Instant::now() + BEAT;
        tokio::select! {
            biased;
            done = &mut what => return (done, late),
            () = sleep_until(due.into()) => late = late.max(due.elapsed().as_millis() as u64),
        }
    }
}

/// The bot's account of the call, once its socket is closed or will not be.
async fn told(bot: &Bot) -> Transcript {
    let over = bot.until(|calls| !calls.is_empty() && calls.iter().all(|call| call.ended.is_some()));
    let calls = timeout(SETTLES, over).await.unwrap_or_else(|_| bot.transcripts());
    // Attempts that never became a stream, if there were any, came before the one that did.
    calls.into_iter().next_back().unwrap_or_default()
}

fn write(
    out: &Path,
    case: &Case<'_>,
    verdict: &Verdict,
    ladder: &Ladder,
    cdr: Option<Value>,
) -> Result<(), String> {
    let failed = |name: &str, error: &dyn std::fmt::Display| format!("{}: {error}", out.join(name).display());
    let caller = case.record.audio.heard.sound(false);
    caller.write(&out.join("caller-heard.wav")).map_err(|e| failed("caller-heard.wav", &e))?;
    case.transcript.heard.write(&out.join("bot-heard.wav")).map_err(|e| failed("bot-heard.wav", &e))?;
    let json = format!("{:#}\n", verdict.json(case, &ladder.rungs(), cdr));
    std::fs::write(out.join("call.json"), json).map_err(|e| failed("call.json", &e))?;
    let about = format!(
        "streamkit {} · G.711 over UDP, PCM16 at {} Hz over wss · {}",
        env!("CARGO_PKG_VERSION"),
        case.rate,
        jiff::Timestamp::now().round(jiff::Unit::Second).map(|t| t.to_string()).unwrap_or_default()
    );
    let html = verdict.report(case, ladder, about).html();
    std::fs::write(out.join("report.html"), html).map_err(|e| failed("report.html", &e))
}

fn print(verdict: &Verdict, out: &Path) {
    println!();
    for figure in &verdict.figures {
        println!("  {:<22} {}", figure.name, figure.value);
    }
    println!();
    for check in &verdict.checks {
        println!("  {check}");
    }
    let good = verdict.checks.iter().filter(|check| check.holds).count();
    println!("\n{good} of {} checks hold; {}", verdict.checks.len(), out.join("report.html").display());
}
