//! Every transaction there is, found by key and woken by time.

use std::collections::HashMap;
use std::time::Instant;

use super::client_invite::{self, ClientInvite};
use super::client_other::{self, ClientOther};
use super::server_invite::{self, ServerInvite};
use super::server_other::{self, ServerOther};
use super::{Class, ClientKey, Deadlines, MergeKey, Octets, Send, ServerKey, Timers};
use crate::ids::LegId;
use crate::sip::hop::{Hop, Way};

/// A transaction, by its place in the order of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TxId(u64);

/// What a request of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It calls the leg's far end.
    Invite(LegId),
    /// It takes that back.
    Cancel(LegId),
    /// It ends the leg.
    Bye(LegId),
    /// It ends another fork of the leg's INVITE.
    ByeFork(LegId),
}

impl Purpose {
    /// The leg it is sent for.
    pub(crate) const fn leg(self) -> LegId {
        match self {
            Self::Invite(leg) | Self::Cancel(leg) | Self::Bye(leg) | Self::ByeFork(leg) => leg,
        }
    }
}

/// What a transaction made known by itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    /// Its timer says: once more.
    Send(Way, Send),
    /// A refusal of ours was never acknowledged.
    Unacknowledged,
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

    // ---- of the peer's requests ----

    /// Begins the transaction of a request; `invite` chooses the figure, answers go by `way`.
    pub(crate) fn serve(
        &mut self,
        key: ServerKey,
        merge: Option<MergeKey>,
        invite: bool,
        way: Way,
        tag: &str,
    ) -> TxId {
        let id = self.next();
        let stream = way.hop.transport.is_stream();
        let machine = if invite {
            ServerMachine::Invite(ServerInvite::new(self.timers, stream))
        } else {
            ServerMachine::Other(ServerOther::new(self.timers, stream))
        };
        self.by_request.insert(key.clone(), id);
        if let Some(merge) = &merge {
            self.by_merge.insert(merge.clone(), id);
        }
        self.servers.insert(id, Server { machine, way, leg: None, tag: tag.into(), key, merge });
        id
    }

    /// The transaction a request belongs to.
    pub(crate) fn serving(&self, key: &ServerKey) -> Option<TxId> {
        self.by_request.get(key).copied()
    }

    /// The transaction of an equal request that came by another branch.
    pub(crate) fn merged(&self, key: &MergeKey) -> Option<TxId> {
        self.by_merge.get(key).copied()
    }

    /// The transaction is about this leg.
    pub(crate) fn bind(&mut self, id: TxId, leg: LegId) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.leg = Some(leg);
        }
    }

    /// The leg a request of the peer is about.
    pub(crate) fn leg(&self, id: TxId) -> Option<LegId> {
        self.servers.get(&id)?.leg
    }

    /// Our tag in its answers.
    pub(crate) fn tag(&self, id: TxId) -> Option<&str> {
        self.servers.get(&id).map(|server| &*server.tag)
    }

    /// Where its answers go.
    pub(crate) fn way(&self, id: TxId) -> Option<Way> {
        self.servers.get(&id).map(|server| server.way)
    }

    /// Whether the INVITE still waits for a final answer.
    pub(crate) fn is_proceeding(&self, id: TxId) -> bool {
        match self.servers.get(&id).map(|server| &server.machine) {
            Some(ServerMachine::Invite(invite)) => invite.state() == server_invite::State::Proceeding,
            Some(ServerMachine::Other(_)) | None => false,
        }
    }

    /// Answers; nothing comes of it when the transaction is gone or answered.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        id: TxId,
        status: u16,
        response: Octets,
    ) -> Option<(Way, Send)> {
        let class = Class::of(status);
        self.server(now, id, |machine, now| match machine {
            ServerMachine::Invite(tx) => {
                invite_send(tx.handle(now, server_invite::Input::Respond(class, response)))
            }
            ServerMachine::Other(tx) => tx.handle(now, server_other::Input::Respond(class, response)),
        })
    }

    /// The request came again.
    pub(crate) fn repeat(&mut self, now: Instant, id: TxId) -> Option<(Way, Send)> {
        self.server(now, id, |machine, now| match machine {
            ServerMachine::Invite(tx) => invite_send(tx.handle(now, server_invite::Input::Invite)),
            ServerMachine::Other(tx) => tx.handle(now, server_other::Input::Request),
        })
    }

    /// An ACK with the branch of an INVITE came; true when it is the dialog's.
    pub(crate) fn acknowledge(&mut self, now: Instant, id: TxId) -> bool {
        let Some(Server { machine: ServerMachine::Invite(tx), .. }) = self.servers.get_mut(&id) else {
            return false;
        };
        let dialog = tx.handle(now, server_invite::Input::Ack) == Some(server_invite::Output::DialogAck);
        self.settle_server(id);
        dialog
    }

    fn server(
        &mut self,
        now: Instant,
        id: TxId,
        act: impl FnOnce(&mut ServerMachine, Instant) -> Option<Send>,
    ) -> Option<(Way, Send)> {
        let server = self.servers.get_mut(&id)?;
        let send = act(&mut server.machine, now).map(|send| (server.way, send));
        self.settle_server(id);
        send
    }

    /// Puts the deadline right, or forgets what has ended.
    fn settle_server(&mut self, id: TxId) {
        let Some(server) = self.servers.get(&id) else { return };
        let (ended, deadline) = match &server.machine {
            ServerMachine::Invite(tx) => (tx.state() == server_invite::State::Terminated, tx.poll_timeout()),
            ServerMachine::Other(tx) => (tx.state() == server_other::State::Terminated, tx.poll_timeout()),
        };
        if !ended {
            return self.deadlines.arm(id, deadline);
        }
        self.deadlines.arm(id, None);
        if let Some(server) = self.servers.remove(&id) {
            self.by_request.remove(&server.key);
            if let Some(merge) = &server.merge
                && self.by_merge.get(merge) == Some(&id)
            {
                self.by_merge.remove(merge);
            }
        }
    }

    // ---- of our requests ----

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
        let stream = way.hop.transport.is_stream();
        let machine = match purpose {
            Purpose::Invite(_) => ClientMachine::Invite(ClientInvite::new(now, self.timers, stream, request)),
            Purpose::Cancel(_) | Purpose::Bye(_) | Purpose::ByeFork(_) => {
                ClientMachine::Other(ClientOther::new(now, self.timers, stream, request))
            }
        };
        self.by_response.insert(key.clone(), id);
        self.clients.insert(id, Client { machine, way, purpose, key });
        self.settle_client(id);
        id
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

    /// The requests of ours that went over this hop and have no final answer.
    pub(crate) fn over(&self, hop: Hop) -> Vec<(TxId, Purpose)> {
        let on_it = self.clients.iter().filter(|(_, client)| client.way.hop == hop && !client.is_settled());
        let mut found: Vec<_> = on_it.map(|(id, client)| (*id, client.purpose)).collect();
        found.sort_by_key(|(id, _)| *id);
        found
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
            self.deadlines.arm(id, deadline);
        }
    }

    // ---- of both ----

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

    fn fire_server(&mut self, now: Instant, id: TxId) -> Option<Fired> {
        let server = self.servers.get_mut(&id)?;
        let fired = match &mut server.machine {
            ServerMachine::Invite(tx) => match tx.handle(now, server_invite::Input::Timeout) {
                Some(server_invite::Output::Send(send)) => Some(Fired::Send(server.way, send)),
                Some(server_invite::Output::Unacknowledged) => Some(Fired::Unacknowledged),
                Some(server_invite::Output::DialogAck) | None => None,
            },
            ServerMachine::Other(tx) => {
                tx.handle(now, server_other::Input::Timeout).map(|send| Fired::Send(server.way, send))
            }
        };
        self.settle_server(id);
        fired
    }

    fn fire_client(&mut self, now: Instant, id: TxId) -> Option<Fired> {
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

    fn next(&mut self) -> TxId {
        self.last += 1;
        TxId(self.last)
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

fn invite_send(output: Option<server_invite::Output>) -> Option<Send> {
    match output? {
        server_invite::Output::Send(send) => Some(send),
        server_invite::Output::Unacknowledged | server_invite::Output::DialogAck => None,
    }
}
