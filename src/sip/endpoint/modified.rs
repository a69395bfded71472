//! What comes back to our re-INVITE, UPDATE and INFO.

use std::time::Instant;

use super::Endpoint;
use super::inside::body_of;
use super::leg::{Leg, Stage};
use super::modify::{Change, Doing, MAX_TRIES, Sent};
use crate::ids::LegId;
use crate::sip::message::{Message, Method};
use crate::sip::transaction::Class;
use crate::sip::transaction::Send;
use crate::sip::transaction::table::TxId;
use crate::sip::{Ended, Event};

impl Endpoint {
    /// An answer to the re-INVITE or UPDATE of that transaction.
    pub(super) fn change_answered(
        &mut self,
        now: Instant,
        id: LegId,
        leg: &mut Leg,
        tx: TxId,
        status: u16,
        response: &Message,
    ) {
        let is_it = |change: &mut Change| matches!(&change.doing, Doing::Sent(sent) if sent.tx == tx);
        let Some(change) = leg.change.take_if(is_it) else {
            return self.copy_of_a_2xx(leg, response);
        };
        leg.learn(response);
        match Class::of(status) {
            Class::Provisional => {
                leg.change = Some(change);
                if let Some(Change { doing: Doing::Sent(sent), .. }) = &mut leg.change {
                    sent.provisional = true;
                }
            }
            Class::Success => self.change_accepted(now, id, leg, change, response),
            Class::Failure => {
                if let Doing::Sent(sent) = &change.doing {
                    self.acknowledge_refusal(now, leg, sent, response);
                }
                leg.change = Some(change);
                self.change_failed(now, id, leg, status, Some(response));
            }
        }
    }

    fn copy_of_a_2xx(&mut self, leg: &Leg, response: &Message) {
        let ack = leg.reack.as_deref().filter(|(cseq, _)| *cseq == response.cseq());
        if let Some((_, Some((way, ack)))) = ack {
            self.transmit(*way, Send::Again(ack.clone()));
        }
    }

    fn change_accepted(
        &mut self,
        now: Instant,
        id: LegId,
        leg: &mut Leg,
        change: Change,
        response: &Message,
    ) {
        let Change { wish, doing: Doing::Sent(sent), tries, asked: who } = change else { return };
        let (up, invite) = (matches!(leg.stage, Stage::Up), sent.method == Method::Invite);
        leg.dialog.refresh_target(response);
        if up {
            leg.session.answered(now, sent.at, response);
        }
        let (asked, body) = (wish.is_some(), body_of(response));
        if up && invite && sent.body.is_none() {
            leg.reack = Some(Box::new((sent.cseq, None)));
            leg.change = Some(Change { wish, doing: Doing::Unacknowledged(sent), tries, asked: who });
            return self.tell(Event::Modified { leg: id, result: Ok(body) });
        }
        if invite {
            self.send_reack(leg, &sent, None);
        }
        if sent.body.is_some() {
            leg.sdp = sent.body;
        }
        // A refresh by re-INVITE is an offer: its answer may move the peer's audio.
        if up && leg.hangup.is_none() && (asked || body.is_some()) {
            self.tell(Event::Modified { leg: id, result: Ok(body) });
        }
        self.go_on(now, id, leg);
    }

    fn acknowledge_refusal(&mut self, now: Instant, leg: &Leg, sent: &Sent, response: &Message) {
        if sent.method != Method::Invite {
            return;
        }
        let to = response.raw("To").next().unwrap_or_default();
        let ack = self.like_sent(leg, sent, Method::Ack).to(&to);
        let sent = self.transactions.ack_refusal(now, sent.tx, ack.octets().into());
        self.transmit_if(sent);
    }

    /// A change was refused, or never answered (408 without a response).
    pub(super) fn change_failed(
        &mut self,
        now: Instant,
        id: LegId,
        leg: &mut Leg,
        status: u16,
        response: Option<&Message>,
    ) {
        let Some(mut change) = leg.change.take() else { return };
        if !matches!(leg.stage, Stage::Up) {
            return;
        }
        let update = matches!(&change.doing, Doing::Sent(sent) if sent.method == Method::Update);
        let again = match status {
            _ if change.tries >= MAX_TRIES || leg.hangup.is_some() => None,
            491 => Some(Some(now + self.after_glare(leg))),
            401 | 407
                if response.is_some_and(|response| self.may_answer(leg, response, &mut change.asked)) =>
            {
                Some(None)
            }
            422 if response.is_some_and(|response| leg.session.raise(response)) => Some(None),
            405 | 501 if update => {
                leg.peer_updates = false; // its Allow was wrong
                (change.wish.is_some() || leg.sdp.is_some()).then_some(None)
            }
            _ => None,
        };
        if let Some(at) = again {
            change.tries += 1;
            change.doing = Doing::Waiting(at);
            leg.change = Some(change);
            return self.go_on(now, id, leg);
        }
        match (status, &change.wish) {
            (481 | 408, None) => return self.expire(now, id, leg),
            (481 | 408, Some(_)) => return self.lose(now, id, leg, status),
            (_, None) => leg.session.refused(now),
            (_, Some(_)) => self.tell(Event::Modified { leg: id, result: Err(status) }),
        }
        self.go_on(now, id, leg);
    }

    /// The peer does not know the call, or is gone (§12.2.1.2).
    fn lose(&mut self, now: Instant, id: LegId, leg: &mut Leg, status: u16) {
        self.drop_change(leg);
        self.bye(now, id, leg, Some(format!("SIP;cause={status};text=\"no such call\"")));
        self.end(now, id, leg, Ended::Lost);
    }

    /// The answer to an INFO.
    pub(super) fn told(&mut self, now: Instant, id: LegId, leg: &mut Leg, status: u16) {
        if status == 481 && matches!(leg.stage, Stage::Up) {
            self.lose(now, id, leg, status);
        }
    }
}
