//! Where a trunk calls (`targets`), who must say who they are to it (`digest_users`), and the names in its
//! certificates (`tls_names`).

use super::kinds::Secret;
use super::read::{Read as _, Section};
use super::sip::is_host_name;
use crate::sip::auth::Algorithm;
use crate::sip::{Credentials, Target, Transport};

const RIGHT: &str = "write host, port and transport, as \"sbc.example.com:5061;transport=tls\"";

/// `targets`: the first that answers, the lowest priority first, is called.
pub(super) fn targets(trunk: &mut Section<'_>, transports: &[Transport]) -> Vec<Target> {
    let mut found = Vec::new();
    for mut section in trunk.sections("targets") {
        let target = target(&mut section, transports);
        section.done();
        found.extend(target);
    }
    found
}

fn target(section: &mut Section<'_>, transports: &[Transport]) -> Option<Target> {
    let uri = section.required::<String>("uri");
    let (priority, weight) = (section.key("priority", 0), section.key("weight", 0));
    let credentials = credentials(section);
    let uri = uri?;
    match parse(&uri) {
        Ok((host, port, transport)) => {
            if let Some(transport) = transport.filter(|one| !transports.contains(one)) {
                section.refuse(
                    "uri",
                    format!("{} is none of the trunk's transports", transport.as_str()),
                    "let it stand in transports, too",
                );
            }
            Some(Target { host, port, transport, priority, weight, credentials })
        }
        Err(wrong) => {
            section.refuse("uri", wrong, RIGHT);
            None
        }
    }
}

/// `host[:port][;transport=...]`, an IPv6 address in brackets; a `sip:` before it is passed over.
fn parse(uri: &str) -> Result<(String, Option<u16>, Option<Transport>), String> {
    let (whole, mut parameters) = (uri, uri.split(';').map(str::trim));
    let place = parameters.next().unwrap_or_default();
    let place = place.strip_prefix("sip:").unwrap_or(place);
    let mut transport = None;
    for parameter in parameters {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !name.eq_ignore_ascii_case("transport") {
            return Err(format!("the parameter {parameter:?} means nothing here"));
        }
        transport = Some(match value.to_ascii_lowercase().as_str() {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tls,
            _ => return Err(format!("there is no transport {value:?}")),
        });
    }
    if place.contains('@') {
        return Err(format!("there is a user in {whole:?}, and a target is a host"));
    }
    let (host, port) = parted(place).ok_or_else(|| format!("{place:?} is no host and port"))?;
    let is_host = match host.parse::<std::net::IpAddr>() {
        Ok(ip) => !ip.is_unspecified() && !ip.is_multicast(),
        // what looks like an address and is none is a slip, not a name
        Err(_) => is_host_name(host) && !host.bytes().all(|b| b.is_ascii_digit() || b == b'.'),
    };
    if !is_host {
        return Err(format!("{host:?} is neither a name nor an address that can be called"));
    }
    Ok((host.to_owned(), port, transport))
}

fn parted(place: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        return match rest {
            "" => Some((host, None)),
            rest => Some((host, Some(port(rest.strip_prefix(':')?)?))),
        };
    }
    if place.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some((place, None));
    }
    match place.split_once(':') {
        None => Some((place, None)),
        Some((host, written)) => Some((host, Some(port(written)?))),
    }
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// `user`, `password` and `realm` of a target.
fn credentials(section: &mut Section<'_>) -> Option<Credentials> {
    let user: Option<String> = section.maybe("user");
    let password: Option<Secret> = section.maybe("password");
    let realm: Option<String> = section.maybe("realm");
    let (has_user, has_password) = (section.has("user"), section.has("password"));
    if has_user != has_password || (section.has("realm") && !has_user) {
        let name = if has_password { "password" } else { "user" };
        section.refuse(name, "user and password go together", "write both, or neither");
    }
    user.zip(password).map(|(user, Secret(password))| Credentials { user, password, realm })
}

/// `digest_users`.
pub(super) fn digest_users(trunk: &mut Section<'_>) -> Vec<Credentials> {
    let mut found: Vec<Credentials> = Vec::new();
    for mut section in trunk.sections("digest_users") {
        let user: Option<String> = section.required("user");
        let password: Option<Secret> = section.required("password");
        if let Some((user, Secret(password))) = user.zip(password) {
            if user.is_empty() || user.contains(['"', ':']) {
                section.refuse(
                    "user",
                    "a user's name is not empty and has no '\"' and no ':'",
                    "choose another",
                );
            }
            if found.iter().any(|other| other.user == user) {
                section.refuse("user", format!("user {user:?} stands twice"), "write each once");
            }
            found.push(Credentials { user, password, realm: None });
        }
        section.done();
    }
    found
}

/// `digest_algorithms`.
pub(super) fn digest_algorithms(trunk: &mut Section<'_>) -> Vec<Algorithm> {
    let ways: Vec<Algorithm> = trunk.key("digest_algorithms", vec![Algorithm::Sha256, Algorithm::Md5]);
    if ways.is_empty() || (1..ways.len()).any(|at| ways[..at].contains(&ways[at])) {
        trunk.refuse("digest_algorithms", "each stands once, and at least one", Algorithm::RIGHT);
    }
    ways
}

impl super::read::Read for Algorithm {
    const RIGHT: &'static str = "write [\"sha-256\", \"md5\"], or one of them";

    fn read(item: super::read::Item<'_>) -> Option<Self> {
        let words = [
            ("sha-256", Some(Self::Sha256)),
            ("md5", Some(Self::Md5)),
            ("sha-512-256", Some(Self::Sha512Trunc256)),
        ];
        super::read::one_of(item, &words)
    }
}

/// `tls_names`.
pub(super) fn tls_names(trunk: &mut Section<'_>) -> Vec<String> {
    let names: Vec<String> = trunk.key("tls_names", Vec::new());
    for name in names.iter().filter(|name| !is_host_name(name) && name.parse::<std::net::IpAddr>().is_err()) {
        trunk.refuse(
            "tls_names",
            format!("{name:?} is no name of a host"),
            "write it as in the certificate, as \"pbx.example.com\"",
        );
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_with_what_may_follow_it() {
        let is = |host: &str, port, transport| Ok((host.to_owned(), port, transport));
        assert_eq!(parse("192.0.2.10"), is("192.0.2.10", None, None));
        assert_eq!(parse("sbc.example.com:5070"), is("sbc.example.com", Some(5070), None));
        assert_eq!(parse("sip:sbc;transport=TLS"), is("sbc", None, Some(Transport::Tls)));
        assert_eq!(
            parse("[2001:db8::1]:5061;transport=tcp"),
            is("2001:db8::1", Some(5061), Some(Transport::Tcp))
        );
        assert_eq!(parse("2001:db8::1"), is("2001:db8::1", None, None));
        for wrong in [
            "",
            ":5060",
            "a b",
            "host:0",
            "host:70000",
            "host:",
            "[::1",
            "[::1]5060",
            "[host]:5060",
            "a@host",
            "host;lr",
            "host;transport=ws",
            "0.0.0.0",
            "239.1.1.1",
            "192.0.2.300",
            "-",
            "host..name",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
