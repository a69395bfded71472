//! What calls want: each command has its place, and what answers a request of the peer is here.

use std::net::SocketAddr;
use std::time::Instant;

use super::authored::{ACCEPT, ALLOW, SUPPORTED};
use super::leg::{Asked, Exchange, Leg, Stage};
use super::modify::Wish;
use super::{Endpoint, Hop};
use crate::ids::LegId;
use crate::sip::dialog::ack_wait::AckWait;
use crate::sip::message::header::session_expires::MIN_SE;
use crate::sip::message::{Method, Response};
use crate::sip::{Body, Command, Ended, Refusal, RetryAfter};

impl Endpoint {
    pub(super) fn command(&mut self, now: Instant, command: Command, local: Option<SocketAddr>) {
        match command {
            Command::Gate(gate) => self.gate = gate,
            Command::Reload(reload) => self.reload(reload.config),
            Command::Dial(dial) => self.dial(now, *dial, local),
            Command::Progress { leg, status, body } => {
                self.with_leg(leg, |endpoint, id, leg| endpoint.progress(now, id, leg, status, body));
            }
            Command::Answer { leg, body } => {
                self.with_leg(leg, |endpoint, id, leg| endpoint.accept_offer(now, id, leg, body));
            }
            Command::Accept { leg, body } => {
                self.with_leg(leg, |endpoint, id, leg| endpoint.accept_reoffer(now, id, leg, body.as_ref()));
            }
            Command::Reject { leg, refusal } => {
                self.with_leg(leg, |endpoint, id, leg| endpoint.reject(now, id, leg, &refusal));
            }
            Command::Modify { leg, update, body } => {
                self.with_leg(leg, |endpoint, id, leg| endpoint.modify(now, id, leg, Wish { update, body }));
            }
            Command::Acknowledge { leg, body } => {
                self.with_leg(leg, |endpoint, id, leg| endpoint.acknowledge(now, id, leg, body));
            }
            Command::Info { leg, body } => {
                self.with_leg(leg, |endpoint, id, leg| endpoint.tell_peer(now, id, leg, body));
            }
            Command::Hangup { leg, reason } => {
                self.with_leg(leg, |endpoint, id, leg| endpoint.hang_up(now, id, leg, reason));
            }
        }
    }

    fn accept_reoffer(&mut self, now: Instant, id: LegId, leg: &mut Leg, body: Option<&Body>) {
        let Some(reoffer) = leg.reoffer.take() else { return };
        if !matches!(leg.stage, Stage::Calling) {
            leg.dialog.refresh_target(&reoffer.asked.request);
        }
        self.accept(now, leg, &reoffer.asked, body);
        self.go_on_ringing(now, id, leg);
        self.go_on(now, id, leg);
    }

    /// 200. That to an INVITE is repeated by the dialog until its ACK.
    pub(super) fn accept(&mut self, now: Instant, leg: &mut Leg, asked: &Asked, body: Option<&Body>) {
        let method = asked.request.method();
        let mut headers = vec![
            ("Contact", self.contact_of(leg)),
            ("Allow", ALLOW.to_owned()),
            ("Supported", SUPPORTED.to_owned()),
        ];
        if *method == Method::Invite {
            headers.push(("Accept", ACCEPT.to_owned()));
        }
        if *method != Method::Prack && matches!(leg.stage, Stage::Up) {
            let first = *method == Method::Invite && asked.request.to().tag().is_none();
            headers.extend(leg.renegotiate(now, &asked.request, first));
        }
        let answer = self.answer_in(leg, asked, 200, &headers).record_route();
        let octets: super::Octets = with_body(answer, body).octets().into();
        let way = self.transactions.way(asked.tx);
        let sent = self.transactions.respond(now, asked.tx, 200, octets.clone());
        self.transmit_if(sent);
        if body.is_some() {
            leg.sdp = body.cloned();
        }
        if *method == Method::Invite {
            let (cseq, offers) = (asked.request.cseq(), asked.request.body().is_empty() && body.is_some());
            leg.exchange = if offers { Exchange::Ours } else { Exchange::Done };
            leg.wait = way.map(|way| Box::new(AckWait::new(now, self.timers, cseq, offers, way, octets)));
        }
    }

    fn reject(&mut self, now: Instant, id: LegId, leg: &mut Leg, refusal: &Refusal) {
        let headers = self.refusal_headers(leg.dialog.hop, refusal);
        let status = refusal.status.clamp(300, 699);
        let early = matches!(leg.stage, Stage::Offered(_));
        // Of an INVITE that rings the call may have meant the INVITE: what was said crossed the new offer.
        if leg.reoffer.is_some() && (!early || matches!(status, 400 | 415 | 488 | 606)) {
            let Some(reoffer) = leg.reoffer.take() else { return };
            self.answer_invite(now, leg, &reoffer.asked, status, &headers);
            self.go_on_ringing(now, id, leg);
            return self.go_on(now, id, leg);
        }
        if early {
            self.refuse_offer(now, id, leg, status, &headers, Ended::ByUs);
        }
    }

    /// A final refusal of the INVITE; the leg is over.
    pub(super) fn refuse_offer(
        &mut self,
        now: Instant,
        id: LegId,
        leg: &mut Leg,
        status: u16,
        headers: &[(&'static str, String)],
        how: Ended,
    ) {
        match std::mem::replace(&mut leg.stage, Stage::Over) {
            Stage::Offered(offered) => {
                self.answer_invite(now, leg, &offered.asked, status, headers);
                self.end(now, id, leg, how);
            }
            stage => leg.stage = stage,
        }
    }

    fn refusal_headers(&mut self, hop: Hop, refusal: &Refusal) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if let Some(reason) = &refusal.reason {
            headers.push(("Reason", reason.clone()));
        }
        match refusal.retry_after {
            Some(RetryAfter::Random) => headers.push(("Retry-After", self.retry_after(1, 5))),
            Some(RetryAfter::Seconds(seconds)) => headers.push(("Retry-After", seconds.to_string())),
            None => {}
        }
        if let Some((code, text)) = refusal.warning {
            headers.push(("Warning", format!("{code} {} \"{text}\"", self.sent_by(hop))));
        }
        match refusal.status {
            415 => headers.push(("Accept", ACCEPT.to_owned())),
            422 => headers.push(("Min-SE", MIN_SE.to_string())),
            _ => {}
        }
        headers
    }

    /// The beginning of an answer to a request of the leg's peer.
    pub(super) fn answer_in<'m>(
        &self,
        leg: &Leg,
        asked: &'m Asked,
        status: u16,
        headers: &[(&'static str, String)],
    ) -> Response<'m> {
        let force_rport = leg.trunk.force_rport;
        let mut answer = Response::to(&asked.request, status)
            .source(asked.source, force_rport)
            .to_tag(leg.dialog.local_tag());
        if !self.config.user_agent.is_empty() {
            answer = answer.header("Server", self.config.user_agent.clone());
        }
        for (name, value) in headers {
            answer = answer.header(*name, value.clone());
        }
        answer
    }
}

pub(super) fn with_body<'m>(answer: Response<'m>, body: Option<&Body>) -> Response<'m> {
    match body {
        Some(body) => answer.body(body.content_type.clone(), body.bytes.clone()),
        None => answer,
    }
}
