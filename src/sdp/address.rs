//! Addresses in c= and a=rtcp lines (RFC 8866 §5.7, RFC 3605).

use std::net::{IpAddr, SocketAddr};

use sdp_types::Connection;

use super::Refused;

/// The address of a c= line, an IPv4-mapped one as IPv4. `0.0.0.0` and `::` pass: they are a hold.
///
/// # Errors
/// `Address` for a host name, another network or a link-local IPv6 address, whose interface no SDP can name;
/// `Multicast` for a group or the broadcast address.
pub fn of_connection(connection: &Connection) -> Result<IpAddr, Refused> {
    if !connection.nettype.to_string().eq_ignore_ascii_case("IN") {
        return Err(Refused::Address);
    }
    parse(&connection.connection_address).ok_or(Refused::Address).and_then(unicast)
}

/// Port and, when it is named, address of an `a=rtcp` value. Whatever cannot be sent to counts as not said.
pub fn of_rtcp(value: &str, media: IpAddr) -> Option<SocketAddr> {
    let mut words = value.split_ascii_whitespace();
    let port = words.next()?.parse().ok().filter(|&port: &u16| port > 0)?;
    let ip = match words.nth(2) {
        Some(word) => unicast(parse(word)?).ok()?,
        None => media,
    };
    (!ip.is_unspecified() && ip.is_ipv4() == media.is_ipv4()).then(|| SocketAddr::new(ip, port))
}

/// `/ttl` and `/count` belong to multicast and are cut off; brackets round IPv6 are a known fault.
fn parse(word: &str) -> Option<IpAddr> {
    let word = word.split('/').next()?;
    let word = word.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(word);
    word.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

fn unicast(ip: IpAddr) -> Result<IpAddr, Refused> {
    match ip {
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => Err(Refused::Multicast),
        IpAddr::V6(v6) if v6.is_multicast() => Err(Refused::Multicast),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Err(Refused::Address),
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(ip),
    }
}

/// Whether an address of ours may stand in a c= line: never unspecified, multicast or link-local IPv6.
pub fn is_presentable(ip: IpAddr) -> bool {
    !ip.is_unspecified() && unicast(ip).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> Result<IpAddr, Refused> {
        of_connection(&Connection::new(sdp_types::NetType::In, sdp_types::AddrType::Ip4, address))
    }

    #[test]
    fn a_connection_address_is_unicast_or_refused() {
        let ip = |text: &str| Ok(text.parse().unwrap());
        assert_eq!(read("192.0.2.1"), ip("192.0.2.1"));
        assert_eq!(read("192.0.2.1/127"), ip("192.0.2.1"));
        assert_eq!(read("::ffff:192.0.2.2"), ip("192.0.2.2"));
        assert_eq!(read("[2001:db8::1]"), ip("2001:db8::1"));
        assert_eq!(read("0.0.0.0"), ip("0.0.0.0"));
        assert_eq!(read("224.2.17.12/127"), Err(Refused::Multicast));
        assert_eq!(read("ff15::101/3"), Err(Refused::Multicast));
        assert_eq!(read("::ffff:224.0.0.1"), Err(Refused::Multicast));
        assert_eq!(read("255.255.255.255"), Err(Refused::Multicast));
        assert_eq!(read("media.example.com"), Err(Refused::Address));
        assert_eq!(read("fe80::1"), Err(Refused::Address));
        assert_eq!(read("300.1.1.1"), Err(Refused::Address));
    }

    #[test]
    fn an_rtcp_attribute_names_a_port_and_maybe_an_address() {
        let media: IpAddr = "192.0.2.1".parse().unwrap();
        let rtcp = |value| of_rtcp(value, media).map(|at| at.to_string());
        assert_eq!(rtcp("53020").as_deref(), Some("192.0.2.1:53020"));
        assert_eq!(rtcp("53020 IN IP4 192.0.2.9").as_deref(), Some("192.0.2.9:53020"));
        for nothing in
            ["", "0", "70000", "x", "53020 IN IP4 224.0.0.1", "53020 IN IP6 2001:db8::1", "5 IN IP4 0.0.0.0"]
        {
            assert_eq!(rtcp(nothing), None, "{nothing}");
        }
    }
}
