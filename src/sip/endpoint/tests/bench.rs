//! One endpoint and a pen: what a peer writes goes in, what the endpoint does is read.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::ids::{Entropy, LegId};
use crate::sip::endpoint::{Endpoint, Input, Output};
use crate::sip::hop::Hop;
use crate::sip::message::{Framing, Message};
use crate::sip::target::{Question, Service, Unresolved};
use crate::sip::{Body, Command, Config, Ended, Event, Load, Target, Transport, Trunk};

pub(super) const US: &str = "192.0.2.1:5060";
pub(super) const PEER: &str = "192.0.2.10:5060";

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn trunk() -> Trunk {
    Trunk {
        name: "pbx".to_owned(),
        peers: vec!["192.0.2.0/24".parse().unwrap()],
        targets: vec![Target::address("203.0.113.5".parse().unwrap())],
        transports: vec![Transport::Udp, Transport::Tcp],
        options_ping: Duration::ZERO,
        ..Trunk::new("")
    }
}

pub(super) struct Bench {
    pub(super) now: Instant,
    pub(super) endpoint: Endpoint,
    /// What was sent since it was last taken: where, and the message.
    pub(super) sent: Vec<(SocketAddr, Message)>,
    pub(super) raw: Vec<Vec<u8>>,
    pub(super) events: Vec<Event>,
    /// What was asked of the system and not answered yet.
    pub(super) asked: Vec<Question>,
    /// Addresses are answered at once.
    pub(super) answers: bool,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(Config { trunks: vec![trunk()], ..Config::default() })
    }

    pub(super) fn with(config: Config) -> Self {
        let mut endpoint = Endpoint::new(config, Entropy::seeded(7));
        endpoint.listens_on(Transport::Udp, addr(US));
        endpoint.listens_on(Transport::Tcp, addr(US));
        Self {
            now: Instant::now(),
            endpoint,
            sent: Vec::new(),
            raw: Vec::new(),
            events: Vec::new(),
            asked: Vec::new(),
            answers: true,
        }
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        self.endpoint.handle(self.now, input);
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { way, bytes } => {
                    self.sent.push((way.hop.remote, readable(&bytes)));
                    self.raw.push(bytes.to_vec());
                }
                Output::Event(event) => self.events.push(event),
                Output::Resolve(question) => self.asked.push(question),
                Output::Close(_) => {}
            }
        }
        self.answer_addresses();
    }

    /// What was asked is answered: places by priority, or none.
    pub(super) fn found(&mut self, places: Option<&[(u16, &[&str])]>) {
        let question = self.asked.remove(0);
        let hop = |place: &&str| Hop { transport: Transport::Udp, local: addr(US), remote: addr(place) };
        let service = |(priority, places): &(u16, &[&str])| Service {
            priority: *priority,
            weight: 0,
            hops: places.iter().map(hop).collect(),
        };
        let found = places.map(|places| places.iter().map(service).collect());
        self.input(Input::Resolved { question, found: found.ok_or(Unresolved::NoAddress) });
    }

    /// Addresses are their own answers, as with the real shell.
    fn answer_addresses(&mut self) {
        while self.answers && self.asked.first().is_some_and(|question| question.ip().is_some()) {
            let (ip, port) = (self.asked[0].ip().unwrap(), self.asked[0].port.unwrap_or(5060));
            let place = SocketAddr::new(ip, port).to_string();
            self.found(Some(&[(0, &[place.as_str()])]));
        }
    }

    /// ICMP says so.
    pub(super) fn unreachable(&mut self, remote: &str) {
        self.input(Input::Unreachable(addr(remote)));
    }

    /// Nothing can be sent there.
    pub(super) fn fail(&mut self, remote: &str) {
        self.input(Input::Failed(Hop { transport: Transport::Udp, local: addr(US), remote: addr(remote) }));
    }

    pub(super) fn from(&mut self, source: &str, text: &str) {
        self.octets(source, text.as_bytes());
    }

    pub(super) fn octets(&mut self, source: &str, bytes: &[u8]) {
        self.input(Input::Datagram { local: addr(US), remote: addr(source), bytes });
    }

    /// The trunk's peer sends this, and it lies unread for so many milliseconds.
    pub(super) fn waited(&mut self, ms: u64, text: &str) {
        let (local, remote, waited) = (addr(US), addr(PEER), Duration::from_millis(ms));
        self.input(Input::Waited { local, remote, bytes: text.as_bytes(), waited });
    }

    /// The trunk's peer sends this.
    pub(super) fn peer(&mut self, text: &str) {
        self.from(PEER, text);
    }

    pub(super) fn command(&mut self, command: Command) {
        self.input(Input::Command { command, local: Some(addr(US)) });
    }

    /// Time goes by, every timer in its turn.
    pub(super) fn wait(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
        }
        self.now = until;
    }

    /// What was sent since the last look.
    pub(super) fn take(&mut self) -> Vec<(SocketAddr, Message)> {
        self.raw.clear();
        std::mem::take(&mut self.sent)
    }

    /// Status codes and methods of what was sent since the last look.
    pub(super) fn heard(&mut self) -> Vec<String> {
        self.take().iter().map(|(_, message)| name(message)).collect()
    }

    /// The only message sent since the last look.
    pub(super) fn only(&mut self) -> Message {
        let mut sent = self.take();
        assert_eq!(sent.len(), 1, "{:?}", sent.iter().map(|(_, message)| name(message)).collect::<Vec<_>>());
        sent.remove(0).1
    }

    pub(super) fn ended(&mut self) -> Option<Ended> {
        let mut ends = self.events.iter().filter_map(|event| match event {
            Event::Ended { how, .. } => Some(how.clone()),
            _ => None,
        });
        let end = ends.next();
        assert_eq!(ends.next(), None, "a leg ends once");
        end
    }

    pub(super) fn leg(&self) -> LegId {
        self.events.first().expect("something happened").leg()
    }

    /// An INVITE was taken: the leg, and the tag of ours that its answers carry.
    pub(super) fn invited(&mut self, extra: &str) -> LegId {
        self.peer(&invite(extra));
        assert!(matches!(self.events.last(), Some(Event::Incoming(_))), "{:?}", self.events);
        assert_eq!(self.heard(), ["100"]);
        self.leg()
    }

    /// A call that is up; our tag.
    pub(super) fn up(&mut self, extra: &str) -> (LegId, String) {
        let leg = self.invited(extra);
        self.command(Command::Answer { leg, body: Some(sdp()) });
        let tag = self.only().to().tag().unwrap().to_owned();
        self.peer(&inside("ACK", &tag, 1, "", ""));
        assert!(matches!(self.events.last(), Some(Event::Confirmed { .. })));
        assert!(self.take().is_empty());
        (leg, tag)
    }

    /// After so long nothing may be left of anything.
    pub(super) fn assert_nothing_left(&mut self) {
        self.wait(Duration::from_secs(70));
        assert_eq!(self.endpoint.load(), Load::default());
    }
}

pub(super) fn sdp() -> Body {
    Body::sdp("v=0\r\n")
}

pub(super) fn name(message: &Message) -> String {
    message.status().map_or_else(|| message.method().to_string(), |status| status.to_string())
}

pub(super) fn request(
    method: &str,
    branch: &str,
    to_tag: &str,
    cseq: u32,
    extra: &str,
    body: &str,
) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{method} sip:bot@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK{branch};rport\r\n\
         Max-Forwards: 70\r\nFrom: \"A\" <sip:1000@192.0.2.10>;tag=peer\r\nTo: <sip:bot@192.0.2.1>{tag}\r\n\
         Call-ID: call\r\nCSeq: {cseq} {method}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(super) const CONTACT: &str = "Contact: <sip:1000@192.0.2.10:5060>\r\n";

/// The INVITE of most scenarios; `extra` header lines end in CRLF, and may bring another Contact.
pub(super) fn invite(extra: &str) -> String {
    let contact = if extra.contains("Contact:") { "" } else { CONTACT };
    let headers = format!("{contact}Content-Type: application/sdp\r\n{extra}");
    request("INVITE", "first", "", 1, &headers, "v=0\r\n")
}

/// A request inside its dialog.
pub(super) fn inside(method: &str, tag: &str, cseq: u32, extra: &str, body: &str) -> String {
    request(method, &format!("{method}{cseq}"), tag, cseq, extra, body)
}

/// The ACK of a refusal, or the CANCEL, of that INVITE.
pub(super) fn of_invite(method: &str, tag: &str) -> String {
    request(method, "first", tag, 1, "", "")
}

/// What we sent, as a message. A refusal copies the faulty line it is about; it is read without what it copies.
fn readable(bytes: &[u8]) -> Message {
    const COPIED: [&str; 5] = ["Via", "From", "To", "Call-ID", "CSeq"];
    Message::parse(bytes, Framing::Datagram).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(bytes);
        let copied = |line: &&str| line.split_once(':').is_some_and(|(name, _)| COPIED.contains(&name));
        let own: Vec<&str> = text.split("\r\n").filter(|line| !copied(line)).collect();
        let mended = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=a\r\nTo: <sip:b@h>;tag=b\r\n\
                      Call-ID: c\r\nCSeq: 1 OPTIONS\r\n";
        let message = own.join("\r\n").replacen("\r\n", &format!("\r\n{mended}"), 1);
        Message::parse(message.as_bytes(), Framing::Datagram)
            .expect("what we send can be read but for what it copies")
    })
}
