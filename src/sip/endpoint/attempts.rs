//! An outgoing call before its answer: where it may go, and the INVITEs that went.
//!
//! ```text
//!  plan: targets ─► places        attempt: INVITE ─1xx─► rings ─2xx─► answered
//!    ▲                               │  nothing in 5 s, refused connection, 503: the next place
//!    └───────────────────────────────┤  401, 407, 422, 3xx: again, numbered anew
//!                                    └─ let go: a late 1xx gets CANCEL, a late 2xx ACK and BYE
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Way;
use super::early::Early;
use crate::sip::auth::Tries;
use crate::sip::hop::Hop;
use crate::sip::target::Question;
use crate::sip::transaction::table::TxId;
use crate::sip::transaction::timer::earliest;
use crate::sip::{Credentials, Dial, Ended};

/// INVITEs of one call; a plan that wants more goes round in circles.
const MAX_ATTEMPTS: u8 = 48;
/// Without any response for so long the next place is tried.
pub(super) const TRY: Duration = Duration::from_secs(5);

/// A call of ours up to the ACK of its answer.
#[derive(Debug)]
pub(super) struct Calling {
    /// What was asked for.
    pub(super) dial: Dial,
    /// Request-URI; a redirect changes it.
    pub(super) uri: String,
    /// Where it may go next.
    pub(super) plan: Plan,
    /// INVITEs without a final answer, and the last.
    pub(super) attempts: Vec<Attempt>,
    /// Dialogs that 1xx made.
    pub(super) early: Vec<Early>,
    /// When it has rung long enough.
    pub(super) rings_until: Option<Instant>,
    /// 422 answered so far.
    pub(super) lengthened: u8,
    /// 3xx followed so far.
    pub(super) redirects: u8,
    /// Who was answered at this place.
    pub(super) tries: Tries,
    /// How the last place failed.
    pub(super) failure: Option<Ended>,
    /// The ACK of a 2xx that holds an offer waits for our answer.
    pub(super) owed: Option<OwedAck>,
    made: u8,
}

/// Places and targets not tried yet.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In order.
    pub(super) aims: VecDeque<Aim>,
    /// Of the present target.
    pub(super) hops: VecDeque<Hop>,
    /// Of the present target.
    pub(super) credentials: Option<Credentials>,
    /// Its answer is awaited.
    pub(super) waiting: Option<Question>,
}

/// A target to be tried.
#[derive(Debug)]
pub(super) struct Aim {
    /// Where is it?
    pub(super) question: Question,
    /// For a challenge there.
    pub(super) credentials: Option<Credentials>,
    /// Where a redirect led.
    pub(super) uri: Option<String>,
}

/// An INVITE of ours: what its CANCEL and the ACK of a refusal are made of.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Which of the call's.
    pub(super) number: u8,
    /// Its transaction.
    pub(super) tx: TxId,
    /// Where it went.
    pub(super) way: Way,
    /// Request-URI.
    pub(super) uri: String,
    /// Branch of its Via.
    pub(super) branch: String,
    /// CSeq.
    pub(super) seq: u32,
    /// Authorization fields it carried; the ACK of its 2xx has the same (RFC 3261 §22.1).
    pub(super) authorization: Vec<(&'static str, String)>,
    /// A 1xx came: it may be cancelled.
    pub(super) provisional: bool,
    /// When the next place is tried.
    pub(super) try_until: Option<Instant>,
    /// When a final answer is no longer awaited: its CANCEL is out, or nobody wants it any more.
    pub(super) until: Option<Instant>,
    /// The CANCEL is out.
    pub(super) cancelled: bool,
    /// The call goes on without it.
    pub(super) given_up: bool,
    /// A final answer came, or none is awaited.
    pub(super) settled: bool,
}

/// What the ACK of a late offer is made of.
#[derive(Debug)]
pub(super) struct OwedAck {
    /// CSeq of the INVITE.
    pub(super) seq: u32,
    /// As the INVITE had them.
    pub(super) authorization: Vec<(&'static str, String)>,
}

impl Calling {
    /// A call that begins.
    pub(super) fn new(now: Instant, dial: Dial, plan: Plan) -> Self {
        Self {
            uri: dial.uri.clone(),
            rings_until: Some(now + dial.ring_limit),
            dial,
            plan,
            attempts: Vec::new(),
            early: Vec::new(),
            lengthened: 0,
            redirects: 0,
            tries: Tries::default(),
            failure: None,
            owed: None,
            made: 0,
        }
    }

    /// The number of a further INVITE; nothing when there were enough.
    pub(super) fn next_number(&mut self) -> Option<u8> {
        self.made = self.made.checked_add(1).filter(|made| *made <= MAX_ATTEMPTS)?;
        Some(self.made)
    }

    /// Takes an INVITE that went out; those that are settled are forgotten.
    pub(super) fn begin(&mut self, attempt: Attempt) {
        self.attempts.retain(|old| !old.settled);
        self.attempts.push(attempt);
        self.early.clear();
    }

    /// The INVITE of that number.
    pub(super) fn attempt(&mut self, number: u8) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.number == number)
    }

    /// The INVITE whose answer the call waits for.
    pub(super) fn current(&mut self) -> Option<&mut Attempt> {
        self.attempts.last_mut().filter(|attempt| !attempt.given_up && !attempt.settled)
    }

    /// The final answer to that INVITE is in, or none is awaited. Whether the call waited for it.
    pub(super) fn settle(&mut self, number: u8) -> bool {
        let current = self.current().is_some_and(|attempt| attempt.number == number);
        if let Some(attempt) = self.attempt(number) {
            (attempt.settled, attempt.until, attempt.try_until) = (true, None, None);
        }
        current
    }

    /// Nobody waits any more for what is unanswered; it is listened to for a while.
    pub(super) fn let_go(&mut self, until: Instant) {
        (self.rings_until, self.plan) = (None, Plan::default());
        for attempt in self.attempts.iter_mut().filter(|attempt| !attempt.settled) {
            attempt.until.get_or_insert(until);
            attempt.try_until = None;
        }
    }

    /// INVITEs nothing is awaited for any more.
    pub(super) fn overdue(&self, now: Instant) -> Vec<(u8, TxId)> {
        let due = self.attempts.iter().filter(|attempt| attempt.until.is_some_and(|at| at <= now));
        due.map(|attempt| (attempt.number, attempt.tx)).collect()
    }

    /// When something is next due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let of_attempts = self.attempts.iter().flat_map(|attempt| [attempt.until, attempt.try_until]);
        earliest(of_attempts.chain([self.rings_until]))
    }
}

impl Attempt {
    /// Whether it is time to try the next place; told once.
    pub(super) fn is_silent(&mut self, now: Instant) -> bool {
        self.try_until.take_if(|at| *at <= now).is_some()
    }
}

impl Plan {
    /// Whether there is somewhere left to go.
    pub(super) fn has_more(&self) -> bool {
        !self.hops.is_empty() || !self.aims.is_empty()
    }
}
