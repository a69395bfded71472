//! Requests inside a dialog (RFC 3261 §12.2.2, sip-trunk.md section 12).

use std::time::Instant;

use super::Endpoint;
use super::authored::{ALLOW, ALLOW_EVENTS};
use super::leg::{Exchange, Leg, Stage};
use super::outside::{Denial, judge_require};
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
                Method::Invite => match self.judge_reinvite(leg, &request) {
                    Ok(()) => {
                        self.reoffered(now, peer, id, leg, request);
                        return None;
                    }
                    Err(denial) => Some(denial),
                },
                Method::Info => self.info(now, peer, id, leg, &request).err(),
                Method::Update => return self.update(now, peer, id, leg, request),
                Method::Prack => return self.pracked(now, peer, id, leg, request),
                Method::Options => {
                    self.options(now, peer, &request);
                    None
                }
                Method::Notify => self.notified(now, peer, &request).err(),
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
        judge_require(request)?;
        leg.learn(request);
        Ok(())
    }

    /// The course of a REFER of ours; there is no other event.
    fn notified(&mut self, now: Instant, peer: Peer, request: &Message) -> Result<(), Denial> {
        let event = request.header("Event").unwrap_or_default();
        let event = event.split(';').next().unwrap_or_default().trim();
        if !event.eq_ignore_ascii_case(ALLOW_EVENTS) {
            return Err(Denial::new(489, "event").header("Allow-Events", ALLOW_EVENTS));
        }
        self.ok(now, peer, request);
        Ok(())
    }

    /// 200 before anything else, and the leg is over; also before the ACK, and when our own BYE is out.
    fn bye_came(&mut self, now: Instant, peer: Peer, id: LegId, leg: &mut Leg, bye: &Message) {
        self.ok(now, peer, bye);
        let ours = matches!(leg.stage, Stage::Leaving) || leg.hangup.is_some();
        let early = matches!(leg.stage, Stage::Offered(_));
        let reason = bye.header("Reason").map(String::from);
        self.terminate_offer(now, leg);
        let how = match (ours, early) {
            (true, _) => Ended::ByUs,
            // RFC 3261 §15: in an early dialog it is one more way to give up
            (false, true) => Ended::Cancelled { reason },
            (false, false) => Ended::Bye { reason },
        };
        self.end(now, id, leg, how);
    }

    fn ok(&mut self, now: Instant, peer: Peer, request: &Message) {
        self.conclude(now, peer, request, "", 200, &[]);
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
        let Some(wait) = leg.wait.take_if(|wait| wait.is_for(ack.cseq())) else {
            return true; // a copy
        };
        if wait.offers {
            leg.exchange = Exchange::Done;
        }
        match leg.hangup.take() {
            Some(reason) => self.bye(now, id, leg, reason),
            None => self.tell(Event::Confirmed { leg: id, body: body_of(ack) }),
        }
        self.go_on(now, id, leg);
        true
    }
}

/// The body of a message, if it has one.
pub(super) fn body_of(message: &Message) -> Option<Body> {
    let bytes = message.body();
    let content_type = message.header("Content-Type").map(|kind| kind.into_owned()).unwrap_or_default();
    (!bytes.is_empty()).then(|| Body { content_type, bytes: bytes.to_vec() })
}
