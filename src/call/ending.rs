//! How a call ends: what the peer is told (sip-trunk.md section 7.2), what the bot is told, and what is waited for
//! before the CDR is written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admission::Full;
use super::cdr::By;
use super::refusal::Denied;
use super::{Call, Output};
use crate::media;
use crate::sdp;
use crate::sip;
use crate::stream::{DisconnectedBy, Disposition, Outcome, Status, Stop};

/// How long the last figures of ports and streams are waited for; a bot has 2 s for its close frame.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why a call ends.
#[derive(Clone, Debug)]
pub(super) enum Why {
    /// BYE came; its Reason.
    CallerBye(Option<String>),
    /// CANCEL came, or Expires ran out.
    CallerCancel(Option<String>),
    /// No ACK to our 200.
    NoAck,
    /// No PRACK to a reliable 18x of ours.
    NoPrack,
    /// The session was not refreshed.
    SessionExpired,
    /// Signalling broke.
    SignallingLost,
    /// The flow is at its end, or says so in these words.
    Flow(Option<Arc<str>>),
    /// No RTP.
    MediaTimeout,
    /// `max_call`.
    Limit,
    /// The ACK held no answer to our offer.
    NoAnswer(sdp::Refused),
    /// An operator or the API.
    Asked,
    /// The node goes down.
    Shutdown,
    /// Refused before it was answered.
    Denied(Denied),
    /// A fault of ours.
    Internal,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) at: Instant,
    pub(super) by: By,
    pub(super) cause: &'static str,
    pub(super) detail: String,
    /// Final answer to the INVITE, where it was a refusal.
    pub(super) code: Option<u16>,
    /// Reason header field, ours or the peer's.
    pub(super) reason: Option<String>,
}

impl Call {
    /// Ends the call from our side: a refusal before the answer, BYE after.
    pub(super) fn hang_up(&mut self, now: Instant, why: Why) {
        if self.ending.is_some() {
            return;
        }
        if !self.leg.is_answered() {
            let denied = match why {
                Why::Flow(_) if self.stage.last.is_none() => Denied::Asked, // no bot was asked for
                Why::Flow(_) => Denied::from_outcome(self.stage.last.as_deref()),
                Why::Denied(denied) => denied,
                Why::Shutdown => Denied::Full(Full::Draining),
                Why::Asked => Denied::Asked,
                _ => Denied::Internal,
            };
            return self.deny(now, &denied);
        }
        let leg = self.leg.id;
        let reason = self.ending(now, &why).reason;
        self.outputs.push_back(Output::Sip(sip::Command::Hangup { leg, reason }));
        self.end(now, why);
    }

    /// Refuses the INVITE.
    pub(super) fn deny(&mut self, now: Instant, denied: &Denied) {
        if self.ending.is_some() {
            return;
        }
        let (leg, refusal) = (self.leg.id, denied.refusal());
        self.outputs.push_back(Output::Sip(sip::Command::Reject { leg, refusal }));
        self.end(now, Why::Denied(denied.clone()));
    }

    /// The leg is over, whoever ended it: everything it held is given back.
    pub(super) fn end(&mut self, now: Instant, why: Why) {
        if self.ending.is_some() {
            return;
        }
        let ending = self.ending(now, &why);
        self.ending = Some(ending);
        self.timers = super::Timers { ending: Some(now + LAST_WORDS), ..Default::default() };
        let down = matches!(why, Why::Shutdown | Why::Denied(Denied::Full(Full::Draining)));
        let stop = if down { Stop::Shutdown } else { Stop::CallEnded };
        for sid in self.stage.live().map(|stream| stream.sid).collect::<Vec<_>>() {
            self.stop_stream(now, sid, stop);
        }
        for sid in self.stage.streams.iter().map(|stream| stream.sid).collect::<Vec<_>>() {
            self.lower(sid);
        }
        self.tune();
        self.drop_left();
        self.stage.place = None;
        self.leg.reservation = None;
        if std::mem::take(&mut self.leg.open) {
            self.rewire();
            self.record.awaits_rtp = true;
            self.outputs.push_back(Output::Media(media::Command::Close(self.leg.port)));
        }
        self.put_away();
        self.conclude_if_done(now);
    }

    fn ending(&self, at: Instant, why: &Why) -> Ending {
        let ours = |cause: &'static str, reason: &str| Ending {
            at,
            by: By::Streamkit,
            cause,
            detail: String::new(),
            code: None,
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
        };
        match why {
            Why::CallerBye(reason) => Ending { by: By::Caller, reason: reason.clone(), ..ours("bye", "") },
            Why::CallerCancel(reason) => {
                Ending { by: By::Caller, reason: reason.clone(), code: Some(487), ..ours("cancel", "") }
            }
            Why::NoAck => ours("ack_timeout", "SIP;cause=408;text=\"no ACK\""),
            Why::NoPrack => Ending { code: Some(504), ..ours("prack_timeout", "") },
            Why::SessionExpired => ours("session_expired", "SIP;cause=408;text=\"session timer expired\""),
            Why::SignallingLost => ours("signalling_lost", ""),
            Why::Flow(Some(words)) => ours("flow_end", &format!("Q.850;cause=16;text=\"{words}\"")),
            Why::Flow(None) => by_flow(self.stage.last.as_deref(), ours("flow_end", "Q.850;cause=16")),
            Why::MediaTimeout => ours("media_timeout", "Q.850;cause=41;text=\"no RTP\""),
            Why::Limit => ours("call_limit", "Q.850;cause=16;text=\"call limit\""),
            Why::NoAnswer(refused) => {
                Ending { detail: refused.to_string(), ..ours("no_sdp_answer", "SIP;cause=488") }
            }
            Why::Asked => ours("hangup", "Q.850;cause=16"),
            Why::Shutdown => ours("shutdown", "Q.850;cause=41;text=\"shutdown\""),
            Why::Denied(denied) => {
                let refusal = denied.refusal();
                let detail = match denied {
                    Denied::Bot { .. } => self
                        .stage
                        .last
                        .as_deref()
                        .and_then(|last| last.error.as_ref())
                        .map(ToString::to_string),
                    Denied::Sdp(refused) => Some(refused.to_string()),
                    _ => None,
                };
                Ending {
                    code: Some(refusal.status),
                    reason: refusal.reason,
                    detail: detail.unwrap_or_default(),
                    by: if matches!(denied, Denied::Bot { throttled: false, .. }) {
                        By::Bot
                    } else {
                        By::Streamkit
                    },
                    ..ours(denied.cause(), "")
                }
            }
            Why::Internal => ours("internal", "Q.850;cause=41"),
        }
    }

    /// The CDR, once nothing more is to be told.
    pub(super) fn conclude_if_done(&mut self, now: Instant) {
        let media = !self.record.awaits_rtp || self.record.rtp.is_some();
        if self.ending.is_some() && media && self.stage.streams.is_empty() {
            self.conclude(now);
        }
    }

    /// The CDR, with what is known.
    pub(super) fn conclude(&mut self, _now: Instant) {
        let Some(ending) = self.ending.as_ref().filter(|_| !self.record.written) else { return };
        let spec = self.leg.spec.as_ref();
        let leftover = std::mem::take(&mut self.stage.streams);
        let cdr = self.record.close(ending, spec, leftover);
        self.timers = super::Timers::default();
        self.outputs.push_back(Output::Done(Box::new(cdr)));
    }
}

/// What a flow that is over says of the bot it ended with.
fn by_flow(last: Option<&Outcome>, otherwise: Ending) -> Ending {
    let Some(last) = last else { return otherwise };
    let cause = last.disposition.as_str();
    let detail = last.error.as_ref().map(ToString::to_string).unwrap_or_default();
    if last.disposition == Disposition::Throttled {
        return Ending { cause, detail, reason: Some("Q.850;cause=34".to_owned()), ..otherwise };
    }
    let (by, reason) = match (last.status, last.disconnected_by) {
        (Status::Completed, DisconnectedBy::Bot) => (By::Bot, "Q.850;cause=16;text=\"bot ended the call\""),
        (Status::Completed, _) => (By::Streamkit, "Q.850;cause=16;text=\"call limit\""),
        (Status::Failed | Status::Cancelled, _) => (By::Bot, "Q.850;cause=41;text=\"bot connection lost\""),
    };
    Ending { by, cause, detail, reason: Some(reason.to_owned()), ..otherwise }
}
