//! The few things every header field is read with: tokens, blanks, folds, quotes, lists, numbers.
//!
//! All of it works on octets and in one pass; nothing here can fail on what it is given.

use std::borrow::Cow;

/// Where something stands in the octets of a message (a message is at most 65,535 octets).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// `start..end`; both fit, for a message is at most 65,535 octets.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: u32::try_from(start).unwrap_or(u32::MAX), end: u32::try_from(end).unwrap_or(u32::MAX) }
    }

    /// Where it begins.
    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    /// The octets that stand there.
    pub(crate) fn of(self, octets: &[u8]) -> &[u8] {
        octets.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// An octet of a token (RFC 3261 §25.1).
pub(crate) const fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(octet, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

/// A token: at least one octet of those.
pub(crate) fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|&octet| is_token_octet(octet))
}

/// A blank, or an octet of a line end within a folded line.
pub(crate) const fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// Without the blanks at both ends, folds included.
pub(crate) fn trim(octets: &[u8]) -> &[u8] {
    let start = octets.iter().position(|&octet| !is_blank(octet)).unwrap_or(octets.len());
    let end = octets.iter().rposition(|&octet| !is_blank(octet)).map_or(start, |last| last + 1);
    octets.get(start..end).unwrap_or_default()
}

/// Each fold (RFC 3261 §7.3.1), with the blanks around it, turned into one space.
pub(crate) fn unfold(octets: &[u8]) -> Cow<'_, [u8]> {
    if !octets.iter().any(|&octet| matches!(octet, b'\r' | b'\n')) {
        return Cow::Borrowed(octets);
    }
    let mut flat: Vec<u8> = Vec::with_capacity(octets.len());
    for line in octets.split(|&octet| matches!(octet, b'\r' | b'\n')) {
        let line = trim(line);
        if line.is_empty() {
            continue;
        }
        if !flat.is_empty() {
            flat.push(b' ');
        }
        flat.extend_from_slice(line);
    }
    Cow::Owned(flat)
}

/// As text; octets that are no UTF-8 become U+FFFD.
pub(crate) fn text(octets: Cow<'_, [u8]>) -> Cow<'_, str> {
    match octets {
        Cow::Borrowed(octets) => String::from_utf8_lossy(octets),
        Cow::Owned(octets) => Cow::Owned(
            String::from_utf8(octets).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
        ),
    }
}

/// The pieces between separators that stand outside quotes and angle brackets, untrimmed.
pub(crate) fn split(octets: &[u8], separator: u8) -> Split<'_> {
    Split { rest: Some(octets), separator }
}

/// See [`split`].
#[derive(Clone, Debug)]
pub(crate) struct Split<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let end = outside(rest, self.separator);
        if let Some(end) = end {
            self.rest = rest.get(end + 1..);
        }
        rest.get(..end.unwrap_or(rest.len()))
    }
}

/// The first place of an octet outside quotes and angle brackets. Inside brackets a quote is no
/// quote: an URI has none.
fn outside(octets: &[u8], wanted: u8) -> Option<usize> {
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    for (at, &octet) in octets.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !bracketed => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            _ if octet == wanted && !quoted && !bracketed => return Some(at),
            _ => {}
        }
    }
    None
}

/// The inside of a quoted string that begins here, and what follows its closing quote.
pub(crate) fn quoted(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = octets.strip_prefix(b"\"")?;
    let mut escaped = false;
    let end = inside.iter().position(|&octet| {
        let closes = octet == b'"' && !escaped;
        escaped = octet == b'\\' && !escaped;
        closes
    })?;
    Some((inside.get(..end)?, inside.get(end + 1..)?))
}

/// The inside of a quoted string without its backslashes.
pub(crate) fn unescape(inside: &[u8]) -> String {
    let mut plain = Vec::with_capacity(inside.len());
    let mut octets = inside.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b'\\' => plain.extend(octets.next()),
            _ => plain.push(octet),
        }
    }
    text(Cow::Owned(plain)).into_owned()
}

/// Why something is not a number of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotANumber {
    /// Something else than digits, or nothing.
    Letters,
    /// More than allowed (reliability R-14).
    TooLarge,
}

/// A number of digits only, at most `max`; leading zeros are nothing.
pub(crate) fn number(octets: &[u8], max: u32) -> Result<u32, NotANumber> {
    if octets.is_empty() || !octets.iter().all(u8::is_ascii_digit) {
        return Err(NotANumber::Letters);
    }
    octets
        .iter()
        .try_fold(0u32, |sum, &digit| sum.checked_mul(10)?.checked_add(u32::from(digit - b'0')))
        .filter(|&sum| sum <= max)
        .ok_or(NotANumber::TooLarge)
}

/// `%41` as `A`; an escape that is none stays as it is.
pub(crate) fn percent_decode(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_split_outside_quotes_and_brackets() {
        let list = br#""a, \"b" <sip:x,y@h>, c ,"#;
        let pieces: Vec<_> = split(list, b',').map(trim).collect();
        assert_eq!(pieces, [&br#""a, \"b" <sip:x,y@h>"#[..], b"c", b""]);
    }

    #[test]
    fn a_fold_is_one_space() {
        assert_eq!(unfold(b"a \r\n\t b\r\n  c"), &b"a b c"[..]);
        assert!(matches!(unfold(b"a  b"), Cow::Borrowed(b"a  b")));
    }

    #[test]
    fn a_quoted_string_ends_at_the_quote_that_is_not_escaped() {
        let (inside, rest) = quoted(br#""J \\\"" <x>"#).unwrap();
        assert_eq!((unescape(inside).as_str(), rest), (r#"J \""#, &b" <x>"[..]));
        assert_eq!(quoted(br#""open"#), None);
    }

    #[test]
    fn numbers_do_not_wrap() {
        assert_eq!(number(b"0009", 255), Ok(9));
        assert_eq!(number(b"00000000000000000000000004", 255), Ok(4));
        assert_eq!(number(b"4294967301", u32::MAX), Err(NotANumber::TooLarge));
        assert_eq!(number(b"256", 255), Err(NotANumber::TooLarge));
        assert_eq!(number(b"-1", 255), Err(NotANumber::Letters));
        assert_eq!(number(b"", 255), Err(NotANumber::Letters));
    }
}
