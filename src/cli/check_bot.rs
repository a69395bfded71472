//! `streamkit check-bot`: plays the platform against a bot and says what it does wrong, or slowly.

// A command talks to the person who typed it.
#![allow(clippy::print_stdout)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::bot::rate;
use super::reach::Trusted;
use crate::lab::check_bot::{Checked, Plan, Report, Severity, Target, check};
use crate::lab::speech::Speech;
use crate::stream::BotUrl;
use crate::units::SampleRate;

const EXAMPLE: &str = "\
Examples:
  streamkit check-bot wss://key:token@bot.example.com/media
  streamkit check-bot ws://127.0.0.1:9000/media --rate 16000
  streamkit check-bot wss://bot.internal/media --ca ca.pem --json > report.json

Calls the bot once at each sample rate, about 20 s each: waits for a greeting, asks something, interrupts the answer,
presses a key, is stuck for 600 ms, hangs up. Exit code 0 if nothing was found that loses audio or the call, 1 if
something was (--strict: or anything callers notice), 2 for what cannot be asked.";

/// Plays the platform against a bot; prints what it does wrong, or slowly.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// Where the bot is, ws:// or wss://
    url: String,
    /// Only this rate: 8000, 16000 or 24000; may be repeated
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Vec<SampleRate>,
    /// Trust this certificate, in place of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// One JSON object in place of text
    #[arg(long)]
    json: bool,
    /// Warnings fail, too
    #[arg(long)]
    strict: bool,
}

/// Checks the bot. Exit code 0 if it is fit, 1 if not, 2 for what cannot be asked.
pub fn run(args: Args) -> ExitCode {
    let target = match target(&args) {
        Ok(target) => target,
        Err(why) => return fail(2, &why),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error.to_string()),
    };
    let rates = if args.rate.is_empty() { SampleRate::ALL.to_vec() } else { args.rate.clone() };
    let plan = Plan::new(Speech::Caller.sound(), Speech::Barge.sound());
    let tell = |call: &Checked| {
        if !args.json {
            println!("{}", call.line());
        }
    };
    match runtime.block_on(check(&target, &rates, &plan, tell)) {
        Ok(report) => conclude(&report, &args),
        Err(error) => fail(2, &error.to_string()),
    }
}

fn target(args: &Args) -> Result<Target, String> {
    let url = BotUrl::parse(&args.url).map_err(|error| error.to_string())?;
    let trusted = Trusted { ca: args.ca.clone(), insecure_loopback: false };
    // Anybody on this machine is not trusted either: the address does not matter.
    let tls = url.secure().then(|| trusted.connector(([0, 0, 0, 0], 0).into(), url.host())).transpose()?;
    Ok(Target { url: args.url.clone(), tls })
}

fn conclude(report: &Report, args: &Args) -> ExitCode {
    if args.json {
        println!("{:#}", report.json());
    } else {
        println!("\n{}", report.text().trim_end());
    }
    ExitCode::from(u8::from(unfit(report.worst(), args.strict)))
}

fn unfit(worst: Option<Severity>, strict: bool) -> bool {
    worst >= Some(if strict { Severity::Warning } else { Severity::Error })
}

fn fail(code: u8, why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "streamkit check-bot: {why}"); // nobody left to tell
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(url: &str) -> Args {
        Args { url: url.to_owned(), rate: Vec::new(), ca: None, json: false, strict: false }
    }

    #[test]
    fn only_what_is_a_bot_url_can_be_asked() {
        assert!(target(&args("ws://127.0.0.1:9000/media")).is_ok_and(|target| target.tls.is_none()));
        assert!(target(&args("wss://bot.example.com/")).is_ok_and(|target| target.tls.is_some()));
        assert!(target(&args("http://h/")).is_err());
        let missing = Args { ca: Some("/none.pem".into()), ..args("wss://h/") };
        assert!(target(&missing).map(drop).unwrap_err().contains("none.pem"));
    }

    #[test]
    fn warnings_fail_only_when_asked_to() {
        assert!(!unfit(None, true) && !unfit(Some(Severity::Advice), true));
        assert!(unfit(Some(Severity::Warning), true) && !unfit(Some(Severity::Warning), false));
        assert!(unfit(Some(Severity::Error), false));
    }
}
