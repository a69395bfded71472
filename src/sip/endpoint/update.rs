//! New offers of the peer in a dialog: re-INVITE, UPDATE, PRACK; and UPDATE without one (RFC 3311 §5.2,
//! sip-trunk.md section 12). One is put to the call at a time.

use std::time::Instant;

use super::Endpoint;
use super::authored::{ALLOW, SUPPORTED};
use super::inside::body_of;
use super::leg::{Asked, Exchange, Leg, Reoffer, Stage, TRYING_AFTER};
use super::modify::Change;
use super::outside::{Denial, judge_body};
use super::receive::Peer;
use crate::ids::LegId;
use crate::sip::Event;
use crate::sip::dialog::session_timer::SessionTimer;
use crate::sip::message::{Message, Method};

impl Endpoint {
    /// Whether a re-INVITE may be put to the call now (RFC 3261 §14.2).
    pub(super) fn judge_reinvite(&mut self, leg: &Leg, request: &Message) -> Result<(), Denial> {
        if matches!(leg.stage, Stage::Offered(_)) || leg.reoffer.is_some() {
            return Err(self.later("reinvite_pending"));
        }
        let ours_is_open = leg.change.as_ref().is_some_and(Change::is_open);
        if !leg.is_at_rest() || ours_is_open {
            return Err(Denial::new(491, "reinvite_pending"));
        }
        judge_body(request)?;
        judge_timer(request)
    }

    /// Whether an UPDATE or PRACK with an offer may be put to the call now: not while an offer of either side has no
    /// answer.
    pub(super) fn judge_offer(&mut self, leg: &Leg, request: &Message) -> Result<(), Denial> {
        if leg.reoffer.is_some() {
            return Err(self.later("offer_pending"));
        }
        let ours_is_open = leg.change.as_ref().is_some_and(Change::is_open);
        if ours_is_open || leg.hangup.is_some() || leg.wait.as_ref().is_some_and(|wait| wait.offers) {
            return Err(Denial::new(491, "offer_pending"));
        }
        match leg.exchange {
            Exchange::Done => judge_body(request),
            Exchange::Ours => Err(Denial::new(491, "offer_pending")),
            Exchange::Theirs | Exchange::Open => Err(self.later("offer_pending")),
        }
    }

    fn later(&mut self, cause: &'static str) -> Denial {
        Denial::new(500, cause).header("Retry-After", self.retry_after(0, 10))
    }

    /// Puts an offer to the call; `Accept` or `Reject` answers the request.
    pub(super) fn reoffered(&mut self, now: Instant, peer: Peer, id: LegId, leg: &mut Leg, request: Message) {
        let tag = leg.dialog.local_tag().to_owned();
        let tx = self.serve(peer, &request, &tag);
        self.transactions.bind(tx, id);
        let body = body_of(&request);
        // RFC 4320 §4.1: what is no INVITE gets no early 100.
        let trying = (*request.method() == Method::Invite).then(|| now + TRYING_AFTER);
        let asked = Asked { tx, request, source: peer.hop.remote };
        leg.reoffer = Some(Box::new(Reoffer { asked, trying }));
        self.tell(Event::Reoffer { leg: id, body });
    }

    /// UPDATE: without an offer it refreshes target and timer and is answered at once.
    pub(super) fn update(
        &mut self,
        now: Instant,
        peer: Peer,
        id: LegId,
        leg: &mut Leg,
        request: Message,
    ) -> Option<(Message, Denial)> {
        let judged = judge_timer(&request).and_then(|()| match request.body().is_empty() {
            // RFC 3311 §5.2: one UPDATE after the other.
            true if leg.reoffer.as_deref().is_some_and(Reoffer::is_update) => {
                Err(self.later("update_pending"))
            }
            true => Ok(()),
            false => self.judge_offer(leg, &request),
        });
        if let Err(denial) = judged {
            return Some((request, denial));
        }
        if !request.body().is_empty() {
            self.reoffered(now, peer, id, leg, request);
            return None;
        }
        match leg.stage {
            Stage::Calling => leg.refresh_early(&request),
            _ => leg.dialog.refresh_target(&request),
        }
        let mut headers = vec![
            ("Contact", self.contact_of(leg)),
            ("Allow", ALLOW.to_owned()),
            ("Supported", SUPPORTED.to_owned()),
        ];
        if matches!(leg.stage, Stage::Up) {
            headers.extend(leg.renegotiate(now, &request, false));
        }
        self.conclude(now, peer, &request, "", 200, &headers);
        None
    }

    /// A re-INVITE that takes its time gets a 100.
    pub(super) fn reoffer_due(&mut self, now: Instant, leg: &mut Leg) {
        let due = leg.reoffer.take_if(|reoffer| reoffer.trying.is_some_and(|at| at <= now));
        if let Some(mut reoffer) = due {
            self.answer_invite(now, leg, &reoffer.asked, 100, &[]);
            reoffer.trying = None;
            leg.reoffer = Some(reoffer);
        }
    }

    /// The call is over, or about to be: an offer without its answer gets 487.
    pub(super) fn refuse_reoffer(&mut self, now: Instant, leg: &mut Leg) {
        if let Some(reoffer) = leg.reoffer.take() {
            self.answer_invite(now, leg, &reoffer.asked, 487, &[]);
        }
    }
}

impl Reoffer {
    fn is_update(&self) -> bool {
        *self.asked.request.method() == Method::Update
    }
}

fn judge_timer(request: &Message) -> Result<(), Denial> {
    SessionTimer::judge(request)
        .map_err(|min_se| Denial::new(422, "session_interval").header("Min-SE", min_se.to_string()))
}
