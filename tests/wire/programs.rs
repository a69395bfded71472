//! Programs that are not ours: where they are, and what it means when they are not.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set to 1, tests whose program is not installed pass without a word of the line.
const WITHOUT: &str = "STREAMKIT_WITHOUT_PEERS";

/// A command of a program, found beyond the path of a user, too.
pub(crate) fn command(name: &str) -> Command {
    Command::new(place(name).unwrap_or_else(|| panic!("{name} is not installed: `make test` installs it")))
}

/// Whether a test is to be left out because one of these is not here; that they are not is an error, unless it was
/// said before.
pub(crate) fn left_out(names: &[&str]) -> bool {
    let missing: Vec<_> = names.iter().filter(|name| place(name).is_none()).collect();
    if missing.is_empty() {
        return false;
    }
    assert!(
        env::var_os(WITHOUT).is_some_and(|set| set == "1"),
        "not installed: {missing:?}; `make test` installs them (Debian: sip-tester, baresip-core, kamailio, \
         rtpengine-daemon), {WITHOUT}=1 goes without"
    );
    eprintln!("left out: {missing:?} not installed");
    true
}

fn place(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|place: &PathBuf| Path::is_file(place))
}
