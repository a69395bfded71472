//! Tells the program what it was built from: the commit, the target, the compiler.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=STREAMKIT_COMMIT");
    for (name, value) in [
        ("STREAMKIT_TARGET", env::var("TARGET").ok()),
        ("STREAMKIT_PROFILE", env::var("PROFILE").ok()),
        ("STREAMKIT_RUSTC", said(&env::var("RUSTC").unwrap_or_else(|_| "rustc".into()), &["--version"])),
    ] {
        println!("cargo:rustc-env={name}={}", value.unwrap_or_else(|| "unknown".into()));
    }
    // A developer's build is not made anew for each commit; a release says what it is.
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") && env::var("STREAMKIT_COMMIT").is_err()
    {
        if let Some(log) = said("git", &["rev-parse", "--git-path", "logs/HEAD"]) {
            println!("cargo:rerun-if-changed={log}");
        }
        if let Some(commit) = said("git", &["rev-parse", "--short=12", "HEAD"]) {
            println!("cargo:rustc-env=STREAMKIT_COMMIT={commit}");
        }
    }
}

/// What a command says, if it succeeds.
fn said(command: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(command).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
