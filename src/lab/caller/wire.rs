//! The task that drives the SIP endpoint of a caller: its sockets, its clock, and the record of every message.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::Config;
use crate::ids::{Entropy, LegId};
use crate::lab::ladder::{Kind, Ladder, Party};
use crate::sip::message::{Framed, Framer};
use crate::sip::{
    self, Command, Dial, Endpoint, Event, Hop, Input, Octets, Output, Strangers, Transport, Trunk,
};

/// Messages kept a call.
const KEPT: usize = 2000;
/// Messages that may wait for a TCP connection to take them.
const OUTBOX: usize = 256;

/// A SIP message of a call, as it passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipSeen {
    /// When.
    pub at: Instant,
    /// By us.
    pub sent: bool,
    /// Its first line.
    pub line: String,
    /// All of it, if messages are kept.
    pub text: String,
}

/// What is asked of the task.
pub(super) enum Ask {
    /// A new call from this address of ours.
    Dial(Box<Dial>, SocketAddr, Sink),
    /// Anything for a call that is.
    Command(Command),
}

/// Where a call is told of what happens to it.
pub(super) struct Sink {
    events: mpsc::Sender<Event>,
    seen: Arc<Mutex<Vec<SipSeen>>>,
    ladder: Option<Ladder>,
}

impl Sink {
    pub(super) fn new(
        events: mpsc::Sender<Event>,
        seen: Arc<Mutex<Vec<SipSeen>>>,
        ladder: Option<Ladder>,
    ) -> Self {
        Self { events, seen, ladder }
    }

    fn see(&self, at: Instant, sent: bool, bytes: &[u8], whole: bool) {
        let text = String::from_utf8_lossy(bytes);
        let line = text.lines().next().unwrap_or_default().to_owned();
        if let Some(ladder) = &self.ladder {
            let way =
                if sent { (Party::Caller, Party::StreamKit) } else { (Party::StreamKit, Party::Caller) };
            ladder.tell(at, way, Kind::Message, label(&line, &text), text.as_ref());
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < KEPT {
            let text = if whole { text.into_owned() } else { String::new() };
            seen.push(SipSeen { at, sent, line, text });
        }
    }
}

/// `INVITE`, `200 OK to BYE`.
fn label(line: &str, text: &str) -> String {
    let Some(status) = line.strip_prefix("SIP/2.0 ") else {
        return line.split(' ').next().unwrap_or_default().to_owned();
    };
    let cseq = text.lines().find_map(|l| l.strip_prefix("CSeq:"));
    match cseq.and_then(|value| value.split_whitespace().nth(1)) {
        Some(method) if method != "INVITE" => format!("{status} to {method}"),
        _ => status.to_owned(),
    }
}

/// What a TCP connection tells.
enum Stream {
    Open(Hop, mpsc::Sender<Octets>),
    Came(Hop, Framed),
    Gone(Hop),
}

/// The sockets and the endpoint.
pub(super) struct Wire {
    endpoint: Endpoint,
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
    port: u16,
    whole: bool,
    sinks: HashMap<LegId, Sink>,
    /// Call-ID of each leg, and the leg of each Call-ID.
    names: HashMap<String, LegId>,
    connections: HashMap<Hop, mpsc::Sender<Octets>>,
    told: mpsc::Sender<Stream>,
    telling: mpsc::Receiver<Stream>,
    dialling: Option<LegId>,
}

impl Wire {
    pub(super) async fn open(config: &Config, entropy: Entropy) -> io::Result<Self> {
        let (udp, tcp) = sockets(config).await?;
        let port = udp.local_addr()?.port();
        let everywhere = ["0.0.0.0/0", "::/0"].map(|net| net.parse().expect("a network"));
        let trunk = Trunk {
            name: "anyone".to_owned(),
            peers: everywhere.to_vec(),
            targets: Vec::new(),
            transports: vec![Transport::Udp, Transport::Tcp],
            force_rport: false,
            nat_contact: true,
        };
        let settings = sip::Config {
            trunks: vec![trunk],
            strangers: Strangers::Silent,
            user_agent: config.user_agent.clone(),
            t1: config.t1,
            ..sip::Config::default()
        };
        let mut endpoint = Endpoint::new(settings, entropy);
        endpoint.listens_on(Transport::Udp, udp.local_addr()?);
        endpoint.listens_on(Transport::Tcp, udp.local_addr()?);
        let (told, telling) = mpsc::channel(1024);
        Ok(Self {
            endpoint,
            udp: Arc::new(udp),
            tcp,
            port,
            whole: config.keep_messages,
            sinks: HashMap::new(),
            names: HashMap::new(),
            connections: HashMap::new(),
            told,
            telling,
            dialling: None,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        let mut buffer = vec![0; 65_535];
        loop {
            let wake =
                self.endpoint.poll_timeout().unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
            let udp = self.udp.clone();
            tokio::select! {
                got = udp.recv_from(&mut buffer) => {
                    // An error is an ICMP answer to something sent before; timers deal with that.
                    if let Ok((length, remote)) = got {
                        self.datagram(remote, &buffer[..length]);
                    }
                }
                Some(stream) = self.telling.recv() => self.stream(stream),
                Ok((stream, remote)) = self.tcp.accept() => {
                    if let Ok(local) = stream.local_addr() {
                        tokio::spawn(converse(stream, Hop { transport: Transport::Tcp, local, remote }, self.told.clone(), None));
                    }
                }
                ask = asks.recv() => match ask {
                    Some(ask) => self.asked(ask),
                    None => return,
                },
                () = sleep_until(wake.into()) => self.endpoint.handle(Instant::now(), Input::Timeout),
            }
            self.drain().await;
        }
    }

    fn datagram(&mut self, remote: SocketAddr, bytes: &[u8]) {
        let (now, local) = (Instant::now(), self.local_for(remote));
        self.see(now, false, bytes);
        self.endpoint.handle(now, Input::Datagram { local, remote, bytes });
    }

    /// Bound to all addresses, the socket does not say which of them a packet came to: the one that faces the
    /// sender will do for a caller.
    fn local_for(&self, remote: SocketAddr) -> SocketAddr {
        let bound = self.udp.local_addr().map_or(remote.ip(), |a| a.ip());
        SocketAddr::new(super::facing(bound, remote).unwrap_or(bound), self.port)
    }

    fn asked(&mut self, ask: Ask) {
        let now = Instant::now();
        match ask {
            Ask::Dial(dial, local, sink) => {
                self.dialling = Some(dial.leg);
                self.sinks.insert(dial.leg, sink);
                let input = Input::Command { command: Command::Dial(dial), local: Some(local) };
                self.endpoint.handle(now, input);
            }
            Ask::Command(command) => self.endpoint.handle(now, Input::Command { command, local: None }),
        }
    }

    fn stream(&mut self, stream: Stream) {
        let now = Instant::now();
        match stream {
            Stream::Open(hop, outbox) => drop(self.connections.insert(hop, outbox)),
            Stream::Came(hop, framed) => {
                if let Framed::Message(message) = &framed {
                    let octets = message.octets().to_vec();
                    self.see(now, false, &octets);
                }
                self.endpoint.handle(now, Input::Framed { hop, framed });
            }
            Stream::Gone(hop) => {
                self.connections.remove(&hop);
                self.endpoint.handle(now, Input::Failed(hop));
            }
        }
    }

    async fn drain(&mut self) {
        let mut over = Vec::new();
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { way, bytes } => {
                    self.see(Instant::now(), true, &bytes);
                    match way.hop.transport {
                        // Lost is lost: the timers know.
                        Transport::Udp => drop(self.udp.send_to(&bytes, way.hop.remote).await),
                        Transport::Tcp | Transport::Tls => self.send(way.hop, way.otherwise, bytes),
                    }
                }
                Output::Close(hop) => drop(self.connections.remove(&hop)),
                Output::Event(event) => over.extend(self.tell(event)),
            }
        }
        self.dialling = None;
        // Only now: a last answer may have stood behind the event.
        for leg in over {
            self.sinks.remove(&leg);
            self.names.retain(|_, named| *named != leg);
        }
    }

    fn send(&mut self, hop: Hop, otherwise: Option<SocketAddr>, bytes: Octets) {
        let hop = match self.connections.get(&hop) {
            Some(outbox) if !outbox.is_closed() => return drop(outbox.try_send(bytes)),
            _ => Hop { remote: otherwise.unwrap_or(hop.remote), ..hop },
        };
        let (outbox, waiting) = mpsc::channel(OUTBOX);
        drop(outbox.try_send(bytes));
        self.connections.insert(hop, outbox);
        tokio::spawn(connect(hop, self.told.clone(), waiting));
    }

    /// A call that has no room for what it is told is lost; the others go on. The leg, if it is over.
    fn tell(&mut self, event: Event) -> Option<LegId> {
        let leg = event.leg();
        let over = matches!(event, Event::Ended { .. });
        if let Some(sink) = self.sinks.get(&leg) {
            drop(sink.events.try_send(event));
        }
        over.then_some(leg)
    }

    fn see(&mut self, at: Instant, sent: bool, bytes: &[u8]) {
        let Some(name) = call_id(bytes) else { return };
        if let Some(leg) = self.dialling.filter(|_| sent) {
            self.names.entry(name.clone()).or_insert(leg);
        }
        if let Some(sink) = self.names.get(&name).and_then(|leg| self.sinks.get(leg)) {
            sink.see(at, sent, bytes, self.whole);
        }
    }
}

/// UDP and TCP on one port.
async fn sockets(config: &Config) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 0;
    loop {
        let tcp = TcpListener::bind((config.bind, config.port)).await?;
        match UdpSocket::bind((config.bind, tcp.local_addr()?.port())).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) if config.port != 0 || tries == 20 => return Err(error),
            Err(_) => tries += 1,
        }
    }
}

fn call_id(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let named = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim_end();
        (name.eq_ignore_ascii_case("call-id") || name.eq_ignore_ascii_case("i"))
            .then(|| value.trim().to_owned())
    };
    text.lines().skip(1).take_while(|line| !line.is_empty()).find_map(named)
}

async fn connect(hop: Hop, told: mpsc::Sender<Stream>, waiting: mpsc::Receiver<Octets>) {
    let connecting = TcpStream::connect(hop.remote);
    match tokio::time::timeout(Duration::from_secs(5), connecting).await {
        Ok(Ok(stream)) => converse(stream, hop, told, Some(waiting)).await,
        Ok(Err(_)) | Err(_) => drop(told.send(Stream::Gone(hop)).await),
    }
}

/// Reads and writes one connection until it ends.
async fn converse(
    mut stream: TcpStream,
    hop: Hop,
    told: mpsc::Sender<Stream>,
    waiting: Option<mpsc::Receiver<Octets>>,
) {
    let mut waiting = match waiting {
        Some(waiting) => waiting,
        None => {
            let (outbox, waiting) = mpsc::channel(OUTBOX);
            drop(told.send(Stream::Open(hop, outbox)).await);
            waiting
        }
    };
    let (mut framer, mut buffer) = (Framer::new(), vec![0; 16_384]);
    loop {
        tokio::select! {
            got = stream.read(&mut buffer) => match got {
                Ok(0) | Err(_) => break,
                Ok(length) => {
                    framer.push(&buffer[..length]);
                    while let Some(framed) = framer.next() {
                        drop(told.send(Stream::Came(hop, framed)).await);
                    }
                }
            },
            bytes = waiting.recv() => match bytes {
                Some(bytes) if stream.write_all(&bytes).await.is_ok() => {}
                Some(_) | None => break,
            },
        }
    }
    drop(told.send(Stream::Gone(hop)).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_labelled_by_what_it_is() {
        assert_eq!(label("INVITE sip:1@a SIP/2.0", ""), "INVITE");
        assert_eq!(label("SIP/2.0 180 Ringing", "SIP/2.0 180 Ringing\r\nCSeq: 1 INVITE\r\n"), "180 Ringing");
        assert_eq!(label("SIP/2.0 200 OK", "SIP/2.0 200 OK\r\nCSeq: 2 BYE\r\n"), "200 OK to BYE");
    }

    #[test]
    fn the_call_id_is_found_long_and_short() {
        assert_eq!(call_id(b"BYE a SIP/2.0\r\nVia: x\r\ni: abc@d\r\n\r\n").as_deref(), Some("abc@d"));
        assert_eq!(call_id(b"BYE a SIP/2.0\r\ncall-ID : abc\r\n\r\n").as_deref(), Some("abc"));
        assert_eq!(call_id(b"BYE a SIP/2.0\r\n\r\nCall-ID: no\r\n"), None);
    }
}
