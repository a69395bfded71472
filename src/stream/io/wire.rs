//! One bot's socket once it is up: TCP, plain or in TLS, and the frames on it. Nothing here waits.
//!
//! One write a turn: a frame goes to the socket from a buffer all streams of a thread share, in TLS with those that
//! follow it at once; only what the socket does not take is kept here, and until it has left nothing more is taken from
//! the session.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;

use rustls::ClientConnection;

use super::dial::Upgraded;
use crate::stream::framing::{self, Broken, Item, Opcode, Reader};

/// What is kept of the buffer for what the socket did not take.
const KEPT: usize = 2048;
/// Octets of frames that leave together, in TLS.
const TOGETHER: usize = 4096;
/// Octets read in one turn, so that a flood on one socket takes no time from the others.
const SHARE: usize = 16 * 1024;
/// What a bot that sends a code nobody may send is told (RFC 6455 §7.4.1).
const VIOLATION: (u16, &str) = (1002, "Protocol violation");

/// The socket of a stream that is up.
pub(super) struct Wire {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Came with the answer to the upgrade.
    early: Vec<u8>,
    inward: Inward,
    /// What was not taken of the last frame, from `at` on.
    rest: Vec<u8>,
    at: usize,
    /// Octets of frames that are in TLS and wait for those that follow them; none once the socket has refused some.
    together: usize,
    /// Octets the socket took.
    written: u64,
    /// The socket has an end, which it does not tell twice: it is to be read until that is reached.
    ending: bool,
    /// A close frame was written.
    closed: bool,
}

/// What comes in.
struct Inward {
    reader: Reader,
    /// To be written before anything else.
    reply: Option<Reply>,
    /// Frames are not read any more: octets are thrown away until the peer closes, lest it lose our close frame.
    deaf: bool,
}

enum Reply {
    Pong(Box<[u8]>),
    Close(Option<u16>),
}

/// Why nothing more is read.
pub(super) enum End {
    /// The peer sends nothing more.
    Eof,
    /// The connection broke.
    Io(io::Error),
    /// What comes cannot be read.
    Broken(Broken),
}

/// A turn of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// All that had come.
    All,
    /// As much as is one's share.
    Share,
}

impl Wire {
    /// The connection as dialling left it, out of its runtime's hands.
    pub(super) fn new(upgraded: Upgraded, most: usize) -> io::Result<Self> {
        let (tcp, tls) = upgraded.carrier.into_parts()?;
        Ok(Self {
            tcp,
            tls,
            early: upgraded.early,
            inward: Inward { reader: Reader::new(most), reply: None, deaf: false },
            rest: Vec::new(),
            at: 0,
            together: 0,
            written: 0,
            ending: false,
            closed: false,
        })
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Octets the socket took so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Something waits for the socket.
    pub(super) fn is_blocked(&self) -> bool {
        !self.rest.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Data messages that are complete, and whether another has begun.
    pub(super) fn progress(&self) -> (u64, bool) {
        self.inward.reader.progress()
    }

    /// Whether the next message may be put: all before it has left, an answer to the peer among it, and no close.
    pub(super) fn is_free(
        &mut self,
        frame: &mut Vec<u8>,
        mask: impl FnOnce() -> [u8; 4],
    ) -> io::Result<bool> {
        let gathers = self.together > 0 && self.together < TOGETHER && self.rest.is_empty();
        if !gathers && !self.flush()? {
            return Ok(false);
        }
        if let Some(reply) = self.inward.reply.take().filter(|_| !self.closed) {
            match reply {
                Reply::Pong(octets) => framing::write(frame, Opcode::Pong, &octets, mask()),
                Reply::Close(code) => self.frame_close(frame, code, mask()),
            }
            return Ok(self.send(frame)? && !self.closed);
        }
        Ok(!self.closed)
    }

    /// Puts a message; `is_free` said it may be. In TLS it leaves with the next `flush`, or when there is more than a few.
    pub(super) fn put(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        frame: &mut Vec<u8>,
        mask: [u8; 4],
    ) -> io::Result<()> {
        framing::write(frame, opcode, payload, mask);
        self.take(frame)?;
        self.together = if self.tls.is_some() { self.together + frame.len() } else { 0 };
        Ok(())
    }

    /// Puts our close; nothing follows it.
    pub(super) fn close(&mut self, code: u16, frame: &mut Vec<u8>, mask: [u8; 4]) -> io::Result<()> {
        self.frame_close(frame, Some(code), mask);
        self.send(frame).map(drop)
    }

    fn frame_close(&mut self, frame: &mut Vec<u8>, code: Option<u16>, mask: [u8; 4]) {
        let code = code.map(u16::to_be_bytes);
        framing::write(frame, Opcode::Close, code.as_ref().map_or(&[], |code| &code[..]), mask);
        self.closed = true;
    }

    /// True: it has left, and all before it.
    fn send(&mut self, frame: &[u8]) -> io::Result<bool> {
        self.take(frame)?;
        self.flush()
    }

    fn take(&mut self, frame: &[u8]) -> io::Result<()> {
        let taken = match &mut self.tls {
            Some(tls) => tls.writer().write(frame)?,
            None => unless_blocked((&self.tcp).write(frame))?.unwrap_or(0),
        };
        self.written += if self.tls.is_none() { taken as u64 } else { 0 };
        if let Some(rest) = frame.get(taken..).filter(|rest| !rest.is_empty()) {
            self.rest.extend_from_slice(rest);
        }
        Ok(())
    }

    /// True: nothing waits any more.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        self.together = 0;
        loop {
            if let Some(tls) = &mut self.tls {
                while tls.wants_write() {
                    match unless_blocked(tls.write_tls(&mut Octets(&self.tcp)))? {
                        Some(taken) => self.written += taken as u64,
                        None => return Ok(false),
                    }
                }
            }
            let Some(rest) = self.rest.get(self.at..).filter(|rest| !rest.is_empty()) else {
                return Ok(true);
            };
            let taken = match &mut self.tls {
                Some(tls) => tls.writer().write(rest)?,
                None => match unless_blocked((&self.tcp).write(rest))? {
                    Some(taken) => taken,
                    None => return Ok(false),
                },
            };
            self.written += if self.tls.is_none() { taken as u64 } else { 0 };
            self.at += taken;
            if self.at >= self.rest.len() {
                self.rest.clear();
                self.rest.shrink_to(KEPT);
                self.at = 0;
            }
        }
    }

    /// Reads a share of what has come and calls with each thing in it. `octets` is room to read into.
    pub(super) fn read(&mut self, octets: &mut [u8], mut tell: impl FnMut(Item<'_>)) -> Result<Came, End> {
        let Self { tcp, tls, early, inward, ending, .. } = self;
        if !early.is_empty() {
            inward.feed(&std::mem::take(early), &mut tell)?;
        }
        match tls {
            None => read_plain(Gulp { tcp, ending: *ending, emptied: false }, inward, octets, &mut tell),
            Some(tls) => read_tls(Gulp { tcp, ending: *ending, emptied: false }, tls, inward, &mut tell),
        }
    }

    /// The socket says that it is at its end.
    pub(super) fn ending(&mut self) {
        self.ending = true;
    }

    /// From now on what comes is thrown away.
    pub(super) fn deafen(&mut self) {
        self.inward.deaf = true;
    }

    /// Says good-bye below the WebSocket; a peer that does not take it is not waited for.
    pub(super) fn shut(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        let _ = self.flush();
        let _ = self.tcp.shutdown(std::net::Shutdown::Write);
    }
}

fn read_plain(
    mut gulp: Gulp<'_>,
    inward: &mut Inward,
    octets: &mut [u8],
    tell: &mut impl FnMut(Item<'_>),
) -> Result<Came, End> {
    match unless_blocked(gulp.read(octets)).map_err(End::Io)? {
        None => Ok(Came::All),
        Some(0) => Err(End::Eof),
        Some(count) => {
            inward.feed(octets.get(..count).unwrap_or_default(), tell)?;
            Ok(if gulp.emptied { Came::All } else { Came::Share })
        }
    }
}

fn read_tls(
    mut gulp: Gulp<'_>,
    tls: &mut ClientConnection,
    inward: &mut Inward,
    tell: &mut impl FnMut(Item<'_>),
) -> Result<Came, End> {
    let mut read = 0;
    loop {
        let mut plain = tls.reader();
        loop {
            let came = match plain.fill_buf() {
                Ok([]) => return Err(End::Eof),
                Ok(octets) => {
                    inward.feed(octets, tell)?;
                    octets.len()
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // TLS without its good-bye: what stands above it says whether that is an end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(End::Eof),
                Err(error) => return Err(End::Io(error)),
            };
            plain.consume(came);
        }
        if read >= SHARE {
            return Ok(Came::Share);
        }
        if gulp.emptied {
            return Ok(Came::All);
        }
        let Some(came) = unless_blocked(tls.read_tls(&mut gulp)).map_err(End::Io)? else {
            return Ok(Came::All);
        };
        read += came;
        if let Err(error) = tls.process_new_packets() {
            let _ = tls.write_tls(&mut Octets(gulp.tcp)); // the alert that says what we think of it
            return Err(End::Io(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
    }
}

impl Inward {
    fn feed(&mut self, mut octets: &[u8], tell: &mut impl FnMut(Item<'_>)) -> Result<(), End> {
        while !self.deaf {
            let Some(item) = self.reader.next(&mut octets).map_err(End::Broken)? else { break };
            match item {
                Item::Ping(octets) if !matches!(self.reply, Some(Reply::Close(_))) => {
                    self.reply = Some(Reply::Pong(octets.into()));
                    tell(item);
                }
                Item::Close(said) => {
                    let said = said.map(|said| if may_be_sent(said.0) { said } else { VIOLATION });
                    self.reply = Some(Reply::Close(said.map(|(code, _)| code)));
                    self.deaf = true;
                    tell(Item::Close(said));
                }
                Item::Text(_) | Item::Binary | Item::Ping(_) | Item::Pong => tell(item),
            }
        }
        Ok(())
    }
}

/// RFC 6455 §7.4 and the registry of codes.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999)
}

/// `None`: not now.
fn unless_blocked(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(count) => Ok(Some(count)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        },
    }
}

/// A socket to read from.
struct Gulp<'a> {
    tcp: &'a TcpStream,
    ending: bool,
    /// It gave less than there was room for: it has no more now, and tells when it has.
    emptied: bool,
}

impl Read for Gulp<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.tcp.read(room)?;
        self.emptied = (1..room.len()).contains(&count) && !self.ending;
        Ok(count)
    }
}

/// A record is one piece, for which `send` is cheaper than `writev`.
struct Octets<'a>(&'a TcpStream);

impl Write for Octets<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write(octets)
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match pieces {
            [one] => self.0.write(one),
            more => self.0.write_vectored(more),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
