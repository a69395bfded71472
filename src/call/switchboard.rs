//! Who is on the line: legs and calls to mailboxes. Nothing waits for a call: a mailbox that is full ends its call.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Input, Request};
use crate::ids::{CallKey, LegId};

/// Inputs a call may have waiting. An ordinary call has fewer than ten in its whole life, but for keys pressed.
const MAILBOX: usize = 64;

/// Where one call takes its inputs from.
#[derive(Debug)]
pub struct Mailbox(Arc<Letters>);

impl Mailbox {
    /// The next, when there is one; `Request::Fail` before all else, once the mailbox was full. May be dropped at any await.
    pub(super) async fn next(&mut self) -> Input {
        loop {
            if let Some(input) = self.0.take() {
                return input;
            }
            self.0.came.notified().await;
        }
    }
}

/// Where inputs of one call are put.
#[derive(Clone, Debug)]
pub struct Slot {
    letters: Arc<Letters>,
}

/// What waits for one call. No channel: that has room for many all the time, and a call has few.
#[derive(Debug, Default)]
struct Letters {
    waiting: Mutex<Waiting>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    inputs: VecDeque<Input>,
    /// There was one too many.
    overflowed: bool,
}

impl Letters {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner) // whole at every step
    }

    /// False: there is no room.
    fn put(&self, input: Input) -> bool {
        let mut waiting = self.lock();
        let room = waiting.inputs.len() < MAILBOX;
        if room {
            waiting.inputs.push_back(input);
        } else {
            waiting.overflowed = true;
        }
        drop(waiting);
        self.came.notify_one();
        room
    }

    fn take(&self) -> Option<Input> {
        let mut waiting = self.lock();
        if std::mem::take(&mut waiting.overflowed) {
            return Some(Input::Request(Request::Fail));
        }
        let next = waiting.inputs.pop_front();
        if waiting.inputs.is_empty() {
            waiting.inputs = VecDeque::new();
        }
        next
    }
}

impl Slot {
    /// Puts it there, or ends the call.
    pub fn put(&self, input: Input) {
        if !self.letters.put(input) {
            crate::telemetry::metrics::mailbox_overflow();
        }
    }
}

#[derive(Debug, Default)]
struct Lines {
    legs: HashMap<LegId, CallKey>,
    calls: HashMap<CallKey, Slot>,
    next: u64,
}

/// All calls; cloned, it is the same board.
#[derive(Clone, Debug, Default)]
pub struct Switchboard(Arc<Mutex<Lines>>);

impl Switchboard {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // only maps are in it, whole at every step
    }

    /// A new line for a call with this leg.
    pub fn open(&self, leg: LegId) -> (Line, Mailbox) {
        let letters = Arc::new(Letters::default());
        let slot = Slot { letters: Arc::clone(&letters) };
        let mut lines = self.lock();
        let key = CallKey(lines.next);
        lines.next += 1;
        lines.legs.insert(leg, key);
        lines.calls.insert(key, slot.clone());
        drop(lines);
        (Line { board: self.clone(), key, leg, slot }, Mailbox(letters))
    }

    /// The mailbox of a leg's call; none when it is over.
    pub fn by_leg(&self, leg: LegId) -> Option<Slot> {
        let lines = self.lock();
        lines.legs.get(&leg).and_then(|key| lines.calls.get(key)).cloned()
    }

    /// The mailbox of a call; none when it is over.
    pub fn by_call(&self, key: CallKey) -> Option<Slot> {
        self.lock().calls.get(&key).cloned()
    }

    /// Asks the same of every call.
    pub fn ask_all(&self, request: Request) {
        let slots: Vec<Slot> = self.lock().calls.values().cloned().collect();
        for slot in slots {
            slot.put(Input::Request(request));
        }
    }

    /// Calls on the line.
    pub fn len(&self) -> usize {
        self.lock().calls.len()
    }

    /// No call is on the line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One call's line: dropped, nothing finds the call any more.
#[derive(Debug)]
pub struct Line {
    board: Switchboard,
    /// The call.
    pub key: CallKey,
    /// Its leg.
    pub leg: LegId,
    /// Its mailbox.
    pub slot: Slot,
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut lines = self.board.lock();
        lines.legs.remove(&self.leg);
        lines.calls.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_call_is_found_until_its_line_is_dropped() {
        let board = Switchboard::default();
        let (line, mailbox) = board.open(LegId(7));
        board.by_leg(LegId(7)).unwrap().put(Input::Timeout);
        assert!(matches!(mailbox.0.take(), Some(Input::Timeout)));
        assert_eq!(board.len(), 1);
        drop(line);
        assert!(board.by_leg(LegId(7)).is_none() && board.is_empty());
    }

    #[test]
    fn a_full_mailbox_ends_its_call_and_waits_for_nobody() {
        let board = Switchboard::default();
        let (line, mailbox) = board.open(LegId(1));
        for _ in 0..=MAILBOX {
            line.slot.put(Input::Timeout);
        }
        assert!(matches!(mailbox.0.take(), Some(Input::Request(Request::Fail))), "at once");
        assert!((0..MAILBOX).all(|_| matches!(mailbox.0.take(), Some(Input::Timeout))));
        assert!(mailbox.0.take().is_none());
    }

    #[tokio::test]
    async fn a_call_that_waits_hears_of_an_input() {
        let board = Switchboard::default();
        let (line, mut mailbox) = board.open(LegId(1));
        assert!(mailbox.next().now_or_never().is_none());
        line.slot.put(Input::Timeout);
        assert!(matches!(mailbox.next().await, Input::Timeout));
        let waits = tokio::spawn(async move { mailbox.next().await });
        tokio::task::yield_now().await;
        line.slot.put(Input::Request(Request::Hangup));
        assert!(matches!(waits.await, Ok(Input::Request(Request::Hangup))));
    }
}
