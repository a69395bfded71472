//! Early dialogs of a call of ours: what 1xx made, one for each far end that rings (RFC 3261 §12.1.2), and PRACK
//! (RFC 3262 §4).

use std::time::Instant;

use super::leg::{Exchange, Leg};
use super::{Endpoint, Hop, Octets};
use crate::ids::LegId;
use crate::sip::auth::Tries;
use crate::sip::dialog::Dialog;
use crate::sip::message::{Message, Method};
use crate::sip::transaction::table::Purpose;

/// Far ends of one INVITE that may ring at once; more cannot be meant seriously.
const MAX_EARLY: usize = 16;

/// A far end that rings.
#[derive(Debug)]
pub(super) struct Early {
    /// Which of the call's.
    number: u8,
    /// With its tag, its route set, and our numbers in it.
    pub(super) dialog: Dialog,
    /// The last reliable 1xx: RSeq, and CSeq of the INVITE.
    acknowledged: Option<(u32, u32)>,
    /// Who was answered about its PRACK.
    tries: Tries,
}

impl Endpoint {
    /// A 1xx above 100 came. Whether it is news to the call: a copy, or one out of order, is not (RFC 3262 §4).
    pub(super) fn rings_early(
        &mut self,
        now: Instant,
        hop: Hop,
        id: LegId,
        leg: &mut Leg,
        response: &Message,
    ) -> bool {
        let Some(call) = &mut leg.call else { return false };
        let Some(tag) = response.to().tag() else { return true };
        let at = call.early.iter().position(|early| early.dialog.remote_tag() == tag);
        if response.status() == Some(199) {
            // RFC 6228: this one will not answer any more.
            at.map(|at| call.early.remove(at));
            return true;
        }
        let at = match at {
            Some(at) => at,
            None if call.early.len() >= MAX_EARLY => {
                self.drop_message(now, hop, "forks");
                return false;
            }
            None => {
                let number = call.early.iter().map(|early| early.number + 1).max().unwrap_or(0);
                let dialog = leg.dialog.answered(response, hop);
                call.early.push(Early { number, dialog, acknowledged: None, tries: Tries::default() });
                call.early.len() - 1
            }
        };
        let Some(early) = call.early.get_mut(at) else { return false };
        early.dialog.refresh_target(response);
        let Some(rseq) = reliable(response) else { return true };
        if early.acknowledged.is_some_and(|(last, _)| rseq != last.wrapping_add(1)) {
            return false;
        }
        early.acknowledged = Some((rseq, response.cseq()));
        if !response.body().is_empty() && leg.exchange == Exchange::Ours {
            leg.exchange = Exchange::Done; // RFC 3262 §5
        }
        let number = early.number;
        self.send_prack(now, id, leg, number);
        true
    }

    /// PRACK of the last reliable 1xx of that far end.
    fn send_prack(&mut self, now: Instant, id: LegId, leg: &mut Leg, number: u8) {
        let trunk = leg.trunk.clone();
        let Some(call) = &mut leg.call else { return };
        let Some(early) = call.early.iter_mut().find(|early| early.number == number) else { return };
        let Some((rseq, cseq)) = early.acknowledged else { return };
        let (request, way, branch) = self.request(&mut early.dialog, &trunk, Method::Prack);
        let request = request.header("RAck", format!("{rseq} {cseq} INVITE"));
        let octets: Octets = self.authorized(leg, request).octets().into();
        self.begin(now, leg, Purpose::Prack(id, number), &branch, way, &octets);
    }

    /// A PRACK was refused; a challenge is answered.
    pub(super) fn prack_refused(
        &mut self,
        now: Instant,
        id: LegId,
        leg: &mut Leg,
        number: u8,
        response: &Message,
    ) {
        let (Some(call), Some(login)) = (&mut leg.call, &mut leg.login) else { return };
        let early = call.early.iter_mut().find(|early| early.number == number);
        let asked = matches!(response.status(), Some(401 | 407));
        if early.is_some_and(|early| asked && login.challenged(response, &mut early.tries)) {
            self.send_prack(now, id, leg, number);
        }
    }
}

impl Leg {
    /// A request came inside an early dialog of ours: its Contact is where that far end is from now on.
    pub(super) fn refresh_early(&mut self, request: &Message) {
        let Some(call) = &mut self.call else { return };
        let tag = request.from().tag().unwrap_or_default();
        let theirs = call.early.iter_mut().find(|early| early.dialog.remote_tag() == tag);
        if let Some(early) = theirs {
            early.dialog.refresh_target(request);
        }
    }
}

/// RSeq of a 1xx that is to be acknowledged.
fn reliable(response: &Message) -> Option<u32> {
    let rseq = response.header("RSeq").filter(|_| response.lists("Require", "100rel"))?;
    rseq.trim().parse().ok().filter(|rseq| (1..1 << 31).contains(rseq))
}
