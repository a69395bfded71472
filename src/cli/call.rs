//! `streamkit call`: a SIP caller.

// A command talks to the person who typed it.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::reach::{self, Trusted};
use crate::lab::caller::{Call, Caller, Config, Dial, Record};
use crate::lab::ladder::{self, Ladder};
use crate::lab::sound::Sound;
use crate::lab::speech::Speech;
use crate::rtp::rtcp::Told;
use crate::sip::message::Uri;
use crate::sip::{Credentials, Transport};

const EXAMPLE: &str = "\
Examples:
  streamkit call sip:01512340321@192.0.2.20 --seconds 20
  streamkit call 'sip:1000@pbx.example.com;transport=tcp' --play hello.wav --record heard.wav --dtmf 12#
  streamkit call sip:1000@192.0.2.20 --header 'X-Exotel-AccountSid: acme1' --header 'X-UUI: A1B2'
  streamkit call sip:1000@pbx.example.com --transport tls --tls-ca ca.pem --srtp --auth 1001:secret
  streamkit call sip:1000@192.0.2.20 --late-offer --hold 3@5 --dtmf 12# --dtmf-mode info

Exit code 0 if the call was answered and audio came back.";

/// Where `--auth` is looked for when it is not given.
pub(super) const AUTH: &str = "STREAMKIT_CALL_AUTH";

/// A SIP caller; prints the ladder, the codec and the media statistics.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// Whom to call, for instance sip:1000@192.0.2.20:5060
    uri: String,
    /// Send to this address in place of the URI's host
    #[arg(long, value_name = "HOST:PORT")]
    via: Option<SocketAddr>,
    /// From URI
    #[arg(long, value_name = "URI")]
    from: Option<String>,
    /// Say this recording (16-bit WAV) in place of the built-in one
    #[arg(long, value_name = "WAV")]
    play: Option<PathBuf>,
    /// Keep what is heard
    #[arg(long, value_name = "WAV")]
    record: Option<PathBuf>,
    /// Press these keys after speaking
    #[arg(long, value_name = "KEYS")]
    dtmf: Option<String>,
    /// A further header field; may be repeated
    #[arg(long, value_name = "N: V", value_parser = header)]
    header: Vec<(String, String)>,
    /// Hang up after so many seconds
    #[arg(long, default_value_t = 10.0, value_name = "N")]
    seconds: f64,
    /// How keys are pressed: rfc4733, info or inband
    #[arg(long, default_value = "rfc4733", value_name = "MODE", value_parser = keys)]
    dtmf_mode: Keys,
    /// Encrypted media (SRTP, keys in the SDP), or no call
    #[arg(long)]
    srtp: bool,
    /// udp, tcp or tls; absent: as the URI says
    #[arg(long, value_name = "T", value_parser = transport)]
    transport: Option<Transport>,
    /// Trust this certificate over TLS, in place of the system's
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Trust any certificate over TLS to this machine itself
    #[arg(long)]
    insecure_loopback: bool,
    /// For a challenge (digest); better in the environment as STREAMKIT_CALL_AUTH, where no list of processes shows it
    #[arg(long, value_name = "USER:PASSWORD", value_parser = auth)]
    auth: Option<Credentials>,
    /// No SDP in the INVITE: the answer goes with the ACK
    #[arg(long)]
    late_offer: bool,
    /// Hold for so long, so many seconds after the answer (2 if not said), and resume
    #[arg(long, value_name = "SECONDS[@AT]", value_parser = hold)]
    hold: Option<Hold>,
    /// Milliseconds a packet: 10, 20, 30, 40 or 60
    #[arg(long, value_name = "MS", value_parser = ptime)]
    ptime: Option<u8>,
}

/// How keys are pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    Rfc4733,
    Info,
    Inband,
}

/// A hold within the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    at: Duration,
    long: Duration,
}

fn keys(text: &str) -> Result<Keys, String> {
    match text {
        "rfc4733" => Ok(Keys::Rfc4733),
        "info" => Ok(Keys::Info),
        "inband" => Ok(Keys::Inband),
        _ => Err("rfc4733, info or inband".to_owned()),
    }
}

pub(super) fn auth(text: &str) -> Result<Credentials, String> {
    let (user, password) = text.split_once(':').ok_or("wants user:password")?;
    Ok(Credentials { user: user.to_owned(), password: password.to_owned(), realm: None })
}

fn hold(text: &str) -> Result<Hold, String> {
    let (long, at) = text.split_once('@').unwrap_or((text, "2"));
    let seconds = |text: &str| {
        let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
        Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
    };
    Ok(Hold { at: seconds(at)?, long: seconds(long)? })
}

fn ptime(text: &str) -> Result<u8, String> {
    let known = text.parse().ok().filter(|ptime| [10, 20, 30, 40, 60].contains(ptime));
    known.ok_or_else(|| "10, 20, 30, 40 or 60".to_owned())
}

pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("wants 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(super) fn transport(text: &str) -> Result<Transport, String> {
    match text {
        "udp" => Ok(Transport::Udp),
        "tcp" => Ok(Transport::Tcp),
        "tls" => Ok(Transport::Tls),
        _ => Err("udp, tcp or tls".to_owned()),
    }
}

/// What the caller says: a file's audio, or a sentence of ours.
pub(super) fn said(play: Option<&Path>) -> Result<Sound, String> {
    match play {
        Some(path) => Sound::read(path).map_err(|error| error.to_string()),
        None => Ok(Speech::Caller.sound()),
    }
}

/// Places the call. Exit code 0 if it was answered and audio came back, 1 if not, 2 for what cannot be asked.
pub fn run(args: Args) -> ExitCode {
    let said = match said(args.play.as_deref()) {
        Ok(said) => said,
        Err(why) => return fail(2, &why),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error.to_string()),
    };
    let mut args = args;
    if args.auth.is_none()
        && let Ok(text) = std::env::var(AUTH)
    {
        match auth(&text) {
            Ok(credentials) => args.auth = Some(credentials),
            Err(why) => return fail(2, &format!("{AUTH} {why}")),
        }
    }
    match runtime.block_on(call(args, said)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(1, &why),
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "streamkit call: {why}"); // nobody left to tell
    ExitCode::from(code)
}

async fn call(args: Args, said: Sound) -> Result<(), String> {
    let ladder = Ladder::followed(|line| println!("{line}"));
    let uri = Uri::parse(args.uri.as_bytes()).map_err(|_| format!("`{}` is no SIP URI", args.uri))?;
    let (found, transport) = reach::address(&uri, args.transport).await?;
    let to = args.via.unwrap_or(found);
    let caller =
        Caller::start(config(&args, &uri, to, transport)?).await.map_err(|error| error.to_string())?;
    let long = Duration::try_from_secs_f64(args.seconds).map_err(|_| "--seconds is no time".to_owned())?;
    let dial = Dial {
        from: args.from.clone(),
        via: Some(to),
        transport: Some(transport),
        headers: args.header.clone(),
        telephone_event: args.dtmf_mode == Keys::Rfc4733,
        keys_by_info: args.dtmf_mode == Keys::Info,
        late_offer: args.late_offer,
        srtp: args.srtp,
        ptime: args.ptime,
        credentials: args.auth.clone(),
        ..Dial::to(args.uri.clone())
    };
    println!("{}", ladder::head());
    let call = caller.dial(dial.on(&ladder)).await.map_err(|error| error.to_string())?;
    let talk = async {
        if call.answered().await.is_ok() {
            drop(
                timeout(long, async { tokio::join!(speak(&call, &args, &said), pause(&call, &args)) }).await,
            );
        }
    };
    tokio::select! {
        () = talk => {}
        _ = call.ended() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    let record = call.finish().await;
    if let Some(path) = &args.record {
        let heard = record.audio.heard.sound(true);
        heard.write(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    summarise(&record, args.dtmf_mode)
}

fn config(args: &Args, uri: &Uri, to: SocketAddr, transport: Transport) -> Result<Config, String> {
    let trusted = Trusted { ca: args.tls_ca.clone(), insecure_loopback: args.insecure_loopback };
    let tls = (transport == Transport::Tls).then(|| trusted.tls(to)).transpose()?;
    let tls_names = vec![uri.host().trim_matches(['[', ']']).to_owned()];
    Ok(Config { tls, tls_names, ..Config::default() })
}

/// Says the recording, presses the keys, and listens for as long as it may.
async fn speak(call: &Call, args: &Args, said: &Sound) {
    call.say("recording", said).await;
    if let Some(keys) = &args.dtmf {
        sleep(Duration::from_millis(500)).await;
        call.press(keys).await;
    }
    std::future::pending::<()>().await;
}

/// Holds and resumes.
async fn pause(call: &Call, args: &Args) {
    let Some(hold) = args.hold else { return };
    sleep(hold.at).await;
    for (held, what, long) in [(true, "hold", hold.long), (false, "resume", Duration::ZERO)] {
        if let Err(status) = call.hold(held).await {
            println!("          ! {what} was refused with {status}");
        }
        sleep(long).await;
    }
}

fn summarise(record: &Record, mode: Keys) -> Result<(), String> {
    let quality = record.audio.heard.quality();
    if let Some(agreed) = &record.agreed {
        let keys = match (mode, agreed.telephone_event) {
            (Keys::Info, _) => "INFO",
            (Keys::Rfc4733, Some(_)) => "RFC 4733",
            (Keys::Rfc4733 | Keys::Inband, _) => "in band",
        };
        println!("\ncodec     {}, {} ms a packet, keys {keys}", agreed.law.name(), agreed.ptime_ms);
        let guarded = if record.audio.encrypted { ", SRTP" } else { "" };
        println!("media     to {}{guarded}", agreed.remote);
    }
    println!("sent      {} packets, at most {:.1} ms late", record.audio.sent, record.audio.sent_late_ms);
    println!(
        "heard     {} packets; lost {}, late {}, duplicated {}, reordered {}, foreign or strange {}",
        quality.packets,
        quality.lost,
        quality.late,
        quality.duplicated,
        quality.reordered,
        record.audio.heard.strange
    );
    println!(
        "timing    jitter {:.1} ms, longest gap {:.0} ms, 99 of 100 within {:.1} ms",
        quality.jitter_ms, quality.longest_gap_ms, quality.behind_p99_ms
    );
    if record.audio.unauthentic > 0 {
        println!("SRTP      {} packets were not authentic", record.audio.unauthentic);
    }
    println!("RTCP      {}", reported(record.audio.told.as_ref()));
    println!("MOS       {:.2} (estimate by G.107)", quality.mos);
    match (&record.agreed, &record.trouble) {
        (Some(_), _) if quality.packets > 0 => Ok(()),
        (Some(_), _) => Err("answered, but no audio came".to_owned()),
        (None, Some(trouble)) => Err(trouble.clone()),
        (None, None) => Err(format!("not answered: {:?}", record.ended)),
    }
}

/// What the peer said of our packets.
fn reported(told: Option<&Told>) -> String {
    let Some(told) = told else { return "no report came".to_owned() };
    let trip = told
        .round_trip
        .map_or(String::new(), |trip| format!(", round trip {:.1} ms", trip.as_secs_f64() * 1000.0));
    format!(
        "{} reports: lost {} of our {} packets, jitter {:.1} ms{trip}",
        told.reports,
        told.lost,
        told.of,
        f64::from(told.jitter) / 8.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_are_split_at_the_first_colon() {
        assert_eq!(header("X-UUI: a:b ").unwrap(), ("X-UUI".to_owned(), "a:b".to_owned()));
        assert!(header("X-UUI").is_err());
    }

    #[test]
    fn options_are_read_or_say_what_would_be_right() {
        assert_eq!(transport("tls"), Ok(Transport::Tls));
        assert!(transport("sctp").unwrap_err().contains("tls"));
        let seconds = Duration::from_secs;
        assert_eq!(hold("3"), Ok(Hold { at: seconds(2), long: seconds(3) }));
        assert_eq!(hold("1.5@7"), Ok(Hold { at: seconds(7), long: Duration::from_millis(1500) }));
        assert!(hold("soon").is_err() && hold("-1").is_err());
        assert_eq!((ptime("30"), ptime("25").is_err()), (Ok(30), true));
        assert_eq!((keys("info"), keys("kpml").is_err()), (Ok(Keys::Info), true));
        let credentials = auth("1001:se:cret").unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("1001", "se:cret"));
        assert!(!format!("{credentials:?}").contains("cret"));
    }

    #[test]
    fn what_the_peer_reported_is_told_with_its_units() {
        let told =
            Told { reports: 2, lost: 3, of: 500, jitter: 16, round_trip: Some(Duration::from_micros(1500)) };
        let text = reported(Some(&told));
        assert_eq!(text, "2 reports: lost 3 of our 500 packets, jitter 2.0 ms, round trip 1.5 ms");
    }
}
