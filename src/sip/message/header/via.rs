//! Via (RFC 3261 §20.42, RFC 3581): where a request came by and a response goes back.

use super::IllFormed;
use super::name_addr::{Param, read_params};
use crate::sip::message::lex;
use crate::sip::message::uri::split_host_port;

/// What a branch of RFC 3261 begins with.
const COOKIE: &str = "z9hG4bK";

/// One entry of Via.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Via {
    transport: String,
    host: String,
    port: Option<u16>,
    branch: Option<String>,
    rport: bool,
    received: Option<String>,
    maddr: Option<String>,
    ttl: Option<u8>,
}

impl Via {
    /// Reads one entry, unfolded.
    ///
    /// # Errors
    /// Not `SIP/2.0/transport host`, an empty parameter, two branches, more than 64 parameters.
    pub fn parse(entry: &[u8]) -> Result<Self, IllFormed> {
        match Self::read(entry) {
            Some((via, true)) => Ok(via),
            _ => Err(IllFormed),
        }
    }

    /// As much as lets a response be routed, and whether it is well-formed: a request with a bad Via
    /// is answered 400 where there is a way back (RFC 4475 §3.1.2.1).
    pub(crate) fn read(entry: &[u8]) -> Option<(Self, bool)> {
        let end = memchr::memchr(b';', entry).unwrap_or(entry.len());
        let (sent, params) = entry.split_at(end);
        let mut via = Self::default();
        let mut good = via.read_sent(sent)?;
        let params = match read_params(params) {
            Ok(params) => params,
            Err(IllFormed) => {
                good = false;
                lex::split(params, b';')
                    .filter_map(|piece| read_params(&[b";", piece].concat()).ok())
                    .flatten()
                    .collect()
            }
        };
        for param in params {
            good &= via.take(param);
        }
        Some((via, good))
    }

    /// `SIP / 2.0 / UDP host : port`.
    fn read_sent(&mut self, sent: &[u8]) -> Option<bool> {
        let text = std::str::from_utf8(sent).ok()?;
        let mut parts = text.splitn(3, '/').map(|part| part.trim_matches(blank));
        let (name, version, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let (transport, sent_by) = rest.split_once(blank)?;
        // RFC 2543 let a comment follow.
        let (sent_by, comment) = match sent_by.split_once('(') {
            Some((sent_by, comment)) => (sent_by.trim_matches(blank), comment.ends_with(')')),
            None => (sent_by.trim_matches(blank), true),
        };
        let mut good = comment && name.eq_ignore_ascii_case("SIP") && version == "2.0";
        let (host, port) = match split_host_port(sent_by) {
            Ok(sent_by) => sent_by,
            Err(IllFormed) => {
                good = false;
                split_host_port(sent_by.rsplit_once(':')?.0).ok()?
            }
        };
        if !lex::is_token(transport.as_bytes()) {
            return None;
        }
        (self.transport, self.host, self.port) = (transport.to_owned(), host.to_owned(), port);
        Some(good)
    }

    /// Takes a parameter; false when it spoils the Via.
    fn take(&mut self, param: Param) -> bool {
        let Param { name, value } = param;
        let value = value.unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "branch" if self.branch.is_some() || value.is_empty() => return false,
            "branch" => self.branch = Some(value),
            "rport" => self.rport = true,
            "received" => self.received = Some(value),
            "maddr" => self.maddr = Some(value),
            "ttl" => self.ttl = value.parse().ok(),
            _ => {}
        }
        true
    }

    /// The transport's token as it came: `UDP`, `TCP`, `TLS`, or anything.
    pub fn transport(&self) -> &str {
        &self.transport
    }

    /// Host of sent-by, an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port of sent-by, if one is named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The branch, with or without the magic cookie.
    pub fn branch(&self) -> Option<&str> {
        self.branch.as_deref()
    }

    /// Does the branch name a transaction by itself (RFC 3261 §8.1.1.7)? The bare cookie names nothing.
    pub fn has_cookie(&self) -> bool {
        self.branch().is_some_and(|branch| {
            branch.len() > COOKIE.len()
                && branch.get(..COOKIE.len()).is_some_and(|start| start.eq_ignore_ascii_case(COOKIE))
        })
    }

    /// Is the source port asked for (RFC 3581)?
    pub fn rport_asked(&self) -> bool {
        self.rport
    }

    /// Where it was received from, as another hop wrote it, with or without brackets.
    pub fn received(&self) -> Option<&str> {
        self.received.as_deref()
    }

    /// The multicast or other address it was sent to; never contacted (reliability R-16).
    pub fn maddr(&self) -> Option<&str> {
        self.maddr.as_deref()
    }

    /// Time to live of multicast.
    pub fn ttl(&self) -> Option<u8> {
        self.ttl
    }
}

fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_may_stand_round_every_separator() {
        let via = Via::parse(b"SIP  / 2.0  / TCP     spindle.example.com : 5061 ; branch  =   z9hG4bK9ikj8")
            .unwrap();
        assert_eq!((via.transport(), via.host(), via.port()), ("TCP", "spindle.example.com", Some(5061)));
        assert_eq!((via.branch(), via.has_cookie(), via.rport_asked()), (Some("z9hG4bK9ikj8"), true, false));
    }

    #[test]
    fn received_is_read_with_brackets_and_without() {
        for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
            let via = format!(
                "SIP/2.0/UDP [2001:db8::9:1];received={received};rport;branch=z9hG4bKas3;ttl=1;maddr=224.0.1.75"
            );
            let via = Via::parse(via.as_bytes()).unwrap();
            assert_eq!((via.host(), via.received()), ("[2001:db8::9:1]", Some(received)));
            assert_eq!((via.rport_asked(), via.ttl(), via.maddr()), (true, Some(1), Some("224.0.1.75")));
        }
    }

    #[test]
    fn a_bare_cookie_names_no_transaction() {
        assert!(!Via::parse(b"SIP/2.0/UDP h;branch=z9hG4bK").unwrap().has_cookie());
        assert!(!Via::parse(b"SIP/2.0/UDP h;branch=390skdjuw").unwrap().has_cookie());
    }

    #[test]
    fn a_bad_one_may_still_say_the_way_back() {
        let (via, good) = Via::read(b"SIP/2.0/UDP 192.0.2.15:5062;;,;,,;rport").unwrap();
        assert_eq!(
            (via.host(), via.port(), via.rport_asked(), good),
            ("192.0.2.15", Some(5062), true, false)
        );
        // What would be appended behind the bracket would be inside it.
        assert!(Via::parse(b"SIP/2.0/UDP h;branch=<9hG4bKas3-111").is_err());
        let (via, good) = Via::read(b"SIP/2.0/UDP 192.0.2.15:99999").unwrap();
        assert_eq!((via.port(), good), (None, false));
        for hopeless in ["", "SIP/2.0/UDP", "SIP/2.0 h", "SIP/2.0/UDP ;branch=x", "SIP/2.0/UDP [::1"] {
            assert!(Via::read(hopeless.as_bytes()).is_none(), "{hopeless}");
        }
    }
}
