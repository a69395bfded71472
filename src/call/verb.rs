//! A flow's verbs carried out, and facts told to it.

use std::time::Instant;

use super::leg::{Early, State};
use super::opening::Wanted;
use super::refusal::Denied;
use super::{Call, Output, Ring, ending, offer};
use crate::flow::{Fact, Verb};
use crate::media::{self, Reservation, Spec};
use crate::sip::{self, Body};
use crate::stream::Egress;
use crate::{sdp, telemetry};

impl Call {
    /// Tells the flow, and does what it says. A call that is ending asks its flow nothing more.
    pub(super) fn tell(&mut self, now: Instant, fact: Fact) {
        self.facts.push_back(fact);
        if std::mem::replace(&mut self.telling, true) {
            return; // a verb caused it: it is told when the verbs before it are done
        }
        while let Some(fact) = self.facts.pop_front() {
            if self.ending.is_some() {
                continue;
            }
            for verb in self.flow.tell(fact) {
                if self.ending.is_some() {
                    break; // the verb before it ended the call
                }
                self.carry_out(now, verb);
            }
        }
        self.telling = false;
        if self.stage.live_bot().is_none() {
            self.stage.place = None;
            self.drop_left();
        }
        self.tune();
    }

    fn carry_out(&mut self, now: Instant, verb: Verb) {
        match verb {
            Verb::Answer => self.answer(now),
            Verb::OpenStream { url, settings, last, continues } => {
                // its host stands in the configuration or in a flow file
                let egress = Egress::Configured;
                self.open_stream(now, &Wanted { url, egress, settings, last, continues });
            }
            Verb::StopForks => self.stop_forks(now),
            Verb::Wait(time) => self.timers.wait = Some(now + time),
            Verb::Hangup { reason } => self.hang_up(now, ending::Why::Flow(reason)),
        }
    }

    /// Asks for a socket that the caller's media can reach.
    pub(super) fn reserve(&mut self) {
        let encryption = offer::encryption(self.trunk(), self.origin.transport);
        let media = self.origin.offer.as_ref().and_then(|offer| offer.media_addresses(encryption).ok());
        let towards = media
            .unwrap_or_default()
            .into_iter()
            .find(|ip| !ip.is_unspecified())
            .unwrap_or(self.origin.remote.ip());
        self.outputs.push_back(Output::Reserve(towards));
    }

    /// There is a socket: ring, and let the flow begin.
    pub(super) fn reserved(&mut self, now: Instant, reservation: Reservation) {
        if self.ending.is_some() {
            return;
        }
        let local = offer::written(&self.config.advertise, reservation.local());
        let wish = offer::wish(self.trunk(), self.origin.transport, local);
        self.leg.wish = Some(wish);
        self.leg.reservation = Some(reservation);
        let Some(wish) = self.wish() else { return };
        if let Some(offer) = self.origin.offer.take() {
            let answered = match offer.answer(&wish, &self.leg.session) {
                Ok(answered) => answered,
                Err(refused) => return self.deny(now, &Denied::Sdp(refused)),
            };
            self.leg.agree(offer::spec(self.trunk(), &self.leg, &answered.media), answered.media.held);
            self.leg.session.render(&answered.sdp);
        } else {
            sdp::offer(&mut self.leg.session, &wish);
            self.leg.offered = true;
        }
        self.ring(now);
        self.tell(now, Fact::Began);
    }

    fn ring(&mut self, now: Instant) {
        let ring = self.trunk().ring;
        let (status, body) = match ring {
            Ring::Nothing => return,
            // an unreliable 183 may not hold our offer (RFC 3262): with a late offer there is nothing to hear yet
            Ring::EarlyMedia if !self.leg.offered || self.origin.reliable => {
                (183, Some(Body::sdp(self.leg.sdp())))
            }
            Ring::EarlyMedia | Ring::Ringing => (180, None),
        };
        self.record.ringing(now);
        if status == 183 {
            self.open_port();
            if self.leg.offered {
                self.leg.early = Early::Offered;
            }
        }
        self.outputs.push_back(Output::Sip(sip::Command::Progress { leg: self.leg.id, status, body }));
    }

    /// 200, and audio from now on.
    pub(super) fn answer(&mut self, now: Instant) {
        if self.leg.state != State::Waiting {
            return;
        }
        if matches!(self.leg.early, Early::Offered | Early::AnswerAwaited) {
            self.leg.early = Early::AnswerAwaited; // no 200 before the PRACK of an offer (RFC 3262 section 3)
            return;
        }
        self.leg.state = State::Answered;
        self.record.answered(now);
        telemetry::metrics::call_set_up(&self.trunk().name, self.record.since_invite(now), true);
        self.timers.max_call = Some(now + self.trunk().max_call);
        self.open_port(); // before the 200: nothing the peer sends on it may find no one
        let body = (self.leg.early != Early::Done).then(|| Body::sdp(self.leg.sdp()));
        self.outputs.push_back(Output::Sip(sip::Command::Answer { leg: self.leg.id, body }));
        self.raise_all();
        self.resume_forks();
        self.tell(now, Fact::Answered);
    }

    /// What we can do, with a key to spare; known once a socket is reserved.
    pub(super) fn wish(&mut self) -> Option<sdp::Wish> {
        let mut wish = self.leg.wish.clone()?;
        self.chance.wake().fill(&mut wish.secret.0);
        Some(wish)
    }

    /// Opens the leg's port in the engine once it is known what was agreed.
    pub(super) fn open_port(&mut self) {
        let Some(spec) = self.leg.spec.clone() else { return };
        let Some(reservation) = self.leg.reservation.take() else { return };
        self.leg.open = true;
        let port = Spec::Rtp(Box::new(spec), reservation);
        self.outputs.push_back(Output::Media(media::Command::Open(self.leg.port, port)));
        self.rewire();
        self.tune();
    }
}
