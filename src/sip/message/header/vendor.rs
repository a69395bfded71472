//! The vendor's own header fields and the custom ones handed to the bot (sip-trunk.md 9.1).

use std::borrow::Cow;

use super::IllFormed;
use super::user_to_user::user_to_user;
use crate::sip::message::Message;
use crate::telemetry::metrics;

/// Where the `UUI` of a bot's custom parameters may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UuiSource {
    /// `X-UUI`.
    XUui,
    /// `User-to-User`.
    UserToUser,
}

/// How the data of User-to-User is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UuiDecode {
    /// As received.
    #[default]
    Hex,
    /// As the text behind the hex digits.
    Text,
}

/// `X-Exotel-AccountSid`: the account a call is for.
///
/// # Errors
/// Not 1..=64 octets of `[A-Za-z0-9_.-]`, or several that differ: such a call gets 403.
pub fn account_sid(message: &Message) -> Result<Option<String>, IllFormed> {
    let mut sids = message.headers("X-Exotel-AccountSid");
    let Some(first) = sids.next() else { return Ok(None) };
    let good = (1..=64).contains(&first.len())
        && first.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'.' | b'-'));
    if good && sids.all(|other| other == first) { Ok(Some(first.into_owned())) } else { Err(IllFormed) }
}

/// Names and values for the bot: each of `names` that is there, spelled as in the list without its leading
/// `X-`, cut to `max` octets at a character boundary. `UUI` comes from the first of `uui_source` that is there,
/// whether or not `X-UUI` is among the names.
pub fn custom_headers(
    message: &Message,
    names: &[String],
    max: usize,
    uui_source: &[UuiSource],
    decode: UuiDecode,
) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut uui = uui_source.iter().find_map(|source| match source {
        UuiSource::XUui => message.header("X-UUI").map(Cow::into_owned),
        UuiSource::UserToUser => user_to_user(message).first().map(|uui| match decode {
            UuiDecode::Hex => uui.data.clone(),
            UuiDecode::Text => uui.decoded(),
        }),
    });
    for name in names {
        let key = without_x(name);
        // What the vendor's own fields say is no custom parameter (agentstream.md 13.2).
        let vendors = key.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("Exotel-"));
        if vendors || found.iter().any(|(have, _)| have.eq_ignore_ascii_case(key)) {
            continue;
        }
        let uui = uui.take_if(|_| key.eq_ignore_ascii_case("UUI"));
        if let Some(value) = uui.or_else(|| message.header(name).map(Cow::into_owned)) {
            found.push((key.to_owned(), deliverable(&value, max)));
        }
    }
    found.extend(uui.map(|uui| ("UUI".to_owned(), deliverable(&uui, max))));
    found
}

fn without_x(name: &str) -> &str {
    match name.get(..2) {
        Some(prefix) if prefix.eq_ignore_ascii_case("X-") => &name[2..],
        _ => name,
    }
}

/// Without control characters, at most `max` octets, whole characters.
fn deliverable(value: &str, max: usize) -> String {
    let mut kept: String = value.chars().filter(|c| !c.is_control()).collect();
    if kept.len() > max {
        metrics::repair("header_cut");
        let end = (0..=max).rev().find(|&end| kept.is_char_boundary(end)).unwrap_or(0);
        kept.truncate(end);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::header::invite_with;

    const BOTH: [UuiSource; 2] = [UuiSource::XUui, UuiSource::UserToUser];

    fn custom(lines: &str, max: usize) -> Vec<(String, String)> {
        let names = ["X-UUI", "X-Custom-Header", "X-Exotel-CallSid"].map(str::to_owned);
        custom_headers(&invite_with(lines), &names, max, &BOTH, UuiDecode::Hex)
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn an_account_is_one_plain_word() {
        let sid = |lines: &str| account_sid(&invite_with(lines));
        assert_eq!(sid(""), Ok(None));
        assert_eq!(sid("x-exotel-accountsid:  acme_1.x-y \r\n"), Ok(Some("acme_1.x-y".to_owned())));
        assert_eq!(sid("X-Exotel-AccountSid: a\r\nX-Exotel-AccountSid: a\r\n"), Ok(Some("a".to_owned())));
        assert_eq!(sid("X-Exotel-AccountSid: a\r\nX-Exotel-AccountSid: b\r\n"), Err(IllFormed));
        for bad in ["", "a b", "a/b", "\u{e9}", &"a".repeat(65)] {
            assert_eq!(sid(&format!("X-Exotel-AccountSid: {bad}\r\n")), Err(IllFormed), "{bad}");
        }
    }

    #[test]
    fn a_value_is_cut_at_a_whole_character() {
        assert_eq!(custom("X-CUSTOM-HEADER: ab\u{20AC}\r\n", 4), [pair("Custom-Header", "ab")]);
        assert_eq!(custom("X-Custom-Header: ab\u{20AC}\r\n", 5), [pair("Custom-Header", "ab\u{20AC}")]);
        assert_eq!(custom("X-Custom-Header:\r\n", 45), [pair("Custom-Header", "")]);
        assert_eq!(
            custom("X-Custom-Header: a\u{7}b%20\r\nX-Custom-Header: c\r\n", 45),
            [pair("Custom-Header", "ab%20")]
        );
    }

    #[test]
    fn uui_comes_from_the_first_source_there_is() {
        assert_eq!(custom("X-UUI: A1\r\nUser-to-User: 04C8;encoding=hex\r\n", 45), [pair("UUI", "A1")]);
        assert_eq!(custom("User-to-User: 04C8;encoding=hex\r\n", 45), [pair("UUI", "04C8")]);
        assert_eq!(custom("X-Exotel-CallSid: x\r\n", 45), []);
        let message = invite_with("X-UUI: A1\r\nUser-to-User: 0441\r\n");
        let text = custom_headers(&message, &[], 45, &[UuiSource::UserToUser], UuiDecode::Text);
        assert_eq!(text, [pair("UUI", "A")]);
    }
}
