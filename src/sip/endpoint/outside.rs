//! Requests outside a dialog: the checks of sip-trunk.md section 4, steps 4 to 9, and what passes them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Endpoint;
use super::access::Rate;
use super::authored::{ACCEPT, ACCEPT_INFO, ALLOW, ALLOW_EVENTS, SUPPORTED};
use super::leg::{self, Asked, Exchange, Leg, Offered, Reliably, Stage};
use super::receive::Peer;
use crate::ids::LegId;
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::message::{Message, Method};
use crate::sip::transaction::table::TxId;
use crate::sip::transaction::{MergeKey, ServerKey};
use crate::sip::{Ended, Event, Gate, Incoming};

/// Why a request is refused, and what its answer says.
#[derive(Debug)]
pub(super) struct Denial {
    /// Final, 400 or above.
    pub(super) status: u16,
    /// For log and metric, from a fixed list.
    pub(super) cause: &'static str,
    /// Of the answer.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Denial {
    pub(super) fn new(status: u16, cause: &'static str) -> Self {
        Self { status, cause, headers: Vec::new() }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Endpoint {
    /// A request that belongs to no dialog of ours.
    pub(super) fn outside(&mut self, now: Instant, peer: Peer, request: Message) {
        let (servers, _) = self.transactions.len();
        let rate = self.access.count_request(now, peer.hop.remote.ip());
        let without_state = match rate {
            Rate::Silence => return self.drop_message(now, peer.hop, "flood"),
            Rate::Refuse => Some("flood"),
            Rate::Within => (servers >= self.config.max_transactions).then_some("transactions"),
        };
        if let Some(cause) = without_state {
            self.outcry.refusal(now, cause, peer.hop, Some(503));
            let wait = [("Retry-After", self.retry_after(1, 5))];
            return self.answer_without_state(peer, &request, 503, &wait);
        }
        if self.is_asked_who(now, peer, &request) {
            return;
        }
        match self.judge(&request) {
            Err(denial) => self.deny(now, peer, &request, denial),
            Ok(()) if *request.method() == Method::Invite => self.invite(now, peer, request),
            Ok(()) => self.options(now, peer, &request),
        }
    }

    /// Steps 5 to 9.
    fn judge(&mut self, request: &Message) -> Result<(), Denial> {
        judge_method(request)?;
        judge_require(request)?;
        if self.is_merged(request) {
            return Err(Denial::new(482, "merged"));
        }
        self.judge_gate(request)?;
        if *request.method() == Method::Invite {
            judge_body(request)?;
            judge_accept(request)?;
            self.judge_replaces(request)?;
        }
        Ok(())
    }

    /// To replace a call is a feature of its own; an INVITE that names one of ours is a call like any other, one
    /// that names none is meant for nobody (RFC 3891 §3).
    fn judge_replaces(&self, request: &Message) -> Result<(), Denial> {
        let Some(value) = request.header("Replaces") else { return Ok(()) };
        let mut parts = value.split(';').map(str::trim);
        let call_id = parts.next().unwrap_or_default();
        let to_tag = parts.find_map(|part| part.strip_prefix("to-tag="));
        let known = to_tag.map(|tag| DialogKey::new(call_id.as_bytes(), tag));
        match known.is_some_and(|key| self.dialogs.contains_key(&key)) {
            true => Ok(()),
            false => Err(Denial::new(481, "replaces")),
        }
    }

    fn is_merged(&self, request: &Message) -> bool {
        let Some(first) = self.transactions.merged(&MergeKey::of(request)) else { return false };
        match self.transactions.leg(first) {
            Some(leg) => self.legs.get(&leg).is_some_and(|leg| !leg.told_end),
            None => *request.method() != Method::Invite,
        }
    }

    fn judge_gate(&mut self, request: &Message) -> Result<(), Denial> {
        let (cause, wait) = match self.gate {
            Gate::Open => return Ok(()),
            Gate::Full => ("overload", self.retry_after(1, 5)),
            Gate::Draining => ("draining", "30".to_owned()),
        };
        let denial = Denial::new(503, cause).header("Retry-After", wait);
        Err(match request.method() {
            Method::Invite => denial.header("Reason", "Q.850;cause=42"),
            _ => denial,
        })
    }

    /// Refuses in a transaction of its own, so that copies get the same answer.
    pub(super) fn deny(&mut self, now: Instant, peer: Peer, request: &Message, denial: Denial) {
        self.outcry.refusal(now, denial.cause, peer.hop, Some(denial.status));
        let tag = self.tag();
        self.conclude(now, peer, request, &tag, denial.status, &denial.headers);
    }

    /// Begins the transaction of a request.
    pub(super) fn serve(&mut self, peer: Peer, request: &Message, tag: &str) -> TxId {
        let way = self.way_back(request, peer.hop, Some(peer.trunk));
        let merge = request.to().tag().is_none().then(|| MergeKey::of(request));
        let invite = *request.method() == Method::Invite;
        self.transactions.serve(ServerKey::of(request), merge, invite, way, tag)
    }

    /// Answers a request at once and for good, in a transaction of its own.
    pub(super) fn conclude(
        &mut self,
        now: Instant,
        peer: Peer,
        request: &Message,
        tag: &str,
        status: u16,
        headers: &[(&'static str, String)],
    ) {
        let tx = self.serve(peer, request, tag);
        let mut answer = self.answer(request, status, peer.hop, Some(peer.trunk)).to_tag(tag);
        for (name, value) in headers {
            answer = answer.header(*name, value.clone());
        }
        let octets = answer.octets().into();
        let sent = self.transactions.respond(now, tx, status, octets);
        self.transmit_if(sent);
    }

    /// 200 to OPTIONS, outside a dialog or inside: what we are able to do (§11.2).
    pub(super) fn options(&mut self, now: Instant, peer: Peer, request: &Message) {
        let tag = self.tag();
        let headers = [
            ("Contact", self.contact(peer.hop, false)),
            ("Allow", ALLOW.to_owned()),
            ("Accept", format!("{ACCEPT}, {ACCEPT_INFO}")),
            ("Supported", SUPPORTED.to_owned()),
            ("Allow-Events", ALLOW_EVENTS.to_owned()),
        ];
        self.conclude(now, peer, request, &tag, 200, &headers);
    }

    /// A call for us: 100 at once, and the leg begins.
    fn invite(&mut self, now: Instant, peer: Peer, invite: Message) {
        let Some(trunk) = self.trunk(peer.trunk).cloned() else { return };
        let (id, tag) = (self.new_leg(), self.tag());
        let tx = self.serve(peer, &invite, &tag);
        self.transactions.bind(tx, id);
        let trying = self.answer(&invite, 100, peer.hop, Some(peer.trunk)).octets().into();
        let sent = self.transactions.respond(now, tx, 100, trying);
        self.transmit_if(sent);

        let dialog = Dialog::of_invite(&invite, &tag, peer.hop);
        let expires = invite.expires().map(|seconds| now + Duration::from_secs(seconds.into()));
        self.dialogs.insert(dialog.key(), id);
        let asked = Asked { tx, request: invite.clone(), source: peer.hop.remote };
        let reliably = Reliably::of(&invite);
        let waiting = VecDeque::new();
        let offered = Offered { asked, expires, reliably, progress: None, waiting, answer: None };
        let mut leg = Leg::new(trunk, dialog, Stage::Offered(Box::new(offered)));
        leg.exchange = if invite.body().is_empty() { Exchange::Open } else { Exchange::Theirs };
        leg.learn(&invite);
        self.settle(id, Box::new(leg));
        self.tell(Event::Incoming(Box::new(Incoming {
            leg: id,
            trunk: peer.trunk,
            at: now,
            local: peer.hop.local,
            remote: peer.hop.remote,
            transport: peer.hop.transport,
            reliable: reliably != Reliably::Never,
            invite,
        })));
    }

    fn new_leg(&mut self) -> LegId {
        loop {
            self.last_leg += 1;
            let id = leg::inbound(self.last_leg);
            if !self.legs.contains_key(&id) {
                return id;
            }
        }
    }

    /// CANCEL (§9.2): answered by itself; an INVITE that has no final answer gets 487.
    pub(super) fn cancel(&mut self, now: Instant, peer: Peer, cancel: &Message) {
        let invite = self.transactions.serving(&ServerKey::cancelled_by(cancel));
        let Some(invite) = invite else {
            self.outcry.refusal(now, "no_transaction", peer.hop, Some(481));
            return self.answer_without_state(peer, cancel, 481, &[]);
        };
        let tag = self.transactions.tag(invite).unwrap_or_default().to_owned();
        self.conclude(now, peer, cancel, &tag, 200, &[]);
        let leg = self.transactions.leg(invite);
        if let Some(leg) = leg.filter(|_| self.transactions.is_proceeding(invite)) {
            let reason = cancel.header("Reason").map(String::from);
            self.with_leg(leg, |endpoint, leg_id, leg| endpoint.cancelled(now, leg_id, leg, invite, reason));
        }
    }

    /// The INVITE of a leg, or its re-INVITE, is taken back.
    fn cancelled(&mut self, now: Instant, id: LegId, leg: &mut Leg, tx: TxId, reason: Option<String>) {
        match leg.reoffer.take_if(|reoffer| reoffer.asked.tx == tx) {
            Some(reoffer) => {
                self.answer_invite(now, leg, &reoffer.asked, 487, &[]);
                self.go_on(now, id, leg);
            }
            None => {
                self.terminate_offer(now, leg);
                self.end(now, id, leg, Ended::Cancelled { reason });
            }
        }
    }

    /// 487 to an INVITE that is not answered.
    pub(super) fn terminate_offer(&mut self, now: Instant, leg: &mut Leg) {
        if let Stage::Offered(offered) = std::mem::replace(&mut leg.stage, Stage::Over) {
            self.answer_invite(now, leg, &offered.asked, 487, &[]);
        }
    }

    /// An answer without a body to an INVITE of the leg's peer, the first or a later one.
    pub(super) fn answer_invite(
        &mut self,
        now: Instant,
        leg: &Leg,
        asked: &Asked,
        status: u16,
        headers: &[(&'static str, String)],
    ) {
        let octets = self.answer_in(leg, asked, status, headers).octets().into();
        let sent = self.transactions.respond(now, asked.tx, status, octets);
        self.transmit_if(sent);
    }

    /// The leg a request with a To tag belongs to.
    pub(super) fn leg_of(&self, request: &Message) -> Option<LegId> {
        self.dialogs.get(&DialogKey::of_request(request)?).copied()
    }
}

/// Step 5.
fn judge_method(request: &Message) -> Result<(), Denial> {
    use Method::{Bye, Cancel, Info, Invite, Notify, Options, Prack, Update};
    let (status, cause) = match request.method() {
        Method::Other(_) => (501, "method_unknown"),
        Method::Register | Method::Subscribe | Method::Publish | Method::Message | Method::Refer => {
            (405, "method")
        }
        Bye | Info | Update | Prack | Notify | Cancel | Method::Ack => {
            return Err(Denial::new(481, "no_dialog"));
        }
        Invite | Options if request.to().tag().is_some() => return Err(Denial::new(481, "no_dialog")),
        Invite | Options => return Ok(()),
    };
    Err(Denial::new(status, cause).header("Allow", ALLOW))
}

/// Step 6.
pub(super) fn judge_require(request: &Message) -> Result<(), Denial> {
    let known = |option: &str| SUPPORTED.split(", ").any(|ours| ours.eq_ignore_ascii_case(option));
    let required = request.list("Require");
    let lacking: Vec<&str> =
        required.iter().map(|option| &**option).filter(|option| !known(option)).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Denial::new(420, "require").header("Unsupported", lacking.join(", ")))
}

/// Who can read no session description cannot be answered (RFC 3261 §20.1); without Accept anybody can.
fn judge_accept(request: &Message) -> Result<(), Denial> {
    let takes = |range: &str| {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let kind = parts.next().unwrap_or_default();
        let refused = parts
            .any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0)));
        matches!(kind.as_str(), "application/sdp" | "application/*" | "*/*" | "multipart/mixed") && !refused
    };
    if request.header("Accept").is_none() || request.list("Accept").iter().any(|range| takes(range)) {
        return Ok(());
    }
    Err(Denial::new(406, "accept"))
}

/// Step 9: a session description, or parts among which one may be.
pub(super) fn judge_body(request: &Message) -> Result<(), Denial> {
    let encoding = request.header("Content-Encoding").unwrap_or_default();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        return Err(Denial::new(415, "content_encoding").header("Accept-Encoding", ""));
    }
    if request.body().is_empty() {
        return Ok(());
    }
    match request.content_type().as_deref() {
        Some("application/sdp" | "multipart/mixed") => Ok(()),
        _ => Err(Denial::new(415, "content_type").header("Accept", ACCEPT)),
    }
}
