//! `streamkit selftest`: plays what each make of PBX really does, against a daemon that runs or one of its own.

// A command talks to the person who typed it, and its calls take real time.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::in_process;
use super::reach::{self, Trusted};
use crate::lab::bot::{self, Bot, Certificate, Manners, Script};
use crate::lab::quirk::{self, Acceptance, Case, Ground, Number, Outcome, Pbx};
use crate::sip::Transport;
use crate::sip::message::Uri;

const EXAMPLE: &str = "\
Examples:
  streamkit selftest --as all                             against a daemon of its own, with a bot of its own
  streamkit selftest --as avaya --case late-offer         one case
  streamkit selftest --as cucm --target 'sip:1000@192.0.2.20:5060;transport=tcp' --report acceptance.html
  streamkit selftest --list                               every case, and why it is there

With --target the daemon's trunk must admit the address we send from, and the number must lead to a bot; what the bot
was told cannot be seen from here then, and the report says so. Exit code 0 if every case that was played passed.";

/// Numbers that begin so lead to a bot that takes its time.
const SLOW: &str = "8";
/// And these to one that is there at once.
const QUICK: &str = "9";
/// How long the slow one takes.
const SLOWLY: Duration = Duration::from_millis(3500);
/// The account of the trunk of our own daemon.
const ACCOUNT: &str = "selftest";
/// Files of our own daemon.
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
/// The daemon of our own has no call left by then.
const STOPS: Duration = Duration::from_secs(10);

/// Plays what each make of PBX really does and judges every answer.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// avaya, genesys, cucm, cisco, asterisk, freeswitch, ameyo, kamailio, plain or all; may be repeated
    #[arg(long = "as", value_name = "PBX", default_value = "all", value_parser = pbxs)]
    r#as: Vec<Pbxs>,
    /// A daemon that runs, for instance 'sip:1000@192.0.2.20:5060;transport=tcp'
    #[arg(long, value_name = "URI")]
    target: Option<String>,
    /// Our own address, and the port for UDP if it matters
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = own_address)]
    from: Option<(IpAddr, u16)>,
    /// Value of X-Exotel-AccountSid towards --target; without it the field is left out
    #[arg(long, value_name = "SID")]
    account: Option<String>,
    /// Only cases whose name contains this; may be repeated
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Write an acceptance report: a page if the name ends in .html, else text
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// So many cases at once
    #[arg(long, default_value_t = 4, value_name = "N")]
    at_once: usize,
    /// Trust this certificate over TLS
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Trust any certificate over TLS to this machine itself
    #[arg(long)]
    insecure_loopback: bool,
    /// Name every case and why it is there, and play none
    #[arg(long)]
    list: bool,
}

/// One of them, or all.
#[derive(Clone, Debug)]
struct Pbxs(Vec<Pbx>);

fn pbxs(text: &str) -> Result<Pbxs, String> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(Pbxs(Pbx::ALL.to_vec()));
    }
    let names = || Pbx::ALL.iter().map(Pbx::to_string).collect::<Vec<_>>().join(", ");
    Pbx::named(text).map(|pbx| Pbxs(vec![pbx])).ok_or_else(|| format!("none of {}, all", names()))
}

fn own_address(text: &str) -> Result<(IpAddr, u16), String> {
    let alone = || text.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| (ip, 0));
    let with_port = text.parse::<SocketAddr>().map(|at| (at.ip(), at.port()));
    with_port.or_else(|_| alone()).map_err(|_| "an address, with or without a port".to_owned())
}

/// Plays the cases. Exit code 0 if none failed, 1 if one did or nothing could be played, 2 for what cannot be asked.
pub fn run(args: Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error.to_string()),
    };
    let pbxs: Vec<Pbx> = args.r#as.iter().flat_map(|pbxs| pbxs.0.clone()).collect();
    let wanted =
        |case: &Case| args.case.is_empty() || args.case.iter().any(|name| case.title().contains(name));
    let mut plan = quirk::plan(&pbxs);
    plan.retain(|(_, case)| wanted(case));
    if plan.is_empty() {
        return fail(2, "no case has that name; see --list");
    }
    if args.list {
        return list(&plan);
    }
    let played = runtime.block_on(async {
        match &args.target {
            Some(uri) => against(&args, uri, plan).await,
            None => in_this_process(plan, args.at_once).await,
        }
    });
    match played.and_then(|acceptance| conclude(&acceptance, args.report.as_deref())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => fail(1, &why),
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "streamkit selftest: {why}"); // nobody left to tell
    ExitCode::from(code)
}

fn list(plan: &[(Pbx, &'static Case)]) -> ExitCode {
    let mut told = Vec::new();
    for (_, case) in plan {
        if !told.contains(&case.name) {
            told.push(case.name);
            let does: Vec<String> = case.does.iter().map(Pbx::to_string).collect();
            println!("{}\n    {}\n    {}", case.title(), case.why, does.join(", "));
        }
    }
    ExitCode::SUCCESS
}

fn tell(outcome: &Outcome) {
    println!("{outcome}");
    if let Some(fault) = outcome.failed() {
        println!("      expected {}\n      found    {}\n", fault.expected, fault.found);
        outcome.story.lines().for_each(|line| println!("      {line}"));
        println!();
    }
}

fn conclude(acceptance: &Acceptance, report: Option<&Path>) -> Result<bool, String> {
    println!("\n{}", acceptance.table());
    if let Some(path) = report {
        let html = path.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("html"));
        let text = if html { acceptance.html() } else { acceptance.text() };
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(acceptance.accepted())
}

async fn played(
    ground: Ground,
    target: String,
    plan: Vec<(Pbx, &'static Case)>,
    at_once: usize,
) -> Acceptance {
    let now = jiff::Timestamp::now().round(jiff::Unit::Second);
    let date = now.map(|now| now.to_string()).unwrap_or_default();
    let mut pbxs: Vec<Pbx> = plan.iter().map(|(pbx, _)| *pbx).collect();
    pbxs.dedup();
    let outcomes = quirk::run(&Arc::new(ground), plan, at_once, tell).await;
    Acceptance { date, target, played: pbxs, outcomes }
}

/// Against a daemon that runs.
async fn against(args: &Args, uri: &str, plan: Vec<(Pbx, &'static Case)>) -> Result<Acceptance, String> {
    let trusted = Trusted { ca: args.tls_ca.clone(), insecure_loopback: args.insecure_loopback };
    let ground = ground(args, uri, &trusted).await?;
    quirk::knock(&Arc::new(ground.clone())).await.map_err(|fault| format!("{uri}: {fault}"))?;
    // A port can be used by one case at a time.
    let at_once = if ground.port == 0 { args.at_once } else { 1 };
    Ok(played(ground, uri.to_owned(), plan, at_once).await)
}

async fn ground(args: &Args, uri: &str, trusted: &Trusted) -> Result<Ground, String> {
    let target = Uri::parse(uri.as_bytes()).map_err(|_| format!("`{uri}` is no SIP URI"))?;
    let (door, transport) = reach::address(&target, None).await?;
    let (ip, port) = match args.from {
        Some(from) => from,
        None => (reach::facing(door).map_err(|error| error.to_string())?, 0),
    };
    let tls = match transport {
        Transport::Tls => Some(trusted.connector(door, target.host())?),
        Transport::Udp | Transport::Tcp => None,
    };
    let number = target.user().ok_or_else(|| format!("`{uri}` names no number"))?.to_owned();
    let host = target.port().map_or(target.host().to_owned(), |port| format!("{}:{port}", target.host()));
    Ok(Ground {
        doors: vec![(transport, door)],
        host,
        number: Number::One(number),
        slow: None,
        account: args.account.clone(),
        ip,
        port,
        bots: Vec::new(),
        tls,
        patience: Duration::from_secs(3),
    })
}

/// Against a daemon of our own, with bots of our own.
///
/// # Errors
/// What did not start.
pub async fn in_this_process(plan: Vec<(Pbx, &'static Case)>, at_once: usize) -> Result<Acceptance, String> {
    let quick = bot(Manners::default()).await?;
    let slow = bot(Manners { delay: SLOWLY, ..Manners::default() }).await?;
    let folder = std::env::temp_dir().join(format!("streamkit-selftest-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let certificate = Certificate::for_address([127, 0, 0, 1].into()).map_err(told)?;
    certificate.write(&folder.join(CERTIFICATE)).map_err(told)?;
    certificate.write_key(&folder.join(KEY)).map_err(told)?;
    let text = configuration(&folder, &quick.url("/media"), &slow.url("/media"));
    let running = in_process::run(&text).await?;
    let doors = running.sip.clone();
    let trusted = Trusted { ca: Some(folder.join(CERTIFICATE)), insecure_loopback: false };
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let tls = Some(trusted.connector(loopback, "127.0.0.1")?);
    let host = doors.first().map(|(_, at)| at.to_string()).ok_or("the daemon does not listen for SIP")?;
    let ground = Ground {
        doors,
        host,
        number: Number::Each(QUICK.to_owned()),
        slow: Some(SLOW.to_owned()),
        account: Some(ACCOUNT.to_owned()),
        ip: [127, 0, 0, 1].into(),
        port: 0,
        bots: vec![Arc::new(quick), Arc::new(slow)],
        tls,
        patience: Duration::from_secs(4),
    };
    let acceptance = played(ground, "a daemon of its own".to_owned(), plan, at_once).await;
    if tokio::time::timeout(STOPS, running.stop()).await.is_err() {
        println!("the daemon did not stop within {} s", STOPS.as_secs());
    }
    drop(std::fs::remove_dir_all(&folder)); // scratch; what is left is left
    Ok(acceptance)
}

async fn bot(manners: Manners) -> Result<Bot, String> {
    let config = bot::Config { script: Script::default(), manners, ..bot::Config::default() };
    Bot::start(config).await.map_err(|error| format!("bot: {error}"))
}

/// As a file would say it.
fn configuration(folder: &Path, quick: &str, slow: &str) -> String {
    let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
    format!(
        "[node]\nname = \"selftest\"\nstate_dir = {folder:?}\nrun_dir = {folder:?}\n\
         [sip]\nlisten = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\", \"tls://127.0.0.1:0\"]\n\
         [sip.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n\
         [http]\nlisten = [\"127.0.0.1:0\"]\n\
         [media]\nbind = \"127.0.0.1\"\n[limits]\ncalls = 200\ncpu_percent = 0\n\
         [[trunk]]\nname = \"selftest\"\npeers = [\"127.0.0.1\"]\naccount = \"{ACCOUNT}\"\n\
         transports = [\"udp\", \"tcp\", \"tls\"]\nsrtp = \"optional\"\n\
         [[route]]\nto = \"{SLOW}*\"\nbot = \"{slow}\"\n\
         [[route]]\nbot = \"{quick}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pbx_is_named_and_an_address_may_have_a_port() {
        assert_eq!(pbxs("CUCM").unwrap().0, [Pbx::Cucm]);
        assert_eq!(pbxs("all").unwrap().0, Pbx::ALL);
        assert!(pbxs("panasonic").unwrap_err().contains("avaya, genesys, cucm"));
        assert_eq!(own_address("192.0.2.1:5060"), Ok(([192, 0, 2, 1].into(), 5060)));
        assert_eq!(own_address("[::1]"), Ok(("::1".parse().unwrap(), 0)));
        assert!(own_address("pbx").is_err());
    }

    #[test]
    fn the_daemon_of_our_own_is_configured_as_a_file_would() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let certificate = Certificate::for_address([127, 0, 0, 1].into()).expect("a certificate");
        certificate.write(&folder.join(CERTIFICATE)).expect("written");
        certificate.write_key(&folder.join(KEY)).expect("written");
        let text = configuration(folder, "ws://127.0.0.1:1/a", "ws://127.0.0.1:2/b");
        let config = in_process::configured(&text).expect("a configuration");
        assert_eq!(config.call.routes.routes.len(), 2);
        assert!(config.listen.iter().all(|one| one.addr.port() == 0));
    }
}
