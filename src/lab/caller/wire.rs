//! What the SIP endpoint of a caller tells, given to the call it is about: events, and a record of every message.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;

use super::Config;
use crate::ids::{Entropy, LegId};
use crate::lab::ladder::{Kind, Ladder, Party};
use crate::sip::io::{Listen, Sockets, Trace, Traced};
use crate::sip::{self, Endpoint, Event, Strangers, Transport, Trunk};

/// Messages kept a call.
const KEPT: usize = 2000;
/// Calls that are over and whose last messages may still pass.
const OVER: usize = 64;

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

/// Which call a message or an event is about.
pub(super) struct Exchange {
    whole: bool,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    sinks: HashMap<LegId, Sink>,
    /// The leg of each Call-ID.
    names: HashMap<String, LegId>,
    /// Legs whose INVITE has not gone out yet, in the order they were dialled.
    dialling: VecDeque<LegId>,
    over: VecDeque<(LegId, Option<String>)>,
}

impl Exchange {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self { whole: config.keep_messages, calls: Mutex::default() })
    }

    /// The next INVITE of an unknown call is this leg's: legs are dialled one by one.
    pub(super) fn expect(&self, leg: LegId, sink: Sink) {
        let mut calls = self.calls();
        calls.sinks.insert(leg, sink);
        calls.dialling.push_back(leg);
    }

    pub(super) fn trace(self: &Arc<Self>) -> Trace {
        let exchange = self.clone();
        Arc::new(move |traced: Traced<'_>| exchange.see(traced.at, traced.sent, traced.bytes))
    }

    /// Tells a call what happened. One that has no room for it is lost; the others go on.
    pub(super) fn tell(&self, event: Event) {
        let mut calls = self.calls();
        let leg = event.leg();
        let over = matches!(event, Event::Ended { .. });
        if let Some(sink) = calls.sinks.get(&leg) {
            drop(sink.events.try_send(event));
        }
        if over {
            calls.end(leg);
        }
    }

    fn see(&self, at: Instant, sent: bool, bytes: &[u8]) {
        let Some(name) = call_id(bytes) else { return };
        let mut calls = self.calls();
        if sent && bytes.starts_with(b"INVITE ") && !calls.names.contains_key(&name) {
            let Some(leg) = calls.dialling.pop_front() else { return };
            calls.names.insert(name.clone(), leg);
        }
        if let Some(sink) = calls.names.get(&name).and_then(|leg| calls.sinks.get(leg)) {
            sink.see(at, sent, bytes, self.whole);
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    /// Forgets a call, though not at once: its last answer may stand behind the event.
    fn end(&mut self, leg: LegId) {
        self.dialling.retain(|other| *other != leg);
        let name = self.names.iter().find(|(_, named)| **named == leg).map(|(name, _)| name.clone());
        self.over.push_back((leg, name));
        while self.over.len() > OVER {
            let Some((leg, name)) = self.over.pop_front() else { return };
            self.sinks.remove(&leg);
            name.and_then(|name| self.names.remove(&name));
        }
    }
}

/// An endpoint that takes requests of anyone: whoever is called may send from elsewhere.
pub(in crate::lab) fn endpoint(config: &Config, entropy: Entropy) -> Endpoint {
    let everywhere = ["0.0.0.0/0", "::/0"].map(|net| net.parse().expect("a network"));
    let trunk = Trunk {
        name: "anyone".to_owned(),
        peers: everywhere.to_vec(),
        transports: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
        tls_names: config.tls_names.clone(),
        ..Trunk::new("")
    };
    let settings = sip::Config {
        trunks: vec![trunk],
        strangers: Strangers::Silent,
        user_agent: config.user_agent.clone(),
        t1: config.t1,
        ..sip::Config::default()
    };
    Endpoint::new(settings, entropy)
}

/// UDP and TCP on one port; on both families when bound to all addresses and the system has both.
pub(in crate::lab) fn sockets(config: &Config) -> io::Result<(Sockets, u16)> {
    let mut tries = 0;
    loop {
        let opened = free_port(config).and_then(|port| {
            let on = |ip: IpAddr| {
                let addr = SocketAddr::new(ip, port);
                let mut listen = vec![Listen { transport: Transport::Udp, addr }];
                listen.push(Listen { transport: Transport::Tcp, addr });
                // Requests of the peer come on the connection of the call; calls are made by who can listen.
                let tls = config.tls.as_ref().map(|_| SocketAddr::new(ip, 0));
                listen.extend(tls.map(|addr| Listen { transport: Transport::Tls, addr }));
                listen
            };
            let all = config.bind.is_unspecified() && config.bind.is_ipv4();
            let both = [on(config.bind), on(Ipv6Addr::UNSPECIFIED.into())].concat();
            let bind = |listen: &[Listen]| Sockets::bind_with(listen, config.tls.clone());
            let sockets = if all { bind(&both) } else { bind(&on(config.bind)) };
            Ok((sockets.or_else(|_| bind(&on(config.bind)))?, port))
        });
        match opened {
            Ok(opened) => return Ok(opened),
            Err(error) if config.port != 0 || tries == 20 => return Err(error),
            Err(_) => tries += 1,
        }
    }
}

/// A port that is free for UDP just now.
fn free_port(config: &Config) -> io::Result<u16> {
    match config.port {
        0 => Ok(std::net::UdpSocket::bind((config.bind, 0))?.local_addr()?.port()),
        port => Ok(port),
    }
}

pub(in crate::lab) fn call_id(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let named = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim_end();
        (name.eq_ignore_ascii_case("call-id") || name.eq_ignore_ascii_case("i"))
            .then(|| value.trim().to_owned())
    };
    text.lines().skip(1).take_while(|line| !line.is_empty()).find_map(named)
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
