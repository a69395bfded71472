//! The least SIP that sipload can talk to: INVITE -> 200, ACK ignored, BYE -> 200.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;

use rig::args::text;
use rig::field;
use rig::net::{
    Fd, LO, close, connect, local_port, no_waiting, recvfrom, sendto, set_rcvbuf, tcp_connected, udp_socket,
};
use rustls::{ClientConfig, ClientConnection};

use crate::media::Call;

type Tls = Option<Box<ClientConnection>>;

pub enum Act {
    New(usize),
    Gone(usize),
}

/// The socket of signalling; with port 0 one for RTP.
pub fn udp(port: u16) -> i32 {
    let fd = udp_socket(port);
    if port != 0 {
        set_rcvbuf(fd, 2 << 20);
    }
    fd
}

pub struct State {
    ids: HashMap<String, usize>,
    sip_port: u16,
    bot_port: u16,
    n: u32,
    tls: Option<Arc<ClientConfig>>,
    buf: Vec<u8>,
}

impl State {
    pub fn new(sip_port: u16, bot_port: u16) -> Self {
        // With --tls-ca it speaks wss and trusts this one certificate.
        let tls = match text("--tls-ca", "").as_str() {
            "" => None,
            file => Some(trusting(file)),
        };
        Self { ids: HashMap::new(), sip_port, bot_port, n: 0, tls, buf: vec![0; 65536] }
    }

    pub fn on_readable(&mut self, fd: i32, calls: &mut Vec<Option<Box<Call>>>) -> Vec<Act> {
        let mut acts = Vec::new();
        while let Some((length, from)) = recvfrom(fd, &mut self.buf) {
            let message = String::from_utf8_lossy(&self.buf[..length]).into_owned();
            let sdp = match message.split(' ').next() {
                Some("INVITE") => self.invited(&message, calls, &mut acts),
                Some("BYE") => Some(self.left(&message, calls, &mut acts)),
                _ => None,
            };
            if let Some(sdp) = sdp {
                sendto(fd, self.ok(&message, &sdp).as_bytes(), LO, from);
            }
        }
        acts
    }

    /// A call is up as soon as its bot is there; the description of the answer.
    fn invited(
        &mut self,
        message: &str,
        calls: &mut Vec<Option<Box<Call>>>,
        acts: &mut Vec<Act>,
    ) -> Option<String> {
        let id = field::first(message, "Call-ID").unwrap_or_default();
        if !self.ids.contains_key(id) {
            let (ws, tls) = self.bot()?;
            let rtp = udp(0);
            connect(rtp, LO, field::audio_port(message).unwrap_or(0));
            self.n += 1;
            let index = calls.iter().position(Option::is_none).unwrap_or(calls.len());
            if index == calls.len() {
                calls.push(None);
            }
            calls[index] = Some(Box::new(Call::new(rtp, ws, tls, 0x1000_0000 + self.n)));
            self.ids.insert(id.to_owned(), index);
            acts.push(Act::New(index));
        }
        let port = local_port(calls[self.ids[id]].as_ref()?.rtp);
        Some(format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=ptime:20\r\n"
        ))
    }

    fn left(&mut self, message: &str, calls: &mut [Option<Box<Call>>], acts: &mut Vec<Act>) -> String {
        let index = field::first(message, "Call-ID").and_then(|id| self.ids.remove(id));
        if let Some((index, call)) = index.and_then(|index| Some((index, calls[index].take()?))) {
            close(call.rtp);
            close(call.ws);
            acts.push(Act::Gone(index));
        }
        String::new()
    }

    fn ok(&self, message: &str, sdp: &str) -> String {
        let of = |name| field::first(message, name).unwrap_or_default();
        let kind = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=f\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:floor@127.0.0.1:{}>\r\n{kind}Content-Length: {}\r\n\r\n{sdp}",
            of("Via"),
            of("From"),
            of("To"),
            of("Call-ID"),
            of("CSeq"),
            self.sip_port,
            sdp.len()
        )
    }

    /// A connection to the bot with the upgrade done, waited for.
    fn bot(&self) -> Option<(i32, Tls)> {
        const REQUEST: &[u8] = b"GET /media HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let fd = tcp_connected(self.bot_port)?;
        let name = || "127.0.0.1".try_into().expect("a name");
        let client = |config: &Arc<_>| ClientConnection::new(Arc::clone(config), name()).map(Box::new).ok();
        let mut tls = self.tls.as_ref().and_then(client);
        let mut io = Fd(fd);
        let upgraded = match tls.as_mut() {
            None => io.write_all(REQUEST).is_ok() && head(&mut io),
            Some(tls) => {
                let mut stream = rustls::Stream::new(&mut **tls, &mut io);
                stream.write_all(REQUEST).is_ok() && head(&mut stream)
            }
        };
        if !upgraded {
            close(fd);
            return None;
        }
        no_waiting(fd);
        Some((fd, tls))
    }
}

fn trusting(file: &str) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = std::fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    roots.add(certificate.into()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(builder.expect("versions").with_root_certificates(roots).with_no_client_auth())
}

/// Reads to the end of the head and no octet further: what follows is a frame.
fn head(stream: &mut dyn Read) -> bool {
    let mut last = [0; 4];
    while &last != b"\r\n\r\n" {
        last.rotate_left(1);
        if stream.read_exact(&mut last[3..]).is_err() {
            return false;
        }
    }
    true
}
