//! Calls of ours: from target to target, INVITE, CANCEL (sip-trunk.md section 15, RFC 3263 §4.3).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use super::attempts::{Aim, Attempt, Calling, Plan, TRY};
use super::authored::{ALLOW, SUPPORTED};
use super::leg::{Exchange, Leg, Stage};
use super::targets::{REST, Waiter};
use super::{Endpoint, Hop, Octets, Way};
use crate::ids::LegId;
use crate::sip::auth::{Login, Tries};
use crate::sip::dialog::Dialog;
use crate::sip::hop;
use crate::sip::message::{Method, Request, Uri};
use crate::sip::target::{Question, Service, by_priority_and_weight, in_order};
use crate::sip::transaction::table::Purpose;
use crate::sip::{Credentials, Destination, Dial, Ended, Event, Transport, Trunk};

/// Reason of a call that rang too long, in its CANCEL and towards the call.
const RANG_OUT: &str = "SIP;cause=408;text=\"ring limit\"";

impl Endpoint {
    /// Calls; `local` is our address that faces a `Destination::Address`.
    pub(super) fn dial(&mut self, now: Instant, dial: Dial, local: Option<SocketAddr>) {
        if self.legs.contains_key(&dial.leg) {
            return tracing::error!(leg = %dial.leg, "a call was named like one that is up; it is not made");
        }
        let leg = dial.leg;
        if let Err(how) = self.try_dial(now, dial, local) {
            self.tell(Event::Ended { leg, how });
        }
    }

    fn try_dial(&mut self, now: Instant, dial: Dial, local: Option<SocketAddr>) -> Result<(), Ended> {
        let refused = |status| Ended::Refused { status, reason: None };
        let trunk = self.trunk(dial.trunk).cloned().ok_or(Ended::Lost)?;
        let target: Uri = dial.uri.parse().map_err(|_| refused(400))?;
        let plan = match dial.to {
            Destination::Address(to, transport) => self.plan_of_address(&trunk, to, transport, local)?,
            Destination::Targets => self.plan_of_targets(now, &trunk),
        };
        if !plan.has_more() {
            return Err(Ended::Lost);
        }
        let (tag, call_id) = (self.tag(), self.entropy.token());
        let from = if dial.from.contains('<') { dial.from.clone() } else { format!("<{}>", dial.from) };
        let from = format!("{from};tag={tag}");
        let dialog = Dialog::of_dial(call_id.as_bytes(), &from, &tag, target, nowhere());
        let (id, body) = (dial.leg, dial.body.clone());
        let mut leg = Leg::new(trunk, dialog, Stage::Calling);
        leg.exchange = if body.is_some() { Exchange::Ours } else { Exchange::Open };
        leg.sdp = body;
        leg.call = Some(Box::new(Calling::new(now, dial, plan)));
        self.dialogs.insert(leg.dialog.key(), id);
        self.try_next(now, id, &mut leg);
        self.settle(id, Box::new(leg));
        Ok(())
    }

    /// to addresses of the trunk only.
    fn plan_of_address(
        &self,
        trunk: &Trunk,
        to: SocketAddr,
        transport: Transport,
        local: Option<SocketAddr>,
    ) -> Result<Plan, Ended> {
        let remote = hop::canonical(to);
        let local = hop::canonical(local.ok_or(Ended::Lost)?);
        if !self.targets.is_of(trunk, remote.ip()) || !hop::may_be_sent_to(remote) {
            return Err(Ended::Refused { status: 403, reason: None });
        }
        let credentials = self.credentials_at(trunk, remote);
        Ok(Plan { hops: VecDeque::from([Hop { transport, local, remote }]), credentials, ..Plan::default() })
    }

    /// Those of the target that is there; of several, one whose port is the same.
    fn credentials_at(&self, trunk: &Trunk, remote: SocketAddr) -> Option<Credentials> {
        let there = |port: Option<u16>| {
            trunk.targets.iter().find(move |target| {
                let same = port.is_none() || target.port == port;
                same && target.credentials.is_some() && self.targets.has_one_at(trunk, target, remote.ip())
            })
        };
        there(Some(remote.port())).or_else(|| there(None)).and_then(|target| target.credentials.clone())
    }

    /// By priority and weight; those that rest come last.
    fn plan_of_targets(&mut self, now: Instant, trunk: &Trunk) -> Plan {
        let aim = |place: &crate::sip::Target| Aim {
            question: Question::of(place, trunk),
            credentials: place.credentials.clone(),
            uri: None,
        };
        let targets = trunk.targets.iter().map(|target| (target.priority, target.weight, aim(target)));
        let ordered = by_priority_and_weight(targets.collect(), &mut self.entropy);
        let (resting, awake): (Vec<_>, Vec<_>) =
            ordered.into_iter().partition(|aim| self.targets.all_rest(now, &aim.question));
        Plan { aims: awake.into_iter().chain(resting).collect(), ..Plan::default() }
    }

    /// To the next place, or the call is over with how the last one failed.
    pub(super) fn try_next(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        let Some(call) = &mut leg.call else { return };
        if let Some(hop) = call.plan.hops.pop_front() {
            call.tries = Tries::default();
            let credentials = call.dial.credentials.clone().or_else(|| call.plan.credentials.clone());
            leg.login = credentials.map(|credentials| Box::new(Login::new(credentials)));
            return self.invite_to(now, id, leg, hop);
        }
        let Some(aim) = call.plan.aims.pop_front() else {
            let how = call.failure.take().unwrap_or(Ended::Lost);
            return self.end(now, id, leg, how);
        };
        call.plan.credentials = aim.credentials;
        if let Some(uri) = aim.uri {
            call.uri = uri;
            leg.dialog.next_seq();
        }
        call.plan.waiting = Some(aim.question.clone());
        if !self.ask(aim.question, Waiter::Leg(id)) {
            self.end(now, id, leg, Ended::Lost);
        }
    }

    /// The system said where the present target is.
    pub(super) fn found(
        &mut self,
        now: Instant,
        id: LegId,
        leg: &mut Leg,
        of: &Question,
        services: &[Service],
    ) {
        let Some(call) = leg.call.as_mut().filter(|call| call.plan.waiting.as_ref() == Some(of)) else {
            return;
        };
        call.plan.waiting = None;
        let hops = in_order(services, &mut self.entropy);
        let hops = hops.into_iter().map(canonical).filter(|hop| hop::may_be_sent_to(hop.remote));
        let (resting, awake): (Vec<_>, Vec<_>) = hops.partition(|hop| self.targets.rests(now, *hop));
        call.plan.hops = awake.into_iter().chain(resting).collect();
        if call.plan.hops.is_empty() {
            call.failure.get_or_insert(Ended::Lost);
        }
        self.try_next(now, id, leg);
    }

    /// An INVITE goes there, numbered as the dialog says.
    pub(super) fn invite_to(&mut self, now: Instant, id: LegId, leg: &mut Leg, hop: Hop) {
        let number = leg.call.as_mut().and_then(|call| call.next_number());
        let Some(number) = number else {
            return self.end(now, id, leg, Ended::Refused { status: 408, reason: None });
        };
        leg.dialog.hop = hop;
        let (branch, way) = (self.sealed_branch(), Way { hop, otherwise: Some(hop.remote) });
        let Some(call) = &leg.call else { return };
        let uri = call.uri.clone();
        let authorization = match &mut leg.login {
            Some(login) => login.headers(Method::Invite.as_str(), &uri, &mut self.entropy),
            None => Vec::new(),
        };
        let octets = self.write_invite(call, leg, &branch, &authorization);
        let (seq, more) = (leg.dialog.local_seq(), call.plan.has_more());
        let tx = self.begin(now, leg, Purpose::Invite(id, number), &branch, way, &octets);
        let Some(call) = &mut leg.call else { return };
        call.begin(Attempt {
            number,
            tx,
            way,
            uri,
            branch,
            seq,
            authorization,
            provisional: false,
            try_until: more.then(|| now + TRY),
            until: None,
            cancelled: false,
            given_up: false,
            settled: false,
        });
    }

    fn write_invite(
        &self,
        call: &Calling,
        leg: &Leg,
        branch: &str,
        authorization: &[(&'static str, String)],
    ) -> Octets {
        let (dialog, hop) = (&leg.dialog, leg.dialog.hop);
        // A reliable 18x could hold an offer, if ours is asked for only by the 2xx.
        let supported = if call.dial.body.is_some() { SUPPORTED } else { "timer" };
        let mut invite = self
            .signed(Request::new(Method::Invite, &call.uri))
            .via(hop.transport, &self.sent_by(hop), branch)
            .from(dialog.local())
            .to(dialog.remote())
            .call_id(dialog.call_id())
            .cseq(dialog.local_seq())
            .contact(self.contact(hop, dialog.secure))
            .header("Allow", ALLOW)
            .header("Supported", supported);
        for (name, value) in leg.session.ask() {
            invite = invite.header(name, value);
        }
        for (name, value) in authorization {
            invite = invite.header(*name, value.clone());
        }
        for (name, value) in &call.dial.headers {
            // What a call brought along that is passed on has one hop less to go (sip-trunk.md section 14).
            match value.trim().parse() {
                Ok(hops) if name.eq_ignore_ascii_case("Max-Forwards") => invite = invite.max_forwards(hops),
                _ => invite = invite.header(name.clone(), value.clone()),
            }
        }
        if let Some(body) = &call.dial.body {
            invite = invite.body(body.content_type.clone(), body.bytes.clone());
        }
        invite.octets().into()
    }

    /// The call goes on without the INVITE that is out: it failed with this. What rests is where it went.
    pub(super) fn fail_over(&mut self, now: Instant, id: LegId, leg: &mut Leg, failure: Ended) {
        let give_up = now + self.timers.give_up();
        let Some(call) = &mut leg.call else { return };
        call.failure = Some(failure);
        if let Some(attempt) = call.attempts.last_mut() {
            (attempt.given_up, attempt.try_until) = (true, None);
            if !attempt.settled {
                attempt.until = Some(give_up);
                self.transactions.hush(attempt.tx);
            }
            self.targets.rest(now, attempt.way.hop, REST);
        }
        self.try_next(now, id, leg);
    }

    /// Nothing gets through to where that INVITE went: on to the next place, if there is one.
    pub(super) fn go_elsewhere(&mut self, now: Instant, id: LegId, leg: &mut Leg, number: u8) {
        let waiting = matches!(leg.stage, Stage::Calling) && leg.hangup.is_none();
        let Some(call) = leg.call.as_mut().filter(|_| waiting) else { return };
        let here = call.current().is_some_and(|attempt| attempt.number == number && !attempt.provisional);
        if here && call.plan.has_more() {
            self.fail_over(now, id, leg, Ended::Lost);
        }
    }

    /// A time of the call has come: it rang too long, its target is silent, or an INVITE is forgotten.
    pub(super) fn call_due(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        let Some(call) = &mut leg.call else { return };
        let overdue = call.overdue(now);
        if call.rings_until.is_some_and(|at| at <= now) {
            call.rings_until = None;
            self.rang_out(now, id, leg);
        } else if call.current().is_some_and(|attempt| attempt.is_silent(now)) {
            self.fail_over(now, id, leg, Ended::Refused { status: 408, reason: None });
        }
        for (number, tx) in overdue {
            self.transactions.abandon(tx);
            leg.requests = leg.requests.saturating_sub(1);
            let awaited = leg.call.as_mut().is_some_and(|call| call.settle(number));
            if awaited {
                self.end(now, id, leg, Ended::ByUs);
            }
        }
    }

    /// Nobody answered: CANCEL where it rings, and 408 for the call.
    fn rang_out(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        if !matches!(leg.stage, Stage::Calling) || leg.hangup.is_some() {
            return;
        }
        let how = Ended::Refused { status: 408, reason: Some(RANG_OUT.to_owned()) };
        let rings =
            leg.call.as_mut().and_then(|call| call.current()).is_some_and(|attempt| attempt.provisional);
        if !rings {
            return self.end(now, id, leg, how); // a late 1xx gets its CANCEL all the same
        }
        (leg.ends_as, leg.hangup) = (Some(how), Some(Some(RANG_OUT.to_owned())));
        self.give_call_up(now, id, leg);
    }

    /// The call is not wanted any more: CANCEL once a 1xx is in (§9.1); at once where nothing went out.
    pub(super) fn give_call_up(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        let Some(call) = &mut leg.call else { return };
        call.rings_until = None;
        if let Some(attempt) = call.current() {
            attempt.try_until = None; // it goes nowhere else any more
        }
        let current = call.current().map(|attempt| (attempt.number, attempt.provisional));
        match current {
            Some((number, true)) => self.send_cancel(now, id, leg, number),
            Some((_, false)) => {}
            None => self.end(now, id, leg, Ended::ByUs),
        }
    }

    /// CANCEL: the INVITE's Request-URI, Via, Call-ID, From, To and number, over the same hop (§9.1).
    pub(super) fn send_cancel(&mut self, now: Instant, id: LegId, leg: &mut Leg, number: u8) {
        let give_up = now + self.timers.give_up();
        let attempt = leg.call.as_mut().and_then(|call| call.attempt(number));
        let Some(attempt) = attempt.filter(|attempt| !attempt.cancelled && !attempt.settled) else { return };
        (attempt.cancelled, attempt.until) = (true, Some(give_up));
        let Attempt { tx, way, branch, uri, seq, .. } = attempt.clone();
        let way = self.transactions.way_of(tx).unwrap_or(way);
        let mut cancel = self
            .signed(Request::new(Method::Cancel, &uri))
            .via(way.hop.transport, &self.sent_by(way.hop), &branch)
            .from(leg.dialog.local())
            .to(leg.dialog.remote())
            .call_id(leg.dialog.call_id())
            .cseq(seq);
        if let Some(Some(reason)) = &leg.hangup {
            cancel = cancel.header("Reason", reason.clone());
        }
        let octets: Octets = cancel.octets().into();
        self.begin(now, leg, Purpose::Cancel(id), &branch, way, &octets);
    }
}

/// Stands for the hop of a call that is on its way nowhere yet; nothing is ever sent there.
fn nowhere() -> Hop {
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    Hop { transport: Transport::Udp, local: unspecified, remote: unspecified }
}

fn canonical(hop: Hop) -> Hop {
    Hop { transport: hop.transport, local: hop::canonical(hop.local), remote: hop::canonical(hop.remote) }
}
