//! What signalling, the engine and the outside tell a call.

use std::time::{Duration, Instant};

use super::ending::Why;
use super::leg::{Early, State};
use super::refusal::Denied;
use super::{Call, Dtmf, Output, Request, offer};
use crate::media::{self, Counts};
use crate::sdp;
use crate::sip::{self, Body, Ended};
use crate::stream;
use crate::units::Digit;

impl Call {
    pub(super) fn signalled(&mut self, now: Instant, event: sip::Event) {
        if event.leg() != self.leg.id {
            return;
        }
        match event {
            sip::Event::Confirmed { body, .. } => self.confirmed(now, body),
            sip::Event::Reoffer { body, .. } => self.reoffered(body),
            sip::Event::Ended { how, .. } => self.leg_ended(now, how),
            sip::Event::Digit { digit, held, .. } => self.keyed(digit, held),
            // an inbound leg is neither answered nor makes progress by its peer
            sip::Event::Acknowledged { body, .. } => self.acknowledged(now, body),
            sip::Event::Modified { result, .. } => self.refreshed(result.ok().flatten()),
            sip::Event::Incoming(_) | sip::Event::Progress { .. } | sip::Event::Answered { .. } => {}
        }
    }

    /// A key that came by INFO; those in the media reach the bot with the audio, and the stream tells them apart.
    fn keyed(&mut self, digit: Digit, held: Duration) {
        if let Some(sid) = self.stage.live_bot()
            && self.ending.is_none()
            && self.trunk().dtmf != Dtmf::Rfc4733
        {
            let held_ms = u32::try_from(held.as_millis()).unwrap_or(u32::MAX);
            self.outputs.push_back(Output::Stream(sid, stream::Command::Key { digit, held_ms }));
        }
    }

    fn confirmed(&mut self, now: Instant, body: Option<Body>) {
        let first = self.leg.state == State::Answered;
        if first {
            self.leg.state = State::Up;
        }
        if !std::mem::take(&mut self.leg.offered) || self.ending.is_some() {
            return; // a body in this ACK is nobody's answer
        }
        match self.accepted(body.as_ref()) {
            Ok(agreed) => self.agreed(&agreed),
            Err(refused) if first => self.hang_up(now, Why::NoAnswer(refused)),
            Err(_) => {} // a re-INVITE never ends a call (sip-trunk.md section 12): it is as before
        }
    }

    /// The PRACK of a 183 that held our offer brings its answer.
    fn acknowledged(&mut self, now: Instant, body: Option<Body>) {
        let wanted = self.leg.early == Early::AnswerAwaited;
        if !matches!(self.leg.early, Early::Offered | Early::AnswerAwaited) || self.ending.is_some() {
            return;
        }
        self.leg.early = Early::None;
        if let Some(body) = body {
            match self.accepted(Some(&body)) {
                Ok(agreed) => {
                    (self.leg.early, self.leg.offered) = (Early::Done, false);
                    self.agreed(&agreed);
                }
                Err(refused) => return self.deny(now, &Denied::Sdp(refused)),
            }
        }
        if wanted {
            self.answer(now);
        }
    }

    /// A refresh of the session offered what we sent last; the answer may move the caller's audio.
    fn refreshed(&mut self, answer: Option<Body>) {
        if let (Some(answer), true) = (answer, self.ending.is_none())
            && let Ok(agreed) = self.accepted(Some(&answer))
        {
            self.agreed(&agreed); // one that cannot be used leaves the call as it is
        }
    }

    fn accepted(&mut self, answer: Option<&Body>) -> Result<sdp::Agreed, sdp::Refused> {
        let answer = answer.ok_or(sdp::Refused::Absent)?;
        sdp::accept(&answer.bytes, &answer.content_type, &mut self.leg.session)
    }

    /// An offer in a re-INVITE, an UPDATE or a PRACK.
    fn reoffered(&mut self, body: Option<Body>) {
        if self.ending.is_some() {
            return;
        }
        let Some(wish) = self.wish() else { return };
        if self.leg.state == State::Waiting {
            self.leg.early = Early::Done; // before the 200 only what reliable answers settled can be changed
        }
        let Some(body) = body.filter(|body| !body.bytes.is_empty()) else {
            sdp::offer(&mut self.leg.session, &wish);
            self.leg.offered = true;
            return self.accept();
        };
        match sdp::answer(&body.bytes, &body.content_type, &wish, &self.leg.session) {
            Ok(answered) => {
                self.leg.session.render(&answered.sdp);
                self.accept();
                self.agreed(&answered.media);
            }
            Err(refused) => {
                let refusal = Denied::Sdp(refused).refusal();
                let leg = self.leg.id;
                self.outputs.push_back(Output::Sip(sip::Command::Reject { leg, refusal }));
            }
        }
    }

    fn accept(&mut self) {
        let body = Some(Body::sdp(self.leg.sdp()));
        self.outputs.push_back(Output::Sip(sip::Command::Accept { leg: self.leg.id, body }));
    }

    /// What was agreed takes effect at once.
    fn agreed(&mut self, agreed: &sdp::Agreed) {
        let spec = offer::spec(self.trunk(), &self.leg, agreed);
        let transport = self.origin.transport;
        if spec.srtp.is_some() && transport != sip::Transport::Tls && !self.leg.open {
            tracing::warn!(call = %self.sid, transport = transport.as_str(), "keys of SRTP were told in clear");
        }
        let changed = self.leg.agree(spec.clone(), agreed.held);
        if !self.leg.open {
            self.open_port();
        } else if changed {
            self.outputs.push_back(Output::Media(media::Command::Change(self.leg.port, Box::new(spec))));
        }
        self.rewire();
    }

    fn leg_ended(&mut self, now: Instant, how: Ended) {
        self.leg.state = State::Over;
        match how {
            Ended::Bye { reason } => self.end(now, Why::CallerBye(reason)),
            Ended::Cancelled { reason } => {
                self.record.unanswered(); // a 200 of ours that was on its way to signalling came too late
                self.end(now, Why::CallerCancel(reason));
            }
            Ended::AckTimeout => self.end(now, Why::NoAck),
            Ended::PrackTimeout => self.end(now, Why::NoPrack),
            Ended::SessionExpired => self.end(now, Why::SessionExpired),
            Ended::Lost => self.end(now, Why::SignallingLost),
            Ended::ByUs | Ended::Refused { .. } => self.end(now, Why::Internal), // no effect on a call that is ending
        }
    }

    pub(super) fn heard(&mut self, now: Instant, event: media::Event) {
        match event {
            media::Event::FirstIn(_) => self.record.first_in(now),
            media::Event::FirstOut(_) => self.record.first_out(now),
            media::Event::Digit(..) => {} // the stream heard it with the audio
            media::Event::Silent(_) => self.hang_up(now, Why::MediaTimeout),
            media::Event::Drained(port) => self.drained(now, port),
            media::Event::Closed(port, counts) => self.closed(now, port, *counts),
        }
    }

    fn closed(&mut self, now: Instant, port: crate::ids::PortId, counts: Counts) {
        match counts {
            Counts::Rtp(counts) if port == self.leg.port => self.record.rtp = Some(Box::new(counts)),
            Counts::Stream(counts) => {
                let counts = Box::new(counts);
                if let Some(stream) = self.stage.streams.iter_mut().find(|stream| stream.id == port) {
                    stream.counts = Some(counts);
                    self.put_away();
                } else {
                    self.record.late_counts(port, counts);
                }
            }
            Counts::Rtp(_) => {}
        }
        self.conclude_if_done(now);
    }

    pub(super) fn asked(&mut self, now: Instant, request: Request) {
        self.hang_up(
            now,
            match request {
                Request::Hangup => Why::Asked,
                Request::Shutdown => Why::Shutdown,
                Request::Fail => Why::Internal,
            },
        );
    }
}
