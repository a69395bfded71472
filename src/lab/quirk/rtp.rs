//! RTP of the laboratory: packets that may be wrong on purpose, and everything that came with its time.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::rtp::Packet;
use crate::units::Ssrc;

/// Packets kept.
const KEPT: usize = 5000;
/// Octets of a packet of ours: 20 ms.
const PACKET: usize = 160;

/// One packet that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Came {
    /// When.
    pub(super) at: Instant,
    /// From where.
    pub(super) from: SocketAddr,
    /// To which of our sockets: 0, or 1 for the second.
    pub(super) to: usize,
    /// Payload type.
    pub(super) payload_type: u8,
    /// Sequence number.
    pub(super) seq: u16,
    /// Who sent it.
    pub(super) ssrc: u32,
    /// Octets of payload.
    pub(super) length: usize,
}

/// One packet of a key, in place of a packet of audio.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// Its number.
    pub(super) payload_type: u8,
    /// The marker bit.
    pub(super) marker: bool,
    /// What is added to the timestamp of the first packet.
    pub(super) ahead: u32,
    /// RFC 4733 §2.3.
    pub(super) payload: [u8; 4],
}

struct Talk {
    to: Option<SocketAddr>,
    law: u8,
    socket: usize,
    seq: u16,
    timestamp: u32,
    ssrc: u32,
    events: VecDeque<Event>,
    begun: Option<u32>,
}

struct Shared {
    /// The furthest our own clock was behind: a machine that is busy is not the daemon's fault.
    late: Mutex<Duration>,
    sockets: [UdpSocket; 2],
    talk: Mutex<Talk>,
    came: Mutex<Vec<Came>>,
}

/// Our end of a call's audio; what it does ends with it.
pub(super) struct Line {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 3],
}

impl Line {
    /// Opens two sockets: the second is for a peer that sends from elsewhere.
    pub(super) async fn open(ip: IpAddr, seed: u32) -> io::Result<Self> {
        let sockets = [even(ip).await?, even(ip).await?];
        let talk = Talk {
            to: None,
            law: 0,
            socket: 0,
            seq: seed as u16 & 0x7fff,
            timestamp: seed.rotate_left(13),
            ssrc: seed,
            events: VecDeque::new(),
            begun: None,
        };
        let shared = Arc::new(Shared {
            late: Mutex::default(),
            sockets,
            talk: Mutex::new(talk),
            came: Mutex::default(),
        });
        let tasks = [
            tokio::spawn(shared.clone().speak()),
            tokio::spawn(shared.clone().listen(0)),
            tokio::spawn(shared.clone().listen(1)),
        ];
        Ok(Self { shared, tasks })
    }

    /// Port of the first socket.
    pub(super) fn port(&self) -> u16 {
        self.address(0).port()
    }

    /// Address of the second socket.
    pub(super) fn other(&self) -> SocketAddr {
        self.address(1)
    }

    fn address(&self, socket: usize) -> SocketAddr {
        self.shared.sockets[socket].local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into())
    }

    /// Speaks a tone to this address, in packets of this law (0 or 8).
    pub(super) fn talk(&self, to: Option<SocketAddr>, law: u8) {
        let mut talk = self.shared.talk();
        (talk.to, talk.law) = (to, law);
    }

    /// Sends nothing any more.
    pub(super) fn mute(&self) {
        self.shared.talk().to = None;
    }

    /// Sends from the second socket from now on.
    pub(super) fn move_away(&self) {
        self.shared.talk().socket = 1;
    }

    /// Sends these in place of audio, one a packet time.
    pub(super) fn press(&self, events: impl IntoIterator<Item = Event>) {
        let mut talk = self.shared.talk();
        talk.begun = None;
        talk.events.extend(events);
    }

    /// Packets that came since then.
    pub(super) fn since(&self, then: Instant) -> Vec<Came> {
        self.shared.came().iter().filter(|came| came.at >= then).copied().collect()
    }

    /// The furthest our own clock was behind so far.
    pub(super) fn late(&self) -> Duration {
        *self.shared.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many packets that fit came after `then`.
    pub(super) async fn hears(
        &self,
        then: Instant,
        count: usize,
        within: Duration,
        fits: impl Fn(&Came) -> bool,
    ) -> bool {
        let until = Instant::now() + within;
        loop {
            if self.since(then).iter().filter(|came| fits(came)).count() >= count {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn came(&self) -> MutexGuard<'_, Vec<Came>> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn speak(self: Arc<Self>) {
        let mut clock = interval(Duration::from_millis(20));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Instant::now();
        loop {
            clock.tick().await;
            let now = Instant::now();
            let late = now.saturating_duration_since(before).saturating_sub(Duration::from_millis(20));
            before = now;
            {
                let mut most = self.late.lock().unwrap_or_else(PoisonError::into_inner);
                *most = most.max(late);
            }
            let mut out = [0; 600];
            let (length, to, socket) = {
                let mut talk = self.talk();
                let Some(to) = talk.to else {
                    talk.timestamp = talk.timestamp.wrapping_add(PACKET as u32);
                    continue;
                };
                (talk.packet(&mut out), to, talk.socket)
            };
            // Not taken is lost, as on any network.
            drop(self.sockets[socket].send_to(&out[..length], to).await);
        }
    }

    async fn listen(self: Arc<Self>, to: usize) {
        let mut buffer = [0; 2048];
        loop {
            // A port that is unreachable is told here and is no fault of the peer's.
            let Ok((length, from)) = self.sockets[to].recv_from(&mut buffer).await else { continue };
            let Ok(packet) = Packet::read(&buffer[..length]) else { continue };
            let Packet { payload_type, seq, ssrc, payload, .. } = packet;
            let came =
                Came { at: Instant::now(), from, to, payload_type, seq, ssrc: ssrc.0, length: payload.len() };
            let mut all = self.came();
            if all.len() < KEPT {
                all.push(came);
            }
        }
    }
}

impl Talk {
    fn packet(&mut self, out: &mut [u8]) -> usize {
        let (seq, timestamp) = (self.seq, self.timestamp);
        self.seq = self.seq.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(PACKET as u32);
        let ssrc = Ssrc(self.ssrc);
        let written = match self.events.pop_front() {
            Some(event) => {
                let begun = *self.begun.get_or_insert(timestamp);
                let timestamp = begun.wrapping_add(event.ahead);
                let Event { payload_type, marker, payload, .. } = event;
                Packet { payload_type, marker, seq, timestamp, ssrc, payload: &payload }.write(out)
            }
            None => {
                // A square wave: loud in both laws.
                let frame: [u8; PACKET] = std::array::from_fn(|n| if n / 8 % 2 == 0 { 0x20 } else { 0xa0 });
                Packet { payload_type: self.law, marker: false, seq, timestamp, ssrc, payload: &frame }
                    .write(out)
            }
        };
        written.unwrap_or(0)
    }
}

async fn even(ip: IpAddr) -> io::Result<UdpSocket> {
    let mut odd = Vec::new();
    loop {
        let socket = UdpSocket::bind((ip, 0)).await?;
        if socket.local_addr()?.port().is_multiple_of(2) || odd.len() > 64 {
            return Ok(socket);
        }
        odd.push(socket); // kept until an even one is found, so that the next is another
    }
}
