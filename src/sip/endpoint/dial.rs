//! Calls of ours: INVITE, CANCEL (sip-trunk.md section 15).

use std::net::SocketAddr;
use std::time::Instant;

use super::access::is_of_trunk;
use super::authored::ALLOW;
use super::leg::{Calling, Exchange, Leg, Stage};
use super::{Endpoint, Hop, Octets, Way};
use crate::ids::LegId;
use crate::sip::dialog::Dialog;
use crate::sip::hop;
use crate::sip::message::{Method, Request, Uri};
use crate::sip::transaction::table::Purpose;
use crate::sip::{Destination, Dial, Ended, Event};

impl Endpoint {
    /// Sends an INVITE over `local`, our address that faces the target.
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
        let Destination::Address(to, transport) = dial.to else { return Err(Ended::Lost) };
        let to = hop::canonical(to);
        let trunk = self.trunk(dial.trunk).cloned().ok_or(Ended::Lost)?;
        let local = hop::canonical(local.ok_or(Ended::Lost)?);
        // to addresses of the trunk only.
        if !is_of_trunk(&trunk, to.ip()) || !hop::may_be_sent_to(to) {
            return Err(refused(403));
        }
        let target: Uri = dial.uri.parse().map_err(|_| refused(400))?;
        let hop = Hop { transport, local, remote: to };
        let (tag, branch, call_id) = (self.tag(), self.branch(), self.entropy.token());
        let from = if dial.from.contains('<') { dial.from.clone() } else { format!("<{}>", dial.from) };
        let dialog = Dialog::of_dial(call_id.as_bytes(), &format!("{from};tag={tag}"), &tag, target, hop);
        let octets = self.first_invite(&dial, &dialog, &branch);

        let mut leg = Leg::new(trunk, dialog, Stage::Calling);
        leg.exchange = if dial.body.is_some() { Exchange::Ours } else { Exchange::Open };
        leg.sdp = dial.body.clone();
        let way = Way { hop, otherwise: Some(to) };
        let tx = self.begin(now, &mut leg, Purpose::Invite(dial.leg), &branch, way, &octets);
        let uri = dial.uri;
        leg.call = Some(Box::new(Calling {
            tx,
            way,
            uri,
            branch,
            provisional: false,
            until: None,
            cancelled: false,
            settled: false,
        }));
        self.dialogs.insert(leg.dialog.key(), dial.leg);
        self.settle(dial.leg, leg);
        Ok(())
    }

    fn first_invite(&self, dial: &Dial, dialog: &Dialog, branch: &str) -> Octets {
        let mut invite = self
            .signed(Request::new(Method::Invite, &dial.uri))
            .via(dialog.hop.transport, &self.sent_by(dialog.hop), branch)
            .from(dialog.local())
            .to(dialog.remote())
            .call_id(dialog.call_id())
            .cseq(dialog.local_seq())
            .contact(self.contact(dialog.hop, dialog.secure))
            .header("Allow", ALLOW);
        for (name, value) in &dial.headers {
            invite = invite.header(name.clone(), value.clone());
        }
        if let Some(body) = &dial.body {
            invite = invite.body(body.content_type.clone(), body.bytes.clone());
        }
        invite.octets().into()
    }

    /// CANCEL: the INVITE's Request-URI, Via, Call-ID, From, To and number, over the same hop (§9.1).
    pub(super) fn send_cancel(&mut self, now: Instant, id: LegId, leg: &mut Leg) {
        let Some(calling) = &mut leg.call else { return };
        if std::mem::replace(&mut calling.cancelled, true) {
            return;
        }
        calling.until = Some(now + self.timers.give_up());
        let (way, branch) = (calling.way, calling.branch.clone());
        let mut cancel = self
            .signed(Request::new(Method::Cancel, &calling.uri))
            .via(way.hop.transport, &self.sent_by(way.hop), &branch)
            .from(leg.dialog.local())
            .to(leg.dialog.remote())
            .call_id(leg.dialog.call_id())
            .cseq(leg.dialog.local_seq());
        if let Some(Some(reason)) = &leg.hangup {
            cancel = cancel.header("Reason", reason.clone());
        }
        let octets: Octets = cancel.octets().into();
        self.begin(now, leg, Purpose::Cancel(id), &branch, way, &octets);
    }
}
