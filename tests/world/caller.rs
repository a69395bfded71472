//! A telephone behind a PBX: an endpoint of its own, an ear and a mouth, and the bad manners real ones have.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use streamkit::ids::{Entropy, LegId, TrunkId};
use streamkit::sip::{
    self, Body, Command, Destination, Dial, Ended, Endpoint, Event, Input, Output, Transport,
};

use super::ear::Ear;
use super::mouth::{EVENTS, Mouth};

/// How far a telephone is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// Nothing yet, or it rings.
    Waiting,
    /// Answered.
    Up,
    /// Over.
    Over(Ended),
}

/// One telephone.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) endpoint: Endpoint,
    pub(crate) sip: SocketAddr,
    kit: SocketAddr,
    leg: LegId,
    /// What it dials.
    pub(crate) number: String,
    /// What stands in its INVITE besides.
    pub(crate) headers: Vec<(String, String)>,
    /// Its offer; none: it waits for streamkit's.
    pub(crate) offer: Option<String>,
    /// What its ACK answers to streamkit's offer.
    pub(crate) answer_in_ack: Option<String>,
    /// Its ACKs get lost.
    pub(crate) no_acks: bool,
    /// It knows no UPDATE, and thinks nobody does.
    pub(crate) no_update: bool,
    /// Its UPDATEs and re-INVITEs get lost.
    pub(crate) no_refreshes: bool,
    /// Its signalling is dead: it neither hears nor says anything.
    pub(crate) dead: bool,
    /// How often it sends its INVITE.
    pub(crate) copies: usize,
    pub(crate) hook: Hook,
    /// 18x as they came: status and SDP.
    pub(crate) progress: Vec<(u16, Option<String>)>,
    /// SDP of streamkit's last 200.
    pub(crate) sdp: String,
    /// Answers to requests written by hand: status and SDP.
    pub(crate) answers: Vec<(u16, String)>,
    pub(crate) mouth: Mouth,
    pub(crate) ear: Ear,
    /// The 200 and the INVITE as they stood on the wire.
    invite: String,
    answered: String,
    by_hand: u32,
    /// What goes out next.
    pub(crate) outbox: Vec<String>,
    pub(crate) orders: Vec<Command>,
}

impl Caller {
    pub(crate) fn new(sip: SocketAddr, kit: SocketAddr, chance: Entropy) -> Self {
        let trunk = sip::Trunk {
            name: "kit".to_owned(),
            peers: vec![kit.ip().into()],
            transports: vec![Transport::Udp],
            session_timer: Duration::ZERO,
            ..sip::Trunk::new("")
        };
        let config =
            sip::Config { trunks: vec![trunk], user_agent: "Phone".to_owned(), ..sip::Config::default() };
        let mut endpoint = Endpoint::new(config, chance);
        endpoint.listens_on(Transport::Udp, sip);
        let rtp = SocketAddr::new(sip.ip(), 4000);
        Self {
            endpoint,
            sip,
            kit,
            leg: LegId(1 << 63),
            number: "01512340321".to_owned(),
            headers: Vec::new(),
            offer: Some(sdp(rtp, "0 8 101", "sendrecv")),
            answer_in_ack: None,
            no_acks: false,
            no_update: false,
            no_refreshes: false,
            dead: false,
            copies: 1,
            hook: Hook::Waiting,
            progress: Vec::new(),
            sdp: String::new(),
            answers: Vec::new(),
            mouth: Mouth::new(rtp),
            ear: Ear::default(),
            invite: String::new(),
            answered: String::new(),
            by_hand: 0,
            outbox: Vec::new(),
            orders: Vec::new(),
        }
    }

    // ---- what it does ----

    /// Calls.
    pub(crate) fn dial(&mut self) {
        self.orders.push(Command::Dial(Box::new(Dial {
            leg: self.leg,
            trunk: TrunkId(0),
            uri: format!("sip:{}@{}", self.number, self.kit),
            to: Destination::Address(self.kit, Transport::Udp),
            ring_limit: Duration::from_secs(180),
            credentials: None,
            from: "sip:08061234509@pbx.example.com".to_owned(),
            headers: self.headers.clone(),
            body: self.offer.clone().map(Body::sdp),
        })));
    }

    /// Hangs up: CANCEL or BYE, whichever fits.
    pub(crate) fn hang_up(&mut self) {
        self.orders.push(Command::Hangup { leg: self.leg, reason: None });
    }

    /// Offers anew in the dialog. Requests written by hand are sent once.
    pub(crate) fn reoffer(&mut self, sdp: &str) {
        self.by_hand("INVITE", "application/sdp", sdp);
    }

    /// INFO in the dialog.
    pub(crate) fn info(&mut self, content_type: &str, body: &str) {
        self.by_hand("INFO", content_type, body);
    }

    fn by_hand(&mut self, method: &str, content_type: &str, body: &str) {
        self.by_hand += 1;
        let number = self.by_hand + 1;
        let request = self.in_dialog(method, number, &format!("hand{number}"), content_type, body);
        self.outbox.push(request);
    }

    fn in_dialog(&self, method: &str, number: u32, branch: &str, content_type: &str, body: &str) -> String {
        let of = |name| field(&self.answered, name);
        let target = of("Contact").trim_matches(['<', '>']);
        let kind = if body.is_empty() { String::new() } else { format!("Content-Type: {content_type}\r\n") };
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {sip};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\nContact: <sip:{sip}>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            of("From"),
            of("To"),
            of("Call-ID"),
            body.len(),
            sip = self.sip,
        )
    }

    // ---- what it takes ----

    /// Takes a datagram.
    pub(crate) fn take(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if to != self.sip {
            return if to == self.mouth.from {
                self.ear.hear(now, bytes);
            };
        }
        if self.dead {
            return;
        }
        let text = self.knowing(&String::from_utf8_lossy(bytes));
        if text.starts_with("SIP/2.0 ") && text.contains("branch=z9hG4bKhand") {
            return self.take_by_hand(&text);
        }
        if text.starts_with("SIP/2.0 200") && text.contains(" INVITE\r\n") {
            self.answered = text.clone();
        }
        self.endpoint.handle(now, Input::Datagram { local: to, remote: from, bytes: text.as_bytes() });
    }

    /// A message as one who knows no UPDATE sends or reads it.
    fn knowing(&self, text: &str) -> String {
        if self.no_update { text.replace("OPTIONS, UPDATE,", "OPTIONS,") } else { text.to_owned() }
    }

    fn take_by_hand(&mut self, answer: &str) {
        let status: u16 = answer[8..11].parse().expect("a status");
        if status < 200 {
            return;
        }
        self.answers.push((status, body(answer)));
        if let Some((number, "INVITE")) = field(answer, "CSeq").split_once(' ') {
            let number: u32 = number.parse().expect("a number");
            // a refusal is acknowledged in its own transaction
            let branch = format!("{}{number}", if status < 300 { "ack" } else { "hand" });
            let sdp = self.answer_in_ack.as_deref().unwrap_or_default();
            self.outbox.push(self.in_dialog("ACK", number, &branch, "application/sdp", sdp));
        }
    }

    // ---- what its endpoint wants ----

    /// Carries out what waits; what goes on the wire.
    pub(crate) fn drain(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut out: Vec<Vec<u8>> = self.outbox.drain(..).map(String::into_bytes).collect();
        loop {
            while let Some(output) = self.endpoint.poll_output() {
                match output {
                    Output::Transmit { bytes, .. } => self.transmit(&bytes, &mut out),
                    Output::Event(event) => self.told(now, event),
                    Output::Close(_) | Output::Resolve(_) => {}
                }
            }
            if self.orders.is_empty() {
                return out;
            }
            for command in std::mem::take(&mut self.orders) {
                self.endpoint.handle(now, Input::Command { command, local: Some(self.sip) });
            }
        }
    }

    fn transmit(&mut self, bytes: &[u8], out: &mut Vec<Vec<u8>>) {
        let mut text = self.knowing(std::str::from_utf8(bytes).expect("text"));
        let refresh = text.starts_with("UPDATE ") || text.starts_with("INVITE ") && self.hook == Hook::Up;
        if self.dead || self.no_refreshes && refresh {
            return;
        }
        if text.starts_with("BYE ") && self.by_hand > 0 {
            text = text.replace("CSeq: 2 BYE", &format!("CSeq: {} BYE", self.by_hand + 2));
        }
        if text.starts_with("ACK ") && !self.answered.is_empty() && self.no_acks {
            return;
        }
        let first = text.starts_with("INVITE ") && self.invite.is_empty();
        if first {
            self.invite = text.clone();
        }
        let copies = if first { self.copies } else { 1 };
        out.extend(std::iter::repeat_n(text.into_bytes(), copies));
    }

    fn told(&mut self, now: Instant, event: Event) {
        let text = |body: Option<Body>| body.map(|body| String::from_utf8(body.bytes).expect("text"));
        match event {
            Event::Progress { status, body, .. } => self.progress.push((status, text(body))),
            Event::Answered { body, .. } => {
                self.hook = Hook::Up;
                if self.offer.is_none() {
                    let body = self.answer_in_ack.clone().map(Body::sdp);
                    self.orders.push(Command::Acknowledge { leg: self.leg, body });
                }
                self.sdp = text(body).unwrap_or_default();
                if let Some(to) = address(&self.sdp) {
                    self.mouth.open(now, to);
                }
            }
            Event::Ended { how, .. } => {
                self.hook = Hook::Over(how);
                self.mouth.close();
            }
            Event::Reoffer { leg, .. } => {
                let body = self.offer.clone().map(Body::sdp);
                self.orders.push(Command::Accept { leg, body });
            }
            Event::Modified { result, .. } => assert!(result.is_ok(), "{result:?}"),
            Event::Confirmed { .. } => {}
            other => panic!("nobody calls a telephone here: {other:?}"),
        }
    }
}

/// A description with this address, these formats (101 is telephone-event) and this direction.
pub(crate) fn sdp(rtp: SocketAddr, formats: &str, direction: &str) -> String {
    let (ip, port) = (rtp.ip(), rtp.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\n\
         a=rtpmap:{EVENTS} telephone-event/8000\r\na=fmtp:{EVENTS} 0-15\r\na=ptime:20\r\na={direction}\r\n"
    )
}

/// Where a description wants its audio.
pub(crate) fn address(sdp: &str) -> Option<SocketAddr> {
    let ip = sdp.lines().find_map(|line| line.strip_prefix("c=IN IP4 "))?;
    let port = sdp.lines().find_map(|line| line.strip_prefix("m=audio "))?.split(' ').next()?;
    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
}

/// Value of a header field.
pub(crate) fn field<'a>(message: &'a str, name: &str) -> &'a str {
    let value = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_default()
}

/// What follows the header.
pub(crate) fn body(message: &str) -> String {
    message.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
