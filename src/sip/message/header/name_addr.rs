//! From, To, Contact, Record-Route and their like: an address with a name before it and parameters
//! behind it (RFC 3261 §20.10).

use super::IllFormed;
use crate::sip::message::lex;
use crate::sip::message::uri::Uri;

/// Parameters in one header field.
pub(crate) const MAX_PARAMS: usize = 64;

/// A parameter of a header field: its name as it came, its value without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// As it came.
    pub name: String,
    /// Absent when there is no `=`.
    pub value: Option<String>,
}

/// An address in a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name, without quotes and backslashes.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// The tag; an empty one is none.
    pub tag: Option<String>,
    /// All parameters of the header field, the tag's included.
    pub params: Vec<Param>,
}

impl NameAddr {
    /// Reads one entry, unfolded. Without `<>` parameters belong to the header field.
    ///
    /// # Errors
    /// No URI, more than one value, an open quote or bracket, an empty parameter, two tags, more than 64 parameters.
    pub fn parse(entry: &[u8]) -> Result<Self, IllFormed> {
        let entry = lex::trim(entry);
        let (display, rest) = match lex::quoted(entry) {
            Some((inside, rest)) => (Some(lex::unescape(inside)), lex::trim(rest)),
            None if entry.starts_with(b"\"") => return Err(IllFormed),
            None => plain_display(entry)?,
        };
        let (uri, rest) = match rest.strip_prefix(b"<") {
            Some(rest) => split_at(rest, b">").ok_or(IllFormed)?,
            None if display.is_some() => return Err(IllFormed),
            None => bare_uri(rest)?,
        };
        let params = read_params(rest)?;
        let mut tags = params.iter().filter(|param| param.name.eq_ignore_ascii_case("tag"));
        let tag = tags.next().and_then(|param| param.value.clone()).filter(|tag| !tag.is_empty());
        if tags.next().is_some() {
            return Err(IllFormed);
        }
        Ok(Self { display, uri: Uri::parse(lex::trim(uri))?, tag, params })
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The value of a header parameter, its name in any case; one without value is empty.
    pub fn param(&self, name: &str) -> Option<&str> {
        let param = self.params.iter().find(|param| param.name.eq_ignore_ascii_case(name))?;
        Some(param.value.as_deref().unwrap_or_default())
    }

    /// Stands for a field that is not there.
    pub(crate) fn absent() -> Self {
        Self { display: None, uri: Uri::absent(), tag: None, params: Vec::new() }
    }
}

/// The words before `<`. A comma among them would make two values of one (RFC 4475 §3.1.2.15).
fn plain_display(entry: &[u8]) -> Result<(Option<String>, &[u8]), IllFormed> {
    let Some(at) = memchr::memchr(b'<', entry) else { return Ok((None, entry)) };
    let (words, rest) = entry.split_at(at);
    // A `;` before `<` makes what follows a parameter of an addr-spec: `sip:a@b;x=<y>`.
    if words.contains(&b';') && words.contains(&b':') {
        return Ok((None, entry));
    }
    let words = lex::trim(words);
    if words.iter().any(|octet| matches!(octet, b',' | b'"')) {
        return Err(IllFormed);
    }
    let display = (!words.is_empty()).then(|| String::from_utf8_lossy(words).into_owned());
    Ok((display, rest))
}

/// An addr-spec ends at a blank or `;`. It may have no `?` and no `,` (§20.10).
fn bare_uri(rest: &[u8]) -> Result<(&[u8], &[u8]), IllFormed> {
    let end = rest.iter().position(|&octet| octet == b';' || lex::is_blank(octet)).unwrap_or(rest.len());
    let (uri, rest) = rest.split_at(end);
    if uri.iter().any(|octet| matches!(octet, b',' | b'?')) { Err(IllFormed) } else { Ok((uri, rest)) }
}

fn split_at<'a>(octets: &'a [u8], end: &[u8; 1]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memchr(end[0], octets)?;
    Some((octets.get(..at)?, octets.get(at + 1..)?))
}

/// `;name=value;name="quoted"`, blanks anywhere between.
pub(crate) fn read_params(rest: &[u8]) -> Result<Vec<Param>, IllFormed> {
    let rest = lex::trim(rest);
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let rest = rest.strip_prefix(b";").ok_or(IllFormed)?;
    let mut params = Vec::new();
    for piece in lex::split(rest, b';') {
        if params.len() == MAX_PARAMS {
            return Err(IllFormed);
        }
        params.push(read_param(lex::trim(piece))?);
    }
    Ok(params)
}

fn read_param(piece: &[u8]) -> Result<Param, IllFormed> {
    let (name, value) = match memchr::memchr(b'=', piece) {
        Some(at) => (lex::trim(&piece[..at]), Some(lex::trim(&piece[at + 1..]))),
        None => (piece, None),
    };
    // Outside quotes a bracket or a quote would hide what is written behind it, a comma begins a second value.
    let splits = |octet: &u8| matches!(octet, b'"' | b',' | b'<' | b'>');
    if name.is_empty() || name.iter().any(|octet| lex::is_blank(*octet) || splits(octet)) {
        return Err(IllFormed);
    }
    let value = match value {
        None => None,
        Some(value) if value.starts_with(b"\"") => {
            let (inside, after) = lex::quoted(value).ok_or(IllFormed)?;
            if !lex::trim(after).is_empty() {
                return Err(IllFormed);
            }
            Some(lex::unescape(inside))
        }
        Some(value) if value.iter().any(splits) => return Err(IllFormed),
        Some(value) => Some(String::from_utf8_lossy(value).into_owned()),
    };
    Ok(Param { name: String::from_utf8_lossy(name).into_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> NameAddr {
        NameAddr::parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn a_display_name_may_hold_separators_in_quotes() {
        let who = read(r#""Doe, \"J\" <x>; y" <sip:a@b;lr> ;tag=1; x = "q;,""#);
        assert_eq!(who.display.as_deref(), Some("Doe, \"J\" <x>; y"));
        assert_eq!((who.uri.as_str(), who.tag(), who.param("X")), ("sip:a@b;lr", Some("1"), Some("q;,")));
        assert_eq!(read("caller<sip:c@h>").display.as_deref(), Some("caller"));
        assert_eq!(read("A. Bell <sip:c@h>").display.as_deref(), Some("A. Bell"));
        assert_eq!(
            NameAddr::parse(b"\"B\xF6se\" <sip:c@h>").unwrap().display.as_deref(),
            Some("B\u{FFFD}se")
        );
    }

    #[test]
    fn without_brackets_parameters_are_the_headers() {
        let who = read("sip:+16505552222@ss1.example.net;user=phone;tag=a");
        assert_eq!(
            (who.uri.as_str(), who.tag(), who.param("user")),
            ("sip:+16505552222@ss1.example.net", Some("a"), Some("phone"))
        );
        assert_eq!(read("sip:a@b ;   tag    = 19").tag(), Some("19"));
        assert_eq!(read("tel:+4912;phone-context=x").uri.user(), Some("+4912"));
    }

    #[test]
    fn what_could_be_read_two_ways_is_not_read() {
        for bad in [
            "",
            "alan@h",
            "\"Mr <sip:a@b>",
            "Bell, A <sip:a@b>",
            "<sip:a@b",
            "<sip:a@b>;;",
            "<sip:a@b>;",
            "<sip:a@b>, <sip:c@d>",
            "<sip:a@b>;tag=1;tag=2",
            "<sip:a@b>;tag=\"x",
            "sip:a@b?Route=x",
            "\"x\" sip:a@b",
            "<sip:a@b>;x=1,2",
            "<sip:a@b>;x=<1",
            "<sip:a@b>;x=1\"",
            "<sip:a b@c>",
            "*",
        ] {
            assert!(NameAddr::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let many = |n: usize| format!("<sip:a@b>{}", ";x".repeat(n));
        assert!(
            NameAddr::parse(many(64).as_bytes()).is_ok() && NameAddr::parse(many(65).as_bytes()).is_err()
        );
    }
}
