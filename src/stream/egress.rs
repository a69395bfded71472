//! Where a connection may lead (reliability R-71, agentstream.md section 2.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Where the URL came from, and so how far it is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Egress {
    /// Its host stands in the configuration or in a flow file.
    #[default]
    Configured,
    /// It arrived at run time: public addresses, and what `egress.allow` names.
    RunTime(Vec<Allowed>),
}

/// One entry of `egress.allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// A host name, in any case.
    Host(String),
    /// A network.
    Net(IpNet),
}

impl Egress {
    /// Whether `host`, which resolved to `address`, may be connected to there.
    pub fn allows(&self, host: &str, address: IpAddr) -> bool {
        let Self::RunTime(allowed) = self else { return true };
        let named = |entry: &Allowed| match entry {
            Allowed::Host(name) => name.eq_ignore_ascii_case(host),
            Allowed::Net(net) => net.contains(&address.to_canonical()),
        };
        is_public(address) || allowed.iter().any(named)
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
            assert!(!Egress::RunTime(vec![]).allows("h", ip), "{text}");
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
        let egress = Egress::RunTime(vec![
            Allowed::Host("Bot.internal".into()),
            Allowed::Net("10.1.0.0/16".parse().expect("a network")),
        ]);
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(egress.allows("bot.internal", ip("192.168.7.7")));
        assert!(egress.allows("other", ip("10.1.2.3")));
        assert!(egress.allows("other", ip("::ffff:10.1.2.3")));
        assert!(!egress.allows("other", ip("10.2.2.3")));
    }
}
