//! The thread that carries the streams that are up, beside each media core.
//!
//! ```text
//!   ┌─► sleep ─► the marked: caller's audio out ─► sockets that have something: bot's messages in ─► those due ─┐
//!   └───────────────────────────────────────────────────────────────────────────────────────────────────────────┘
//!       woken by: the media core, once, at the end of a step that left something; a command; else after 2 ms,
//!       and when few streams are up, by their sockets themselves
//! ```
//!
//! A stream is not a task. Its cost is not its work but being woken for it: fifty frames out and fifty in a second,
//! each of which an async runtime turns into a wake-up of its own, by way of a queue, a waker and its poller. Here one
//! wake-up serves all streams, in which all have their turn: what the media core left is written at once, and what
//! came from bots is looked for once a step. Reaching the bot (names, TCP, TLS, upgrade) is rare and is full of
//! waiting, so it stays a task; a stream comes here when it is up and stays to its end.
//!
//! A turn is bounded: a bot that floods has its share of each round, one that does not read costs nothing.
#![allow(clippy::disallowed_methods)] // a thread of its own

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use std::{io, thread};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::clock;
use super::seat::{Desk, Guest, Seat, Turn};
use crate::ids::Entropy;
use crate::media::ready::PLACES;
use crate::media::{Knock, Ready};

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
/// One step of the media cores, which ring once in each that left something.
const STEP: Duration = Duration::from_millis(1);
/// How long sockets wait for such a ring while there is something to do all the time: longer than a step, or the wait
/// would often end just before it.
const HOLD: Duration = Duration::from_millis(2);

/// The lanes, one beside each media core. Clones are the same ones; they end when the last clone is gone and no
/// stream is up.
#[derive(Clone)]
pub struct Lanes(Arc<[Lane]>);

impl Lanes {
    /// Starts so many, at least one.
    ///
    /// # Errors
    /// When the system refuses a thread or a descriptor (reliability R-114).
    pub fn start(count: usize) -> io::Result<Self> {
        (0..count.max(1)).map(Lane::start).collect::<io::Result<_>>().map(Self)
    }

    /// The one beside a media core, counted as `media::Lane::number` does.
    pub fn beside(&self, number: usize) -> Lane {
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
    /// Starts its thread, `stream-N`.
    ///
    /// # Errors
    /// As `Lanes::start`.
    pub fn start(number: usize) -> io::Result<Self> {
        let ready = Arc::new(Ready::new()?);
        let (arrivals, door) = sync_channel(ARRIVALS);
        let floor = Floor::new(Arc::clone(&ready), door)?;
        thread::Builder::new().name(format!("stream-{number}")).spawn(move || floor.run())?;
        Ok(Self(Arc::new(Handle { arrivals: Some(arrivals), ready })))
    }

    /// Sends a stream to its seat; waits while too many are on their way.
    pub(super) async fn seat(&self, guest: Guest) {
        let mut guest = Box::new(guest);
        let Some(arrivals) = &self.0.arrivals else { return };
        while let Err(refused) = arrivals.try_send(guest) {
            match refused {
                TrySendError::Full(back) => guest = back,
                TrySendError::Disconnected(_) => return, // its thread is no more: the guest learns it by being dropped
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
struct Floor {
    ready: Arc<Ready>,
    door: Receiver<Box<Guest>>,
    /// Nobody will come any more.
    shut: bool,
    /// Wakes for the bell and nothing else.
    bell: Epoll,
    /// The bell and all sockets.
    sockets: Epoll,
    /// By place; the door's is never taken.
    places: Vec<Option<Box<Place>>>,
    free: BinaryHeap<Reverse<u32>>,
    due: BinaryHeap<Reverse<(Instant, u32)>>,
    desk: Desk,
    /// Those whose sockets had more than their share, which a socket does not tell again; those that are served.
    more: Vec<u32>,
    served: Vec<u32>,
    /// Room for those that are marked.
    marked: Vec<u32>,
    /// The last round that had work, and whether the one before was just before it.
    last: Instant,
    dense: bool,
}

impl Floor {
    fn new(ready: Arc<Ready>, door: Receiver<Box<Guest>>) -> io::Result<Self> {
        let epoll = || Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
        let (bell, sockets) = (epoll()?, epoll()?);
        for epoll in [&bell, &sockets] {
            epoll.add(ready.fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, BELL))?;
        }
        Ok(Self {
            ready,
            door,
            shut: false,
            bell,
            sockets,
            places: vec![None],
            free: BinaryHeap::new(),
            due: BinaryHeap::new(),
            desk: Desk::new(Entropy::from_os()),
            more: Vec::new(),
            served: Vec::new(),
            marked: Vec::new(),
            last: clock(),
            dense: false,
        })
    }

    fn run(mut self) {
        let (mut events, mut told) = ([EpollEvent::empty(); READY], 0);
        while !(self.shut && self.places.iter().all(Option::is_none)) {
            // What a wait tells is not told again.
            if told == 0 && self.more.is_empty() {
                told = self.pass_time(&mut events);
            }
            let now = clock();
            let mut worked = self.serve(now) | self.read_on(now) | (told > 0);
            if told == 0 {
                told = self.sockets.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
            }
            for event in events.iter().take(told).filter(|event| event.data() != BELL) {
                worked = true;
                self.told(now, event.data() as u32, event.events());
            }
            told = match told {
                READY => self.sockets.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0),
                _ => 0,
            };
            worked |= self.run_due(now);
            self.dense = worked && now.saturating_duration_since(self.last) <= HOLD + STEP;
            if worked {
                self.last = now;
            }
        }
    }

    /// Sleeps until there is something to do; the number of sockets it was told of.
    fn pass_time(&self, events: &mut [EpollEvent]) -> usize {
        if !self.ready.may_sleep() {
            return 0;
        }
        let due = self.due.peek().map(|Reverse((at, _))| at.saturating_duration_since(clock()));
        // An interrupted wait is a short one: the next round looks and waits again.
        let told = if self.dense {
            // Sockets wait for the end of the step; what the media core leaves does not.
            let _ = self.bell.wait(events, timeout(Some(HOLD)));
            0
        } else {
            self.sockets.wait(events, timeout(due)).unwrap_or(0)
        };
        self.ready.awake();
        told
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

    /// Those that had more to read than their share have another; true: there were some.
    fn read_on(&mut self, now: Instant) -> bool {
        std::mem::swap(&mut self.more, &mut self.served);
        let any = !self.served.is_empty();
        for at in 0..self.served.len() {
            let place = self.served[at];
            if let Some(Some(taken)) = self.places.get_mut(place as usize) {
                taken.more = false;
            }
            self.turn(now, place, true);
        }
        self.served.clear();
        any
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
            self.more.push(place);
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

/// Never too early: in whole milliseconds, up.
fn timeout(at_most: Option<Duration>) -> EpollTimeout {
    let Some(at_most) = at_most else { return EpollTimeout::NONE };
    let ms = at_most.as_nanos().div_ceil(1_000_000).min(60_000);
    EpollTimeout::try_from(ms as u32).unwrap_or(EpollTimeout::ZERO)
}
