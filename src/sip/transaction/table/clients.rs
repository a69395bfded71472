//! Transactions of our requests.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Client, ClientMachine, Fallback, Fired, Purpose, Transactions, TxId};
use crate::sip::Transport;
use crate::sip::hop::{Hop, Way};
use crate::sip::transaction::client_invite::{self, ClientInvite};
use crate::sip::transaction::client_other::{self, ClientOther};
use crate::sip::transaction::timer::earliest;
use crate::sip::transaction::{Class, ClientKey, Octets, Send};

impl Transactions {
    /// Begins the transaction of a request that goes out now.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        key: ClientKey,
        purpose: Purpose,
        way: Way,
        request: Octets,
    ) -> TxId {
        let id = self.next();
        let machine = self.machine(now, purpose, way, request);
        self.by_response.insert(key.clone(), id);
        self.clients.insert(id, Client { machine, way, purpose, key, fallback: None });
        self.settle_client(id);
        id
    }

    fn machine(&self, now: Instant, purpose: Purpose, way: Way, request: Octets) -> ClientMachine {
        let stream = way.hop.transport.is_stream();
        match purpose {
            Purpose::Invite(..) | Purpose::Reinvite(_) => {
                ClientMachine::Invite(ClientInvite::new(now, self.timers, stream, request))
            }
            Purpose::Cancel(_)
            | Purpose::Bye(_)
            | Purpose::ByeFork(_)
            | Purpose::Prack(..)
            | Purpose::ByeDead
            | Purpose::Update(_)
            | Purpose::Info(_)
            | Purpose::Ping(_) => ClientMachine::Other(ClientOther::new(now, self.timers, stream, request)),
        }
    }

    /// Should nothing have come back at `at`, or its connection fail before, the request goes this way.
    pub(crate) fn fall_back(&mut self, at: Instant, id: TxId, way: Way, octets: Octets) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.fallback = Some(Fallback { at, way, octets });
        }
        self.rearm_client(id);
    }

    /// The request goes the other way now; nothing when it has none, or something came back.
    pub(crate) fn by_udp(&mut self, now: Instant, id: TxId) -> Option<(Way, Send)> {
        let client = self.clients.get_mut(&id)?;
        let (Fallback { way, octets, .. }, purpose) = (client.fallback.take()?, client.purpose);
        let machine = self.machine(now, purpose, way, octets.clone());
        let client = self.clients.get_mut(&id)?;
        (client.machine, client.way) = (machine, way);
        self.rearm_client(id);
        Some((way, Send::First(octets)))
    }

    /// Which way a request of ours went.
    pub(crate) fn way_of(&self, id: TxId) -> Option<Way> {
        self.clients.get(&id).map(|client| client.way)
    }

    /// The request of ours that a response answers.
    pub(crate) fn answered_by(&self, key: &ClientKey) -> Option<(TxId, Purpose)> {
        let id = *self.by_response.get(key)?;
        Some((id, self.clients.get(&id)?.purpose))
    }

    /// A response came. What it makes go out again, and whether it is news.
    pub(crate) fn response(&mut self, now: Instant, id: TxId, status: u16) -> (Option<(Way, Send)>, bool) {
        let class = Class::of(status);
        let Some(client) = self.clients.get_mut(&id) else { return (None, false) };
        let way = client.way;
        client.fallback = None;
        let outcome = match &mut client.machine {
            ClientMachine::Invite(tx) => match tx.handle(now, client_invite::Input::Response(class)) {
                Some(client_invite::Output::Send(send)) => (Some((way, send)), false),
                Some(client_invite::Output::Tell) => (None, true),
                Some(client_invite::Output::TimedOut) | None => (None, false),
            },
            ClientMachine::Other(tx) => (
                None,
                tx.handle(now, client_other::Input::Response(class)) == Some(client_other::Output::Tell),
            ),
        };
        self.rearm_client(id);
        outcome
    }

    /// The ACK of a refusal that was told just now.
    pub(crate) fn ack_refusal(&mut self, now: Instant, id: TxId, ack: Octets) -> Option<(Way, Send)> {
        let client = self.clients.get_mut(&id)?;
        let ClientMachine::Invite(tx) = &mut client.machine else { return None };
        match tx.handle(now, client_invite::Input::Ack(ack)) {
            Some(client_invite::Output::Send(send)) => Some((client.way, send)),
            _ => None,
        }
    }

    /// Ends a request of ours that nothing is awaited for any more.
    pub(crate) fn abandon(&mut self, id: TxId) {
        self.deadlines.arm(id, None);
        if let Some(client) = self.clients.remove(&id) {
            self.by_response.remove(&client.key);
        }
    }

    /// An INVITE of ours that nobody waits for any more goes out no more; what comes back to it is still told.
    pub(crate) fn hush(&mut self, id: TxId) {
        if let Some(Client { machine: ClientMachine::Invite(tx), .. }) = self.clients.get_mut(&id) {
            tx.hush();
        }
        self.rearm_client(id);
    }

    /// The requests of ours that went over this hop and have no final answer.
    pub(crate) fn over(&self, hop: Hop) -> Vec<(TxId, Purpose)> {
        let on_it = self.clients.iter().filter(|(_, client)| client.way.hop == hop && !client.is_settled());
        let mut found: Vec<_> = on_it.map(|(id, client)| (*id, client.purpose)).collect();
        found.sort_by_key(|(id, _)| *id);
        found
    }

    /// The requests of ours that went there as datagrams and have no final answer.
    pub(crate) fn unanswered_at(&self, place: SocketAddr) -> Vec<Purpose> {
        let there = |way: Way| way.hop.transport == Transport::Udp && way.hop.remote == place;
        let open = self.clients.iter().filter(|(_, client)| there(client.way) && !client.is_settled());
        let mut found: Vec<_> = open.map(|(id, client)| (*id, client.purpose)).collect();
        found.sort_by_key(|(id, _)| *id);
        found.into_iter().map(|(_, purpose)| purpose).collect()
    }

    /// Whether the transaction of a request of ours has ended; forgets it if so.
    pub(crate) fn settle_client(&mut self, id: TxId) -> bool {
        let Some(client) = self.clients.get(&id) else { return true };
        if !client.has_ended() {
            self.rearm_client(id);
            return false;
        }
        self.abandon(id);
        true
    }

    fn rearm_client(&mut self, id: TxId) {
        if let Some(client) = self.clients.get(&id) {
            let deadline = match &client.machine {
                ClientMachine::Invite(tx) => tx.poll_timeout(),
                ClientMachine::Other(tx) => tx.poll_timeout(),
            };
            let fallback = client.fallback.as_ref().map(|fallback| fallback.at);
            self.deadlines.arm(id, earliest([deadline, fallback]));
        }
    }

    pub(super) fn fire_client(&mut self, now: Instant, id: TxId) -> Option<Fired> {
        if self.clients.get(&id)?.fallback.as_ref().is_some_and(|fallback| fallback.at <= now) {
            return self.by_udp(now, id).map(|(way, send)| Fired::Send(way, send));
        }
        let client = self.clients.get_mut(&id)?;
        let (way, purpose) = (client.way, client.purpose);
        let fired = match &mut client.machine {
            ClientMachine::Invite(tx) => match tx.handle(now, client_invite::Input::Timeout) {
                Some(client_invite::Output::Send(send)) => Some(Fired::Send(way, send)),
                Some(client_invite::Output::TimedOut) => Some(Fired::TimedOut(purpose)),
                Some(client_invite::Output::Tell) | None => None,
            },
            ClientMachine::Other(tx) => match tx.handle(now, client_other::Input::Timeout) {
                Some(client_other::Output::Send(send)) => Some(Fired::Send(way, send)),
                Some(client_other::Output::TimedOut) => Some(Fired::TimedOut(purpose)),
                Some(client_other::Output::Tell) | None => None,
            },
        };
        match (self.settle_client(id), fired) {
            (true, None) => Some(Fired::Done(purpose)),
            (_, fired) => fired,
        }
    }
}

impl Client {
    fn has_ended(&self) -> bool {
        match &self.machine {
            ClientMachine::Invite(tx) => tx.state() == client_invite::State::Terminated,
            ClientMachine::Other(tx) => tx.state() == client_other::State::Terminated,
        }
    }

    /// A final answer is in.
    fn is_settled(&self) -> bool {
        match &self.machine {
            ClientMachine::Invite(tx) => {
                !matches!(tx.state(), client_invite::State::Calling | client_invite::State::Proceeding)
            }
            ClientMachine::Other(tx) => {
                !matches!(tx.state(), client_other::State::Trying | client_other::State::Proceeding)
            }
        }
    }
}
