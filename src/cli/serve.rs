//! `streamkit serve`: the daemon.

use std::process::ExitCode;

use super::{Source, refused};
use crate::config::Config;
use crate::daemon;

/// Run the daemon; it logs to stderr and tells systemd when it is ready.
///
/// SIGTERM or Ctrl-C: no new calls, running calls go on up to node.drain_timeout; a second one ends at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  streamkit serve -c ./streamkit.toml")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
}

pub(crate) fn run(args: Args) -> ExitCode {
    match Config::load(&args.source.config) {
        Ok(config) => daemon::run(config),
        Err(problems) => refused(&problems),
    }
}
