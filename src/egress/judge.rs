//! Which address may be connected to (reliability R-71, agentstream.md section 2.3).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

/// Where the URL came from, and so how far it is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Egress {
    /// Its host stands in the configuration or in a flow file.
    #[default]
    Configured,
    /// It arrived at run time: public addresses, and what this list names.
    RunTime(Arc<[Allowed]>),
}

/// One entry of `egress.allow`, or a host that stands in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// A host name or an address as a URL writes it, in any case.
    Host(String),
    /// Every host name below this one: `example.com` of `*.example.com`.
    Below(String),
    /// A network.
    Net(IpNet),
}

impl Allowed {
    fn names(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Host(name) => is_same_host(name, host),
            Self::Below(name) => is_below(name, host),
            Self::Net(net) => net.contains(&address.to_canonical()),
        }
    }
}

/// As it is written in `egress.allow`.
impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Net(net) => net.fmt(f),
        }
    }
}

/// Names are the same in any case and with the dot of the root; addresses however they are written.
fn is_same_host(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one.to_canonical() == other.to_canonical(),
        _ => without_root(one).eq_ignore_ascii_case(without_root(other)),
    }
}

fn is_below(name: &str, host: &str) -> bool {
    let (name, host) = (without_root(name), without_root(host));
    let Some(at) = host.len().checked_sub(name.len() + 1) else { return false };
    let (Some(dot), Some(end)) = (host.get(at..=at), host.get(at + 1..)) else { return false };
    at > 0 && dot == "." && end.eq_ignore_ascii_case(name)
}

fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

impl Egress {
    /// Whether `host`, which resolved to `address`, may be connected to there.
    pub fn allows(&self, host: &str, address: IpAddr) -> bool {
        let Self::RunTime(allowed) = self else { return true };
        is_public(address) || allowed.iter().any(|entry| entry.names(host, address))
    }
}

/// To whom plain, unencrypted connections may lead (`stream.allow_plain_ws`): `ws://` and `http://`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainTo {
    /// Loopback and private addresses.
    #[default]
    Private,
    /// Any.
    All,
    /// None.
    None,
}

impl PlainTo {
    /// Whether a plain connection to this address is allowed.
    pub fn allows(self, address: IpAddr) -> bool {
        match (self, address.to_canonical()) {
            (Self::All, _) => true,
            (Self::None, _) => false,
            (Self::Private, IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            (Self::Private, IpAddr::V6(ip)) => {
                ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
            }
        }
    }
}

/// Whether an address belongs to the public internet; translated forms count as what they carry.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match carried(ip) {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(ip),
        },
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let carrier_grade = a == 100 && b & 0xc0 == 64; // RFC 6598
    let benchmark = a == 198 && b & 0xfe == 18; // RFC 2544
    let protocol = (a, b, c) == (192, 0, 0); // RFC 6890
    !(a == 0
        || a >= 240
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || carrier_grade
        || benchmark
        || protocol)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let documentation = first == 0x2001 && second == 0x0db8;
    // 2000::/3 is all that is given out (RFC 4291 §2.4); Teredo carries an obscured IPv4 address.
    first & 0xe000 == 0x2000 && !documentation && !(first == 0x2001 && second == 0)
}

/// The IPv4 address inside: mapped, compatible, NAT64 (RFC 6052, RFC 8215) and 6to4 (RFC 3056).
fn carried(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = ip.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Some(v4(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_public_internet_is_refused_in_every_disguise() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::ffff:0:192.168.0.1",
        ] {
            let ip: IpAddr = text.parse().expect("an address");
            assert!(!Egress::RunTime([].into()).allows("h", ip), "{text}");
            assert!(Egress::Configured.allows("h", ip), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_open() {
        for text in ["8.8.8.8", "2606:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "100.128.0.1"] {
            assert!(is_public(text.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn egress_allow_opens_hosts_and_networks() {
        let entries = [
            Allowed::Host("Bot.internal".into()),
            Allowed::Host("FD00::1".into()),
            Allowed::Below("corp.example".into()),
            Allowed::Net("10.1.0.0/16".parse().expect("a network")),
        ];
        let egress = Egress::RunTime(entries.into());
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(egress.allows("bot.internal", ip("192.168.7.7")));
        assert!(egress.allows("other", ip("10.1.2.3")));
        assert!(egress.allows("other", ip("::ffff:10.1.2.3")));
        assert!(!egress.allows("other", ip("10.2.2.3")));
        assert!(egress.allows("bot.internal.", ip("127.0.0.1")));
        assert!(egress.allows("fd00:0::1", ip("fd00::1")));
        for host in ["a.corp.example", "a.b.CORP.example."] {
            assert!(egress.allows(host, ip("127.0.0.1")), "{host}");
        }
        for host in ["corp.example", ".corp.example", "acorp.example", "corp.example.com", "é.corp.exampl"] {
            assert!(!egress.allows(host, ip("127.0.0.1")), "{host}");
        }
    }

    #[test]
    fn plain_connections_stay_at_home_by_default() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let home = ["127.0.0.1", "::1", "10.0.0.1", "192.168.0.1", "fd00::1", "::ffff:10.0.0.1"];
        assert!(home.iter().all(|text| PlainTo::Private.allows(ip(text))));
        assert!(!PlainTo::Private.allows(ip("8.8.8.8")) && !PlainTo::Private.allows(ip("2606:4700::1")));
        assert!(PlainTo::All.allows(ip("8.8.8.8")) && !PlainTo::None.allows(ip("127.0.0.1")));
    }
}
