//! The kinds of values a configuration is made of, besides text and numbers: durations, sizes, networks, ports,
//! listeners, secrets.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use config::{Value, ValueKind};
use ipnet::IpNet;

use super::read::{Item, Read, Shown, one_of};
use crate::sip::Transport;
pub use crate::sip::io::Listen;

impl Read for Duration {
    const RIGHT: &'static str = "write a number and ms, s, m or h in quotes, as \"250ms\"";

    /// `"250ms"`, `"10s"`, `"5m"`, `"1h"`; 0 needs no unit.
    fn read(item: Item<'_>) -> Option<Self> {
        let read = match &item.value.kind {
            ValueKind::I64(0) => Some(Self::ZERO),
            ValueKind::String(text) => duration(text),
            _ => None,
        };
        read.or_else(|| item.refuse(format!("{} is no duration", item.shown()), Self::RIGHT))
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        "" if number == 0 => Some(Duration::ZERO),
        _ => None,
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

impl Shown for Duration {
    fn shown(&self) -> String {
        match self.as_millis() {
            0 => "\"0s\"".to_owned(),
            ms if ms % 1000 == 0 => format!("\"{}s\"", ms / 1000),
            ms => format!("\"{ms}ms\""),
        }
    }
}

/// A number of octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) usize);

impl Read for Size {
    const RIGHT: &'static str = "write a number and KiB or MiB in quotes, as \"1MiB\"";

    fn read(item: Item<'_>) -> Option<Self> {
        let read = item.text().and_then(split).and_then(|(number, unit)| {
            let number = usize::try_from(number).ok()?;
            match unit {
                "B" => Some(number),
                "KiB" => number.checked_mul(1 << 10),
                "MiB" => number.checked_mul(1 << 20),
                "GiB" => number.checked_mul(1 << 30),
                _ => None,
            }
        });
        read.map(Self).or_else(|| item.refuse(format!("{} is no size", item.shown()), Self::RIGHT))
    }
}

impl Shown for Size {
    fn shown(&self) -> String {
        if self.0.is_multiple_of(1 << 20) {
            format!("\"{}MiB\"", self.0 >> 20)
        } else {
            format!("\"{}KiB\"", self.0 >> 10)
        }
    }
}

impl Read for IpAddr {
    const RIGHT: &'static str = "write an address, as \"192.0.2.10\"";

    fn read(item: Item<'_>) -> Option<Self> {
        let read = item.text().and_then(|text| text.parse().ok());
        read.or_else(|| item.refuse(format!("{} is no IP address", item.shown()), Self::RIGHT))
    }
}

impl Read for SocketAddr {
    const RIGHT: &'static str = "write an address and a port, as \"127.0.0.1:9464\" or \"[::1]:9464\"";

    fn read(item: Item<'_>) -> Option<Self> {
        let read = item.text().and_then(|text| text.parse().ok());
        read.or_else(|| item.refuse(format!("{} is no address and port", item.shown()), Self::RIGHT))
    }
}

impl Read for IpNet {
    const RIGHT: &'static str = "write an address or a network, as \"192.0.2.10\" or \"192.0.2.0/24\"";

    /// An address is the network of itself alone; bits beyond the prefix must be 0, for they are a slip.
    fn read(item: Item<'_>) -> Option<Self> {
        let Some(text) = item.text() else {
            return item.refuse(format!("{} is no network", item.shown()), Self::RIGHT);
        };
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::from(address.to_canonical()));
        }
        match text.parse::<Self>() {
            Ok(net) if net.addr() == net.network() => Some(net),
            Ok(net) => item.refuse(
                format!("{text:?} has bits beyond its prefix"),
                format!("the network is \"{}\", the address alone \"{}\"", net.trunc(), net.addr()),
            ),
            Err(_) => item.refuse(format!("{text:?} is no address and no network"), Self::RIGHT),
        }
    }
}

impl Read for PathBuf {
    const RIGHT: &'static str = "write a path";

    fn read(item: Item<'_>) -> Option<Self> {
        String::read(item).map(Self::from)
    }
}

/// Ports for media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ports(pub(super) RangeInclusive<u16>);

impl Read for Ports {
    const RIGHT: &'static str = "write the first and the last port, as \"10000-29999\"";

    fn read(item: Item<'_>) -> Option<Self> {
        let range = item.text().and_then(|text| {
            let (first, last) = text.split_once('-')?;
            Some(first.trim().parse::<u16>().ok()?..=last.trim().parse::<u16>().ok()?)
        });
        match range {
            None => item.refuse(format!("{} is no range of ports", item.shown()), Self::RIGHT),
            Some(range) if *range.start() < 1024 => {
                item.refuse("ports below 1024 are the system's", "begin at 1024 or above")
            }
            Some(range) if even(&range) == 0 => {
                item.refuse("there is no even port in it", "end the range after its beginning")
            }
            Some(range) => Some(Self(range)),
        }
    }
}

/// How many even ports are in it; the last one needs its odd neighbour for RTCP.
pub(super) fn even(range: &RangeInclusive<u16>) -> usize {
    let first = usize::from(*range.start()).next_multiple_of(2);
    (usize::from(*range.end()) + 1).saturating_sub(first) / 2
}

impl Read for Listen {
    const RIGHT: &'static str = "write transport, address and port, as \"udp://0.0.0.0:5060\"";

    fn read(item: Item<'_>) -> Option<Self> {
        let Some((scheme, address)) = item.text().and_then(|text| text.split_once("://")) else {
            return item.refuse(format!("{} is no listener", item.shown()), Self::RIGHT);
        };
        let Ok(addr) = address.parse() else {
            return item.refuse(format!("{address:?} is no address and port"), Self::RIGHT);
        };
        match scheme {
            "udp" => Some(Self { transport: Transport::Udp, addr }),
            "tcp" => Some(Self { transport: Transport::Tcp, addr }),
            "tls" => Some(Self { transport: Transport::Tls, addr }),
            other => item.refuse(format!("there is no transport {other:?}"), Self::RIGHT),
        }
    }
}

impl Read for Transport {
    const RIGHT: &'static str = "write \"udp\", \"tcp\" or \"tls\"";

    fn read(item: Item<'_>) -> Option<Self> {
        one_of(item, &[("udp", Some(Self::Udp)), ("tcp", Some(Self::Tcp)), ("tls", Some(Self::Tls))])
    }
}

/// The name of an account: `[A-Za-z0-9_.-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccountName(pub(super) String);

impl Read for AccountName {
    const RIGHT: &'static str = "write 1 to 64 letters, digits, '_', '.' or '-'";

    fn read(item: Item<'_>) -> Option<Self> {
        let fits = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        };
        match item.text() {
            Some(text) if fits(text) => Some(Self(text.to_owned())),
            _ => item.refuse(format!("{} is no name of an account", item.shown()), Self::RIGHT),
        }
    }
}

/// A secret: given as it is, or where it is kept.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Read for Secret {
    const RIGHT: &'static str =
        "write it in quotes, or { file = \"/path\" }, { env = \"NAME\" }, { credential = \"name\" }";

    fn read(item: Item<'_>) -> Option<Self> {
        let secret = match &item.value.kind {
            ValueKind::String(text) => text.clone(),
            ValueKind::Table(table) => match table.iter().next() {
                Some((whence, Value { kind: ValueKind::String(name), .. })) if table.len() == 1 => {
                    kept(item, whence, name)?
                }
                _ => return item.refuse("this names no place where the secret is kept", Self::RIGHT),
            },
            _ => return item.refuse("this is no secret", Self::RIGHT),
        };
        let secret = secret.trim_end_matches(['\r', '\n']);
        if secret.is_empty() || secret.chars().any(char::is_control) {
            return item.refuse("the secret is empty or has control characters", Self::RIGHT);
        }
        Some(Self(secret.to_owned()))
    }
}

fn kept(item: Item<'_>, whence: &str, name: &str) -> Option<String> {
    let surroundings = item.reading.surroundings;
    let path = match whence {
        "env" => {
            let value = surroundings.variables.get(name).cloned();
            return value
                .or_else(|| item.refuse(format!("there is no environment variable {name}"), "set it"));
        }
        "file" => PathBuf::from(name),
        "credential" => match surroundings.credential(name) {
            Some(path) => path,
            None => {
                return item.refuse(
                    format!("systemd gave no credential {name:?}"),
                    "add LoadCredential= to the unit",
                );
            }
        },
        _ => return item.refuse(format!("a secret is not kept in {whence:?}"), Secret::RIGHT),
    };
    std::fs::read_to_string(&path)
        .map_err(|e| item.refuse::<()>(format!("{} cannot be read: {e}", path.display()), "make it readable"))
        .ok()
}
