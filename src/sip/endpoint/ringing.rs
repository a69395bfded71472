//! An INVITE of a peer until its 200: provisional answers, reliable where the peer wants that, and their PRACK
//! (RFC 3262, sip-trunk.md section 7).
//!
//! ```text
//!  Progress ─► unreliable ── again each minute
//!         └──► reliable ──── T1, 2·T1 … ─PRACK─► the next that waits, or the 200
//!                                └─ 64·T1 ─────► 504
//! ```

use std::time::{Duration, Instant};

use super::authored::{ALLOW, SUPPORTED};
use super::commands::with_body;
use super::inside::body_of;
use super::leg::{Exchange, Leg, Offered, PROGRESS_AGAIN, Reliably, Stage};
use super::outside::Denial;
use super::receive::Peer;
use super::{Endpoint, Octets, Send};
use crate::ids::LegId;
use crate::sip::dialog::reliable::{Due, Holds, Reliable};
use crate::sip::dialog::session_timer::SessionTimer;
use crate::sip::message::{Message, Response};
use crate::sip::{Body, Ended, Event};
use crate::telemetry::metrics;

/// A reliable 18x is sent anew so long after its PRACK: it cannot have been lost on the way (RFC 3262 §3).
const RELIABLE_AGAIN: Duration = Duration::from_secs(150);
/// Reliable 18x that wait for the PRACK of the one before them.
const MAX_WAITING: usize = 8;

impl Reliably {
    /// As an INVITE asks.
    pub(super) fn of(invite: &Message) -> Self {
        if invite.lists("Require", "100rel") {
            Self::Always
        } else if invite.lists("Supported", "100rel") {
            Self::Described
        } else {
            Self::Never
        }
    }
}

impl Endpoint {
    /// A 18x; one that has to wait for the PRACK of another goes out then.
    pub(super) fn progress(
        &mut self,
        now: Instant,
        id: LegId,
        leg: &mut Leg,
        status: u16,
        body: Option<Body>,
    ) {
        let Stage::Offered(offered) = &mut leg.stage else { return };
        let status = status.clamp(101, 199);
        if offered.answer.is_some() {
            return; // the 200 is as good as out
        }
        if self.is_refused_for_its_timer(now, id, leg) {
            return;
        }
        let Stage::Offered(offered) = &mut leg.stage else { return };
        let reliable = match offered.reliably {
            Reliably::Never => false,
            Reliably::Described => body.is_some(),
            Reliably::Always => true,
        };
        if !reliable {
            return self.ring(now, leg, status, body);
        }
        if leg.reliable.as_ref().is_some_and(|reliable| reliable.waits().is_some()) {
            if offered.waiting.len() < MAX_WAITING {
                offered.waiting.push_back((status, body));
            } else {
                metrics::repair("progress_queue");
            }
            return;
        }
        self.ring_reliably(now, leg, status, body);
    }

    /// What may be lost: it goes again each minute. An offer of ours never goes out so (RFC 3261 §13.2.1).
    fn ring(&mut self, now: Instant, leg: &mut Leg, status: u16, body: Option<Body>) {
        let body = body.filter(|_| leg.exchange == Exchange::Theirs);
        let Some((tx, octets)) = self.progress_octets(leg, status, body.as_ref(), &[]) else { return };
        let sent = self.transactions.respond(now, tx, status, octets.clone());
        self.transmit_if(sent);
        leg.sdp = body.or(leg.sdp.take());
        if let Stage::Offered(offered) = &mut leg.stage {
            offered.progress = Some((now + PROGRESS_AGAIN, status, Some(octets)));
        }
    }

    fn ring_reliably(&mut self, now: Instant, leg: &mut Leg, status: u16, body: Option<Body>) {
        let Stage::Offered(offered) = &leg.stage else { return };
        let (body, holds) = match (body, leg.exchange) {
            (Some(body), Exchange::Open) => (Some(body), Holds::Offer),
            (Some(body), Exchange::Theirs) => (Some(body), Holds::Answer),
            // Offer or answer have been given: neither is given twice (RFC 3262 §5).
            (Some(_), Exchange::Ours | Exchange::Done) | (None, _) => (None, Holds::Nothing),
        };
        let cseq = offered.asked.request.cseq();
        let mut reliable =
            leg.reliable.take().unwrap_or_else(|| Box::new(Reliable::new(cseq, self.entropy.u32())));
        let headers = [("Require", "100rel".to_owned()), ("RSeq", reliable.number().to_string())];
        if let Some((tx, octets)) = self.progress_octets(leg, status, body.as_ref(), &headers) {
            let sent = self.transactions.respond(now, tx, status, octets.clone());
            self.transmit_if(sent);
            reliable.sent(now, self.timers, holds, octets);
        }
        leg.reliable = Some(reliable);
        if holds == Holds::Offer {
            leg.exchange = Exchange::Ours;
        }
        leg.sdp = body.or(leg.sdp.take());
        if let Stage::Offered(offered) = &mut leg.stage {
            offered.progress = Some((now + RELIABLE_AGAIN, status, None));
        }
    }

    fn progress_octets(
        &self,
        leg: &Leg,
        status: u16,
        body: Option<&Body>,
        more: &[(&'static str, String)],
    ) -> Option<(crate::sip::transaction::table::TxId, Octets)> {
        let Stage::Offered(offered) = &leg.stage else { return None };
        let mut headers = vec![
            ("Contact", self.contact_of(leg)),
            ("Allow", ALLOW.to_owned()),
            ("Supported", SUPPORTED.to_owned()),
        ];
        headers.extend_from_slice(more);
        let answer: Response<'_> = self.answer_in(leg, &offered.asked, status, &headers).record_route();
        Some((offered.asked.tx, with_body(answer, body).octets().into()))
    }

    /// The 200, or as soon as the PRACK of what holds our description is in (RFC 3262 §3).
    pub(super) fn accept_offer(&mut self, now: Instant, id: LegId, leg: &mut Leg, body: Option<Body>) {
        if self.is_refused_for_its_timer(now, id, leg) {
            return;
        }
        let waits =
            leg.reliable.as_deref().and_then(Reliable::waits).is_some_and(|holds| holds != Holds::Nothing);
        let Stage::Offered(offered) = &mut leg.stage else { return };
        if waits || leg.reoffer.is_some() {
            offered.waiting.clear();
            offered.answer = Some(body);
            return;
        }
        if let Stage::Offered(offered) = std::mem::replace(&mut leg.stage, Stage::Up) {
            self.take_the_call(now, leg, &offered, body.as_ref());
        }
    }

    fn take_the_call(&mut self, now: Instant, leg: &mut Leg, offered: &Offered, body: Option<&Body>) {
        if let Some(reliable) = &mut leg.reliable {
            reliable.stop();
        }
        // An offer of ours that was answered already is not made again (RFC 3261 §13.2.1).
        let asked = &offered.asked;
        let body = body.filter(|_| !asked.request.body().is_empty() || leg.exchange != Exchange::Done);
        self.accept(now, leg, asked, body);
    }

    /// Step 13 of section 4, for a call layer that did not look (RFC 4028 §9).
    fn is_refused_for_its_timer(&mut self, now: Instant, id: LegId, leg: &mut Leg) -> bool {
        let Stage::Offered(offered) = &leg.stage else { return false };
        let Err(min_se) = SessionTimer::judge(&offered.asked.request) else { return false };
        self.refuse_offer(now, id, leg, 422, &[("Min-SE", min_se.to_string())], Ended::ByUs);
        true
    }

    /// PRACK: what it acknowledges is repeated no more. It may answer our offer, or make a new one.
    pub(super) fn pracked(
        &mut self,
        now: Instant,
        peer: Peer,
        id: LegId,
        leg: &mut Leg,
        request: Message,
    ) -> Option<(Message, Denial)> {
        let rack = request.header("RAck").unwrap_or_default();
        let Some(holds) = leg.reliable.as_mut().and_then(|reliable| reliable.acknowledge(&rack)) else {
            return Some((request, Denial::new(481, "rack")));
        };
        if holds == Holds::Answer && leg.exchange == Exchange::Theirs {
            leg.exchange = Exchange::Done;
        }
        let denied = match (holds, request.body().is_empty()) {
            (Holds::Offer, _) => {
                self.conclude(now, peer, &request, "", 200, &[]);
                self.offer_answered(id, leg, body_of(&request));
                None
            }
            (Holds::Nothing | Holds::Answer, true) => {
                self.conclude(now, peer, &request, "", 200, &[]);
                None
            }
            (Holds::Nothing | Holds::Answer, false) => match self.judge_offer(leg, &request) {
                Ok(()) => {
                    self.reoffered(now, peer, id, leg, request);
                    None
                }
                Err(denial) => Some((request, denial)),
            },
        };
        self.go_on_ringing(now, id, leg);
        denied
    }

    /// The answer to the offer in our 18x; without one the 200 offers again.
    fn offer_answered(&mut self, id: LegId, leg: &mut Leg, body: Option<Body>) {
        leg.exchange = if body.is_some() { Exchange::Done } else { Exchange::Open };
        if matches!(leg.stage, Stage::Offered(_)) {
            self.tell(Event::Acknowledged { leg: id, body });
        }
    }

    /// What waited for a PRACK, or for the answer to the offer in it: the 200, or the next 18x.
    pub(super) fn go_on_ringing(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        let Stage::Offered(offered) = &mut leg.stage else { return };
        if leg.reoffer.is_some() || leg.reliable.as_ref().is_some_and(|reliable| reliable.waits().is_some()) {
            return;
        }
        if let Some(body) = offered.answer.take() {
            return self.accept_offer(now, id, leg, body);
        }
        if let Some((status, body)) = offered.waiting.pop_front() {
            self.ring_reliably(now, leg, status, body);
        }
    }

    /// Expires ran out, a PRACK never came, or it is time to say again that it rings.
    pub(super) fn offer_due(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        let Stage::Offered(offered) = &mut leg.stage else { return };
        if offered.expires.is_some_and(|at| at <= now) {
            self.terminate_offer(now, leg);
            return self.end(now, id, leg, Ended::Cancelled { reason: None });
        }
        match leg.reliable.as_mut().and_then(|reliable| reliable.due(now)) {
            Some(Due::Never) => return self.refuse_offer(now, id, leg, 504, &[], Ended::PrackTimeout),
            Some(Due::Again(octets)) => {
                if let Some(way) = self.transactions.way(offered.asked.tx) {
                    self.transmit(way, Send::Again(octets));
                }
            }
            None => {}
        }
        self.ring_again(now, leg);
    }

    fn ring_again(&mut self, now: Instant, leg: &mut Leg) {
        let Stage::Offered(offered) = &mut leg.stage else { return };
        let Some((at, status, octets)) = offered.progress.as_mut().filter(|(at, ..)| *at <= now) else {
            return;
        };
        *at = now + if octets.is_some() { PROGRESS_AGAIN } else { RELIABLE_AGAIN };
        let status = *status;
        match octets.clone() {
            Some(octets) => {
                let sent = self.transactions.respond(now, offered.asked.tx, status, octets);
                self.transmit_if(sent);
            }
            None => self.ring_reliably(now, leg, status, None),
        }
    }
}
