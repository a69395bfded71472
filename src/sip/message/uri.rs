//! A URI: sip, sips and tel taken apart, any other as it came (RFC 3261 §19.1, RFC 3966, RFC 5118).

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::header::IllFormed;
use super::lex::{self, Span};

/// Parameters in one URI.
const MAX_PARAMS: usize = 64;

/// What kind of URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other.
    Other,
}

/// A URI as it came, and where its parts stand.
#[derive(Clone)]
pub struct Uri {
    text: Box<str>,
    scheme: Scheme,
    user: Option<Span>,
    host: Span,
    port: Option<u16>,
    params: Span,
    headers: bool,
}

impl Uri {
    /// Reads a URI with nothing around it. Octets that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// No scheme, a blank or control character, no host after `sip:`, a bare IPv6 address, a port
    /// outside 1..=65535.
    pub fn parse(octets: &[u8]) -> Result<Self, IllFormed> {
        if octets.iter().any(|&octet| octet <= b' ' || octet == 0x7F || matches!(octet, b'<' | b'>')) {
            return Err(IllFormed);
        }
        let text: Box<str> = String::from_utf8_lossy(octets).into();
        let (name, rest) = text.split_once(':').ok_or(IllFormed)?;
        let mut letters = name.bytes();
        let named = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.'));
        if !named || rest.is_empty() {
            return Err(IllFormed);
        }
        let parts = match scheme_of(name) {
            Scheme::Other => Parts::default(),
            Scheme::Tel => Parts::of_tel(rest),
            Scheme::Sip | Scheme::Sips => Parts::of_sip(rest)?,
        };
        if lex::split(parts.params.as_bytes(), b';').count() > MAX_PARAMS + 1 {
            return Err(IllFormed);
        }
        let span = |part: &str| {
            let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
            if part.is_empty() { Span::default() } else { Span::new(start, start + part.len()) }
        };
        Ok(Self {
            scheme: scheme_of(name),
            user: parts.user.map(span),
            host: span(parts.host),
            port: parts.port,
            params: span(parts.params),
            headers: parts.headers,
            text,
        })
    }

    /// What kind.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// As it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The user part as it came, without a password; of `tel:` the number without its parameters.
    pub fn user(&self) -> Option<&str> {
        self.user.map(|span| self.part(span))
    }

    /// The host, an IPv6 address in its brackets; empty for `tel:` and others.
    pub fn host(&self) -> &str {
        self.part(self.host)
    }

    /// The port, if one is named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The host as an address: an IPv4-mapped one is IPv4, and the three colons that the grammar of
    /// RFC 3261 made (RFC 5118 §4.10) are two.
    pub fn host_ip(&self) -> Option<IpAddr> {
        host_ip(self.host())
    }

    /// Names and values of the URI's parameters, `%` decoded.
    pub fn params(&self) -> impl Iterator<Item = (Cow<'_, str>, Option<Cow<'_, str>>)> {
        self.part(self.params).split(';').filter(|param| !param.is_empty()).map(|param| {
            match param.split_once('=') {
                Some((name, value)) => (lex::percent_decode(name), Some(lex::percent_decode(value))),
                None => (lex::percent_decode(param), None),
            }
        })
    }

    /// The value of a parameter, its name in any case and with any escapes; one without value is empty.
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        self.params()
            .find(|(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.unwrap_or_default())
    }

    /// Is it a loose router (RFC 3261 §19.1.1)? `%6C%72` is `lr` too.
    pub fn has_lr(&self) -> bool {
        self.param("lr").is_some()
    }

    /// Does it carry header fields (`?Route=...`)? They are never acted on.
    pub fn has_headers(&self) -> bool {
        self.headers
    }

    /// The user part as calls are told of it (sip-trunk.md 9.3): `%` decoded, `;` parameters cut,
    /// visual separators of a number dropped, `+` kept. Empty when there is none.
    pub fn user_part(&self) -> String {
        let user = self.user().unwrap_or_default();
        let plain = lex::percent_decode(user.split(';').next().unwrap_or_default());
        let plain: String = plain.chars().filter(|c| !c.is_control()).collect();
        let number =
            |c: char| c.is_ascii_digit() || matches!(c, '+' | '*' | '#' | '-' | '.' | '(' | ')' | ' ');
        if plain.chars().any(|c| c.is_ascii_digit()) && plain.chars().all(number) {
            return plain.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).collect();
        }
        plain
    }

    fn part(&self, span: Span) -> &str {
        // Spans were cut at character boundaries of the same text.
        std::str::from_utf8(span.of(self.text.as_bytes())).unwrap_or_default()
    }

    /// Stands for the URI of a field that is not there.
    pub(crate) fn absent() -> Self {
        Self {
            text: "".into(),
            scheme: Scheme::Other,
            user: None,
            host: Span::default(),
            port: None,
            params: Span::default(),
            headers: false,
        }
    }
}

fn scheme_of(name: &str) -> Scheme {
    match name {
        _ if name.eq_ignore_ascii_case("sip") => Scheme::Sip,
        _ if name.eq_ignore_ascii_case("sips") => Scheme::Sips,
        _ if name.eq_ignore_ascii_case("tel") => Scheme::Tel,
        _ => Scheme::Other,
    }
}

/// What stands behind the scheme.
#[derive(Default)]
struct Parts<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    params: &'a str,
    headers: bool,
}

impl<'a> Parts<'a> {
    fn of_tel(rest: &'a str) -> Self {
        let (number, params) = rest.split_once(';').unwrap_or((rest, ""));
        Self { user: Some(number), params, ..Self::default() }
    }

    /// The user part is what stands before `@`, whatever is in it: `;` and `?` belong to it then.
    fn of_sip(rest: &'a str) -> Result<Self, IllFormed> {
        let (user, rest) = match rest.split_once('@') {
            Some((user, rest)) => (Some(user.split(':').next().unwrap_or_default()), rest),
            None => (None, rest),
        };
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, _)) => (rest, true),
            None => (rest, false),
        };
        let (host_port, params) = rest.split_once(';').unwrap_or((rest, ""));
        let (host, port) = split_host_port(host_port)?;
        Ok(Self { user: user.filter(|user| !user.is_empty()), host, port, params, headers })
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`; an empty port is none.
pub(crate) fn split_host_port(text: &str) -> Result<(&str, Option<u16>), IllFormed> {
    let (host, port) = match text.find(']') {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let host = host.trim_end();
    let port = match port.trim_start().strip_prefix(':').map(str::trim) {
        None if port.trim().is_empty() => None,
        None => return Err(IllFormed),
        Some("") => None,
        Some(digits) => {
            let port = lex::number(digits.as_bytes(), 65_535).ok().filter(|&port| port > 0);
            Some(port.ok_or(IllFormed)? as u16)
        }
    };
    if is_host(host) { Ok((host, port)) } else { Err(IllFormed) }
}

/// A name, an IPv4 address or an IPv6 reference. Names are taken with any graphic letters that
/// separate nothing: real ones have underscores.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(_) => host_ip(host).is_some(),
        None => {
            !host.is_empty()
                && host.bytes().all(|octet| {
                    octet.is_ascii_graphic()
                        && !matches!(
                            octet,
                            b'"' | b','
                                | b'/'
                                | b':'
                                | b';'
                                | b'='
                                | b'?'
                                | b'@'
                                | b'['
                                | b'\\'
                                | b']'
                                | b'<'
                                | b'>'
                        )
                })
        }
    }
}

/// The address a host names, bracketed or not.
pub(crate) fn host_ip(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    let mended = bare.replacen(":::", "::", 1);
    mended.parse::<Ipv6Addr>().ok().map(|ip| IpAddr::V6(ip).to_canonical())
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({:?})", self.text)
    }
}

/// Octet by octet: whether two URIs mean the same is asked by nobody here.
impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Uri {}

impl std::str::FromStr for Uri {
    type Err = IllFormed;
    fn from_str(text: &str) -> Result<Self, IllFormed> {
        Self::parse(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn a_user_part_may_hold_anything_but_an_at() {
        let odd = uri("sip:user;par=u%40example.net@example.com");
        assert_eq!(
            (odd.user(), odd.host(), odd.params().count()),
            (Some("user;par=u%40example.net"), "example.com", 0)
        );
        let npdi = uri("sip:+91-80(22);npdi;rn=1234@h;user=phone");
        assert_eq!((npdi.user_part().as_str(), npdi.param("USER").as_deref()), ("+918022", Some("phone")));
        assert_eq!(uri("sip:a:secret@h").user(), Some("a"));
        assert_eq!(uri("sip:*97%23@h").user_part(), "*97#");
        assert_eq!(uri("sip:Bob.Smith-x@h").user_part(), "Bob.Smith-x");
        assert_eq!(uri("sip:null-%00-null@h").user_part(), "null--null");
    }

    #[test]
    fn an_escaped_lr_is_lr() {
        assert!(uri("sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31").has_lr());
        assert!(!uri("sip:h;maddr=x;lrx").has_lr());
    }

    #[test]
    fn an_ipv6_host_has_brackets() {
        assert_eq!(uri("sip:[2001:db8::10:5070]").port(), None);
        assert_eq!(uri("sip:[2001:db8::10]:5070").port(), Some(5070));
        assert!(Uri::parse(b"sip:2001:db8::10").is_err());
        assert_eq!(uri("sip:u@[::ffff:192.0.2.2]").host_ip(), "192.0.2.2".parse().ok());
        assert_eq!(uri("sip:u@[2001:db8:::192.0.2.1]").host_ip(), "2001:db8::192.0.2.1".parse().ok());
        assert_eq!(uri("sip:u@example.com").host_ip(), None);
    }

    #[test]
    fn ports_are_1_to_65535() {
        assert_eq!(uri("sip:h:05060").port(), Some(5060));
        assert_eq!(uri("sip:h:").port(), None);
        for port in ["0", "65536", "4294972356", "-1", "x"] {
            assert!(Uri::parse(format!("sip:h:{port}").as_bytes()).is_err(), "{port}");
        }
    }

    #[test]
    fn other_schemes_are_kept_as_they_came() {
        let tel = uri("tel:+1-201-555-0123;phone-context=example.com");
        assert_eq!((tel.scheme(), tel.user_part().as_str(), tel.host()), (Scheme::Tel, "+12015550123", ""));
        assert_eq!(uri("http://www.example.com").scheme(), Scheme::Other);
        assert_eq!(uri("SIPS:h").scheme(), Scheme::Sips);
        for bad in ["", "sip:", "sip", "alan@h", "<sip:h>", "sip:h; lr", "1sip:h", "sip:a@"] {
            assert!(Uri::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
