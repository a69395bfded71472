//! Debian's baresip as the caller: speech both ways, keys, hold and resume, over every transport.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use streamkit::lab::bot::{Bot, Script, Step, Transcript, Until};
use streamkit::lab::sound::Sound;
use streamkit::lab::speech::Speech;
use streamkit::sip::Transport;
use streamkit::units::{Digit, SampleRate};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::ear::recognised;
use crate::kit::{Identity, Node, PATIENCE, Wanted, beside, bot, eventually, over};
use crate::{ports, programs};

const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Behind what is said: baresip hangs up at the end of its file.
const SILENCE: Duration = Duration::from_secs(60);
/// Longer than anything takes on its way.
const A_MOMENT: Duration = Duration::from_millis(500);
/// Modules by kind, in the order they are to be loaded.
const MODULES: [&str; 5] = ["g711", "aufile", "aubridge", "sndfile", "srtp"];
const APPLICATIONS: [&str; 3] = ["account", "menu", "ctrl_tcp"];

/// How it calls.
#[derive(Clone, Copy, Debug)]
struct Way {
    transport: Transport,
    codec: &'static str,
    srtp: bool,
}

/// baresip with a folder of its own; dropped, it is killed.
struct Baresip {
    child: Child,
    dir: TempDir,
    control: TcpStream,
    /// What it said and has not been read yet.
    said: Vec<u8>,
}

impl Baresip {
    async fn start(way: Way, believed: Option<&Identity>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let ip = HOST.into();
        // TLS is one above
        let (sip, control) = (ports::four_free(ip), SocketAddr::new(ip, ports::free(ip)));
        let rtp = ports::four_free(ip);
        let folder = dir.path().display();
        let module = |kind: &str, name: &str| format!("{kind} {name}.so\n");
        let modules: String = MODULES.iter().map(|name| module("module", name)).collect();
        let applications: String = APPLICATIONS.iter().map(|name| module("module_app", name)).collect();
        let cafile = believed.map_or(String::new(), |identity| {
            fs::write(dir.path().join("ca.pem"), &identity.certificate).expect("written");
            format!("sip_cafile {folder}/ca.pem\n")
        });
        let config = format!(
            "poll_method epoll\nsip_listen {HOST}:{sip}\n{cafile}net_interface {HOST}\nrtp_ports {rtp}-{}\nrtcp_mux no\n\
             audio_player aubridge,ear\naudio_source aufile,{folder}/said.wav\naudio_alert aubridge,nobody\n\
             ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\naudio_buffer 20-160\n\
             snd_path {folder}\nctrl_tcp_listen {control}\nmodule_path {}\n{modules}module_tmp uuid.so\n{applications}",
            rtp + 4,
            modules_folder().display(),
        );
        let encryption = if way.srtp { ";mediaenc=srtp-mand" } else { "" };
        let transport = way.transport.as_str();
        let account = format!(
            "<sip:desk@{HOST}:{sip};transport={transport}>;regint=0;audio_codecs={}/8000/1;ptime=20{encryption}\n",
            way.codec
        );
        for (name, text) in [("config", config.as_str()), ("accounts", account.as_str()), ("contacts", "")] {
            fs::write(dir.path().join(name), text).expect("written");
        }
        let said = Speech::Caller.sound().at(SampleRate::Hz8000);
        let said = said.then(&Sound::silence(SampleRate::Hz8000, SILENCE));
        said.write(&dir.path().join("said.wav")).expect("written");
        let screen = File::create(dir.path().join("screen")).expect("a file");
        let mut command = programs::command("baresip");
        command.arg("-f").arg(dir.path()).args(["-4", "-s"]).current_dir(dir.path()).stdin(Stdio::null());
        command.stderr(screen.try_clone().expect("a descriptor")).stdout(screen);
        let child = command.spawn().expect("baresip runs");
        let control = Self::reach(control, &dir).await;
        Self { child, dir, control, said: Vec::new() }
    }

    async fn reach(control: SocketAddr, dir: &TempDir) -> TcpStream {
        let until = Instant::now() + PATIENCE;
        loop {
            match TcpStream::connect(control).await {
                Ok(stream) => return stream,
                Err(why) if Instant::now() > until => panic!("baresip: {why}: {}", screen(dir)),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Gives a command, and waits until it is done.
    async fn order(&mut self, command: &str, params: &str) {
        let order = json!({"command": command, "params": params, "token": command}).to_string();
        let line = format!("{}:{order},", order.len());
        self.control.write_all(line.as_bytes()).await.expect("ordered");
        let done = self.told(|said| said["response"] == true && said["token"] == command).await;
        assert_eq!(done["ok"], true, "{command} {params}: {done}: {}", screen(&self.dir));
    }

    /// Presses keys, one after the other.
    async fn press(&mut self, keys: &str) {
        for key in keys.chars() {
            self.order("sndcode", &key.to_string()).await;
            sleep(Duration::from_millis(250)).await; // its tone and its pause
        }
    }

    /// Waits for an event of the call.
    async fn sees(&mut self, event: &str) {
        self.told(|said| said["event"] == true && said["type"] == event).await;
    }

    async fn told(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        let dir = &self.dir;
        let (control, said) = (&mut self.control, &mut self.said);
        let told = async {
            loop {
                while let Some(message) = netstring(said) {
                    if is(&message) {
                        return message;
                    }
                }
                let mut bytes = [0; 4096];
                let count = control.read(&mut bytes).await.expect("read");
                assert_ne!(count, 0, "baresip is gone: {}", screen(dir));
                said.extend(&bytes[..count]);
            }
        };
        timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("baresip never said it: {}", screen(dir)))
    }

    /// What it heard, complete once the call is over.
    fn heard(&self) -> Sound {
        let named = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            name.is_some_and(|name| name.starts_with("dump-") && name.ends_with("-dec.wav"))
        };
        let files = fs::read_dir(self.dir.path()).expect("a folder").flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = files.filter(named).collect();
        files.sort();
        let pieces = files.iter().map(|path| Sound::read(path).expect("a recording"));
        pieces
            .reduce(|sound, next| sound.then(&next))
            .unwrap_or_else(|| panic!("none: {}", screen(&self.dir)))
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.child.kill(); // over already
        let _ = self.child.wait();
    }
}

fn screen(dir: &TempDir) -> String {
    let bytes = fs::read(dir.path().join("screen")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where the package puts them.
fn modules_folder() -> PathBuf {
    let folders =
        ["/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules", "/usr/lib64/baresip/modules"];
    let found = folders.into_iter().map(PathBuf::from).find(|folder| folder.is_dir());
    found.expect("the modules of baresip: apt-get install baresip-core")
}

/// Takes one message off the front, if it is whole: `LENGTH:JSON,`.
fn netstring(said: &mut Vec<u8>) -> Option<Value> {
    let colon = said.iter().position(|&octet| octet == b':')?;
    let length: usize = std::str::from_utf8(&said[..colon]).ok()?.parse().expect("a length");
    let whole = colon + 1 + length + 1;
    if said.len() < whole {
        return None;
    }
    let message = serde_json::from_slice(&said[colon + 1..whole - 1]).expect("JSON");
    said.drain(..whole);
    Some(message)
}

/// Echoes until `#`; at `*` it says something of its own.
fn script() -> Script {
    let digit = |key| Digit::from_char(key).expect("a key");
    let greets = Step::paced(Speech::Greeting.sound());
    Script::of(vec![
        Step::Echo(Until::Digit(digit('#'))),
        Step::AwaitDigit(digit('*')),
        greets,
        Step::Echo(Until::For(Duration::ZERO)),
    ])
}

/// baresip speaks and hears itself, presses keys, holds, resumes, sends back what the bot then says, and hangs up.
async fn a_call(way: Way, number: &str, node: &Node, echo: &Bot) {
    let mut desk = Baresip::start(way, node.tls.as_ref()).await;
    desk.order("dial", &format!("sip:{number}@{}", node.sip(way.transport))).await;
    desk.sees("CALL_ESTABLISHED").await;
    let stream = || {
        let its = |one: &Transcript| one.start.as_ref().is_some_and(|start| start.to == number);
        echo.transcripts().into_iter().find(its).unwrap_or_default()
    };
    let heard = || stream().heard.duration();
    let (said, greeted) = (Speech::Caller.sound(), Speech::Greeting.sound());
    eventually("all of it is heard", || heard() > said.duration() + A_MOMENT).await;
    desk.press("159#").await;
    eventually("every key is told", || stream().digits() == "159#").await;

    let to = format!("To: <sip:{number}@");
    let answered = |way: &str| node.passed(true, &["SIP/2.0 200", &to, " INVITE\r\n", "a=ptime:20", way]);
    desk.order("hold", "").await;
    eventually("hold", || answered("a=recvonly")).await;
    let before = node.count(true, &["SIP/2.0 200", &to, " INVITE\r\n"]);
    desk.order("resume", "").await;
    eventually("resume", || node.count(true, &["SIP/2.0 200", &to, " INVITE\r\n"]) > before).await;
    assert!(answered("a=sendrecv"));
    // from now on it says what it hears
    desk.order("ausrc", "aubridge,ear").await;
    let resumed = heard();
    desk.press("*").await;
    eventually("all of that, too", || heard() > resumed + greeted.duration() + 2 * A_MOMENT).await;
    desk.order("hangup", "").await;
    eventually("the end of the stream", || stream().ended.is_some()).await;

    let recorded = || node.records().into_iter().find(|cdr| cdr["to"] == number);
    eventually("its record", || recorded().is_some()).await;
    let (bot, ear, cdr) = (stream(), desk.heard(), recorded().expect("a record"));
    let way = format!("{way:?}");
    recognised(&format!("{way}, the bot"), &bot.heard, Duration::ZERO, &said, &cdr);
    recognised(&format!("{way}, baresip"), &ear, Duration::ZERO, &said, &cdr);
    // its recorder stops at the hold: what it heard later is what it sent back
    recognised(&format!("{way}, both, after the hold"), &bot.heard, resumed, &greeted, &cdr);
    assert_eq!(bot.faults, Vec::<String>::new());
}

#[test]
fn baresip_calls_over_every_transport_and_is_heard_and_hears() {
    let way = |transport, codec, srtp| Way { transport, codec, srtp };
    let ways = [
        (way(Transport::Udp, "PCMU", false), "01511"),
        (way(Transport::Tcp, "PCMA", false), "01512"),
        (way(Transport::Tls, "PCMA", false), "01513"),
        (way(Transport::Tls, "PCMU", true), "01514"),
    ];
    beside(&["baresip"], async {
        let echo = bot(script()).await;
        let trunk = "transports = [\"udp\", \"tcp\", \"tls\"]\nsrtp = \"optional\"";
        let tls = Some(Identity::new());
        let node = Node::start_beside(&Wanted { trunk, tls, ..Wanted::leading_to(&echo, "/media") }).await;
        join_all(ways.iter().map(|(way, number)| a_call(*way, number, &node, &echo))).await;
        over(&echo, ways.len()).await;
        for cdr in node.cdrs(ways.len()).await {
            assert_eq!(cdr["media"]["srtp"], cdr["to"] == "01514", "{cdr:#}");
            assert_eq!((&cdr["end"]["cause"], &cdr["sip"]["code"]), (&"bye".into(), &200.into()), "{cdr:#}");
        }
        node.is_idle().await;
        node.stop().await;
    });
}
