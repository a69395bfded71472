//! Programs started and stopped by whoever measures, and what they need: ports, a certificate, a configuration.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What is told to end and does not within this is killed.
const ENDS: Duration = Duration::from_secs(20);
/// What is started is there within this.
const STARTS: Duration = Duration::from_secs(20);

/// A program of ours; it ends with this, and with us.
pub struct Program {
    name: String,
    child: Child,
}

impl Program {
    /// Starts it with its words in a file of its name.
    pub fn start(path: &Path, args: &[&str], folder: &Path) -> Result<Self, String> {
        let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
        let told = |error: std::io::Error| format!("{}: {error}", path.display());
        let log = File::create(folder.join(format!("{name}.log"))).map_err(told)?;
        let mut command = Command::new(path);
        command.args(args).stdin(Stdio::null()).stdout(log.try_clone().map_err(told)?).stderr(log);
        // SAFETY: prctl is async-signal-safe and touches nothing of ours.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        Ok(Self { name, child: command.spawn().map_err(told)? })
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("{} ended: {status}", self.name))
    }

    /// Waits until it is ready.
    pub fn until(&mut self, what: &str, mut ready: impl FnMut() -> bool) -> Result<(), String> {
        let end = Instant::now() + STARTS;
        while !ready() {
            if let Some(ended) = self.ended() {
                return Err(format!("{ended}; see its log"));
            }
            if Instant::now() > end {
                return Err(format!("{}: {what}: not within {} s", self.name, STARTS.as_secs()));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits for it to end by itself: whether it said it went well.
    pub fn wait(&mut self, longest: Duration) -> Result<bool, String> {
        let end = Instant::now() + longest;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status.success()),
                Ok(None) if Instant::now() > end => return Err(format!("{}: still running", self.name)),
                Ok(None) => sleep(Duration::from_millis(50)),
                Err(error) => return Err(format!("{}: {error}", self.name)),
            }
        }
    }

    /// Tells it to end, and sees to it.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        unsafe { libc::kill(self.pid(), libc::SIGTERM) };
        if self.wait(ENDS).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// The program of this name that was built with the one that runs.
pub fn sibling(name: &str) -> PathBuf {
    std::env::current_exe().unwrap_or_default().with_file_name(name)
}

/// A port that is free just now over UDP and TCP.
pub fn free_port() -> u16 {
    loop {
        let Ok(udp) = UdpSocket::bind("127.0.0.1:0") else { continue };
        let Ok(at) = udp.local_addr() else { continue };
        if TcpListener::bind(at).is_ok() {
            return at.port();
        }
    }
}

/// Whether somebody listens for datagrams there.
pub fn is_bound(port: u16) -> bool {
    let wanted = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/udp").unwrap_or_default();
    table.lines().any(|line| line.split_whitespace().nth(1) == Some(&wanted))
}

/// The body of a page of the daemon, when it is told with 200.
pub fn page(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

/// The value of a series without labels, the sum over its labels, or that of one that is named with them.
pub fn series(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        (rest.starts_with('{') || rest.starts_with(' '))
            .then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    values.sum()
}

/// A certificate of 127.0.0.1 made on the spot: `certificate.pem`, `certificate.der` and `key.der` in this folder.
pub fn certificate(folder: &Path) -> Result<(), String> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]);
    let made = made.map_err(|error| error.to_string())?;
    let write =
        |name: &str, octets: &[u8]| fs::write(folder.join(name), octets).map_err(|error| error.to_string());
    write("certificate.pem", made.cert.pem().as_bytes())?;
    write("certificate.der", made.cert.der())?;
    write("key.der", made.signing_key.serialized_der())
}

/// A daemon with every default, on these ports; `more` are further tables.
pub fn configuration(folder: &Path, sip: u16, http: u16, bot: u16, more: &str) -> String {
    let certificate = folder.join("certificate.pem");
    format!(
        "[node]\nname = \"rig\"\nstate_dir = {folder:?}\nrun_dir = {folder:?}\n\
         [sip]\nlisten = [\"udp://127.0.0.1:{sip}\"]\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n\
         [media]\nbind = \"127.0.0.1\"\n[log]\nlevel = \"warn\"\n[stream]\nca_file = {certificate:?}\n{more}\n\
         [[trunk]]\nname = \"rig\"\npeers = [\"127.0.0.1\"]\naccount = \"rig\"\n\
         [[route]]\ntrunk = \"rig\"\nbot = \"wss://127.0.0.1:{bot}/media\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_summed_over_its_labels_and_no_longer_name_counts() {
        let metrics = "# TYPE a gauge\na 1\na_total 7\nb{x=\"1\"} 2\nb{x=\"2 3\"} 0.5\n";
        assert_eq!((series(metrics, "a"), series(metrics, "b"), series(metrics, "c")), (1.0, 2.5, 0.0));
        assert_eq!(series(metrics, "b{x=\"1\"}"), 2.0);
    }
}
