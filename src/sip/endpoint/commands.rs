//! What calls want of inbound legs: 18x, 200, refusals, and answers to re-INVITEs.

use std::net::SocketAddr;
use std::time::Instant;

use super::authored::{ACCEPT, ALLOW};
use super::leg::{Asked, Leg, PROGRESS_AGAIN, Stage};
use super::{Endpoint, Hop};
use crate::ids::LegId;
use crate::sip::dialog::ack_wait::AckWait;
use crate::sip::message::Response;
use crate::sip::{Body, Command, Ended, Refusal, RetryAfter};

impl Endpoint {
    pub(super) fn command(&mut self, now: Instant, command: Command, local: Option<SocketAddr>) {
        match command {
            Command::Gate(gate) => self.gate = gate,
            Command::Dial(dial) => self.dial(now, *dial, local),
            Command::Progress { leg, status, body } => {
                self.with_leg(leg, |endpoint, _, leg| endpoint.progress(now, leg, status, body));
            }
            Command::Answer { leg, body } => {
                self.with_leg(leg, |endpoint, _, leg| endpoint.accept_offer(now, leg, body.as_ref()));
            }
            Command::Accept { leg, body } => {
                self.with_leg(leg, |endpoint, _, leg| endpoint.accept_reoffer(now, leg, body.as_ref()));
            }
            Command::Reject { leg, refusal } => {
                self.with_leg(leg, |endpoint, id, leg| endpoint.reject(now, id, leg, &refusal));
            }
            Command::Acknowledge { leg, body } => {
                self.with_leg(leg, |endpoint, _, leg| endpoint.acknowledge_call(leg, body.as_ref()));
            }
            Command::Modify { .. } | Command::Info { .. } => {}
            Command::Hangup { leg, reason } => {
                self.with_leg(leg, |endpoint, id, leg| endpoint.hang_up(now, id, leg, reason));
            }
        }
    }

    fn progress(&mut self, now: Instant, leg: &mut Leg, status: u16, body: Option<Body>) {
        let Stage::Offered(offered) = &leg.stage else { return };
        let status = status.clamp(101, 199);
        let headers = [("Contact", self.contact_of(leg)), ("Allow", ALLOW.to_owned())];
        let answer = self.answer_in(leg, &offered.asked, status, &headers).record_route();
        let octets: super::Octets = with_body(answer, body.as_ref()).octets().into();
        let sent = self.transactions.respond(now, offered.asked.tx, status, octets.clone());
        self.transmit_if(sent);
        if let Stage::Offered(offered) = &mut leg.stage {
            offered.progress = Some((now + PROGRESS_AGAIN, status, octets));
        }
    }

    fn accept_offer(&mut self, now: Instant, leg: &mut Leg, body: Option<&Body>) {
        match std::mem::replace(&mut leg.stage, Stage::Up) {
            Stage::Offered(offered) => self.accept(now, leg, &offered.asked, body),
            stage => leg.stage = stage,
        }
    }

    fn accept_reoffer(&mut self, now: Instant, leg: &mut Leg, body: Option<&Body>) {
        let Some(reoffer) = leg.reoffer.take() else { return };
        leg.dialog.refresh_target(&reoffer.asked.invite);
        self.accept(now, leg, &reoffer.asked, body);
    }

    /// 200, which the dialog repeats until its ACK.
    fn accept(&mut self, now: Instant, leg: &mut Leg, asked: &Asked, body: Option<&Body>) {
        let headers =
            [("Contact", self.contact_of(leg)), ("Allow", ALLOW.to_owned()), ("Accept", ACCEPT.to_owned())];
        let answer = self.answer_in(leg, asked, 200, &headers).record_route();
        let octets: super::Octets = with_body(answer, body).octets().into();
        let way = self.transactions.way(asked.tx);
        let sent = self.transactions.respond(now, asked.tx, 200, octets.clone());
        self.transmit_if(sent);
        leg.wait = way.map(|way| AckWait::new(now, self.timers, asked.invite.cseq(), way, octets));
    }

    fn reject(&mut self, now: Instant, id: LegId, leg: &mut Leg, refusal: &Refusal) {
        let headers = self.refusal_headers(leg.dialog.hop, refusal);
        let status = refusal.status.clamp(300, 699);
        if let Some(reoffer) = leg.reoffer.take() {
            return self.answer_invite(now, leg, &reoffer.asked, status, &headers);
        }
        match std::mem::replace(&mut leg.stage, Stage::Over) {
            Stage::Offered(offered) => {
                self.answer_invite(now, leg, &offered.asked, status, &headers);
                self.end(now, id, leg, Ended::ByUs);
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
        headers
    }

    /// The beginning of an answer to an INVITE of the leg.
    pub(super) fn answer_in<'m>(
        &self,
        leg: &Leg,
        asked: &'m Asked,
        status: u16,
        headers: &[(&'static str, String)],
    ) -> Response<'m> {
        let force_rport = leg.trunk.force_rport;
        let mut answer = Response::to(&asked.invite, status)
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

fn with_body<'m>(answer: Response<'m>, body: Option<&Body>) -> Response<'m> {
    match body {
        Some(body) => answer.body(body.content_type.clone(), body.bytes.clone()),
        None => answer,
    }
}
