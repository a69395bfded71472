//! The command line: one file a command. Exit codes: 0 good; 1 the thing asked for failed; 2 usage; 3 configuration
//! refused; 4 daemon not reachable.

pub mod bot;
pub mod call;
mod capacity;
mod check;
pub mod check_bot;
pub mod demo;
mod in_process;
pub mod load;
mod meaning;
mod reach;
pub mod selftest;
mod serve;
mod version;
mod which_route;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The configuration was refused.
const REFUSED: u8 = 3;

/// Joins telephone calls to voice bots: SIP and RTP on one side, a WebSocket on the other.
#[derive(Debug, Parser)]
#[command(name = "streamkit", version, propagate_version = false, max_term_width = 100)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Check(check::Args),
    CheckBot(check_bot::Args),
    Demo(demo::Args),
    Bot(bot::Args),
    Call(call::Args),
    Load(load::Args),
    Capacity(capacity::Args),
    Selftest(selftest::Args),
    Version(version::Args),
}

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
struct Source {
    /// The configuration; files of conf.d beside it are read, too.
    #[arg(short, long = "config", value_name = "FILE", default_value = "/etc/streamkit/streamkit.toml")]
    config: PathBuf,
}

/// Runs the command that was asked for; what is no command is told, with exit code 2.
pub fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(told) => {
            let _ = told.print(); // nobody reads it: then nobody reads the exit code's reason either
            return ExitCode::from(if told.use_stderr() { 2 } else { 0 });
        }
    };
    match line.command {
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => check::run(&args),
        Command::CheckBot(args) => check_bot::run(args),
        Command::Demo(args) => demo::run_with(args, in_process::start),
        Command::Bot(args) => bot::run(args),
        Command::Call(args) => call::run(args),
        Command::Load(args) => load::run(args),
        Command::Capacity(args) => capacity::run(&args),
        Command::Selftest(args) => selftest::run(args),
        Command::Version(args) => version::run(args),
    }
}

/// Prints to stdout; a reader that has gone (`| head`) is no fault.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// One clear line for each thing that is wrong, and exit code 3.
fn refused(problems: &dyn std::fmt::Display) -> ExitCode {
    let mut out = std::io::stderr().lock();
    for problem in problems.to_string().lines() {
        let _ = writeln!(out, "{problem}");
    }
    ExitCode::from(REFUSED)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_command_has_an_example() {
        let line = Line::command();
        line.clone().debug_assert();
        for command in line.get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{} has no example", command.get_name());
        }
    }

    #[test]
    fn what_is_no_command_is_usage() {
        assert_eq!(Line::try_parse_from(["streamkit", "fly"]).map_err(|e| e.exit_code()).err(), Some(2));
        assert_eq!(Line::try_parse_from(["streamkit"]).map_err(|e| e.exit_code()).err(), Some(2));
        let checked = Line::try_parse_from(["streamkit", "check", "-c", "x.toml"]);
        assert!(matches!(checked, Ok(Line { command: Command::Check(_) })));
    }
}
