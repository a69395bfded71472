//! The streams that are up, carried by the thread of the media core whose calls they belong to.
//!
//! ```text
//!   one step of a media core:
//!     bots' sockets that have something ─► RTP sockets ─► graphs ─► RTP out ─► the marked: callers' audio to the bots
//! ```
//!
//! A stream is not a task. Its cost is not its work but being woken for it: fifty frames out and fifty in a second,
//! each of which an async runtime turns into a wake-up of its own, by way of a queue, a waker and its poller. Here the
//! wake-up a media core has anyway serves the streams, too: what came from bots is taken before the graphs run, and what
//! they leave for bots is written behind them, by the same thread and in the same step. Reaching the bot (names, TCP, TLS,
//! upgrade) is rare and is full of waiting, so it stays a task; a stream comes here when it is up and stays to its end.
//!
//! A turn is bounded, and so is what all turns of a step take (`SHARE`): a bot that floods has its share of each round, all
//! that flood together have theirs, and one that does not read costs nothing.
#![allow(clippy::disallowed_methods)] // a part of the engine's threads: it bounds what it takes of their time

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::clock;
use super::seat::{Desk, Guest, Seat, Turn};
use crate::ids::Entropy;
use crate::media::ready::PLACES;
use crate::media::{Knock, Ready, Streams};

/// Sockets told at once; more are told at the next look.
const READY: usize = 256;
/// Streams that wait to be seated.
const ARRIVALS: usize = 1024;
/// How soon a full lane is tried again.
const RETRY: Duration = Duration::from_millis(1);
/// The place of the door: who comes, and that nobody will come any more.
const DOOR: u32 = 0;
/// Token of the bell.
const BELL: u64 = u64::MAX;
/// One step of the media cores.
const STEP: Duration = Duration::from_millis(1);
/// Of a step, for reading what bots sent: what has no time any more has it first at the next.
const SHARE: Duration = Duration::from_micros(500);

/// The lanes, one on each media core. Clones are the same ones; they end when the last clone is gone and no stream is up.
#[derive(Clone)]
pub struct Lanes(Arc<[Lane]>);

impl Lanes {
    /// So many, at least one, and what is to be handed to the media cores, in their order.
    ///
    /// # Errors
    /// When the system refuses a descriptor (reliability R-114).
    pub fn new(count: usize) -> io::Result<(Self, Vec<Box<dyn Streams>>)> {
        let (mut lanes, mut floors) = (Vec::new(), Vec::<Box<dyn Streams>>::new());
        for _ in 0..count.max(1) {
            let (lane, floor) = Lane::new()?;
            lanes.push(lane);
            floors.push(Box::new(floor));
        }
        Ok((Self(lanes.into()), floors))
    }

    /// The one on a media core, counted as `media::Lane::number` does.
    pub fn on(&self, number: usize) -> Lane {
        self.0[number % self.0.len()].clone()
    }
}

/// The way to one lane.
#[derive(Clone)]
pub struct Lane(Arc<Handle>);

struct Handle {
    arrivals: Option<SyncSender<Box<Guest>>>,
    ready: Arc<Ready>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.arrivals = None; // seen by the lane once it is awake
        self.ready.mark(DOOR);
        self.ready.ring();
    }
}

impl Lane {
    /// The way, and where it leads.
    pub(super) fn new() -> io::Result<(Self, Floor)> {
        let ready = Arc::new(Ready::new()?);
        let (arrivals, door) = sync_channel(ARRIVALS);
        let floor = Floor::new(Arc::clone(&ready), door)?;
        Ok((Self(Arc::new(Handle { arrivals: Some(arrivals), ready })), floor))
    }

    /// Sends a stream to its seat; waits while too many are on their way.
    pub(super) async fn seat(&self, guest: Guest) {
        let mut guest = Box::new(guest);
        let Some(arrivals) = &self.0.arrivals else { return };
        while let Err(refused) = arrivals.try_send(guest) {
            match refused {
                TrySendError::Full(back) => guest = back,
                TrySendError::Disconnected(_) => return, // its core is no more: the guest learns it by being dropped
            }
            tokio::time::sleep(RETRY).await;
        }
        self.0.ready.mark(DOOR);
        self.0.ready.ring();
    }
}

/// A seat that is taken, and when the heap has it next.
struct Place {
    seat: Seat,
    scheduled: Option<Instant>,
    /// It is among those with more to read.
    more: bool,
}

/// The streams of one lane.
pub(super) struct Floor {
    ready: Arc<Ready>,
    door: Receiver<Box<Guest>>,
    /// Nobody will come any more.
    shut: bool,
    /// The bell and all sockets; what they told, and what of that waits for its turn.
    sockets: Epoll,
    events: Box<[EpollEvent; READY]>,
    waiting: Range<usize>,
    /// By place; the door's is never taken.
    places: Vec<Option<Box<Place>>>,
    free: BinaryHeap<Reverse<u32>>,
    due: BinaryHeap<Reverse<(Instant, u32)>>,
    desk: Desk,
    /// Those whose sockets had more than their share, which a socket does not tell again.
    more: VecDeque<u32>,
    /// Room for those that are marked.
    marked: Vec<u32>,
}

impl Floor {
    fn new(ready: Arc<Ready>, door: Receiver<Box<Guest>>) -> io::Result<Self> {
        let sockets = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        sockets.add(ready.fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, BELL))?;
        Ok(Self {
            ready,
            door,
            shut: false,
            sockets,
            events: Box::new([EpollEvent::empty(); READY]),
            waiting: 0..0,
            places: vec![None],
            free: BinaryHeap::new(),
            due: BinaryHeap::new(),
            desk: Desk::new(Entropy::from_os()),
            more: VecDeque::new(),
            marked: Vec::new(),
        })
    }

    /// Gives their turn to the marked; true: there were some.
    fn serve(&mut self, now: Instant) -> bool {
        let mut marked = std::mem::take(&mut self.marked);
        self.ready.sweep(|place| marked.push(place));
        let any = !marked.is_empty();
        for place in marked.drain(..) {
            match place {
                DOOR => self.let_in(now),
                place => self.turn(now, place, false),
            }
        }
        self.marked = marked;
        any
    }

    /// Those that had more to read than their share have another, until then; true: there were some.
    fn read_on(&mut self, now: Instant, until: Instant) -> bool {
        let waiting = self.more.len();
        for _ in 0..waiting {
            let Some(place) = self.more.pop_front() else { break };
            if let Some(Some(taken)) = self.places.get_mut(place as usize) {
                taken.more = false;
            }
            self.turn(now, place, true);
            if clock() >= until {
                break;
            }
        }
        waiting > 0
    }

    /// Takes what came on sockets that have something, until then; true: there were some.
    fn read(&mut self, now: Instant, until: Instant) -> bool {
        let mut any = false;
        loop {
            if self.waiting.is_empty() {
                self.waiting = 0..self.sockets.wait(&mut self.events[..], EpollTimeout::ZERO).unwrap_or(0);
            }
            let full = self.waiting.end == READY;
            while let Some(event) = self.waiting.next().map(|at| self.events[at]) {
                if event.data() != BELL {
                    any = true;
                    self.told(now, event.data() as u32, event.events());
                }
                if clock() >= until {
                    return any;
                }
            }
            if !full {
                return any;
            }
        }
    }

    /// A socket has something, takes something, or is at its end.
    fn told(&mut self, now: Instant, place: u32, flags: EpollFlags) {
        let Some(Some(taken)) = self.places.get_mut(place as usize) else { return };
        if flags.intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            taken.seat.ending();
        }
        // Those with more to read have their share already.
        let readable = flags != EpollFlags::EPOLLOUT && !taken.more;
        self.turn(now, place, readable);
    }

    fn let_in(&mut self, now: Instant) {
        loop {
            match self.door.try_recv() {
                Ok(guest) => self.take_seat(now, *guest),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.shut = true;
                    return;
                }
            }
        }
    }

    fn take_seat(&mut self, now: Instant, guest: Guest) {
        let place = match self.free.pop() {
            Some(Reverse(place)) => place,
            None => match u32::try_from(self.places.len()) {
                Ok(place) if place < PLACES => {
                    self.places.push(None);
                    place
                }
                _ => return, // more than any node carries: it is told by being dropped
            },
        };
        let seat = Seat::new(guest, now, Knock::new(Arc::clone(&self.ready), place));
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        let watched =
            seat.tcp().map_or(Ok(()), |tcp| self.sockets.add(tcp, EpollEvent::new(flags, place.into())));
        if watched.is_err() {
            self.free.push(Reverse(place));
            return; // no memory for one more: as above
        }
        self.places[place as usize] = Some(Box::new(Place { seat, scheduled: None, more: false }));
        self.turn(now, place, false); // `connected` and `start` stand before all else
        self.turn(now, place, true); // what came with the upgrade is in no socket any more
    }

    /// Gives a stream its turn; a fault in it ends it alone (reliability R-2).
    fn turn(&mut self, now: Instant, place: u32, readable: bool) {
        let Some(slot) = self.places.get_mut(place as usize) else { return };
        let Some(taken) = slot else { return };
        let seat = &mut taken.seat;
        let turn = catch_unwind(AssertUnwindSafe(|| seat.turn(now, readable, &mut self.desk)));
        if matches!(turn, Err(_) | Ok(Turn::Over)) {
            let gone = slot.take();
            self.free.push(Reverse(place));
            match (turn, gone) {
                (Ok(_), Some(gone)) => gone.seat.leave(),
                (_, gone) => drop(catch_unwind(AssertUnwindSafe(|| drop(gone)))),
            }
            return;
        }
        if turn.is_ok_and(|turn| turn == Turn::More) && !std::mem::replace(&mut taken.more, true) {
            self.more.push_back(place);
        }
        // Nothing is due twice a step.
        let due = taken.seat.due(now).max(now + STEP);
        if taken.scheduled.is_none_or(|at| due < at) {
            taken.scheduled = Some(due);
            self.due.push(Reverse((due, place)));
        }
    }

    /// Gives their turn to those whose time has come; true: there were some.
    fn run_due(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(&Reverse((at, place))) = self.due.peek().filter(|Reverse((at, _))| *at <= now) {
            self.due.pop();
            let Some(Some(taken)) = self.places.get_mut(place as usize) else { continue };
            if taken.scheduled == Some(at) {
                any = true;
                taken.scheduled = None;
                self.turn(now, place, false);
            }
        }
        any
    }
}

impl Streams for Floor {
    fn take_in(&mut self, now: Instant) -> bool {
        let until = now + SHARE;
        // what waits longest first
        self.read_on(now, until) | self.read(now, until)
    }

    fn put_out(&mut self, now: Instant) -> bool {
        self.serve(now) | self.run_due(now)
    }

    fn due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    fn may_sleep(&self) -> bool {
        self.waiting.is_empty() && self.more.is_empty() && self.ready.may_sleep()
    }

    fn awake(&self) {
        self.ready.awake();
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.sockets.0.as_fd()
    }

    fn is_over(&self) -> bool {
        self.shut && self.places.iter().all(Option::is_none)
    }
}
