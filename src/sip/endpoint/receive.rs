//! What comes in: strangers and the malformed are met here, copies absorbed, the rest sent on its way
//! (sip-trunk.md section 4, steps 1 to 3).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Endpoint, Hop, Output, access};
use crate::ids::TrunkId;
use crate::sip::message::{Framed, Framing, Malformed, Message, Method, Response};
use crate::sip::transaction::{Send, ServerKey};
use crate::sip::{Strangers, Trunk};
use crate::telemetry::metrics;

/// A 403 to a stranger is never larger than what it answers by more (reliability R-22).
const STRANGER_GROWTH: usize = 128;

/// The part of the cap on transactions that is added for calls that are up.
const HEADROOM: usize = 4;

/// An INVITE that lay unread for longer is not worth answering: its sender has sent it again (reliability R-105).
const STALE: Duration = Duration::from_millis(500);

/// Who sent a request, once that is settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// How and from where.
    pub(super) hop: Hop,
    /// Whose address it is.
    pub(super) trunk: TrunkId,
}

impl Endpoint {
    pub(super) fn datagram(&mut self, now: Instant, hop: Hop, bytes: &[u8], waited: Duration) {
        if self.is_unheard(now, hop) {
            return metrics::sip_dropped(hop.transport.as_str(), "stranger");
        }
        match Message::parse(bytes, Framing::Datagram) {
            Ok(message) if waited > STALE && begins_a_call(&message) => self.drop_message(now, hop, "waited"),
            Ok(message) => self.message(now, hop, message),
            Err(malformed) => self.malformed(now, hop, &malformed),
        }
    }

    pub(super) fn framed(&mut self, now: Instant, hop: Hop, framed: Framed) {
        if self.is_unheard(now, hop) {
            metrics::sip_dropped(hop.transport.as_str(), "stranger");
            return self.outputs.push_back(Output::Close(hop));
        }
        match framed {
            Framed::Message(message) => self.message(now, hop, *message),
            Framed::Refused(malformed) => self.malformed(now, hop, &malformed),
            Framed::Broken(malformed) => {
                self.malformed(now, hop, &malformed);
                self.outputs.push_back(Output::Close(hop));
            }
            // RFC 5626 §4.4.1, for trunks.
            Framed::Ping if self.trunk_of(hop).is_some() => {
                self.outputs
                    .push_back(Output::Transmit { way: hop.into(), bytes: b"\r\n".as_slice().into() });
            }
            Framed::Ping => {}
        }
    }

    /// A stranger that has used up its answers is dropped unread. Answers to what we send to a trunk's
    /// target are heard all the same.
    fn is_unheard(&mut self, now: Instant, hop: Hop) -> bool {
        !self.knows(hop.transport, hop.remote) && self.access.is_used_up(now, hop.remote.ip())
    }

    pub(super) fn trunk_of(&self, hop: Hop) -> Option<TrunkId> {
        access::trunk_of(&self.trunks, hop.transport, hop.remote.ip())
    }

    /// The trunk that has a target there. A target may send inside the calls we made to it, not call us.
    pub(super) fn called_trunk(&self, hop: Hop) -> Option<TrunkId> {
        let ip = hop.remote.ip();
        if !self.targets.are_at(ip) {
            return None;
        }
        let of = |trunk: &&Arc<Trunk>| self.targets.has_target_at(trunk, ip);
        let place = self.trunks.iter().position(|trunk| of(&trunk));
        place.and_then(|place| u16::try_from(place).ok()).map(TrunkId)
    }

    fn malformed(&mut self, now: Instant, hop: Hop, malformed: &Malformed) {
        let (cause, trunk) = (malformed.cause, self.trunk_of(hop));
        metrics::sip_dropped(hop.transport.as_str(), cause.as_str());
        let Some(request) = &malformed.answerable else {
            return self.outcry.refusal(now, cause.as_str(), hop, None);
        };
        match trunk {
            None => self.refuse_stranger(now, hop, request, cause.status()),
            Some(trunk) => {
                self.outcry.refusal(now, cause.as_str(), hop, Some(cause.status()));
                self.answer_without_state(Peer { hop, trunk }, request, cause.status(), &[]);
            }
        }
    }

    fn message(&mut self, now: Instant, hop: Hop, message: Message) {
        let transport = hop.transport.as_str();
        if let Some(status) = message.status() {
            metrics::sip_response(transport, "in", status);
            return self.response(now, hop, status, &message);
        }
        metrics::sip_request(transport, "in", message.method().label());
        let known = self.transactions.serving(&ServerKey::of(&message));
        let called = || self.called_trunk(hop).filter(|_| known.is_some() || message.to().tag().is_some());
        let retired = || self.retired_trunk(hop, &message, known.is_some());
        let Some(trunk) = self.trunk_of(hop).or_else(called).or_else(retired) else {
            return self.refuse_stranger(now, hop, &message, 403);
        };
        let peer = Peer { hop, trunk };
        match (message.method(), known) {
            (Method::Ack, Some(tx)) if !self.transactions.acknowledge(now, tx) => {}
            (Method::Ack, _) => self.ack(now, peer, &message),
            (_, Some(tx)) => {
                let again = self.transactions.repeat(now, tx);
                self.transmit_if(again);
            }
            (_, None) if self.is_full() => self.drop_message(now, hop, "transactions"),
            (Method::Cancel, None) => self.cancel(now, peer, &message),
            (_, None) => self.fresh(now, peer, message),
        }
    }

    /// In-dialog requests and CANCEL have room above the cap of the others: they are served first (section 16).
    pub(super) fn is_full(&self) -> bool {
        let (servers, _) = self.transactions.len();
        servers >= self.config.max_transactions.saturating_add(self.config.max_transactions / HEADROOM)
    }

    /// A request never seen: inside a dialog of ours, or outside any.
    fn fresh(&mut self, now: Instant, peer: Peer, request: Message) {
        match self.leg_of(&request) {
            Some(leg) => self.inside(now, peer, leg, request),
            None => self.outside(now, peer, request),
        }
    }

    /// 403 within the limits of R-22, then silence.
    fn refuse_stranger(&mut self, now: Instant, hop: Hop, request: &Message, status: u16) {
        let ip = hop.remote.ip();
        let silent = self.config.strangers == Strangers::Silent || *request.method() == Method::Ack;
        if silent || self.access.is_used_up(now, ip) {
            self.drop_message(now, hop, "stranger");
            if hop.transport.is_stream() {
                self.outputs.push_back(Output::Close(hop));
            }
            return;
        }
        let answer =
            Response::to(request, status).source(hop.remote, false).to_tag(self.stateless_tag(request));
        let answer = answer.octets();
        if answer.len() > request.octets().len() + STRANGER_GROWTH {
            return self.drop_message(now, hop, "stranger");
        }
        self.access.count_answer(now, ip);
        self.outcry.refusal(now, "stranger", hop, Some(status));
        let way = self.way_back(request, hop, None);
        self.transmit(way, Send::First(answer.into()));
    }

    /// An answer that costs no memory: a copy of the request gets the same one made again.
    pub(super) fn answer_without_state(
        &mut self,
        peer: Peer,
        request: &Message,
        status: u16,
        headers: &[(&'static str, String)],
    ) {
        let tag = self.stateless_tag(request);
        let mut answer = self.answer(request, status, peer.hop, Some(peer.trunk)).to_tag(tag);
        for (name, value) in headers {
            answer = answer.header(*name, value.clone());
        }
        let (way, octets) = (self.way_back(request, peer.hop, Some(peer.trunk)), answer.octets());
        self.transmit(way, Send::First(octets.into()));
    }
}

/// An INVITE outside a dialog; those inside are served however late.
fn begins_a_call(message: &Message) -> bool {
    message.is_request() && *message.method() == Method::Invite && message.to().tag().is_none()
}
