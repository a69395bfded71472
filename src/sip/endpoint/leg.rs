//! A leg: one call between us and one far end, whoever called.
//!
//! ```text
//!  in   Offered ─200─► Up ─BYE─► Leaving ─► Over          out  Calling ─2xx─► Up ─BYE─► Leaving ─► Over
//!          └ refusal, CANCEL, Expires ─────► Over                 └ refusal, nothing ─────────────► Over
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Endpoint;
use super::attempts::Calling;
use super::modify::{Change, Wish};
use crate::ids::LegId;
use crate::sip::auth::{Login, Tries};
use crate::sip::dialog::Dialog;
use crate::sip::dialog::ack_wait::AckWait;
use crate::sip::dialog::reliable::Reliable;
use crate::sip::dialog::session_timer::SessionTimer;
use crate::sip::hop::Way;
use crate::sip::message::Message;
use crate::sip::transaction::Octets;
use crate::sip::transaction::table::TxId;
use crate::sip::transaction::timer::earliest;
use crate::sip::{Body, Ended, Event, Trunk};

/// A 180 or 183 is sent again each minute while the caller is held (RFC 3261 §13.3.1.1).
pub(super) const PROGRESS_AGAIN: Duration = Duration::from_secs(60);
/// A re-INVITE that takes longer gets a 100 (RFC 3261 §17.2.1).
pub(super) const TRYING_AFTER: Duration = Duration::from_millis(200);
/// Forks of one INVITE that are acknowledged and hung up; more cannot be meant seriously.
pub(super) const MAX_STRAYS: usize = 16;

/// The number of a re-INVITE, and the ACK to its 2xx once it is out.
pub(super) type Reack = (u32, Option<(Way, Octets)>);

/// One call of ours. What few calls have at any one time is in boxes.
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
    pub(super) wait: Option<Box<AckWait>>,
    /// Our provisional answers that want a PRACK; also after the final one, for a PRACK that is late.
    pub(super) reliable: Option<Box<Reliable>>,
    /// Whose turn it is in the first exchange of offer and answer.
    pub(super) exchange: Exchange,
    /// A re-INVITE, UPDATE or PRACK of theirs with an offer, without its answer.
    pub(super) reoffer: Option<Box<Reoffer>>,
    /// A re-INVITE or UPDATE of ours.
    pub(super) change: Option<Change>,
    /// What the call wants behind it.
    pub(super) next_change: Option<Wish>,
    /// Number of our last re-INVITE that got a 2xx, and the ACK to it once it is out, for its copies.
    pub(super) reack: Option<Box<Reack>>,
    /// Whether the far end is still there.
    pub(super) session: SessionTimer,
    /// The peer lists UPDATE in Allow.
    pub(super) peer_updates: bool,
    /// The description we gave last: a refresh says it again.
    pub(super) sdp: Option<Body>,
    /// The call wants the end; why. What stands in the way is awaited.
    pub(super) hangup: Option<Option<String>>,
    /// The ACK to the 2xx that answered us, for its copies.
    pub(super) ack: Option<Box<(Way, Octets)>>,
    /// What our end of it is told as, in place of `Ended::ByUs`: it rang too long.
    pub(super) ends_as: Option<Ended>,
    /// Who we are to those who challenge requests of this leg; only of a leg that we began (R-25).
    pub(super) login: Option<Box<Login>>,
    /// Our last INFO, and who was answered about it.
    pub(super) info: Option<Box<(Body, Tries)>>,
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

/// Whose turn it is in the exchange of offer and answer that the INVITE began (RFC 3261 §13.2.1, RFC 3262 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exchange {
    /// Nobody has offered yet.
    Open,
    /// Their offer has no answer that they are known to have.
    Theirs,
    /// Our offer has no answer.
    Ours,
    /// Offered and answered: either may offer anew.
    Done,
}

/// A request of the peer that waits for a final answer.
#[derive(Debug)]
pub(super) struct Asked {
    /// Its transaction.
    pub(super) tx: TxId,
    /// Itself.
    pub(super) request: Message,
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
    /// Which provisional answers want a PRACK.
    pub(super) reliably: Reliably,
    /// When the last 18x goes out again, and itself; a reliable one goes out anew.
    pub(super) progress: Option<(Instant, u16, Option<Octets>)>,
    /// Reliable 18x behind the one that waits for its PRACK.
    pub(super) waiting: VecDeque<(u16, Option<Body>)>,
    /// The 200 waits for the PRACK of a 18x with a description (RFC 3262 §3).
    pub(super) answer: Option<Option<Body>>,
}

/// Which provisional answers to an INVITE go out reliably (RFC 3262 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reliably {
    /// None: the peer does not know how.
    Never,
    /// Those that hold a description: the peer knows how.
    Described,
    /// All: the peer insists.
    Always,
}

/// A re-INVITE, UPDATE or PRACK with an offer, without a final answer.
#[derive(Debug)]
pub(super) struct Reoffer {
    /// What is to be answered.
    pub(super) asked: Asked,
    /// When it gets a 100: a re-INVITE alone.
    pub(super) trying: Option<Instant>,
}

impl Leg {
    /// A leg that begins.
    pub(super) fn new(trunk: Arc<Trunk>, dialog: Dialog, stage: Stage) -> Self {
        Self {
            session: SessionTimer::new(trunk.session_timer),
            trunk,
            dialog,
            stage,
            call: None,
            wait: None,
            reliable: None,
            exchange: Exchange::Open,
            reoffer: None,
            change: None,
            next_change: None,
            reack: None,
            peer_updates: false,
            sdp: None,
            hangup: None,
            ack: None,
            ends_as: None,
            login: None,
            info: None,
            bye: Default::default(),
            strays: Vec::new(),
            requests: 0,
            told_end: false,
        }
    }

    /// Takes note of what the peer is able to do.
    pub(super) fn learn(&mut self, message: &Message) {
        if message.raw("Allow").next().is_some() {
            self.peer_updates = message.lists("Allow", "UPDATE");
        }
    }

    /// Whether a request of ours would meet nothing that is not settled yet (RFC 3261 §14.1).
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.stage, Stage::Up)
            && self.wait.is_none()
            && self.reoffer.is_none()
            && self.hangup.is_none()
            && self.exchange == Exchange::Done
    }

    /// When something is next due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let of_stage = match &self.stage {
            Stage::Offered(offered) => {
                let reliable = self.reliable.as_deref().and_then(Reliable::poll_timeout);
                earliest([offered.expires, offered.progress.as_ref().map(|(at, ..)| *at), reliable])
            }
            Stage::Up => self.session.poll_timeout(),
            Stage::Calling | Stage::Leaving | Stage::Over => None,
        };
        let change = self.change.as_ref().and_then(Change::poll_timeout);
        let call = self.call.as_ref().and_then(|call| call.poll_timeout());
        let trying = self.reoffer.as_ref().and_then(|reoffer| reoffer.trying);
        earliest([of_stage, call, change, trying, self.wait.as_deref().map(AckWait::poll_timeout)])
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
    pub(super) fn settle(&mut self, id: LegId, leg: Box<Leg>) {
        if leg.told_end && leg.requests == 0 {
            self.deadlines.arm(id, None);
            self.dialogs.remove(&leg.dialog.key());
            return;
        }
        self.deadlines.arm(id, leg.poll_timeout());
        self.legs.insert(id, leg);
    }

    /// The leg is over: told once. An INVITE of ours without a final answer is awaited for 64·T1 more; a request of
    /// theirs without one gets 487 (§15.1.2).
    pub(super) fn end(&mut self, now: Instant, id: LegId, leg: &mut Leg, how: Ended) {
        leg.stage = Stage::Over;
        self.refuse_reoffer(now, leg);
        leg.leave_change();
        if let Some(call) = &mut leg.call {
            call.let_go(now + self.timers.give_up());
        }
        (leg.wait, leg.hangup, leg.reliable) = (None, None, None);
        let how = if how == Ended::ByUs { leg.ends_as.take().unwrap_or(how) } else { how };
        if !std::mem::replace(&mut leg.told_end, true) {
            self.tell(Event::Ended { leg: id, how });
        }
    }
}
