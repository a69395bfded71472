//! A leg: one call between us and one far end, whoever called.
//!
//! ```text
//!  in   Offered ─200─► Up ─BYE─► Leaving ─► Over          out  Calling ─2xx─► Up ─BYE─► Leaving ─► Over
//!          └ refusal, CANCEL, Expires ─────► Over                 └ refusal, nothing ─────────────► Over
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Endpoint;
use super::attempts::Calling;
use crate::ids::LegId;
use crate::sip::auth::{Login, Tries};
use crate::sip::dialog::Dialog;
use crate::sip::dialog::ack_wait::AckWait;
use crate::sip::hop::Way;
use crate::sip::message::Message;
use crate::sip::transaction::Octets;
use crate::sip::transaction::table::TxId;
use crate::sip::transaction::timer::earliest;
use crate::sip::{Ended, Event, Trunk};

/// A 180 or 183 is sent again each minute while the caller is held (RFC 3261 §13.3.1.1).
pub(super) const PROGRESS_AGAIN: Duration = Duration::from_secs(60);
/// A re-INVITE that takes longer gets a 100 (RFC 3261 §17.2.1).
pub(super) const TRYING_AFTER: Duration = Duration::from_millis(200);
/// Forks of one INVITE that are acknowledged and hung up; more cannot be meant seriously.
pub(super) const MAX_STRAYS: usize = 16;

/// One call of ours.
#[derive(Debug)]
pub(super) struct Leg {
    /// Whose it is, as it was when the call began.
    pub(super) trunk: Arc<Trunk>,
    /// What we and the peer agree on; half of it while our INVITE is unanswered.
    pub(super) dialog: Dialog,
    /// Where it stands.
    pub(super) stage: Stage,
    /// Our INVITE, of a leg that we began.
    pub(super) call: Option<Box<Calling>>,
    /// A 2xx of ours without its ACK.
    pub(super) wait: Option<AckWait>,
    /// A re-INVITE of theirs without its answer.
    pub(super) reoffer: Option<Reoffer>,
    /// The call wants the end; why. What stands in the way is awaited.
    pub(super) hangup: Option<Option<String>>,
    /// The ACK to the 2xx that answered us, for its copies.
    pub(super) ack: Option<(Way, Octets)>,
    /// What our end of it is told as, in place of `Ended::ByUs`: it rang too long.
    pub(super) ends_as: Option<Ended>,
    /// Who we are to those who challenge requests of this leg; only of a leg that we began (R-25).
    pub(super) login: Option<Login>,
    /// Our BYE: its Reason, and who was answered about it.
    pub(super) bye: (Option<String>, Tries),
    /// 2xx of other forks: their tag and the ACK to them.
    pub(super) strays: Vec<(String, Way, Octets)>,
    /// Requests of ours whose transactions live.
    pub(super) requests: u32,
    /// `Ended` was told.
    pub(super) told_end: bool,
}

/// Where a leg stands.
#[derive(Debug)]
pub(super) enum Stage {
    /// Their INVITE waits for our answer.
    Offered(Box<Offered>),
    /// Our INVITE waits for theirs.
    Calling,
    /// Answered.
    Up,
    /// Our BYE is out.
    Leaving,
    /// Over; what is left is politeness.
    Over,
}

/// An INVITE of the peer that waits for a final answer.
#[derive(Debug)]
pub(super) struct Asked {
    /// Its transaction.
    pub(super) tx: TxId,
    /// Itself.
    pub(super) invite: Message,
    /// Where it came from.
    pub(super) source: SocketAddr,
}

/// The INVITE that began a leg.
#[derive(Debug)]
pub(super) struct Offered {
    /// What is to be answered.
    pub(super) asked: Asked,
    /// When its Expires runs out.
    pub(super) expires: Option<Instant>,
    /// When the last 18x goes out again, and itself.
    pub(super) progress: Option<(Instant, u16, Octets)>,
}

/// A re-INVITE without a final answer.
#[derive(Debug)]
pub(super) struct Reoffer {
    /// What is to be answered.
    pub(super) asked: Asked,
    /// When it gets a 100.
    pub(super) trying: Option<Instant>,
}

impl Leg {
    /// A leg that begins.
    pub(super) fn new(trunk: Arc<Trunk>, dialog: Dialog, stage: Stage) -> Self {
        Self {
            trunk,
            dialog,
            stage,
            call: None,
            wait: None,
            reoffer: None,
            hangup: None,
            ack: None,
            ends_as: None,
            login: None,
            bye: Default::default(),
            strays: Vec::new(),
            requests: 0,
            told_end: false,
        }
    }

    /// When something is next due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let of_stage = match &self.stage {
            Stage::Offered(offered) => {
                earliest([offered.expires, offered.progress.as_ref().map(|(at, ..)| *at)])
            }
            Stage::Calling | Stage::Up | Stage::Leaving | Stage::Over => None,
        };
        let call = self.call.as_ref().and_then(|call| call.poll_timeout());
        let trying = self.reoffer.as_ref().and_then(|reoffer| reoffer.trying);
        earliest([of_stage, call, trying, self.wait.as_ref().map(AckWait::poll_timeout)])
    }
}

/// An inbound leg is named by the endpoint, in this half of the numbers.
pub(super) fn inbound(number: u64) -> LegId {
    LegId(number & !OUTBOUND)
}

/// Legs that a `Dial` names have this bit, so that the two never meet.
pub(super) const OUTBOUND: u64 = 1 << 63;

impl Endpoint {
    /// Does `act` to a leg, then puts its deadline right or forgets it.
    pub(super) fn with_leg<R>(
        &mut self,
        id: LegId,
        act: impl FnOnce(&mut Self, LegId, &mut Leg) -> R,
    ) -> Option<R> {
        let mut leg = self.legs.remove(&id)?;
        let done = act(self, id, &mut leg);
        self.settle(id, leg);
        Some(done)
    }

    /// Puts a leg back: its deadline is right, or it is forgotten.
    pub(super) fn settle(&mut self, id: LegId, leg: Leg) {
        if leg.told_end && leg.requests == 0 {
            self.deadlines.arm(id, None);
            self.dialogs.remove(&leg.dialog.key());
            return;
        }
        self.deadlines.arm(id, leg.poll_timeout());
        self.legs.insert(id, leg);
    }

    /// The leg is over: told once. An INVITE of ours without a final answer is awaited for 64·T1 more.
    pub(super) fn end(&mut self, now: Instant, id: LegId, leg: &mut Leg, how: Ended) {
        leg.stage = Stage::Over;
        if let Some(call) = &mut leg.call {
            call.let_go(now + self.timers.give_up());
        }
        (leg.wait, leg.hangup) = (None, None);
        let how = if how == Ended::ByUs { leg.ends_as.take().unwrap_or(how) } else { how };
        if !std::mem::replace(&mut leg.told_end, true) {
            self.tell(Event::Ended { leg: id, how });
        }
    }
}
