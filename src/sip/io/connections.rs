//! All connections, TCP and TLS: who may have how many, which one a message goes by, which one goes when there are too
//! many (reliability R-28).
#![allow(clippy::disallowed_methods)] // the shell reads the clock

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::handshakes::{AT_ONCE, Handshakes, Turn};
use super::stream::{self, FromStream, Insecure, Opening, Reading};
use super::{Tls, mark};
use crate::sip::hop::{Hop, Way};
use crate::sip::{Octets, Transport};
use crate::telemetry::metrics;

/// Messages a peer may be behind.
const OUTBOX: usize = 32;
/// Hops that a connection being opened stands for.
const MAX_HOPS: usize = 64;

/// How many connections there may be, and how long they may be silent (reliability R-28).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of all peers.
    pub connections: usize,
    /// Of one address that is no trunk's.
    pub of_stranger: usize,
    /// Of one address of a trunk.
    pub of_trunk: usize,
    /// A trunk's, while no call uses it.
    pub idle: Duration,
    /// A stranger's.
    pub stranger_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            of_stranger: 64,
            of_trunk: 200,
            idle: Duration::from_secs(600),
            stranger_idle: Duration::from_secs(10),
        }
    }
}

/// What signalling knows of who connects.
#[derive(Debug, Default)]
pub(super) struct Comer {
    /// A trunk's.
    pub(super) known: bool,
    /// Names one of which its certificate has to be for; empty: any.
    pub(super) names: Vec<String>,
}

#[derive(Debug)]
struct Connection {
    hop: Hop,
    outbox: Sender<Octets>,
    /// What was sent over it was meant for these.
    hops: Vec<Hop>,
    last: Instant,
    /// A peer opened it.
    accepted: bool,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Connections {
    table: HashMap<u64, Connection>,
    by_ends: HashMap<(Transport, u16, SocketAddr), u64>,
    accepted_from: HashMap<IpAddr, usize>,
    accepted: usize,
    handshakes: Handshakes,
    /// Accepted over TLS; their handshakes wait.
    insecure: HashMap<u64, Insecure>,
    tell: Sender<FromStream>,
    limits: Limits,
    tls: Option<Tls>,
    dscp: u8,
    last_id: u64,
}

impl Connections {
    pub(super) fn new(tell: Sender<FromStream>, dscp: u8, limits: Limits, tls: Option<Tls>) -> Self {
        Self {
            table: HashMap::new(),
            by_ends: HashMap::new(),
            accepted_from: HashMap::new(),
            accepted: 0,
            handshakes: Handshakes::default(),
            insecure: HashMap::new(),
            tell,
            limits,
            tls,
            dscp,
            last_id: 0,
        }
    }

    /// New connections keep to these.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The connection's ends, while it is open.
    pub(super) fn hop(&mut self, id: u64) -> Option<Hop> {
        let connection = self.table.get_mut(&id)?;
        connection.last = Instant::now();
        Some(connection.hop)
    }

    /// Takes a connection that was accepted, within the limits.
    pub(super) fn accept(&mut self, stream: TcpStream, transport: Transport, comer: Comer) {
        let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else { return };
        let ip = remote.ip().to_canonical();
        let limit = if comer.known { self.limits.of_trunk } else { self.limits.of_stranger };
        if self.accepted_from.get(&ip).is_some_and(|count| *count >= limit) {
            return metrics::sip_dropped(transport.as_str(), "connections");
        }
        if self.accepted >= self.limits.connections {
            self.close_longest_idle();
        }
        mark(&SockRef::from(&stream), local.is_ipv4(), self.dscp);
        let hop = Hop { transport, local, remote };
        let (id, outbox) = self.insert(hop, true);
        *self.accepted_from.entry(ip).or_default() += 1;
        self.accepted += 1;
        let reading = self.reading(id, transport, comer.known, false);
        if transport == Transport::Tls {
            self.shake(ip, Insecure { stream, from: remote, reading, outbox, names: comer.names });
        } else {
            self.by_ends.insert((transport, local.port(), remote), id);
            let _ = stream.set_nodelay(true);
            tokio::spawn(stream::run(stream, reading, outbox));
        }
    }

    /// Begins a handshake, or lets it wait for its turn.
    fn shake(&mut self, source: IpAddr, insecure: Insecure) {
        let id = insecure.reading.id;
        match self.handshakes.arrive(id, source, insecure.reading.known) {
            Turn::Now => self.begin(insecure),
            Turn::Later => drop(self.insecure.insert(id, insecure)),
            Turn::InPlaceOf(other) => {
                metrics::sip_dropped(Transport::Tls.as_str(), "handshakes");
                self.forget(other);
                self.begin(insecure);
            }
        }
    }

    fn begin(&mut self, mut insecure: Insecure) {
        let Some((acceptor, asks)) = self.tls.as_ref().and_then(Tls::acceptor) else {
            self.forget(insecure.reading.id); // nothing listens for TLS without a certificate
            return;
        };
        if !asks {
            insecure.names.clear(); // they count for the connections we open
        }
        tokio::spawn(stream::secure(acceptor, insecure));
    }

    /// The handshake of this one is done: messages may go by it.
    pub(super) fn secured(&mut self, id: u64) {
        if let Some(Connection { hop, .. }) = self.table.get(&id) {
            self.by_ends.insert((hop.transport, hop.local.port(), hop.remote), id);
        }
        self.shaken(id);
    }

    /// One handshake less: the next begins.
    fn shaken(&mut self, id: u64) {
        self.insecure.remove(&id);
        let next = self.handshakes.done(id);
        if let Some(next) = next.and_then(|id| self.insecure.remove(&id)) {
            self.begin(next);
        }
    }

    /// Sends over the way's connection, or over a new one, whose certificate has to be for one of these names. False:
    /// it was not taken, `failed` says for whom.
    pub(super) fn send(&mut self, way: Way, bytes: Octets, names: impl FnOnce() -> Vec<String>) -> bool {
        let ends = |remote| (way.hop.transport, way.hop.local.port(), remote);
        let open = |remote| self.by_ends.get(&ends(remote)).copied();
        let id = match (open(way.hop.remote).or_else(|| open(way.otherwise?)), way.otherwise) {
            (Some(id), _) => id,
            (None, Some(remote)) if self.table.len() < 2 * self.limits.connections => {
                let Some(id) = self.open(Hop { remote, ..way.hop }, names) else { return false };
                id
            }
            (None, _) => return false,
        };
        let Some(connection) = self.table.get_mut(&id) else { return false };
        if !connection.hops.contains(&way.hop) && connection.hops.len() < MAX_HOPS {
            connection.hops.push(way.hop);
        }
        match connection.outbox.try_send(bytes) {
            Ok(()) => true,
            Err(_) => {
                metrics::sip_dropped(way.hop.transport.as_str(), "outbox");
                self.forget(id);
                false
            }
        }
    }

    /// Closes once what was given has gone out.
    pub(super) fn close(&mut self, hop: Hop) {
        if let Some(id) = self.by_ends.get(&(hop.transport, hop.local.port(), hop.remote)).copied() {
            self.forget(id);
        }
    }

    /// Forgets a connection; for whom things were sent over it.
    pub(super) fn forget(&mut self, id: u64) -> Vec<Hop> {
        let Some(gone) = self.table.remove(&id) else { return Vec::new() };
        let ends = (gone.hop.transport, gone.hop.local.port(), gone.hop.remote);
        if self.by_ends.get(&ends) == Some(&id) {
            self.by_ends.remove(&ends);
        }
        if gone.accepted {
            self.accepted -= 1;
            let ip = gone.hop.remote.ip().to_canonical();
            if let Some(count) = self.accepted_from.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    self.accepted_from.remove(&ip);
                }
            }
            self.shaken(id);
        }
        gone.hops
    }

    /// How full it is: connections accepted and handshakes.
    pub(super) fn measure(&self) {
        metrics::resource("sip_connections", self.accepted, self.limits.connections);
        metrics::resource("sip_handshakes", self.handshakes.running(), AT_ONCE);
    }

    /// `None`: no certificate of the far end could be believed.
    fn open(&mut self, hop: Hop, names: impl FnOnce() -> Vec<String>) -> Option<u64> {
        let tls = match hop.transport {
            Transport::Tls => Some(self.tls.as_ref()?.connector(&names())?),
            Transport::Udp | Transport::Tcp => None,
        };
        let (id, outbox) = self.insert(hop, false);
        self.by_ends.insert((hop.transport, hop.local.port(), hop.remote), id);
        let reading = self.reading(id, hop.transport, true, true);
        tokio::spawn(stream::open(Opening { to: hop.remote, dscp: self.dscp, tls }, reading, outbox));
        Some(id)
    }

    fn insert(&mut self, hop: Hop, accepted: bool) -> (u64, Receiver<Octets>) {
        let (sender, outbox) = mpsc::channel(OUTBOX);
        self.last_id += 1;
        let connection = Connection { hop, outbox: sender, hops: Vec::new(), last: Instant::now(), accepted };
        self.table.insert(self.last_id, connection);
        (self.last_id, outbox)
    }

    fn reading(&self, id: u64, transport: Transport, known: bool, ours: bool) -> Reading {
        let idle = if known { self.limits.idle } else { self.limits.stranger_idle };
        Reading { id, transport, known, ours, begun: Instant::now(), idle, tell: self.tell.clone() }
    }

    /// Of the source with the most connections, the one that was used longest ago.
    fn close_longest_idle(&mut self) {
        let most = self.accepted_from.iter().max_by_key(|(_, count)| **count).map(|(ip, _)| *ip);
        let theirs = self.table.iter().filter(|(_, connection)| {
            connection.accepted && Some(connection.hop.remote.ip().to_canonical()) == most
        });
        let found = theirs.min_by_key(|(_, connection)| connection.last);
        if let Some((id, transport)) = found.map(|(id, connection)| (*id, connection.hop.transport)) {
            metrics::sip_dropped(transport.as_str(), "connections");
            self.forget(id);
        }
    }
}
