//! Responses (RFC 3261 §8.2.6, RFC 3581 §4).

use std::borrow::Cow;
use std::net::SocketAddr;

use super::Lines;
use super::phrase::default_phrase;
use crate::sip::message::uri::host_ip;
use crate::sip::message::{Message, lex};

/// A response being written.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    request: &'a Message,
    status: u16,
    reason: Option<String>,
    to_tag: Option<String>,
    source: Option<(SocketAddr, bool)>,
    record_route: bool,
    headers: Vec<(Cow<'static, str>, String)>,
    body: Option<(String, Vec<u8>)>,
}

impl<'a> Response<'a> {
    /// A response to that request: Via, From, To, Call-ID and CSeq are its own, of each but Via the
    /// first one, and what a malformed request lacks is absent. Timestamp goes back in a 100 (§8.2.6.1).
    pub fn to(request: &'a Message, status: u16) -> Self {
        Self {
            request,
            status,
            reason: None,
            to_tag: None,
            source: None,
            record_route: false,
            headers: Vec::new(),
            body: None,
        }
    }

    /// A reason phrase other than the table's.
    pub fn reason_phrase(mut self, phrase: impl Into<String>) -> Self {
        self.reason = Some(phrase.into());
        self
    }

    /// Our tag, added to To where it has none; never in a 100.
    pub fn to_tag(mut self, tag: impl Into<String>) -> Self {
        self.to_tag = Some(tag.into());
        self
    }

    /// Where the request came from: `received` and `rport` of the top Via are filled as RFC 3581 §4 and
    /// RFC 3261 §18.2.1 say; `force_rport` writes both though nobody asked.
    pub fn source(mut self, remote: SocketAddr, force_rport: bool) -> Self {
        self.source = Some((remote, force_rport));
        self
    }

    /// Copies every Record-Route, in order and unchanged (§12.1.1).
    pub fn record_route(mut self) -> Self {
        self.record_route = true;
        self
    }

    /// A further header field.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A body and its Content-Type.
    pub fn body(mut self, content_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Some((content_type.into(), bytes.into()));
        self
    }

    /// As it goes out.
    pub fn octets(&self) -> Vec<u8> {
        let status = self.status.to_string();
        let phrase = self.reason.as_deref().unwrap_or_else(|| default_phrase(self.status));
        let mut lines = Lines::begin(&[b"SIP/2.0 ", status.as_bytes(), b" ", phrase.as_bytes()]);
        self.write_vias(&mut lines);
        if self.record_route {
            for value in self.request.raw("Record-Route") {
                lines.copied("Record-Route", &value);
            }
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let Some(value) = self.request.raw(name).next() else { continue };
            if name == "To" {
                lines.copied(name, &self.tagged(&value));
            } else {
                lines.copied(name, &value);
            }
        }
        if self.status == 100
            && let Some(value) = self.request.raw("Timestamp").next()
        {
            lines.copied("Timestamp", &value);
        }
        for (name, value) in &self.headers {
            lines.authored(name, value);
        }
        lines.end(self.body.as_ref().map(|(content_type, bytes)| (content_type.as_str(), bytes.as_slice())))
    }

    fn write_vias(&self, lines: &mut Lines) {
        for (place, value) in self.request.raw("Via").enumerate() {
            match self.source {
                Some((remote, force)) if place == 0 => {
                    lines.copied("Via", &self.received_from(&value, remote, force));
                }
                _ => lines.copied("Via", &value),
            }
        }
    }

    /// The first Via field with the source written into its first entry. A hop's own `received` or
    /// `rport` there is replaced: it was not for it to say.
    fn received_from(&self, value: &[u8], remote: SocketAddr, force: bool) -> Vec<u8> {
        let via = self.request.via();
        let ip = remote.ip().to_canonical();
        let (asked, elsewhere) = (via.rport_asked() || force, host_ip(via.host()) != Some(ip));
        if !asked && !elsewhere && via.received().is_none() {
            return value.to_vec();
        }
        let top = lex::split(value, b',').next().unwrap_or(value);
        let mut pieces = lex::split(top, b';');
        let mut written = lex::trim(pieces.next().unwrap_or_default()).to_vec();
        for piece in pieces {
            let name = lex::trim(piece.split(|&octet| octet == b'=').next().unwrap_or_default());
            if !name.eq_ignore_ascii_case(b"received") && !name.eq_ignore_ascii_case(b"rport") {
                written.push(b';');
                written.extend_from_slice(lex::trim(piece));
            }
        }
        written.extend_from_slice(format!(";received={ip}").as_bytes());
        if asked {
            written.extend_from_slice(format!(";rport={}", remote.port()).as_bytes());
        }
        written.extend_from_slice(value.get(top.len()..).unwrap_or_default());
        written
    }

    fn tagged<'v>(&self, to: &'v [u8]) -> Cow<'v, [u8]> {
        match &self.to_tag {
            Some(tag) if self.request.to().tag().is_none() && self.status != 100 => {
                let tag: String = tag.chars().filter(|c| c.is_ascii_graphic()).collect();
                Cow::Owned([to, b";tag=", tag.as_bytes()].concat())
            }
            _ => Cow::Borrowed(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::{Framing, response_destination};

    fn options(via: &str) -> Message {
        let text = format!(
            "OPTIONS sip:h SIP/2.0\r\nVia: {via}\r\nv: SIP/2.0/TCP z;branch=z9hG4bK2\r\nf: <sip:a@h>;tag=1\r\nt:\r\n <sip:b@h>\r\ni: c\r\nCSeq: 1 OPTIONS\r\nTimestamp: 5.4\r\nl: 0\r\n\r\n"
        );
        Message::parse(text.as_bytes(), Framing::Datagram).expect("well-formed")
    }

    fn top_via(via: &str, remote: &str, force: bool) -> String {
        let octets =
            Response::to(&options(via), 200).source(remote.parse().expect("address"), force).octets();
        let text = String::from_utf8(octets).expect("text");
        text.lines().find_map(|line| line.strip_prefix("Via: ")).expect("a Via").to_owned()
    }

    #[test]
    fn the_source_is_written_where_rfc_3581_wants_it() {
        let (b, at) = (";branch=z9hG4bK1", "192.0.2.1:4444");
        assert_eq!(
            top_via(&format!("SIP/2.0/UDP 192.0.2.1:5060{b}"), at, false),
            format!("SIP/2.0/UDP 192.0.2.1:5060{b}")
        );
        assert_eq!(
            top_via(&format!("SIP/2.0/UDP h{b}"), at, false),
            format!("SIP/2.0/UDP h{b};received=192.0.2.1")
        );
        assert_eq!(
            top_via(&format!("SIP/2.0/UDP 192.0.2.1;rport{b}, SIP/2.0/UDP y;rport"), at, false),
            format!("SIP/2.0/UDP 192.0.2.1{b};received=192.0.2.1;rport=4444, SIP/2.0/UDP y;rport")
        );
        assert_eq!(
            top_via(&format!("SIP/2.0/UDP [2001:db8::9];received=[::1]{b}"), "[2001:db8::9]:7", true),
            format!("SIP/2.0/UDP [2001:db8::9]{b};received=2001:db8::9;rport=7")
        );
        let mapped = top_via(&format!("SIP/2.0/UDP 192.0.2.1{b}"), "[::ffff:192.0.2.1]:5060", false);
        assert_eq!(mapped, format!("SIP/2.0/UDP 192.0.2.1{b}"));
    }

    #[test]
    fn a_100_has_the_timestamp_and_no_tag_of_ours() {
        let request = options("SIP/2.0/UDP h;branch=z9hG4bK1");
        let trying = Response::to(&request, 100).to_tag("x").octets();
        assert_eq!(
            String::from_utf8(trying).expect("text"),
            "SIP/2.0 100 Trying\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nVia: SIP/2.0/TCP z;branch=z9hG4bK2\r\n\
             From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nTimestamp: 5.4\r\nContent-Length: 0\r\n\r\n"
        );
        let ok = Response::to(&request, 200).to_tag("x\r\ny").octets();
        let ok = String::from_utf8(ok).expect("text");
        assert!(ok.contains("\r\nTo: <sip:b@h>;tag=xy\r\n") && !ok.contains("Timestamp"));
    }

    #[test]
    fn a_response_goes_to_the_source_and_to_no_name() {
        let to = |via: &str, force| {
            response_destination(&options(via), "192.0.2.1:4444".parse().expect("address"), force).to_string()
        };
        assert_eq!(to("SIP/2.0/UDP 203.0.113.9;maddr=255.255.255.255;branch=x", false), "192.0.2.1:5060");
        assert_eq!(to("SIP/2.0/UDP h:5070;branch=x", false), "192.0.2.1:5070");
        assert_eq!(to("SIP/2.0/UDP h:5070;rport;branch=x", false), "192.0.2.1:4444");
        assert_eq!(to("SIP/2.0/UDP h:5070;branch=x", true), "192.0.2.1:4444");
    }
}
