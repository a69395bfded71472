//! Digits in INFO (sip-trunk.md section 11.5). The one body signalling reads itself: it is a key press,
//! not a description of anything.

use std::time::Duration;

use super::authored::ACCEPT_INFO;
use super::outside::Denial;
use crate::sip::message::Message;
use crate::units::Digit;

/// How long a key was held when nobody says.
const HELD: Duration = Duration::from_millis(100);
/// The longest a key can be held.
const LONGEST: Duration = Duration::from_secs(60);

/// The key an INFO tells of; nothing when it has no body or tells of what is no key (hook flash).
pub(super) fn read(request: &Message) -> Result<Option<(Digit, Duration)>, Denial> {
    if request.header("Info-Package").is_some() {
        return Err(Denial::new(469, "info_package").header("Recv-Info", ""));
    }
    if request.body().is_empty() {
        return Ok(None);
    }
    let body = String::from_utf8_lossy(request.body());
    match request.content_type().as_deref() {
        Some("application/dtmf-relay") => Ok(relay(&body)),
        Some("application/dtmf") => Ok(key(&body).map(|digit| (digit, HELD))),
        _ => Err(Denial::new(415, "content_type").header("Accept", ACCEPT_INFO)),
    }
}

/// `Signal=5` and `Duration=160` in any order, a line each.
fn relay(body: &str) -> Option<(Digit, Duration)> {
    let value = |name: &str| {
        let mut fields = body.lines().filter_map(|line| line.split_once('='));
        fields.find(|(field, _)| field.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let held = value("Duration").and_then(|ms| ms.parse().ok()).map_or(HELD, Duration::from_millis);
    Some((key(value("Signal")?)?, held.min(LONGEST)))
}

/// One character, or 10 for `*` and 11 for `#`.
fn key(text: &str) -> Option<Digit> {
    match text.trim() {
        "10" => Digit::from_char('*'),
        "11" => Digit::from_char('#'),
        text => {
            let mut characters = text.chars();
            let digit = Digit::from_char(characters.next()?)?;
            characters.next().is_none().then_some(digit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(body: &str) -> Option<(char, u128)> {
        relay(body).map(|(digit, held)| (digit.as_char(), held.as_millis()))
    }

    #[test]
    fn a_relayed_digit_is_read_in_any_order_and_spacing() {
        assert_eq!(pressed("Signal=5\r\nDuration=160\r\n"), Some(('5', 160)));
        assert_eq!(pressed("Duration = 250\nsignal = #"), Some(('#', 250)));
        assert_eq!(pressed("Signal=*"), Some(('*', 100)));
        assert_eq!(pressed("Signal=10\r\nDuration=99999999999999999999"), Some(('*', 100)));
        assert_eq!(pressed("Signal=!\r\nDuration=100"), None);
        assert_eq!(pressed("Duration=100"), None);
    }

    #[test]
    fn a_bare_digit_is_one_character_or_10_or_11() {
        assert_eq!(key(" 7\r\n").map(Digit::as_char), Some('7'));
        assert_eq!(key("11").map(Digit::as_char), Some('#'));
        assert_eq!(key("d").map(Digit::as_char), Some('D'));
        assert_eq!((key("12"), key(""), key("x")), (None, None, None));
    }
}
