//! Messages out of a byte stream (RFC 3261 §18.3, RFC 5626 §4.4.1), however it is split.
//!
//! Each octet is looked at once for the end of the head, whatever the number of pushes: a peer that
//! sends one octet at a time costs no more than one that sends all at once.

use super::lex;
use super::lines::{Lines, is_sip};
use super::malformed::{Cause, Malformed};
use super::parse::{MAX_HEAD, MAX_MESSAGE};
use super::{Framing, Message, long_name};

/// What stands at the beginning of a buffer.
#[derive(Debug)]
pub enum Frame {
    /// Nothing whole yet.
    Incomplete,
    /// Line ends before a message: to be dropped.
    KeepAlive {
        /// How many octets.
        octets: usize,
        /// A double CRLF alone: answered with one CRLF.
        ping: bool,
    },
    /// A message of so many octets.
    Message(usize),
    /// The end of the message cannot be known: answer if possible, then close.
    Broken(Malformed),
}

/// Looks at the beginning of a buffer. For a stream use [`Framer`], which does not look twice.
pub fn frame(buffer: &[u8]) -> Frame {
    let blank = buffer.iter().take_while(|&&octet| matches!(octet, b'\r' | b'\n')).count();
    if blank > 0 {
        let ping = blank == buffer.len() && memchr::memmem::find(buffer, b"\r\n\r\n").is_some();
        return Frame::KeepAlive { octets: blank, ping };
    }
    let mut scan = Scan::default();
    match scan.look(buffer) {
        Look::More => Frame::Incomplete,
        Look::Whole(octets) => Frame::Message(octets),
        Look::Broken(malformed) => Frame::Broken(malformed),
    }
}

/// What came out of a stream.
#[derive(Debug)]
pub enum Framed {
    /// A double CRLF alone: answered with one CRLF where the peer is a trunk.
    Ping,
    /// A message.
    Message(Box<Message>),
    /// A message that is refused; the next one can still be found.
    Refused(Malformed),
    /// The end of the message is in doubt: answer if possible, then close. Nothing comes after it.
    Broken(Malformed),
}

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// What of the buffer was given out.
    start: usize,
    scan: Scan,
    /// Octets of line ends since the last message.
    blanks: usize,
    broken: bool,
}

impl Framer {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was read. Call [`Framer::next`] until it gives nothing before pushing again: the
    /// buffer then never holds more than one unfinished message of 65,535 octets.
    pub fn push(&mut self, octets: &[u8]) {
        if !self.broken {
            self.buffer.extend_from_slice(octets);
        }
    }

    /// A message was begun and is not whole: its deadline runs (reliability R-28).
    pub fn is_unfinished(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// The next thing that is whole.
    #[allow(clippy::should_implement_trait)] // it gives more after a push
    pub fn next(&mut self) -> Option<Framed> {
        if self.broken {
            return None;
        }
        self.skip_blanks();
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        if rest.is_empty() {
            self.compact();
            let ping = self.blanks >= 4;
            self.blanks -= if ping { self.blanks } else { 0 };
            return ping.then_some(Framed::Ping);
        }
        self.blanks = 0;
        match self.scan.look(rest) {
            Look::More => {
                self.compact();
                None
            }
            Look::Whole(octets) => {
                let message = Message::parse(rest.get(..octets).unwrap_or_default(), Framing::Stream);
                self.start += octets;
                self.scan = Scan::default();
                Some(match message {
                    Ok(message) => Framed::Message(Box::new(message)),
                    Err(malformed) if malformed.cause.loses_framing() => self.break_off(malformed),
                    Err(malformed) => Framed::Refused(malformed),
                })
            }
            Look::Broken(malformed) => Some(self.break_off(malformed)),
        }
    }

    fn skip_blanks(&mut self) {
        if self.scan.begun() {
            return;
        }
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let blank = rest.iter().take_while(|&&octet| matches!(octet, b'\r' | b'\n')).count();
        self.start += blank;
        self.blanks = self.blanks.saturating_add(blank);
    }

    fn break_off(&mut self, malformed: Malformed) -> Framed {
        self.broken = true;
        self.buffer = Vec::new();
        self.start = 0;
        Framed::Broken(malformed)
    }

    fn compact(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
        // A connection that once brought a large message does not keep its room for ever.
        if self.buffer.is_empty() && self.buffer.capacity() > 16 * 1024 {
            self.buffer = Vec::new();
        }
    }
}

/// How far one message has been looked at.
#[derive(Debug, Default)]
struct Scan {
    /// No end of the head before this place.
    looked: usize,
    /// Length of the message, once its head is whole.
    whole: Option<usize>,
}

enum Look {
    More,
    Whole(usize),
    Broken(Malformed),
}

impl Scan {
    fn begun(&self) -> bool {
        self.looked > 0 || self.whole.is_some()
    }

    fn look(&mut self, octets: &[u8]) -> Look {
        if !octets.first().is_none_or(|&first| is_sip(first)) {
            return Look::Broken(Malformed { cause: Cause::NotSip, answerable: None });
        }
        let whole = match self.whole {
            Some(whole) => whole,
            None => match self.head_end(octets) {
                None if self.looked > MAX_HEAD => return broken(octets, Cause::HeadTooLarge),
                None => return Look::More,
                Some(end) => {
                    let head = octets.get(..end).unwrap_or_default();
                    match content_length(head).map(|length| end.saturating_add(length)) {
                        Some(whole) if whole <= MAX_MESSAGE && end <= MAX_HEAD => *self.whole.insert(whole),
                        _ => return broken(head, Cause::ContentLength),
                    }
                }
            },
        };
        if octets.len() < whole { Look::More } else { Look::Whole(whole) }
    }

    /// The end of the head is the first empty line; both kinds of line end count, so that a message
    /// that mixes them is cut where any reader would cut it (and then refused).
    fn head_end(&mut self, octets: &[u8]) -> Option<usize> {
        while let Some(lf) = octets.get(self.looked..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let after = self.looked + lf + 1;
            match octets.get(after..).unwrap_or_default() {
                [b'\n', ..] => return Some(after + 1),
                [b'\r', b'\n', ..] => return Some(after + 2),
                [] | [b'\r'] => {
                    self.looked = after - 1;
                    return None;
                }
                _ => self.looked = after,
            }
        }
        self.looked = octets.len();
        None
    }
}

/// What the whole parser says of a head whose message has no end; `otherwise` where it finds no fault.
fn broken(head: &[u8], otherwise: Cause) -> Look {
    Look::Broken(match Message::parse(head, Framing::Stream) {
        Err(malformed) => malformed,
        Ok(message) => {
            Malformed { cause: otherwise, answerable: message.is_request().then(|| Box::new(message)) }
        }
    })
}

/// The one Content-Length of a head with line ends of one kind.
fn content_length(head: &[u8]) -> Option<usize> {
    let mut lines = Lines::new(head);
    let mut lengths = lines.by_ref().skip(1).filter_map(|line| {
        let line = line.of(head);
        let (name, value) = line.split_at(memchr::memchr(b':', line)?);
        let name = lex::trim(name);
        let name = long_name(name).map_or(name, str::as_bytes);
        name.eq_ignore_ascii_case(b"Content-Length").then(|| value.get(1..).unwrap_or_default())
    });
    let (first, second) = (lengths.next(), lengths.count());
    if lines.cr || (lines.crlf && lines.lf) || second > 0 {
        return None;
    }
    lex::number(lex::trim(first?), u32::MAX).ok().map(|length| length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n";

    fn words(framer: &mut Framer) -> Vec<String> {
        let word = |framed| match framed {
            Framed::Ping => "ping".to_owned(),
            Framed::Message(message) => format!("message {}", message.body().len()),
            Framed::Refused(malformed) => format!("refused {}", malformed.cause.as_str()),
            Framed::Broken(malformed) => {
                format!("broken {} {}", malformed.cause.as_str(), malformed.answerable.is_some())
            }
        };
        std::iter::from_fn(|| framer.next()).map(word).collect()
    }

    fn stream(text: &str) -> Vec<String> {
        let mut framer = Framer::new();
        framer.push(text.as_bytes());
        words(&mut framer)
    }

    #[test]
    fn a_double_crlf_alone_is_a_ping() {
        let mut framer = Framer::new();
        for (piece, seen) in [("\r\n\r", &[][..]), ("\n", &["ping"]), ("\r\n", &[]), ("\r\n", &["ping"])] {
            framer.push(piece.as_bytes());
            assert_eq!(words(&mut framer), seen);
        }
        assert!(!framer.is_unfinished());
        assert_eq!(stream(&format!("\r\n\r\n{OPTIONS}l: 0\r\n\r\n")), ["message 0"]);
    }

    #[test]
    fn many_messages_in_one_segment_come_one_by_one() {
        let two = format!("{OPTIONS}Content-Length:\r\n  3\r\n\r\nabc{OPTIONS}l:0\r\n\r\n\r\n{OPTIONS}");
        assert_eq!(stream(&two), ["message 3", "message 0"]);
        assert_eq!(stream(&two.replace("\r\n", "\n")), ["message 3", "message 0"]);
    }

    #[test]
    fn a_length_in_doubt_ends_the_stream() {
        for (lines, seen) in [
            ("", "broken no_content_length true"),
            ("l: -1\r\n", "broken content_length true"),
            ("l: 1\r\nContent-Length: 1\r\n", "broken repeated_header true"),
            ("l: 1x\r\n", "broken content_length true"),
            ("l: 70000\r\n", "broken message_too_large true"),
            ("l: 65000\r\n", ""),
            ("Subject: x\nl: 0\r\n", "broken line_ends true"),
        ] {
            let text = format!("{OPTIONS}{lines}\r\n");
            assert_eq!(stream(&text).concat(), seen, "{lines}");
        }
        assert_eq!(stream("\u{16}\u{3}\u{1}"), ["broken not_sip false"]);
        assert_eq!(stream("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), ["broken start_line false"]);
    }

    #[test]
    fn a_head_without_end_is_not_waited_for() {
        let endless = format!("{OPTIONS}{}", "X: y\r\n".repeat(6000));
        assert_eq!(stream(&endless), ["broken too_many_fields true"]);
        let wide = format!("{OPTIONS}{}", "X: ".to_owned() + &"y".repeat(40_000));
        assert_eq!(stream(&wide).len(), 1);
        let mut framer = Framer::new();
        framer.push(wide.as_bytes());
        assert!(matches!(framer.next(), Some(Framed::Broken(Malformed { answerable: Some(_), .. }))));
        framer.push(OPTIONS.as_bytes());
        assert!(framer.next().is_none() && !framer.is_unfinished());
    }

    #[test]
    fn a_message_refused_for_itself_leaves_the_stream_up() {
        let text = format!("{}l: 0\r\n\r\n{OPTIONS}l: 0\r\n\r\n", OPTIONS.replace("1 OPTIONS", "1 INVITE"));
        assert_eq!(stream(&text), ["refused cseq_method", "message 0"]);
        let large = format!("{OPTIONS}l: 33000\r\n\r\n{}{OPTIONS}l: 0\r\n\r\n", "x".repeat(33_000));
        assert_eq!(stream(&large), ["refused body_too_large", "message 0"]);
    }

    #[test]
    fn a_buffer_is_looked_at_without_a_framer_too() {
        let text = format!("{OPTIONS}l: 2\r\n\r\nabc");
        assert!(matches!(frame(text.as_bytes()), Frame::Message(n) if n == text.len() - 1));
        assert!(matches!(frame(b"\r\n\r\n"), Frame::KeepAlive { octets: 4, ping: true }));
        assert!(matches!(frame(b"\r\nO"), Frame::KeepAlive { octets: 2, ping: false }));
        assert!(matches!(frame(b"OPTIONS"), Frame::Incomplete));
        assert!(matches!(frame(b"\0"), Frame::Broken(_)));
    }
}
