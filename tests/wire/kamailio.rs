//! A proxy and a media relay in front: Debian's Kamailio, which stays in the dialog with one Record-Route on either
//! side (UDP and TCP), and rtpengine, which all RTP goes through.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use streamkit::lab::bot::{Bot, Script, Step};
use streamkit::lab::caller::Dial;
use streamkit::lab::speech::Speech;
use streamkit::sip::Transport;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::ear::recognised;
use crate::kit::{Node, Wanted, beside, bot, caller, eventually, over};
use crate::sipp::Scene;
use crate::{ports, programs};

const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// A number whose bot says goodbye and closes.
const LEAVES: &str = "0161";

/// A program of a test; dropped, it is told to end, and waited for.
struct Program {
    child: Child,
    name: &'static str,
    dir: TempDir,
}

impl Program {
    fn start(name: &'static str, dir: TempDir, arguments: &[String]) -> Self {
        let screen = File::create(dir.path().join("screen")).expect("a file");
        let mut command = programs::command(name);
        command.args(arguments).current_dir(dir.path()).stdin(Stdio::null());
        command.stderr(screen.try_clone().expect("a descriptor")).stdout(screen);
        let child = command.spawn().expect("it runs");
        Self { child, name, dir }
    }

    async fn listens(&mut self, at: SocketAddr, tcp: bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !ports::listened_on(at, tcp) {
            let ended = self.child.try_wait().expect("a child");
            assert!(
                ended.is_none() && Instant::now() < until,
                "{} never listened: {}",
                self.name,
                self.screen()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join("screen")).unwrap_or_default()).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.name, self.screen());
        }
        // Kamailio's first process ends the others
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM); // over already
        let until = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The two of them before a daemon.
struct Border {
    _relay: Program,
    _proxy: Program,
    udp: SocketAddr,
    tcp: SocketAddr,
}

impl Border {
    async fn before(node: &Node) -> Self {
        let at = || SocketAddr::new(HOST.into(), ports::free(HOST.into()));
        let (ng, udp, tcp) = (at(), at(), at());
        let dir = tempfile::tempdir().expect("a folder");
        let [low, high] = [0, 3].map(|_| ports::four_free(HOST.into()));
        let arguments = [
            "--config-file=none".to_owned(),
            "--foreground".to_owned(),
            "--log-stderr".to_owned(),
            "--table=-1".to_owned(),
            "--num-threads=2".to_owned(),
            format!("--interface={HOST}"),
            format!("--listen-ng={ng}"),
            format!("--port-min={low}"),
            format!("--port-max={high}"),
            "--log-level=4".to_owned(),
        ];
        let mut relay = Program::start("rtpengine", dir, &arguments);
        relay.listens(ng, false).await;

        let dir = tempfile::tempdir().expect("a folder");
        let [inner_udp, inner_tcp] = [Transport::Udp, Transport::Tcp].map(|transport| node.sip(transport));
        let text = CONFIG
            .replace("@UDP@", &udp.to_string())
            .replace("@TCP@", &tcp.to_string())
            .replace("@NG@", &ng.to_string())
            .replace("@INNER_UDP@", &inner_udp.to_string())
            .replace("@INNER_TCP@", &inner_tcp.to_string());
        let config = dir.path().join("kamailio.cfg");
        fs::write(&config, text).expect("written");
        let folder = dir.path().display().to_string();
        let mut arguments = vec!["-f".to_owned(), config.display().to_string()];
        arguments.extend(["-DD", "-E", "-m", "16", "-M", "4"].map(str::to_owned));
        arguments.extend(["-Y".to_owned(), folder.clone(), "-P".to_owned(), format!("{folder}/pid")]);
        let mut proxy = Program::start("kamailio", dir, &arguments);
        proxy.listens(udp, false).await;
        proxy.listens(tcp, true).await;
        Self { _relay: relay, _proxy: proxy, udp, tcp }
    }
}

/// What comes by one transport goes on by the other.
const CONFIG: &str = r#"#!KAMAILIO
debug=2
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
dns=no
rev_dns=no
listen=udp:@UDP@
listen=tcp:@TCP@
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "rtpengine.so"
modparam("rr", "enable_double_rr", 1)
modparam("rr", "append_fromtag", 1)
modparam("rtpengine", "rtpengine_sock", "udp:@NG@")

request_route {
    if (!mf_process_maxfwd_header("10")) {
        sl_send_reply("483", "Too Many Hops");
        exit;
    }
    if (is_method("CANCEL")) {
        rtpengine_manage();
        if (t_check_trans()) t_relay();
        exit;
    }
    if (has_totag()) {
        if (!loose_route()) {
            if (!is_method("ACK")) sl_send_reply("481", "Call/Transaction Does Not Exist");
            else if (t_check_trans()) t_relay();
            exit;
        }
        if (is_method("INVITE|ACK|UPDATE|BYE")) rtpengine_manage("replace-origin replace-session-connection");
        if (is_method("INVITE|UPDATE")) t_on_reply("MEDIA");
        t_relay();
        exit;
    }
    record_route();
    if (is_method("INVITE")) {
        rtpengine_manage("replace-origin replace-session-connection");
        t_on_reply("MEDIA");
    }
    if (proto == UDP) {
        $du = "sip:@INNER_TCP@;transport=tcp";
    } else {
        $du = "sip:@INNER_UDP@";
    }
    t_relay();
}

onreply_route[MEDIA] {
    if (has_body("application/sdp")) rtpengine_manage("replace-origin replace-session-connection");
}
"#;

/// A caller of our own speaks, hears itself, and hangs up.
async fn speaks(node: &Node, border: &Border, echo: &Bot, transport: Transport) {
    let caller = caller().await;
    let via = if transport == Transport::Udp { border.udp } else { border.tcp };
    let dial = Dial { via: Some(via), transport: Some(transport), ..node.dial() };
    let call = caller.dial(dial).await.expect("dialled");
    call.answered().await.expect("answered");
    let said = Speech::Caller.sound();
    call.say("caller", &said).await;
    sleep(Duration::from_millis(500)).await; // the last of the echo is on its way
    let record = call.finish().await;
    let bot = &over(echo, 1).await[0];
    assert_eq!(bot.faults, Vec::<String>::new());
    eventually("its record", || node.records().iter().any(|cdr| cdr["to"] == "01512340321")).await;
    let cdr = node.records().into_iter().find(|cdr| cdr["to"] == "01512340321").expect("its record");
    for (who, heard) in [("the bot", &bot.heard), ("the caller", &record.audio.heard.sound(true))] {
        recognised(&format!("{transport:?}, {who}"), heard, Duration::ZERO, &said, &cdr);
    }
}

async fn a_border(transport: Transport) {
    let goodbye = vec![
        Step::burst(Speech::Goodbye.sound()),
        Step::Mark("said".into()),
        Step::AwaitMark("said".into()),
        Step::Close(1000, String::new()),
    ];
    let (echo, quiet, leaves) =
        (bot(Script::echo()).await, bot(Script::echo()).await, bot(Script::of(goodbye)).await);
    let route = |to: &str, bot: &Bot| {
        format!("[[route]]\ntrunk = \"pbx\"\nto = \"{to}*\"\nbot = {:?}\n", bot.url("/media"))
    };
    let ca = [&echo, &quiet, &leaves].map(|bot| bot.certificate().expect("TLS").pem()).concat();
    let tables = [route(LEAVES, &leaves), route(HOLDS, &quiet)].concat();
    let node =
        Node::start_beside(&Wanted { tables, ca: Some(ca), ..Wanted::leading_to(&echo, "/media") }).await;
    let border = Border::before(&node).await;
    let tcp = transport == Transport::Tcp;
    let outer = if tcp { border.tcp } else { border.udp };
    let hold = Scene { tcp, lasts: Duration::from_millis(300), ..Scene::new("hold").to(HOLDS) };
    let hung_up = Scene { tcp, ..Scene::new("hung_up").to(LEAVES) };
    let (hold, hung_up) = (hold.play(outer), hung_up.play(outer));
    tokio::join!(speaks(&node, &border, &echo, transport), hold.succeeds(), hung_up.succeeds());

    // each INVITE came with a Record-Route for either side, and our BYE went where the first of them says
    let inner = if tcp { border.udp } else { border.tcp };
    assert!(node.passed(false, &["INVITE ", &format!("Record-Route: <sip:{inner};"), "r2=on"]));
    let route = format!("Route: <sip:{inner};");
    eventually("our BYE", || node.passed(true, &["BYE ", &route])).await;
    let heard = over(&leaves, 1).await;
    let begin = Speech::Caller.sound().part(Duration::ZERO, Duration::from_secs(1));
    for cdr in &node.cdrs(3).await {
        if cdr["to"] == LEAVES {
            recognised("the bot that leaves", &heard[0].heard, Duration::ZERO, &begin, cdr);
        }
        let expected = if cdr["to"] == LEAVES { "bot_closed" } else { "bye" };
        assert_eq!((&cdr["end"]["cause"], &cdr["sip"]["code"]), (&expected.into(), &200.into()), "{cdr:#}");
        assert_eq!(cdr["sip"]["transport"], if tcp { "udp" } else { "tcp" });
    }
    node.is_idle().await;
    node.stop().await;
}

const PROGRAMS: [&str; 3] = ["kamailio", "rtpengine", "sipp"];
/// A number whose bot is left to itself.
const HOLDS: &str = "0171";

#[test]
fn calls_come_through_kamailio_and_rtpengine_by_udp() {
    beside(&PROGRAMS, a_border(Transport::Udp));
}

#[test]
fn calls_come_through_kamailio_and_rtpengine_by_tcp() {
    beside(&PROGRAMS, a_border(Transport::Tcp));
}
