//! Transactions of the peer's requests.

use std::time::Instant;

use super::{Fired, Server, ServerMachine, Transactions, TxId};
use crate::ids::LegId;
use crate::sip::hop::Way;
use crate::sip::transaction::server_invite::{self, ServerInvite};
use crate::sip::transaction::server_other::{self, ServerOther};
use crate::sip::transaction::{Class, MergeKey, Octets, Send, ServerKey};

impl Transactions {
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
        use {server_invite::State as InviteState, server_other::State as OtherState};
        let (ended, absorbs, deadline) = match &server.machine {
            ServerMachine::Invite(tx) => {
                let absorbs = matches!(tx.state(), InviteState::Accepted | InviteState::Confirmed);
                (tx.state() == InviteState::Terminated, absorbs, tx.poll_timeout())
            }
            ServerMachine::Other(tx) => {
                (tx.state() == OtherState::Terminated, tx.state() == OtherState::Completed, tx.poll_timeout())
            }
        };
        if !ended {
            let deadline = if absorbs { deadline.map(|at| self.grid.from(at)) } else { deadline };
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

    pub(super) fn fire_server(&mut self, now: Instant, id: TxId) -> Option<Fired> {
        let server = self.servers.get_mut(&id)?;
        let fired = match &mut server.machine {
            ServerMachine::Invite(tx) => match tx.handle(now, server_invite::Input::Timeout) {
                Some(server_invite::Output::Send(send)) => Some(Fired::Send(server.way, send)),
                Some(server_invite::Output::Unacknowledged) => Some(Fired::Unacknowledged(server.way)),
                Some(server_invite::Output::DialogAck) | None => None,
            },
            ServerMachine::Other(tx) => {
                tx.handle(now, server_other::Input::Timeout).map(|send| Fired::Send(server.way, send))
            }
        };
        self.settle_server(id);
        fired
    }
}

fn invite_send(output: Option<server_invite::Output>) -> Option<Send> {
    match output? {
        server_invite::Output::Send(send) => Some(send),
        server_invite::Output::Unacknowledged | server_invite::Output::DialogAck => None,
    }
}
