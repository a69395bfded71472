//! RTP of all calls.

use rig::g711::ulaw_to_pcm;
use rig::net::{LO, recvfrom, sendto};
use rig::process::now_us;
use rig::stamp::{missing, stamp_ulaw};

use crate::call::State;
use crate::{Load, Phase};

/// After a stall older packets are left out.
const MOST_MS: u64 = 200;
/// A packet that comes so much after the one before it is late.
const LATE_US: u64 = 40_000;

impl Load {
    /// One datagram of a call: whoever has more is told again.
    pub fn read_rtp(&mut self, i: usize) {
        let mut buffer = [0; 2048];
        let (call, window) = (&mut self.calls[i], &mut self.window);
        let Some((length, from)) = recvfrom(call.rtp, &mut buffer) else { return };
        let now = now_us();
        let audio = length >= 12 && buffer[0] >> 6 == 2 && buffer[1] & 0x7f == 0;
        if !audio || (call.remote_port != 0 && from != call.remote_port) {
            return; // RTCP, keys, strangers
        }
        let before = std::mem::replace(&mut call.heard_us, now);
        let seq = u16::from_be_bytes([buffer[2], buffer[3]]);
        let seq_before = call.heard_seq.replace(seq);
        if self.phase != Phase::Window {
            return;
        }
        window.received += 1;
        call.heard += 1;
        if before > 0 {
            window.apart.add((now - before) as i64);
            window.late += u64::from(now - before > LATE_US);
        }
        if let Some(before) = seq_before {
            call.gaps += u64::from(seq.wrapping_sub(before).wrapping_sub(1).min(1000));
        }
        let samples = buffer[12..length].iter().map(|&octet| ulaw_to_pcm(octet));
        let last = &mut call.stamp;
        call.scanner.feed(samples, |stamp, _| {
            window.missing += last.replace(stamp).map_or(0, |before| missing(before, stamp));
            window.delay.add(i64::from((now as u32).wrapping_sub(stamp) as i32));
        });
    }

    /// Every call of the milliseconds that are over says its packet.
    pub fn speak(&mut self) {
        let ms = now_us() / 1000;
        self.last_ms = self.last_ms.max(ms.saturating_sub(MOST_MS));
        while self.last_ms < ms {
            self.last_ms += 1;
            for n in 0..self.wheel[(self.last_ms % 20) as usize].len() {
                self.speak_once(self.wheel[(self.last_ms % 20) as usize][n]);
            }
        }
    }

    fn speak_once(&mut self, i: usize) {
        let call = &mut self.calls[i];
        if call.state != State::Up || call.remote_port == 0 {
            return;
        }
        let mut packet = [0; 172];
        packet[0] = 0x80;
        packet[2..4].copy_from_slice(&call.seq.to_be_bytes());
        packet[4..8].copy_from_slice(&call.timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&(0x5100_0000 + i as u32).to_be_bytes());
        call.seq = call.seq.wrapping_add(1);
        call.timestamp = call.timestamp.wrapping_add(160);
        let now = now_us();
        stamp_ulaw(&mut packet[12..], now as u32);
        let sent = sendto(call.rtp, &packet, LO, call.remote_port);
        self.window.refused += u64::from(sent < 0);
        if self.phase == Phase::Window {
            self.window.pace.add((now - self.last_ms * 1000) as i64);
            self.window.sent += 1;
        }
    }
}
