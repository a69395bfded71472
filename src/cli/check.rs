//! `streamkit check`: everything that is wrong with a configuration, or what it means.

use std::process::ExitCode;

use super::which_route::Question;
use super::{Source, meaning, refused, say};
use crate::config::Config;

/// Read the configuration and tell every problem, or what it means.
///
/// A problem is one line: file, line and column, key, what is wrong, what would be right. Exit code 3 if there is one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  streamkit check -c ./streamkit.toml\n  \
                        streamkit check --route 'trunk=pbx,from=0801234509,to=0800123,X-Custom-Header=SalesBot'")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Say nothing when nothing is wrong.
    #[arg(long, short, conflicts_with = "route")]
    quiet: bool,
    /// Tell which route a call would take and why: trunk=, from=, to=, account=, and header fields by name.
    #[arg(long, value_name = "KEY=VALUE,...")]
    route: Option<Question>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let config = match Config::load(&args.source.config) {
        Ok(config) => config,
        Err(problems) => return refused(&problems),
    };
    match &args.route {
        None if args.quiet => {}
        None => say(&meaning::of(&config, &args.source.config)),
        Some(question) => match question.answer(&config) {
            Ok(answer) => say(&answer),
            Err(answer) => {
                say(&answer);
                return ExitCode::FAILURE;
            }
        },
    }
    ExitCode::SUCCESS
}
