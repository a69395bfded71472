//! `streamkit capacity`: how many calls this machine takes.

use std::process::ExitCode;

/// x
///
/// Example: x
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:")]
pub(super) struct Args {}

pub(super) fn run(_: &Args) -> ExitCode {
    ExitCode::SUCCESS
}
