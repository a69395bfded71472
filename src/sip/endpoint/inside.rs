//! Requests inside a dialog (RFC 3261 §12.2.2, sip-trunk.md section 12).

use std::time::Instant;

use super::Endpoint;
use super::authored::ALLOW;
use super::leg::{Asked, Leg, Reoffer, Stage, TRYING_AFTER};
use super::outside::{Denial, judge_body, judge_require};
use super::receive::Peer;
use crate::ids::LegId;
use crate::sip::dialog::OutOfOrder;
use crate::sip::message::{Message, Method};
use crate::sip::{Body, Ended, Event};

impl Endpoint {
    /// A request with our tag in To.
    pub(super) fn inside(&mut self, now: Instant, peer: Peer, leg: LegId, request: Message) {
        let denied =
            self.with_leg(leg, |endpoint, id, leg| endpoint.serve_inside(now, peer, id, leg, request));
        if let Some(Some((request, denial))) = denied {
            self.deny(now, peer, &request, denial);
        }
    }

    /// Serves it, or gives it back with the reason why not.
    fn serve_inside(
        &mut self,
        now: Instant,
        peer: Peer,
        id: LegId,
        leg: &mut Leg,
        request: Message,
    ) -> Option<(Message, Denial)> {
        let denial = match self.judge_inside(peer, leg, &request) {
            Err(denial) => Some(denial),
            Ok(()) => match request.method() {
                Method::Bye => {
                    self.bye_came(now, peer, id, leg, &request);
                    None
                }
                Method::Invite => match self.judge_reoffer(leg, &request) {
                    Ok(()) => {
                        self.reoffered(now, peer, id, leg, request);
                        return None;
                    }
                    Err(denial) => Some(denial),
                },
                Method::Info => self.info(now, peer, id, leg, &request).err(),
                Method::Update => self.update(now, peer, leg, &request).err(),
                Method::Options => {
                    self.options(now, peer, &request);
                    None
                }
                Method::Notify => Some(Denial::new(489, "event").header("Allow-Events", "refer")),
                Method::Prack => Some(Denial::new(481, "rack")),
                Method::Other(_) => Some(Denial::new(501, "method_unknown").header("Allow", ALLOW)),
                Method::Register
                | Method::Subscribe
                | Method::Publish
                | Method::Message
                | Method::Refer
                | Method::Ack
                | Method::Cancel => Some(Denial::new(405, "method").header("Allow", ALLOW)),
            },
        };
        denial.map(|denial| (request, denial))
    }

    fn judge_inside(&mut self, peer: Peer, leg: &mut Leg, request: &Message) -> Result<(), Denial> {
        match leg.dialog.admit(request, peer.hop) {
            Ok(()) => {}
            Err(OutOfOrder::OtherDialog) => return Err(Denial::new(481, "no_dialog")),
            Err(OutOfOrder::OldSequence) => return Err(Denial::new(500, "cseq")),
        }
        if *request.method() == Method::Bye {
            return Ok(());
        }
        if matches!(leg.stage, Stage::Leaving | Stage::Over) {
            return Err(Denial::new(481, "no_dialog"));
        }
        judge_require(request)
    }

    /// 200 before anything else, and the leg is over; also before the ACK, and when our own BYE is out.
    fn bye_came(&mut self, now: Instant, peer: Peer, id: LegId, leg: &mut Leg, bye: &Message) {
        self.ok(now, peer, bye);
        let ours = matches!(leg.stage, Stage::Leaving) || leg.hangup.is_some();
        let reason = bye.header("Reason").map(String::from);
        self.terminate_offer(now, leg);
        if let Some(reoffer) = leg.reoffer.take() {
            self.answer_invite(now, leg, &reoffer.asked, 487, &[]);
        }
        self.end(now, id, leg, if ours { Ended::ByUs } else { Ended::Bye { reason } });
    }

    fn ok(&mut self, now: Instant, peer: Peer, request: &Message) {
        self.conclude(now, peer, request, "", 200, &[]);
    }

    /// Whether a re-INVITE may be put to the call now (§14.2).
    fn judge_reoffer(&mut self, leg: &Leg, request: &Message) -> Result<(), Denial> {
        let unanswered = matches!(leg.stage, Stage::Offered(_) | Stage::Calling) || leg.reoffer.is_some();
        if unanswered {
            return Err(Denial::new(500, "reinvite_pending").header("Retry-After", self.retry_after(0, 10)));
        }
        if leg.wait.is_some() || leg.hangup.is_some() {
            return Err(Denial::new(491, "reinvite_pending"));
        }
        judge_body(request)
    }

    fn reoffered(&mut self, now: Instant, peer: Peer, id: LegId, leg: &mut Leg, request: Message) {
        let tag = leg.dialog.local_tag().to_owned();
        let tx = self.serve(peer, &request, &tag);
        self.transactions.bind(tx, id);
        let body = body_of(&request);
        let asked = Asked { tx, invite: request, source: peer.hop.remote };
        leg.reoffer = Some(Reoffer { asked, trying: Some(now + TRYING_AFTER) });
        self.tell(Event::Reoffer { leg: id, body });
    }

    /// UPDATE without SDP refreshes the target; with SDP it is not served (RFC 3311 §5.2).
    fn update(&mut self, now: Instant, peer: Peer, leg: &mut Leg, request: &Message) -> Result<(), Denial> {
        let early = matches!(leg.stage, Stage::Offered(_) | Stage::Calling);
        match (request.body().is_empty(), early) {
            (true, _) => {}
            (false, true) => {
                return Err(Denial::new(500, "update_early").header("Retry-After", self.retry_after(0, 10)));
            }
            (false, false) => return Err(Denial::new(488, "update_offer")),
        }
        leg.dialog.refresh_target(request);
        let headers = [("Contact", self.contact_of(leg)), ("Allow", ALLOW.to_owned())];
        self.conclude(now, peer, request, "", 200, &headers);
        Ok(())
    }

    fn info(
        &mut self,
        now: Instant,
        peer: Peer,
        id: LegId,
        leg: &mut Leg,
        request: &Message,
    ) -> Result<(), Denial> {
        let pressed = super::info::read(request)?;
        self.ok(now, peer, request);
        if let (Some((digit, held)), Stage::Up) = (pressed, &leg.stage) {
            self.tell(Event::Digit { leg: id, digit, held });
        }
        Ok(())
    }

    /// ACK: it ends the repetition of the 2xx it is for; any other is dropped, never answered.
    pub(super) fn ack(&mut self, now: Instant, peer: Peer, ack: &Message) {
        let taken = self.leg_of(ack).and_then(|leg| {
            self.with_leg(leg, |endpoint, id, leg| endpoint.acknowledged(now, peer, id, leg, ack))
        });
        if taken != Some(true) {
            self.drop_message(now, peer.hop, "stray_ack");
        }
    }

    fn acknowledged(&mut self, now: Instant, peer: Peer, id: LegId, leg: &mut Leg, ack: &Message) -> bool {
        if leg.dialog.admit(ack, peer.hop).is_err() {
            return false;
        }
        if leg.wait.take_if(|wait| wait.is_for(ack.cseq())).is_none() {
            return true; // a copy
        }
        match leg.hangup.take() {
            Some(reason) => self.bye(now, id, leg, reason),
            None => self.tell(Event::Confirmed { leg: id, body: body_of(ack) }),
        }
        true
    }
}

/// The body of a message, if it has one.
pub(super) fn body_of(message: &Message) -> Option<Body> {
    let bytes = message.body();
    let content_type = message.header("Content-Type").map(|kind| kind.into_owned()).unwrap_or_default();
    (!bytes.is_empty()).then(|| Body { content_type, bytes: bytes.to_vec() })
}
