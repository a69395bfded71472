//! The vendor's own header fields and the custom ones handed to the bot (sip-trunk.md 9.1).

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
    for name in names.iter().filter(|name| !name.eq_ignore_ascii_case("X-UUI")) {
        let key = without_x(name);
        // The account is never handed on as a parameter.
        if name.eq_ignore_ascii_case("X-Exotel-AccountSid") || found.iter().any(|(have, _)| have == key) {
            continue;
        }
        if let Some(value) = message.header(name) {
            found.push((key.to_owned(), deliverable(&value, max)));
        }
    }
    let uui = uui_source.iter().find_map(|source| match source {
        UuiSource::XUui => message.header("X-UUI").map(|value| value.into_owned()),
        UuiSource::UserToUser => user_to_user(message).first().map(|uui| match decode {
            UuiDecode::Hex => uui.data.clone(),
            UuiDecode::Text => uui.decoded(),
        }),
    });
    if let Some(uui) = uui {
        found.push(("UUI".to_owned(), deliverable(&uui, max)));
    }
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
