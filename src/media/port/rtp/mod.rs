//! One RTP session as a port: packets in to a gapless line, blocks out to packets (sip-trunk.md 11.1 to 11.5).

mod report;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::reserve::Reservation;
use super::super::{RtpCounts, RtpSpec};
use super::control::{Control, reachable};
use super::guard::Guard;
use super::keys::Keys;
use crate::audio::codec::{self, G711};
use crate::audio::{Concealer, g711};
use crate::ids::Entropy;
use crate::rtp::digits::{self, DigitReceiver, Pressed};
use crate::rtp::jitter::{Arrival, Item, Kind};
use crate::rtp::latch::{Peer, Verdict};
use crate::rtp::packet::{COMFORT_NOISE, HEADER, MAX_PAYLOAD, is_rtcp};
use crate::rtp::receiver::Receiver;
use crate::rtp::rtcp::WallClock;
use crate::rtp::sender::Sender;
use crate::rtp::srtp::OVERHEAD;
use crate::rtp::{JitterBuffer, Packet};

/// Samples of the longest packet we send, 60 ms.
const LONGEST: usize = 480;

/// Room for a piece of a peer's line.
pub(in crate::media) type Line = [i16; MAX_PAYLOAD];

/// Samples of what follows a loss that are looked at to fill it.
const FOLLOWING: usize = 160;

/// A packet to send.
#[derive(Clone, Debug)]
pub(in crate::media) struct Outgoing {
    pub(in crate::media) to: SocketAddr,
    /// It leaves by the socket of RTCP.
    pub(in crate::media) beside: bool,
    pub(in crate::media) length: usize,
    pub(in crate::media) bytes: [u8; HEADER + LONGEST + OVERHEAD],
}

impl Outgoing {
    fn new(to: SocketAddr, beside: bool) -> Self {
        Self { to, beside, length: 0, bytes: [0; HEADER + LONGEST + OVERHEAD] }
    }
}

/// What a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::media) enum Arrived {
    /// Nothing of ours, or nothing to be heard: counted.
    Nothing,
    /// Of the peer: the line may have grown, a key may be told.
    Packet,
    /// The same, and the first audio at all.
    First,
}

enum Carries {
    Audio(G711),
    Event,
    Noise,
}

/// One RTP session.
#[derive(Debug)]
pub(in crate::media) struct RtpPort {
    pub(in crate::media) spec: Box<RtpSpec>,
    pub(in crate::media) reservation: Reservation,
    peer: Peer,
    control: Control,
    guard: Option<Box<Guard>>,
    receiver: Receiver,
    jitter: JitterBuffer,
    digits: DigitReceiver,
    keys: Keys,
    concealer: Concealer,
    sender: Sender,
    /// Another SSRC, for the one time the peer is heard under ours (RFC 3550 §8.2). A peer that sends our own packets
    /// back would be heard under any.
    spare: Option<u32>,
    /// The piece told of last came from the peer, and is not made up.
    genuine: bool,
    /// Room for one packet.
    gathered: Box<[i16]>,
    filled: usize,
    /// Some of what is gathered is more than silence.
    voiced: bool,
    last_in: Instant,
    silent: bool,
    heard: bool,
    spoke: bool,
    /// Samples that were missing while nobody was expected to send, and the count at the beginning of such a time.
    held: u64,
    hold: Option<u64>,
    counts: RtpCounts,
}

impl RtpPort {
    /// A session that begins now. `wait`: the longest for a missing packet.
    pub(in crate::media) fn new(
        now: Instant,
        spec: Box<RtpSpec>,
        reservation: Reservation,
        wait: Duration,
        clock: WallClock,
        chance: &mut Entropy,
    ) -> Self {
        let mut keys = Keys::default();
        keys.listen(spec.inband_dtmf);
        Self {
            peer: Peer::new(now, spec.remote, spec.latch.clone()),
            control: Control::new(now, clock, &spec, chance),
            guard: spec.srtp.as_deref().map(|srtp| Box::new(Guard::new(srtp))),
            receiver: Receiver::new(),
            jitter: JitterBuffer::new(now, wait),
            digits: DigitReceiver::new(),
            keys,
            concealer: Concealer::new(),
            sender: Sender::new(chance.u32(), chance.u32() as u16, chance.u32()),
            spare: Some(chance.u32()),
            genuine: false,
            gathered: vec![0; ptime(&spec)].into(),
            filled: 0,
            voiced: false,
            last_in: now,
            silent: false,
            heard: false,
            spoke: false,
            held: 0,
            hold: (!spec.receive).then_some(0),
            counts: RtpCounts::default(),
            spec,
            reservation,
        }
    }

    /// A new SDP; the old spec comes back, to be freed elsewhere.
    pub(in crate::media) fn change(&mut self, now: Instant, spec: Box<RtpSpec>) -> Box<RtpSpec> {
        self.peer.answered(now, spec.remote, spec.latch.clone());
        self.control.change(now, &spec);
        self.keys.listen(spec.inband_dtmf);
        self.guard = match (self.guard.take(), spec.srtp.as_deref()) {
            (Some(guard), Some(srtp)) => Some(Box::new(guard.change(now, srtp))),
            (None, Some(srtp)) => Some(Box::new(Guard::new(srtp))),
            (_, None) => None,
        };
        let room = ptime(&spec).max(self.filled);
        if self.gathered.len() != room {
            let mut gathered = vec![0; room];
            gathered[..self.filled].copy_from_slice(&self.gathered[..self.filled]);
            self.gathered = gathered.into();
        }
        let missing = self.jitter.counts().missing;
        match (self.hold, spec.receive) {
            (Some(since), true) => {
                self.hold = None;
                self.held += missing - since;
                self.last_in = now; // the watch begins again with the hold's end
            }
            (None, false) => self.hold = Some(missing),
            (Some(_), false) | (None, true) => {}
        }
        std::mem::replace(&mut self.spec, spec)
    }

    /// Takes a datagram of the socket in.
    pub(in crate::media) fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Arrived {
        if is_rtcp(bytes) {
            self.rtcp(now, from, bytes, true);
            return Arrived::Nothing;
        }
        let Some(guard) = &mut self.guard else { return self.packet_in(now, from, bytes) };
        if bytes.first().is_none_or(|first| first >> 6 != 2) {
            self.counts.malformed += 1; // STUN, DTLS or anything else
            return Arrived::Nothing;
        }
        if !self.peer.considers(now, from) {
            self.counts.foreign += 1; // a stranger is not worth the cipher
            return Arrived::Nothing;
        }
        match guard.receiving.open(now, bytes) {
            Ok(opened) => self.packet_in(now, from, &opened),
            Err(refused) => {
                self.refuse(refused);
                Arrived::Nothing
            }
        }
    }

    /// A packet in the clear, authentic where SRTP is used.
    fn packet_in(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Arrived {
        let Ok(packet) = Packet::read(bytes) else {
            self.counts.malformed += 1;
            return Arrived::Nothing;
        };
        let carries = self.carries(packet.payload_type);
        match self.peer.accept(now, from, packet.ssrc, packet.seq, carries.is_some()) {
            Verdict::Take => {}
            Verdict::Learning => return Arrived::Nothing,
            Verdict::Foreign => {
                self.counts.foreign += 1;
                return Arrived::Nothing;
            }
        }
        let Some(carries) = carries else {
            self.counts.malformed += 1;
            return Arrived::Nothing;
        };
        self.last_in = now;
        self.silent = false;
        self.collide(&packet);
        self.take(now, &packet, &carries)
    }

    fn take(&mut self, now: Instant, packet: &Packet<'_>, carries: &Carries) -> Arrived {
        let timed = !matches!(carries, Carries::Event);
        self.receiver.push(now, packet.ssrc, packet.seq, packet.timestamp, packet.payload.len(), timed);
        if !self.spec.receive {
            return Arrived::Nothing; // the SDP said that nobody listens
        }
        let kind = match carries {
            Carries::Audio(_) => Kind::Audio,
            Carries::Event => Kind::Event { end: digits::is_end(packet.payload) },
            Carries::Noise => Kind::Quiet,
        };
        if matches!(carries, Carries::Event) {
            let Packet { ssrc, seq, timestamp, marker, payload, .. } = *packet;
            self.digits.push(now, ssrc, seq, timestamp, marker, payload);
        }
        let mut other = [0; MAX_PAYLOAD];
        let payload = match carries {
            Carries::Audio(law) if *law != self.spec.codec => {
                transcode(*law, packet.payload, &mut other);
                &other[..packet.payload.len().min(MAX_PAYLOAD)]
            }
            Carries::Audio(_) | Carries::Event | Carries::Noise => packet.payload,
        };
        let Packet { ssrc, seq, timestamp, .. } = *packet;
        let faint = self.jitter.runs_off() && kind == Kind::Audio && faint(self.spec.codec, payload);
        // What is discarded is counted there; the line may still have grown by this packet's time.
        let _ = self.jitter.push(now, Arrival { ssrc, seq, timestamp, kind, payload, faint });
        if kind == Kind::Audio && !std::mem::replace(&mut self.heard, true) {
            return Arrived::First;
        }
        Arrived::Packet
    }

    /// The next piece of the peer's line that is there or overdue: how many samples `line` now begins with. It is the
    /// caller's, for it is passed on at once: no port needs one of its own.
    pub(in crate::media) fn pop(&mut self, now: Instant, line: &mut Line) -> Option<usize> {
        let law = self.spec.codec;
        let item = self.jitter.pop(now)?;
        self.genuine = matches!(item, Item::Audio(_));
        let n = match item {
            Item::Audio(octets) => {
                let n = codec::decode(law, octets, line);
                if self.digits.muted() {
                    self.concealer.silence(&mut line[..n]);
                } else {
                    self.concealer.good(&mut line[..n]);
                }
                n
            }
            Item::Lost { samples } => {
                let n = samples.min(MAX_PAYLOAD);
                let (mut octets, mut next) = ([0; FOLLOWING], [0; FOLLOWING]);
                let known = self.jitter.following(&mut octets);
                if known == 0 || self.digits.muted() {
                    self.concealer.lost(&mut line[..n]);
                } else {
                    codec::decode(law, &octets[..known], &mut next);
                    self.concealer.bridge(&mut line[..n], &next[..known]);
                }
                n
            }
            Item::Silence { samples } => {
                let n = samples.min(MAX_PAYLOAD);
                self.concealer.silence(&mut line[..n]);
                n
            }
        };
        self.keys.hear(&line[..n]);
        Some(n)
    }

    /// Whether the piece that `pop` told of came from the peer, and is not made up.
    pub(in crate::media) fn genuine(&self) -> bool {
        self.genuine
    }

    /// When the line has its next piece even if nothing comes.
    pub(in crate::media) fn overdue(&self) -> Option<Instant> {
        self.jitter.poll_timeout()
    }

    /// The next key released by now.
    pub(in crate::media) fn digit(&mut self, now: Instant) -> Option<Pressed> {
        while let Some(pressed) = self.digits.poll(now) {
            if self.keys.event(now, &pressed) {
                return Some(pressed);
            }
        }
        self.keys.tone(now)
    }

    /// When a key counts as released without its end.
    pub(in crate::media) fn digit_due(&self) -> Option<Instant> {
        self.digits.poll_timeout()
    }

    /// True once a silence longer than `timeout`.
    pub(in crate::media) fn gone_silent(&mut self, now: Instant) -> bool {
        let watched = self.spec.receive && !self.spec.timeout.is_zero() && !self.silent;
        let over = watched && now.saturating_duration_since(self.last_in) >= self.spec.timeout;
        self.silent |= over;
        over
    }

    /// Samples of a packet we send.
    pub(in crate::media) fn ptime(&self) -> usize {
        ptime(&self.spec)
    }

    /// Whether what was given is sent: no packet waits for its other half.
    pub(in crate::media) fn flushed(&self) -> bool {
        self.filled == 0 || !self.sends()
    }

    /// What was gathered and not sent falls silent: its bot took it back.
    pub(in crate::media) fn hush(&mut self) {
        self.gathered[..self.filled].fill(0);
    }

    /// Time that is passed over: nothing is sent in it.
    pub(in crate::media) fn skip(&mut self, samples: u64) {
        self.sender.skip(samples as u32); // RTP time wraps
    }

    /// Takes a block for the peer; each packet it completes goes to `send`. True: the first that is not silence
    /// is among them.
    pub(in crate::media) fn say(
        &mut self,
        mut block: &[i16],
        voiced: bool,
        mut send: impl FnMut(Outgoing),
    ) -> bool {
        if !self.sends() {
            self.skip((block.len() + self.filled) as u64);
            self.filled = 0;
            return false;
        }
        let (ptime, spoke) = (self.ptime(), self.spoke);
        self.voiced |= voiced;
        loop {
            let n = block.len().min(ptime.saturating_sub(self.filled));
            self.gathered[self.filled..self.filled + n].copy_from_slice(&block[..n]);
            self.filled += n;
            block = &block[n..];
            if self.filled < ptime {
                return self.spoke && !spoke;
            }
            if let Some(packet) = self.packet() {
                send(packet);
            }
            self.voiced = voiced && !block.is_empty();
        }
    }

    /// A packet the kernel did not take.
    pub(in crate::media) fn send_failed(&mut self) {
        self.counts.send_failed += 1;
    }

    /// What was counted so far.
    pub(in crate::media) fn counts(&self) -> RtpCounts {
        let (totals, jitter) = (self.receiver.totals(), self.jitter.counts());
        let held = self.held + self.hold.map_or(0, |since| jitter.missing - since);
        RtpCounts {
            packets_in: totals.packets,
            bytes_in: totals.octets,
            lost: totals.lost,
            late: jitter.late,
            duplicated: totals.duplicated,
            reordered: totals.reordered,
            concealed_ms: jitter.missing.saturating_sub(held) / 8,
            jitter_ms: totals.jitter / 8.0,
            longest_gap_ms: totals.longest_gap.as_millis() as u64,
            packets_out: self.sender.packets(),
            bytes_out: self.sender.octets(),
            told: self.control.told(),
            ..self.counts.clone()
        }
    }

    fn packet(&mut self) -> Option<Outgoing> {
        let mut octets = [0; LONGEST];
        let n = codec::encode(self.spec.codec, &self.gathered[..self.filled], &mut octets);
        self.filled = 0;
        self.spoke |= self.voiced;
        let mut packet = Outgoing::new(self.peer.target(), false);
        packet.length = self.sender.audio(self.spec.payload_type, &octets[..n], &mut packet.bytes)?;
        if let Some(guard) = &mut self.guard {
            packet.length = guard.sending.protect(&mut packet.bytes, packet.length)?;
        }
        Some(packet)
    }

    fn sends(&self) -> bool {
        self.spec.send && reachable(self.peer.target())
    }

    fn carries(&self, payload_type: u8) -> Option<Carries> {
        if payload_type == self.spec.payload_type {
            return Some(Carries::Audio(self.spec.codec));
        }
        if let Some((law, _)) = self.spec.also.filter(|also| also.1 == payload_type) {
            return Some(Carries::Audio(law));
        }
        if [self.spec.telephone_event, self.spec.telephone_event_also].contains(&Some(payload_type)) {
            return Some(Carries::Event);
        }
        (payload_type == COMFORT_NOISE).then_some(Carries::Noise)
    }

    fn collide(&mut self, packet: &Packet<'_>) {
        if packet.ssrc == self.sender.ssrc()
            && let Some(spare) = self.spare.take()
        {
            self.sender.rename(spare);
        }
    }
}

/// Samples of a packet we send.
fn ptime(spec: &RtpSpec) -> usize {
    (usize::from(spec.ptime_ms) * 8).clamp(80, LONGEST)
}

/// Whether nobody hears what is left out there: 46 dB below full scale in the mean, or softer.
fn faint(law: G711, octets: &[u8]) -> bool {
    const MOST: u64 = 160;
    let mut samples = [0; MAX_PAYLOAD];
    let n = codec::decode(law, octets, &mut samples);
    let sum: u64 = samples[..n].iter().map(|sample| u64::from(sample.unsigned_abs())).sum();
    sum <= MOST * n as u64
}

/// The other law's octets as ours: the line is kept in one law.
fn transcode(from: G711, octets: &[u8], out: &mut [u8]) {
    for (out, &octet) in out.iter_mut().zip(octets) {
        *out = match from {
            G711::Mu => g711::linear_to_a(g711::MU_TO_LINEAR[usize::from(octet)]),
            G711::A => g711::linear_to_mu(g711::A_TO_LINEAR[usize::from(octet)]),
        };
    }
}
