//! Every transaction there is, found by key and woken by time.

mod clients;
mod servers;

use std::collections::HashMap;
use std::time::Instant;

use super::client_invite::ClientInvite;
use super::client_other::ClientOther;
use super::server_invite::ServerInvite;
use super::server_other::ServerOther;
use super::timer::Grid;
use super::{ClientKey, Deadlines, MergeKey, Octets, Send, ServerKey, Timers};
use crate::ids::LegId;
use crate::sip::hop::Way;

/// A transaction, by its place in the order of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TxId(u64);

/// What a request of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It calls the leg's far end: which of its INVITEs.
    Invite(LegId, u8),
    /// It takes that back.
    Cancel(LegId),
    /// It ends the leg.
    Bye(LegId),
    /// It ends another fork of the leg's INVITE.
    ByeFork(LegId),
    /// It changes or refreshes the session, by INVITE.
    Reinvite(LegId),
    /// The same by UPDATE.
    Update(LegId),
    /// It tells of a key.
    Info(LegId),
    /// It ends a call that is forgotten.
    ByeDead,
    /// It acknowledges a reliable 1xx of one of the leg's far ends.
    Prack(LegId, u8),
    /// It asks whether a target is there.
    Ping(u32),
}

impl Purpose {
    /// The leg it is sent for.
    pub(crate) const fn leg(self) -> Option<LegId> {
        match self {
            Self::Invite(leg, _)
            | Self::Cancel(leg)
            | Self::Bye(leg)
            | Self::ByeFork(leg)
            | Self::Prack(leg, _)
            | Self::Reinvite(leg)
            | Self::Update(leg)
            | Self::Info(leg) => Some(leg),
            Self::Ping(_) | Self::ByeDead => None,
        }
    }
}

/// What a transaction made known by itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    /// Its timer says: once more.
    Send(Way, Send),
    /// A refusal of ours was never acknowledged.
    Unacknowledged(Way),
    /// A request of ours was never answered; its transaction is gone.
    TimedOut(Purpose),
    /// A request of ours is done with; its transaction is gone.
    Done(Purpose),
}

#[derive(Debug)]
struct Server {
    machine: ServerMachine,
    way: Way,
    leg: Option<LegId>,
    /// Our tag in every answer but 100, and in the 200 to its CANCEL (§9.2).
    tag: Box<str>,
    key: ServerKey,
    merge: Option<MergeKey>,
}

#[derive(Debug)]
enum ServerMachine {
    Invite(ServerInvite),
    Other(ServerOther),
}

#[derive(Debug)]
struct Client {
    machine: ClientMachine,
    way: Way,
    purpose: Purpose,
    key: ClientKey,
    fallback: Option<Fallback>,
}

/// A request that goes by a stream because it is too big for a datagram: how it goes if nothing comes back.
#[derive(Debug)]
struct Fallback {
    at: Instant,
    way: Way,
    octets: Octets,
}

#[derive(Debug)]
enum ClientMachine {
    Invite(ClientInvite),
    Other(ClientOther),
}

/// All transactions.
#[derive(Debug)]
pub(crate) struct Transactions {
    timers: Timers,
    last: u64,
    servers: HashMap<TxId, Server>,
    clients: HashMap<TxId, Client>,
    by_request: HashMap<ServerKey, TxId>,
    by_merge: HashMap<MergeKey, TxId>,
    by_response: HashMap<ClientKey, TxId>,
    deadlines: Deadlines<TxId>,
    /// When those that only absorb copies are forgotten.
    grid: Grid,
}

impl Transactions {
    /// None yet.
    pub(crate) fn new(timers: Timers) -> Self {
        Self {
            timers,
            last: 0,
            servers: HashMap::new(),
            clients: HashMap::new(),
            by_request: HashMap::new(),
            by_merge: HashMap::new(),
            by_response: HashMap::new(),
            deadlines: Deadlines::new(),
            grid: Grid::default(),
        }
    }

    /// How many there are: server, client.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.servers.len(), self.clients.len())
    }

    /// How many of them wait for a time.
    pub(crate) fn waiting(&self) -> usize {
        self.deadlines.len()
    }

    /// When `fire` next has something.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// What is due: one thing a call, `None` when nothing more is.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<Fired> {
        loop {
            let id = self.deadlines.pop(now)?;
            let fired = if self.servers.contains_key(&id) {
                self.fire_server(now, id)
            } else {
                self.fire_client(now, id)
            };
            if fired.is_some() {
                return fired;
            }
        }
    }

    fn next(&mut self) -> TxId {
        self.last += 1;
        TxId(self.last)
    }
}
