//! `streamkit call`: a SIP caller.

// A command talks to the person who typed it.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::lab::caller::{Caller, Config, Dial, Record};
use crate::lab::ladder::{self, Ladder};
use crate::lab::sound::Sound;
use crate::lab::speech::Speech;
use crate::sip::Transport;

const EXAMPLE: &str = "\
Examples:
  streamkit call sip:01512340321@192.0.2.20 --seconds 20
  streamkit call 'sip:1000@pbx.example.com;transport=tcp' --play hello.wav --record heard.wav --dtmf 12#
  streamkit call sip:1000@192.0.2.20 --header 'X-Exotel-AccountSid: acme1' --header 'X-UUI: A1B2'

Exit code 0 if the call was answered and audio came back.";

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
    /// Encrypted media
    #[arg(long)]
    srtp: bool,
    /// udp, tcp or tls
    #[arg(long, value_name = "T", value_parser = transport)]
    transport: Option<Transport>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("wants 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn transport(text: &str) -> Result<Transport, String> {
    match text {
        "udp" => Ok(Transport::Udp),
        "tcp" => Ok(Transport::Tcp),
        "tls" => Err("tls is not in this release; udp or tcp".to_owned()),
        _ => Err("udp or tcp".to_owned()),
    }
}

/// Places the call. Exit code 0 if it was answered and audio came back, 1 if not, 2 for what cannot be asked.
pub fn run(args: Args) -> ExitCode {
    if args.srtp {
        return fail(2, "--srtp is not in this release");
    }
    let said = match &args.play {
        Some(path) => Sound::read(path).map_err(|error| error.to_string()),
        None => Ok(Speech::Caller.sound()),
    };
    let said = match said {
        Ok(said) => said,
        Err(why) => return fail(2, &why),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error.to_string()),
    };
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
    let caller = Caller::start(Config::default()).await.map_err(|error| error.to_string())?;
    let dial = Dial {
        from: args.from,
        via: args.via,
        transport: args.transport,
        headers: args.header,
        ..Dial::to(args.uri)
    };
    println!("{}", ladder::head());
    let call = caller.dial(dial.on(&ladder)).await.map_err(|error| error.to_string())?;
    let long = Duration::try_from_secs_f64(args.seconds).map_err(|_| "--seconds is no time".to_owned())?;
    let talk = async {
        if call.answered().await.is_ok() {
            let speech = async {
                call.say("recording", &said).await;
                if let Some(keys) = &args.dtmf {
                    sleep(Duration::from_millis(500)).await;
                    call.press(keys).await;
                }
                std::future::pending::<()>().await;
            };
            drop(timeout(long, speech).await);
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
    summarise(&record)
}

fn summarise(record: &Record) -> Result<(), String> {
    let quality = record.audio.heard.quality();
    if let Some(agreed) = &record.agreed {
        let keys = if agreed.telephone_event.is_some() { "RFC 4733" } else { "in band" };
        println!("\ncodec     {}, {} ms a packet, keys {keys}", agreed.law.name(), agreed.ptime_ms);
        println!("media     to {}", agreed.remote);
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
    println!("MOS       {:.2} (estimate by G.107)", quality.mos);
    match (&record.agreed, &record.trouble) {
        (Some(_), _) if quality.packets > 0 => Ok(()),
        (Some(_), _) => Err("answered, but no audio came".to_owned()),
        (None, Some(trouble)) => Err(trouble.clone()),
        (None, None) => Err(format!("not answered: {:?}", record.ended)),
    }
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
    fn what_is_not_in_this_release_is_said_so() {
        assert!(transport("tls").unwrap_err().contains("not in this release"));
        assert_eq!(transport("tcp"), Ok(Transport::Tcp));
    }
}
