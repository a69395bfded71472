//! Debian's sipp as the PBX: one call of a scenario, in a process of its own.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use streamkit::audio::{G711, codec};
use streamkit::lab::sound::Sound;
use streamkit::units::SampleRate;
use tempfile::TempDir;
use tokio::time::sleep;

/// A scenario to be played by sipp.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    /// XML with `@SPEECH@` and `@LASTS@`.
    pub(crate) xml: &'static str,
    /// What is said, if it speaks.
    pub(crate) speech: Sound,
    /// From the ACK to the BYE.
    pub(crate) lasts: Duration,
    /// Over TCP.
    pub(crate) tcp: bool,
    /// Sends every RTP packet back.
    pub(crate) echo: bool,
}

impl Scene {
    /// Over UDP, silent.
    pub(crate) fn new(xml: &'static str) -> Self {
        Self { xml, speech: Sound::default(), lasts: Duration::ZERO, tcp: false, echo: false }
    }

    /// Begins to play it to this address.
    pub(crate) fn play(&self, to: SocketAddr) -> Sipp {
        let dir = tempfile::tempdir().expect("a folder");
        let scenario = self.write(&dir);
        let host = if to.is_ipv4() { "127.0.0.1" } else { "[::1]" };
        let port = free_port(to.ip());
        let mut command = Command::new("sipp");
        command.arg(to.to_string()).arg("-sf").arg(&scenario);
        command.args(["-m", "1", "-nostdin", "-skip_rlimit", "-timeout", "60s", "-timeout_error"]);
        command.args(["-i", host, "-mi", host, "-p", &port.to_string()]);
        command.args(["-t", if self.tcp { "t1" } else { "u1" }]);
        command.args(["-trace_err", "-error_file", "errors", "-trace_msg", "-message_file", "messages"]);
        command.args(["-mp", &free_media_port(to.ip()).to_string()]);
        if self.echo {
            command.arg("-rtp_echo");
        }
        let screen = File::create(dir.path().join("screen")).expect("a file");
        command.current_dir(dir.path()).env("TERM", "dumb").stdin(Stdio::null());
        command.stderr(screen.try_clone().expect("a descriptor")).stdout(screen);
        let child = command.spawn();
        let child =
            child.unwrap_or_else(|why| panic!("sipp cannot be run ({why}): apt-get install sip-tester"));
        Sipp { child, dir }
    }

    fn write(&self, dir: &TempDir) -> PathBuf {
        let speech = dir.path().join("speech.ul");
        let samples = self.speech.at(SampleRate::Hz8000).samples;
        let mut octets = vec![0; samples.len()];
        codec::encode(G711::Mu, &samples, &mut octets);
        fs::write(&speech, octets).expect("written");
        let xml = self.xml.replace("@SPEECH@", speech.to_str().expect("a path that is text"));
        let xml = xml.replace("@LASTS@", &self.lasts.as_millis().to_string());
        let path = dir.path().join("scenario.xml");
        fs::write(&path, xml).expect("written");
        path
    }
}

/// sipp while it runs; dropped, it is killed.
pub(crate) struct Sipp {
    child: Child,
    dir: TempDir,
}

impl Sipp {
    /// Waits for the end of its call, which must be as the scenario says; every message it saw.
    pub(crate) async fn succeeds(mut self) -> String {
        let until = Instant::now() + Duration::from_secs(70);
        let status = loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None => assert!(Instant::now() < until, "sipp does not end: {}", self.said()),
            }
            sleep(Duration::from_millis(20)).await;
        };
        assert!(status.success(), "sipp: {status}: {}", self.said());
        self.file("messages")
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

fn free_port(ip: IpAddr) -> u16 {
    let socket = UdpSocket::bind((ip, 0)).expect("a port");
    socket.local_addr().expect("bound").port()
}

/// An even port whose second neighbour, for sipp's video echo, is free, too.
fn free_media_port(ip: IpAddr) -> u16 {
    let free = |port: u16| UdpSocket::bind((ip, port)).is_ok();
    let found = (0..100)
        .map(|_| free_port(ip) & !1)
        .find(|port| *port < u16::MAX - 2 && free(*port) && free(port + 2));
    found.expect("two ports")
}
