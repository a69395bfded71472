//! `streamkit bot`: a voice bot to point a trunk at.

// A command talks to the person who typed it, and tells when things happened.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::lab::bot::{Bot, BotEvent, Config, FromStreamKit, Manners, Observer, Said, Script, What};
use crate::lab::sound::Sound;
use crate::units::SampleRate;

const EXAMPLE: &str = "\
Examples:
  streamkit bot                                     echo what is heard, on ws://127.0.0.1:9000
  streamkit bot --tls --mode play hello.wav         wss://, plays a recording to each caller
  streamkit bot --mode script bot.toml --record .   plays a script, keeps what it hears

A script:
  [[step]]
  say = \"hello.wav\"        # a WAV beside the script, or builtin:greeting
  [[step]]
  mark = \"greeted\"
  [[step]]
  await_mark = \"greeted\"
  [[step]]
  echo_until = \"#\"
  [[step]]
  close = 1000

Steps: say, tone Hz (seconds) or silence seconds, each with chunk octets and every_ms, or paced; say also from and to;
echo seconds, echo_until key, mark, clear, wait seconds, await_mark, await_digit, await_voice, text, binary hex,
deaf seconds, stop, close (reason), reset.";

/// A bot to point a trunk at; prints what it receives, with timing and gaps.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9000", value_name = "ADDR")]
    listen: SocketAddr,
    /// Speak wss:// with a certificate made on the spot (written to bot-certificate.pem)
    #[arg(long)]
    tls: bool,
    /// echo | tone | play FILE | silent | script FILE
    #[arg(long, num_args = 1..=2, default_values = ["echo"], value_names = ["MODE", "FILE"])]
    mode: Vec<String>,
    /// Keep what each caller says as DIR/<stream_sid>.wav
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Rate the printed URL asks for: 8000, 16000 or 24000
    #[arg(long, default_value = "8000", value_name = "N", value_parser = rate)]
    rate: SampleRate,
}

/// 8000, 16000 or 24000.
pub(super) fn rate(text: &str) -> Result<SampleRate, String> {
    let rate = text.parse().ok().and_then(SampleRate::from_hz);
    rate.ok_or_else(|| "8000, 16000 or 24000".to_owned())
}

/// Runs until interrupted. Exit code 1 if it could not start, 2 for a mode that is none.
pub fn run(args: Args) -> ExitCode {
    let script = match script(&args.mode, args.rate) {
        Ok(script) => script,
        Err(why) => return fail(2, &why),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error.to_string()),
    };
    match runtime.block_on(serve(args, script)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error.to_string()),
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "streamkit bot: {why}"); // nobody left to tell
    ExitCode::from(code)
}

fn script(mode: &[String], rate: SampleRate) -> Result<Script, String> {
    let words: Vec<&str> = mode.iter().map(String::as_str).collect();
    match words[..] {
        ["echo"] => Ok(Script::echo()),
        ["tone"] => Ok(Script::tone(rate)),
        ["silent"] => Ok(Script::default()),
        ["play", file] => Sound::read(Path::new(file)).map(Script::play).map_err(|e| e.to_string()),
        ["script", file] => Script::read(Path::new(file)).map_err(|e| e.to_string()),
        ["play" | "script"] => Err(format!("--mode {} wants a file", words[0])),
        _ => Err(format!("--mode {} is none of echo, tone, play FILE, silent, script FILE", mode.join(" "))),
    }
}

async fn serve(args: Args, script: Script) -> std::io::Result<()> {
    if let Some(folder) = &args.record {
        std::fs::create_dir_all(folder)?;
    }
    let printer = Printer::default();
    let config = Config {
        listen: args.listen,
        tls: args.tls,
        script,
        manners: Manners::default(),
        record: args.record,
        observer: Observer::new(move |event| printer.print(event)),
    };
    let bot = Bot::start(config).await?;
    if let Some(certificate) = bot.certificate() {
        let path = Path::new("bot-certificate.pem");
        certificate.write(path)?;
        println!("certificate: {} (stream.ca_file)", path.display());
    }
    println!("listening on {}", bot.url(&format!("/?sample-rate={}", args.rate)));
    tokio::signal::ctrl_c().await?;
    let calls = bot.transcripts();
    let faults: usize = calls.iter().map(|call| call.faults.len()).sum();
    println!("{} connections, {faults} faults", calls.len());
    Ok(())
}

/// Audio is summed for so long before it is told.
const AUDIO: Duration = Duration::from_secs(1);
/// A time between two messages that is worth a word.
const GAP: Duration = Duration::from_millis(100);

/// Prints events as lines; audio as one line a second.
#[derive(Default)]
struct Printer(Mutex<HashMap<usize, Line>>);

struct Line {
    begins: Instant,
    told: Instant,
    last: Option<Instant>,
    heard: u32,
    said: u32,
    gap: Duration,
}

impl Printer {
    fn print(&self, event: &BotEvent) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry(event.session).or_insert_with(|| Line::new(event.at));
        for text in line.tell(event) {
            let seconds = event.at.saturating_duration_since(line.begins).as_secs_f64();
            println!("{:>4} {seconds:>9.3}  {text}", format!("#{}", event.session));
        }
        if matches!(event.what, What::Ended(_) | What::Refused(_)) {
            lines.remove(&event.session);
        }
    }
}

impl Line {
    fn new(now: Instant) -> Self {
        Self { begins: now, told: now, last: None, heard: 0, said: 0, gap: Duration::ZERO }
    }

    fn tell(&mut self, event: &BotEvent) -> Vec<String> {
        let mut texts = Vec::new();
        match described(&event.what) {
            Some(text) => {
                texts.extend(self.sum(event.at));
                texts.push(text);
            }
            None => {
                self.count(event);
                if event.at.saturating_duration_since(self.told) >= AUDIO {
                    texts.extend(self.sum(event.at));
                }
            }
        }
        texts
    }

    fn count(&mut self, event: &BotEvent) {
        match &event.what {
            What::Sent(_) => self.said += 1,
            What::Received(_) => {
                self.heard += 1;
                if let Some(last) = self.last.replace(event.at) {
                    self.gap = self.gap.max(event.at.saturating_duration_since(last));
                }
            }
            _ => {}
        }
    }

    fn sum(&mut self, now: Instant) -> Option<String> {
        let (heard, said, gap) = (self.heard, self.said, self.gap);
        (self.told, self.heard, self.said, self.gap) = (now, 0, 0, Duration::ZERO);
        let gap_ms = gap.as_secs_f64() * 1000.0;
        let warning = if gap > GAP { "   ! gap" } else { "" };
        (heard + said > 0)
            .then(|| format!("media  in {heard}, out {said}, longest gap {gap_ms:.0} ms{warning}"))
    }
}

/// What is told by itself; audio and pings are not.
fn described(what: &What) -> Option<String> {
    Some(match what {
        What::Accepted(peer) => format!("connection from {peer}"),
        What::Refused(why) => format!("refused: {why}"),
        What::Opened(upgrade) => format!("upgrade GET {}", upgrade.target),
        What::Received(received) => match &received.message {
            FromStreamKit::Media { .. } => return None,
            FromStreamKit::Connected => "→ connected".to_owned(),
            FromStreamKit::Start(start) => format!(
                "→ start  {} Hz  from {}  to {}  account {}  {:?}",
                start.rate, start.from, start.to, start.account_sid, start.custom_parameters
            ),
            FromStreamKit::Dtmf { digit, duration, .. } => format!("→ dtmf {digit} {duration} ms"),
            FromStreamKit::Mark(name) => format!("→ mark {name:?}"),
            FromStreamKit::Stop { reason } => format!("→ stop {reason}"),
            FromStreamKit::Other(text) => format!("→ {text:?}"),
        },
        What::Binary(octets) => format!("→ binary, {octets} octets"),
        What::Ping | What::Sent(Said::Media(_)) => return None,
        What::Sent(said) => format!("← {said:?}"),
        What::Fault(fault) => format!("! {fault}"),
        What::Ended(end) => format!("ended: {end:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn modes_are_read_and_others_are_named() {
        let rate = SampleRate::Hz8000;
        assert_eq!(script(&words("echo"), rate).unwrap(), Script::echo());
        assert!(script(&words("tone"), rate).unwrap().repeat);
        assert_eq!(script(&words("play"), rate).unwrap_err(), "--mode play wants a file");
        assert!(script(&words("sing"), rate).unwrap_err().starts_with("--mode sing is none of"));
        assert!(script(&words("play no.wav"), rate).unwrap_err().starts_with("no.wav: "));
    }

    #[test]
    fn audio_is_told_once_a_second_and_before_anything_else() {
        let begins = Instant::now();
        let mut line = Line::new(begins);
        let said = |ms: u64, what| BotEvent { session: 0, at: begins + Duration::from_millis(ms), what };
        for n in 0..50 {
            assert_eq!(line.tell(&said(n * 20, What::Sent(Said::Media(320)))), [""; 0]);
        }
        assert_eq!(line.tell(&said(1000, What::Sent(Said::Media(320)))).len(), 1);
        line.tell(&said(1020, What::Sent(Said::Media(320))));
        let told = line.tell(&said(1030, What::Sent(Said::Clear)));
        assert_eq!(told, ["media  in 0, out 1, longest gap 0 ms", "← Clear"]);
    }
}
