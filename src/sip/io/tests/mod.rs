//! The shell on loopback, with real sockets.
#![allow(clippy::disallowed_methods)] // tests of the shell

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

mod dns;
mod tls;

use super::{Limits, Listen, Sockets, Tls, Trace, drive};
use crate::ids::{Entropy, LegId, TrunkId};
use crate::sip::message::{Framed, Framer, Framing, Message};
use crate::sip::{Body, Command, Config, Destination, Dial, Ended, Endpoint, Event, Transport, Trunk};

const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    udp: SocketAddr,
    tcp: SocketAddr,
    /// Nowhere without TLS.
    tls: SocketAddr,
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Event>,
    traced: Arc<Mutex<Vec<(bool, String)>>>,
    driven: JoinHandle<Endpoint>,
}

impl Node {
    /// Listens on all addresses; 127.0.0.1 is its trunk.
    fn start() -> Self {
        Self::start_with(None, Limits::default(), Trunk::new("loopback"))
    }

    fn start_with(tls: Option<Tls>, limits: Limits, trunk: Trunk) -> Self {
        Self::start_at(tls, limits, trunk, Vec::new())
    }

    /// Names are looked up there.
    fn start_at(tls: Option<Tls>, limits: Limits, trunk: Trunk, nameservers: Vec<SocketAddr>) -> Self {
        let transports: &[_] = match tls {
            None => &[Transport::Udp, Transport::Tcp],
            Some(_) => &[Transport::Udp, Transport::Tcp, Transport::Tls],
        };
        let addr = "0.0.0.0:0".parse().unwrap();
        let listen: Vec<_> = transports.iter().map(|&transport| Listen { transport, addr }).collect();
        let mut sockets = Sockets::bind_with(&listen, tls).unwrap();
        sockets.set_limits(limits);
        sockets.set_nameservers(nameservers);
        let port = |transport| {
            let addrs = sockets.local_addrs();
            let bound = addrs.iter().find(|listen| listen.transport == transport);
            SocketAddr::from(([127, 0, 0, 1], bound.map_or(0, |bound| bound.addr.port())))
        };
        let (udp, tcp, tls) = (port(Transport::Udp), port(Transport::Tcp), port(Transport::Tls));
        let peers = vec!["127.0.0.1/32".parse().unwrap()];
        let trunk = Trunk { peers, transports: transports.to_vec(), ..trunk };
        let endpoint = Endpoint::new(Config { trunks: vec![trunk], ..Config::default() }, Entropy::from_os());
        let (commands, taken) = mpsc::channel(16);
        let (told, events) = mpsc::channel(64);
        let traced = Arc::new(Mutex::new(Vec::new()));
        let ladder = traced.clone();
        let trace: Trace = Arc::new(move |traced| {
            let line = String::from_utf8_lossy(traced.bytes).lines().next().unwrap_or_default().to_owned();
            ladder.lock().unwrap().push((traced.sent, line));
        });
        let tell = move |event| told.try_send(event).expect("the test listens");
        let driven = tokio::spawn(drive(endpoint, sockets, taken, tell, Some(trace)));
        Self { udp, tcp, tls, commands, events, traced, driven }
    }

    async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("the endpoint runs")
    }

    async fn command(&self, command: Command) {
        self.commands.send(command).await.unwrap();
    }

    /// Stops it; how many legs are left.
    async fn stop(self) -> usize {
        drop(self.commands);
        timeout(PATIENCE, self.driven).await.expect("it stops").unwrap().load().legs
    }
}

fn request(method: &str, via: &str, to_tag: &str, cseq: u32) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{method} sip:bot@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{via};branch=z9hG4bK{method}{cseq};rport\r\n\
         From: <sip:a@127.0.0.1>;tag=peer\r\nTo: <sip:bot@127.0.0.1>{tag}\r\nCall-ID: wire\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:a@127.0.0.1>\r\nContent-Length: 0\r\n\r\n"
    )
}

fn dial(leg: LegId, to: SocketAddr, transport: Transport) -> Command {
    Command::Dial(Box::new(Dial {
        leg,
        trunk: TrunkId(0),
        uri: format!("sip:bot@{to}"),
        to: Destination::Address(to, transport),
        ring_limit: Duration::from_secs(180),
        credentials: None,
        from: "sip:a@127.0.0.1".to_owned(),
        headers: Vec::new(),
        body: Some(sdp()),
    }))
}

fn sdp() -> Body {
    Body::sdp("v=0\r\n")
}

async fn datagram(socket: &UdpSocket) -> Message {
    let mut buffer = [0; 65_535];
    let (count, _) =
        timeout(PATIENCE, socket.recv_from(&mut buffer)).await.expect("a datagram in time").unwrap();
    Message::parse(&buffer[..count], Framing::Datagram).unwrap()
}

/// A stream of either kind.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

struct Wire {
    stream: Box<dyn Duplex>,
    framer: Framer,
}

impl Wire {
    fn of(stream: impl Duplex + 'static) -> Self {
        Self { stream: Box::new(stream), framer: Framer::new() }
    }

    async fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::of(stream)
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn message(&mut self) -> Message {
        loop {
            match self.framer.next() {
                Some(Framed::Message(message)) => return *message,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            let mut buffer = [0; 4096];
            let count =
                timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("an answer in time").unwrap();
            assert!(count > 0, "the connection was closed");
            self.framer.push(&buffer[..count]);
        }
    }

    async fn is_closed(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read(&mut [0; 4096])).await;
        matches!(read.expect("closed in time"), Ok(0) | Err(_))
    }
}

#[tokio::test]
async fn a_call_over_udp_is_answered_and_ended() {
    let mut node = Node::start();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let send = async |text: String| socket.send_to(text.as_bytes(), node.udp).await.unwrap();
    send(request("INVITE", "UDP 127.0.0.1", "", 1)).await;
    assert_eq!(datagram(&socket).await.status(), Some(100));
    let Event::Incoming(incoming) = node.event().await else { panic!("no call") };
    assert_eq!((incoming.local, incoming.remote), (node.udp, socket.local_addr().unwrap()));
    node.command(Command::Answer { leg: incoming.leg, body: Some(sdp()) }).await;
    let ok = datagram(&socket).await;
    let contact = ok.contact().unwrap().uri.clone();
    assert_eq!((contact.host(), contact.port()), ("127.0.0.1", Some(node.udp.port())));
    let tag = ok.to().tag().unwrap();
    socket.send_to(request("ACK", "UDP 127.0.0.1", tag, 1).as_bytes(), node.udp).await.unwrap();
    assert!(matches!(node.event().await, Event::Confirmed { .. }));
    socket.send_to(request("BYE", "UDP 127.0.0.1", tag, 2).as_bytes(), node.udp).await.unwrap();
    assert_eq!(datagram(&socket).await.status(), Some(200));
    assert!(matches!(node.event().await, Event::Ended { how: Ended::Bye { .. }, .. }));
    let ladder: Vec<_> = node.traced.lock().unwrap().clone();
    assert_eq!(ladder.first().map(|(sent, _)| *sent), Some(false));
    assert!(ladder.contains(&(true, "SIP/2.0 200 OK".to_owned())));
    assert_eq!(node.stop().await, 0);
}

#[tokio::test]
async fn every_datagram_of_a_burst_is_heard() {
    let node = Node::start();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let via = format!("UDP {}", socket.local_addr().unwrap());
    for n in 0..200 {
        // the node has not run yet, and finds them all waiting
        let options = request("OPTIONS", &via, "", n).replace("Call-ID: ", &format!("Call-ID: {n}"));
        socket.send_to(options.as_bytes(), node.udp).unwrap();
    }
    socket.set_nonblocking(true).unwrap();
    let socket = UdpSocket::from_std(socket).unwrap();
    let mut heard = std::collections::BTreeSet::new();
    while heard.len() < 200 {
        let answer = datagram(&socket).await;
        assert_eq!(answer.status(), Some(200));
        heard.insert(answer.cseq());
    }
    node.stop().await;
}

#[tokio::test]
async fn an_invite_that_lay_too_long_in_the_queue_is_dropped_and_what_comes_in_time_is_not() {
    let mut node = Node::start();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let via = format!("UDP {}", socket.local_addr().unwrap());
    socket.send_to(request("INVITE", &via, "", 1).as_bytes(), node.udp).unwrap();
    std::thread::sleep(Duration::from_millis(600)); // the node shares this thread: it cannot run
    // a machine that stands still now keeps this one waiting, too: another comes, as of any telephone
    let mut heard = None;
    for cseq in 2..50 {
        socket.send_to(request("INVITE", &via, "", cseq).as_bytes(), node.udp).unwrap();
        heard = timeout(Duration::from_millis(500), node.event()).await.ok();
        if heard.is_some() {
            break;
        }
    }
    let Some(Event::Incoming(incoming)) = heard else { panic!("no call: {heard:?}") };
    assert!(incoming.invite.cseq() >= 2, "the first is not heard");
    node.command(Command::Hangup { leg: incoming.leg, reason: None }).await;
    node.stop().await;
}

#[tokio::test]
async fn a_stream_is_read_however_it_is_split() {
    let mut node = Node::start();
    let mut wire = Wire::connect(node.tcp).await;
    for octet in request("INVITE", "TCP 127.0.0.1", "", 1).bytes() {
        wire.stream.write_all(&[octet]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(wire.message().await.status(), Some(100));
    let Event::Incoming(incoming) = node.event().await else { panic!("no call") };
    assert_eq!((incoming.transport, incoming.local), (Transport::Tcp, node.tcp));
    node.command(Command::Answer { leg: incoming.leg, body: Some(sdp()) }).await;
    let ok = wire.message().await;
    assert!(ok.contact().unwrap().uri.as_str().ends_with(";transport=tcp"));
    let tag = ok.to().tag().unwrap();
    let both = request("ACK", "TCP 127.0.0.1", tag, 1) + &request("BYE", "TCP 127.0.0.1", tag, 2);
    wire.stream.write_all(both.as_bytes()).await.unwrap();
    assert!(matches!(node.event().await, Event::Confirmed { .. }));
    assert!(matches!(node.event().await, Event::Ended { how: Ended::Bye { .. }, .. }));
    assert_eq!(wire.message().await.method().as_str(), "BYE");
    assert_eq!(node.stop().await, 0);
}

#[tokio::test]
async fn a_ping_of_a_trunk_is_answered_and_lost_framing_closes() {
    let node = Node::start();
    let mut wire = Wire::connect(node.tcp).await;
    wire.stream.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    timeout(PATIENCE, wire.stream.read_exact(&mut pong)).await.expect("a pong in time").unwrap();
    assert_eq!(&pong, b"\r\n");
    let headless = request("OPTIONS", "TCP 127.0.0.1", "", 1).replace("Content-Length: 0\r\n", "");
    wire.stream.write_all(headless.as_bytes()).await.unwrap();
    assert_eq!(wire.message().await.status(), Some(400));
    assert!(wire.is_closed().await);
    assert_eq!(node.stop().await, 0);
}

#[tokio::test]
async fn an_answer_whose_connection_is_closed_goes_to_the_port_of_via() {
    let mut node = Node::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let via = format!("TCP 127.0.0.1:{}", listener.local_addr().unwrap().port());
    let mut wire = Wire::connect(node.tcp).await;
    wire.stream.write_all(request("INVITE", &via, "", 1).as_bytes()).await.unwrap();
    assert_eq!(wire.message().await.status(), Some(100));
    let leg = node.event().await.leg();
    wire.stream.shutdown().await.unwrap();
    assert!(wire.is_closed().await);
    node.command(Command::Answer { leg, body: Some(sdp()) }).await;
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.expect("a connection in time").unwrap();
    let mut back = Wire::of(stream);
    assert_eq!(back.message().await.status(), Some(200));
    node.stop().await;
}

#[tokio::test]
async fn two_nodes_call_each_other_over_both_transports() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (mut caller, mut callee) = (Node::start(), Node::start());
        let leg = LegId(1 << 63);
        let to = if transport == Transport::Udp { callee.udp } else { callee.tcp };
        caller.command(dial(leg, to, transport)).await;
        let theirs = callee.event().await.leg();
        callee.command(Command::Answer { leg: theirs, body: Some(sdp()) }).await;
        assert!(matches!(caller.event().await, Event::Answered { body: Some(_), .. }));
        assert!(matches!(callee.event().await, Event::Confirmed { .. }));
        callee.command(Command::Hangup { leg: theirs, reason: None }).await;
        assert!(matches!(caller.event().await, Event::Ended { how: Ended::Bye { .. }, .. }));
        assert!(matches!(callee.event().await, Event::Ended { how: Ended::ByUs, .. }));
        caller.stop().await;
        callee.stop().await;
    }
}

#[tokio::test]
async fn a_call_to_a_closed_port_is_lost_at_once() {
    let mut node = Node::start();
    // kept, so that nobody else opens it: whoever does not listen is not there
    let kept = TcpSocket::new_v4().unwrap();
    kept.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    node.command(dial(LegId(1 << 63), kept.local_addr().unwrap(), Transport::Tcp)).await;
    assert!(matches!(node.event().await, Event::Ended { how: Ended::Lost, .. }));
    assert_eq!(node.stop().await, 0);
}

#[tokio::test]
async fn a_stranger_has_64_connections_and_the_trunk_still_gets_its_own() {
    let node = Node::start();
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(stranger(node.tcp).await);
    }
    let mut refused = stranger(node.tcp).await;
    assert!(refused.is_closed().await);
    let mut wire = Wire::connect(node.tcp).await;
    wire.stream.write_all(request("OPTIONS", "TCP 127.0.0.1", "", 1).as_bytes()).await.unwrap();
    assert_eq!(wire.message().await.status(), Some(200));
    let first = &mut open[0];
    first.stream.write_all(request("OPTIONS", "TCP 127.0.0.9", "", 2).as_bytes()).await.unwrap();
    assert_eq!(first.message().await.status(), Some(403));
    node.stop().await;
}

async fn stranger(to: SocketAddr) -> Wire {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    Wire::of(socket.connect(to).await.unwrap())
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let listen = |addr| [Listen { transport: Transport::Udp, addr }];
    let first = Sockets::bind(&listen("127.0.0.1:0".parse().unwrap())).unwrap();
    assert!(Sockets::bind(&listen(first.local_addrs()[0].addr)).is_err());
    let tls = Listen { transport: Transport::Tls, addr: "127.0.0.1:0".parse().unwrap() };
    assert!(Sockets::bind(&[tls]).is_err());
}
