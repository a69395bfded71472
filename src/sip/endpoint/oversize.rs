//! Requests too big for a datagram (RFC 3261 §18.1.1, sip-trunk.md section 2): over TCP where the trunk has it, and
//! over UDP all the same when nobody answers there within 2 s.

use std::time::{Duration, Instant};

use super::{Endpoint, Hop, Octets, Way};
use crate::sip::transaction::table::TxId;
use crate::sip::{Transport, Trunk};

/// A request above this may be lost in fragments.
pub(super) const SAFE_DATAGRAM: usize = 1300;
/// How long TCP is given.
const TRY_TCP: Duration = Duration::from_secs(2);

/// A request that was to go by a datagram, and goes by a stream first.
pub(super) struct Instead {
    /// By TCP, with a Via that says so.
    pub(super) way: Way,
    /// The request.
    pub(super) octets: Octets,
}

impl Endpoint {
    /// How a request of ours goes if not as it was written; a copy of it under the same branch, so that a peer that
    /// gets both takes the second for the first again.
    pub(super) fn instead(&self, trunk: &Trunk, way: Way, octets: &Octets) -> Option<Instead> {
        let Hop { transport: Transport::Udp, local, remote } = way.hop else { return None };
        if octets.len() <= SAFE_DATAGRAM || !self.has_tcp(trunk, way.hop) {
            return None;
        }
        let local = self.listener(Transport::Tcp, remote.ip(), local.ip())?;
        let hop = Hop { transport: Transport::Tcp, local, remote };
        let octets = with_via(octets, &format!("TCP {}", self.sent_by(hop)))?;
        Some(Instead { way: Way { hop, otherwise: Some(remote) }, octets })
    }

    /// Whether the trunk may use TCP there: a target that is written with `transport=udp` is served by that alone.
    fn has_tcp(&self, trunk: &Trunk, hop: Hop) -> bool {
        let by_udp_alone = trunk.targets.iter().any(|target| {
            target.transport == Some(Transport::Udp)
                && self.targets.has_one_at(trunk, target, hop.remote.ip())
        });
        trunk.transports.contains(&Transport::Tcp) && !by_udp_alone
    }

    /// Should nothing come back by TCP, this goes by UDP.
    pub(super) fn fall_back(&mut self, now: Instant, tx: TxId, way: Way, octets: Octets) {
        self.transactions.fall_back(now + TRY_TCP, tx, way, octets);
    }
}

/// The request with another transport and sent-by in its topmost Via, which is its first header field (`write`).
fn with_via(octets: &[u8], sent_by: &str) -> Option<Octets> {
    let name = b"\r\nVia: SIP/2.0/";
    let start = octets.windows(name.len()).position(|window| window == name)? + name.len();
    let end = start + octets.get(start..)?.iter().position(|octet| *octet == b';')?;
    Some([octets.get(..start)?, sent_by.as_bytes(), octets.get(end..)?].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_via_alone_changes() {
        let request =
            b"INVITE sip:a;x=y SIP/2.0\r\nVia: SIP/2.0/UDP h:5060;rport;branch=z\r\nFrom: <sip:b>\r\n\r\n";
        let other = with_via(request, "TCP h:5070").unwrap();
        let expected =
            "INVITE sip:a;x=y SIP/2.0\r\nVia: SIP/2.0/TCP h:5070;rport;branch=z\r\nFrom: <sip:b>\r\n\r\n";
        assert_eq!(std::str::from_utf8(&other), Ok(expected));
        assert!(with_via(b"INVITE sip:a SIP/2.0\r\n\r\n", "TCP h").is_none());
    }
}
