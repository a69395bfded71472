//! Client transaction of every method but INVITE and ACK (RFC 3261 §17.1.2).

use std::time::Instant;

use super::timer::{Backoff, Timers, earliest};
use super::{Class, Octets, Send};

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing came back yet.
    Trying,
    /// A 1xx came.
    Proceeding,
    /// Answered; copies of the answer are absorbed.
    Completed,
    /// Nothing is left to do.
    Terminated,
}

/// What can happen to it.
#[derive(Debug)]
pub(crate) enum Input {
    /// A response came.
    Response(Class),
    /// A timer ran out.
    Timeout,
}

/// What it wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Put this on the wire.
    Send(Send),
    /// The response is news to the user.
    Tell,
    /// Timer F: no final answer came.
    TimedOut,
}

/// One request of ours; its first sending is the user's.
#[derive(Debug)]
pub(crate) struct ClientOther {
    state: State,
    timers: Timers,
    stream: bool,
    request: Octets,
    /// Timer E.
    again: Option<Backoff>,
    /// Timers F and K.
    until: Option<Instant>,
}

impl ClientOther {
    /// `request` went out just now.
    pub(crate) fn new(now: Instant, timers: Timers, stream: bool, request: Octets) -> Self {
        let again = (!stream).then(|| Backoff::new(now, timers.t1, Some(timers.t2)));
        let until = Some(now + timers.give_up());
        Self { state: State::Trying, timers, stream, request, again, until }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// The figure.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) -> Option<Output> {
        use {Class::*, Input::*, State::*};
        match (self.state, input) {
            (Trying | Proceeding, Response(Provisional)) => {
                self.state = Proceeding;
                self.again.as_mut().map(Backoff::slow_down);
                Some(Output::Tell)
            }
            (Trying | Proceeding, Response(Success | Failure)) => {
                self.state = if self.stream { Terminated } else { Completed };
                self.until = (!self.stream).then(|| now + self.timers.t4); // timer K
                self.again = None;
                Some(Output::Tell)
            }
            (Trying | Proceeding, Timeout) if self.expired(now) => {
                self.state = Terminated;
                Some(Output::TimedOut)
            }
            (Trying | Proceeding, Timeout) if self.again.as_mut().is_some_and(|e| e.due(now)) => {
                Some(Output::Send(Send::Again(self.request.clone())))
            }
            (Completed, Timeout) if self.expired(now) => {
                self.state = Terminated;
                None
            }
            _ => None, // a stray changes nothing
        }
    }

    /// When `Timeout` is next worth telling.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        earliest([self.again.map(|e| e.at), self.until])
    }

    fn expired(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for simulated time
mod tests {
    use std::time::Duration;

    use super::*;

    fn bye(now: Instant, stream: bool) -> ClientOther {
        ClientOther::new(now, Timers::new(Duration::from_millis(500)), stream, b"BYE".as_slice().into())
    }

    fn run_out(tx: &mut ClientOther) -> (usize, bool, Instant) {
        let mut sent = 0;
        loop {
            let now = tx.poll_timeout().unwrap();
            match tx.handle(now, Input::Timeout) {
                Some(Output::Send(_)) => sent += 1,
                Some(Output::TimedOut) => return (sent, true, now),
                _ if tx.state() == State::Terminated => return (sent, false, now),
                _ => {}
            }
        }
    }

    #[test]
    fn an_unanswered_request_goes_out_eleven_times_in_32_s() {
        let start = Instant::now();
        assert_eq!(run_out(&mut bye(start, false)), (10, true, start + Duration::from_secs(32)));
    }

    #[test]
    fn a_provisional_slows_the_repetition_to_t2() {
        let start = Instant::now();
        let mut tx = bye(start, false);
        assert_eq!(tx.handle(start, Input::Response(Class::Provisional)), Some(Output::Tell));
        tx.handle(tx.poll_timeout().unwrap(), Input::Timeout);
        assert_eq!(tx.poll_timeout(), Some(start + Duration::from_millis(4500)));
    }

    #[test]
    fn an_answer_is_told_once_and_its_copies_absorbed_for_t4() {
        let start = Instant::now();
        let mut tx = bye(start, false);
        assert_eq!(tx.handle(start, Input::Response(Class::Success)), Some(Output::Tell));
        assert_eq!(tx.handle(start, Input::Response(Class::Success)), None);
        assert_eq!(run_out(&mut tx), (0, false, start + Duration::from_secs(5)));
    }

    #[test]
    fn a_stream_repeats_nothing_and_ends_with_the_answer() {
        let start = Instant::now();
        let mut tx = bye(start, true);
        assert_eq!(tx.poll_timeout(), Some(start + Duration::from_secs(32)));
        tx.handle(start, Input::Response(Class::Failure));
        assert_eq!(tx.state(), State::Terminated);
    }
}
