//! How legs end, and what else time does to them.

use std::time::Instant;

use super::leg::{Leg, Stage};
use super::{Endpoint, Hop, Octets, Send};
use crate::ids::LegId;
use crate::sip::Ended;
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
                let provisional = leg.call.as_ref().is_some_and(|call| call.provisional);
                leg.hangup = Some(reason);
                if provisional {
                    self.send_cancel(now, id, leg);
                }
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
        let trunk = leg.trunk.clone();
        let (mut request, way, branch) = self.request(&mut leg.dialog, &trunk, Method::Bye);
        if let Some(reason) = reason {
            request = request.header("Reason", reason);
        }
        let octets: Octets = request.octets().into();
        leg.stage = Stage::Leaving;
        leg.hangup = None;
        self.begin(now, leg, Purpose::Bye(id), &branch, way, &octets);
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
            Purpose::Invite(_) | Purpose::Reinvite(_) => Method::Invite,
            Purpose::Cancel(_) => Method::Cancel,
            Purpose::Bye(_) | Purpose::ByeFork(_) => Method::Bye,
            Purpose::Update(_) => Method::Update,
            Purpose::Info(_) => Method::Info,
        };
        leg.requests += 1;
        let key = ClientKey { branch: branch.into(), method: method.label() };
        let tx = self.transactions.send(now, key, purpose, way, octets.clone());
        self.transmit(way, Send::First(octets.clone()));
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
            self.transactions.abandon(tx);
            self.request_failed(now, purpose, Ended::Lost);
        }
    }

    fn request_failed(&mut self, now: Instant, purpose: Purpose, how: Ended) {
        self.with_leg(purpose.leg(), |endpoint, id, leg| match purpose {
            Purpose::Invite(_) => {
                leg.settle_call();
                let how = if leg.hangup.is_some() { Ended::ByUs } else { how };
                endpoint.end(now, id, leg, how);
            }
            Purpose::Bye(_) => endpoint.end(now, id, leg, Ended::ByUs),
            Purpose::Reinvite(_) | Purpose::Update(_) => endpoint.change_failed(now, id, leg, 408, None),
            Purpose::Cancel(_) | Purpose::ByeFork(_) | Purpose::Info(_) => {}
        });
        self.request_done(purpose);
    }

    /// The transaction of a request of ours is gone.
    pub(super) fn request_done(&mut self, purpose: Purpose) {
        self.with_leg(purpose.leg(), |_, _, leg| leg.requests = leg.requests.saturating_sub(1));
    }

    /// A leg's time has come.
    pub(super) fn leg_due(&mut self, now: Instant, id: LegId) {
        self.with_leg(id, |endpoint, id, leg| {
            endpoint.offer_due(now, id, leg);
            endpoint.reoffer_due(now, leg);
            endpoint.answer_due(now, id, leg);
            endpoint.cancel_due(now, id, leg);
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

    /// 64·T1 after our CANCEL, or after the end, nothing final came to our INVITE (§9.1).
    fn cancel_due(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        let due = leg.call.as_ref().filter(|call| call.until.is_some_and(|at| at <= now));
        let Some(tx) = due.map(|call| call.tx) else { return };
        self.transactions.abandon(tx);
        leg.requests = leg.requests.saturating_sub(1);
        leg.settle_call();
        self.end(now, id, leg, Ended::ByUs);
    }
}
