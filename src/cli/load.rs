//! `streamkit load`: bounded load from this machine.

// A command talks to the person who typed it.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::call::{AUTH, auth, header, said, transport};
use super::reach::{self, Trusted};
use super::serve::raise_descriptors;
use crate::lab::load::{Config, Report, run as place};
use crate::lab::sound::Sound;
use crate::sip::message::Uri;
use crate::sip::{Credentials, Transport};

const EXAMPLE: &str = "\
Examples:
  streamkit load --target sip:1000@192.0.2.20 --calls 100 --rate 20 --seconds 60
  streamkit load --target 'sip:1000@192.0.2.20;transport=tcp' --calls 50 --rate 10 --seconds 30 --json load.json
  streamkit load --target sip:1000@192.0.2.20 --calls 150 --rate 5 --seconds 1800 --each 20-90

Every call speaks and listens in real time; nothing is sent but to the target. One core of this machine is enough for some
500 calls; whether it kept up is told with the figures. Ctrl-C hangs up and reports.
Exit code 0 if every call was answered, heard audio and stayed up until it was hung up here.";

/// Bounded load from this machine: set-up times, failures by cause, loss, jitter and late packets.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// Whom to call, for instance sip:1000@192.0.2.20:5060
    #[arg(long, value_name = "URI")]
    target: String,
    /// Calls at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    calls: u32,
    /// Calls placed a second
    #[arg(long, value_name = "CPS", default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// How long all of them talk once the last is up; with --each: the whole run
    #[arg(long, value_name = "S", default_value_t = 30.0, value_parser = seconds)]
    seconds: f64,
    /// Each call lasts so many seconds, drawn between the two, and the next takes its place
    #[arg(long, value_name = "MIN-MAX", value_parser = between)]
    each: Option<(Duration, Duration)>,
    /// Say this recording (16-bit WAV) over and over in place of the built-in one
    #[arg(long, value_name = "WAV")]
    play: Option<PathBuf>,
    /// Write what was found as JSON; - is stdout, and the table goes to stderr
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Send to this address in place of the URI's host
    #[arg(long, value_name = "HOST:PORT")]
    via: Option<SocketAddr>,
    /// From URI
    #[arg(long, value_name = "URI")]
    from: Option<String>,
    /// A further header field; may be repeated
    #[arg(long, value_name = "N: V", value_parser = header)]
    header: Vec<(String, String)>,
    /// udp, tcp or tls; absent: as the URI says
    #[arg(long, value_name = "T", value_parser = transport)]
    transport: Option<Transport>,
    /// Encrypted media (SRTP, keys in the SDP), or no call
    #[arg(long)]
    srtp: bool,
    /// Trust this certificate over TLS, in place of the system's
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Trust any certificate over TLS to this machine itself
    #[arg(long)]
    insecure_loopback: bool,
    /// For a challenge (digest); better in the environment as STREAMKIT_CALL_AUTH
    #[arg(long, value_name = "USER:PASSWORD", value_parser = auth)]
    auth: Option<Credentials>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.1..=1000.0).contains(rate));
    rate.ok_or_else(|| "0.1 to 1000 calls a second".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.5..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "0.5 to 86400 seconds".to_owned())
}

fn between(text: &str) -> Result<(Duration, Duration), String> {
    let (least, most) = text.split_once('-').ok_or("two numbers of seconds, for instance 20-90")?;
    let (least, most) = (seconds(least)?, seconds(most)?);
    if least > most {
        return Err("the shorter one first".to_owned());
    }
    Ok((Duration::from_secs_f64(least), Duration::from_secs_f64(most)))
}

/// Places the calls. Exit code 0 if all went well, 1 if not, 2 for what cannot be asked.
pub fn run(args: Args) -> ExitCode {
    raise_descriptors();
    let mut args = args;
    if args.auth.is_none()
        && let Ok(text) = std::env::var(AUTH)
    {
        match auth(&text) {
            Ok(credentials) => args.auth = Some(credentials),
            Err(why) => return fail(2, &format!("{AUTH} {why}")),
        }
    }
    let said = match said(args.play.as_deref()) {
        Ok(said) => said,
        Err(why) => return fail(2, &why),
    };
    // One thread for signalling; the other, for the audio, is the load's own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error.to_string()),
    };
    let report = match runtime.block_on(load(&args, said)) {
        Ok(report) => report,
        Err(why) => return fail(1, &why),
    };
    if let Err(why) = tell(&report, args.json.as_deref()) {
        return fail(1, &why);
    }
    match report.wrong() {
        None => ExitCode::SUCCESS,
        Some(why) => fail(1, &why),
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "streamkit load: {why}"); // nobody left to tell
    ExitCode::from(code)
}

async fn load(args: &Args, sound: Sound) -> Result<Report, String> {
    let uri = Uri::parse(args.target.as_bytes()).map_err(|_| format!("`{}` is no SIP URI", args.target))?;
    let (found, transport) = reach::address(&uri, args.transport).await?;
    let to = args.via.unwrap_or(found);
    let trusted = Trusted { ca: args.tls_ca.clone(), insecure_loopback: args.insecure_loopback };
    let config = Config {
        uri: args.target.clone(),
        to,
        transport,
        from: args.from.clone(),
        headers: args.header.clone(),
        credentials: args.auth.clone(),
        tls: (transport == Transport::Tls).then(|| trusted.tls(to)).transpose()?,
        tls_names: vec![uri.host().trim_matches(['[', ']']).to_owned()],
        srtp: args.srtp,
        calls: args.calls,
        rate: args.rate,
        long: Duration::from_secs_f64(args.seconds),
        each: args.each,
        sound,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let listening = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            told.store(true, Relaxed);
        }
    });
    let report = place(config, &stop).await.map_err(|error| error.to_string());
    listening.abort();
    report
}

/// The table for people, and the JSON where it is wanted.
fn tell(report: &Report, json: Option<&Path>) -> Result<(), String> {
    match json {
        None => print!("{}", report.table()),
        Some(path) if path == Path::new("-") => {
            eprint!("{}", report.table());
            println!("{:#}", report.json());
        }
        Some(path) => {
            print!("{}", report.table());
            std::fs::write(path, format!("{:#}\n", report.json()))
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_bounded() {
        assert_eq!(rate("20"), Ok(20.0));
        assert!(rate("0").is_err() && rate("5000").is_err() && rate("inf").is_err() && rate("NaN").is_err());
        assert!(seconds("NaN").is_err() && seconds("100000").is_err());
        assert_eq!(between("20-90"), Ok((Duration::from_secs(20), Duration::from_secs(90))));
        assert!(between("90-20").is_err() && between("20").is_err());
    }
}
