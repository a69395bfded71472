//! Debian's sipp as the other end: a scenario of `sipp/`, played in a process of its own.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use streamkit::audio::{G711, codec};
use streamkit::lab::sound::Sound;
use streamkit::lab::speech::Speech;
use streamkit::units::SampleRate;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{ports, programs};

/// A scenario to be played by sipp.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    /// File of `sipp/`, without `.xml`.
    pub(crate) name: &'static str,
    /// Who is called.
    pub(crate) number: &'static str,
    /// What `speech.ulaw` holds, and from the ACK on is said, if the scenario speaks.
    pub(crate) speech: Sound,
    /// Each of its pauses without a length.
    pub(crate) lasts: Duration,
    /// Over TCP.
    pub(crate) tcp: bool,
    /// Sends every RTP packet back.
    pub(crate) echo: bool,
    /// How often it is played.
    pub(crate) calls: u32,
    /// The address it is played from, of the family of its target; absent: loopback.
    pub(crate) from: Option<IpAddr>,
    /// Further options.
    pub(crate) options: Vec<String>,
}

impl Scene {
    /// Over UDP, once, from loopback, with the caller's speech.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            number: "01512340321",
            speech: Speech::Caller.sound(),
            lasts: Duration::from_millis(500),
            tcp: false,
            echo: false,
            calls: 1,
            from: None,
            options: Vec::new(),
        }
    }

    /// To this number.
    pub(crate) fn to(self, number: &'static str) -> Self {
        Self { number, ..self }
    }

    /// With these options.
    pub(crate) fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// Begins to play it to this address.
    pub(crate) fn play(&self, to: SocketAddr) -> Sipp {
        let ip = self.from.unwrap_or(if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { to.ip() });
        let port = ports::free(ip);
        self.run(Some(to), SocketAddr::new(ip, port))
    }

    /// Waits for calls on a port of loopback.
    pub(crate) async fn wait(&self) -> Sipp {
        let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), ports::free(Ipv4Addr::LOCALHOST.into()));
        let mut sipp = self.run(None, at);
        let until = Instant::now() + Duration::from_secs(10);
        while !ports::listened_on(at, self.tcp) {
            let ended = sipp.child.try_wait().expect("a child");
            assert!(
                ended.is_none() && Instant::now() < until,
                "{} never listened: {}",
                self.name,
                sipp.said()
            );
            sleep(Duration::from_millis(10)).await;
        }
        sipp
    }

    fn run(&self, to: Option<SocketAddr>, at: SocketAddr) -> Sipp {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("speech.ulaw"), spoken(&self.speech)).expect("written");
        let ip = if at.is_ipv4() { at.ip().to_string() } else { format!("[{}]", at.ip()) };
        let mut command = programs::command("sipp");
        command.args(to.map(|to| to.to_string())).arg("-sf").arg(scenario(self.name));
        command.args([
            "-s",
            self.number,
            "-m",
            &self.calls.to_string(),
            "-d",
            &self.lasts.as_millis().to_string(),
        ]);
        command.args(["-nostdin", "-skip_rlimit", "-timeout", "90s", "-timeout_error", "-bind_local"]);
        command.args(["-i", &ip, "-mi", &ip, "-p", &at.port().to_string()]);
        command.args(["-t", if self.tcp { "t1" } else { "u1" }]);
        command.args(["-cid_str", &format!("{}-%u-%p@%s", self.name.replace('/', "-"))]);
        command.args(["-trace_err", "-error_file", "errors", "-trace_msg", "-message_file", "messages"]);
        command.args(["-mp", &ports::four_free(at.ip()).to_string()]);
        command.args(self.echo.then_some("-rtp_echo")).args(&self.options);
        if !self.options.iter().any(|option| ["-lost", "-rtcheck"].contains(&option.as_str())) {
            // Nothing is lost on loopback; what it sends again because it was held up, it does not expect answered. But
            // then it does not know either what is sent to it again.
            command.arg("-nr");
        }
        let screen = File::create(dir.path().join("screen")).expect("a file");
        command.current_dir(dir.path()).env("TERM", "dumb").stdin(Stdio::null());
        command.stderr(screen.try_clone().expect("a descriptor")).stdout(screen);
        let child = command.spawn().expect("sipp runs");
        Sipp { child, dir, name: self.name, at }
    }
}

/// As the scenarios send it: PCMU, 8000 octets a second.
pub(crate) fn spoken(sound: &Sound) -> Vec<u8> {
    let samples = sound.at(SampleRate::Hz8000).samples;
    let mut octets = vec![0; samples.len()];
    codec::encode(G711::Mu, &samples, &mut octets);
    octets
}

/// Where a scenario is.
pub(crate) fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/sipp").join(format!("{name}.xml"))
}

/// sipp while it runs; dropped, it is killed.
pub(crate) struct Sipp {
    child: Child,
    dir: TempDir,
    name: &'static str,
    /// Where it sends from and listens.
    pub(crate) at: SocketAddr,
}

impl Sipp {
    /// Waits for the end of its calls, which must be as the scenario says; every message it saw.
    pub(crate) async fn succeeds(self) -> String {
        let name = self.name;
        self.plays_through().await.unwrap_or_else(|why| panic!("sipp {name}: {why}"))
    }

    /// Waits for the end of its calls; every message it saw, or what went wrong.
    pub(crate) async fn plays_through(mut self) -> Result<String, String> {
        let until = Instant::now() + Duration::from_secs(100);
        let status = loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None if Instant::now() > until => return Err(format!("does not end: {}", self.said())),
                None => sleep(Duration::from_millis(20)).await,
            }
        };
        if status.success() { Ok(self.file("messages")) } else { Err(format!("{status}: {}", self.said())) }
    }

    fn said(&self) -> String {
        format!("{}\n{}\n{}", self.file("errors"), self.file("messages"), self.file("screen"))
    }

    fn file(&self, name: &str) -> String {
        let bytes = fs::read(self.dir.path().join(name)).unwrap_or_default(); // not every run writes every file
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill(); // over already
        let _ = self.child.wait();
    }
}
