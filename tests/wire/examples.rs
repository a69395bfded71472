//! docs/examples, as their users run them: `streamkit serve` in a process of its own, sipp as the PBX, and an ear on
//! the line between them.
//!
//! ```text
//!   sipp ◄── RTP ──► the line, which keeps what goes back ◄── RTP ──► streamkit serve ◄── ws ──► the example
//! ```
//!
//! The line stands where an SBC or a NAT would: at `media.advertise`.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use streamkit::audio::{G711, codec};
use streamkit::lab::sound::Sound;
use streamkit::lab::speech::Speech;
use streamkit::rtp::Packet;
use streamkit::units::SampleRate;
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::ear::{faltered, recognised};
use crate::kit::{ACCOUNT, beside, eventually, records};
use crate::sipp::Scene;
use crate::{ports, programs};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Where the line is, as the SDP tells.
const LINE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
/// RTP and RTCP of eight calls.
const PORTS: u16 = 16;
/// A program of somebody else's is up by then.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a call lasts: what comes back comes later.
const LASTS: Duration = Duration::from_secs(6);
/// More than waits for its turn when the caller hangs up.
const UNDER_WAY: u64 = 1500;
/// Louder than what G.711 makes of silence.
const AUDIBLE: u16 = 200;
/// Samples kept of a call.
const KEPT: usize = 8000 * 60;
/// What the script of the virtual environment ends with when the package index is out of reach.
const OUT_OF_REACH: Option<i32> = Some(75);

/// The Python that the examples run with, once everything they need is installed; absent, where that is not possible.
pub(crate) fn installed() -> Option<PathBuf> {
    if programs::left_out(&["python3", "sipp"]) {
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/pipecat");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder in target");
    let made = Command::new(script).env("CARGO_TARGET_DIR", target).stdin(Stdio::null()).output();
    let made = made.expect("the script runs");
    let told = String::from_utf8_lossy(&made.stderr);
    if made.status.code() == OUT_OF_REACH {
        eprintln!("left out: {told}");
        return None;
    }
    assert!(made.status.success(), "no virtual environment: {told}");
    Some(Path::new(String::from_utf8_lossy(&made.stdout).trim()).join("bin/python"))
}

/// An example while it runs; dropped, it is killed.
pub(crate) struct Example {
    child: Child,
    dir: TempDir,
}

impl Example {
    /// Starts it from the folder of the project.
    pub(crate) fn start(python: &Path, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let screen = File::create(dir.path().join("screen")).expect("a file");
        let mut command = Command::new(python);
        command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        command.stderr(screen.try_clone().expect("a descriptor")).stdout(screen);
        Self { child: command.spawn().expect("Python runs"), dir }
    }

    /// Waits until it says this; the word behind it.
    pub(crate) async fn says(&mut self, words: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            let behind =
                said.split_once(words).and_then(|(_, behind)| behind.split_once(char::is_whitespace));
            if let Some((word, _)) = behind {
                return word.to_owned();
            }
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none() && Instant::now() < until, "it never said {words:?}: {said}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// All it has said.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join("screen")).unwrap_or_default()).into_owned()
    }

    /// It runs on, and had nothing to complain of.
    pub(crate) fn assert_content(&mut self) {
        assert_eq!(self.child.try_wait().expect("a child"), None, "{}", self.said());
        let said = self.said();
        let complaint = |line: &str| {
            ["Traceback", "Exception", "ERROR", "WARNING"].iter().any(|word| line.contains(word))
        };
        // what it still had to say when the caller hung up
        let too_late =
            |line: &str| line.contains("exception sending data") && line.contains("State.DISCONNECTED");
        assert!(!said.lines().any(|line| complaint(line) && !too_late(line)), "{said}");
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill(); // over already
        let _ = self.child.wait();
    }
}

/// `streamkit serve` while it runs, and the line before it; dropped, it is killed.
pub(crate) struct Served {
    child: Child,
    dir: TempDir,
    sip: SocketAddr,
    first_port: u16,
    line: Vec<Pair>,
}

impl Served {
    /// Serves these numbers with these bots.
    pub(crate) async fn start(routes: &[(&str, String)]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (sip, http) = (SocketAddr::new(HOST, ports::free(HOST)), ports::free(HOST));
        let first_port = ports::block(HOST, PORTS);
        let mut line = Vec::new();
        for port in (first_port..first_port + PORTS).step_by(2) {
            line.push(Pair::open(port).await.expect("a line"));
        }
        let config = dir.path().join("streamkit.toml");
        fs::write(&config, written(dir.path(), sip, http, first_port, routes)).expect("written");
        let log = File::create(dir.path().join("log")).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamkit"));
        command.arg("serve").arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("it runs");
        let mut served = Self { child, dir, sip, first_port, line };
        eventually("a daemon that listens", || {
            assert_eq!(served.child.try_wait().expect("a child"), None, "{}", served.log());
            ports::listened_on(sip, false)
        })
        .await;
        served
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// What went back to the caller whose SIP messages these are.
    fn heard(&self, messages: &str) -> Sound {
        let mut media =
            messages.split("m=audio ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok());
        let ours = self.first_port..self.first_port + PORTS;
        let port: u16 = media.find(|port| ours.contains(port)).expect("our SDP");
        self.line[usize::from((port - self.first_port) / 2)].heard()
    }

    /// Ends it as systemd does: it was content, too.
    pub(crate) async fn stop(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, Signal::SIGTERM).expect("told");
        let mut code = None;
        eventually("the end of the daemon", || {
            code = self.child.try_wait().expect("a child").map(|status| status.code());
            code.is_some()
        })
        .await;
        let log = self.log();
        assert!(code == Some(Some(0)) && !log.contains("panicked") && !log.contains("ERROR"), "{log}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill(); // over already
        let _ = self.child.wait();
    }
}

fn written(dir: &Path, sip: SocketAddr, http: u16, port: u16, routes: &[(&str, String)]) -> String {
    let route =
        |(to, bot): &(&str, String)| format!("[[route]]\ntrunk = \"pbx\"\nto = \"{to}*\"\nbot = \"{bot}\"\n");
    let routes: String = routes.iter().map(route).collect();
    format!(
        "[node]\nname = \"examples\"\nstate_dir = {dir:?}\nrun_dir = {dir:?}\n[sip]\nlisten = [\"udp://{sip}\"]\n\
         [http]\nlisten = [\"{HOST}:{http}\"]\n[limits]\ncalls = 4\ncpu_percent = 0\n\
         [media]\nbind = \"{HOST}\"\nadvertise = \"{LINE}\"\nports = \"{port}-{}\"\n\
         [[trunk]]\nname = \"pbx\"\npeers = [\"{HOST}\"]\naccount = \"{ACCOUNT}\"\n{routes}",
        port + PORTS - 1,
    )
}

/// What went back: each packet's timestamp and octets.
type Kept = Arc<Mutex<Vec<(u32, Vec<u8>)>>>;

/// One port of the line: what comes from the caller goes to the daemon's port of that number, and back.
struct Pair {
    relay: JoinHandle<io::Result<()>>,
    kept: Kept,
}

impl Pair {
    async fn open(port: u16) -> io::Result<Self> {
        let (near, far) = (UdpSocket::bind((LINE, port)).await?, UdpSocket::bind((HOST, 0)).await?);
        let kept = Kept::default();
        let relay = tokio::spawn(relay(near, far, SocketAddr::new(HOST, port), kept.clone()));
        Ok(Self { relay, kept })
    }

    /// What went back on it, by its timestamps.
    fn heard(&self) -> Sound {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let first = kept.first().map_or(0, |(time, _)| *time);
        let mut samples = vec![0; KEPT];
        let mut end = 0;
        for (time, octets) in kept.iter() {
            let at = time.wrapping_sub(first) as usize;
            if let Some(place) = samples.get_mut(at..at + octets.len()) {
                end = end.max(at + codec::decode(G711::Mu, octets, place));
            }
        }
        samples.truncate(end);
        Sound::new(SampleRate::Hz8000, samples)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

async fn relay(near: UdpSocket, far: UdpSocket, daemon: SocketAddr, kept: Kept) -> io::Result<()> {
    let (mut said, mut heard) = ([0; 2048], [0; 2048]);
    let mut caller = None;
    loop {
        tokio::select! {
            Ok((length, from)) = near.recv_from(&mut said) => {
                caller = Some(from);
                let _ = far.send_to(&said[..length], daemon).await; // lost is lost
            }
            Ok((length, from)) = far.recv_from(&mut heard) => {
                if from == daemon && let Ok(packet) = Packet::read(&heard[..length]) && packet.payload_type == 0 {
                    let one = (packet.timestamp, packet.payload.to_vec());
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                }
                if let Some(caller) = caller {
                    let _ = near.send_to(&heard[..length], caller).await; // lost is lost
                }
            }
        }
    }
}

/// sipp calls this number and speaks; what it said comes back, and the call is recorded as it should be. The record.
pub(crate) async fn echoes(served: &Served, number: &'static str) -> Value {
    // it speaks to the end: a pause of sipp's would be a gap in the record
    let speech = Speech::Caller.sound().then(&Speech::Story.sound());
    let scene = Scene { lasts: LASTS, speech, ..Scene::new("call").to(number) };
    let messages = scene.play(served.sip).succeeds().await;
    let of = || records(served.dir.path()).into_iter().find(|cdr| cdr["to"] == number);
    eventually("its record", || of().is_some()).await;
    let (heard, cdr) = (served.heard(&messages), of().expect("a record"));
    assert_eq!((&cdr["end"]["cause"], &cdr["sip"]["code"]), (&"bye".into(), &200.into()), "{cdr:#}");
    let stream = &cdr["streams"][0];
    let outcome =
        ["Status", "DisconnectedBy", "Disposition"].map(|name| stream[name].as_str().unwrap_or_default());
    assert_eq!(outcome, ["completed", "user", "caller_hangup"], "{cdr:#}");
    let count = |place: &str| stream.pointer(place).and_then(Value::as_u64).unwrap_or(u64::MAX);
    assert!(stream["Error"].is_null() && count("/messages/ignored") == 0, "{cdr:#}");
    let [received, played] = ["/audio/received_ms", "/audio/played_ms"].map(count);
    let lost = ["/audio/cleared_ms", "/audio/refused_ms", "/messages/dropped"].map(count);
    // what a machine that is busy holds up waits for its turn, or is not said in time
    let (least, most) = if faltered(&cdr) { (1000, u64::MAX) } else { (5000, UNDER_WAY) };
    assert!(lost == [0; 3] && played > least && received - played < most, "{cdr:#}");
    recognised(number, &heard, first_sound(&heard), &scene.speech, &cdr);
    cdr
}

/// Where the first begins that is no silence.
fn first_sound(heard: &Sound) -> Duration {
    let place = heard.samples.iter().position(|sample| sample.unsigned_abs() > AUDIBLE);
    heard.rate.duration(place.unwrap_or_default() as u64)
}

#[test]
fn the_bot_in_a_page_of_python_echoes_a_call() {
    let Some(python) = installed() else { return };
    beside(&["sipp"], async {
        let mut bot = Example::start(&python, &["docs/examples/echo.py", "--port", "0"]);
        let at = bot.says("listening on ws://").await;
        let served = Served::start(&[("015", format!("ws://{at}/media?lang=en"))]).await;
        let cdr = echoes(&served, "01512340321").await;
        served.stop().await;
        assert!(cdr["streams"][0]["marks"]["played"].as_u64() >= Some(1), "{cdr:#}");
        eventually("the end of the call", || bot.said().contains(" callended")).await;
        let said = bot.said();
        let expected =
            ["from sip:08061234509 to 01512340321 at 8000 Hz", "'lang': 'en'", "heard up to mark-1"];
        assert!(expected.iter().all(|part| said.contains(part)), "{said}");
        bot.assert_content();
    });
}
