//! The lines of a head, for the parser and the framer alike: both must cut a message at the same place.

use super::lex::Span;

/// Could a SIP message begin with this octet? STUN, DTLS, RTP and TLS do not look so.
pub(crate) const fn is_sip(first: u8) -> bool {
    first >= b' ' && first < 0x80
}

/// The lines of a head up to its empty line, folds joined.
pub(crate) struct Lines<'a> {
    octets: &'a [u8],
    at: usize,
    /// Ends by CRLF and by bare LF, and a CR that ends nothing.
    pub(crate) crlf: bool,
    pub(crate) lf: bool,
    pub(crate) cr: bool,
    /// Where the body begins, once the empty line was found.
    pub(crate) body_at: Option<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0, crlf: false, lf: false, cr: false, body_at: None }
    }

    /// One physical line without its end, and where the next begins.
    fn physical(&mut self, at: usize) -> Option<(Span, usize)> {
        let rest = self.octets.get(at..).filter(|rest| !rest.is_empty())?;
        let (end, next) = match memchr::memchr(b'\n', rest) {
            Some(lf) => (at + lf, at + lf + 1),
            None => (self.octets.len(), self.octets.len()),
        };
        let ended = next > end;
        let cr = ended && end > at && self.octets.get(end - 1) == Some(&b'\r');
        let end = if cr { end - 1 } else { end };
        self.crlf |= cr;
        self.lf |= ended && !cr;
        let line = self.octets.get(at..end).unwrap_or_default();
        self.cr |= memchr::memchr(b'\r', line).is_some_and(|place| ended || place + 1 < line.len());
        Some((Span::new(at, end), next))
    }

    fn folds(&self, at: usize) -> bool {
        matches!(self.octets.get(at), Some(b' ' | b'\t'))
    }
}

impl Iterator for Lines<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        if self.body_at.is_some() {
            return None;
        }
        let start = self.at;
        let (mut line, mut next) = self.physical(start)?;
        if line.of(self.octets).is_empty() {
            self.body_at = Some(next);
            return None;
        }
        while self.folds(next) {
            let (more, after) = self.physical(next)?;
            line = Span::new(start, next + more.of(self.octets).len());
            next = after;
        }
        self.at = next;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(octets: &[u8]) -> (Vec<&[u8]>, Option<usize>) {
        let mut lines = Lines::new(octets);
        let read = lines.by_ref().map(|line| line.of(octets)).collect();
        (read, lines.body_at)
    }

    #[test]
    fn folds_belong_to_their_line() {
        assert_eq!(
            lines(b"a\r\nb\r\n c\r\n\td\r\ne\r\n\r\nbody"),
            (vec![&b"a"[..], b"b\r\n c\r\n\td", b"e"], Some(19))
        );
    }

    #[test]
    fn a_head_ends_at_the_first_empty_line_of_either_kind() {
        assert_eq!(lines(b"a\n\nb"), (vec![&b"a"[..]], Some(3)));
        assert_eq!(lines(b"a\r\n\nb"), (vec![&b"a"[..]], Some(4)));
        assert_eq!(lines(b"a\r\nb"), (vec![&b"a"[..], b"b"], None));
        assert_eq!(lines(b""), (vec![], None));
    }
}
