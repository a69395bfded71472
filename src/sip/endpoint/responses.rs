//! What comes back to our requests (RFC 3261 §13.2.2, §17.1.1.3).

use std::time::Instant;

use super::attempts::OwedAck;
use super::inside::body_of;
use super::leg::{Leg, MAX_STRAYS, Stage};
use super::{Endpoint, Hop, Octets, Send};
use crate::ids::LegId;
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::message::{Message, Method, Request};
use crate::sip::transaction::table::{Purpose, TxId};
use crate::sip::transaction::{Class, ClientKey};
use crate::sip::{Body, Ended, Event};

/// Reason of the BYE to who answers a call that is no more.
const DEAD: &str = "SIP;cause=487;text=\"no such call\"";

impl Endpoint {
    pub(super) fn response(&mut self, now: Instant, hop: Hop, status: u16, response: &Message) {
        let branch = response.via().branch().unwrap_or_default().into();
        let key = ClientKey { branch, method: response.method().label() };
        let known = self.transactions.answered_by(&key).filter(|_| response.via_count() == 1);
        let Some((tx, purpose)) = known else {
            return self.late_response(now, hop, status, response);
        };
        let (again, news) = self.transactions.response(now, tx, status);
        self.transmit_if(again);
        match purpose.leg().filter(|_| news) {
            Some(id) => {
                self.with_leg(id, |endpoint, id, leg| {
                    endpoint.response_of_leg(now, hop, id, leg, (tx, purpose), status, response);
                });
            }
            None => {
                if let Purpose::Ping(number) = purpose {
                    self.pinged(now, number, tx, status, response);
                }
            }
        }
        if self.transactions.settle_client(tx) {
            self.request_done(now, purpose);
        }
    }

    #[allow(clippy::too_many_arguments)] // all of it is one response
    fn response_of_leg(
        &mut self,
        now: Instant,
        hop: Hop,
        id: LegId,
        leg: &mut Leg,
        (tx, purpose): (TxId, Purpose),
        status: u16,
        response: &Message,
    ) {
        match (purpose, Class::of(status)) {
            (Purpose::Invite(_, number), Class::Provisional) => {
                self.rings(now, hop, id, leg, number, status, response);
            }
            (Purpose::Invite(_, number), Class::Success) => {
                self.answered(now, hop, id, leg, number, response);
            }
            (Purpose::Invite(_, number), Class::Failure) => {
                self.refused(now, id, leg, (tx, number), status, response);
            }
            (Purpose::Bye(_), Class::Success) => self.end(now, id, leg, Ended::ByUs),
            (Purpose::Bye(_), Class::Failure) => self.bye_refused(now, id, leg, response),
            (Purpose::Prack(_, number), Class::Failure) => self.prack_refused(now, id, leg, number, response),
            (Purpose::Reinvite(_) | Purpose::Update(_), _) => {
                self.change_answered(now, id, leg, tx, status, response);
            }
            (Purpose::Info(_), Class::Failure) if matches!(status, 401 | 407) => {
                self.info_refused(now, id, leg, response);
            }
            (Purpose::Info(_), _) => self.told(now, id, leg, status),
            (Purpose::Bye(_) | Purpose::Prack(..), _)
            | (Purpose::Cancel(_) | Purpose::ByeFork(_) | Purpose::ByeDead | Purpose::Ping(_), _) => {}
        }
    }

    /// A 2xx whose transaction is gone, but whose dialog is up, still wants its ACK.
    fn late_response(&mut self, now: Instant, hop: Hop, status: u16, response: &Message) {
        let invite = *response.method() == Method::Invite && Class::of(status) == Class::Success;
        let key = DialogKey::new(response.call_id_octets(), response.from().tag().unwrap_or_default());
        let leg = self.dialogs.get(&key).copied().filter(|_| invite);
        let again = leg.and_then(|leg| self.legs.get(&leg)?.ack_for(response));
        match again {
            Some((way, ack)) => self.transmit(way, Send::Again(ack)),
            None if invite && leg.is_none() && self.dismiss(now, hop, response) => {}
            None => self.drop_message(now, hop, "unmatched_response"),
        }
    }

    /// ACK and BYE to a 2xx of a call that is dead and forgotten (sip-trunk.md section 15): a trunk's peer would keep
    /// it up for nobody. Copies get the same two. False: it is nobody's we know.
    fn dismiss(&mut self, now: Instant, hop: Hop, response: &Message) -> bool {
        let trunk =
            self.trunk_of(hop).or_else(|| self.called_trunk(hop)).and_then(|id| self.trunk(id)).cloned();
        let ours = self.is_sealed(response.via().branch().unwrap_or_default()) && !self.is_full();
        let (Some(trunk), Some(tag)) = (trunk.filter(|_| ours), response.from().tag()) else {
            return false;
        };
        let from = response.raw("From").next().unwrap_or_default().into_owned();
        let from = String::from_utf8_lossy(&from).into_owned();
        let half = Dialog::of_dial(response.call_id_octets(), &from, tag, response.to().uri.clone(), hop);
        let mut dialog = half.answered(response, hop);
        let (ack, way, _) = self.numbered(&dialog, &trunk, Method::Ack, response.cseq());
        self.transmit(way, Send::First(ack.octets().into()));
        let (bye, way, _) = self.request(&mut dialog, &trunk, Method::Bye);
        let branch = self.stateless_branch(response);
        let key = ClientKey { branch: branch.as_str().into(), method: Method::Bye.label() };
        if self.transactions.answered_by(&key).is_none() {
            let bye: Octets = bye.branch(&branch).header("Reason", DEAD).octets().into();
            self.transactions.send(now, key, Purpose::ByeDead, way, bye.clone());
            self.transmit(way, Send::First(bye));
        }
        true
    }

    #[allow(clippy::too_many_arguments)] // all of it is one response
    fn rings(
        &mut self,
        now: Instant,
        hop: Hop,
        id: LegId,
        leg: &mut Leg,
        number: u8,
        status: u16,
        response: &Message,
    ) {
        let Some(call) = &mut leg.call else { return };
        let Some(attempt) = call.attempt(number) else { return };
        (attempt.provisional, attempt.try_until) = (true, None);
        self.targets.wake(attempt.way.hop);
        let wanted = !attempt.given_up && leg.hangup.is_none() && matches!(leg.stage, Stage::Calling);
        if !wanted {
            return self.send_cancel(now, id, leg, number);
        }
        if status > 100 && self.rings_early(now, hop, id, leg, response) {
            self.tell(Event::Progress { leg: id, status, body: body_of(response) });
        }
    }

    /// The first 2xx makes the dialog; its copies get the same ACK; another fork's gets ACK and BYE, and so does one
    /// that nobody waits for any more.
    fn answered(&mut self, now: Instant, hop: Hop, id: LegId, leg: &mut Leg, number: u8, response: &Message) {
        if let Some((way, ack)) = leg.ack_for(response) {
            return self.transmit(way, Send::Again(ack));
        }
        let tag = response.to().tag().unwrap_or_default();
        let Some(call) = &mut leg.call else { return };
        if call.owed.is_some() && leg.dialog.remote_tag() == tag {
            return; // a copy, before the ACK has its body
        }
        let authorization =
            call.attempt(number).map(|attempt| attempt.authorization.clone()).unwrap_or_default();
        let owed = OwedAck { seq: response.cseq(), authorization };
        let awaited = call.settle(number) && matches!(leg.stage, Stage::Calling);
        if !awaited {
            return self.answered_by_fork(now, hop, id, leg, owed, response);
        }
        let early = call.early.drain(..).find(|early| early.dialog.remote_tag() == tag);
        let late = call.dial.body.is_none() && leg.hangup.is_none() && !response.body().is_empty();
        (call.rings_until, call.owed) = (None, Some(owed));
        leg.dialog = leg.dialog.answered(response, hop);
        if let Some(early) = early {
            leg.dialog.number_from(early.dialog.local_seq());
        }
        leg.stage = Stage::Up;
        leg.begun(now, response);
        if !late {
            self.acknowledge_call(leg, None);
        }
        match leg.hangup.take() {
            Some(reason) => self.bye(now, id, leg, reason),
            None => self.tell(Event::Answered { leg: id, body: body_of(response) }),
        }
    }

    /// The ACK that the 2xx to our first INVITE still lacks; `body` is our answer to the offer it held. False: it
    /// lacks none.
    pub(super) fn acknowledge_call(&mut self, leg: &mut Leg, body: Option<&Body>) -> bool {
        let Some(owed) = leg.call.as_mut().and_then(|call| call.owed.take()) else { return false };
        let dialog = leg.dialog.clone();
        leg.ack = Some(Box::new(self.send_ack(&dialog, leg, owed, body)));
        true
    }

    fn answered_by_fork(
        &mut self,
        now: Instant,
        hop: Hop,
        id: LegId,
        leg: &mut Leg,
        owed: OwedAck,
        response: &Message,
    ) {
        if leg.strays.len() >= MAX_STRAYS {
            return self.drop_message(now, hop, "forks");
        }
        let mut dialog = leg.dialog.answered(response, hop);
        let (way, ack) = self.send_ack(&dialog, leg, owed, None);
        leg.strays.push((dialog.remote_tag().to_owned(), way, ack));
        let trunk = leg.trunk.clone();
        // Behind whatever PRACK its early dialog had: gaps are fine (§12.2.2).
        dialog.number_from(leg.dialog.local_seq());
        let (bye, way, branch) = self.request(&mut dialog, &trunk, Method::Bye);
        let octets: Octets = self.authorized(leg, bye).octets().into();
        self.begin(now, leg, Purpose::ByeFork(id), &branch, way, &octets);
    }

    fn send_ack(
        &mut self,
        dialog: &Dialog,
        leg: &Leg,
        owed: OwedAck,
        body: Option<&Body>,
    ) -> (super::Way, Octets) {
        let trunk = leg.trunk.clone();
        let (mut ack, way, _) = self.numbered(dialog, &trunk, Method::Ack, owed.seq);
        for (name, value) in owed.authorization {
            ack = ack.header(name, value);
        }
        if let Some(body) = body {
            ack = ack.body(body.content_type.clone(), body.bytes.clone());
        }
        let octets: Octets = ack.octets().into();
        self.transmit(way, Send::First(octets.clone()));
        (way, octets)
    }

    fn refused(
        &mut self,
        now: Instant,
        id: LegId,
        leg: &mut Leg,
        (tx, number): (TxId, u8),
        status: u16,
        response: &Message,
    ) {
        let Some(call) = &mut leg.call else { return };
        let Some(attempt) = call.attempt(number).cloned() else { return };
        self.targets.wake(attempt.way.hop); // a 503 puts it to rest again
        let to = response.raw("To").next().unwrap_or_default();
        let hop = self.transactions.way_of(tx).unwrap_or(attempt.way).hop;
        let ack = self
            .signed(Request::new(Method::Ack, &attempt.uri))
            .via(hop.transport, &self.sent_by(hop), &attempt.branch)
            .from(leg.dialog.local())
            .to(&to)
            .call_id(leg.dialog.call_id())
            .cseq(attempt.seq);
        let sent = self.transactions.ack_refusal(now, tx, ack.octets().into());
        self.transmit_if(sent);
        if !call.settle(number) || !matches!(leg.stage, Stage::Calling) {
            return;
        }
        match leg.hangup {
            Some(_) => self.end(now, id, leg, Ended::ByUs),
            None => self.retry(now, id, leg, status, response),
        }
    }

    /// Nothing came back to an INVITE, or it could not be sent.
    pub(super) fn invite_failed(&mut self, now: Instant, id: LegId, leg: &mut Leg, number: u8, how: Ended) {
        let Some(call) = &mut leg.call else { return };
        let silent = call.attempt(number).is_some_and(|attempt| !attempt.provisional);
        if !call.settle(number) || !matches!(leg.stage, Stage::Calling) {
            return;
        }
        match leg.hangup {
            Some(_) => self.end(now, id, leg, Ended::ByUs),
            None if silent => self.fail_over(now, id, leg, how),
            None => self.end(now, id, leg, how),
        }
    }
}

impl Leg {
    /// The ACK that a copy of a 2xx gets again.
    fn ack_for(&self, response: &Message) -> Option<(super::Way, Octets)> {
        if let Some((cseq, ack)) = self.reack.as_deref().filter(|(cseq, _)| response.cseq() >= *cseq) {
            return ack.clone().filter(|_| response.cseq() == *cseq);
        }
        let tag = response.to().tag().unwrap_or_default();
        if let Some((way, ack)) = self.ack.as_deref()
            && self.dialog.remote_tag() == tag
        {
            return Some((*way, ack.clone()));
        }
        let stray = self.strays.iter().find(|(of, ..)| of == tag);
        stray.map(|(_, way, ack)| (*way, ack.clone()))
    }
}
