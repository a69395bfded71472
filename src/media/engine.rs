//! Starts the workers and their couriers, chooses a worker for each call, keeps the range of ports.
//!
//! A courier is the task between the control plane and one worker: it puts commands into the worker's ring and takes
//! out what the worker left: events for the calls, wake-ups for sessions that are not up yet, and what is to be freed.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use rtrb::{Consumer, Producer, RingBuffer};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task;
use tracing::warn;

use super::bell::Bell;
use super::counts::{CoreCounts, Published};
use super::ready::Ready;
use super::reserve::{NoPort, Range, Reservation};
use super::socket::{Poll, event_fd, watch};
use super::worker::{Doorbell, Left, Order, Streams, Tray, Worker};
use super::{Command, Config, Event, Spec, pin};
use crate::ids::{CallKey, Entropy};

/// Commands that wait for a courier.
const COMMANDS: usize = 256;
/// Commands under way to a worker.
const RING: usize = 1024;
/// Things under way from a worker: at 4000 calls, a wake-up for each and room.
const LEFT: usize = 8192;
/// How soon a full command ring is tried again.
const RETRY: Duration = Duration::from_millis(1);

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No even port with its odd one in the range.
    #[error("media.ports {0}-{1} holds no pair of ports")]
    NoPorts(u16, u16),
    /// The system refused a descriptor or a thread.
    #[error("media worker for core {core} not started: {cause}")]
    Worker {
        /// Its core.
        core: usize,
        /// Why.
        cause: io::Error,
    },
}

/// The running engine; clones are the same one. Dropping the last, with all its lanes, stops it too.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    lanes: Vec<Station>,
    range: Arc<Range>,
    couriers: Mutex<Vec<task::JoinHandle<()>>>,
}

/// One worker, seen from here.
struct Station {
    core: usize,
    orders: mpsc::Sender<Order>,
    seats: Arc<AtomicUsize>,
    published: Arc<Published>,
}

/// What a core carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreLoad {
    /// As in `CoreCounts`.
    pub core: usize,
    /// Calls placed there that hold their lane.
    pub calls: usize,
    /// Calls with ports.
    pub graphs: u64,
    /// RTP ports.
    pub rtp_ports: u64,
    /// Streams.
    pub streams: u64,
}

impl Engine {
    /// Starts a worker for each core and its courier on this runtime. `streams` are carried by the workers in their
    /// order, as far as there are some; `events` is called by the couriers and must not block.
    ///
    /// # Errors
    /// When the range holds no port or the system refuses a thread or a descriptor. A core that cannot be
    /// pinned, or a priority that is refused, is a warning.
    pub fn start(
        config: Config,
        streams: Vec<Box<dyn Streams>>,
        events: impl Fn(CallKey, Event) + Send + Sync + 'static,
    ) -> Result<Self, EngineError> {
        let range = Arc::new(Range::new(&config));
        if range.total() == 0 {
            return Err(EngineError::NoPorts(*config.ports.start(), *config.ports.end()));
        }
        let events = Arc::new(events);
        let (mut lanes, mut couriers, mut streams) = (Vec::new(), Vec::new(), streams.into_iter());
        for at in 0..config.cores.len().max(1) {
            let pinned = config.cores.get(at).copied();
            let core = pinned.unwrap_or(at);
            let (station, courier) = station(&config, core, pinned, streams.next())
                .map_err(|cause| EngineError::Worker { core, cause })?;
            lanes.push(station);
            couriers.push(tokio::spawn(courier.run(Arc::clone(&events))));
        }
        Ok(Self(Arc::new(Inner { lanes, range, couriers: Mutex::new(couriers) })))
    }

    /// An RTP socket that faces `peer`.
    ///
    /// # Errors
    /// When the range is used up but for what is kept back, or the system gives no socket.
    pub fn reserve(&self, peer: IpAddr) -> Result<Reservation, NoPort> {
        self.0.range.reserve(peer)
    }

    /// The least loaded worker, for one call and all its ports. The place is held by the lane and its clones.
    pub fn place(&self) -> Lane {
        let load = |station: &Station| station.seats.load(Ordering::Relaxed);
        let stations = self.0.lanes.iter().enumerate();
        let (number, station) =
            stations.min_by_key(|(_, station)| load(station)).expect("an engine has at least one worker");
        station.seats.fetch_add(1, Ordering::Relaxed);
        Lane { orders: station.orders.clone(), number, _seat: Arc::new(Seat(Arc::clone(&station.seats))) }
    }

    /// RTP ports that could be taken now.
    pub fn ports_free(&self) -> usize {
        self.0.range.free()
    }

    /// RTP ports of the range.
    pub fn ports_total(&self) -> usize {
        self.0.range.total()
    }

    /// What each core carries.
    pub fn load(&self) -> Vec<CoreLoad> {
        let load = |station: &Station| {
            let tally = station.published.read();
            CoreLoad {
                core: station.core,
                calls: station.seats.load(Ordering::Relaxed),
                graphs: tally.graphs,
                rtp_ports: tally.rtp_ports,
                streams: tally.streams,
            }
        };
        self.0.lanes.iter().map(load).collect()
    }

    /// What each core counted.
    pub fn cores(&self) -> Vec<CoreCounts> {
        let counts = |station: &Station| CoreCounts { core: station.core, tally: station.published.read() };
        self.0.lanes.iter().map(counts).collect()
    }

    /// Closes all ports and ends the workers; returns when all is told and given back.
    pub async fn stop(self) {
        for station in &self.0.lanes {
            let _ = station.orders.send(Order::Stop).await; // gone already: stopped before
        }
        let couriers = std::mem::take(&mut *self.0.couriers.lock().unwrap_or_else(PoisonError::into_inner));
        for courier in couriers {
            let _ = courier.await; // it ends by itself or with its runtime
        }
    }
}

/// The way to one worker.
#[derive(Clone, Debug)]
pub struct Lane {
    orders: mpsc::Sender<Order>,
    number: usize,
    _seat: Arc<Seat>,
}

impl Lane {
    /// Which of the engine's workers it leads to, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Sends a command; waits while the worker's courier has too many. After `Engine::stop` it leads nowhere.
    pub async fn send(&self, command: Command) {
        if let Command::Open(_, Spec::Rtp(_, reservation)) = &command {
            reservation.hush(); // here, for a core does not wait for a socket's whole buffer
        }
        let _ = self.orders.send(Order::Command(command)).await;
    }
}

#[derive(Debug)]
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A worker's thread, and what it is reached by.
fn station(
    config: &Config,
    core: usize,
    pinned: Option<usize>,
    streams: Option<Box<dyn Streams>>,
) -> io::Result<(Station, Courier)> {
    let doorbell = || io::Result::Ok(Doorbell { bell: Arc::new(Bell::new()), fd: Arc::new(event_fd()?) });
    let (inbound, outbound) = (doorbell()?, doorbell()?);
    let (to_worker, commands) = RingBuffer::new(RING);
    let (left, from_worker) = RingBuffer::new(LEFT);
    let (orders, wanted) = mpsc::channel(COMMANDS);
    let published = Arc::new(Published::default());
    let (poll, shared) = (Poll::new(Arc::clone(&inbound.fd))?, Arc::clone(&published));
    let (inner, outer) = ((inbound.clone(), outbound.clone()), watch(Arc::clone(&outbound.fd))?);
    let (wait, realtime, hails) = (config.jitter_max, config.realtime, Arc::new(Ready::new()?));
    let (left, carries) = (Tray::new(left), streams.is_some());
    let work = move || {
        attune(pinned, realtime);
        let (inbound, outbound) = inner;
        let chance = Entropy::from_os();
        Worker { commands, inbound, left, outbound, poll, streams, hails, published: shared, wait, chance }
            .run();
    };
    let thread = thread::Builder::new().name(format!("media-{core}")).spawn(work)?;
    let line = Line { to_worker: Some(to_worker), inbound };
    let thread = (!carries).then_some(thread);
    let courier = Courier { wanted, line, from_worker, outbound, fd: outer, thread, stopping: false };
    Ok((Station { core, orders, seats: Arc::default(), published }, courier))
}

fn attune(pinned: Option<usize>, realtime: bool) {
    let pin = pinned.map_or(Ok(()), pin::to_core);
    let priority = if realtime { pin::realtime() } else { Ok(()) };
    for refused in [pin, priority].into_iter().filter_map(Result::err) {
        warn!("{refused}");
    }
    pin::exact_sleep();
}

struct Courier {
    wanted: mpsc::Receiver<Order>,
    line: Line,
    from_worker: Consumer<Left>,
    /// Rung by the worker.
    outbound: Doorbell,
    fd: AsyncFd<Arc<nix::sys::eventfd::EventFd>>,
    /// Nothing: it goes on until its last stream is over.
    thread: Option<JoinHandle<()>>,
    stopping: bool,
}

/// To the worker. Dropped in whatever way, the worker hears it and ends.
struct Line {
    to_worker: Option<Producer<Order>>,
    /// Heard by the worker.
    inbound: Doorbell,
}

impl Line {
    /// The order comes back when the ring is full.
    fn push(&mut self, order: Order) -> Option<Order> {
        match self.to_worker.as_mut()?.push(order) {
            Ok(()) => None,
            Err(rtrb::PushError::Full(order)) => Some(order),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.to_worker = None; // seen by the worker once it is awake
        let _ = self.inbound.fd.write(1);
    }
}

impl Courier {
    async fn run(mut self, events: Arc<impl Fn(CallKey, Event) + Send + Sync + 'static>) {
        let mut waiting = None;
        while !self.fetch(&*events) {
            if let Some(order) = waiting.take() {
                waiting = self.bring(order);
            }
            self.outbound.bell.arm();
            if !self.from_worker.is_empty() {
                self.outbound.bell.disarm();
                continue;
            }
            tokio::select! {
                ready = self.fd.readable() => {
                    let Ok(mut ready) = ready else { break };
                    let _ = self.outbound.fd.read(); // quiet again
                    ready.clear_ready();
                }
                order = self.wanted.recv(), if waiting.is_none() && !self.stopping => {
                    // No sender is left: nobody can want anything but the end.
                    waiting = self.bring(order.unwrap_or(Order::Stop));
                }
                () = tokio::time::sleep(RETRY), if waiting.is_some() => {}
            }
            self.outbound.bell.disarm();
        }
        let Some(thread) = self.thread else { return };
        // It has said its last word, so this takes no time.
        let _ = task::spawn_blocking(move || thread.join()).await;
    }

    /// Takes what the worker left; true: it has ended.
    fn fetch(&mut self, events: &(impl Fn(CallKey, Event) + Send + Sync + 'static)) -> bool {
        while let Ok(left) = self.from_worker.pop() {
            match left {
                Left::Event(call, event) => events(call, event),
                Left::Wake(wake) => wake.fire(),
                Left::Spent(spent) => drop(spent),
                Left::Graph(graph) => drop(graph),
                Left::Stopped => return true,
            }
        }
        false
    }

    /// Puts an order and those behind it into the worker's ring; the one that found it full comes back.
    fn bring(&mut self, order: Order) -> Option<Order> {
        let mut next = Some(order);
        while let Some(order) = next {
            self.stopping |= matches!(order, Order::Stop);
            let refused = self.line.push(order);
            if refused.is_some() {
                self.line.inbound.ring();
                return refused;
            }
            next = if self.stopping { None } else { self.wanted.try_recv().ok() };
        }
        self.line.inbound.ring();
        None
    }
}
