//! The audio of one call: a packet out and a look into the socket at each packet time.

use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use nix::sys::time::TimeSpec;

use super::ear::Ear;
use super::spread::Spread;
use crate::audio::G711;
use crate::audio::codec::encode;
use crate::lab::caller::guard::Guard;
use crate::lab::caller::line::Pair;
use crate::lab::sound::Sound;
use crate::rtp::Packet;
use crate::rtp::sender::Sender;
use crate::rtp::srtp::{MAX_PROTECTED, OVERHEAD};
use crate::sdp::{Agreed, Law};
use crate::units::SampleRate;

/// Room for the longest packet there is, encrypted.
const ROOM: usize = MAX_PROTECTED + OVERHEAD;
/// Samples of the longest packet time, 60 ms.
const LONGEST: usize = 480;

/// What is said, in both laws, long enough for one more packet after its end.
#[derive(Debug)]
pub(super) struct Speech {
    mu: Vec<u8>,
    a: Vec<u8>,
    long: usize,
}

impl Speech {
    pub(super) fn new(sound: &Sound) -> Self {
        let mut samples = sound.at(SampleRate::Hz8000).samples;
        samples.resize(samples.len().max(LONGEST), 0);
        let long = samples.len();
        samples.extend_from_within(..LONGEST);
        let said = |law| {
            let mut octets = vec![0; samples.len()];
            encode(law, &samples, &mut octets);
            octets
        };
        Self { mu: said(G711::Mu), a: said(G711::A), long }
    }

    fn at(&self, law: Law, place: usize, samples: usize) -> &[u8] {
        let octets = match law {
            Law::Mu => &self.mu,
            Law::A => &self.a,
        };
        octets.get(place..place + samples).unwrap_or_default()
    }
}

/// What the pacer lends to each line in turn.
pub(super) struct Desk {
    pub(super) speech: Arc<Speech>,
    /// A datagram.
    pub(super) room: Box<[u8; ROOM]>,
    control: Vec<u8>,
    pub(super) behind: Spread,
    /// Both clocks, read together at each wake.
    pub(super) now: Instant,
    wall: Duration,
    began: Instant,
}

impl Desk {
    pub(super) fn new(speech: Arc<Speech>, now: Instant) -> Self {
        let control = cmsg_space!(TimeSpec);
        let (room, behind) = (Box::new([0; ROOM]), Spread::default());
        Self { speech, room, control, behind, now, wall: Duration::ZERO, began: now }
    }

    pub(super) fn wake(&mut self, now: Instant) {
        self.now = now;
        self.wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    }

    /// A time of the kernel's wall clock on ours, in microseconds; one more than a second old is not believed.
    fn microseconds(&self, stamp: Option<Duration>) -> i64 {
        let age = stamp.and_then(|stamp| self.wall.checked_sub(stamp)).unwrap_or_default();
        let age = if age < Duration::from_secs(1) { age } else { Duration::ZERO };
        let now = self.now.saturating_duration_since(self.began).as_micros();
        i64::try_from(now).unwrap_or(i64::MAX) - age.as_micros() as i64
    }
}

/// The audio of one call.
pub(super) struct Line {
    pair: Pair,
    agreed: Agreed,
    to: Option<SocketAddr>,
    sender: Sender,
    place: usize,
    guard: Option<Guard>,
    pub(super) opened: Instant,
    pub(super) ear: Ear,
    pub(super) skipped: u64,
    pub(super) unauthentic: u64,
}

impl Line {
    pub(super) fn new(pair: Pair, agreed: Agreed, sender: Sender, place: usize, now: Instant) -> Self {
        let guard = agreed.crypto.as_ref().map(|crypto| Guard::after(None, now, crypto));
        let to = agreed.target();
        let (ear, skipped, unauthentic) = (Ear::default(), 0, 0);
        Self { pair, agreed, to, sender, place, guard, opened: now, ear, skipped, unauthentic }
    }

    /// What a new description says.
    pub(super) fn turn(&mut self, agreed: Agreed, now: Instant) {
        self.guard = agreed.crypto.as_ref().map(|crypto| Guard::after(self.guard.take(), now, crypto));
        self.to = agreed.target().or(self.to);
        self.agreed = agreed;
    }

    /// Milliseconds a packet.
    pub(super) fn packet_ms(&self) -> usize {
        usize::from(self.agreed.ptime_ms).clamp(10, 60)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sender.packets()
    }

    /// Takes everything that came.
    pub(super) fn listen(&mut self, desk: &mut Desk) {
        while let Some((length, stamp)) = receive(&self.pair, desk) {
            let at = desk.microseconds(stamp);
            let opened = match &mut self.guard {
                None => None,
                Some(guard) => match guard.receiving.open(desk.now, &desk.room[..length]) {
                    Ok(plain) => Some(plain),
                    Err(_) => {
                        self.unauthentic += 1;
                        continue;
                    }
                },
            };
            let datagram = opened.as_deref().unwrap_or(&desk.room[..length]);
            if let Ok(packet) = Packet::read(datagram)
                && packet.payload_type == self.agreed.payload_type
            {
                self.ear.hear(at, &packet, &mut desk.behind);
            }
        }
    }

    /// Says the next packet; what the system does not take is lost, as on any network.
    pub(super) fn speak(&mut self, desk: &mut Desk) {
        let samples = self.packet_ms() * 8;
        let (Some(to), true) = (self.to, self.agreed.send) else {
            return self.sender.skip(samples as u32);
        };
        let said = desk.speech.at(self.agreed.law, self.place, samples);
        self.place = (self.place + samples) % desk.speech.long;
        let out = &mut desk.room[..];
        let Some(length) = self.sender.audio(self.agreed.payload_type, said, out) else { return };
        let length = match &mut self.guard {
            None => Some(length),
            Some(guard) => guard.sending.protect(out, length),
        };
        drop(length.map(|length| self.pair.rtp.send_to(&desk.room[..length], to)));
    }

    /// Leaves a packet out: its time is long past.
    pub(super) fn skip(&mut self) {
        self.skipped += 1;
        self.sender.skip((self.packet_ms() * 8) as u32);
    }
}

/// One datagram into the desk's room, if there is one: its length, and the time the kernel got it.
fn receive(pair: &Pair, desk: &mut Desk) -> Option<(usize, Option<Duration>)> {
    let mut slices = [IoSliceMut::new(&mut desk.room[..])];
    let (socket, control) = (pair.rtp.as_raw_fd(), Some(&mut desk.control[..]));
    let got = recvmsg::<SockaddrStorage>(socket, &mut slices, control, MsgFlags::MSG_DONTWAIT).ok()?;
    let stamp = got.cmsgs().ok().and_then(|mut messages| {
        messages.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
            _ => None,
        })
    });
    Some((got.bytes, stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_goes_on_after_its_end_from_its_beginning() {
        let sound = Sound::new(SampleRate::Hz8000, (0..1000).map(|n| n * 30).collect());
        let speech = Speech::new(&sound);
        assert_eq!(speech.long, 1000);
        let whole = speech.at(Law::Mu, 900, 160);
        assert_eq!((&whole[..100], &whole[100..]), (speech.at(Law::Mu, 900, 100), speech.at(Law::Mu, 0, 60)));
        assert_ne!(speech.at(Law::A, 500, 160), speech.at(Law::Mu, 500, 160));
        let short = Speech::new(&Sound::new(SampleRate::Hz8000, vec![5; 10]));
        assert_eq!(short.at(Law::Mu, short.long - 1, LONGEST).len(), LONGEST, "whatever its length");
    }
}
