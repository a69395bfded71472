//! One connection: the upgrade, frames in both directions, the stamps in them.

use rig::net::Stream;
use rig::process::now_us;
use rig::stamp::{Scanner, missing, stamp_pcm};
use rig::ws::{B64Dec, b64_encode, ws_accept_key};

use crate::{Figures, Mode};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// 1000, the normal close.
const GOODBYE: [u8; 4] = [0x80 | CLOSE, 2, 3, 0xe8];
const PAYLOAD: &[u8] = b"\"payload\":\"";

/// What reading led to.
pub enum Took {
    Nothing,
    Opened,
    Closed,
}

pub struct Connection {
    stream: Stream,
    up: bool,
    buffer: Vec<u8>,
    scanner: Scanner,
    pcm: Vec<u8>,
    /// The last stamp that was heard, and when the window of it began.
    stamp: Option<(u64, u32)>,
    /// Its place in the wheel.
    pub slot: usize,
    message_us: u64,
    /// The rest of a message the kernel did not take whole.
    pending: Vec<u8>,
}

impl Connection {
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            up: false,
            buffer: Vec::new(),
            scanner: Scanner::default(),
            pcm: Vec::new(),
            stamp: None,
            slot: 0,
            message_us: 0,
            pending: Vec::new(),
        }
    }

    pub fn read(
        &mut self,
        mode: Mode,
        json: bool,
        decoder: &B64Dec,
        figures: &mut Figures,
        room: &mut [u8],
    ) -> Took {
        let length = match self.stream.read(room) {
            0 => return Took::Closed,
            length if length < 0 => return Took::Nothing,
            length => length as usize,
        };
        self.buffer.extend_from_slice(&room[..length]);
        let mut took = Took::Nothing;
        if !self.up {
            if !self.upgrade() {
                return Took::Nothing;
            }
            self.count_handshake(figures);
            took = Took::Opened;
        }
        self.frames(mode, json, decoder, figures);
        took
    }

    /// Answers the request once it is whole.
    fn upgrade(&mut self) -> bool {
        let Some(end) = find(&self.buffer, b"\r\n\r\n") else { return false };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let field = |name: &str| {
            let fields = head.lines().filter_map(|line| line.split_once(':'));
            fields
                .into_iter()
                .find(|(found, _)| found.trim().eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim())
        };
        let key = ws_accept_key(field("sec-websocket-key").unwrap_or_default());
        let protocol = field("sec-websocket-protocol").and_then(|all| all.split(',').next());
        let protocol =
            protocol.map_or(String::new(), |one| format!("Sec-WebSocket-Protocol: {}\r\n", one.trim()));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {key}\r\n{protocol}\r\n"
        );
        self.stream.write(answer.as_bytes());
        self.buffer.drain(..end + 4);
        self.up = true;
        true
    }

    fn count_handshake(&self, figures: &mut Figures) {
        match self.stream.tls.as_ref().and_then(|tls| tls.handshake_kind()) {
            Some(rustls::HandshakeKind::Resumed) => figures.resumed += 1,
            Some(_) => figures.full += 1,
            None => {}
        }
    }

    fn frames(&mut self, mode: Mode, json: bool, decoder: &B64Dec, figures: &mut Figures) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut read = 0;
        while let Some((opcode, payload)) = frame(&buffer[read..]) {
            let (start, end) = (read + payload.start, read + payload.end);
            if buffer[read + 1] & 0x80 != 0 {
                unmask(&mut buffer[start - 4..end]);
            }
            self.take(opcode, &buffer[start..end], (mode, json), decoder, figures);
            read = end;
        }
        buffer.drain(..read);
        self.buffer = buffer;
    }

    fn take(
        &mut self,
        opcode: u8,
        payload: &[u8],
        how: (Mode, bool),
        decoder: &B64Dec,
        figures: &mut Figures,
    ) {
        let (mode, json) = how;
        match opcode {
            TEXT if json => {
                let Some(at) = find(payload, PAYLOAD) else { return };
                let mut pcm = std::mem::take(&mut self.pcm);
                decoder.decode(&payload[at + PAYLOAD.len()..], &mut pcm);
                self.hear(&pcm, figures);
                self.pcm = pcm;
            }
            BINARY if !json => self.hear(payload, figures),
            PING => drop(self.stream.write(&framed(PONG, payload))),
            CLOSE => drop(self.stream.write(&GOODBYE)),
            _ => return,
        }
        if mode == Mode::Echo && (opcode == TEXT || opcode == BINARY) {
            self.send(framed(opcode, payload), figures);
        }
    }

    fn hear(&mut self, pcm: &[u8], figures: &mut Figures) {
        let now = now_us();
        figures.messages += 1;
        if figures.began_us > 0 {
            if self.message_us > figures.began_us {
                figures.apart.add((now - self.message_us) as i64);
            }
            let samples = pcm.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]]));
            let window = figures.began_us;
            let last = &mut self.stamp;
            self.scanner.feed(samples, |stamp, _| {
                let before = last.replace((window, stamp)).filter(|(of, _)| *of == window);
                figures.missing += before.map_or(0, |(_, before)| missing(before, stamp));
                figures.delay.add(i64::from((now as u32).wrapping_sub(stamp) as i32));
            });
        }
        self.message_us = now;
    }

    /// Says one chunk; each frame in it is stamped with the time at which it is due.
    pub fn speak(&mut self, chunk_ms: usize, json: bool, figures: &mut Figures) {
        let now = now_us();
        let mut pcm = vec![0; 8 * chunk_ms];
        for (n, frame) in pcm.chunks_exact_mut(160).enumerate() {
            stamp_pcm(frame, (now + 20_000 * n as u64) as u32);
        }
        let octets: Vec<u8> = pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let message = if json {
            let mut text = b"{\"event\":\"media\",\"media\":{\"payload\":\"".to_vec();
            b64_encode(&octets, &mut text);
            text.extend_from_slice(b"\"}}");
            framed(TEXT, &text)
        } else {
            framed(BINARY, &octets)
        };
        self.send(message, figures);
    }

    /// A peer that does not read loses what is said to it, and that is counted.
    fn send(&mut self, message: Vec<u8>, figures: &mut Figures) {
        if !self.pending.is_empty() {
            let wrote = self.stream.write(&self.pending).max(0) as usize;
            self.pending.drain(..wrote);
        }
        let wrote = if self.pending.is_empty() { self.stream.write(&message) } else { -1 };
        match usize::try_from(wrote) {
            Ok(wrote) => {
                figures.sent += 1;
                self.pending.extend_from_slice(&message[wrote..]);
            }
            Err(_) => figures.unsent += 1,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        rig::net::close(self.stream.fd);
    }
}

/// The opcode of the first frame and where its payload lies; a mask stands before it.
fn frame(octets: &[u8]) -> Option<(u8, std::ops::Range<usize>)> {
    let (&first, &second) = (octets.first()?, octets.get(1)?);
    let (length, head) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(octets.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(octets.get(2..10)?.try_into().ok()?) as usize, 10),
        short => (usize::from(short), 2),
    };
    let start = head + if second & 0x80 != 0 { 4 } else { 0 };
    (octets.len() >= start + length).then_some((first & 15, start..start + length))
}

fn unmask(mask_and_payload: &mut [u8]) {
    let (mask, payload) = mask_and_payload.split_at_mut(4);
    for (n, octet) in payload.iter_mut().enumerate() {
        *octet ^= mask[n & 3];
    }
}

fn framed(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 10);
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..126 => out.push(length as u8),
        length @ 126..65536 => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
    out
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
