//! A 2xx to an INVITE that waits for its ACK (RFC 3261 §13.3.1.4): it is repeated by the dialog, over
//! every transport, for a proxy further on may have lost it.

use std::time::Instant;

use crate::sip::hop::Way;
use crate::sip::transaction::timer::Backoff;
use crate::sip::transaction::{Octets, Timers};

/// A 2xx of ours without its ACK.
#[derive(Debug)]
pub(crate) struct AckWait {
    cseq: u32,
    /// It holds an offer of ours, which the ACK answers.
    pub(crate) offers: bool,
    response: Octets,
    way: Way,
    again: Backoff,
    until: Instant,
}

/// What has become of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Once more.
    Again(Way, Octets),
    /// 64·T1 are over.
    Never,
}

impl AckWait {
    /// `response` to the INVITE numbered `cseq` went out just now.
    pub(crate) fn new(
        now: Instant,
        timers: Timers,
        cseq: u32,
        offers: bool,
        way: Way,
        response: Octets,
    ) -> Self {
        let again = Backoff::new(now, timers.t1, Some(timers.t2));
        Self { cseq, offers, response, way, again, until: now + timers.give_up() }
    }

    /// Whether an ACK with this number is the one.
    pub(crate) fn is_for(&self, cseq: u32) -> bool {
        self.cseq == cseq
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.again.at.min(self.until)
    }

    /// What is due now.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.until <= now {
            return Some(Due::Never);
        }
        self.again.due(now).then(|| Due::Again(self.way, self.response.clone()))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for simulated time
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sip::Transport;
    use crate::sip::hop::Hop;

    #[test]
    fn a_2xx_is_repeated_for_64_t1_on_streams_too() {
        let start = Instant::now();
        let address = "192.0.2.1:5060".parse().unwrap();
        let way = Hop { transport: Transport::Tcp, local: address, remote: address }.into();
        let timers = Timers::new(Duration::from_millis(500));
        let mut wait = AckWait::new(start, timers, 7, false, way, b"200".as_slice().into());
        assert!(wait.is_for(7) && !wait.is_for(8));
        let mut again = 0;
        loop {
            let now = wait.poll_timeout();
            match wait.due(now) {
                Some(Due::Again(..)) => again += 1,
                Some(Due::Never) => break assert_eq!(now, start + Duration::from_secs(32)),
                None => unreachable!("something is due when it says so"),
            }
        }
        assert_eq!(again, 10);
    }
}
