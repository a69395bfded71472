//! The thread that speaks and hears for all calls of a caller: a packet each packet time on absolute
//! deadlines, and a look into the socket at each. Packets carry the kernel's time of arrival, so looking late
//! does not make them late; a thousand calls cost a few wakes a millisecond.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use tokio::sync::oneshot;

use super::heard::{Heard, is_voiced};
use super::mouth::{Mouth, Spoken, Terms, Utterance};
use crate::lab::ladder::{Ladder, Party};
use crate::rtp::sender::Sender;

/// Orders that may wait; a caller that gives more waits.
const ORDERS: usize = 4096;
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
}

pub(super) enum Order {
    Open(u64, Box<Line>),
    Agree(u64, Terms, Option<SocketAddr>),
    Say(u64, String, Utterance, Option<oneshot::Sender<()>>),
    Hush(u64),
    Silence(u64, bool),
    Close(u64, oneshot::Sender<Audio>),
}

/// The audio of one call.
pub(super) struct Line {
    pub(super) socket: UdpSocket,
    pub(super) ladder: Option<Ladder>,
    /// Packets heard that were more than silence.
    pub(super) voiced: Arc<AtomicU64>,
    mouth: Mouth,
    heard: Heard,
    to: Option<SocketAddr>,
    due: Instant,
    sent_late: Duration,
}

impl Line {
    pub(super) fn new(socket: UdpSocket, terms: Terms, rtp: Sender, ladder: Option<Ladder>) -> Self {
        Self {
            socket,
            ladder,
            voiced: Arc::default(),
            mouth: Mouth::new(terms, rtp),
            heard: Heard::default(),
            to: None,
            due: Instant::now(),
            sent_late: Duration::ZERO,
        }
    }

    fn listen(&mut self, now: Instant) {
        while let Some((at, length, buffer)) = receive(&self.socket, now) {
            let Some(arrival) = self.heard.push(at, &buffer[..length]) else { continue };
            if is_voiced(arrival) {
                self.voiced.fetch_add(1, Relaxed);
            }
            if let Some(ladder) = &self.ladder {
                ladder.audio(Party::StreamKit, Party::Caller);
            }
        }
    }

    /// Says what is due, and when more will be.
    fn speak(&mut self, now: Instant) -> Instant {
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
            // Not taken is lost, as on any network.
            drop(self.socket.send_to(&out[..length], to));
            if let Some(ladder) = &self.ladder {
                ladder.audio(Party::Caller, Party::StreamKit);
            }
        }
        self.due
    }

    fn close(mut self, now: Instant) -> Audio {
        self.listen(now);
        Audio {
            sent: self.mouth.packets(),
            spoken: self.mouth.into_spoken(now),
            heard: self.heard,
            sent_late_ms: self.sent_late.as_secs_f64() * 1000.0,
        }
    }
}

/// The way to the thread; the thread ends with it.
#[derive(Debug)]
pub(super) struct Pacer {
    orders: SyncSender<Order>,
    thread: Thread,
}

impl Pacer {
    pub(super) fn start() -> io::Result<Self> {
        let (orders, waiting) = sync_channel(ORDERS);
        let thread = thread::Builder::new().name("caller-rtp".to_owned()).spawn(move || run(&waiting))?;
        Ok(Self { orders, thread: thread.thread().clone() })
    }

    pub(super) fn order(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            self.thread.unpark();
        }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.thread.unpark();
    }
}

fn run(orders: &Receiver<Order>) {
    let mut lines: HashMap<u64, Line> = HashMap::new();
    let mut due: BinaryHeap<Reverse<(Instant, u64)>> = BinaryHeap::new();
    loop {
        loop {
            match orders.try_recv() {
                Ok(Order::Open(id, line)) => {
                    due.push(Reverse((line.due, id)));
                    lines.insert(id, *line);
                }
                Ok(order) => obey(&mut lines, order),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let now = Instant::now();
        while let Some(&Reverse((at, id))) = due.peek().filter(|next| next.0.0 <= now) {
            debug_assert!(at <= now);
            due.pop();
            if let Some(line) = lines.get_mut(&id) {
                line.listen(now);
                due.push(Reverse((line.speak(now), id)));
            }
        }
        let rest =
            due.peek().map_or(Duration::from_millis(200), |next| next.0.0.saturating_duration_since(now));
        thread::park_timeout(rest);
    }
}

fn obey(lines: &mut HashMap<u64, Line>, order: Order) {
    let now = Instant::now();
    match order {
        Order::Open(..) => {}
        Order::Agree(id, terms, to) => {
            if let Some(line) = lines.get_mut(&id) {
                line.mouth.agree(terms);
                if line.to.is_none() {
                    line.due = now;
                }
                line.to = to.or(line.to);
            }
        }
        Order::Say(id, name, what, done) => {
            if let Some(line) = lines.get_mut(&id) {
                line.mouth.say(name, what, done);
            }
        }
        Order::Hush(id) => {
            if let Some(line) = lines.get_mut(&id) {
                line.mouth.hush(now);
            }
        }
        Order::Silence(id, silent) => {
            if let Some(line) = lines.get_mut(&id) {
                line.mouth.silence(silent);
            }
        }
        Order::Close(id, reply) => {
            if let Some(line) = lines.remove(&id) {
                drop(reply.send(line.close(now))); // who asked may have gone
            }
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

/// A socket for RTP on an even port, with arrival times.
pub(super) fn socket(ip: IpAddr) -> io::Result<UdpSocket> {
    let mut odd = Vec::new();
    loop {
        let socket = UdpSocket::bind((ip, 0))?;
        if socket.local_addr()?.port() % 2 == 1 && odd.len() < 64 {
            odd.push(socket); // kept until an even one is found, so that the next is another
            continue;
        }
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        return Ok(socket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::G711;
    use std::net::Ipv4Addr;

    #[test]
    fn two_lines_hear_each_other() {
        let terms = Terms { law: G711::Mu, payload_type: 0, telephone_event: None, ptime_ms: 20 };
        let sockets =
            [socket(Ipv4Addr::LOCALHOST.into()).unwrap(), socket(Ipv4Addr::LOCALHOST.into()).unwrap()];
        let places = [sockets[0].local_addr().unwrap(), sockets[1].local_addr().unwrap()];
        let pacer = Pacer::start().unwrap();
        let [a, b] = sockets;
        for (id, socket) in [(0, a), (1, b)] {
            let line = Line::new(socket, terms, Sender::new(id as u32 + 1, 0, 0), None);
            pacer.order(Order::Open(id, Box::new(line)));
            pacer.order(Order::Agree(id, terms, Some(places[1 - id as usize])));
        }
        let (done, said) = oneshot::channel();
        pacer.order(Order::Say(0, "ah".into(), Utterance::Speech(vec![5000; 1600]), Some(done)));
        said.blocking_recv().unwrap();
        let (reply, audio) = oneshot::channel();
        pacer.order(Order::Close(0, reply));
        assert_eq!(audio.blocking_recv().unwrap().spoken[0].name, "ah");
        let (reply, audio) = oneshot::channel();
        pacer.order(Order::Close(1, reply));
        let heard = audio.blocking_recv().unwrap().heard;
        let loud = heard.sound(false).samples.iter().filter(|s| s.unsigned_abs() > 4000).count();
        assert!(loud >= 1440, "{loud} of 1600 samples");
    }

    #[test]
    fn rtp_has_an_even_port() {
        assert_eq!(socket(Ipv4Addr::LOCALHOST.into()).unwrap().local_addr().unwrap().port() % 2, 0);
    }
}
