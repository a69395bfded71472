//! Provisional answers that are acknowledged (RFC 3262 §3): one at a time is repeated until its PRACK.

use std::time::Instant;

use crate::sip::transaction::timer::Backoff;
use crate::sip::transaction::{Octets, Timers};

/// What a 18x says of the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Nothing.
    Nothing,
    /// Our answer to the INVITE's offer.
    Answer,
    /// Our offer: the INVITE had none.
    Offer,
}

/// What has become of the one that is out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Once more.
    Again(Octets),
    /// 64·T1 are over.
    Never,
}

/// The reliable answers to one INVITE.
#[derive(Debug)]
pub(crate) struct Reliable {
    cseq: u32,
    next: u32,
    out: Option<Out>,
}

#[derive(Debug)]
struct Out {
    number: u32,
    holds: Holds,
    /// Absent: it is repeated no more, but its PRACK is still taken.
    again: Option<(Backoff, Instant, Octets)>,
}

impl Reliable {
    /// None is out. `cseq` is the INVITE's number, `random` any 32 bits: the first RSeq is 1..=2^31-1.
    pub(crate) fn new(cseq: u32, random: u32) -> Self {
        Self { cseq, next: (random >> 1).max(1), out: None }
    }

    /// RSeq of the next.
    pub(crate) fn number(&self) -> u32 {
        self.next
    }

    /// The next went out just now.
    pub(crate) fn sent(&mut self, now: Instant, timers: Timers, holds: Holds, octets: Octets) {
        let again = Backoff::new(now, timers.t1, None);
        let again = Some((again, now + timers.give_up(), octets));
        self.out = Some(Out { number: self.next, holds, again });
        self.next = self.next.wrapping_add(1).max(1);
    }

    /// What the one that waits for its PRACK holds.
    pub(crate) fn waits(&self) -> Option<Holds> {
        self.out.as_ref().map(|out| out.holds)
    }

    /// Takes a PRACK by its RAck; what the answer it acknowledges holds, nothing when it acknowledges none.
    pub(crate) fn acknowledge(&mut self, rack: &str) -> Option<Holds> {
        let mut words = rack.split_ascii_whitespace();
        let (number, cseq) = (words.next()?.parse().ok(), words.next()?.parse().ok());
        let invite = words.next()? == "INVITE" && words.next().is_none();
        let found = invite && cseq == Some(self.cseq);
        let out = self.out.take_if(|out| found && number == Some(out.number))?;
        Some(out.holds)
    }

    /// The INVITE has its final answer: nothing is repeated.
    pub(crate) fn stop(&mut self) {
        if let Some(out) = &mut self.out {
            out.again = None;
        }
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let (again, until, _) = self.out.as_ref()?.again.as_ref()?;
        Some(again.at.min(*until))
    }

    /// What is due now.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        let (again, until, octets) = self.out.as_mut()?.again.as_mut()?;
        if *until <= now {
            self.stop();
            return Some(Due::Never);
        }
        again.due(now).then(|| Due::Again(octets.clone()))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for simulated time
mod tests {
    use std::time::Duration;

    use super::*;

    fn sent(now: Instant) -> Reliable {
        let mut reliable = Reliable::new(7, 2000);
        reliable.sent(now, Timers::new(Duration::from_millis(500)), Holds::Answer, b"183".as_slice().into());
        reliable
    }

    #[test]
    fn an_answer_is_repeated_ever_later_and_given_up_after_64_t1() {
        let start = Instant::now();
        let (mut reliable, mut at) = (sent(start), Vec::new());
        while let Some(now) = reliable.poll_timeout() {
            match reliable.due(now) {
                Some(Due::Again(_)) => at.push((now - start).as_millis()),
                Some(Due::Never) => assert_eq!((now - start).as_secs(), 32),
                None => unreachable!("something is due when it says so"),
            }
        }
        assert_eq!(at, [500, 1500, 3500, 7500, 15_500, 31_500]);
    }

    #[test]
    fn only_its_own_rack_ends_the_repetition_and_only_once() {
        let mut reliable = sent(Instant::now());
        for rack in
            ["1001 7 INVITE", "1000 8 INVITE", "1000 7 UPDATE", "1000 7", "", "x y INVITE", "1000 7 INVITE x"]
        {
            assert_eq!(reliable.acknowledge(rack), None, "{rack}");
        }
        assert_eq!(reliable.acknowledge("1000  7 INVITE"), Some(Holds::Answer));
        assert_eq!((reliable.acknowledge("1000 7 INVITE"), reliable.poll_timeout()), (None, None));
        assert_eq!(reliable.number(), 1001);
    }

    #[test]
    fn a_prack_that_crosses_the_final_answer_is_taken() {
        let mut reliable = sent(Instant::now());
        reliable.stop();
        assert_eq!(reliable.poll_timeout(), None);
        assert_eq!(reliable.acknowledge("1000 7 INVITE"), Some(Holds::Answer));
    }

    #[test]
    fn the_first_number_is_from_1_to_2_31() {
        assert_eq!(Reliable::new(1, 0).number(), 1);
        assert_eq!(Reliable::new(1, u32::MAX).number(), (1 << 31) - 1);
    }
}
