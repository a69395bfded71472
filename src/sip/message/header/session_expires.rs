//! Session-Expires and Min-SE (RFC 4028).

use super::name_addr::read_params;
use crate::sip::message::{Message, lex};

/// No session interval is shorter, in seconds (RFC 4028 §4).
pub const MIN_SE: u32 = 90;

/// Who sends the refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answered it.
    Uas,
}

/// What Session-Expires asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// Seconds.
    pub seconds: u32,
    /// Absent: the UAS chooses.
    pub refresher: Option<Refresher>,
}

/// Session-Expires, compact `x` too; one that cannot be read counts as absent.
pub fn session_expires(message: &Message) -> Option<SessionExpires> {
    let value = message.raw("Session-Expires").next()?;
    let end = memchr::memchr(b';', &value).unwrap_or(value.len());
    let (seconds, params) = value.split_at(end);
    let seconds = lex::number(lex::trim(seconds), u32::MAX).ok()?;
    let params = read_params(params).unwrap_or_default();
    let refresher = params.iter().find(|param| param.name.eq_ignore_ascii_case("refresher"));
    let refresher = match refresher.and_then(|param| param.value.as_deref()) {
        Some(who) if who.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
        Some(who) if who.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
        _ => None,
    };
    Some(SessionExpires { seconds, refresher })
}

/// Whether a request is to be refused with 422 and `Min-SE: 90`: it asks for a shorter interval, and knows what a
/// session timer is. Of an INVITE that is step 13 of sip-trunk.md section 4; the endpoint adds Min-SE to a 422.
pub fn interval_too_small(request: &Message) -> bool {
    let short = session_expires(request).is_some_and(|asked| asked.seconds < MIN_SE);
    short && (request.lists("Supported", "timer") || request.lists("Require", "timer"))
}

/// Min-SE in seconds; its parameters are nothing to us.
pub fn min_se(message: &Message) -> Option<u32> {
    let value = message.raw("Min-SE").next()?;
    let seconds = value.split(|&octet| octet == b';').next()?;
    lex::number(lex::trim(seconds), u32::MAX).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::header::invite_with;

    #[test]
    fn the_compact_form_and_the_refresher_are_read() {
        let message = invite_with("x: 1800 ;refresher=UAC\r\nMin-SE: 90;x=y\r\n");
        assert_eq!(
            session_expires(&message),
            Some(SessionExpires { seconds: 1800, refresher: Some(Refresher::Uac) })
        );
        assert_eq!(min_se(&message), Some(90));
        assert_eq!(session_expires(&invite_with("Session-Expires: soon\r\n")), None);
        assert_eq!(session_expires(&invite_with("Session-Expires: 90\r\n")).unwrap().refresher, None);
    }
}
