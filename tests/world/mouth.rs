//! What a telephone says: a packet every 20 ms of audio, keys or silence, and every fault of real ones on demand.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use streamkit::audio::codec::{self, G711};
use streamkit::rtp::Packet;
use streamkit::rtp::digits::{DigitSender, Step};
use streamkit::units::{Digit, Ssrc};

use super::clock::ms;

/// Payload type of telephone-event in our telephones' offers.
pub(crate) const EVENTS: u8 = 101;
const PTIME: Duration = ms(20);
const SAMPLES: usize = 160;

/// An RTP sender.
#[derive(Debug)]
pub(crate) struct Mouth {
    pub(crate) law: G711,
    pub(crate) ssrc: u32,
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
    /// Sends nothing; time goes on.
    pub(crate) muted: bool,
    /// Key presses lose the packets with the end bit.
    pub(crate) without_ends: bool,
    /// Where it sends from.
    pub(crate) from: SocketAddr,
    /// Where it sends to, once known.
    pub(crate) to: Option<SocketAddr>,
    /// When the next packet is due.
    pub(crate) next: Option<Instant>,
    words: VecDeque<i16>,
    keys: VecDeque<(Digit, Duration)>,
    key: Option<(DigitSender, u32)>,
    /// All samples said since the first packet, silence included.
    pub(crate) said: Vec<i16>,
}

impl Mouth {
    pub(crate) fn new(from: SocketAddr) -> Self {
        Self {
            law: G711::Mu,
            ssrc: 0x5EED_0001,
            seq: 100,
            timestamp: 16_000,
            muted: false,
            without_ends: false,
            from,
            to: None,
            next: None,
            words: VecDeque::new(),
            keys: VecDeque::new(),
            key: None,
            said: Vec::new(),
        }
    }

    /// Says this, after what it says now.
    pub(crate) fn say(&mut self, samples: &[i16]) {
        self.words.extend(samples);
    }

    /// Presses keys, each for 100 ms.
    pub(crate) fn press(&mut self, keys: &str) {
        self.hold(keys, ms(100));
    }

    /// Presses keys, each for so long.
    pub(crate) fn hold(&mut self, keys: &str, held: Duration) {
        let digits = keys.chars().map(|key| Digit::from_char(key).expect("a key"));
        self.keys.extend(digits.map(|digit| (digit, held)));
    }

    /// Begins, or goes on elsewhere.
    pub(crate) fn open(&mut self, now: Instant, to: SocketAddr) {
        self.to = Some(to);
        self.next.get_or_insert(now);
    }

    /// Hangs up.
    pub(crate) fn close(&mut self) {
        (self.to, self.next) = (None, None);
    }

    /// The packet that is due, if one is sent.
    pub(crate) fn speak(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.next.take_if(|at| *at <= now)?;
        self.next = Some(now + PTIME);
        let packet = match self.muted {
            true => None,
            false => self.key_packet().unwrap_or_else(|| Some(self.audio_packet())),
        };
        self.timestamp = self.timestamp.wrapping_add(SAMPLES as u32);
        packet
    }

    /// `Some(None)`: a key is down and nothing is sent in this packet time.
    fn key_packet(&mut self) -> Option<Option<Vec<u8>>> {
        if self.key.is_none() {
            let (digit, held) = self.keys.pop_front()?;
            self.key = Some((DigitSender::new(digit, held, PTIME), self.timestamp));
        }
        let (sender, start) = self.key.as_mut()?;
        let start = *start;
        match sender.step() {
            Step::Event(event) => {
                let lost = self.without_ends && event.payload[1] & 0x80 != 0;
                let packet = self.packet(EVENTS, event.marker, start, &event.payload);
                self.said.extend([0; SAMPLES]);
                Some(Some(packet).filter(|_| !lost))
            }
            Step::Gap => {
                self.said.extend([0; SAMPLES]);
                Some(Some(self.silence()))
            }
            Step::Done => {
                self.key = None;
                self.key_packet()
            }
        }
    }

    fn audio_packet(&mut self) -> Vec<u8> {
        let mut samples = [0; SAMPLES];
        let n = self.words.len().min(SAMPLES);
        for (sample, word) in samples.iter_mut().zip(self.words.drain(..n)) {
            *sample = word;
        }
        self.said.extend(samples);
        let mut octets = [0; SAMPLES];
        codec::encode(self.law, &samples, &mut octets);
        self.packet(self.law.static_payload_type(), self.said.len() == SAMPLES, self.timestamp, &octets)
    }

    fn silence(&mut self) -> Vec<u8> {
        self.packet(self.law.static_payload_type(), false, self.timestamp, &[self.law.silence(); SAMPLES])
    }

    /// A packet with the next number.
    pub(crate) fn packet(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
    ) -> Vec<u8> {
        let packet =
            Packet { payload_type, marker, seq: self.seq, timestamp, ssrc: Ssrc(self.ssrc), payload };
        self.seq = self.seq.wrapping_add(1);
        let mut bytes = vec![0; 2000];
        let length = packet.write(&mut bytes).expect("room");
        bytes.truncate(length);
        bytes
    }
}
