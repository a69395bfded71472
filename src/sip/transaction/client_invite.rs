//! Client INVITE transaction (RFC 3261 §17.1.1, with Accepted from RFC 6026 §7.2).

use std::time::Instant;

use super::timer::{Backoff, Timers, earliest};
use super::{Class, Octets, Send};

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing came back yet.
    Calling,
    /// A 1xx came.
    Proceeding,
    /// Refused; the refusal's copies get the ACK again.
    Completed,
    /// Answered 2xx; its copies, and those of other forks, are passed on.
    Accepted,
    /// Nothing is left to do.
    Terminated,
}

/// What can happen to it.
#[derive(Debug)]
pub(crate) enum Input {
    /// A response came.
    Response(Class),
    /// The ACK the user made for a refusal.
    Ack(Octets),
    /// A timer ran out.
    Timeout,
}

/// What it wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Put this on the wire.
    Send(Send),
    /// The response is news to the user; a refusal wants an `Ack`.
    Tell,
    /// Timer B: nothing came.
    TimedOut,
}

/// One INVITE of ours; its first sending is the user's.
#[derive(Debug)]
pub(crate) struct ClientInvite {
    state: State,
    timers: Timers,
    stream: bool,
    request: Octets,
    ack: Option<Octets>,
    /// Timer A.
    again: Option<Backoff>,
    /// Timers B, D and M.
    until: Option<Instant>,
}

impl ClientInvite {
    /// `request` went out just now.
    pub(crate) fn new(now: Instant, timers: Timers, stream: bool, request: Octets) -> Self {
        let again = (!stream).then(|| Backoff::new(now, timers.t1, None));
        let until = Some(now + timers.give_up());
        Self { state: State::Calling, timers, stream, request, ack: None, again, until }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// The figure.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) -> Option<Output> {
        use {Class::*, Input::*, State::*};
        match (self.state, input) {
            (Calling | Proceeding, Response(Provisional)) => {
                self.become_until(Proceeding, None);
                Some(Output::Tell)
            }
            (Calling | Proceeding, Response(Success)) => {
                self.become_until(Accepted, Some(now + self.timers.give_up())); // timer M
                Some(Output::Tell)
            }
            (Accepted, Response(Success)) => Some(Output::Tell),
            (Calling | Proceeding, Response(Failure)) => {
                let absorb = (!self.stream).then(|| now + self.timers.absorb_failure()); // timer D
                self.become_until(Completed, Some(absorb.unwrap_or(now)));
                Some(Output::Tell)
            }
            (Completed, Ack(ack)) => {
                self.state = if self.stream { Terminated } else { Completed };
                self.ack = Some(ack.clone());
                Some(Output::Send(Send::First(ack)))
            }
            (Completed, Response(Failure)) => self.ack.clone().map(|ack| Output::Send(Send::Again(ack))),
            (Calling, Timeout) if self.expired(now) => {
                self.state = Terminated;
                Some(Output::TimedOut)
            }
            (Calling, Timeout) if self.again.as_mut().is_some_and(|a| a.due(now)) => {
                Some(Output::Send(Send::Again(self.request.clone())))
            }
            (Completed | Accepted, Timeout) if self.expired(now) => {
                self.state = Terminated;
                None
            }
            _ => None, // a stray changes nothing
        }
    }

    /// From now on it is not sent again.
    pub(crate) fn hush(&mut self) {
        self.again = None;
    }

    /// When `Timeout` is next worth telling.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        earliest([self.again.map(|a| a.at), self.until])
    }

    fn become_until(&mut self, state: State, until: Option<Instant>) {
        self.state = state;
        self.until = until;
        self.again = None;
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

    fn octets(text: &str) -> Octets {
        text.as_bytes().into()
    }

    fn invite(now: Instant, stream: bool) -> ClientInvite {
        ClientInvite::new(now, Timers::new(Duration::from_millis(500)), stream, octets("INVITE"))
    }

    #[test]
    fn an_unanswered_invite_goes_out_seven_times_in_32_s() {
        let start = Instant::now();
        let (mut tx, mut at) = (invite(start, false), vec![0]);
        loop {
            let now = tx.poll_timeout().unwrap();
            match tx.handle(now, Input::Timeout) {
                Some(Output::Send(_)) => at.push((now - start).as_millis()),
                Some(Output::TimedOut) => break assert_eq!((now - start).as_secs(), 32),
                other => assert_eq!(other, None),
            }
        }
        assert_eq!(at, [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
        assert_eq!(tx.state(), State::Terminated);
    }

    #[test]
    fn a_provisional_stops_the_repetition_and_every_one_is_told() {
        let now = Instant::now();
        let mut tx = invite(now, false);
        assert_eq!(tx.handle(now, Input::Response(Class::Provisional)), Some(Output::Tell));
        assert_eq!(tx.handle(now, Input::Response(Class::Provisional)), Some(Output::Tell));
        assert_eq!((tx.state(), tx.poll_timeout()), (State::Proceeding, None));
    }

    #[test]
    fn each_copy_of_a_refusal_gets_the_same_ack() {
        let now = Instant::now();
        let mut tx = invite(now, false);
        assert_eq!(tx.handle(now, Input::Response(Class::Failure)), Some(Output::Tell));
        assert_eq!(tx.handle(now, Input::Ack(octets("ACK"))), Some(Output::Send(Send::First(octets("ACK")))));
        assert_eq!(
            tx.handle(now, Input::Response(Class::Failure)),
            Some(Output::Send(Send::Again(octets("ACK"))))
        );
        assert_eq!(tx.handle(now, Input::Response(Class::Success)), None);
        tx.handle(now + Duration::from_secs(32), Input::Timeout);
        assert_eq!(tx.state(), State::Terminated);
    }

    #[test]
    fn a_stream_ends_with_the_ack_of_a_refusal() {
        let now = Instant::now();
        let mut tx = invite(now, true);
        assert_eq!(tx.poll_timeout(), Some(now + Duration::from_secs(32)));
        tx.handle(now, Input::Response(Class::Failure));
        assert!(tx.handle(now, Input::Ack(octets("ACK"))).is_some());
        assert_eq!(tx.state(), State::Terminated);
    }

    #[test]
    fn every_2xx_within_64_t1_is_told() {
        let now = Instant::now();
        let mut tx = invite(now, false);
        assert_eq!(tx.handle(now, Input::Response(Class::Success)), Some(Output::Tell));
        assert_eq!(tx.handle(now, Input::Response(Class::Success)), Some(Output::Tell));
        assert_eq!(tx.handle(now, Input::Response(Class::Provisional)), None);
        assert_eq!(tx.handle(now, Input::Response(Class::Failure)), None);
        tx.handle(now + Duration::from_secs(32), Input::Timeout);
        assert_eq!(tx.state(), State::Terminated);
    }
}
