//! The daemon that is measured, in a process of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use super::watch::{page, series};

/// It is ready within this.
const STARTS: Duration = Duration::from_secs(15);
/// reliability R-5: everything is given back within 64 x T1 + 3 s.
const GIVEN_BACK: Duration = Duration::from_secs(35);
/// It ends within this; then it is killed.
const ENDS: Duration = Duration::from_secs(15);

/// A running daemon; dropped, it is killed and its folder removed.
pub(super) struct Daemon {
    child: Child,
    http: SocketAddr,
    folder: PathBuf,
}

/// A folder for one.
pub(super) fn folder() -> Result<PathBuf, String> {
    let folder = std::env::temp_dir().join(format!("streamkit-capacity-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

impl Daemon {
    /// Starts it with this configuration and waits until it is ready.
    pub(super) async fn start(folder: PathBuf, text: &str, http: SocketAddr) -> Result<Self, String> {
        let child = spawn(&folder, text).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut daemon = Self { child, http, folder };
        let until = Instant::now() + STARTS;
        while page(http, "/readyz").await.is_err() {
            let ended = daemon.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > until {
                let log = fs::read_to_string(daemon.folder.join("log")).unwrap_or_default();
                return Err(format!("the daemon did not come up:\n{}", log.trim_end()));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(daemon)
    }

    pub(super) fn http(&self) -> SocketAddr {
        self.http
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until no call and no stream is left.
    pub(super) async fn is_idle(&self) -> Result<(), String> {
        let until = Instant::now() + GIVEN_BACK;
        loop {
            let metrics =
                page(self.http, "/metrics").await.map_err(|error| format!("the daemon: {error}"))?;
            let left: f64 = ["streamkit_calls_active", "streamkit_streams_active"]
                .map(|name| series(&metrics, name).sum::<f64>())
                .iter()
                .sum();
            if left == 0.0 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!(
                    "{left} calls and streams are left {} s after the last",
                    GIVEN_BACK.as_secs()
                ));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Tells it to end.
    pub(super) async fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).map(Pid::from_raw);
        let told = pid.is_ok_and(|pid| kill(pid, Signal::SIGTERM).is_ok());
        let until = Instant::now() + ENDS;
        while told && matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill(); // over already
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder); // scratch; what is left is left
    }
}

/// The operator's environment does not reach it: the file says everything.
fn spawn(folder: &Path, text: &str) -> std::io::Result<Child> {
    let file = folder.join("streamkit.toml");
    fs::write(&file, text)?;
    let log = fs::File::create(folder.join("log"))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "-c"]).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("STREAMKIT__");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.spawn()
}
