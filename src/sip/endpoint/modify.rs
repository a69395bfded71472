//! Requests of ours in a dialog that is up: re-INVITE and UPDATE, for the call or to refresh the session, and INFO
//! (RFC 3261 §14.1, RFC 3311 §5.1, RFC 4028 §10).
//!
//! ```text
//!              ┌──────── 491, 422: again, at most three times ────────┐
//!  Modify ──► Waiting ──► Sent ─2xx─► Modified   (INVITE: ACK, at once or by Acknowledge)
//!  half time ─┘             ├─481, 408, nothing─► BYE, the leg is over
//!                           └─other─► Modified(Err), the call is as before
//! ```

use std::time::{Duration, Instant};

use super::authored::ALLOW;
use super::leg::{Exchange, Leg, Stage};
use super::{Endpoint, Octets, Way};
use crate::ids::LegId;
use crate::sip::auth::Tries;
use crate::sip::dialog::session_timer::{Due, Lines};
use crate::sip::message::{Message, Method, Request};
use crate::sip::transaction::table::{Purpose, TxId};
use crate::sip::transaction::timer::earliest;
use crate::sip::{Body, Ended, Event};

/// A change that glares or is asked for another interval is sent again so often.
pub(super) const MAX_TRIES: u8 = 3;

/// Reason of the BYE that ends a call whose session nobody refreshed.
pub(super) const EXPIRED: &str = "SIP;cause=408;text=\"session timer expired\"";

/// What a call wants changed.
#[derive(Debug)]
pub(super) struct Wish {
    /// By UPDATE, if the peer takes it.
    pub(super) update: bool,
    /// Our offer; absent: the peer makes one.
    pub(super) body: Option<Body>,
}

/// A re-INVITE or UPDATE of ours.
#[derive(Debug)]
pub(super) struct Change {
    /// What for: absent, to refresh the session.
    pub(super) wish: Option<Wish>,
    /// How far it is.
    pub(super) doing: Doing,
    /// How often it was refused and is sent again.
    pub(super) tries: u8,
    /// Who challenged it.
    pub(super) asked: Tries,
}

/// How far a change is.
#[derive(Debug)]
pub(super) enum Doing {
    /// Until then, or until nothing stands in the way any more.
    Waiting(Option<Instant>),
    /// It is out.
    Sent(Box<Sent>),
    /// Its 2xx held an offer; the call's answer goes into the ACK to it.
    Unacknowledged(Box<Sent>),
}

/// A request that is out.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) tx: TxId,
    /// When.
    pub(super) at: Instant,
    pub(super) method: Method,
    pub(super) cseq: u32,
    /// What its CANCEL and the ACK of a refusal are made of.
    pub(super) uri: String,
    pub(super) routes: Vec<Vec<u8>>,
    pub(super) way: Way,
    pub(super) branch: String,
    /// Authorization fields in it; the ACK of its 2xx has the same (§22.1).
    pub(super) authorization: Vec<(&'static str, String)>,
    /// The description in it.
    pub(super) body: Option<Body>,
    /// A 1xx came.
    pub(super) provisional: bool,
    /// Of an INVITE: when it is cancelled, and then when it is forgotten.
    pub(super) until: Option<Instant>,
    pub(super) cancelled: bool,
}

impl Change {
    fn new(wish: Option<Wish>) -> Self {
        Self { wish, doing: Doing::Waiting(None), tries: 0, asked: Tries::default() }
    }

    /// The peer has it, and has not done with it.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.doing, Doing::Waiting(_))
    }

    /// When something is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.doing {
            Doing::Waiting(until) => *until,
            Doing::Sent(sent) => earliest([sent.until]),
            Doing::Unacknowledged(_) => None,
        }
    }
}

impl Leg {
    /// Our INVITE was answered with a 2xx: what it says of the session.
    pub(super) fn begun(&mut self, now: Instant, response: &Message) {
        self.learn(response);
        self.session.answered(now, now, response);
        // Without an offer in the INVITE theirs is in the 2xx, and the ACK answers it.
        let offered = self.exchange == Exchange::Open && !response.body().is_empty();
        self.exchange = if offered { Exchange::Theirs } else { Exchange::Done };
    }

    /// A re-INVITE or UPDATE of the peer, or its INVITE, gets a 2xx: what that says of the session timer. A refresh of
    /// ours that waits is not needed any more.
    pub(super) fn renegotiate(&mut self, now: Instant, request: &Message, first: bool) -> Lines {
        self.change.take_if(|change| change.wish.is_none() && !change.is_open());
        self.session.accept(now, request, first)
    }

    /// The leg is over: of a change only an INVITE without its final answer is left, which wants an ACK.
    pub(super) fn leave_change(&mut self) {
        self.next_change = None;
        self.change
            .take_if(|change| !matches!(&change.doing, Doing::Sent(sent) if sent.method == Method::Invite));
    }
}

impl Endpoint {
    /// The call wants the session changed.
    pub(super) fn modify(&mut self, now: Instant, id: LegId, leg: &mut Leg, wish: Wish) {
        if leg.told_end {
            return;
        }
        let up = matches!(leg.stage, Stage::Up) && leg.hangup.is_none();
        match &mut leg.change {
            None if up => {
                leg.change = Some(Change::new(Some(wish)));
                self.go_on(now, id, leg);
            }
            // What changes the session refreshes it too.
            Some(change) if change.wish.is_none() && !change.is_open() => change.wish = Some(wish),
            Some(change) if change.wish.is_none() && leg.next_change.is_none() => {
                leg.next_change = Some(wish);
            }
            None | Some(_) => self.tell(Event::Modified { leg: id, result: Err(491) }),
        }
    }

    /// Sends what waits, if nothing stands in the way.
    pub(super) fn go_on(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        if !leg.is_at_rest() {
            return;
        }
        if leg.change.is_none() {
            leg.change = leg.next_change.take().map(|wish| Change::new(Some(wish)));
        }
        if let Some(change) = leg.change.take_if(|change| matches!(change.doing, Doing::Waiting(None))) {
            self.send_change(now, id, leg, change);
        }
    }

    fn send_change(&mut self, now: Instant, id: LegId, leg: &mut Leg, change: Change) {
        let (method, body) = match &change.wish {
            Some(wish) if wish.update && leg.peer_updates && wish.body.is_some() => {
                (Method::Update, wish.body.clone())
            }
            Some(wish) => (Method::Invite, wish.body.clone()),
            // An INVITE without a description would ask for one.
            None if leg.peer_updates || leg.sdp.is_none() => (Method::Update, None),
            None => (Method::Invite, leg.sdp.clone()),
        };
        let trunk = leg.trunk.clone();
        let (request, way, branch) = self.request(&mut leg.dialog, &trunk, method.clone());
        // No 100rel: what is up does not ring.
        let mut request =
            request.contact(self.contact_of(leg)).header("Allow", ALLOW).header("Supported", "timer");
        for (name, value) in leg.session.ask() {
            request = request.header(name, value);
        }
        if let Some(body) = &body {
            request = request.body(body.content_type.clone(), body.bytes.clone());
        }
        let (invite, cseq) = (method == Method::Invite, leg.dialog.local_seq());
        let aim = leg.dialog.aim();
        let routes = aim.routes.iter().map(|route| route.to_vec()).collect();
        let uri = aim.request_uri;
        let authorization = match &mut leg.login {
            Some(login) => login.headers(method.as_str(), &uri, &mut self.entropy),
            None => Vec::new(),
        };
        for (name, value) in &authorization {
            request = request.header(*name, value.clone());
        }
        let purpose = if invite { Purpose::Reinvite(id) } else { Purpose::Update(id) };
        let octets: Octets = request.octets().into();
        let tx = self.begin(now, leg, purpose, &branch, way, &octets);
        let until = invite.then(|| now + self.timers.give_up());
        let sent = Sent {
            tx,
            at: now,
            method,
            cseq,
            uri,
            routes,
            way,
            branch,
            authorization,
            body,
            provisional: false,
            until,
            cancelled: false,
        };
        leg.change = Some(Change { doing: Doing::Sent(Box::new(sent)), ..change });
    }

    /// The answer of the call to the offer in a 2xx.
    pub(super) fn acknowledge(&mut self, now: Instant, id: LegId, leg: &mut Leg, body: Option<Body>) {
        let unacknowledged = |change: &mut Change| matches!(change.doing, Doing::Unacknowledged(_));
        let Some(Change { doing: Doing::Unacknowledged(sent), .. }) = leg.change.take_if(unacknowledged)
        else {
            return self.acknowledge_first(now, id, leg, body);
        };
        self.send_reack(leg, &sent, body.as_ref());
        leg.sdp = body.or(leg.sdp.take());
        self.go_on(now, id, leg);
    }

    /// The same of the INVITE that began the dialog.
    fn acknowledge_first(&mut self, now: Instant, id: LegId, leg: &mut Leg, body: Option<Body>) {
        if self.acknowledge_call(leg, body.as_ref()) {
            leg.exchange = Exchange::Done;
            leg.sdp = body.or(leg.sdp.take());
            self.go_on(now, id, leg);
        }
    }

    /// The ACK to the 2xx of a re-INVITE of ours; its copies get the same.
    pub(super) fn send_reack(&mut self, leg: &mut Leg, sent: &Sent, body: Option<&Body>) {
        let trunk = leg.trunk.clone();
        let (mut ack, way, _) = self.numbered(&leg.dialog, &trunk, Method::Ack, sent.cseq);
        for (name, value) in &sent.authorization {
            ack = ack.header(*name, value.clone());
        }
        if let Some(body) = body {
            ack = ack.body(body.content_type.clone(), body.bytes.clone());
        }
        let octets: Octets = ack.octets().into();
        self.transmit(way, super::Send::First(octets.clone()));
        leg.reack = Some(Box::new((sent.cseq, Some((way, octets)))));
    }

    /// The leg is to end: a 2xx that waits for the call's answer is acknowledged without one, what waits is dropped.
    pub(super) fn drop_change(&mut self, leg: &mut Leg) {
        let unacknowledged = |change: &mut Change| matches!(change.doing, Doing::Unacknowledged(_));
        match leg.change.take_if(unacknowledged) {
            Some(Change { doing: Doing::Unacknowledged(sent), .. }) => self.send_reack(leg, &sent, None),
            Some(_) | None => leg.leave_change(),
        }
    }

    /// A change's time has come: it is sent again, or a re-INVITE that rings for ever is taken back.
    pub(super) fn change_due(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        let up = matches!(leg.stage, Stage::Up);
        let due = |until: &Option<Instant>| until.is_some_and(|at| at <= now);
        let give_up = self.timers.give_up();
        match leg.change.as_mut().map(|change| &mut change.doing) {
            Some(Doing::Waiting(until)) if due(until) => {
                *until = None;
                self.go_on(now, id, leg);
            }
            Some(Doing::Sent(sent)) if due(&sent.until) => {
                if up && sent.provisional && !std::mem::replace(&mut sent.cancelled, true) {
                    sent.until = Some(now + give_up);
                    return self.cancel_change(now, id, leg);
                }
                self.transactions.abandon(sent.tx);
                leg.requests = leg.requests.saturating_sub(1);
                self.change_failed(now, id, leg, 408, None);
            }
            Some(Doing::Waiting(_) | Doing::Sent(_) | Doing::Unacknowledged(_)) | None => {}
        }
    }

    fn cancel_change(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        let Some(Change { doing: Doing::Sent(sent), .. }) = &leg.change else { return };
        let (way, branch) = (self.transactions.way_of(sent.tx).unwrap_or(sent.way), sent.branch.clone());
        let cancel = self.like_sent(leg, sent, Method::Cancel).to(leg.dialog.remote());
        let octets: Octets = cancel.octets().into();
        self.begin(now, leg, Purpose::Cancel(id), &branch, way, &octets);
    }

    /// A CANCEL, or the ACK of a refusal: as the INVITE itself (§9.1, §17.1.1.3).
    pub(super) fn like_sent(&self, leg: &Leg, sent: &Sent, method: Method) -> Request {
        let hop = self.transactions.way_of(sent.tx).unwrap_or(sent.way).hop;
        self.signed(Request::new(method, &sent.uri))
            .via(hop.transport, &self.sent_by(hop), &sent.branch)
            .route(&sent.routes)
            .from(leg.dialog.local())
            .call_id(leg.dialog.call_id())
            .cseq(sent.cseq)
    }

    /// The session timer's time has come.
    pub(super) fn session_due(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        if !matches!(leg.stage, Stage::Up) {
            return;
        }
        match leg.session.due(now) {
            None => {}
            Some(Due::Refresh) if leg.change.is_some() || !leg.is_at_rest() => leg.session.put_off(now),
            Some(Due::Refresh) => {
                leg.change = Some(Change::new(None));
                self.go_on(now, id, leg);
            }
            Some(Due::Expired) => self.expire(now, id, leg),
        }
    }

    /// Nobody refreshed the session: BYE, and the leg is over.
    pub(super) fn expire(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        self.drop_change(leg);
        self.bye(now, id, leg, Some(EXPIRED.to_owned()));
        self.end(now, id, leg, Ended::SessionExpired);
    }

    /// An INFO of ours; nothing is told of its answer.
    pub(super) fn tell_peer(&mut self, now: Instant, id: LegId, leg: &mut Leg, body: Body) {
        if matches!(leg.stage, Stage::Up) && leg.hangup.is_none() {
            self.send_info(now, id, leg, &body);
            leg.info = Some(Box::new((body, Tries::default())));
        }
    }

    fn send_info(&mut self, now: Instant, id: LegId, leg: &mut Leg, body: &Body) {
        let trunk = leg.trunk.clone();
        let (info, way, branch) = self.request(&mut leg.dialog, &trunk, Method::Info);
        let info = info.body(body.content_type.clone(), body.bytes.clone());
        let octets: Octets = self.authorized(leg, info).octets().into();
        self.begin(now, leg, Purpose::Info(id), &branch, way, &octets);
    }

    /// An INFO of ours was refused: a challenge of the last one is answered.
    pub(super) fn info_refused(&mut self, now: Instant, id: LegId, leg: &mut Leg, response: &Message) {
        let last = leg.info.take().filter(|_| matches!(leg.stage, Stage::Up));
        let Some((body, mut tries)) = last.map(|last| *last) else { return };
        if self.may_answer(leg, response, &mut tries) {
            self.send_info(now, id, leg, &body);
            leg.info = Some(Box::new((body, tries)));
        }
    }

    /// Steps of 10 ms within which a change that glared goes again (§14.1).
    pub(super) fn after_glare(&mut self, leg: &Leg) -> Duration {
        let owner = leg.call.is_some();
        let (least, steps) = if owner { (2100, 190) } else { (0, 200) };
        Duration::from_millis(least + 10 * u64::from(self.entropy.below(steps + 1)))
    }
}
