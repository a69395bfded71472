//! Whether TCP hears from the far end (reliability R-66).
//!
//! `TCP_USER_TIMEOUT` alone would do, were it not that it also ends a connection whose peer answers but does not
//! read: such a bot has longer (agentstream.md section 7.4).

use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::socket::getsockopt;
use nix::{getsockopt_impl, libc, sockopt_impl}; // the macro names the other two

sockopt_impl!(
    /// What the kernel knows of a connection.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    libc::tcp_info
);

/// Between two looks.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// Sent and not acknowledged for so long: the connection is gone.
const LONGEST: Duration = Duration::from_secs(10);

/// The acknowledgements of one connection, looked at now and then.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// Since when something is in flight and nothing was acknowledged.
    missing: Option<Instant>,
    looked: Option<Instant>,
}

impl Acks {
    /// True if the far end is gone.
    pub(super) fn look(&mut self, now: Instant, tcp: &TcpStream) -> bool {
        match getsockopt(tcp, TcpInfo) {
            Ok(info) => {
                let last = Duration::from_millis(info.tcpi_last_ack_recv.into());
                self.seen(now, info.tcpi_unacked > 0, last)
            }
            Err(_) => false, // the socket itself will say what is wrong with it
        }
    }

    /// Something is in flight; the last acknowledgement is so long ago.
    fn seen(&mut self, now: Instant, in_flight: bool, last: Duration) -> bool {
        let before = self.looked.replace(now).map_or(Duration::MAX, |before| now - before);
        self.missing = match in_flight && last >= before {
            true => Some(self.missing.unwrap_or(now.checked_sub(before).unwrap_or(now))),
            false => None,
        };
        self.missing.is_some_and(|since| now - since >= LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(mut seen: impl FnMut(u32) -> (bool, Duration)) -> Option<u32> {
        let (began, mut acks) = (Instant::now(), Acks::default());
        (1..100).find(|&second| {
            let (in_flight, last) = seen(second);
            acks.seen(began + second * EVERY, in_flight, last)
        })
    }

    #[test]
    fn ten_seconds_without_an_acknowledgement_are_the_end() {
        assert_eq!(looks(|second| (true, second * EVERY)), Some(11));
    }

    #[test]
    fn a_peer_that_answers_is_alive() {
        assert_eq!(looks(|_| (true, EVERY / 50)), None);
    }

    #[test]
    fn nothing_in_flight_misses_nothing() {
        assert_eq!(looks(|second| (false, second * EVERY)), None);
        assert_eq!(looks(|second| (second % 10 == 0, second % 10 * EVERY)), None, "a ping just sent");
    }
}
