//! What the peer wrote, read leniently (sip-trunk.md sections 3 and 10).
//!
//! Of a description only v=, c=, m= and a= lines matter to us. They are picked out of the text first, with
//! the limits, stray blanks and line ends seen to, so that a broken b= or t= line never costs a call; what is
//! left goes through `sdp-types`.

use std::net::IpAddr;

use sdp_types::{Attribute, Connection, Media, ParserError, Session};

use super::codec::{Coding, Events, numbered};
use super::{Direction, Refused, address};

/// Octets of a description.
pub const MAX_TEXT: usize = 16 * 1024;
/// m= lines.
pub const MAX_LINES: usize = 16;
/// Payload types a m= line.
pub const MAX_FORMATS: usize = 64;
/// a= lines in all.
pub const MAX_ATTRIBUTES: usize = 512;

/// A description of the peer.
#[derive(Debug)]
pub struct Remote(Session);

impl Remote {
    /// Reads a description.
    ///
    /// # Errors
    /// `TooBig`, `Limit`, or `Malformed`: no v=0, an m= line that is none, or one in use without any c=.
    pub fn read(text: &[u8]) -> Result<Self, Refused> {
        if text.len() > MAX_TEXT {
            return Err(Refused::TooBig);
        }
        let session = Session::parse(&Picked::of(text)?.text).map_err(malformed)?;
        let described = |media: &Media| media.port == 0 || !media.connections.is_empty();
        if session.connection.is_none() && !session.medias.iter().all(described) {
            return Err(Refused::Malformed("m= line without c="));
        }
        Ok(Self(session))
    }

    /// The m= lines in their order.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.0.medias.iter().map(|media| Line { media, session: &self.0 })
    }
}

/// One m= line and what holds for it.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The line with its own c= and a= lines.
    pub media: &'a Media,
    session: &'a Session,
}

impl<'a> Line<'a> {
    /// An audio line that is in use: port 0 means it is not.
    pub fn is_live_audio(&self) -> bool {
        self.media.media.eq_ignore_ascii_case("audio") && self.media.port != 0
    }

    /// Where media is to go, without its port.
    ///
    /// # Errors
    /// `Address` or `Multicast`.
    pub fn address(&self) -> Result<IpAddr, Refused> {
        let connection: Option<&Connection> =
            self.media.connections.first().or(self.session.connection.as_ref());
        connection.ok_or(Refused::Address).and_then(address::of_connection)
    }

    /// Which way the peer says audio flows, as the peer sees it. An address of `0.0.0.0` or `::` cannot be
    /// sent to, so the peer does not listen.
    pub fn direction(&self) -> Direction {
        let said = |attributes: &[Attribute]| {
            attributes.iter().find_map(|a| Direction::from_name(a.attribute.trim()))
        };
        let direction =
            said(&self.media.attributes).or_else(|| said(&self.session.attributes)).unwrap_or_default();
        match self.address() {
            Ok(ip) if ip.is_unspecified() => direction.without_address(),
            _ => direction,
        }
    }

    /// The value of an attribute of the line, else of the session; an attribute without value has "".
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        self.own(name).or_else(|| values(&self.session.attributes, name).next())
    }

    /// The values of an attribute of the line; of the session when the line has none.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let attributes = match self.own(name) {
            Some(_) => &self.media.attributes,
            None => &self.session.attributes,
        };
        values(attributes, name)
    }

    /// The value of an attribute of the line itself.
    pub fn own(&self, name: &str) -> Option<&'a str> {
        values(&self.media.attributes, name).next()
    }

    /// Payload types in order of preference, with what they stand for. What is no number below 128 is left out.
    pub fn formats(&self) -> impl Iterator<Item = (u8, Coding)> + use<'a> {
        let attributes = &self.media.attributes;
        let numbers = self.media.fmt.split_ascii_whitespace().filter_map(|fmt| fmt.parse().ok());
        numbers.filter(|&number| number < 128).map(move |number| {
            let mapped = values(attributes, "rtpmap").filter_map(numbered).find(|&(of, _)| of == number);
            (number, Coding::of(number, mapped.map(|(_, name)| name)))
        })
    }

    /// The telephone-event at 8000 Hz and which of its events are ours.
    pub fn telephone_event(&self) -> Option<(u8, Events)> {
        self.formats().filter(|&(_, coding)| coding == Coding::Events).find_map(|(number, _)| {
            let fmtp =
                values(&self.media.attributes, "fmtp").filter_map(numbered).find(|&(of, _)| of == number);
            Some((number, Events::offered(fmtp.map(|(_, list)| list))?))
        })
    }
}

fn values<'a>(attributes: &'a [Attribute], name: &str) -> impl Iterator<Item = &'a str> {
    attributes
        .iter()
        .filter(move |attribute| attribute.attribute.trim().eq_ignore_ascii_case(name))
        .map(|attribute| attribute.value.as_deref().unwrap_or_default().trim())
}

/// The lines that matter, clean enough for a strict reader.
struct Picked {
    text: Vec<u8>,
    lines: usize,
    attributes: usize,
    connected: bool,
}

impl Picked {
    fn of(text: &[u8]) -> Result<Self, Refused> {
        let lines = || text.split(|&octet| octet == b'\n').filter_map(keyed);
        let version = lines().find_map(|(key, value)| match key {
            b'v' => Some(Some(value)),
            b'm' => Some(None),
            _ => None,
        });
        if version.flatten() != Some(b"0") {
            return Err(Refused::Malformed("no v=0 line"));
        }
        let mut picked = Self { text: b"v=0\n".to_vec(), lines: 0, attributes: 0, connected: false };
        for (key, value) in lines() {
            picked.take(key, value)?;
        }
        Ok(picked)
    }

    fn take(&mut self, key: u8, value: &[u8]) -> Result<(), Refused> {
        match key {
            b'm' => self.media(value),
            b'a' => {
                self.attributes += 1;
                if self.attributes > MAX_ATTRIBUTES {
                    return Err(Refused::Limit("attributes"));
                }
                self.line(b'a', [String::from_utf8_lossy(value).as_bytes()]);
                Ok(())
            }
            // Of several c= lines of one section the first counts.
            b'c' if !self.connected => {
                self.connected = true;
                self.line(b'c', words(value).take(3));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Its words will stand in our answer when the line is refused, so none may hold anything but print.
    fn media(&mut self, value: &[u8]) -> Result<(), Refused> {
        self.lines += 1;
        self.connected = false;
        if self.lines > MAX_LINES {
            return Err(Refused::Limit("m= lines"));
        }
        let count = words(value).count();
        if count > MAX_FORMATS + 3 {
            return Err(Refused::Limit("payload types"));
        }
        if count < 3 || !words(value).all(|word| word.iter().all(u8::is_ascii_graphic)) {
            return Err(Refused::Malformed("m= line"));
        }
        // A line that is off may come without any format, which the grammar asks for.
        let filler: &[u8] = b"0";
        self.line(b'm', words(value).chain((count == 3).then_some(filler)));
        Ok(())
    }

    fn line<'a>(&mut self, key: u8, words: impl IntoIterator<Item = &'a [u8]>) {
        self.text.extend([key, b'=']);
        for (at, word) in words.into_iter().enumerate() {
            if at > 0 {
                self.text.push(b' ');
            }
            self.text.extend_from_slice(word);
        }
        self.text.push(b'\n');
    }
}

/// Key and value of a line, without the blanks, carriage returns and NULs that stray round it. What is no
/// line of a description is passed over.
fn keyed(line: &[u8]) -> Option<(u8, &[u8])> {
    match stripped(line) {
        [key, b'=', value @ ..] => Some((*key, stripped(value))),
        _ => None,
    }
}

fn stripped(mut text: &[u8]) -> &[u8] {
    let stray = |octet: &u8| octet.is_ascii_whitespace() || *octet == 0;
    while let [first, rest @ ..] = text
        && stray(first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && stray(last)
    {
        text = rest;
    }
    text
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

fn malformed(error: ParserError) -> Refused {
    Refused::Malformed(match error {
        ParserError::InvalidLineFormat(_, what)
        | ParserError::InvalidFieldEncoding(_, what)
        | ParserError::InvalidFieldFormat(_, what)
        | ParserError::MissingField(_, what)
        | ParserError::FieldTrailingData(_, what) => what,
        _ => "order of lines",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &[u8]) -> Result<Vec<u16>, Refused> {
        Ok(Remote::read(text)?.lines().map(|line| line.media.port).collect())
    }

    #[test]
    fn order_blanks_line_ends_and_broken_lines_that_do_not_matter_are_taken() {
        for text in [
            &b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0"[..],
            b"c=IN IP4 192.0.2.1\no=\nv=0\nm=audio 4000 RTP/AVP 0\n",
            b"\r\n v=0 \r\nt=never\r\nb=AS\r\ns=\r\nc=IN  IP4  192.0.2.1 \r\nm=audio  4000\tRTP/AVP 0 \r\n\r\n",
            b"v=0\nhello\nx=y\nr=1\nz=9\nc=IN IP4 192.0.2.1\nc=IN IP4 192.0.2.2\nm=audio 4000 RTP/AVP 0\na=note:\xff\n\0",
            b"v=0\nm=audio 4000/2 RTP/AVP 0\ni=one\ni=two\nc=IN IP4 192.0.2.1\nv=0\na=\na=:\na=rtpmap\na=rtpmap:\n",
        ] {
            assert_eq!(ports(text), Ok(vec![4000]), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_cannot_be_understood_is_malformed() {
        for text in [
            &b""[..],
            b"o=- 1 1 IN IP4 192.0.2.1\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0",
            b"v=1\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0",
            b"m=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.1\nv=0",
            b"v=0\nm=audio 4000 RTP/AVP 0",
            b"v=0\nc=IN IP4\nm=audio 4000 RTP/AVP 0",
            b"v=0\nc=IN IP4 192.0.2.1\nm=audio 65536 RTP/AVP 0",
            b"v=0\nc=IN IP4 192.0.2.1\nm=audio -1 RTP/AVP 0",
            b"v=0\nc=IN IP4 192.0.2.1\nm=audio RTP/AVP",
            b"v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\x1b[2J",
            b"v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\nm=video 4002 RTP/\xc3\xa9 31",
        ] {
            let read = ports(text);
            assert!(matches!(read, Err(Refused::Malformed(_))), "{read:?} {}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_line_that_is_off_needs_neither_address_nor_format() {
        assert_eq!(
            ports(b"v=0\nm=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.1\nm=text 0 RTP/AVP"),
            Ok(vec![4000, 0])
        );
    }

    #[test]
    fn each_limit_holds_and_one_more_is_refused() {
        let head = "v=0\nc=IN IP4 192.0.2.1\n";
        let lines = |n: usize| format!("{head}{}", "m=audio 4000 RTP/AVP 0\n".repeat(n));
        assert_eq!(ports(lines(MAX_LINES).as_bytes()).map(|p| p.len()), Ok(MAX_LINES));
        assert_eq!(ports(lines(MAX_LINES + 1).as_bytes()), Err(Refused::Limit("m= lines")));
        let formats = |n: usize| format!("{head}m=audio 4000 RTP/AVP{}", " 0".repeat(n));
        assert_eq!(ports(formats(MAX_FORMATS).as_bytes()), Ok(vec![4000]));
        assert_eq!(ports(formats(MAX_FORMATS + 1).as_bytes()), Err(Refused::Limit("payload types")));
        let attributes = |n: usize| format!("{}{}", lines(1), "a=x\n".repeat(n));
        assert_eq!(ports(attributes(MAX_ATTRIBUTES).as_bytes()), Ok(vec![4000]));
        assert_eq!(ports(attributes(MAX_ATTRIBUTES + 1).as_bytes()), Err(Refused::Limit("attributes")));
        let text = |n: usize| format!("{}i={}", lines(1), "x".repeat(n - lines(1).len() - 2));
        assert_eq!(ports(text(MAX_TEXT).as_bytes()), Ok(vec![4000]));
        assert_eq!(ports(text(MAX_TEXT + 1).as_bytes()), Err(Refused::TooBig));
    }

    #[test]
    fn format_numbers_above_127_and_words_are_left_out() {
        let remote =
            Remote::read(b"v=0\nc=IN IP4 192.0.2.1\nm=audio 4 RTP/AVP t38 8 128 0 4294967296").unwrap();
        let numbers: Vec<u8> = remote.lines().next().unwrap().formats().map(|(number, _)| number).collect();
        assert_eq!(numbers, [8, 0]);
    }
}
