//! The least work an edge between SIP/RTP and a WebSocket can do on one machine: the yardstick.
//!
//! One thread does only what cannot be left out: a UDP socket a call that takes 50 RTP packets a second and sends 50
//! (PCMU, paced), and a TCP connection a call with WebSocket messages both ways; G.711 and base64 by table, masking,
//! TLS. It answers the SIP that `sipload` sends and no other: no retransmission, no timers, no jitter buffer, no
//! checks, no records.

mod media;
mod sip;

use media::{Call, Tables};
use rig::args::{arg, help, text};
use rig::net::Epoll;
use rig::process::{now_us, raise_descriptors};
use sip::Act;

const USAGE: &str = "\
floor --sip-port N --bot-port N [--wire raw|json] [--frame-ms 20] [--cushion-us 3000] [--tls-ca DER]";
const KNOWN: &[&str] = &["--sip-port", "--bot-port", "--wire", "--frame-ms", "--cushion-us", "--tls-ca"];
const SIP: u64 = u64::MAX;

pub struct Config {
    pub sip_port: u16,
    pub bot_port: u16,
    pub json: bool,
    /// Audio in one message to the bot.
    pub frame_ms: usize,
    /// How long the first frame of the bot waits before the clock of the call starts.
    pub cushion_us: u64,
}

struct Floor {
    config: Config,
    epoll: Epoll,
    sip: i32,
    state: sip::State,
    tables: Tables,
    calls: Vec<Option<Box<Call>>>,
    /// Calls by the millisecond of 20 in which they speak.
    wheel: [Vec<u32>; 20],
    last_ms: u64,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

fn main() {
    help(USAGE, KNOWN);
    raise_descriptors();
    let config = Config {
        sip_port: arg("--sip-port", "5090"),
        bot_port: arg("--bot-port", "9000"),
        json: text("--wire", "raw") == "json",
        frame_ms: arg("--frame-ms", "20"),
        cushion_us: arg("--cushion-us", "3000"),
    };
    let (epoll, sip) = (Epoll::new(), sip::udp(config.sip_port));
    epoll.add(sip, SIP);
    let mut floor = Floor {
        state: sip::State::new(config.sip_port, config.bot_port),
        config,
        epoll,
        sip,
        tables: Tables::new(),
        calls: Vec::new(),
        wheel: Default::default(),
        last_ms: now_us() / 1000,
        buffer: vec![0; 65536],
        out: Vec::with_capacity(8192),
    };
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; 512];
    loop {
        floor.turn(&mut events);
    }
}

impl Floor {
    fn turn(&mut self, events: &mut [libc::epoll_event]) {
        let ready = self.epoll.wait_us(events, self.until_due_us()).len();
        // Pacing first, so that a call that joins the wheel below is not paid for slots already past.
        self.speak();
        for event in &events[..ready] {
            let token = event.u64;
            match token {
                SIP => self.signalling(),
                _ if token & 1 == 0 => self.hear_caller(token as usize >> 1),
                _ => self.hear_bot(token as usize >> 1),
            }
        }
    }

    /// To the next millisecond in which somebody speaks.
    fn until_due_us(&self) -> u64 {
        let due = (1..=20).find(|step| !self.wheel[((self.last_ms + step) % 20) as usize].is_empty());
        due.map_or(20_000, |step| ((self.last_ms + step) * 1000).saturating_sub(now_us()))
    }

    fn speak(&mut self) {
        let ms = now_us() / 1000;
        while self.last_ms < ms {
            self.last_ms += 1;
            for &index in &self.wheel[(self.last_ms % 20) as usize] {
                let Some(call) = self.calls[index as usize].as_mut() else { continue };
                let rtp = call.rtp;
                rig::net::send(rtp, call.rtp_out());
            }
        }
    }

    fn signalling(&mut self) {
        for act in self.state.on_readable(self.sip, &mut self.calls) {
            match act {
                Act::New(index) => {
                    let Some(call) = &self.calls[index] else { continue };
                    self.epoll.add(call.rtp, (index as u64) << 1);
                    self.epoll.add(call.ws, (index as u64) << 1 | 1);
                }
                Act::Gone(index) => {
                    self.wheel.iter_mut().for_each(|slot| slot.retain(|other| *other != index as u32));
                }
            }
        }
    }

    fn hear_caller(&mut self, index: usize) {
        let Some(Some(call)) = self.calls.get_mut(index) else { return };
        let length = rig::net::recv(call.rtp, &mut self.buffer[..2048]);
        if length > 12 {
            let payload = &self.buffer[12..length as usize];
            if call.rtp_in(&self.tables, payload, &self.config, &mut self.out) {
                call.ws_send(&self.out);
            }
        }
    }

    fn hear_bot(&mut self, index: usize) {
        let Some(Some(call)) = self.calls.get_mut(index) else { return };
        let length = call.ws_recv(&mut self.buffer);
        if length == 0 {
            self.epoll.remove(call.ws);
        } else if length > 0
            && call.ws_in(&self.tables, &self.buffer[..length as usize], self.config.json)
            && !call.paced
        {
            call.paced = true;
            let slot = ((now_us() + self.config.cushion_us) / 1000 + 1) % 20;
            self.wheel[slot as usize].push(index as u32);
        }
    }
}
