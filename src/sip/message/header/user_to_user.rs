//! User-to-User (RFC 7433, RFC 7434): what one user's equipment tells the other's (sip-trunk.md 9.2).

use super::IllFormed;
use super::name_addr::read_params;
use crate::sip::message::{Message, lex};
use crate::telemetry::metrics;

/// One User-to-User entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserToUser {
    /// The data as received: hex digits in the ordinary case, or text.
    pub data: String,
    /// `encoding` as it came, lower case.
    pub encoding: Option<String>,
    /// `purpose`, lower case.
    pub purpose: Option<String>,
    /// `content`.
    pub content: Option<String>,
    /// `pd`: the protocol discriminator outside the data, as Genesys and Avaya write it.
    pub pd: Option<String>,
}

impl UserToUser {
    /// Is the data hexadecimal? Said, or not said and for ISDN (RFC 7434 §4.2).
    pub fn is_hex(&self) -> bool {
        match (self.encoding.as_deref(), self.purpose.as_deref()) {
            (Some(encoding), _) => encoding == "hex",
            (None, purpose) => purpose.is_none_or(|purpose| purpose == "isdn-uui"),
        }
    }

    /// The octets behind the hex digits.
    pub fn octets(&self) -> Option<Vec<u8>> {
        if !self.is_hex() || self.data.len() % 2 == 1 {
            return None;
        }
        let digit = |octet: u8| char::from(octet).to_digit(16);
        self.data
            .as_bytes()
            .chunks(2)
            .map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8))
            .collect()
    }

    /// `uui_decode = "text"`: the text behind the hex digits, without a leading protocol discriminator
    /// of 00 or 04 where no `pd` stands; the data as received when it is no printable UTF-8.
    pub fn decoded(&self) -> String {
        let Some(mut octets) = self.octets() else { return self.data.clone() };
        if self.pd.is_none() && matches!(octets.first(), Some(0x00 | 0x04)) {
            octets.remove(0);
        }
        match String::from_utf8(octets) {
            Ok(text) if !text.chars().any(char::is_control) => text,
            _ => self.data.clone(),
        }
    }

    /// Avaya's call identifier: `FA 08` and eight octets, given as 16 hex digits.
    pub fn ucid(&self) -> Option<String> {
        let octets = self.octets()?;
        let discriminator = usize::from(matches!(octets.first(), Some(0x00 | 0x04)) && self.pd.is_none());
        let mut rest = octets.get(discriminator..)?;
        // Elements of tag, length, value (Avaya shared UUI).
        while let [tag, len, after @ ..] = rest {
            let value = after.get(..usize::from(*len))?;
            if (*tag, *len) == (0xFA, 8) {
                return Some(value.iter().map(|octet| format!("{octet:02X}")).collect());
            }
            rest = after.get(usize::from(*len)..)?;
        }
        None
    }
}

/// Every entry that can be read, over all header fields; a bad one counts as absent.
pub fn user_to_user(message: &Message) -> Vec<UserToUser> {
    let read = |entry: &std::borrow::Cow<'_, [u8]>| match read(entry) {
        Ok(entry) => Some(entry),
        Err(IllFormed) => {
            metrics::repair("optional_header");
            None
        }
    };
    message.list_octets("User-to-User").iter().filter_map(read).collect()
}

fn read(entry: &[u8]) -> Result<UserToUser, IllFormed> {
    let (data, params) = match lex::quoted(entry) {
        Some((inside, rest)) => (lex::unescape(inside), rest),
        None if entry.starts_with(b"\"") => return Err(IllFormed),
        None => {
            let end = memchr::memchr(b';', entry).unwrap_or(entry.len());
            let (data, params) = entry.split_at(end);
            (String::from_utf8_lossy(lex::trim(data)).into_owned(), params)
        }
    };
    let params = read_params(params)?;
    let value = |name: &str| {
        params
            .iter()
            .find(|param| param.name.eq_ignore_ascii_case(name))
            .and_then(|param| param.value.clone())
    };
    let lower = |name: &str| value(name).map(|value| value.to_ascii_lowercase());
    Ok(UserToUser {
        data,
        encoding: lower("encoding"),
        purpose: lower("purpose"),
        content: value("content"),
        pd: value("pd"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::header::invite_with;

    fn first(value: &str) -> UserToUser {
        user_to_user(&invite_with(&format!("User-to-User: {value}\r\n"))).remove(0)
    }

    #[test]
    fn avayas_ucid_stands_in_the_octets() {
        let uui = first("00FA080001247C5E46F6E6;encoding=hex");
        assert_eq!(uui.ucid().as_deref(), Some("0001247C5E46F6E6"));
        assert_eq!(first("04C8023132FA080001247C5E46F6E6").ucid().as_deref(), Some("0001247C5E46F6E6"));
        assert_eq!(first("04FA0800;encoding=hex").ucid(), None);
    }

    #[test]
    fn hex_is_decoded_only_to_printable_text() {
        assert_eq!(first("0441424344;encoding=hex").decoded(), "ABCD");
        assert_eq!(first("41424344;pd=04;encoding=HEX;purpose=isdn-uui").decoded(), "ABCD");
        assert_eq!(first("0400FF;encoding=hex").decoded(), "0400FF");
        assert_eq!(first("041;encoding=hex").decoded(), "041");
        assert_eq!(first("\"free; text\";encoding=none").decoded(), "free; text");
        assert_eq!(first("4142;purpose=other").decoded(), "4142");
    }

    #[test]
    fn a_bad_one_counts_as_absent() {
        let message = invite_with("User-to-User: \"open\r\nUser-to-User: 41;;\r\nUser-to-User: 42, 43\r\n");
        let data: Vec<_> = user_to_user(&message).into_iter().map(|uui| uui.data).collect();
        assert_eq!(data, ["42", "43"]);
    }
}
