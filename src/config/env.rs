//! What surrounds a configuration: environment variables, credentials of systemd, the machine's limits.
//! Given as a value, so that a test has a machine of its own.

use std::collections::HashMap;
use std::path::PathBuf;

use config::Environment;

/// The machine and the process a configuration is read for.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Environment variables.
    pub variables: HashMap<String, String>,
    /// Cores this process may run on.
    pub cores: Vec<usize>,
    /// File descriptors this process may have at most.
    pub descriptors: u64,
    /// The name of the machine.
    pub host_name: String,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        // Variables that are no text cannot hold a setting of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            cores: cores(),
            descriptors: nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
                .map_or(1024, |(_, hard)| hard),
            host_name: nix::unistd::gethostname()
                .ok()
                .and_then(|name| name.into_string().ok())
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "streamkit".to_owned()),
        }
    }

    /// Where systemd has put a credential.
    pub(super) fn credential(&self, name: &str) -> Option<PathBuf> {
        let plain = !name.is_empty() && !name.contains('/') && name != "..";
        self.variables.get("CREDENTIALS_DIRECTORY").filter(|_| plain).map(|dir| PathBuf::from(dir).join(name))
    }
}

/// Cores the scheduler lets us use, in order.
fn cores() -> Vec<usize> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0));
    let allowed: Vec<usize> = match set {
        Ok(set) => (0..nix::sched::CpuSet::count()).filter(|&core| set.is_set(core) == Ok(true)).collect(),
        Err(_) => Vec::new(),
    };
    if allowed.is_empty() { vec![0] } else { allowed }
}

/// The last layer: `STREAMKIT__SIP__ADVERTISE` stands for `sip.advertise`. Values stay text, for an account may
/// be all digits; a number or a list is read from it where one is wanted.
pub(super) fn layer(surroundings: &Surroundings) -> Environment {
    Environment::with_prefix("STREAMKIT")
        .prefix_separator("__")
        .separator("__")
        .source(Some(surroundings.variables.clone()))
}

/// The variable that stands for this key.
pub(super) fn variable(key: &str) -> String {
    format!("STREAMKIT__{}", key.to_ascii_uppercase().replace('.', "__"))
}
