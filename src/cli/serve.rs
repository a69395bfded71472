//! `streamkit serve`: the daemon.

use std::process::ExitCode;

use super::{Source, refused};
use crate::config::Config;
use crate::daemon;
use crate::telemetry::{exposition, log};

/// Run the daemon; it logs to stderr and tells systemd when it is ready.
///
/// SIGTERM or Ctrl-C: no new calls, running calls go on up to node.drain_timeout; a second one ends at once.
/// SIGHUP reads the configuration again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  streamkit serve -c ./streamkit.toml")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
}

pub(crate) fn run(args: Args) -> ExitCode {
    let path = args.source.config;
    let config = match Config::load(&path) {
        Ok(config) => config,
        Err(problems) => return refused(&problems),
    };
    log::install(&config.log);
    exposition::install(&config.names);
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("control").build() {
            Ok(runtime) => runtime,
            Err(error) => return refused(&format_args!("threads for the control plane: {error}")),
        };
    match runtime.block_on(daemon::run(config, path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refused(&error),
    }
}
