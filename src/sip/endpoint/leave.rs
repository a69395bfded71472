//! How legs end, and what else time does to them.

use std::net::SocketAddr;
use std::time::Instant;

use super::leg::{Leg, Stage};
use super::{Endpoint, Hop, Octets, Send};
use crate::ids::LegId;
use crate::sip::Ended;
use crate::sip::auth::Tries;
use crate::sip::dialog::ack_wait::Due;
use crate::sip::message::Method;
use crate::sip::transaction::ClientKey;
use crate::sip::transaction::table::{Purpose, TxId};

/// Reason of the BYE that ends a call whose ACK never came.
const NO_ACK: &str = "SIP;cause=408;text=\"no ACK\"";

impl Endpoint {
    /// The call wants the end. A BYE waits for the ACK of our 200 (§15), a CANCEL for a 1xx (§9.1).
    pub(super) fn hang_up(&mut self, now: Instant, id: LegId, leg: &mut Leg, reason: Option<String>) {
        if leg.hangup.is_some() {
            return;
        }
        match &leg.stage {
            Stage::Offered(offered) => {
                let headers: Vec<_> = reason.map(|reason| ("Reason", reason)).into_iter().collect();
                self.answer_invite(now, leg, &offered.asked, 480, &headers);
                self.end(now, id, leg, Ended::ByUs);
            }
            Stage::Calling => {
                leg.hangup = Some(reason);
                self.give_call_up(now, id, leg);
            }
            Stage::Up => {
                self.refuse_reoffer(now, leg);
                self.drop_change(leg);
                match leg.wait {
                    Some(_) => leg.hangup = Some(reason),
                    None => self.bye(now, id, leg, reason),
                }
            }
            Stage::Leaving | Stage::Over => {}
        }
    }

    /// Our BYE goes out; the leg is over when it is answered or given up.
    pub(super) fn bye(&mut self, now: Instant, id: LegId, leg: &mut Leg, reason: Option<String>) {
        self.acknowledge_call(leg, None);
        leg.stage = Stage::Leaving;
        (leg.hangup, leg.bye) = (None, (reason.clone(), Tries::default()));
        self.send_bye(now, id, leg, reason);
    }

    /// Sends a request of ours and begins its transaction.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        leg: &mut Leg,
        purpose: Purpose,
        branch: &str,
        way: super::Way,
        octets: &Octets,
    ) -> TxId {
        let method = match purpose {
            Purpose::Invite(..) | Purpose::Reinvite(_) => Method::Invite,
            Purpose::Cancel(_) => Method::Cancel,
            Purpose::Bye(_) | Purpose::ByeFork(_) | Purpose::ByeDead => Method::Bye,
            Purpose::Prack(..) => Method::Prack,
            Purpose::Ping(_) => Method::Options,
            Purpose::Update(_) => Method::Update,
            Purpose::Info(_) => Method::Info,
        };
        leg.requests += 1;
        let key = ClientKey { branch: branch.into(), method: method.label() };
        let Some(instead) = self.instead(&leg.trunk, way, octets) else {
            let tx = self.transactions.send(now, key, purpose, way, octets.clone());
            self.transmit(way, Send::First(octets.clone()));
            return tx;
        };
        let tx = self.transactions.send(now, key, purpose, instead.way, instead.octets.clone());
        self.fall_back(now, tx, way, octets.clone());
        self.transmit(instead.way, Send::First(instead.octets));
        tx
    }

    /// A request of ours was never answered.
    pub(super) fn request_timed_out(&mut self, now: Instant, purpose: Purpose) {
        self.request_failed(now, purpose, Ended::Refused { status: 408, reason: None });
    }

    /// A connection failed: the requests of ours on it go nowhere.
    pub(super) fn failed(&mut self, now: Instant, hop: Hop) {
        self.drop_message(now, hop, "connection");
        for (tx, purpose) in self.transactions.over(hop) {
            match self.transactions.by_udp(now, tx) {
                Some((way, send)) => self.transmit(way, send),
                None => {
                    self.transactions.abandon(tx);
                    self.request_failed(now, purpose, Ended::Lost);
                }
            }
        }
    }

    /// Datagrams do not get there: a call that has somewhere else to go goes there, a ping has its answer.
    pub(super) fn unreachable(&mut self, now: Instant, place: SocketAddr) {
        if !self.targets.are_at(place.ip()) {
            return;
        }
        for purpose in self.transactions.unanswered_at(place) {
            match purpose {
                Purpose::Ping(number) => self.ping_judged(now, number, false),
                Purpose::Invite(id, number) => {
                    self.with_leg(id, |endpoint, id, leg| endpoint.go_elsewhere(now, id, leg, number));
                }
                Purpose::Cancel(_)
                | Purpose::Bye(_)
                | Purpose::ByeFork(_)
                | Purpose::ByeDead
                | Purpose::Prack(..)
                | Purpose::Reinvite(_)
                | Purpose::Update(_)
                | Purpose::Info(_) => {}
            }
        }
    }

    fn request_failed(&mut self, now: Instant, purpose: Purpose, how: Ended) {
        if let Some(id) = purpose.leg() {
            self.with_leg(id, |endpoint, id, leg| match purpose {
                Purpose::Invite(_, number) => endpoint.invite_failed(now, id, leg, number, how),
                Purpose::Bye(_) => endpoint.end(now, id, leg, Ended::ByUs),
                Purpose::Reinvite(_) | Purpose::Update(_) => endpoint.change_failed(now, id, leg, 408, None),
                Purpose::Cancel(_)
                | Purpose::ByeFork(_)
                | Purpose::ByeDead
                | Purpose::Prack(..)
                | Purpose::Ping(_)
                | Purpose::Info(_) => {}
            });
        }
        self.request_done(now, purpose);
    }

    /// The transaction of a request of ours is gone.
    pub(super) fn request_done(&mut self, now: Instant, purpose: Purpose) {
        if let Purpose::Ping(number) = purpose {
            self.ping_over(now, number);
        }
        if let Some(id) = purpose.leg() {
            self.with_leg(id, |_, _, leg| leg.requests = leg.requests.saturating_sub(1));
        }
    }

    /// A leg's time has come.
    pub(super) fn leg_due(&mut self, now: Instant, id: LegId) {
        self.with_leg(id, |endpoint, id, leg| {
            endpoint.offer_due(now, id, leg);
            endpoint.reoffer_due(now, leg);
            endpoint.answer_due(now, id, leg);
            endpoint.call_due(now, id, leg);
            endpoint.change_due(now, id, leg);
            endpoint.session_due(now, id, leg);
        });
    }

    /// Our 200 goes again, or its ACK is given up (§13.3.1.4).
    fn answer_due(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        match leg.wait.as_mut().and_then(|wait| wait.due(now)) {
            None => {}
            Some(Due::Again(way, octets)) => self.transmit(way, Send::Again(octets)),
            Some(Due::Never) => {
                leg.wait = None;
                match leg.hangup.take() {
                    Some(reason) => self.bye(now, id, leg, reason),
                    None => {
                        self.bye(now, id, leg, Some(NO_ACK.to_owned()));
                        self.end(now, id, leg, Ended::AckTimeout);
                    }
                }
            }
        }
    }
}
