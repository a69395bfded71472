//! SIGHUP to a daemon with a call on the line.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use streamkit::lab::bot::Script;
use streamkit::lab::caller::Dial;
use streamkit::lab::speech::Speech;
use streamkit::sip::Ended;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::binary::{Process, free_address, get, streamkit};
use crate::kit::{ACCOUNT, PATIENCE, alone, bot, caller, eventually, over};

struct Daemon {
    process: Process,
    dir: tempfile::TempDir,
    sip: SocketAddr,
    http: SocketAddr,
}

impl Daemon {
    /// Starts with these trunks and routes, for UDP.
    async fn start(ca: &str, rest: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("ca.pem"), ca).expect("written");
        let sip = free_address();
        Self::start_in(dir, sip, &listen_udp(sip), rest).await
    }

    async fn start_in(dir: tempfile::TempDir, sip: SocketAddr, listen: &str, rest: &str) -> Self {
        let http = free_address();
        write(dir.path(), listen, http, rest);
        let log = fs::File::create(dir.path().join("log")).expect("a file");
        let mut command = streamkit("serve", &dir.path().join("streamkit.toml"));
        let process = Process(command.stdout(Stdio::null()).stderr(log).spawn().expect("run"));
        eventually("ready", || get(http, "/readyz").starts_with("HTTP/1.1 200")).await;
        Self { process, dir, sip, http }
    }

    /// SIGHUP with this file; waits for what the log says then, for the first or another time.
    async fn reload(&self, listen: &str, rest: &str, said: &str) {
        let before = self.said(said);
        write(self.dir.path(), listen, self.http, rest);
        let pid = Pid::from_raw(i32::try_from(self.process.0.id()).expect("a process id"));
        kill(pid, Signal::SIGHUP).expect("told");
        eventually(said, || self.said(said) > before).await;
    }

    fn said(&self, what: &str) -> usize {
        fs::read_to_string(self.dir.path().join("log")).expect("text").matches(what).count()
    }

    fn dial(&self) -> Dial {
        Dial::to(format!("sip:015@{}", self.sip)).header("X-Exotel-AccountSid", ACCOUNT)
    }
}

fn listen_udp(at: SocketAddr) -> String {
    format!("listen = [\"udp://{at}\"]\n")
}

/// `sip` are the lines of `[sip]`.
fn write(dir: &Path, sip: &str, http: SocketAddr, rest: &str) {
    let text = format!(
        "[node]\nname = \"wire\"\nstate_dir = {dir:?}\nrun_dir = {dir:?}\n[sip]\n{sip}\
         [http]\nlisten = [\"{http}\"]\n[limits]\ncalls = 10\n[stream]\nca_file = {ca:?}\n{rest}",
        ca = dir.join("ca.pem"),
    );
    fs::write(dir.join("streamkit.toml"), text).expect("written");
}

fn trunk(name: &str, peer: &str) -> String {
    format!("[[trunk]]\nname = \"{name}\"\npeers = [\"{peer}\"]\naccount = \"{ACCOUNT}\"\n")
}

#[test]
fn a_reload_is_for_new_calls_and_one_that_is_refused_changes_nothing() {
    alone(async {
        let echo = bot(Script::echo()).await;
        let ca = echo.certificate().expect("TLS").pem().to_owned();
        let (pbx, other) = (trunk("pbx", "127.0.0.1"), trunk("other", "192.0.2.1"));
        let to_bot = format!("[[route]]\ntrunk = \"pbx\"\nbot = {:?}\n", echo.url("/media"));
        let daemon = Daemon::start(&ca, &(pbx.clone() + &to_bot)).await;
        let listen = listen_udp(daemon.sip);
        let caller = caller().await;
        let refused = async |status: u16, when: &str| {
            let call = caller.dial(daemon.dial()).await.expect("dialled");
            let Err(Ended::Refused { status: got, .. }) = call.answered().await else { panic!("{when}") };
            assert_eq!(got, status, "{when}");
            call.finish().await;
        };
        let up = caller.dial(daemon.dial()).await.expect("dialled");
        up.answered().await.expect("answered");

        // another trunk goes before it, and its calls lead elsewhere
        let turned = other.clone() + &pbx + "[[route]]\ntrunk = \"pbx\"\nreject = 603\n";
        daemon.reload(&listen, &turned, "the configuration was read again").await;
        assert_eq!(daemon.said("trunk other new, routes"), 1);
        refused(603, "by the new route").await;

        daemon.reload(&listen, &turned.replace("603", "99"), "the configuration is refused").await;
        assert_eq!(daemon.said("route.reject: 99 is out of range"), 1);
        refused(603, "as before").await;
        daemon
            .reload(
                "listen = [\"udp://127.0.0.1:0\"]\n",
                &turned,
                "sip.listen cannot change while the node runs",
            )
            .await;
        refused(603, "as before").await;

        // the trunk of the call that is up is gone; the call is not
        daemon.reload(&listen, &other, "the configuration was read again").await;
        refused(403, "a stranger now").await;
        let heard = || echo.transcripts().iter().map(|one| one.frames()).sum::<usize>();
        let before = heard();
        up.say("still there", &Speech::Caller.sound()).await;
        eventually("the bot still hears", || heard() > before + 10).await;
        let record = up.finish().await;
        let lines: Vec<&str> = record.sip.iter().map(|seen| seen.line.as_str()).collect();
        let bye = lines.iter().position(|line| line.starts_with("BYE ")).expect("a BYE");
        assert!(lines[bye..].iter().any(|line| line.starts_with("SIP/2.0 200")), "{lines:#?}");
        over(&echo, 1).await;
        let mut record = None;
        eventually("its record", || {
            let records = crate::kit::records(daemon.dir.path());
            record = records.into_iter().find(|cdr| cdr["sip"]["code"] == 200);
            record.is_some()
        })
        .await;
        let record = record.expect("it came");
        assert_eq!((&record["trunk"], &record["route"]), (&"pbx".into(), &1.into()));
        assert_eq!(record["end"]["cause"], "bye", "{record:#}");
    });
}

/// A new certificate of the daemon's in its files; itself.
fn certify(dir: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    fs::write(dir.join("sip.pem"), made.cert.pem()).expect("written");
    fs::write(dir.join("sip.key"), made.signing_key.serialize_pem()).expect("written");
    made.cert.pem()
}

/// A connection over TLS that believes this certificate alone.
async fn connect(to: SocketAddr, pem: &str) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a root");
    let config = rustls::ClientConfig::builder_with_provider(streamkit::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let tcp = tokio::net::TcpStream::connect(to).await?;
    timeout(PATIENCE, TlsConnector::from(std::sync::Arc::new(config)).connect(name, tcp))
        .await
        .expect("in time")
}

/// What OPTIONS is answered.
async fn options(stream: &mut TlsStream<tokio::net::TcpStream>, branch: &str) -> String {
    let request = format!(
        "OPTIONS sip:edge SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK{branch}\r\nFrom: <sip:a@b>;tag=a\r\n\
         To: <sip:edge>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let octet = timeout(PATIENCE, stream.read_u8()).await.expect("in time").expect("an answer");
        answer.push(octet);
    }
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_renewed_certificate_is_shown_after_a_reload_and_open_connections_stay() {
    alone(async {
        let dir = tempfile::tempdir().expect("a folder");
        let sip = free_address();
        let old = certify(dir.path());
        let files = format!(
            "listen = [\"tls://{sip}\"]\ntls.certificate = {:?}\ntls.key = {:?}\n",
            dir.path().join("sip.pem"),
            dir.path().join("sip.key"),
        );
        fs::write(dir.path().join("ca.pem"), &old).expect("written");
        let rest = trunk("pbx", "127.0.0.1") + "transports = [\"tls\"]\n[[route]]\nreject = 603\n";
        let daemon = Daemon::start_in(dir, sip, &files, &rest).await;
        let mut before = connect(sip, &old).await.expect("connected");
        assert_eq!(options(&mut before, "one").await, "SIP/2.0 200 OK");

        let new = certify(daemon.dir.path());
        daemon.reload(&files, &rest, "the configuration was read again").await;
        assert!(connect(sip, &old).await.is_err(), "the old certificate is shown no more");
        let mut after = connect(sip, &new).await.expect("connected");
        assert_eq!(options(&mut after, "two").await, "SIP/2.0 200 OK");
        assert_eq!(options(&mut before, "three").await, "SIP/2.0 200 OK");

        fs::write(daemon.dir.path().join("sip.key"), "no key").expect("written");
        daemon.reload(&files, &rest, "the configuration is refused").await;
        assert_eq!(daemon.said("no private key in it"), 1);
        let mut still = connect(sip, &new).await.expect("connected");
        assert_eq!(options(&mut still, "four").await, "SIP/2.0 200 OK");
    });
}
