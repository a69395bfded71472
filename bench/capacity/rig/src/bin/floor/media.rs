//! Per-call media work: table G.711, table base64, WebSocket framing with masking.
use rig::net::{Fd, recv, send};

use crate::Config;

pub struct Tables {
    pub dec: [i16; 256],
    pub enc: Box<[u8; 65536]>,
    b64: Box<[[u8; 2]; 4096]>,
    unb64: [u8; 256],
}

fn ulaw_dec(u: u8) -> i16 {
    let u = !u;
    let mut t = (((u & 0x0f) as i32) << 3) + 0x84;
    t <<= (u & 0x70) >> 4;
    (if u & 0x80 != 0 { 0x84 - t } else { t - 0x84 }) as i16
}
fn ulaw_enc(s: i16) -> u8 {
    let mut v = s as i32;
    let mask = if v < 0 {
        v = -v;
        0x7fu8
    } else {
        0xff
    };
    v = v.min(32635) + 0x84;
    let seg = (31 - (v as u32).leading_zeros() as i32 - 7).clamp(0, 7);
    (((seg << 4) | ((v >> (seg + 3)) & 0x0f)) as u8) ^ mask
}

impl Tables {
    pub fn new() -> Self {
        const A: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut t = Tables {
            dec: [0; 256],
            enc: vec![0u8; 65536].into_boxed_slice().try_into().unwrap(),
            b64: vec![[0u8; 2]; 4096].into_boxed_slice().try_into().unwrap(),
            unb64: [255; 256],
        };
        for i in 0..256 {
            t.dec[i] = ulaw_dec(i as u8);
        }
        for i in 0..65536u32 {
            t.enc[i as usize] = ulaw_enc(i as u16 as i16);
        }
        for i in 0..4096 {
            t.b64[i] = [A[i >> 6], A[i & 63]];
        }
        for (i, &c) in A.iter().enumerate() {
            t.unb64[c as usize] = i as u8;
        }
        t
    }
    fn encode(&self, src: &[u8], out: &mut Vec<u8>) {
        let mut ch = src.chunks_exact(3);
        for c in &mut ch {
            let n = (c[0] as usize) << 16 | (c[1] as usize) << 8 | c[2] as usize;
            out.extend_from_slice(&self.b64[n >> 12]);
            out.extend_from_slice(&self.b64[n & 4095]);
        }
        let r = ch.remainder();
        if r.len() == 1 {
            out.extend_from_slice(&self.b64[(r[0] as usize) << 4]);
            out.extend_from_slice(b"==");
        } else if r.len() == 2 {
            let n = (r[0] as usize) << 16 | (r[1] as usize) << 8;
            out.extend_from_slice(&self.b64[n >> 12]);
            out.extend_from_slice(&self.b64[n & 4095][..1]);
            out.push(b'=');
        }
    }
}

pub struct Call {
    pub rtp: i32,
    pub ws: i32,
    pub tls: Option<Box<rustls::ClientConnection>>,
    pub paced: bool,
    seq: u16,
    ts: u32,
    ssrc: u32,
    rnd: u32,
    acc: Vec<u8>,
    part: Vec<u8>,
    play: Vec<u8>,
    play_off: usize,
    pkt: [u8; 172],
    owed: u32,
}

const JSON_A: &[u8] = b"{\"event\":\"media\",\"media\":{\"payload\":\"";
const JSON_B: &[u8] = b"\"}}";

impl Call {
    pub fn new(rtp: i32, ws: i32, tls: Option<Box<rustls::ClientConnection>>, ssrc: u32) -> Self {
        Call {
            rtp,
            ws,
            tls,
            paced: false,
            seq: 0,
            ts: 0,
            ssrc,
            rnd: ssrc | 1,
            acc: Vec::new(),
            part: Vec::new(),
            play: Vec::new(),
            play_off: 0,
            pkt: [0; 172],
            owed: 0,
        }
    }

    /// one RTP payload in; true when `out` holds a WebSocket message to send
    pub fn rtp_in(&mut self, tb: &Tables, ulaw: &[u8], cfg: &Config, out: &mut Vec<u8>) -> bool {
        for &u in ulaw {
            self.acc.extend_from_slice(&tb.dec[u as usize].to_le_bytes());
        }
        if self.acc.len() < cfg.frame_ms * 16 {
            return false;
        }
        out.clear();
        let plen = if cfg.json {
            JSON_A.len() + JSON_B.len() + self.acc.len().div_ceil(3) * 4
        } else {
            self.acc.len()
        };
        out.push(if cfg.json { 0x81 } else { 0x82 });
        out.push(0x80 | 126);
        out.extend_from_slice(&(plen as u16).to_be_bytes());
        self.rnd ^= self.rnd << 13;
        self.rnd ^= self.rnd >> 17;
        self.rnd ^= self.rnd << 5;
        out.extend_from_slice(&self.rnd.to_le_bytes());
        let at = out.len();
        if cfg.json {
            out.extend_from_slice(JSON_A);
            tb.encode(&self.acc, out);
            out.extend_from_slice(JSON_B);
        } else {
            out.extend_from_slice(&self.acc);
        }
        let m4 = self.rnd.to_le_bytes();
        let m8 = (self.rnd as u64) << 32 | self.rnd as u64;
        let mut ch = out[at..].chunks_exact_mut(8);
        for c in &mut ch {
            let v = u64::from_le_bytes(c.try_into().unwrap()) ^ m8;
            c.copy_from_slice(&v.to_le_bytes());
        }
        for (i, b) in ch.into_remainder().iter_mut().enumerate() {
            *b ^= m4[i & 3];
        }
        self.acc.clear();
        true
    }

    /// bytes from the WebSocket; true when audio was queued
    pub fn ws_in(&mut self, tb: &Tables, data: &[u8], json: bool) -> bool {
        if self.part.is_empty() {
            let (used, got) = self.frames(tb, data, json);
            if used < data.len() {
                self.part.extend_from_slice(&data[used..]);
            }
            got
        } else {
            let mut p = std::mem::take(&mut self.part);
            p.extend_from_slice(data);
            let (used, got) = self.frames(tb, &p, json);
            p.drain(..used);
            self.part = p;
            got
        }
    }

    fn frames(&mut self, tb: &Tables, d: &[u8], json: bool) -> (usize, bool) {
        let mut off = 0;
        let mut got = false;
        while d.len() - off >= 4 {
            let b = &d[off..];
            let (mut len, mut h) = ((b[1] & 0x7f) as usize, 2);
            if len == 126 {
                len = u16::from_be_bytes([b[2], b[3]]) as usize;
                h = 4;
            }
            if b.len() < h + len {
                break;
            }
            let pl = &b[h..h + len];
            if self.play_off > 0 {
                self.play.drain(..self.play_off);
                self.play_off = 0;
            }
            match b[0] & 15 {
                1 if json => {
                    const K: &[u8] = b"\"payload\":\"";
                    if let Some(p) = pl.windows(K.len()).position(|w| w == K) {
                        let (mut acc, mut n, mut lo) = (0u32, 0, None);
                        for &c in &pl[p + K.len()..] {
                            let v = tb.unb64[c as usize];
                            if v == 255 {
                                break;
                            }
                            acc = acc << 6 | v as u32;
                            n += 6;
                            if n >= 8 {
                                n -= 8;
                                let x = (acc >> n) as u8;
                                match lo.take() {
                                    None => lo = Some(x),
                                    Some(l) => self.play.push(tb.enc[u16::from_le_bytes([l, x]) as usize]),
                                }
                            }
                        }
                        got = true;
                    }
                }
                2 => {
                    self.play.extend(
                        pl.chunks_exact(2).map(|c| tb.enc[u16::from_le_bytes([c[0], c[1]]) as usize]),
                    );
                    got = true;
                }
                _ => {}
            }
            off += h + len;
        }
        (off, got)
    }

    /// the next RTP packet, always one: silence where nothing is queued
    pub fn rtp_out(&mut self) -> &[u8] {
        let p = &mut self.pkt;
        p[0] = 0x80;
        p[2..4].copy_from_slice(&self.seq.to_be_bytes());
        p[4..8].copy_from_slice(&self.ts.to_be_bytes());
        p[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        self.seq = self.seq.wrapping_add(1);
        self.ts = self.ts.wrapping_add(160);
        if self.owed > 0 && self.play.len() - self.play_off >= 320 {
            self.owed -= 1; // a frame that came too late: shed, so that its 20 ms do not stay
            self.play_off += 160;
        }
        if self.play.len() - self.play_off >= 160 {
            p[12..].copy_from_slice(&self.play[self.play_off..self.play_off + 160]);
            self.play_off += 160;
        } else {
            p[12..].fill(0xff);
            self.owed += 1;
        }
        &self.pkt
    }
}

impl Call {
    pub fn ws_send(&mut self, b: &[u8]) {
        use std::io::Write;
        match self.tls.as_mut() {
            None => {
                send(self.ws, b);
            }
            Some(t) => {
                let _ = t.writer().write_all(b);
                while t.wants_write() && t.write_tls(&mut Fd(self.ws)).is_ok() {}
            }
        }
    }
    pub fn ws_recv(&mut self, b: &mut [u8]) -> isize {
        use std::io::Read;
        match self.tls.as_mut() {
            None => recv(self.ws, b),
            Some(t) => {
                match t.read_tls(&mut Fd(self.ws)) {
                    Ok(0) => return 0,
                    Err(_) => return -1,
                    _ => {}
                }
                if t.process_new_packets().is_err() {
                    return 0;
                }
                let mut n = 0;
                while let Ok(k) = t.reader().read(&mut b[n..]) {
                    if k == 0 {
                        break;
                    }
                    n += k;
                }
                if n == 0 { -1 } else { n as isize }
            }
        }
    }
}
