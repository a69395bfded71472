//! TLS on loopback.

use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::sip::Target;
use crate::sip::io::TlsFiles;

/// An authority, and certificates it signed, in files.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.as_ref().pem()).unwrap();
        Self { issuer, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A certificate for these names, written over the one of the same file.
    fn sign(&self, file: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let (chain, private) = (self.path(&format!("{file}.pem")), self.path(&format!("{file}.key")));
        std::fs::write(&chain, signed.pem()).unwrap();
        std::fs::write(&private, key.serialize_pem()).unwrap();
        (chain, private)
    }

    fn files(&self, names: &[&str]) -> TlsFiles {
        TlsFiles { own: Some(self.sign("node", names)), client_ca: None, ca_file: Some(self.path("ca.pem")) }
    }

    fn tls(&self, names: &[&str]) -> Tls {
        Tls::read(&self.files(names)).unwrap()
    }
}

fn node(tls: Tls) -> Node {
    Node::start_with(Some(tls), Limits::default(), Trunk::new("loopback"))
}

/// A client that believes `ca`, with a certificate of its own if it has one.
async fn client(
    ca: &Path,
    own: Option<(PathBuf, PathBuf)>,
    to: SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let files = TlsFiles { own, client_ca: None, ca_file: Some(ca.to_owned()) };
    let (connector, name) = Tls::read(&files).unwrap().connector(&["127.0.0.1".to_owned()]).unwrap();
    let tcp = TcpStream::connect(to).await?;
    tcp.set_nodelay(true)?;
    timeout(PATIENCE, connector.connect(name, tcp)).await.expect("a handshake in time")
}

async fn wire(ca: &Ca, to: SocketAddr) -> Wire {
    Wire::of(client(&ca.path("ca.pem"), None, to).await.unwrap())
}

fn options(cseq: u32) -> String {
    request("OPTIONS", "TLS 127.0.0.1", "", cseq)
}

#[tokio::test]
async fn a_call_over_tls_is_read_octet_by_octet_and_all_at_once() {
    let ca = Ca::new();
    let mut node = node(ca.tls(&["127.0.0.1"]));
    let mut wire = wire(&ca, node.tls).await;
    for octet in request("INVITE", "TLS 127.0.0.1", "", 1).bytes() {
        wire.send([octet]).await;
    }
    assert_eq!(wire.message().await.status(), Some(100));
    let Event::Incoming(incoming) = node.event().await else { panic!("no call") };
    assert_eq!((incoming.transport, incoming.local), (Transport::Tls, node.tls));
    node.command(Command::Answer { leg: incoming.leg, body: Some(sdp()) }).await;
    let ok = wire.message().await;
    assert!(ok.contact().unwrap().uri.as_str().ends_with(";transport=tls"));
    let tag = ok.to().tag().unwrap();
    let all = request("ACK", "TLS 127.0.0.1", tag, 1)
        + "\r\n\r\n"
        + &request("BYE", "TLS 127.0.0.1", tag, 2)
        + &options(3);
    wire.send(all).await;
    assert!(matches!(node.event().await, Event::Confirmed { .. }));
    assert!(matches!(node.event().await, Event::Ended { how: Ended::Bye { .. }, .. }));
    assert_eq!(wire.message().await.method().as_str(), "BYE");
    assert_eq!(wire.message().await.method().as_str(), "OPTIONS");
    assert_eq!(node.stop().await, 0);
}

#[tokio::test]
async fn a_ping_over_tls_is_answered_and_lost_framing_closes() {
    let ca = Ca::new();
    let node = node(ca.tls(&["127.0.0.1"]));
    let mut wire = wire(&ca, node.tls).await;
    wire.send("\r\n\r\n").await;
    let mut pong = [0; 2];
    timeout(PATIENCE, wire.stream.read_exact(&mut pong)).await.expect("a pong in time").unwrap();
    assert_eq!(&pong, b"\r\n");
    wire.send(options(1).replace("Content-Length: 0\r\n", "")).await;
    assert_eq!(wire.message().await.status(), Some(400));
    assert!(wire.is_closed().await);
    node.stop().await;
}

#[tokio::test]
async fn two_nodes_call_each_other_over_one_connection() {
    let ca = Ca::new();
    let (mut caller, mut callee) = (node(ca.tls(&["127.0.0.1"])), node(ca.tls(&["127.0.0.1"])));
    let leg = LegId(1 << 63);
    caller.command(dial(leg, callee.tls, Transport::Tls)).await;
    let Event::Incoming(incoming) = callee.event().await else { panic!("no call") };
    assert_ne!(incoming.remote.port(), caller.tls.port(), "it came by a connection, not from a listener");
    callee.command(Command::Answer { leg: incoming.leg, body: Some(sdp()) }).await;
    assert!(matches!(caller.event().await, Event::Answered { body: Some(_), .. }));
    assert!(matches!(callee.event().await, Event::Confirmed { .. }));
    // its BYE goes back by the connection the call came on: nothing else is open
    callee.command(Command::Hangup { leg: incoming.leg, reason: None }).await;
    assert!(matches!(caller.event().await, Event::Ended { how: Ended::Bye { .. }, .. }));
    assert!(matches!(callee.event().await, Event::Ended { how: Ended::ByUs, .. }));
    caller.stop().await;
    callee.stop().await;
}

#[tokio::test]
async fn a_server_whose_certificate_is_wrong_is_not_called() {
    let (ca, other) = (Ca::new(), Ca::new());
    for (callee_tls, what) in
        [(other.tls(&["127.0.0.1"]), "authority"), (ca.tls(&["pbx.example.com"]), "name")]
    {
        let (mut caller, callee) = (node(ca.tls(&["127.0.0.1"])), node(callee_tls));
        caller.command(dial(LegId(1 << 63), callee.tls, Transport::Tls)).await;
        assert!(matches!(caller.event().await, Event::Ended { how: Ended::Lost, .. }), "{what}");
        caller.stop().await;
        callee.stop().await;
    }
}

#[tokio::test]
async fn a_server_may_go_by_the_name_of_a_target_or_one_of_tls_names() {
    let ca = Ca::new();
    let named = Target { host: "pbx.example.com".to_owned(), ..Target::address([127, 0, 0, 1].into()) };
    for trunk in [
        Trunk { targets: vec![named], ..Trunk::new("a") },
        Trunk { tls_names: vec!["pbx.example.com".to_owned()], ..Trunk::new("b") },
    ] {
        let mut callee = node(ca.tls(&["pbx.example.com"]));
        let caller = Node::start_with(Some(ca.tls(&["pbx.example.com"])), Limits::default(), trunk);
        caller.command(dial(LegId(1 << 63), callee.tls, Transport::Tls)).await;
        assert!(matches!(callee.event().await, Event::Incoming(_)));
        drop(caller.commands);
        callee.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_stands_itself_in_ca_file_is_believed() {
    let ca = Ca::new();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained); // as `openssl req -x509` makes it
    let key = KeyPair::generate().unwrap();
    let (chain, private) = (ca.path("self.pem"), ca.path("self.key"));
    std::fs::write(&chain, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&private, key.serialize_pem()).unwrap();
    let files = TlsFiles { own: Some((chain.clone(), private)), client_ca: None, ca_file: Some(chain) };
    let (caller, mut callee) = (node(Tls::read(&files).unwrap()), node(Tls::read(&files).unwrap()));
    caller.command(dial(LegId(1 << 63), callee.tls, Transport::Tls)).await;
    assert!(matches!(callee.event().await, Event::Incoming(_)));
    drop(caller.commands);
    callee.stop().await;
}

#[tokio::test]
async fn with_a_client_ca_only_its_clients_are_let_in() {
    let (ca, other) = (Ca::new(), Ca::new());
    let files = TlsFiles { client_ca: Some(ca.path("ca.pem")), ..ca.files(&["127.0.0.1"]) };
    let trunk = Trunk { tls_names: vec!["pbx.example.com".to_owned()], ..Trunk::new("loopback") };
    let node = Node::start_with(Some(Tls::read(&files).unwrap()), Limits::default(), trunk);
    let root = ca.path("ca.pem");
    for (own, what) in [
        (None, "none"),
        (Some(other.sign("pbx", &["pbx.example.com"])), "one of another authority"),
        (Some(ca.sign("sbc", &["sbc.example.com"])), "one for another name"),
    ] {
        // in TLS 1.3 a client is done before it is judged
        if let Ok(stream) = client(&root, own, node.tls).await {
            let mut wire = Wire::of(stream);
            let _ = wire.stream.write_all(options(1).as_bytes()).await;
            assert!(wire.is_closed().await, "{what}");
        }
    }
    let own = ca.sign("pbx", &["pbx.example.com"]);
    let mut wire = Wire::of(client(&root, Some(own), node.tls).await.unwrap());
    wire.send(options(2)).await;
    assert_eq!(wire.message().await.status(), Some(200));
    node.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_old_ones_stay() {
    let (old, new) = (Ca::new(), Ca::new());
    let tls = old.tls(&["127.0.0.1"]);
    let node = node(tls.clone());
    let mut before = wire(&old, node.tls).await;
    before.send(options(1)).await;
    assert_eq!(before.message().await.status(), Some(200));
    tls.replace(&new.tls(&["127.0.0.1"]));
    assert!(client(&old.path("ca.pem"), None, node.tls).await.is_err(), "the old one is shown no more");
    let mut after = wire(&new, node.tls).await;
    for (cseq, wire) in [(2, &mut before), (3, &mut after)] {
        wire.send(options(cseq)).await;
        assert_eq!(wire.message().await.status(), Some(200));
    }
    node.stop().await;
}

#[tokio::test]
async fn versions_1_2_and_1_3_are_served_and_older_ones_refused() {
    let ca = Ca::new();
    let node = node(ca.tls(&["127.0.0.1"]));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = rustls::ClientConfig::builder_with_provider(crate::tls::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(crate::tls::authorities(&ca.path("ca.pem")).unwrap())
            .with_no_client_auth();
        let tcp = TcpStream::connect(node.tls).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        assert!(TlsConnector::from(Arc::new(config)).connect(name, tcp).await.is_ok(), "{version:?}");
    }
    // a hello of TLS 1.1, which the library cannot say any more
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let mut wire = Wire::connect(node.tls).await;
    wire.send(hello).await;
    let mut answer = Vec::new();
    timeout(PATIENCE, wire.stream.read_to_end(&mut answer)).await.expect("an alert in time").unwrap();
    assert_eq!(answer.first(), Some(&21), "an alert: {answer:?}");
    node.stop().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_closed_and_keeps_nobody_waiting() {
    let ca = Ca::new();
    let node = node(ca.tls(&["127.0.0.1"]));
    let mut stalled = Vec::new();
    for _ in 0..64 {
        stalled.push(stranger(node.tls).await); // as many as are done at once, and none says a word
    }
    let mut wire = wire(&ca, node.tls).await;
    wire.send(options(1)).await;
    assert_eq!(wire.message().await.status(), Some(200));
    let youngest = stalled.last_mut().unwrap();
    assert!(youngest.stream.read(&mut [0]).now_or_never().is_none(), "it waited until they were closed");
    for wire in &mut stalled {
        assert!(wire.is_closed().await);
    }
    node.stop().await;
}

#[tokio::test]
async fn over_the_total_the_longest_idle_of_the_greediest_goes() {
    let ca = Ca::new();
    let limits = Limits { connections: 3, ..Limits::default() };
    let node = Node::start_with(Some(ca.tls(&["127.0.0.1"])), limits, Trunk::new("loopback"));
    let mut greedy = [wire(&ca, node.tls).await, wire(&ca, node.tls).await];
    for (cseq, wire) in greedy.iter_mut().enumerate() {
        wire.send(options(cseq as u32 + 1)).await;
        assert_eq!(wire.message().await.status(), Some(200));
    }
    let mut modest = stranger(node.tcp).await;
    modest.send(request("OPTIONS", "TCP 127.0.0.9", "", 3)).await;
    assert_eq!(modest.message().await.status(), Some(403));
    let mut last = wire(&ca, node.tls).await;
    last.send(options(4)).await;
    assert_eq!(last.message().await.status(), Some(200));
    assert!(greedy[0].is_closed().await);
    greedy[1].send(options(5)).await;
    assert_eq!(greedy[1].message().await.status(), Some(200));
    node.stop().await;
}

#[test]
fn what_is_wrong_with_the_files_is_said_under_its_key() {
    let (ca, other) = (Ca::new(), Ca::new());
    let right = ca.files(&["127.0.0.1"]);
    let own = |chain: PathBuf, key: PathBuf| TlsFiles { own: Some((chain, key)), ..right.clone() };
    let (chain, key) = right.own.clone().unwrap();
    let foreign = other.sign("other", &["127.0.0.1"]).1;
    let nowhere = ca.path("nowhere.pem");
    for (files, key, said) in [
        (own(nowhere.clone(), key.clone()), "certificate", "No such file"),
        (own(chain.clone(), nowhere.clone()), "key", "No such file"),
        (own(chain.clone(), foreign), "key", "it is not the key of the certificate"),
        (own(chain.clone(), chain), "key", "no private key in it"),
        (TlsFiles { client_ca: Some(nowhere.clone()), ..right.clone() }, "client_ca", "No such file"),
        (TlsFiles { client_ca: Some(key), ..right.clone() }, "client_ca", "no certificate in it"),
        (TlsFiles { ca_file: Some(nowhere), ..right.clone() }, "ca_file", "No such file"),
    ] {
        let error = Tls::read(&files).unwrap_err();
        assert!(error.key == key && error.wrong.contains(said), "{error}");
    }
}
