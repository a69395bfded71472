//! One hop of a message: how it travels, from which address of ours, to or from which of theirs.

use std::net::{IpAddr, SocketAddr};

use super::Transport;

/// How, and between which two addresses; for a stream it names the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// How.
    pub transport: Transport,
    /// Our address, the listener's port; never unspecified.
    pub local: SocketAddr,
    /// Theirs.
    pub remote: SocketAddr,
}

/// Where a message goes: over this hop, or, when it is a stream that is not open, over a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Over which hop.
    pub hop: Hop,
    /// Where a new connection goes; absent: none is opened, and what is for a closed one is lost.
    pub otherwise: Option<SocketAddr>,
}

impl From<Hop> for Way {
    fn from(hop: Hop) -> Self {
        Self { hop, otherwise: None }
    }
}

/// Whether anything may ever be sent there (reliability R-16).
pub(crate) fn may_be_sent_to(to: SocketAddr) -> bool {
    let nowhere = match to.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    };
    !nowhere && to.port() != 0
}

/// An address that is reached from within one site only: RFC 1918, RFC 6598, link-local, unique local,
/// loopback and the unspecified one (sip-trunk.md section 6).
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private()
                || ip.is_link_local()
                || ip.is_loopback()
                || ip.is_unspecified()
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
    }
}

/// IPv4-mapped IPv6 counts as IPv4 (reliability R-23).
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_to_nobody_or_everybody() {
        for refused in
            ["0.0.0.0:5060", "255.255.255.255:5060", "239.1.1.1:5060", "[ff02::1]:5060", "192.0.2.1:0"]
        {
            assert!(!may_be_sent_to(refused.parse().unwrap()), "{refused}");
        }
        assert!(may_be_sent_to("192.0.2.1:5060".parse().unwrap()));
        assert!(!may_be_sent_to("[::ffff:0.0.0.0]:5060".parse().unwrap()));
    }

    #[test]
    fn private_addresses_are_those_of_one_site() {
        for private in
            ["10.1.1.1", "172.31.0.1", "192.168.0.1", "100.64.0.1", "169.254.1.1", "fe80::1", "fd00::1"]
        {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["192.0.2.1", "100.128.0.1", "172.32.0.1", "2001:db8::1"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
