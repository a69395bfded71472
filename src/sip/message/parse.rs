//! From octets to a [`Message`]: the first line, the lines, and every check of sip-trunk.md section 3.
//!
//! A fault does not end the reading: the rest is still read for what an answer needs. The first fault
//! found is the one that is told.

use super::header::{NameAddr, Via};
use super::lex::{self, Span};
use super::lines::{Lines, is_sip};
use super::malformed::{Cause, Malformed};
use super::method::Method;
use super::uri::{Scheme, Uri};
use super::{Field, Framing, Message, Start, long_name};

/// One message.
pub(crate) const MAX_MESSAGE: usize = 65_535;
/// The header section, first line included.
pub(crate) const MAX_HEAD: usize = 32 * 1024;
/// One header field with its folds.
const MAX_FIELD: usize = 8 * 1024;
const MAX_FIELDS: usize = 256;
const MAX_REQUEST_URI: usize = 1024;
const MAX_BODY: usize = 32 * 1024;

pub(super) fn parse(bytes: &[u8], framing: Framing) -> Result<Message, Malformed> {
    // RFC 3261 §7.5: line ends before the first line are nothing.
    let start = bytes.iter().position(|&octet| !matches!(octet, b'\r' | b'\n')).unwrap_or(bytes.len());
    let bytes = bytes.get(start..).unwrap_or_default();
    if !bytes.first().is_some_and(|&first| is_sip(first)) {
        return Err(Malformed { cause: Cause::NotSip, answerable: None });
    }
    let mut draft = Draft::new();
    let body_at = draft.read_head(bytes);
    draft.check_start();
    draft.read_ids(bytes);
    draft.check_repeats(bytes);
    draft.check_numbers(bytes);
    draft.read_contact(bytes);
    draft.check_routes(bytes);
    let body = draft.measure_body(bytes, body_at, framing);
    draft.finish(bytes, body_at, body)
}

/// A message being read.
pub(super) struct Draft {
    pub(super) message: Message,
    fault: Option<Cause>,
    /// The topmost Via says where an answer goes.
    pub(super) routable: bool,
    pub(super) content_length: Result<Option<usize>, ()>,
}

impl Draft {
    fn new() -> Self {
        Self {
            message: Message {
                octets: Box::default(),
                fields: Vec::new(),
                start: Start::Request(None),
                method: Method::Other(String::new()),
                via: Via::default(),
                via_count: 0,
                call_id: Span::default(),
                call_id_text: String::new(),
                cseq: 0,
                from: NameAddr::absent(),
                to: NameAddr::absent(),
                contact: None,
                max_forwards: None,
                expires: None,
                body: Span::default(),
            },
            fault: None,
            routable: false,
            content_length: Ok(None),
        }
    }

    pub(super) fn blame(&mut self, cause: Cause) {
        self.fault.get_or_insert(cause);
    }

    /// Reads the first line and the fields; where the body begins.
    fn read_head(&mut self, bytes: &[u8]) -> usize {
        let window = bytes.get(..MAX_HEAD + 4).unwrap_or(bytes);
        let mut lines = Lines::new(window);
        if let Some(first) = lines.next() {
            self.read_start(first.of(window));
        }
        for line in lines.by_ref() {
            if self.message.fields.len() == MAX_FIELDS {
                self.blame(Cause::TooManyFields);
                break;
            }
            self.read_field(line, window);
        }
        if lines.cr || (lines.crlf && lines.lf) {
            self.blame(Cause::LineEnds);
        }
        match lines.body_at {
            Some(at) if at <= MAX_HEAD => return at,
            Some(_) => self.blame(Cause::HeadTooLarge),
            None if bytes.len() > MAX_HEAD => self.blame(Cause::HeadTooLarge),
            None => self.blame(Cause::Unfinished),
        }
        window.len()
    }

    /// `METHOD SP uri SP SIP/2.0` or `SIP/2.0 SP 200 SP reason`, with one space each.
    fn read_start(&mut self, line: &[u8]) {
        if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/")) {
            return self.read_status_line(line);
        }
        let mut words = line.split(|&octet| octet == b' ');
        let method = words.next().unwrap_or_default();
        self.message.method = Method::from_token(&String::from_utf8_lossy(method));
        let (uri, version, more) = (words.next(), words.next(), words.next());
        let (Some(uri), Some(version), None) = (uri, version, more) else {
            return self.blame(Cause::StartLine);
        };
        if !lex::is_token(method)
            || !version.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
        {
            return self.blame(Cause::StartLine);
        }
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            self.blame(Cause::Version);
        }
        if uri.len() > MAX_REQUEST_URI {
            return self.blame(Cause::UriTooLong);
        }
        match Uri::parse(uri) {
            Ok(uri) => self.message.start = Start::Request(Some(uri)),
            Err(_) => self.blame(Cause::Uri),
        }
    }

    fn read_status_line(&mut self, line: &[u8]) {
        self.message.start = Start::Response { status: 0, reason: Span::default() };
        let mut words = line.splitn(3, |&octet| octet == b' ');
        let (version, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let reason = words.next().unwrap_or_default();
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            return self.blame(Cause::Version);
        }
        match lex::number(status, 699) {
            Ok(status @ 100..) => {
                let reason = Span::new(line.len() - reason.len(), line.len());
                self.message.start = Start::Response { status: status as u16, reason };
            }
            _ => self.blame(Cause::StartLine),
        }
    }

    /// `name SP* : value` (reliability R-13).
    fn read_field(&mut self, line: Span, window: &[u8]) {
        let octets = line.of(window);
        if octets.len() > MAX_FIELD {
            return self.blame(Cause::LineTooLong);
        }
        let Some(colon) = memchr::memchr(b':', octets) else { return self.blame(Cause::HeaderName) };
        let name = octets.get(..colon).unwrap_or_default();
        let blanks = name.iter().rev().take_while(|&&octet| matches!(octet, b' ' | b'\t')).count();
        let name = name.get(..name.len() - blanks).unwrap_or_default();
        if !lex::is_token(name) {
            return self.blame(Cause::HeaderName);
        }
        let start = line.start();
        let value = octets.get(colon + 1..).unwrap_or_default();
        let lead =
            value.len() - value.iter().position(|&o| !lex::is_blank(o)).map_or(0, |at| value.len() - at);
        let from = start + colon + 1 + lead;
        self.message.fields.push(Field {
            name: Span::new(start, start + name.len()),
            long: long_name(name),
            value: Span::new(from, from + lex::trim(value).len()),
        });
    }

    fn check_start(&mut self) {
        let Start::Request(Some(uri)) = &self.message.start else { return };
        // RFC 4475 §3.1.2.11: header fields have no place in a Request-URI.
        if uri.has_headers() {
            self.blame(Cause::Uri);
        }
    }

    /// How long the body is.
    fn measure_body(&mut self, bytes: &[u8], body_at: usize, framing: Framing) -> usize {
        let there = bytes.len().saturating_sub(body_at);
        let length = match (self.content_length, framing) {
            (Ok(Some(length)), _) if length <= there => length,
            (Ok(Some(length)), Framing::Stream) if length.saturating_add(body_at) > MAX_MESSAGE => {
                self.blame(Cause::MessageTooLarge);
                0
            }
            (Ok(Some(_)) | Err(()), _) => {
                self.blame(Cause::ContentLength);
                0
            }
            (Ok(None), Framing::Datagram) => there,
            (Ok(None), Framing::Stream) => {
                self.blame(Cause::NoContentLength);
                0
            }
        };
        if length > MAX_BODY {
            self.blame(Cause::BodyTooLarge);
            return 0;
        }
        length
    }

    fn finish(mut self, bytes: &[u8], body_at: usize, body: usize) -> Result<Message, Malformed> {
        if let Start::Request(Some(uri)) = &self.message.start
            && uri.scheme() == Scheme::Other
        {
            self.blame(Cause::Scheme);
        }
        self.message.body = Span::new(body_at, body_at + body);
        self.message.octets = bytes.get(..body_at + body).unwrap_or_default().into();
        match self.fault {
            None => Ok(self.message),
            Some(cause) => {
                let answers =
                    self.message.is_request() && self.message.method != Method::Ack && self.routable;
                Err(Malformed { cause, answerable: answers.then(|| Box::new(self.message)) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str =
        "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\n";

    /// The outcome of an INVITE with further lines: a cause, or nothing.
    fn outcome(lines: &str) -> Option<&'static str> {
        let text = format!("INVITE sip:x@h SIP/2.0\r\n{REST}CSeq: 1 INVITE\r\n{lines}\r\n");
        parse(text.as_bytes(), Framing::Datagram).err().map(|malformed| malformed.cause.as_str())
    }

    #[test]
    fn limits_are_those_of_the_table() {
        for (good, bad, cause) in [
            ("Q: y\r\n".repeat(251), "Q: y\r\n".repeat(252), "too_many_fields"),
            (format!("Q:{}\r\n", "y".repeat(8190)), format!("Q:{}\r\n", "y".repeat(8191)), "line_too_long"),
            (
                "v: SIP/2.0/UDP h\r\n".repeat(69),
                "v: SIP/2.0/UDP h, SIP/2.0/UDP h\r\n".repeat(35),
                "too_many_hops",
            ),
            ("Route: <sip:r>\r\n".repeat(30), "Route: <sip:r>\r\n".repeat(31), "too_many_hops"),
            (
                "Record-Route: <sip:r>, <sip:s>\r\n".repeat(15),
                "Record-Route: <sip:r>,<sip:s>\r\n".repeat(16),
                "too_many_hops",
            ),
            ("Max-Forwards: 0255\r\n".to_owned(), "Max-Forwards: 256\r\n".to_owned(), "max_forwards"),
            ("Expires: 4294967295\r\n".to_owned(), "Expires: 4294967296\r\n".to_owned(), "number"),
            (
                format!("Q:{}\r\n", "y".repeat(8000)).repeat(4),
                format!("Q:{}\r\n", "y".repeat(8180)).repeat(4),
                "head_too_large",
            ),
            (String::new(), "Max-Forwards:\r\n".to_owned(), "max_forwards"),
        ] {
            assert_eq!(outcome(&good), None, "{cause}");
            assert_eq!(outcome(&bad), Some(cause));
        }
        let body = |len: usize| outcome(&format!("\r\n{}", "x".repeat(len - 2)));
        assert_eq!((body(32 * 1024), body(32 * 1024 + 1)), (None, Some("body_too_large")));
    }

    #[test]
    fn identifiers_are_at_most_256_octets() {
        for len in [256, 257] {
            let id = "x".repeat(len);
            for (what, with) in
                [("Call-ID: c", "Call-ID: "), ("tag=1", "tag="), ("branch=z9hG4bK1", "branch=")]
            {
                let text = format!("BYE sip:x SIP/2.0\r\n{REST}CSeq: 1 BYE\r\n\r\n")
                    .replace(what, &format!("{with}{id}"));
                let cause = parse(text.as_bytes(), Framing::Datagram).err().map(|malformed| malformed.cause);
                assert_eq!(cause, (len > 256).then_some(Cause::IdTooLong), "{what}");
            }
            let uri = format!("sip:{}", "x".repeat(len * 4 - 4));
            let text = format!("BYE {uri} SIP/2.0\r\n{REST}CSeq: 1 BYE\r\n\r\n");
            let cause = parse(text.as_bytes(), Framing::Datagram).err().map(|malformed| malformed.cause);
            assert_eq!(cause, (len > 256).then_some(Cause::UriTooLong));
        }
    }

    #[test]
    fn what_two_readers_would_read_differently_is_refused() {
        for (lines, cause) in [
            ("call-id: d\r\n", "repeated_header"),
            ("i: c\r\n", "repeated_header"),
            ("Content-Type: a/b\r\nc: a/b\r\n", "repeated_header"),
            ("x: 90\r\nSession-Expires: 90\r\n", "repeated_header"),
            ("X Y: z\r\n", "header_name"),
            (": z\r\n", "header_name"),
            ("no colon\r\n", "header_name"),
            ("X: a\nY: b\r\n", "line_ends"),
            ("X: a\rY: b\r\n", "line_ends"),
            ("Contact: <sip:a>, <sip:b>\r\n", "contact"),
            ("Contact: <sip:a>\r\nm: <sip:b>\r\n", "contact"),
            ("Contact: *\r\n", "contact"),
            ("Content-Length: 1\r\n", "content_length"),
            ("Content-Length: +0\r\n", "content_length"),
            ("Content-Length: \r\n", "content_length"),
            ("v: SIP/2.0/UDP h,,\r\n", "via"),
        ] {
            assert_eq!(outcome(lines), Some(cause), "{lines}");
        }
    }

    #[test]
    fn what_real_equipment_sends_is_taken() {
        for lines in [
            "",
            "X-Odd: \"unbalanced ;;,,\r\nX-Empty:\r\nX \t: \u{e9}\r\n",
            "m\t: \"a, b\" <sip:a@[2001:db8::1]:5062;transport=tcp>;+sip.src\r\n",
            "Expires: Thu, 01 Dec 1994 16:00:00 GMT\r\n",
            "Date: yesterday\r\nP-Asserted-Identity: \"\r\n",
            "P-Charging-Vector: icid-value=\"x\r\n",
        ] {
            assert_eq!(outcome(lines), None, "{lines}");
        }
        let register = format!("REGISTER sip:x SIP/2.0\r\n{REST}CSeq: 1 REGISTER\r\nContact: *\r\n\r\n");
        assert!(
            parse(register.as_bytes(), Framing::Datagram).is_ok_and(|message| message.contact().is_none())
        );
    }

    #[test]
    fn a_response_is_never_answerable() {
        for status in ["200 OK", "200", "99 x", "700 x", "4294967496 x", "2x0 x"] {
            let text = format!("SIP/2.0 {status}\r\n{REST}CSeq: 1 INVITE\r\n\r\n");
            match parse(text.as_bytes(), Framing::Datagram) {
                Ok(message) => assert_eq!((message.status(), message.method()), (Some(200), &Method::Invite)),
                Err(malformed) => {
                    assert!(malformed.answerable.is_none() && !status.starts_with("200"), "{status}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_sip_is_dropped() {
        for octets in [&b"\0\x01\0\x08"[..], b"", b"\r\n\r\n", b"\x80\0", b"\x16\x03\x01"] {
            let malformed = parse(octets, Framing::Datagram).unwrap_err();
            assert_eq!((malformed.cause, malformed.answerable.is_none()), (Cause::NotSip, true));
        }
    }

    #[test]
    fn octets_behind_the_body_are_cut_off() {
        let text = format!(
            "\r\nINFO sip:x SIP/2.0\r\n{REST}CSeq: 1 INFO\r\nl: 3\r\nc : Text / Plain;Boundary=\"a b\"\r\n\r\nabcINVITE"
        );
        let message = parse(text.as_bytes(), Framing::Datagram).unwrap();
        assert_eq!((message.body(), message.content_type().as_deref()), (&b"abc"[..], Some("text/plain")));
        assert_eq!(message.boundary().as_deref(), Some("a b"));
        assert!(message.octets().ends_with(b"\r\n\r\nabc"));
    }
}
