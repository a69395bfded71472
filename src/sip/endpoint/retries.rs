//! What a refusal of our INVITE is answered with: credentials, a longer session, another place (sip-trunk.md
//! sections 13 and 15).

use std::time::Instant;

use super::attempts::Aim;
use super::leg::Leg;
use super::{Endpoint, Octets};
use crate::ids::LegId;
use crate::sip::auth::Tries;
use crate::sip::message::{Message, NameAddr, Request, Scheme, Uri};
use crate::sip::target::Question;
use crate::sip::{Ended, Target, Transport, Trunk};

/// 422 that are answered for one call (RFC 4028 §7.4).
const LENGTHENINGS: u8 = 3;
/// 3xx that are followed for one call.
const REDIRECTS: u8 = 3;
/// Contacts of one 3xx that are looked at.
const CONTACTS: usize = 8;

impl Endpoint {
    /// The present INVITE was refused: tried again where that may help, or the call is over.
    pub(super) fn retry(&mut self, now: Instant, id: LegId, leg: &mut Leg, status: u16, response: &Message) {
        let reason = response.header("Reason").map(String::from);
        let how = Ended::Refused { status, reason };
        let again = match status {
            401 | 407 => challenged(leg, response),
            422 => lengthened(leg, response),
            300..=399 => return self.redirected(now, id, leg, response, how),
            503 => return self.fail_over(now, id, leg, how),
            _ => false,
        };
        let hop = leg.call.as_ref().and_then(|call| call.attempts.last()).map(|attempt| attempt.way.hop);
        match hop.filter(|_| again) {
            Some(hop) => {
                leg.dialog.next_seq();
                self.invite_to(now, id, leg, hop);
            }
            None => self.end(now, id, leg, how),
        }
    }

    /// Only to hosts of the trunk, and only where it says so.
    fn redirected(&mut self, now: Instant, id: LegId, leg: &mut Leg, response: &Message, how: Ended) {
        let trunk = leg.trunk.clone();
        let Some(call) = leg.call.as_mut().filter(|call| trunk.follow_redirect && call.redirects < REDIRECTS)
        else {
            return self.end(now, id, leg, how);
        };
        let mut contacts: Vec<(i32, Aim)> = Vec::new();
        for entry in response.list_octets("Contact").iter().take(CONTACTS) {
            let Ok(contact) = NameAddr::parse(entry) else { continue };
            if let Some(aim) = self.aim_of_redirect(&trunk, &contact.uri, call.plan.credentials.clone()) {
                contacts.push((preference(&contact), aim));
            }
        }
        if contacts.is_empty() {
            return self.end(now, id, leg, how);
        }
        contacts.sort_by_key(|(preference, _)| -preference);
        call.redirects += 1;
        (call.failure, call.plan.hops) = (Some(how), std::collections::VecDeque::new());
        call.plan.aims = contacts.into_iter().map(|(_, aim)| aim).collect();
        self.try_next(now, id, leg);
    }

    /// A place of the trunk: an address of it, or a name that it has for a target.
    fn aim_of_redirect(
        &self,
        trunk: &Trunk,
        uri: &Uri,
        given: Option<crate::sip::Credentials>,
    ) -> Option<Aim> {
        let transport =
            match (uri.scheme(), uri.param("transport").map(|name| name.to_ascii_lowercase()).as_deref()) {
                (Scheme::Sips, _) | (Scheme::Sip, Some("tls")) => Some(Transport::Tls),
                (Scheme::Sip, Some("udp")) => Some(Transport::Udp),
                (Scheme::Sip, Some("tcp")) => Some(Transport::Tcp),
                (Scheme::Sip, None) => None,
                (Scheme::Sip, Some(_)) | (Scheme::Tel | Scheme::Other, _) => return None,
            };
        let host = uri.host_ip().map_or_else(|| uri.host().to_owned(), |ip| ip.to_string());
        let known = trunk.targets.iter().find(|target| target.host.eq_ignore_ascii_case(&host));
        let ours = uri.host_ip().is_some_and(|ip| self.targets.is_of(trunk, ip));
        if known.is_none() && !ours {
            return None;
        }
        let credentials = known.and_then(|target| target.credentials.clone()).or(given);
        let place = Target { host, port: uri.port(), transport, priority: 0, weight: 0, credentials: None };
        let text = uri.as_str();
        let text =
            if uri.has_headers() { text.rsplit_once('?').map_or(text, |(before, _)| before) } else { text };
        Some(Aim { question: Question::of(&place, trunk), credentials, uri: Some(text.to_owned()) })
    }

    /// With what those who challenged this leg want to see. Only legs that we began have it.
    pub(super) fn authorized(&mut self, leg: &mut Leg, request: Request) -> Request {
        let Some(login) = &mut leg.login else { return request };
        let uri = String::from_utf8_lossy(request.uri()).into_owned();
        let fields = login.headers(request.method().as_str(), &uri, &mut self.entropy);
        fields.into_iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    /// A request of ours inside the dialog was refused with 401 or 407: whether it is worth sending again, numbered
    /// anew and `authorized`. `tries` are those of this request, kept from the first sending on.
    pub(super) fn may_answer(&self, leg: &mut Leg, response: &Message, tries: &mut Tries) -> bool {
        let asked = matches!(response.status(), Some(401 | 407));
        asked && leg.login.as_mut().is_some_and(|login| login.challenged(response, tries))
    }

    /// Our BYE was refused: a challenge is answered, anything else ends the leg all the same.
    pub(super) fn bye_refused(&mut self, now: Instant, id: LegId, leg: &mut Leg, response: &Message) {
        let mut tries = std::mem::take(&mut leg.bye.1);
        if self.may_answer(leg, response, &mut tries) {
            leg.bye.1 = tries;
            let reason = leg.bye.0.clone();
            return self.send_bye(now, id, leg, reason);
        }
        self.end(now, id, leg, Ended::ByUs);
    }

    /// BYE, with what those who challenged want to see.
    pub(super) fn send_bye(&mut self, now: Instant, id: LegId, leg: &mut Leg, reason: Option<String>) {
        let trunk = leg.trunk.clone();
        let (mut request, way, branch) =
            self.request(&mut leg.dialog, &trunk, crate::sip::message::Method::Bye);
        if let Some(reason) = reason {
            request = request.header("Reason", reason);
        }
        let octets: Octets = self.authorized(leg, request).octets().into();
        self.begin(now, leg, crate::sip::transaction::table::Purpose::Bye(id), &branch, way, &octets);
    }
}

fn challenged(leg: &mut Leg, response: &Message) -> bool {
    let (Some(call), Some(login)) = (&mut leg.call, &mut leg.login) else { return false };
    login.challenged(response, &mut call.tries)
}

/// 422: the session is asked for as long as the refusal wants it, in both fields (RFC 4028 §7.4).
fn lengthened(leg: &mut Leg, response: &Message) -> bool {
    let Some(call) = leg.call.as_mut().filter(|call| call.lengthened < LENGTHENINGS) else { return false };
    call.lengthened += 1;
    leg.session.raise(response)
}

/// `q` of a Contact in thousandths; without one, 1.
fn preference(contact: &NameAddr) -> i32 {
    let q = contact.param("q").and_then(|q| q.trim().parse::<f64>().ok()).filter(|q| (0.0..=1.0).contains(q));
    (q.unwrap_or(1.0) * 1000.0) as i32
}
