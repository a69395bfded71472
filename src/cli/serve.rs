//! `streamkit serve`: the daemon.

use std::process::ExitCode;

use super::{Source, refused};
use crate::config::Config;
use crate::daemon;

/// Run the daemon; it logs to stderr and tells systemd when it is ready.
///
/// SIGHUP: the configuration and the certificates are read again, for new calls.
/// SIGTERM or Ctrl-C: no new calls, running calls go on up to node.drain_timeout; a second one ends at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  streamkit serve -c ./streamkit.toml")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
}

pub(crate) fn run(args: Args) -> ExitCode {
    raise_descriptors();
    match Config::load(&args.source.config) {
        Ok(config) => daemon::run(config, args.source.config),
        Err(problems) => refused(&problems),
    }
}

/// Takes every file descriptor the system allows: a login shell gives 1024, and `limits.calls` is judged by what is
/// allowed. Where that fails the limit stays as it was and the calls beyond it are refused one by one.
pub(super) fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let all = hard.min(1 << 20).max(soft); // "unlimited" is refused
        let _ = setrlimit(Resource::RLIMIT_NOFILE, all, hard);
    }
}
