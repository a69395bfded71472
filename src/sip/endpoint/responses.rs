//! What comes back to our requests (RFC 3261 §13.2.2, §17.1.1.3).

use std::time::Instant;

use super::inside::body_of;
use super::leg::{Leg, MAX_STRAYS, Stage};
use super::{Endpoint, Hop, Octets, Send};
use crate::ids::LegId;
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::message::{Message, Method, Request};
use crate::sip::transaction::table::{Purpose, TxId};
use crate::sip::transaction::{Class, ClientKey};
use crate::sip::{Ended, Event};

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
        if news {
            self.with_leg(purpose.leg(), |endpoint, id, leg| match (purpose, Class::of(status)) {
                (Purpose::Invite(_), Class::Provisional) => endpoint.rings(now, id, leg, status, response),
                (Purpose::Invite(_), Class::Success) => endpoint.answered(now, hop, id, leg, response),
                (Purpose::Invite(_), Class::Failure) => endpoint.refused(now, id, leg, tx, status, response),
                (Purpose::Bye(_), Class::Success | Class::Failure) => endpoint.end(now, id, leg, Ended::ByUs),
                (Purpose::Bye(_), Class::Provisional) | (Purpose::Cancel(_) | Purpose::ByeFork(_), _) => {}
                (Purpose::Reinvite(_) | Purpose::Update(_), _) => {
                    endpoint.change_answered(now, id, leg, tx, status, response);
                }
                (Purpose::Info(_), _) => endpoint.told(now, id, leg, status),
            });
        }
        if self.transactions.settle_client(tx) {
            self.request_done(purpose);
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
            None => self.drop_message(now, hop, "unmatched_response"),
        }
    }

    fn rings(&mut self, now: Instant, id: LegId, leg: &mut Leg, status: u16, response: &Message) {
        let (Stage::Calling, Some(call)) = (&leg.stage, &mut leg.call) else { return };
        call.provisional = true;
        if leg.hangup.is_some() {
            return self.send_cancel(now, id, leg);
        }
        if status > 100 {
            self.tell(Event::Progress { leg: id, status, body: body_of(response) });
        }
    }

    /// The first 2xx makes the dialog; its copies get the same ACK; another fork's gets ACK and BYE.
    fn answered(&mut self, now: Instant, hop: Hop, id: LegId, leg: &mut Leg, response: &Message) {
        if let Some((way, ack)) = leg.ack_for(response) {
            return self.transmit(way, Send::Again(ack));
        }
        leg.settle_call();
        let Stage::Calling = leg.stage else {
            return self.answered_by_fork(now, hop, id, leg, response);
        };
        leg.dialog = leg.dialog.answered(response, hop);
        leg.stage = Stage::Up;
        leg.begun(now, response);
        let mut dialog = leg.dialog.clone();
        leg.ack = Some(self.send_ack(&mut dialog, leg));
        match leg.hangup.take() {
            Some(reason) => self.bye(now, id, leg, reason),
            None => self.tell(Event::Answered { leg: id, body: body_of(response) }),
        }
    }

    fn answered_by_fork(&mut self, now: Instant, hop: Hop, id: LegId, leg: &mut Leg, response: &Message) {
        if leg.strays.len() >= MAX_STRAYS {
            return self.drop_message(now, hop, "forks");
        }
        let mut dialog = leg.dialog.answered(response, hop);
        let (way, ack) = self.send_ack(&mut dialog, leg);
        leg.strays.push((dialog.remote_tag().to_owned(), way, ack));
        let trunk = leg.trunk.clone();
        let (bye, way, branch) = self.request(&mut dialog, &trunk, Method::Bye);
        let octets: Octets = bye.octets().into();
        self.begin(now, leg, Purpose::ByeFork(id), &branch, way, &octets);
    }

    fn send_ack(&mut self, dialog: &mut Dialog, leg: &Leg) -> (super::Way, Octets) {
        let trunk = leg.trunk.clone();
        let (ack, way, _) = self.request(dialog, &trunk, Method::Ack);
        let octets: Octets = ack.octets().into();
        self.transmit(way, Send::First(octets.clone()));
        (way, octets)
    }

    fn refused(&mut self, now: Instant, id: LegId, leg: &mut Leg, tx: TxId, status: u16, response: &Message) {
        let Some(calling) = &leg.call else { return };
        let to = response.raw("To").next().unwrap_or_default();
        let ack = self
            .signed(Request::new(Method::Ack, &calling.uri))
            .via(calling.way.hop.transport, &self.sent_by(calling.way.hop), &calling.branch)
            .from(leg.dialog.local())
            .to(&to)
            .call_id(leg.dialog.call_id())
            .cseq(leg.dialog.local_seq());
        let sent = self.transactions.ack_refusal(now, tx, ack.octets().into());
        self.transmit_if(sent);
        leg.settle_call();
        let how = match leg.hangup {
            Some(_) => Ended::ByUs,
            None => Ended::Refused { status, reason: response.header("Reason").map(String::from) },
        };
        self.end(now, id, leg, how);
    }
}

impl Leg {
    /// The ACK that a copy of a 2xx gets again.
    fn ack_for(&self, response: &Message) -> Option<(super::Way, Octets)> {
        if let Some((cseq, ack)) = self.reack.as_ref().filter(|(cseq, _)| response.cseq() >= *cseq) {
            return ack.clone().filter(|_| response.cseq() == *cseq);
        }
        let tag = response.to().tag().unwrap_or_default();
        if let Some((way, ack)) = &self.ack
            && self.dialog.remote_tag() == tag
        {
            return Some((*way, ack.clone()));
        }
        let stray = self.strays.iter().find(|(of, ..)| of == tag);
        stray.map(|(_, way, ack)| (*way, ack.clone()))
    }
}
