//! Reason (RFC 3326): why a call ended, in SIP's words or the telephone network's.

use super::name_addr::read_params;
use crate::sip::message::{Message, lex};

/// One entry of Reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `SIP`, `Q.850`, as it came.
    pub protocol: String,
    /// SIP status or Q.850 cause.
    pub cause: Option<u16>,
    /// For a human.
    pub text: Option<String>,
}

impl Reason {
    /// Is it a cause of the telephone network (ITU-T Q.850)?
    pub fn is_q850(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("Q.850")
    }
}

/// Every entry that can be read, in order.
pub fn reasons(message: &Message) -> Vec<Reason> {
    message.list_octets("Reason").iter().filter_map(|entry| read(entry)).collect()
}

/// The Q.850 cause, if one is named (1..=127).
pub fn q850_cause(message: &Message) -> Option<u8> {
    let reason = reasons(message).into_iter().find(Reason::is_q850)?;
    reason.cause.and_then(|cause| u8::try_from(cause).ok()).filter(|cause| (1..128).contains(cause))
}

fn read(entry: &[u8]) -> Option<Reason> {
    let end = memchr::memchr(b';', entry).unwrap_or(entry.len());
    let (protocol, params) = entry.split_at(end);
    let protocol = lex::trim(protocol);
    let params = read_params(params).ok().filter(|_| lex::is_token(protocol))?;
    let value = |name: &str| {
        params
            .iter()
            .find(|param| param.name.eq_ignore_ascii_case(name))
            .and_then(|param| param.value.clone())
    };
    Some(Reason {
        protocol: String::from_utf8_lossy(protocol).into_owned(),
        cause: value("cause").and_then(|cause| cause.parse().ok()),
        text: value("text"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::header::invite_with;

    #[test]
    fn causes_of_both_protocols_are_told_apart() {
        let message = invite_with(
            "Reason: SIP ;cause=200 ;text=\"Call, completed\", Q.850;cause=16\r\nReason: ;;x\r\n",
        );
        let reasons = reasons(&message);
        assert_eq!(reasons.len(), 2);
        assert_eq!((reasons[0].cause, reasons[0].text.as_deref()), (Some(200), Some("Call, completed")));
        assert_eq!(q850_cause(&message), Some(16));
        assert_eq!(q850_cause(&invite_with("Reason: Q.850;cause=4112\r\n")), None);
    }
}
