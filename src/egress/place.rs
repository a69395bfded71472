//! Who is meant by a URL: the part between `//` and the path.

use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

/// Host and port of a URL. Its user info is kept apart and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    host: String,
    port: u16,
    written: String,
    authorization: Option<String>,
}

impl Place {
    /// Reads `user:password@host:port`; only the host must be there.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it: it may hold a password.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, &'static str> {
        let (user, written) = match text.rsplit_once('@') {
            Some((user, written)) => (Some(user), written),
            None => (None, text),
        };
        let (host, port) = host_and_port(written, default_port)?;
        Ok(Self { host, port, written: written.to_owned(), authorization: user.map(basic) })
    }

    /// Name or address, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where TCP goes.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as written: the `Host` header.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Value of the `Authorization` header, where there is user info. A secret.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// The same without user info.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.authorization = None;
        self
    }

    /// The same host and port, however they are written.
    pub fn is_same(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }
}

/// Without user info: fit for logs.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

fn host_and_port(written: &str, default: u16) -> Result<(String, u16), &'static str> {
    let (host, port) = match written.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("its address is not closed by ]")?;
            if !matches!(host.parse(), Ok(IpAddr::V6(_))) {
                return Err("its address is not IPv6");
            }
            (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some("")))
        }
        None => match written.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (written, Some("")),
        },
    };
    let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(named) {
        return Err("it has no host name we can look up");
    }
    let port = match port {
        Some("") => Some(default),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|&port| port != 0)
        }
        _ => None,
    };
    Ok((host.to_owned(), port.ok_or("its port is not a number from 1 to 65535")?))
}

/// `Basic` with the percent-decoded user info; without a colon the password is empty (RFC 7617 §2).
fn basic(user: &str) -> String {
    let mut plain: Vec<u8> = percent_decode_str(user).collect();
    if !user.contains(':') {
        plain.push(b':');
    }
    format!("Basic {}", base64_simd::STANDARD.encode_to_string(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_is_kept_apart() {
        let place = Place::parse("k:s%40x@Bot.example:8443", 443).expect("a place");
        assert_eq!((place.host(), place.port(), place.written()), ("Bot.example", 8443, "Bot.example:8443"));
        assert_eq!(place.authorization(), Some("Basic azpzQHg="));
        assert_eq!(format!("{place} {place:?}"), "Bot.example:8443 Place(Bot.example:8443)");
        assert_eq!(place.anonymous().authorization(), None);
    }

    #[test]
    fn places_are_the_same_however_they_are_written() {
        let place = |text| Place::parse(text, 443).expect("a place");
        assert!(place("a.example").is_same(&place("k@A.example:443")));
        assert!(!place("a.example").is_same(&place("a.example:444")));
        assert_eq!(place("[::1]:9").host(), "::1");
    }
}
