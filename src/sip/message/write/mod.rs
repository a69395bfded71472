//! What goes out: a first line, header lines, a body.
//!
//! A line we author is made with `rsip`'s headers or from a name and a value that are cleaned of control
//! characters (reliability R-20). A line that must come back as it was is the octets the parser kept,
//! folds turned into one space.

mod phrase;
mod request;
mod response;

use std::net::SocketAddr;

pub use request::Request;
pub use response::Response;

use super::{Message, lex};
use crate::telemetry::metrics;

/// Where a response to a datagram goes (reliability R-16, RFC 3581 §4): the source address; the source port when
/// `rport` asks for it or `force_rport` is set, else the port of the top Via. On a stream it goes back by
/// the connection instead. `maddr` and names are never followed.
pub fn response_destination(request: &Message, remote: SocketAddr, force_rport: bool) -> SocketAddr {
    if force_rport || request.via().rport_asked() {
        return remote;
    }
    let default = if request.via().transport().eq_ignore_ascii_case("TLS") { 5061 } else { 5060 };
    SocketAddr::new(remote.ip(), request.via().port().unwrap_or(default))
}

/// Lines as they are written.
#[derive(Debug)]
struct Lines(Vec<u8>);

impl Lines {
    fn begin(first: &[&[u8]]) -> Self {
        let mut lines = Self(Vec::with_capacity(1024));
        for word in first {
            lines.put(word, keep_authored);
        }
        lines.0.extend_from_slice(b"\r\n");
        lines
    }

    /// A line made by `rsip`.
    fn typed(&mut self, header: rsip::Header) {
        self.put(header.to_string().as_bytes(), keep_authored);
        self.0.extend_from_slice(b"\r\n");
    }

    /// A line of a name and a value of our own. A name that is no token makes no line.
    fn authored(&mut self, name: &str, value: &str) {
        if !lex::is_token(name.as_bytes()) {
            return metrics::repair("control_characters");
        }
        if value.bytes().any(|octet| !keep_authored(octet)) {
            metrics::repair("control_characters");
        }
        self.line(name, value.as_bytes(), keep_authored);
    }

    /// A line that goes on as it came.
    fn copied(&mut self, name: &str, value: &[u8]) {
        self.line(name, value, keep_copied);
    }

    fn line(&mut self, name: &str, value: &[u8], keep: impl Fn(u8) -> bool) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.put(value, keep);
        self.0.extend_from_slice(b"\r\n");
    }

    /// Nearly always all of them, which are then taken at once.
    fn put(&mut self, octets: &[u8], keep: impl Fn(u8) -> bool) {
        match octets.iter().all(|&octet| keep(octet)) {
            true => self.0.extend_from_slice(octets),
            false => self.0.extend(octets.iter().copied().filter(|&octet| keep(octet))),
        }
    }

    /// Content-Type, Content-Length, the empty line and the body.
    fn end(mut self, body: Option<(&str, &[u8])>) -> Vec<u8> {
        let (content_type, bytes) = body.unwrap_or_default();
        if body.is_some() {
            self.typed(rsip::Header::ContentType(content_type.into()));
        }
        self.typed(rsip::Header::ContentLength(u32::try_from(bytes.len()).unwrap_or(u32::MAX).into()));
        self.0.extend_from_slice(b"\r\n");
        self.0.extend_from_slice(bytes);
        self.0
    }
}

/// No control character leaves in what we write ourselves.
fn keep_authored(octet: u8) -> bool {
    octet >= b' ' && octet != 0x7F || octet == b'\t'
}

/// What is copied keeps every octet but the two that would end a line.
fn keep_copied(octet: u8) -> bool {
    !matches!(octet, b'\r' | b'\n')
}
