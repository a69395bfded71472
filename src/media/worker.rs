//! The loop of one core.
//!
//! ```text
//!   ┌─► sleep by the grid ─► bots' messages in ─► commands ─► sockets that have something ─► graphs with input or due ─┐
//!   └──── one wake-up of the courier, if anything was left for it ◄── callers' audio to the bots ◄── packets out ◄─────┘
//! ```
//!
//! One wake-up serves both sides of all calls: what bots sent is taken before the graphs that play it run, and what
//! callers said is on its way to the bots in the step it came (`Streams`).
//! Opening and closing a port may allocate; a packet does not. Nothing is freed here that the courier can free.
#![allow(clippy::disallowed_methods)] // one of the engine's threads: it reads the clock for its graphs

use std::collections::HashMap;
use std::io;
use std::net::UdpSocket;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::eventfd::EventFd;
use rtrb::{Consumer, Producer};

use super::bell::Bell;
use super::counts::{Published, Tally};
use super::graph::{Graph, Spent};
use super::ready::{Knock, Ready};
use super::ring::Wake;
use super::socket::{Inbox, Poll, send, wait};
use super::tick::{Grid, Pause};
use super::{Command, Event, PortId, Reservation, Spec, WallClock};
use crate::ids::{CallKey, Entropy};

/// Datagrams read of one socket in one step, so that a flood on one call takes no time from the others.
const SHARE: usize = 32;
/// When a call is to run: in this step; not before something comes.
const TOUCHED: u64 = 0;
const NEVER: u64 = u64::MAX;
/// In the token of a socket: it is the one beside the port's.
const BESIDE: u64 = 1 << 8;
/// How often the numbers are published.
const PUBLISH: Duration = Duration::from_millis(100);

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Order {
    /// By a call.
    Command(Command),
    /// To close all and end.
    Stop,
}

/// What a worker leaves for its courier.
#[derive(Debug)]
pub(super) enum Left {
    Event(CallKey, Event),
    Wake(Wake),
    Spent(#[allow(dead_code)] Spent), // there to be dropped by the courier
    Graph(#[allow(dead_code)] Box<Graph>),
    /// Nothing follows.
    Stopped,
}

/// The streams of a core's calls, carried by its thread. None of these waits.
pub trait Streams: Send {
    /// Takes what bots sent, for a bounded time; true: there was something.
    fn take_in(&mut self, now: Instant) -> bool;
    /// Sends what the graphs left for bots, and does what is due; true: there was something.
    fn put_out(&mut self, now: Instant) -> bool;
    /// When something is due, if nothing comes before.
    fn due(&self) -> Option<Instant>;
    /// Readable when a bot sent something or a stream is called for.
    fn fd(&self) -> BorrowedFd<'_>;
    /// To be called before waiting for `fd`. False: there is something to do.
    fn may_sleep(&self) -> bool;
    /// To be called after that.
    fn awake(&self);
    /// None is up, and none will come.
    fn is_over(&self) -> bool;
}

/// A bell, and the descriptor that is written when it rings.
#[derive(Clone, Debug)]
pub(super) struct Doorbell {
    pub(super) bell: Arc<Bell>,
    pub(super) fd: Arc<EventFd>,
}

impl Doorbell {
    /// After something was left.
    pub(super) fn ring(&self) {
        if self.bell.ring() {
            let _ = self.fd.write(1); // fails only when it has been rung 2^64 times unheard
        }
    }
}

/// What a worker begins with.
pub(super) struct Worker {
    pub(super) commands: Consumer<Order>,
    /// Rung by the courier.
    pub(super) inbound: Doorbell,
    pub(super) left: Tray,
    /// Heard by the courier.
    pub(super) outbound: Doorbell,
    pub(super) poll: Poll,
    pub(super) streams: Option<Box<dyn Streams>>,
    pub(super) hails: Arc<Ready>,
    pub(super) published: Arc<Published>,
    pub(super) wait: Duration,
    pub(super) chance: Entropy,
}

/// Where a worker leaves things for others, who are woken once, at the end of a step.
pub(super) struct Tray {
    to_courier: Producer<Left>,
    /// Something was put there in this step.
    filled: bool,
    /// The streams that were marked in this step, and whether any was: of one thread, mostly.
    knocked: Option<Arc<Ready>>,
    marked: bool,
}

impl Tray {
    pub(super) fn new(to_courier: Producer<Left>) -> Self {
        Self { to_courier, filled: false, knocked: None, marked: false }
    }

    fn is_full(&self) -> bool {
        self.to_courier.is_full()
    }

    /// False: there is no room.
    fn put(&mut self, left: Left) -> bool {
        self.filled = true;
        self.to_courier.push(left).is_ok()
    }

    /// A stream's thread is told at the end of the step; a task is woken by the courier.
    fn wake(&mut self, wake: Wake) {
        let Wake::Place(knock) = &wake else {
            self.put(Left::Wake(wake)); // there is room
            return;
        };
        knock.mark();
        if !self.knocked.as_ref().is_some_and(|ready| Arc::ptr_eq(ready, knock.ready())) {
            self.ring_streams();
            self.knocked = Some(Arc::clone(knock.ready()));
        }
        self.marked = true;
    }

    /// The end of a step.
    fn ring(&mut self, courier: &Doorbell) {
        self.ring_streams();
        if std::mem::take(&mut self.filled) {
            courier.ring();
        }
    }

    fn ring_streams(&mut self) {
        if let (true, Some(ready)) = (std::mem::take(&mut self.marked), &self.knocked) {
            ready.ring();
        }
    }
}

struct Call {
    key: CallKey,
    graph: Box<Graph>,
    closing: bool,
}

/// The calls of one core.
struct Core {
    inbox: Inbox,
    calls: Vec<Option<Call>>,
    /// When each is to run, in nanoseconds since the beginning: beside one another, for all are looked at in every step.
    /// `TOUCHED`: it had input, or could not leave all it had to leave.
    dues: Vec<u64>,
    origin: Instant,
    places: HashMap<CallKey, usize>,
    /// Those whose bots began to speak.
    hails: Arc<Ready>,
    /// Sockets that had more than their share, which they do not tell again.
    unread: Vec<u64>,
    /// Of calls that are over, and of the core itself.
    tally: Tally,
    wall: WallClock,
    due: Option<Instant>,
    publish: Instant,
    stopping: bool,
}

impl Worker {
    /// Runs until told to stop, or until the courier is gone.
    pub(super) fn run(mut self) {
        let origin = Instant::now();
        let mut grid = Grid::new(origin);
        let mut core = Core {
            inbox: Inbox::new(),
            calls: Vec::with_capacity(64),
            dues: Vec::with_capacity(64),
            origin,
            hails: Arc::clone(&self.hails),
            unread: Vec::with_capacity(64),
            places: HashMap::with_capacity(64),
            tally: Tally::default(),
            wall: wall_clock(origin),
            due: None,
            publish: origin,
            stopping: false,
        };
        loop {
            self.pass_time(&grid, core.due);
            let now = Instant::now();
            let mut worked = self.streams.as_mut().is_some_and(|streams| streams.take_in(now));
            worked |= core.step(&mut self, now);
            worked |= self.streams.as_mut().is_some_and(|streams| streams.put_out(now));
            grid.ran(now, worked);
            let busy = Instant::now().saturating_duration_since(now);
            core.tally.busy_ns += busy.as_nanos() as u64;
            core.tally.runs += 1;
            self.left.ring(&self.outbound);
            if now >= core.publish || core.due.is_none() {
                core.publish(&self.published, now);
            }
            let over = core.stopping && core.calls.iter().all(Option::is_none);
            if self.commands.is_abandoned() || over && self.left.put(Left::Stopped) {
                self.outbound.ring();
                break;
            }
        }
        self.see_out();
    }

    /// The engine has stopped; streams that are up are carried to their ends.
    fn see_out(mut self) {
        let Some(streams) = &mut self.streams else { return };
        while !streams.is_over() {
            let now = Instant::now();
            if streams.may_sleep() {
                let due = streams.due().map(|due| due.saturating_duration_since(now));
                wait(&[streams.fd()], due);
            }
            streams.awake();
            let now = Instant::now();
            streams.take_in(now);
            streams.put_out(now);
        }
    }

    fn pass_time(&self, grid: &Grid, due: Option<Instant>) {
        let (now, streams) = (Instant::now(), self.streams.as_deref());
        let due = [due, streams.and_then(Streams::due)].into_iter().flatten().min();
        match grid.pause(now, due) {
            Pause::Sleep(until) => std::thread::sleep(until.saturating_duration_since(now)),
            Pause::Rest(rest, until) => {
                std::thread::sleep(rest.saturating_duration_since(now));
                wait(&[self.poll.fd()], Some(until.saturating_duration_since(Instant::now())));
            }
            Pause::Wait(until) => {
                self.inbound.bell.arm();
                let asleep = streams.is_none_or(Streams::may_sleep);
                if asleep && self.commands.is_empty() && !self.commands.is_abandoned() {
                    let at_most = until.map(|until| until.saturating_duration_since(now));
                    match streams {
                        Some(streams) => wait(&[self.poll.fd(), streams.fd()], at_most),
                        None => wait(&[self.poll.fd()], at_most),
                    }
                }
                self.inbound.bell.disarm();
                streams.into_iter().for_each(Streams::awake);
                let now = Instant::now();
                if let Some(until) = grid.hold(now) {
                    std::thread::sleep(until.saturating_duration_since(now));
                }
            }
        }
    }
}

impl Core {
    /// One run; true: there was something to do.
    fn step(&mut self, worker: &mut Worker, now: Instant) -> bool {
        let mut worked = self.stopping;
        while let Ok(order) = worker.commands.pop() {
            worked = true;
            match order {
                Order::Command(command) => self.obey(worker, now, command),
                Order::Stop => self.stop(),
            }
        }
        worked |= self.read(&mut worker.poll, now);
        worked |= self.heed(now);
        let (ran, mut next) = (nanoseconds(self.origin, now), NEVER);
        for at in 0..self.dues.len() {
            if self.dues[at] <= ran {
                worked = true;
                self.run(worker, now, at);
            }
            next = next.min(self.dues[at]);
        }
        self.due = (next != NEVER).then(|| self.origin + Duration::from_nanos(next));
        worked
    }

    /// Gives the datagrams of the sockets that have some to their graphs.
    fn read(&mut self, poll: &mut Poll, now: Instant) -> bool {
        let mut any = false;
        let mut unread = std::mem::take(&mut self.unread);
        for token in unread.drain(..) {
            any = true;
            self.read_socket(token, now);
        }
        for token in poll.ready() {
            any = true;
            self.read_socket(token, now);
        }
        any
    }

    fn read_socket(&mut self, token: u64, now: Instant) {
        let at = (token >> 9) as usize;
        let Some(Some(call)) = self.calls.get_mut(at) else { return };
        let (port, beside) = (PortId { call: call.key, index: token as u8 }, token & BESIDE != 0);
        self.dues[at] = TOUCHED;
        for _ in 0..SHARE {
            let Some(from) = call.graph.reservation(port) else { return };
            let Some(socket) = (if beside { from.socket_beside() } else { from.socket() }) else { return };
            let Some((from, bytes)) = self.inbox.read(socket) else { return };
            guard(&mut self.tally, &mut call.graph, |graph| match beside {
                true => graph.datagram_beside(now, port, from, bytes),
                false => graph.datagram(now, port, from, bytes),
            });
        }
        self.unread.push(token);
    }

    /// What a bot says that has not been heard yet is looked at when it comes, for the call's clock follows it.
    fn heed(&mut self, now: Instant) -> bool {
        let Self { hails, calls, dues, tally, .. } = self;
        let mut any = false;
        hails.sweep(|at| {
            let Some(Some(call)) = calls.get_mut(at as usize) else { return };
            guard(tally, &mut call.graph, |graph| graph.heed(now));
            (dues[at as usize], any) = (TOUCHED, true);
        });
        any
    }

    /// Runs a graph and takes away what it put out.
    fn run(&mut self, worker: &mut Worker, now: Instant, at: usize) {
        let Some(call) = &mut self.calls[at] else { return };
        let graph = &mut call.graph;
        guard(&mut self.tally, graph, |graph| graph.run(now));
        while let Some(packet) = graph.transmit() {
            let (port, beside) = (packet.port, packet.beside);
            let socket =
                packet.from.and_then(|from| if beside { from.socket_beside() } else { from.socket() });
            let failed = socket.is_some_and(|socket| !send(socket, packet.to, packet.bytes));
            // A peer without RTCP may say so by ICMP: no fault (sip-trunk.md 11.4).
            if failed && !beside {
                graph.send_failed(port);
            }
        }
        let due = graph.due();
        call.closing |= graph.is_empty();
        let left = leave(call, &mut worker.left);
        let closes = call.closing && left && !worker.left.is_full();
        self.dues[at] = match due {
            _ if !left => TOUCHED,
            Some(due) => nanoseconds(self.origin, due),
            None => NEVER,
        };
        if closes {
            self.dues[at] = NEVER;
            self.places.remove(&call.key);
            if let Some(call) = self.calls[at].take() {
                self.tally.add(&call.graph.tally());
                worker.left.put(Left::Graph(call.graph)); // there is room
            }
        }
    }

    fn obey(&mut self, worker: &mut Worker, now: Instant, command: Command) {
        let port = match &command {
            Command::Open(port, _) | Command::Change(port, _) | Command::Close(port) => *port,
            Command::Link(link) | Command::Unlink(link) => link.to,
        };
        let (poll, opens) = (&worker.poll, matches!(command, Command::Open(..)) && !self.stopping);
        let at = match self.places.get(&port.call) {
            Some(&at) => at,
            None if opens => self.settle(
                port.call,
                Graph::new(now, worker.wait, worker.chance.fork()).with_wall_clock(self.wall),
            ),
            None => return, // for a call that is gone
        };
        let Some(Some(call)) = self.calls.get_mut(at) else { return };
        let opens =
            matches!(&command, Command::Open(_, Spec::Rtp(..))) && call.graph.reservation(port).is_none();
        if let (Command::Close(_), Some(sockets)) = (&command, call.graph.reservation(port)) {
            [sockets.socket(), sockets.socket_beside()]
                .into_iter()
                .flatten()
                .for_each(|one| poll.remove(one));
        }
        (self.dues[at], call.closing) = (TOUCHED, false);
        let hailed = match &command {
            Command::Open(port, Spec::Stream(_)) => Some(*port),
            _ => None,
        };
        guard(&mut self.tally, &mut call.graph, |graph| graph.apply(now, command));
        if let (Some(port), Ok(place)) = (hailed, u32::try_from(at)) {
            call.graph.hailed_by(port, Knock::new(Arc::clone(&self.hails), place));
        }
        if let (true, Some(sockets)) = (opens, call.graph.reservation(port))
            && watch(poll, sockets, (at as u64) << 9 | u64::from(port.index)).is_err()
        {
            self.tally.faults += 1; // deaf: the call learns it by `Closed`
            call.graph.apply(now, Command::Close(port));
        }
    }

    fn settle(&mut self, key: CallKey, graph: Graph) -> usize {
        let call = Call { key, graph: Box::new(graph), closing: false };
        let at = match self.calls.iter().position(Option::is_none) {
            Some(at) => {
                self.calls[at] = Some(call);
                at
            }
            None => {
                self.calls.push(Some(call));
                self.dues.push(NEVER);
                self.calls.len() - 1
            }
        };
        self.dues[at] = TOUCHED;
        self.places.insert(key, at);
        at
    }

    fn stop(&mut self) {
        self.stopping = true;
        for (call, due) in self.calls.iter_mut().zip(&mut self.dues) {
            if let Some(call) = call {
                call.graph.close_all();
                *due = TOUCHED;
            }
        }
    }

    fn publish(&mut self, published: &Published, now: Instant) {
        self.publish = now + PUBLISH;
        let mut tally = self.tally;
        for call in self.calls.iter().flatten() {
            tally.graphs += 1;
            tally.add(&call.graph.tally());
        }
        published.set(&tally);
    }
}

fn nanoseconds(origin: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(origin).as_nanos()).unwrap_or(NEVER)
}

/// R-2: a fault in one call ends that call only; it is told by the `Closed` of its ports.
fn guard(tally: &mut Tally, graph: &mut Graph, act: impl FnOnce(&mut Graph)) {
    if catch_unwind(AssertUnwindSafe(|| act(graph))).is_err() {
        tally.faults += 1;
        let _ = catch_unwind(AssertUnwindSafe(|| graph.close_all()));
    }
}

/// Leaves what a graph tells; false: the ring is full, the rest is to be left at the next step.
fn leave(call: &mut Call, left: &mut Tray) -> bool {
    let (key, graph) = (call.key, &mut call.graph);
    while !left.is_full() {
        if let Some(wake) = graph.wake() {
            left.wake(wake);
            continue;
        }
        let next =
            graph.event().map(|event| Left::Event(key, event)).or_else(|| graph.spent().map(Left::Spent));
        let Some(next) = next else { return true };
        left.put(next); // there is room
    }
    false
}

/// Watches both sockets of a port.
fn watch(poll: &Poll, sockets: &Reservation, token: u64) -> io::Result<()> {
    let add = |socket: Option<&UdpSocket>, token| socket.map_or(Ok(()), |socket| poll.add(socket, token));
    add(sockets.socket(), token)?;
    add(sockets.socket_beside(), token | BESIDE)
}

/// The one look at the wall clock (RFC 3550 §4).
fn wall_clock(now: Instant) -> WallClock {
    WallClock::new(now, SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::Player;
    use super::*;

    const PORT: PortId = PortId { call: CallKey(3), index: 0 };

    fn call() -> Call {
        let now = Instant::now();
        let mut graph = Box::new(Graph::new(now, Duration::from_millis(200), Entropy::seeded(1)));
        graph.apply(now, Command::Open(PORT, Spec::Player(Player::new(vec![1; 8].into(), true))));
        Call { key: PORT.call, graph, closing: false }
    }

    #[test]
    fn a_fault_in_a_call_closes_its_ports_and_is_counted() {
        let (mut tally, mut call) = (Tally::default(), call());
        guard(&mut tally, &mut call.graph, |_| std::panic::resume_unwind(Box::new("a fault")));
        assert_eq!((tally.faults, call.graph.is_empty()), (1, true));
        assert!(matches!(call.graph.event(), Some(Event::Closed(PORT, _))));
    }

    #[test]
    fn what_finds_the_ring_full_is_left_at_the_next_step() {
        let mut call = call();
        call.graph.close_all();
        let (left, mut courier) = rtrb::RingBuffer::new(1);
        let mut left = Tray::new(left);
        assert!(!leave(&mut call, &mut left), "an event, and a port to be freed");
        assert!(matches!(courier.pop(), Ok(Left::Event(PORT_CALL, Event::Closed(..)))));
        assert!(!leave(&mut call, &mut left), "full again: whether there is more is not known");
        assert!(matches!(courier.pop(), Ok(Left::Spent(_))));
        assert!(leave(&mut call, &mut left));
    }

    const PORT_CALL: CallKey = PORT.call;
}
