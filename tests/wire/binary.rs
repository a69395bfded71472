//! The daemon as a process, as an operator and systemd see it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kit::{alone, eventually};
use crate::ports;

/// A process of ours; dropped, it is killed.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill(); // over already
        let _ = self.0.wait();
    }
}

pub(crate) fn streamkit(command: &str, config: &Path) -> Command {
    let mut process = Command::new(env!("CARGO_BIN_EXE_streamkit"));
    process.arg(command).arg("-c").arg(config).stdin(Stdio::null());
    process
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A configuration that is right, for these addresses.
fn written(dir: &Path, sip: &str, http: SocketAddr) -> std::path::PathBuf {
    let path = dir.join("streamkit.toml");
    let text = format!(
        "[node]\nname = \"wire\"\nstate_dir = {dir:?}\nrun_dir = {dir:?}\n[sip]\nlisten = [\"{sip}\"]\n\
         [http]\nlisten = [\"{http}\"]\n[limits]\ncalls = 10\n\
         [[trunk]]\nname = \"pbx\"\npeers = [\"127.0.0.1\"]\naccount = \"acme1\"\n\
         [[route]]\ntrunk = \"pbx\"\nbot = \"ws://127.0.0.1:9/media\"\n"
    );
    fs::write(&path, text).expect("written");
    path
}

/// An address for a process of ours; what is let go again of the system's own choice, another may be given at once.
pub(crate) fn free_address() -> SocketAddr {
    let host = Ipv4Addr::LOCALHOST.into();
    SocketAddr::new(host, ports::free(host))
}

/// The answer to a GET; empty when there is none.
pub(crate) fn get(http: SocketAddr, path: &str) -> String {
    let asked = TcpStream::connect(http).and_then(|mut socket| {
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        socket.read_to_string(&mut text).map(|_| text)
    });
    asked.unwrap_or_default() // not there yet
}

#[test]
fn check_tells_every_problem_with_its_line() {
    alone(async {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("streamkit.toml");
        let text = "[sip]\nlisten = [\"udp://127.0.0.1:5070\", \"udp://nowhere\"]\nuser_agnet = \"x\"\n\
                    [stream]\nframe_ms = 30\n\
                    [[trunk]]\nname = \"pbx\"\npeers = [\"127.0.0.1\"]\n\
                    [[route]]\ntrunk = \"pxb\"\nbot = \"ftp://bot/\"\n";
        fs::write(&path, text).expect("written");
        let output = streamkit("check", &path).output().expect("run");
        let told = error(&output);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert_eq!(output.stdout, b"", "problems go to stderr");
        let wanted = [
            (2, "sip.listen"),
            (3, "sip.user_agnet"),
            (5, "stream.frame_ms"),
            (6, "trunk.account"),
            (10, "route.trunk"),
            (11, "route.bot"),
        ];
        for (line, key) in wanted {
            let place = format!("{}:{line}:", path.display());
            let found = told.lines().any(|said| said.starts_with(&place) && said.contains(key));
            assert!(found, "line {line}, {key}:\n{told}");
        }
        assert_eq!(told.lines().count(), wanted.len(), "each once:\n{told}");
    });
}

#[test]
fn a_port_that_is_taken_is_one_clear_line() {
    alone(async {
        let dir = tempfile::tempdir().expect("a folder");
        let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let sip = format!("udp://{}", taken.local_addr().expect("bound"));
        let path = written(dir.path(), &sip, free_address());
        let output = streamkit("serve", &path).output().expect("run");
        let told = error(&output);
        assert_eq!(output.status.code(), Some(3), "{told}");
        let lines: Vec<&str> = told.lines().filter(|line| line.contains(&sip)).collect();
        assert_eq!(lines.len(), 1, "{told}");
        assert!(lines[0].contains("sip.listen") && lines[0].contains("in use"), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    });
}

#[test]
fn the_daemon_serves_until_sigterm_and_exits_0() {
    alone(async {
        let dir = tempfile::tempdir().expect("a folder");
        let http = free_address();
        let path = written(dir.path(), "udp://127.0.0.1:0", http);
        let log = fs::File::create(dir.path().join("log")).expect("a file");
        let child = streamkit("serve", &path).stdout(Stdio::null()).stderr(log).spawn().expect("run");
        let mut daemon = Process(child);
        eventually("ready", || get(http, "/readyz").starts_with("HTTP/1.1 200")).await;
        assert!(get(http, "/healthz").starts_with("HTTP/1.1 200"));
        let metrics = get(http, "/metrics");
        assert!(
            metrics.starts_with("HTTP/1.1 200") && metrics.contains("\nstreamkit_calls_active"),
            "{metrics}"
        );
        assert!(get(http, "/nothing").starts_with("HTTP/1.1 404"));
        let pid = Pid::from_raw(i32::try_from(daemon.0.id()).expect("a process id"));
        kill(pid, Signal::SIGTERM).expect("told");
        let mut code = None;
        eventually("the end", || {
            code = daemon.0.try_wait().expect("a child").map(|status| status.code());
            code.is_some()
        })
        .await;
        let log = fs::read_to_string(dir.path().join("log")).expect("text");
        assert_eq!(code, Some(Some(0)), "{log}");
        assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    });
}
