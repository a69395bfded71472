//! The command line of streamkit; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    streamkit::cli::main()
}
