//! What we receive: authenticated, not a replay, deciphered; else it has done nothing.

use std::fmt;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use bytes::Bytes;
use webrtc_srtp::context::Context;

use super::window::Window;
use super::{Key, MAX_PROTECTED, RTCP_HEAD, RTCP_INDEX, RTCP_TAG, header};
use crate::rtp::packet::HEADER;

/// Sources whose packets are told from replays under one key; the one heard longest ago is forgotten first.
const SOURCES: usize = 4;
/// Unknown sources that may fail before the library's memory of them is cleared.
const STRAYS: u32 = 64;
/// Packets of unknown sources that are tried as packets of a sender that has turned its counter before.
const TURNED: u32 = 32;
/// After so long without an authentic packet, one that fails may be of a turn we missed.
const LOST: Duration = Duration::from_secs(5);
/// The first of those is tried, and one in so many.
const SAMPLED: u32 = 8;
/// Turns beyond which none is looked for: four days of packets; more would take a core more than a millisecond.
const TURNS: u64 = 256;
/// Keys overlap for so long: what was on its way when they changed is still the peer's.
const OVERLAP: Duration = Duration::from_secs(10);

/// Why a packet was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its tag is not that of our key, or it has no room for one.
    #[error("not authentic")]
    Unauthentic,
    /// It has come before, or is too old to tell.
    #[error("replayed")]
    Replayed,
}

/// Opens what the peer sends.
pub struct Receiving {
    key: Key,
    mki: usize,
    pub(super) sources: ArrayVec<Source, SOURCES>,
    /// For sources that were never authentic, as if their counter had not turned.
    fresh: Context,
    pub(super) strays: u32,
    turned: u32,
    /// Index of the peer's last packet under the key before this one.
    before: Option<u64>,
    rtcp: Control,
    /// The key before this one, until a packet of the present one came.
    previous: Option<(Box<Self>, Instant)>,
}

pub(super) struct Source {
    ssrc: u32,
    context: Context,
    window: Window,
    /// Last authentic packet, packets that failed since.
    heard: Instant,
    failed: u32,
}

struct Control {
    context: Context,
    strays: u32,
    windows: ArrayVec<(u32, Window), SOURCES>,
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").field("key", &self.key).field("mki", &self.mki).finish_non_exhaustive()
    }
}

impl Receiving {
    /// Nothing received under this key; `mki`: octets of MKI before each tag.
    pub fn new(key: Key, mki: u8) -> Self {
        let (fresh, context) = (key.context(), key.context());
        Self {
            key,
            mki: usize::from(mki),
            sources: ArrayVec::new(),
            fresh,
            strays: 0,
            turned: TURNED,
            before: None,
            rtcp: Control { context, strays: 0, windows: ArrayVec::new() },
            previous: None,
        }
    }

    /// The peer changes its key. What it sent before it did is taken until its first packet under the new one.
    pub fn followed_by(mut self, now: Instant, key: Key, mki: u8) -> Self {
        self.previous = None;
        let before = self.sources.last().map(|source| source.window.highest()).or(self.before);
        Self { before, previous: Some((Box::new(self), now + OVERLAP)), ..Self::new(key, mki) }
    }

    /// The key, and the octets of MKI.
    pub fn key(&self) -> (&Key, u8) {
        (&self.key, self.mki as u8)
    }

    /// Opens an RTP packet: the packet as it was before it was protected.
    ///
    /// # Errors
    /// When it is not authentic under the peer's key, or was opened before.
    pub fn open(&mut self, now: Instant, packet: &[u8]) -> Result<Bytes, Refused> {
        let opened = self.open_new(now, packet);
        if opened.is_ok() {
            self.previous = None;
        } else if let Some(previous) = self.overlapping(now) {
            return previous.open_new(now, packet).or(opened);
        }
        opened
    }

    /// Opens an RTCP packet.
    ///
    /// # Errors
    /// As `open`; and when it is not enciphered, which only UNENCRYPTED_SRTCP would allow (RFC 4568 §6.3.2).
    pub fn open_rtcp(&mut self, now: Instant, packet: &[u8]) -> Result<Bytes, Refused> {
        let opened = self.open_rtcp_new(packet);
        if opened.is_err()
            && let Some(previous) = self.overlapping(now)
        {
            return previous.open_rtcp_new(packet).or(opened);
        }
        opened
    }

    fn overlapping(&mut self, now: Instant) -> Option<&mut Self> {
        self.previous.take_if(|(_, until)| *until <= now);
        self.previous.as_mut().map(|(previous, _)| &mut **previous)
    }

    fn open_new(&mut self, now: Instant, packet: &[u8]) -> Result<Bytes, Refused> {
        let mut room = [0; MAX_PROTECTED];
        let tag = self.key.tag();
        let packet = without_mki(packet, self.mki, tag, &mut room).ok_or(Refused::Unauthentic)?;
        let payload = payload(packet).filter(|payload| payload + tag <= packet.len());
        let payload = payload.ok_or(Refused::Unauthentic)?;
        let header = header(packet, payload).ok_or(Refused::Unauthentic)?;
        let (ssrc, seq) = (header.ssrc, header.sequence_number);
        let Some(at) = self.sources.iter().position(|source| source.ssrc == ssrc) else {
            return self.open_unknown(now, packet, &header).ok_or(Refused::Unauthentic);
        };
        let source = &mut self.sources[at];
        let index = source.window.index(seq);
        if source.window.knows(index) {
            return Err(Refused::Replayed);
        }
        if let Ok(opened) = source.context.decrypt_rtp_with_header(packet, &header) {
            source.window.add(index);
            (source.heard, source.failed) = (now, 0);
            if at + 1 < self.sources.len() {
                self.sources[at..].rotate_left(1); // the latest is the last
            }
            return Ok(opened);
        }
        source.failed += 1;
        if now.saturating_duration_since(source.heard) < LOST || source.failed % SAMPLED != 1 {
            return Err(Refused::Unauthentic);
        }
        let next = source.window.next(seq);
        for index in [next, next + 0x1_0000] {
            let Some(mut context) = turned(&self.key, ssrc, index) else { break };
            if let Ok(opened) = context.decrypt_rtp_with_header(packet, &header) {
                source.window.add(index);
                (source.context, source.heard, source.failed) = (context, now, 0);
                return Ok(opened);
            }
        }
        Err(Refused::Unauthentic)
    }

    /// A source that was never authentic: its counter may have turned before we listened, or before its key changed.
    fn open_unknown(&mut self, now: Instant, packet: &[u8], header: &::rtp::header::Header) -> Option<Bytes> {
        let (ssrc, seq) = (header.ssrc, header.sequence_number);
        if let Ok(opened) = self.fresh.decrypt_rtp_with_header(packet, header) {
            let context = std::mem::replace(&mut self.fresh, self.key.context());
            self.strays = 0;
            self.admit(Source { ssrc, context, window: Window::begin(seq.into()), heard: now, failed: 0 });
            return Some(opened);
        }
        self.strays += 1;
        if self.strays >= STRAYS {
            (self.fresh, self.strays) = (self.key.context(), 0);
        }
        self.turned = self.turned.checked_sub(1)?;
        let before = self.before.map(|highest| Window::begin(highest).index(seq));
        for index in [Some(0x1_0000 + u64::from(seq)), before].into_iter().flatten() {
            let Some(mut context) = turned(&self.key, ssrc, index) else { break };
            if let Ok(opened) = context.decrypt_rtp_with_header(packet, header) {
                self.turned = TURNED;
                self.admit(Source { ssrc, context, window: Window::begin(index), heard: now, failed: 0 });
                return Some(opened);
            }
        }
        None
    }

    fn admit(&mut self, source: Source) {
        if self.sources.is_full() {
            self.sources.remove(0);
        }
        self.sources.push(source);
    }

    fn open_rtcp_new(&mut self, packet: &[u8]) -> Result<Bytes, Refused> {
        let mut room = [0; MAX_PROTECTED];
        let packet = without_mki(packet, self.mki, RTCP_TAG, &mut room).ok_or(Refused::Unauthentic)?;
        let body = packet.len().checked_sub(RTCP_TAG + RTCP_INDEX).filter(|&body| body >= RTCP_HEAD);
        let [Some(word), Some(ssrc)] =
            [body, Some(RTCP_HEAD - 4)].map(|at| packet.get(at?..at? + 4)?.try_into().ok())
        else {
            return Err(Refused::Unauthentic);
        };
        let (word, ssrc) = (u32::from_be_bytes(word), u32::from_be_bytes(ssrc));
        let index = u64::from(word & 0x7FFF_FFFF);
        if word >> 31 == 0 {
            return Err(Refused::Unauthentic);
        }
        let Control { context, strays, windows } = &mut self.rtcp;
        let known = windows.iter().position(|(known, _)| *known == ssrc);
        if known.is_some_and(|at| windows[at].1.knows(index)) {
            return Err(Refused::Replayed);
        }
        let Ok(opened) = context.decrypt_rtcp(packet) else {
            *strays += 1;
            if *strays >= STRAYS {
                (*context, *strays) = (self.key.context(), 0);
            }
            return Err(Refused::Unauthentic);
        };
        match known {
            Some(at) => windows[at].1.add(index),
            None => {
                if windows.is_full() {
                    windows.remove(0);
                }
                windows.push((ssrc, Window::begin(index)));
            }
        }
        Ok(opened)
    }
}

/// Where the payload begins: behind CSRCs and extension, which are not enciphered. Nothing is believed of padding: it
/// is.
fn payload(packet: &[u8]) -> Option<usize> {
    let first = *packet.first().filter(|first| *first >> 6 == 2)?;
    let mut at = HEADER + usize::from(first & 0xF) * 4;
    if first & 0x10 != 0 {
        let &[_, _, high, low] = packet.get(at..at + 4)? else { return None };
        at += 4 + usize::from(u16::from_be_bytes([high, low])) * 4;
    }
    (at <= packet.len()).then_some(at)
}

/// The MKI stands before the tag (RFC 3711 §3.1) and is no part of what is authenticated.
fn without_mki<'a>(packet: &'a [u8], mki: usize, tag: usize, room: &'a mut [u8]) -> Option<&'a [u8]> {
    if mki == 0 {
        return Some(packet).filter(|packet| packet.len() <= MAX_PROTECTED);
    }
    let length = packet.len().checked_sub(mki)?;
    let (body, end) = (packet.get(..length.checked_sub(tag)?)?, packet.get(packet.len() - tag..)?);
    let room = room.get_mut(..length)?;
    room[..body.len()].copy_from_slice(body);
    room[body.len()..].copy_from_slice(end);
    Some(room)
}

/// A context that stands just before `index`. The library counts turns by packets only, so it is shown some of our
/// own making, less than half a turn apart.
fn turned(key: &Key, ssrc: u32, index: u64) -> Option<Context> {
    const STEP: u64 = 0x6000;
    if index >> 16 > TURNS {
        return None;
    }
    let (mut ours, mut theirs) = (key.context(), key.context());
    let target = index.saturating_sub(1);
    let mut at = 0;
    loop {
        let mut packet = [0; HEADER];
        packet[0] = 0x80;
        packet[2..4].copy_from_slice(&(at as u16).to_be_bytes());
        packet[8..].copy_from_slice(&ssrc.to_be_bytes());
        if let Some(header) = header(&packet, HEADER)
            && let Ok(sealed) = ours.encrypt_rtp_with_header(&packet, &header)
        {
            let _ = theirs.decrypt_rtp_with_header(&sealed, &header);
        }
        if at >= target {
            return Some(theirs);
        }
        at = target.min(at + STEP);
    }
}
