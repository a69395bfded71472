//! Server transaction of every method but INVITE and ACK (RFC 3261 §17.2.2).

use std::time::Instant;

use super::timer::Timers;
use super::{Class, Octets, Send};

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not answered.
    Trying,
    /// Answered 1xx.
    Proceeding,
    /// Answered; copies of the request are absorbed.
    Completed,
    /// Nothing is left to do.
    Terminated,
}

/// What can happen to it.
#[derive(Debug)]
pub(crate) enum Input {
    /// We answer.
    Respond(Class, Octets),
    /// The request came again.
    Request,
    /// Timer J ran out.
    Timeout,
}

/// One request of a peer.
#[derive(Debug)]
pub(crate) struct ServerOther {
    state: State,
    timers: Timers,
    stream: bool,
    last: Option<Octets>,
    /// Timer J.
    until: Option<Instant>,
}

impl ServerOther {
    /// A request came in; `stream`: the transport loses nothing.
    pub(crate) fn new(timers: Timers, stream: bool) -> Self {
        Self { state: State::Trying, timers, stream, last: None, until: None }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// The figure.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) -> Option<Send> {
        use {Class::*, Input::*, State::*};
        match (self.state, input) {
            (Trying | Proceeding, Respond(Provisional, r)) => {
                self.state = Proceeding;
                self.send(r)
            }
            (Trying | Proceeding, Respond(Success | Failure, r)) => {
                self.state = if self.stream { Terminated } else { Completed };
                self.until = (!self.stream).then(|| now + self.timers.give_up());
                self.send(r)
            }
            (Proceeding | Completed, Request) => self.last.clone().map(Send::Again),
            (Completed, Timeout) if self.until.is_some_and(|until| until <= now) => {
                self.state = Terminated;
                None
            }
            _ => None, // a stray changes nothing
        }
    }

    /// When `Timeout` is next worth telling.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    fn send(&mut self, response: Octets) -> Option<Send> {
        self.last = Some(response.clone());
        Some(Send::First(response))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for simulated time
mod tests {
    use std::time::Duration;

    use super::*;

    fn octets(text: &str) -> Octets {
        text.as_bytes().into()
    }

    #[test]
    fn a_copy_gets_the_same_answer_for_64_t1() {
        let now = Instant::now();
        let mut tx = ServerOther::new(Timers::new(Duration::from_millis(500)), false);
        assert_eq!(tx.handle(now, Input::Request), None);
        tx.handle(now, Input::Respond(Class::Provisional, octets("100")));
        assert_eq!(tx.handle(now, Input::Request), Some(Send::Again(octets("100"))));
        tx.handle(now, Input::Respond(Class::Success, octets("200")));
        assert_eq!(tx.handle(now, Input::Respond(Class::Failure, octets("500"))), None);
        assert_eq!(tx.handle(now, Input::Request), Some(Send::Again(octets("200"))));
        assert_eq!(tx.handle(now + Duration::from_secs(31), Input::Timeout), None);
        assert_eq!(tx.state(), State::Completed);
        assert_eq!(tx.poll_timeout(), Some(now + Duration::from_secs(32)));
        tx.handle(now + Duration::from_secs(32), Input::Timeout);
        assert_eq!(tx.state(), State::Terminated);
    }

    #[test]
    fn a_stream_ends_with_the_answer() {
        let now = Instant::now();
        let mut tx = ServerOther::new(Timers::new(Duration::from_millis(500)), true);
        assert!(tx.handle(now, Input::Respond(Class::Failure, octets("405"))).is_some());
        assert_eq!(tx.state(), State::Terminated);
    }
}
