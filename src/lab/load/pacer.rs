//! The thread that speaks and listens for all calls: a wheel of milliseconds, one wake for every call of a
//! millisecond, and none in those that nobody speaks in.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::line::{Desk, Line, Speech};
use super::report::Sums;
use crate::lab::sound::Sound;
use crate::sdp::Agreed;

/// Orders that may wait; a desk that gives more waits.
const ORDERS: usize = 4096;
/// Slots of the wheel: more than the longest packet time has milliseconds.
const SLOTS: u64 = 64;
/// A packet so much too late is left out, and the next goes in time: three packets, as the product's own rule is.
const TOO_LATE_MS: u64 = 60;
/// With nobody to speak the thread looks after its orders so often.
const REST: Duration = Duration::from_millis(50);

pub(super) enum Order {
    Open(u64, Box<Line>),
    Turn(u64, Box<Agreed>),
    Close(u64),
    /// Closes everything and tells what was counted.
    Finish(oneshot::Sender<Sums>),
}

/// The way to the thread; the thread ends with it.
#[derive(Debug)]
pub(super) struct Pacer {
    orders: SyncSender<Order>,
    thread: Thread,
}

impl Pacer {
    pub(super) fn start(sound: &Sound) -> io::Result<Self> {
        let (orders, waiting) = sync_channel(ORDERS);
        let speech = Arc::new(Speech::new(sound));
        let run = move || Wheel::new(speech).run(&waiting);
        let thread = thread::Builder::new().name("load-rtp".to_owned()).spawn(run)?;
        Ok(Self { orders, thread: thread.thread().clone() })
    }

    /// A thread that is gone does nothing any more.
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

struct Wheel {
    lines: HashMap<u64, Line>,
    slots: Vec<Vec<u64>>,
    began: Instant,
    /// The millisecond that was served last.
    served: u64,
    desk: Desk,
    sums: Sums,
}

impl Wheel {
    fn new(speech: Arc<Speech>) -> Self {
        let began = Instant::now();
        Self {
            lines: HashMap::new(),
            slots: vec![Vec::new(); SLOTS as usize],
            began,
            served: 0,
            desk: Desk::new(speech, began),
            sums: Sums::default(),
        }
    }

    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            loop {
                match orders.try_recv() {
                    Ok(Order::Finish(reply)) => return drop(reply.send(self.finish())), // who asked may have gone
                    Ok(order) => self.obey(order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            self.desk.wake(Instant::now());
            let now = self.milliseconds();
            while self.served < now {
                self.served += 1;
                self.serve(now - self.served);
            }
            let rest = self.next().saturating_duration_since(Instant::now());
            thread::park_timeout(rest.min(REST));
        }
    }

    fn milliseconds(&self) -> u64 {
        self.desk.now.saturating_duration_since(self.began).as_millis() as u64
    }

    /// When the next call speaks.
    fn next(&self) -> Instant {
        let next = (1..SLOTS).find(|step| !self.slots[((self.served + step) % SLOTS) as usize].is_empty());
        self.began + Duration::from_millis(self.served + next.unwrap_or(SLOTS))
    }

    /// Every call of this millisecond, `late` milliseconds after it.
    fn serve(&mut self, late: u64) {
        let slot = (self.served % SLOTS) as usize;
        let mut due = std::mem::take(&mut self.slots[slot]);
        let at = self.began + Duration::from_millis(self.served);
        for id in due.drain(..) {
            let Some(line) = self.lines.get_mut(&id) else { continue };
            line.listen(&mut self.desk);
            if late > TOO_LATE_MS {
                line.skip();
            } else {
                let behind = Instant::now().saturating_duration_since(at);
                self.sums.own_late.add(u64::try_from(behind.as_micros()).unwrap_or(u64::MAX));
                line.speak(&mut self.desk);
            }
            let next = (slot + line.packet_ms()) % SLOTS as usize;
            self.slots[next].push(id);
        }
        self.slots[slot] = due; // its room is used again
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Open(id, line) => {
                // A place of its own, so that the calls do not all speak in one millisecond.
                let step = 1 + (id.wrapping_mul(7) + id / 20) % 20;
                self.slots[((self.served + step) % SLOTS) as usize].push(id);
                self.lines.insert(id, *line);
            }
            Order::Turn(id, agreed) => {
                let now = Instant::now();
                if let Some(line) = self.lines.get_mut(&id) {
                    line.turn(*agreed, now);
                }
            }
            Order::Close(id) => {
                self.desk.wake(Instant::now());
                if let Some(line) = self.lines.remove(&id) {
                    self.close(line);
                }
            }
            Order::Finish(_) => {}
        }
    }

    fn close(&mut self, mut line: Line) {
        line.listen(&mut self.desk);
        let lasted = self.desk.now.saturating_duration_since(line.opened);
        self.sums.add(lasted, line.ear.heard(), line.sent(), line.skipped, line.unauthentic);
    }

    fn finish(mut self) -> Sums {
        self.desk.wake(Instant::now());
        for (_, line) in std::mem::take(&mut self.lines) {
            self.close(line);
        }
        Sums { behind: self.desk.behind, ..self.sums }
    }
}
