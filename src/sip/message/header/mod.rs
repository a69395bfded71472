//! Header fields that are read, one file each.

pub mod diversion;
pub mod identity;
pub mod name_addr;
pub mod reason;
pub mod session_expires;
pub mod user_to_user;
pub mod vendor;
pub mod via;

pub use name_addr::NameAddr;
pub use via::Via;

/// A header field that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ill-formed header field")]
pub struct IllFormed;

/// An INVITE with further header lines, for tests.
#[cfg(test)]
pub(crate) fn invite_with(lines: &str) -> super::Message {
    let head = "INVITE sip:+91%2080@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n";
    let from = if lines.contains("From:") { "" } else { "From: \"A\" <sip:0806-123@h>;tag=1\r\n" };
    super::Message::parse(format!("{head}{from}{lines}\r\n").as_bytes(), super::Framing::Datagram)
        .expect("well-formed")
}
