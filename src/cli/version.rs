//! `streamkit version`.

use std::process::ExitCode;

use super::say;
use crate::telemetry::exposition::COMMIT;

/// Tell version, commit, build and features.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  streamkit version")]
pub(crate) struct Args {}

pub(crate) fn run(Args {}: Args) -> ExitCode {
    say(&format!(
        "streamkit {}\ncommit    {}\nbuild     {}, {}, {}\nfeatures  sip-udp sip-tcp pcmu pcma rfc4733 bot-8000 bot-16000 bot-24000 ws wss metrics\n",
        env!("CARGO_PKG_VERSION"),
        COMMIT.unwrap_or("unknown"),
        env!("STREAMKIT_PROFILE"),
        env!("STREAMKIT_TARGET"),
        env!("STREAMKIT_RUSTC"),
    ));
    ExitCode::SUCCESS
}
