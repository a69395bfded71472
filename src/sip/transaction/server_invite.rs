//! Server INVITE transaction (RFC 3261 §17.2.1, with Accepted from RFC 6026 §7.1).

use std::time::Instant;

use super::timer::{Backoff, Timers, earliest};
use super::{Class, Octets, Send};

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No final answer yet.
    Proceeding,
    /// Refused; the ACK is awaited.
    Completed,
    /// The ACK is in; its copies are absorbed.
    Confirmed,
    /// Answered 2xx; copies of the INVITE are absorbed, the 2xx is repeated by the dialog.
    Accepted,
    /// Nothing is left to do.
    Terminated,
}

/// What can happen to it.
#[derive(Debug)]
pub(crate) enum Input {
    /// We answer.
    Respond(Class, Octets),
    /// The INVITE came again.
    Invite,
    /// An ACK with its branch came.
    Ack,
    /// A timer ran out.
    Timeout,
}

/// What it wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Put this on the wire.
    Send(Send),
    /// Timer H: a refusal was never acknowledged.
    Unacknowledged,
    /// An ACK for a 2xx came with the branch of the INVITE (RFC 2543 peers): it is the dialog's.
    DialogAck,
}

/// One INVITE of a peer.
#[derive(Debug)]
pub(crate) struct ServerInvite {
    state: State,
    timers: Timers,
    stream: bool,
    last: Option<Octets>,
    /// Timer G.
    again: Option<Backoff>,
    /// Timers H, I and L.
    until: Option<Instant>,
}

impl ServerInvite {
    /// An INVITE came in; `stream`: the transport loses nothing.
    pub(crate) fn new(timers: Timers, stream: bool) -> Self {
        Self { state: State::Proceeding, timers, stream, last: None, again: None, until: None }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// The figure.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) -> Option<Output> {
        use {Class::*, Input::*, State::*};
        match (self.state, input) {
            (Proceeding, Respond(Provisional, r)) => self.send(r),
            (Proceeding, Respond(Success, r)) => {
                self.become_until(Accepted, now + self.timers.give_up()); // timer L
                self.last = None; // no copy of the INVITE is answered any more
                Some(Output::Send(Send::First(r)))
            }
            (Proceeding, Respond(Failure, r)) => {
                self.become_until(Completed, now + self.timers.give_up()); // timer H
                self.again = (!self.stream).then(|| Backoff::new(now, self.timers.t1, Some(self.timers.t2)));
                self.send(r)
            }
            (Proceeding | Completed, Invite) => self.resend(),
            (Completed, Ack) => {
                let absorb = if self.stream { now } else { now + self.timers.t4 }; // timer I
                self.become_until(if self.stream { Terminated } else { Confirmed }, absorb);
                None
            }
            (Completed, Timeout) if self.expired(now) => {
                self.state = Terminated;
                Some(Output::Unacknowledged)
            }
            (Completed, Timeout) if self.again.as_mut().is_some_and(|g| g.due(now)) => self.resend(),
            (Accepted, Ack) => Some(Output::DialogAck),
            (Accepted | Confirmed, Timeout) if self.expired(now) => {
                self.state = Terminated;
                None
            }
            _ => None, // a stray changes nothing
        }
    }

    /// When `Timeout` is next worth telling.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        earliest([self.again.map(|g| g.at), self.until])
    }

    fn become_until(&mut self, state: State, until: Instant) {
        self.state = state;
        self.until = Some(until);
        self.again = None;
    }

    fn send(&mut self, response: Octets) -> Option<Output> {
        self.last = Some(response.clone());
        Some(Output::Send(Send::First(response)))
    }

    fn resend(&self) -> Option<Output> {
        self.last.clone().map(|r| Output::Send(Send::Again(r)))
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

    fn udp() -> ServerInvite {
        ServerInvite::new(Timers::new(Duration::from_millis(500)), false)
    }

    /// Runs the timers until nothing waits; how often something was sent, and whether it gave up.
    fn run_out(tx: &mut ServerInvite) -> (usize, bool) {
        let (mut sent, mut gave_up) = (0, false);
        while tx.state() != State::Terminated {
            let now = tx.poll_timeout().expect("a transaction that has not ended waits for something");
            match tx.handle(now, Input::Timeout) {
                Some(Output::Send(_)) => sent += 1,
                Some(Output::Unacknowledged) => gave_up = true,
                Some(Output::DialogAck) | None => {}
            }
        }
        (sent, gave_up)
    }

    #[test]
    fn a_copy_of_the_invite_gets_the_last_provisional_again() {
        let (now, mut tx) = (Instant::now(), udp());
        assert_eq!(tx.handle(now, Input::Invite), None);
        tx.handle(now, Input::Respond(Class::Provisional, octets("100")));
        tx.handle(now, Input::Respond(Class::Provisional, octets("180")));
        assert_eq!(tx.handle(now, Input::Invite), Some(Output::Send(Send::Again(octets("180")))));
        assert_eq!((tx.poll_timeout(), tx.state()), (None, State::Proceeding));
    }

    #[test]
    fn a_refusal_is_repeated_until_its_ack() {
        let (mut now, mut tx, mut sent) = (Instant::now(), udp(), 1);
        tx.handle(now, Input::Respond(Class::Failure, octets("486")));
        for _ in 0..4 {
            now = tx.poll_timeout().unwrap();
            sent += usize::from(tx.handle(now, Input::Timeout).is_some());
        }
        tx.handle(now, Input::Ack);
        assert_eq!((sent, tx.state()), (5, State::Confirmed));
        assert_eq!(tx.handle(now, Input::Ack), None);
        assert_eq!(tx.poll_timeout(), Some(now + Duration::from_secs(5)));
        assert_eq!(run_out(&mut tx), (0, false));
    }

    #[test]
    fn a_refusal_never_acknowledged_is_given_up_after_64_t1() {
        let (now, mut tx) = (Instant::now(), udp());
        tx.handle(now, Input::Respond(Class::Failure, octets("486")));
        // 0.5, 1.5, 3.5, then each 4 s up to 31.5 s.
        assert_eq!(run_out(&mut tx), (10, true));
    }

    #[test]
    fn a_stream_repeats_no_refusal_and_absorbs_no_ack() {
        let now = Instant::now();
        let mut tx = ServerInvite::new(Timers::new(Duration::from_millis(500)), true);
        tx.handle(now, Input::Respond(Class::Failure, octets("486")));
        assert_eq!(tx.poll_timeout(), Some(now + Duration::from_secs(32)));
        tx.handle(now, Input::Ack);
        assert_eq!(tx.state(), State::Terminated);
    }

    #[test]
    fn an_accepted_invite_is_absorbed_for_64_t1() {
        let (now, mut tx) = (Instant::now(), udp());
        tx.handle(now, Input::Respond(Class::Success, octets("200")));
        assert_eq!(tx.handle(now, Input::Invite), None);
        assert_eq!(tx.handle(now, Input::Ack), Some(Output::DialogAck));
        assert_eq!(tx.handle(now, Input::Respond(Class::Failure, octets("487"))), None);
        assert_eq!(tx.poll_timeout(), Some(now + Duration::from_secs(32)));
        assert_eq!(run_out(&mut tx), (0, false));
    }
}
