//! A bot as cheap as it can be made: a WebSocket server in one thread.
//!
//! `--mode talk` sends its own stamped audio in real time, one message each `--chunk-ms`; `echo` sends back what
//! comes; `sink` sends nothing. `--wire raw` is binary PCM16 at 8 kHz, `json` is any text with a `"payload":"` in it.
//! With `--tls-cert` and `--tls-key` (DER) it serves wss; without `--resume` every handshake is a full one.
//!
//! UDP on the same port number: `start` clears the figures, `stop` answers with them, `pid` with the process,
//! `quit` ends it.

mod connection;

use std::collections::HashMap;
use std::sync::Arc;

use connection::{Connection, Took};
use rig::args::{arg, flag, help, text};
use rig::histogram::Histogram;
use rig::net::{Epoll, LO, Stream, listen, recvfrom, sendto, tls_config, udp_socket};
use rig::process::{now_us, raise_descriptors};
use rig::ws::B64Dec;
use serde_json::json;

const USAGE: &str = "\
echobot --port N [--wire raw|json] [--chunk-ms 20] [--mode talk|echo|sink] [--tls-cert DER --tls-key DER [--resume]]";
const KNOWN: &[&str] = &["--port", "--wire", "--chunk-ms", "--mode", "--tls-cert", "--tls-key", "--resume"];
const LISTENER: u64 = u64::MAX;
const CONTROL: u64 = u64::MAX - 1;

#[derive(PartialEq, Clone, Copy)]
pub enum Mode {
    Talk,
    Echo,
    Sink,
}

/// What is told of a window, and of all handshakes so far.
#[derive(Default)]
pub struct Figures {
    pub began_us: u64,
    pub messages: u64,
    pub sent: u64,
    pub unsent: u64,
    /// Frames of the callers' that never came.
    pub missing: u64,
    pub opened: u64,
    pub closed: u64,
    pub full: u64,
    pub resumed: u64,
    /// From the caller to here.
    pub delay: Histogram,
    /// From one message of a call to the next.
    pub apart: Histogram,
}

struct Bot {
    mode: Mode,
    json: bool,
    chunk_ms: usize,
    tls: Option<Arc<rustls::ServerConfig>>,
    epoll: Epoll,
    listener: i32,
    control: i32,
    connections: HashMap<u64, Connection>,
    next: u64,
    /// Connections by the millisecond of a chunk in which they speak.
    wheel: Vec<Vec<u64>>,
    last_ms: u64,
    figures: Figures,
    decoder: B64Dec,
    buffer: Vec<u8>,
}

fn main() {
    help(USAGE, KNOWN);
    raise_descriptors();
    let mut bot = Bot::new();
    while bot.turn() {}
}

impl Bot {
    fn new() -> Self {
        let port = arg("--port", "9000");
        let certificate = text("--tls-cert", "");
        let chunk_ms = arg("--chunk-ms", "20");
        let mode = match text("--mode", "talk").as_str() {
            "talk" => Mode::Talk,
            "echo" => Mode::Echo,
            _ => Mode::Sink,
        };
        let (epoll, listener, control) = (Epoll::new(), listen(port), udp_socket(port));
        epoll.add(listener, LISTENER);
        epoll.add(control, CONTROL);
        let tls = || tls_config(&certificate, &text("--tls-key", ""), flag("--resume"));
        Self {
            mode,
            json: text("--wire", "raw") == "json",
            chunk_ms,
            tls: (!certificate.is_empty()).then(tls),
            epoll,
            listener,
            control,
            connections: HashMap::new(),
            next: 0,
            wheel: vec![Vec::new(); chunk_ms],
            last_ms: now_us() / 1000,
            figures: Figures::default(),
            decoder: B64Dec::new(),
            buffer: vec![0; 65536],
        }
    }

    /// Waits until the next millisecond at the longest and does what there is to do; false when it is to end.
    fn turn(&mut self) -> bool {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
        let wait = if self.mode == Mode::Talk { 1000 - now_us() % 1000 } else { 500_000 };
        let tokens: Vec<u64> = self.epoll.wait_us(&mut events, wait).iter().map(|event| event.u64).collect();
        for token in tokens {
            match token {
                LISTENER => self.accept(),
                CONTROL if !self.obey() => return false,
                CONTROL => {}
                token => self.read(token),
            }
        }
        if self.mode == Mode::Talk {
            self.talk();
        }
        true
    }

    fn accept(&mut self) {
        while let Some(fd) = rig::net::accept(self.listener) {
            self.next += 1;
            self.figures.opened += 1;
            self.epoll.add(fd, self.next);
            let server =
                |config: &Arc<_>| rustls::ServerConnection::new(Arc::clone(config)).map(Box::new).ok();
            let tls = self.tls.as_ref().and_then(server);
            self.connections.insert(self.next, Connection::new(Stream { fd, tls }));
        }
    }

    fn obey(&mut self) -> bool {
        while let Some((length, from)) = recvfrom(self.control, &mut self.buffer) {
            let answer = match &self.buffer[..length] {
                b"start" => {
                    let kept = std::mem::take(&mut self.figures);
                    let Figures { opened, closed, full, resumed, .. } = kept;
                    self.figures =
                        Figures { began_us: now_us(), opened, closed, full, resumed, ..Figures::default() };
                    "ok".to_owned()
                }
                b"stop" => self.told(),
                b"pid" => std::process::id().to_string(),
                b"quit" => return false,
                _ => continue,
            };
            sendto(self.control, answer.as_bytes(), LO, from);
        }
        true
    }

    fn told(&mut self) -> String {
        let figures = &mut self.figures;
        let told = json!({
            "conns": self.connections.len(), "opened": figures.opened, "closed": figures.closed,
            "full": figures.full, "resumed": figures.resumed, "msgs": figures.messages, "sent": figures.sent,
            "eagain": figures.unsent, "frames_missing": figures.missing, "rtp_to_ws_ms": figures.delay.json(), "msg_gap_ms": figures.apart.json(),
        });
        told.to_string()
    }

    fn read(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let took = connection.read(self.mode, self.json, &self.decoder, &mut self.figures, &mut self.buffer);
        match took {
            Took::Nothing => {}
            Took::Opened if self.mode == Mode::Talk => {
                connection.slot = (now_us() / 1000) as usize % self.chunk_ms;
                self.wheel[connection.slot].push(token);
            }
            Took::Opened => {}
            Took::Closed => {
                self.wheel[connection.slot].retain(|other| *other != token);
                self.connections.remove(&token);
                self.figures.closed += 1;
            }
        }
    }

    fn talk(&mut self) {
        let ms = now_us() / 1000;
        while self.last_ms < ms {
            self.last_ms += 1;
            for token in &self.wheel[self.last_ms as usize % self.chunk_ms] {
                let Some(connection) = self.connections.get_mut(token) else { continue };
                connection.speak(self.chunk_ms, self.json, &mut self.figures);
            }
        }
    }
}
