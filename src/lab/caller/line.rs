//! The audio of one call: what it says and hears, in the clear or under SRTP, and its reports (RTCP).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use tokio::sync::oneshot;

use super::guard::Guard;
use super::heard::{Heard, is_voiced};
use super::mouth::{Mouth, Spoken, Terms, Utterance};
use crate::ids::Entropy;
use crate::lab::ladder::{Ladder, Party};
use crate::rtp::Packet;
use crate::rtp::receiver::Receiver;
use crate::rtp::rtcp::{MAX_REPORT, Session, Told, WallClock, compound};
use crate::rtp::sender::Sender;
use crate::rtp::srtp::OVERHEAD;
use crate::sdp::Crypto;

/// Packets that are sent at once to catch up; older ones are left out.
const CATCH_UP: u32 = 3;

/// What a call did with its audio.
#[derive(Debug, Default)]
pub struct Audio {
    /// Everything that came.
    pub heard: Heard,
    /// Everything said, in order.
    pub spoken: Vec<Spoken>,
    /// Packets sent.
    pub sent: u64,
    /// The furthest a packet left behind its time, in milliseconds.
    pub sent_late_ms: f64,
    /// What the peer reported of our packets (RTCP), if it did.
    pub told: Option<Told>,
    /// Packets that were not authentic under the key agreed on (SRTP).
    pub unauthentic: u64,
    /// It was encrypted.
    pub encrypted: bool,
}

/// What a description says to the audio.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) terms: Terms,
    /// Where packets go; absent: where they went.
    pub(super) to: Option<SocketAddr>,
    /// Where reports go; absent: none are sent.
    pub(super) reports_to: Option<SocketAddr>,
    pub(super) crypto: Option<Crypto>,
}

/// Sockets for RTP and RTCP.
#[derive(Debug)]
pub(in crate::lab) struct Pair {
    pub(in crate::lab) rtp: UdpSocket,
    /// Absent when the port above was taken.
    rtcp: Option<UdpSocket>,
}

/// The audio of one call.
pub(super) struct Line {
    pair: Pair,
    ladder: Option<Ladder>,
    /// Packets heard that were more than silence.
    pub(super) voiced: Arc<AtomicU64>,
    mouth: Mouth,
    heard: Heard,
    to: Option<SocketAddr>,
    /// When the next packet leaves.
    pub(super) due: Instant,
    sent_late: Duration,
    guard: Option<Guard>,
    unauthentic: u64,
    encrypted: bool,
    reports: Session,
    reports_to: Option<SocketAddr>,
    receiver: Receiver,
    chance: Entropy,
}

impl Line {
    pub(super) fn new(
        pair: Pair,
        terms: Terms,
        rtp: Sender,
        ladder: Option<Ladder>,
        mut chance: Entropy,
    ) -> Self {
        let now = Instant::now();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let reports = Session::new(now, WallClock::new(now, unix), chance.token(), chance.u32());
        Self {
            pair,
            ladder,
            voiced: Arc::default(),
            mouth: Mouth::new(terms, rtp),
            heard: Heard::default(),
            to: None,
            due: now,
            sent_late: Duration::ZERO,
            guard: None,
            unauthentic: 0,
            encrypted: false,
            reports,
            reports_to: None,
            receiver: Receiver::new(),
            chance,
        }
    }

    pub(super) fn agree(&mut self, now: Instant, agreement: Agreement) {
        let Agreement { terms, to, reports_to, crypto } = agreement;
        self.mouth.agree(terms);
        if self.to.is_none() {
            self.due = now;
        }
        self.to = to.or(self.to);
        self.reports_to = reports_to.or(self.reports_to);
        self.guard = crypto.map(|crypto| Guard::after(self.guard.take(), now, &crypto));
        self.encrypted |= self.guard.is_some();
    }

    pub(super) fn say(&mut self, name: String, what: Utterance, done: Option<oneshot::Sender<()>>) {
        self.mouth.say(name, what, done);
    }

    pub(super) fn hush(&mut self, now: Instant) {
        self.mouth.hush(now);
    }

    pub(super) fn silence(&mut self, silent: bool) {
        self.mouth.silence(silent);
    }

    pub(super) fn listen(&mut self, now: Instant) {
        while let Some((at, length, mut buffer)) = receive(&self.pair.rtp, now) {
            let Some(length) = self.opened(at, &mut buffer, length) else { continue };
            let Some(arrival) = self.heard.push(at, &buffer[..length]) else { continue };
            if is_voiced(arrival) {
                self.voiced.fetch_add(1, Relaxed);
            }
            if let Some(ladder) = &self.ladder {
                ladder.audio(Party::StreamKit, Party::Caller);
            }
            if let Ok(Packet { ssrc, seq, timestamp, payload, .. }) = Packet::read(&buffer[..length]) {
                self.receiver.push(at, ssrc, seq, timestamp, payload.len(), true);
            }
        }
        self.listen_to_reports(now);
    }

    /// Takes off the encryption in its place; the packet's length then.
    fn opened(&mut self, at: Instant, buffer: &mut [u8; 2048], length: usize) -> Option<usize> {
        let Some(guard) = &mut self.guard else { return Some(length) };
        let Ok(plain) = guard.receiving.open(at, &buffer[..length]) else {
            self.unauthentic += 1;
            return None;
        };
        buffer[..plain.len()].copy_from_slice(&plain);
        Some(plain.len())
    }

    fn listen_to_reports(&mut self, now: Instant) {
        let mut buffer = [0; 2048];
        while let Some(Ok((length, _))) = self.pair.rtcp.as_ref().map(|rtcp| rtcp.recv_from(&mut buffer)) {
            let datagram = &buffer[..length];
            let us = self.mouth.rtp().ssrc();
            let heard = match &mut self.guard {
                None => compound::read(datagram, us).ok(),
                Some(guard) => {
                    let plain = guard.receiving.open_rtcp(now, datagram);
                    self.unauthentic += u64::from(plain.is_err());
                    plain.ok().and_then(|plain| compound::read(&plain, us).ok())
                }
            };
            if let Some(heard) = heard {
                self.reports.hear(now, &heard, self.mouth.rtp());
            }
        }
    }

    /// Says what is due, and when more will be.
    pub(super) fn speak(&mut self, now: Instant) -> Instant {
        let ptime = self.mouth.ptime();
        let behind = now.saturating_duration_since(self.due);
        let missed = (behind.as_nanos() / ptime.as_nanos()) as u32;
        if missed >= CATCH_UP {
            self.mouth.skip(missed);
            self.due += ptime * missed;
        }
        self.sent_late = self.sent_late.max(behind);
        while self.due <= now {
            self.due += ptime;
            let mut out = [0; 600];
            let Some(to) = self.to else { continue };
            let Some(length) = self.mouth.packet(now, &mut out) else { continue };
            let length = match &mut self.guard {
                None => Some(length),
                Some(guard) => guard.sending.protect(&mut out, length),
            };
            // Not taken is lost, as on any network.
            drop(length.map(|length| self.pair.rtp.send_to(&out[..length], to)));
            if let Some(ladder) = &self.ladder {
                ladder.audio(Party::Caller, Party::StreamKit);
            }
        }
        if self.reports.is_due(now) {
            self.report(now, false);
        }
        self.due
    }

    fn report(&mut self, now: Instant, bye: bool) {
        let mut out = [0; MAX_REPORT + OVERHEAD];
        let (sender, receiver) = (self.mouth.rtp(), &mut self.receiver);
        let length = match bye {
            true => self.reports.bye(now, sender, receiver, &mut out),
            false => self.reports.report(now, self.chance.u32(), sender, receiver, &mut out),
        };
        let length = length.and_then(|length| match &mut self.guard {
            None => Some(length),
            Some(guard) => guard.sending.protect_rtcp(&mut out, length),
        });
        if let (Some(length), Some(to), Some(rtcp)) = (length, self.reports_to, &self.pair.rtcp) {
            // Not taken is lost, as on any network.
            drop(rtcp.send_to(&out[..length], to));
        }
    }

    pub(super) fn close(mut self, now: Instant) -> Audio {
        self.listen(now);
        self.report(now, true);
        Audio {
            sent: self.mouth.rtp().packets(),
            spoken: self.mouth.into_spoken(now),
            heard: self.heard,
            sent_late_ms: self.sent_late.as_secs_f64() * 1000.0,
            told: self.reports.told(),
            unauthentic: self.unauthentic,
            encrypted: self.encrypted,
        }
    }
}

/// One datagram, if there is one, with the time the kernel got it.
fn receive(socket: &UdpSocket, now: Instant) -> Option<(Instant, usize, [u8; 2048])> {
    let mut buffer = [0; 2048];
    let mut space = cmsg_space!(TimeSpec);
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let got =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_DONTWAIT)
            .ok()?;
    let length = got.bytes;
    let stamp = got.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
        _ => None,
    });
    let age = stamp.and_then(|stamp| SystemTime::now().duration_since(UNIX_EPOCH + stamp).ok());
    // The wall clock may have been set meanwhile: an age beyond a second is not believed.
    let age = age.filter(|age| *age < Duration::from_secs(1)).unwrap_or_default();
    Some((now.checked_sub(age).unwrap_or(now), length, buffer))
}

/// Sockets for RTP on an even port, with arrival times, and for RTCP on the port above it if that is free.
pub(in crate::lab) fn pair(ip: IpAddr) -> io::Result<Pair> {
    let mut odd = Vec::new();
    loop {
        let rtp = UdpSocket::bind((ip, 0))?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 1 && odd.len() < 64 {
            odd.push(rtp); // kept until an even one is found, so that the next is another
            continue;
        }
        setsockopt(&rtp, sockopt::ReceiveTimestampns, &true)?;
        odd.retain(|other| other.local_addr().is_ok_and(|at| at.port() != port.wrapping_add(1)));
        let rtcp = UdpSocket::bind((ip, port.wrapping_add(1))).ok();
        rtcp.as_ref().map_or(Ok(()), |rtcp| rtcp.set_nonblocking(true))?;
        return Ok(Pair { rtp, rtcp });
    }
}
