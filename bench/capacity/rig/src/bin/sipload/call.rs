//! One call: where it is, and the messages it sends.

use std::fmt::Write as _;

use rig::field;
use rig::stamp::Scanner;

/// An INVITE without any answer is given up after this.
pub const GIVEN_UP_US: u64 = 20_000_000;
/// RFC 3261 T1.
const T1_US: u64 = 500_000;

#[derive(PartialEq, Clone, Copy, Debug)]
pub enum State {
    Idle,
    Inviting,
    Up,
    Leaving,
    Done,
    Failed,
}

/// What all calls of a run have in common.
pub struct Names {
    pub run: u64,
    pub port: u16,
    pub target: u16,
    pub user: String,
}

impl Names {
    pub fn call_id(&self, i: usize) -> String {
        format!("{}-{i}@load", self.run)
    }

    fn uri(&self) -> String {
        format!("sip:{}@127.0.0.1:{}", self.user, self.target)
    }

    /// Start line to CSeq of a request of ours.
    fn head(&self, i: usize, method: &str, uri: &str, branch: &str, to: &str, cseq: u32) -> String {
        let Self { run, port, .. } = self;
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{run}{branch}{i};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:load{i}@127.0.0.1:{port}>;tag=L{run}x{i}\r\nTo: {to}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} {method}\r\n",
            self.call_id(i)
        )
    }

    fn invite(&self, i: usize, rtp_port: u16) -> String {
        let sdp = format!(
            "v=0\r\no=- {} 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {rtp_port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n",
            self.run
        );
        let mut text = self.head(i, "INVITE", &self.uri(), "i", &format!("<{}>", self.uri()), 1);
        let _ = write!(
            text,
            "Contact: <sip:load{i}@127.0.0.1:{}>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            self.port,
            sdp.len()
        );
        text
    }

    /// The ACK to this final answer.
    pub fn ack(&self, i: usize, answer: &str, status: u32) -> String {
        let to = field::first(answer, "To").unwrap_or_default();
        let mut text = match status {
            200..300 => self.head(i, "ACK", &contact(answer).unwrap_or_else(|| self.uri()), "a", to, 1),
            _ => self.head(i, "ACK", &self.uri(), "i", to, 1),
        };
        if status < 300 {
            text.extend(routes(answer).iter().map(|route| format!("Route: {route}\r\n")));
        }
        text + "Content-Length: 0\r\n\r\n"
    }
}

fn contact(message: &str) -> Option<String> {
    let (_, after) = field::first(message, "Contact")?.split_once('<')?;
    Some(after.split_once('>')?.0.to_owned())
}

fn routes(answer: &str) -> Vec<String> {
    let mut routes: Vec<String> = field::all(answer, "Record-Route").map(str::to_owned).collect();
    routes.reverse();
    routes
}

pub struct Call {
    pub state: State,
    pub rtp: i32,
    /// Where its RTP goes; 0 before the answer.
    pub remote_port: u16,
    pub seq: u16,
    pub timestamp: u32,
    pub invite: String,
    pub bye: String,
    to: String,
    contact: String,
    routes: Vec<String>,
    pub invited_us: u64,
    pub up_us: u64,
    pub bye_us: u64,
    pub resend_us: u64,
    pub tries: u32,
    pub provisional: bool,
    pub heard: u64,
    pub heard_us: u64,
    pub heard_seq: Option<u16>,
    pub gaps: u64,
    pub scanner: Scanner,
    /// The last stamp of the bot's that was heard.
    pub stamp: Option<u32>,
    pub why: String,
}

impl Call {
    pub fn new(names: &Names, i: usize, rtp: i32, rtp_port: u16) -> Self {
        Self {
            state: State::Idle,
            rtp,
            remote_port: 0,
            seq: i as u16,
            timestamp: 0,
            invite: names.invite(i, rtp_port),
            bye: String::new(),
            to: String::new(),
            contact: names.uri(),
            routes: Vec::new(),
            invited_us: 0,
            up_us: 0,
            bye_us: 0,
            resend_us: 0,
            tries: 0,
            provisional: false,
            heard: 0,
            heard_us: 0,
            heard_seq: None,
            gaps: 0,
            scanner: Scanner::default(),
            stamp: None,
            why: String::new(),
        }
    }

    pub fn invited(&mut self, now: u64) {
        self.state = State::Inviting;
        self.invited_us = now;
        self.resend_us = now + T1_US;
    }

    pub fn answered(&mut self, now: u64, answer: &str) {
        self.state = State::Up;
        self.up_us = now;
        self.to = field::first(answer, "To").unwrap_or_default().to_owned();
        self.contact = contact(answer).unwrap_or_else(|| self.contact.clone());
        self.routes = routes(answer);
        self.remote_port = field::audio_port(answer).unwrap_or(0);
    }

    /// Hangs up; the BYE is in `bye`.
    pub fn leave(&mut self, now: u64, names: &Names, i: usize) {
        let mut text = names.head(i, "BYE", &self.contact, "b", &self.to, 2);
        text.extend(self.routes.iter().map(|route| format!("Route: {route}\r\n")));
        self.bye = text + "Content-Length: 0\r\n\r\n";
        self.state = State::Leaving;
        self.tries = 0;
        self.bye_us = now;
        self.resend_us = now + T1_US;
    }

    /// The next try, later each time.
    pub fn again(&mut self, now: u64) {
        self.tries += 1;
        self.resend_us = now + (T1_US << self.tries.min(4));
    }

    pub fn fail(&mut self, why: impl Into<String>) {
        self.state = State::Failed;
        self.why = why.into();
    }

    pub fn forget_heard(&mut self) {
        self.heard_us = 0;
        self.heard_seq = None;
        self.stamp = None;
    }
}
