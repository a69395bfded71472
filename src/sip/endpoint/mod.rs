//! The endpoint: messages in, commands in, time in; messages and events out.
//!
//! ```text
//!              ┌ receive ── strangers, malformed, copies ─┐
//!  Datagram ──►│   ├─ outside ── checks 4..9 ─► new leg ──┤
//!  Framed ────►│   ├─ inside ─── BYE, re-INVITE, INFO … ──┼──► Output::Event
//!              │   └─ responses ─ of our INVITE, BYE ─────┤
//!  Command ───►│ commands, dial, leave ───────────────────┼──► Output::Transmit
//!  Resolved ──►│ targets ─► dial, keepalive ──────────────┼──► Output::Resolve
//!  Timeout ───►│ transactions, legs ──────────────────────┘
//! ```
//!
//! One input, then drain the outputs, then the next input. No socket and no clock is read here.

mod access;
mod admission;
mod attempts;
mod authored;
mod commands;
mod dial;
mod early;
mod info;
mod inside;
mod keepalive;
mod leave;
mod leg;
mod modified;
mod modify;
mod outcry;
mod outside;
mod oversize;
mod receive;
mod reload;
mod responses;
mod retries;
mod ringing;
mod targets;
#[cfg(test)]
mod tests;
mod update;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::auth::Door;
use super::dialog::DialogKey;
use super::hop::{self, Hop, Way};
use super::message::Framed;
use super::target::{Found, Question};
use super::transaction::table::{Fired, Transactions};
use super::transaction::{Deadlines, Octets, Send, Timers};
use super::{Command, Config, Event, Gate, Transport, Trunk};
use crate::ids::{Entropy, LegId, TrunkId};
use crate::telemetry::metrics;
use access::Access;
pub use keepalive::TargetState;
use leg::Leg;
use outcry::Outcry;
use targets::Targets;

/// What happens to an endpoint.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram came.
    Datagram {
        /// Our address it came to; never unspecified.
        local: SocketAddr,
        /// Its source.
        remote: SocketAddr,
        /// One message.
        bytes: &'a [u8],
    },
    /// The same of one that lay unread for a while: an INVITE for which that was too long is dropped unanswered
    /// (reliability R-105).
    Waited {
        /// Our address it came to; never unspecified.
        local: SocketAddr,
        /// Its source.
        remote: SocketAddr,
        /// One message.
        bytes: &'a [u8],
        /// How long it lay there.
        waited: Duration,
    },
    /// Something whole came out of a stream.
    Framed {
        /// The connection; `local` is the listener's port.
        hop: Hop,
        /// What came.
        framed: Framed,
    },
    /// A connection to there could not be opened, or did not take what was given to it.
    Failed(Hop),
    /// ICMP said that no datagram gets there. Anybody can forge that: it makes us look elsewhere, and ends nothing.
    Unreachable(SocketAddr),
    /// A call wants something.
    Command {
        /// What.
        command: Command,
        /// For `Dial`: our address that faces its target, with the listener's port. Absent: nothing of ours
        /// listens on that transport, and the leg ends as lost.
        local: Option<SocketAddr>,
    },
    /// The answer to an `Output::Resolve`. Each has exactly one, at once or later.
    Resolved {
        /// What was asked.
        question: Question,
        /// What was found.
        found: Found,
    },
    /// The time that `poll_timeout` named has come; the first of all inputs, so that pings begin.
    Timeout,
}

/// What an endpoint wants done.
#[derive(Debug)]
pub enum Output {
    /// Send these octets.
    Transmit {
        /// Where.
        way: Way,
        /// One message.
        bytes: Octets,
    },
    /// Look for that host and give the answer back as `Input::Resolved`: by SRV when there is no port, for the
    /// transports in their order, then by A and AAAA (RFC 3263 §4); an address is its own answer. Each place comes
    /// with our address that faces it.
    Resolve(Question),
    /// Close this connection, once what was given to it has gone out.
    Close(Hop),
    /// Tell the call.
    Event(Event),
}

/// How full the tables are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Server and client transactions.
    pub transactions: usize,
    /// Dialogs, early ones included.
    pub dialogs: usize,
    /// Legs; one that has ended stays while a request of ours for it is unanswered.
    pub legs: usize,
    /// Things that wait for a time.
    pub timers: usize,
}

/// Everything signalling knows and decides.
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    trunks: Vec<Arc<Trunk>>,
    /// As they were before a reload, while calls that began with them are up.
    retired: Vec<Arc<Trunk>>,
    timers: Timers,
    entropy: Entropy,
    /// Makes tags of answers without state.
    salt: u64,
    gate: Gate,
    listeners: Vec<(Transport, SocketAddr)>,
    access: Access,
    outcry: Outcry,
    door: Door,
    targets: Targets,
    /// When something last happened.
    seen: Option<Instant>,
    transactions: Transactions,
    legs: HashMap<LegId, Box<Leg>>,
    dialogs: HashMap<DialogKey, LegId>,
    deadlines: Deadlines<LegId>,
    last_leg: u64,
    outputs: VecDeque<Output>,
}

impl Endpoint {
    /// An endpoint without calls.
    pub fn new(mut config: Config, mut entropy: Entropy) -> Self {
        let trunks = shared(std::mem::take(&mut config.trunks));
        let timers = Timers::new(config.t1);
        let mut targets = Targets::default();
        targets.set_trunks(&trunks, None);
        Self {
            trunks,
            retired: Vec::new(),
            targets,
            door: Door::new(&mut entropy),
            seen: None,
            timers,
            salt: entropy.u64(),
            entropy,
            gate: Gate::Open,
            listeners: Vec::new(),
            access: Access::new(&config),
            outcry: Outcry::default(),
            transactions: Transactions::new(timers),
            legs: HashMap::new(),
            dialogs: HashMap::new(),
            deadlines: Deadlines::new(),
            last_leg: 0,
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Peers may reach us there; an unspecified address stands for each of ours.
    pub fn listens_on(&mut self, transport: Transport, local: SocketAddr) {
        self.listeners.push((transport, local));
    }

    /// One thing happened at `now`. Drain `poll_output` before the next.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        if self.seen.replace(now).is_none() {
            self.targets.pings.begin(now, &mut self.entropy);
        }
        match input {
            Input::Datagram { local, remote, bytes } => {
                let hop = Hop { transport: Transport::Udp, local, remote };
                self.datagram(now, canonical(hop), bytes, Duration::ZERO);
            }
            Input::Waited { local, remote, bytes, waited } => {
                let hop = Hop { transport: Transport::Udp, local, remote };
                self.datagram(now, canonical(hop), bytes, waited);
            }
            Input::Framed { hop, framed } => self.framed(now, canonical(hop), framed),
            Input::Failed(hop) => self.failed(now, canonical(hop)),
            Input::Unreachable(place) => self.unreachable(now, hop::canonical(place)),
            Input::Command { command, local } => self.command(now, command, local),
            Input::Resolved { question, found } => self.resolved(now, &question, &found),
            Input::Timeout => self.timeout(now),
        }
    }

    /// What is to be done, in order; nothing when all is done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `Input::Timeout` is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let pings = self.targets.pings.poll_timeout();
        [self.transactions.poll_timeout(), self.deadlines.next(), pings].into_iter().flatten().min()
    }

    /// How full the tables are.
    pub fn load(&self) -> Load {
        let (servers, clients) = self.transactions.len();
        Load {
            transactions: servers + clients,
            dialogs: self.dialogs.len(),
            legs: self.legs.len(),
            timers: self.deadlines.len() + self.transactions.waiting(),
        }
    }

    /// Server transactions there may be for requests outside a dialog (reliability R-30).
    pub fn transactions_limit(&self) -> usize {
        self.config.max_transactions
    }

    /// Whether that address is a trunk's, be it to call or to be called.
    pub fn knows(&self, transport: Transport, source: SocketAddr) -> bool {
        let ip = source.ip().to_canonical();
        access::trunk_of(&self.trunks, transport, ip).is_some()
            || self.targets.are_at(ip)
            || self.is_retired(transport, ip)
    }

    /// Names one of which the certificate of whoever connects from there has to be for (`tls_names` of its trunk);
    /// empty: any will do.
    pub fn client_names(&self, transport: Transport, source: SocketAddr) -> Vec<String> {
        let trunk = access::trunk_of(&self.trunks, transport, source.ip());
        trunk.and_then(|id| self.trunk(id)).map(|trunk| trunk.tls_names.clone()).unwrap_or_default()
    }

    /// Names one of which the certificate of a server there has to be for, the one to ask it for first: the names of
    /// the targets of trunks it belongs to, their `tls_names`, its address.
    pub fn server_names(&self, server: SocketAddr) -> Vec<String> {
        let ip = server.ip().to_canonical();
        let of = self.trunks.iter().filter(|trunk| self.targets.is_of(trunk, ip));
        let mut names: Vec<String> = of
            .flat_map(|trunk| {
                let targets = trunk.targets.iter().filter(|target| target.ip().is_none());
                targets.map(|target| target.host.clone()).chain(trunk.tls_names.iter().cloned())
            })
            .collect();
        names.push(ip.to_string());
        names.dedup();
        names
    }

    /// Whether a call that is up uses this connection. Looks at every leg: for the rare idle connection.
    pub fn uses(&self, hop: Hop) -> bool {
        let hop = canonical(hop);
        self.legs.values().any(|leg| leg.dialog.hop == hop)
    }

    fn timeout(&mut self, now: Instant) {
        while let Some(fired) = self.transactions.fire(now) {
            match fired {
                Fired::Send(way, send) => self.transmit(way, send),
                Fired::Unacknowledged(way) => self.drop_message(now, way.hop, "no_ack"),
                Fired::TimedOut(purpose) => self.request_timed_out(now, purpose),
                Fired::Done(purpose) => self.request_done(now, purpose),
            }
        }
        while let Some(leg) = self.deadlines.pop(now) {
            self.leg_due(now, leg);
        }
        self.pings_due(now);
    }

    // ---- what every part uses ----

    fn trunk(&self, id: TrunkId) -> Option<&Arc<Trunk>> {
        self.trunks.get(usize::from(id.0))
    }

    /// Puts a message on the wire; nothing is ever sent to nobody or to everybody (R-16).
    fn transmit(&mut self, way: Way, send: Send) {
        let transport = way.hop.transport.as_str();
        if !hop::may_be_sent_to(way.hop.remote) {
            return metrics::sip_dropped(transport, "destination");
        }
        let bytes = match send {
            Send::First(bytes) => {
                authored::count_out(transport, &bytes);
                bytes
            }
            Send::Again(bytes) => {
                metrics::sip_retransmission(transport);
                bytes
            }
        };
        self.outputs.push_back(Output::Transmit { way, bytes });
    }

    fn transmit_if(&mut self, sent: Option<(Way, Send)>) {
        if let Some((way, send)) = sent {
            self.transmit(way, send);
        }
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn drop_message(&mut self, now: Instant, hop: Hop, cause: &'static str) {
        metrics::sip_dropped(hop.transport.as_str(), cause);
        self.outcry.refusal(now, cause, hop, None);
    }
}

fn shared(trunks: Vec<Trunk>) -> Vec<Arc<Trunk>> {
    trunks.into_iter().map(Arc::new).collect()
}

fn canonical(hop: Hop) -> Hop {
    Hop { transport: hop.transport, local: hop::canonical(hop.local), remote: hop::canonical(hop.remote) }
}
