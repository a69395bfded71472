//! Frames on the wire (RFC 6455 §5), as a client has them: ours are masked and whole, the bot's are read out of
//! whatever octets came, without a copy where a message lies whole in them.
//!
//! Written here and not left to a library, which keeps a buffer for every connection that grows to its longest
//! message, allocates for each, and tells neither fragments nor that a message has begun (reliability R-62).

use arrayvec::ArrayVec;

/// Fragments a message may have.
pub const MAX_FRAGMENTS: u32 = 128;
/// Longest payload of a control frame (§5.5).
pub const MAX_CONTROL: usize = 125;
/// What is kept of a buffer between two messages that came in pieces.
const KEPT: usize = 2048;
/// Longest header of a frame of ours: no frame of ours is longer than 4 GiB, but the length may have 64 bits.
const LONGEST_HEAD: usize = 14;

/// What a frame is (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A text message.
    Text = 1,
    /// The end of the connection.
    Close = 8,
    /// Are you there?
    Ping = 9,
    /// I am.
    Pong = 10,
}

/// Puts one whole frame in place of what is in `out`.
pub fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    out.clear();
    out.reserve(LONGEST_HEAD + payload.len());
    out.push(0x80 | opcode as u8);
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        length => match u16::try_from(length) {
            Ok(length) => {
                out.push(0x80 | 126);
                out.extend(length.to_be_bytes());
            }
            Err(_) => {
                out.push(0x80 | 127);
                out.extend((length as u64).to_be_bytes());
            }
        },
    }
    out.extend(mask);
    let head = out.len();
    out.extend(payload);
    blur(out.get_mut(head..).unwrap_or_default(), mask);
}

/// §5.3.
fn blur(octets: &mut [u8], [a, b, c, d]: [u8; 4]) {
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = octets.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip([a, b, c, d, a, b, c]).for_each(|(octet, mask)| *octet ^= mask);
}

/// What the bot sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary,
    /// To be answered with the same octets.
    Ping(&'a [u8]),
    /// An answer.
    Pong,
    /// The end, with the code and the text if there are any. Nothing after it is to be read.
    Close(Option<(u16, &'a str)>),
}

/// Why the bot's octets cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Against the protocol: close 1002.
    #[error("{0}")]
    Protocol(&'static str),
    /// Longer than is borne: close 1009.
    #[error("message of {0} octets is too long")]
    TooLong(u64),
    /// In too many pieces: close 1009.
    #[error("more than {MAX_FRAGMENTS} fragments")]
    Fragments,
    /// A text that is none: close 1007.
    #[error("text is not UTF-8")]
    NotText,
}

impl Broken {
    /// The code we close with.
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::TooLong(_) | Self::Fragments => 1009,
            Self::NotText => 1007,
        }
    }
}

/// Kinds of data message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

/// What the frame that is being read carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carries {
    /// `last`: it ends its message.
    Data {
        last: bool,
    },
    Close,
    Ping,
    Pong,
}

/// The frame whose header has been read, and the octets of its payload that are still to come.
#[derive(Clone, Copy, Debug)]
struct Frame {
    carries: Carries,
    missing: u64,
}

/// Reads what a server sends.
#[derive(Debug)]
pub struct Reader {
    /// Longest message.
    most: usize,
    head: ArrayVec<u8, LONGEST_HEAD>,
    frame: Option<Frame>,
    /// The data message that has begun.
    kind: Option<Kind>,
    fragments: u32,
    /// What has come of it, where it did not come at once; of a message that was given out, until the next call.
    message: Vec<u8>,
    given: bool,
    /// What has come of a control frame.
    control: Vec<u8>,
    complete: u64,
}

impl Reader {
    /// Messages of up to `most` octets are read.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            head: ArrayVec::new(),
            frame: None,
            kind: None,
            fragments: 0,
            message: Vec::new(),
            given: false,
            control: Vec::new(),
            complete: 0,
        }
    }

    /// Data messages that are complete, and whether another has begun.
    pub fn progress(&self) -> (u64, bool) {
        (self.complete, self.kind.is_some())
    }

    /// The next thing in `octets`, which go on behind it; `None`: all of them are used up.
    ///
    /// # Errors
    /// When they cannot be read; nothing after that can be.
    pub fn next<'a, 'o: 'a>(&'a mut self, octets: &mut &'o [u8]) -> Result<Option<Item<'a>>, Broken> {
        if std::mem::take(&mut self.given) {
            self.message.clear();
            self.message.shrink_to(KEPT);
        }
        loop {
            let Some(frame) = &mut self.frame else {
                let Some((&first, rest)) = octets.split_first() else { return Ok(None) };
                *octets = rest;
                self.header(first)?;
                continue;
            };
            let here = usize::try_from(frame.missing).unwrap_or(usize::MAX).min(octets.len());
            let Some((piece, rest)) = octets.split_at_checked(here) else { return Ok(None) };
            frame.missing -= here as u64;
            let (carries, done) = (frame.carries, frame.missing == 0);
            *octets = rest;
            if done {
                self.frame = None;
            }
            match carries {
                Carries::Data { last } if done && last => return self.whole(piece).map(Some),
                Carries::Data { .. } => self.message.extend_from_slice(piece),
                // Not too long: the header was refused if it was.
                control => {
                    self.control.extend_from_slice(piece);
                    if done {
                        return self.controlled(control).map(Some);
                    }
                }
            }
            if !done {
                return Ok(None);
            }
        }
    }

    /// The last piece of a message came.
    fn whole<'a>(&'a mut self, piece: &'a [u8]) -> Result<Item<'a>, Broken> {
        self.complete += 1;
        self.fragments = 0;
        let kind = self.kind.take();
        self.given = !self.message.is_empty();
        let octets = if self.given {
            self.message.extend_from_slice(piece);
            &self.message[..]
        } else {
            piece
        };
        match kind {
            Some(Kind::Text) => std::str::from_utf8(octets).map(Item::Text).map_err(|_| Broken::NotText),
            Some(Kind::Binary) | None => Ok(Item::Binary),
        }
    }

    fn controlled(&self, carries: Carries) -> Result<Item<'_>, Broken> {
        let octets = &self.control[..];
        match (carries, octets) {
            (Carries::Ping, _) => Ok(Item::Ping(octets)),
            (Carries::Close, []) => Ok(Item::Close(None)),
            (Carries::Close, [a, b, reason @ ..]) => {
                let reason = std::str::from_utf8(reason).map_err(|_| Broken::NotText)?;
                Ok(Item::Close(Some((u16::from_be_bytes([*a, *b]), reason))))
            }
            (Carries::Close, _) => Err(Broken::Protocol("close frame with half a code")),
            (Carries::Pong | Carries::Data { .. }, _) => Ok(Item::Pong),
        }
    }

    /// One more octet of a header.
    fn header(&mut self, octet: u8) -> Result<(), Broken> {
        // There is room: a header that is complete is taken below.
        let _ = self.head.try_push(octet);
        let Some((&flags, &[short, ref long @ ..])) =
            self.head.split_first().filter(|(_, rest)| !rest.is_empty())
        else {
            return Ok(());
        };
        let length = match (short & 0x7f, long) {
            (126, &[a, b]) => u64::from(u16::from_be_bytes([a, b])),
            (127, &[a, b, c, d, e, f, g, h]) => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            (126 | 127, _) => return Ok(()),
            (length, _) => u64::from(length),
        };
        self.head.clear();
        self.begin(flags, short & 0x80 != 0, length)
    }

    /// A frame begins.
    fn begin(&mut self, flags: u8, masked: bool, length: u64) -> Result<(), Broken> {
        if length > self.most as u64 {
            return Err(Broken::TooLong(length));
        }
        if flags & 0x70 != 0 {
            return Err(Broken::Protocol("reserved bits are set"));
        }
        if masked {
            return Err(Broken::Protocol("a frame of the server is masked"));
        }
        let last = flags & 0x80 != 0;
        let carries = match flags & 0x0f {
            0..=2 => {
                self.data(flags & 0x0f, length)?;
                Carries::Data { last }
            }
            _ if !last => return Err(Broken::Protocol("a control frame in fragments, or of no known kind")),
            8..=10 if length > MAX_CONTROL as u64 => return Err(Broken::Protocol("control frame too long")),
            8 => Carries::Close,
            9 => Carries::Ping,
            10 => Carries::Pong,
            _ => return Err(Broken::Protocol("a frame of no known kind")),
        };
        if !matches!(carries, Carries::Data { .. }) {
            self.control.clear();
        }
        self.frame = Some(Frame { carries, missing: length });
        Ok(())
    }

    /// A frame of a data message begins.
    fn data(&mut self, opcode: u8, length: u64) -> Result<(), Broken> {
        self.kind = match (opcode, self.kind) {
            (0, None) => return Err(Broken::Protocol("a continuation of nothing")),
            (0, kind) => kind,
            (_, Some(_)) => return Err(Broken::Protocol("a message within another")),
            (1, None) => Some(Kind::Text),
            (_, None) => Some(Kind::Binary),
        };
        let sum = length + self.message.len() as u64;
        if sum > self.most as u64 {
            return Err(Broken::TooLong(sum));
        }
        self.fragments += 1;
        if self.fragments > MAX_FRAGMENTS { Err(Broken::Fragments) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};

    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
    use tokio_tungstenite::tungstenite::{Error, Message};

    use super::*;

    const MOST: usize = 70_000;

    fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![flags];
        match payload.len() {
            0..126 => frame.push(payload.len() as u8),
            126..=0xffff => {
                frame.push(126);
                frame.extend((payload.len() as u16).to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend((payload.len() as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    fn printed(item: Item<'_>) -> String {
        match item {
            Item::Ping(octets) => format!("Ping({octets:?})"),
            Item::Text(text) => format!("Text({text})"),
            other => format!("{other:?}"),
        }
    }

    /// What a reader makes of octets that come in pieces of this length.
    fn read(wire: &[u8], piece: usize) -> (Vec<String>, Option<Broken>) {
        let (mut reader, mut items) = (Reader::new(MOST), Vec::new());
        for mut octets in wire.chunks(piece) {
            loop {
                match reader.next(&mut octets) {
                    Ok(Some(item)) => {
                        items.push(printed(item));
                        if matches!(item, Item::Close(_)) {
                            return (items, None);
                        }
                    }
                    Ok(None) => break,
                    Err(broken) => return (items, Some(broken)),
                }
            }
        }
        (items, None)
    }

    /// Gives the library octets and takes what it wants to send.
    struct Wire<'a>(&'a [u8]);

    impl Read for Wire<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.0.is_empty() {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => self.0.read(out),
            }
        }
    }

    impl Write for Wire<'_> {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the library makes of them, and the code it would be closed with.
    fn library(wire: &[u8]) -> (Vec<String>, Option<u16>) {
        let config = WebSocketConfig::default().max_message_size(Some(MOST)).max_frame_size(Some(MOST));
        let mut socket = WebSocket::from_raw_socket(Wire(wire), Role::Client, Some(config));
        let mut items = Vec::new();
        loop {
            items.push(match socket.read() {
                Ok(Message::Text(text)) => printed(Item::Text(&text)),
                Ok(Message::Binary(_)) => printed(Item::Binary),
                Ok(Message::Ping(octets)) => printed(Item::Ping(&octets)),
                Ok(Message::Pong(_)) => printed(Item::Pong),
                Ok(Message::Close(frame)) => {
                    let close = frame.as_ref().map(|frame| (frame.code.into(), frame.reason.as_str()));
                    items.push(printed(Item::Close(close)));
                    return (items, None);
                }
                Ok(Message::Frame(_)) => unreachable!("it is never read"),
                Err(Error::Io(_)) => return (items, None),
                Err(Error::Protocol(_)) => return (items, Some(1002)),
                Err(Error::Capacity(_)) => return (items, Some(1009)),
                Err(Error::Utf8(_)) => return (items, Some(1007)),
                Err(other) => panic!("{other:?}"),
            });
        }
    }

    /// Wires that are mostly right: pings, texts and binaries, whole and in fragments, some of them long.
    fn wires() -> impl Strategy<Value = Vec<u8>> {
        let text = prop_oneof![
            8 => "[ -~é€😀]{0,60}".prop_map(String::into_bytes),
            1 => (0..MOST + 10).prop_map(|length| vec![b'a'; length]),
            1 => proptest::collection::vec(any::<u8>(), 0..200),
        ];
        let flags = prop_oneof![
            12 => prop_oneof![Just(0x81_u8), Just(0x82), Just(0x89), Just(0x8a)],
            4 => prop_oneof![Just(0x01_u8), Just(0x00), Just(0x80), Just(0x02)],
            1 => any::<u8>(),
        ];
        let close = (900..5000_u16, "[a-zé]{0,20}")
            .prop_map(|(code, reason)| frame(0x88, &[&code.to_be_bytes()[..], reason.as_bytes()].concat()));
        let one = prop_oneof![
            10 => (flags, text).prop_map(|(flags, payload)| frame(flags, &payload)),
            1 => close,
        ];
        proptest::collection::vec(one, 0..8).prop_map(|frames| frames.concat())
    }

    proptest! {
        #[test]
        fn it_reads_what_the_library_reads(wire in wires(), piece in 1..3000_usize) {
            let (items, broken) = read(&wire, piece);
            let (theirs, code) = library(&wire);
            // A close with a code nobody may send is answered with 1002 by both; the library tells our answer.
            let same = |(ours, theirs): (&String, &String)| ours == theirs || theirs.contains("Protocol violation");
            prop_assert!(items.iter().zip(&theirs).all(same), "{:?} {:?}", items, theirs);
            match (broken.map(Broken::code), code) {
                // Ours is told by the header, theirs when the frame is there or begins to be no text.
                (Some(_), None) => prop_assert!(items.len() >= theirs.len()),
                (ours, Some(1007)) => prop_assert!(ours.is_some() || items.len() >= theirs.len()),
                (ours, theirs_code) => {
                    prop_assert_eq!(ours, theirs_code);
                    prop_assert_eq!(items.len(), theirs.len());
                }
            }
        }

        #[test]
        fn however_the_octets_come_the_same_is_read(wire in wires(), piece in 1..300_usize) {
            prop_assert_eq!(read(&wire, piece), read(&wire, wire.len().max(1)));
        }

        #[test]
        fn any_octets_are_read_without_panic(octets: Vec<u8>, piece in 1..9_usize) {
            let _ = read(&octets, piece);
        }

        #[test]
        fn a_server_reads_what_we_write(text in "[ -~é]{0,300}", mask: [u8; 4], long in 0..3_u8) {
            let text = text.repeat([1, 30, 300][usize::from(long)]);
            let mut wire = Vec::new();
            write(&mut wire, Opcode::Text, text.as_bytes(), mask);
            let mut socket = WebSocket::from_raw_socket(Wire(&wire), Role::Server, None);
            prop_assert_eq!(socket.read().expect("a message"), Message::text(text));
        }
    }

    #[test]
    fn a_message_is_open_from_its_first_header_to_its_last_octet() {
        let mut reader = Reader::new(MOST);
        let wire = frame(0x81, b"0123456789");
        assert_eq!(reader.next(&mut &wire[..4]), Ok(None));
        assert_eq!(reader.progress(), (0, true));
        assert_eq!(reader.next(&mut &wire[4..]), Ok(Some(Item::Text("0123456789"))));
        assert_eq!(reader.progress(), (1, false));
        assert_eq!(reader.next(&mut &frame(0x01, b"01")[..]), Ok(None));
        assert_eq!(reader.next(&mut &frame(0x89, b"there?")[..]), Ok(Some(Item::Ping(b"there?"))));
        assert_eq!(reader.progress(), (1, true));
        assert_eq!(reader.next(&mut &frame(0x80, b"2")[..]), Ok(Some(Item::Text("012"))));
        assert_eq!(reader.progress(), (2, false));
    }

    #[test]
    fn fragments_are_counted_for_each_message() {
        let mut reader = Reader::new(MOST);
        let mut all = |frames: &[u8]| {
            let mut octets = frames;
            while reader.next(&mut octets)?.is_some() {}
            Ok(())
        };
        for _ in 0..3 {
            let middle = frame(0x00, b"b").repeat(126);
            assert_eq!(all(&[frame(0x01, b"a"), middle, frame(0x80, b"c")].concat()), Ok(()));
        }
        let endless = [frame(0x01, b"a"), frame(0x00, b"").repeat(128)].concat();
        assert_eq!(all(&endless), Err(Broken::Fragments));
    }

    #[test]
    fn a_length_is_refused_before_anything_is_kept() {
        let mut reader = Reader::new(MOST);
        let head = [0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x71];
        assert_eq!(reader.next(&mut &head[..]), Err(Broken::TooLong(MOST as u64 + 1)));
        let mut reader = Reader::new(MOST);
        let half = frame(0x01, &vec![b'a'; MOST / 2 + 1]);
        assert_eq!(reader.next(&mut &half[..]), Ok(None));
        assert_eq!(reader.next(&mut &half[..]), Err(Broken::Protocol("a message within another")));
        let mut reader = Reader::new(MOST);
        assert_eq!(reader.next(&mut &half[..]), Ok(None));
        let rest = frame(0x80, &vec![b'a'; MOST / 2 + 1]);
        assert_eq!(reader.next(&mut &rest[..]), Err(Broken::TooLong(MOST as u64 + 2)));
    }

    #[test]
    fn a_long_message_leaves_no_long_buffer() {
        let mut reader = Reader::new(MOST);
        let wire = frame(0x81, &vec![b'a'; 60_000]);
        for mut octets in wire.chunks(4096) {
            let _ = reader.next(&mut octets).expect("it is right");
        }
        assert!(reader.message.capacity() >= 60_000);
        assert_eq!(reader.next(&mut &[][..]), Ok(None));
        assert!(reader.message.capacity() <= KEPT);
    }
}
