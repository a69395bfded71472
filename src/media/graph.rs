//! Ports and links of one call, and its clock. Pure: one input in (a command, a datagram, the time), then every
//! output out (packets, events, wake-ups, what is to be freed).
//!
//! ```text
//!  datagram ─► rtp port ─► line ─┬─ drives ──► stream port ─► ring ─► session      on arrival
//!                                └─ waits ──┐
//!  session ─► ring ─► stream port ─ block ──┴─► sum ─► rtp port ─► packet          by the call's clock
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::counts::Tally;
use super::parcels::Parcels;
use super::patch::{Patch, Path, scale};
use super::port::quiet::QUIET;
use super::port::rtp::{Arrived, Line, RtpPort};
use super::port::stream::StreamPort;
use super::port::{Kind, Port};
use super::ready::Knock;
use super::ring::Wake;
use super::tick::Clock;
use super::{Command, Event, Link, PortId, Reservation, RtpSpec, Spec, WallClock};
use crate::audio::level;
use crate::ids::{Entropy, Seed};
use crate::rtp::packet::MAX_PAYLOAD;
use crate::units::Gain;

/// Events that wait to be taken; beyond, keys are lost, other events wait all the same.
const EVENTS: usize = 16;
/// Room for those of an ordinary call.
const FEW: usize = 4;
/// The clock is let go only after so many samples of silence: no packet that follows a word, or cuts one short, is kept
/// waiting for it.
const SETTLED: usize = 1600;
/// A block later than this was late.
const LATE: Duration = Duration::from_millis(5);

/// The audio of one call.
#[derive(Debug)]
pub struct Graph {
    clock: Clock,
    wall: WallClock,
    /// The last time it was told.
    now: Instant,
    wait: Duration,
    chance: Seed,
    #[allow(clippy::vec_box)] // a closed port leaves by its box: nothing is allocated or freed on the way
    ports: Vec<Box<Port>>,
    patch: Patch,
    /// The last block was more than our own silence to somebody.
    voiced: bool,
    /// Samples of our own silence since.
    hushed: usize,
    packets: Parcels,
    events: VecDeque<Event>,
    /// Closed ports whose leave is among the packets: their sockets are needed until it is taken.
    #[allow(clippy::vec_box)] // as above
    leaving: Vec<Box<Port>>,
    spent: Vec<Spent>,
    closed: Tally,
}

/// What a graph has done with and others are to free.
#[derive(Debug)]
pub struct Spent(#[allow(dead_code)] Remains); // it is there to be dropped

#[derive(Debug)]
#[allow(dead_code)]
enum Remains {
    Port(Box<Port>),
    Spec(Box<RtpSpec>),
    Open(Spec),
}

/// A packet to send.
#[derive(Debug)]
pub struct Transmit<'a> {
    /// From this port's socket.
    pub port: PortId,
    /// From the one beside it, which is RTCP's.
    pub beside: bool,
    /// To this address.
    pub to: SocketAddr,
    /// These octets.
    pub bytes: &'a [u8],
    pub(super) from: Option<&'a Reservation>,
}

impl Graph {
    /// A call without ports; its clock begins. `wait`: the longest for a missing packet (`Config::jitter_max`);
    /// `chance`: for what an RTP source must not have guessable.
    pub fn new(now: Instant, wait: Duration, mut chance: Entropy) -> Self {
        Self {
            clock: Clock::new(now),
            wall: WallClock::new(now, Duration::ZERO),
            now,
            wait,
            chance: chance.seed(),
            ports: Vec::with_capacity(FEW),
            patch: Patch::new(),
            voiced: false,
            hushed: 0,
            packets: Parcels::new(),
            events: VecDeque::with_capacity(FEW),
            leaving: Vec::with_capacity(FEW),
            spent: Vec::with_capacity(2),
            closed: Tally::default(),
        }
    }

    /// What its sender reports take for the time of day; else 1970 is when it began.
    #[must_use]
    pub fn with_wall_clock(self, wall: WallClock) -> Self {
        Self { wall, ..self }
    }

    /// Obeys the call. The one input that may allocate.
    pub fn apply(&mut self, now: Instant, command: Command) {
        self.now = now;
        match command {
            Command::Open(id, spec) => self.open(now, id, spec),
            Command::Change(id, spec) => {
                let old = match self.port(id).and_then(Port::rtp_mut) {
                    Some(rtp) => rtp.change(now, spec),
                    None => spec,
                };
                self.spent.push(Spent(Remains::Spec(old)));
            }
            Command::Link(link) => self.patch.link(link),
            Command::Unlink(link) => self.patch.unlink(link),
            Command::Close(id) => self.close(id),
        }
        self.patch.lay(&self.ports);
        let short = |port: &Port| port.rtp().is_some_and(|rtp| rtp.ptime() % Clock::BLOCK != 0);
        self.clock.set_short(self.ports.iter().any(|port| short(port)));
    }

    /// Takes a datagram of a port's socket in.
    pub fn datagram(&mut self, now: Instant, port: PortId, from: SocketAddr, bytes: &[u8]) {
        let Some(at) = self.ports.iter().position(|there| there.id == port) else { return };
        let Some(rtp) = self.ports[at].rtp_mut() else { return };
        match rtp.datagram(now, from, bytes) {
            Arrived::Nothing => return,
            Arrived::First => self.events.push_back(Event::FirstIn(port)),
            Arrived::Packet => {}
        }
        self.deliver(now, at);
        self.orders(now);
    }

    /// A bot has something to say that was silent.
    pub(super) fn heed(&mut self, now: Instant) {
        self.orders(now);
    }

    /// Where this stream's session is to mark that.
    pub(super) fn hailed_by(&mut self, id: PortId, hail: Knock) {
        if let Some(stream) = self.port(id).and_then(Port::stream_mut) {
            stream.hailed_by(hail);
        }
    }

    /// Takes a datagram of the socket beside a port's in: RTCP.
    pub fn datagram_beside(&mut self, now: Instant, port: PortId, from: SocketAddr, bytes: &[u8]) {
        if let Some(rtp) = self.port(port).and_then(Port::rtp_mut) {
            rtp.rtcp(now, from, bytes, false);
        }
    }

    /// When to run next, should nothing come in before.
    pub fn due(&self) -> Option<Instant> {
        let lines = self.ports.iter().filter_map(|port| {
            let rtp = port.rtp()?;
            // A line nobody hears on arrival is read by the block.
            let overdue = if self.patch.drives(port.id) { rtp.overdue() } else { None };
            overdue.into_iter().chain(rtp.digit_due()).min()
        });
        if self.ports.is_empty() { None } else { lines.chain([self.clock.due()]).min() }
    }

    /// Does all that is due.
    pub fn run(&mut self, now: Instant) {
        self.now = now;
        for at in 0..self.ports.len() {
            let due = |rtp: &RtpPort| rtp.overdue().into_iter().chain(rtp.digit_due()).any(|due| due <= now);
            if self.ports[at].rtp().is_some_and(due) {
                self.deliver(now, at);
            }
        }
        let behind = self.clock.behind(now);
        if behind > 0 {
            let samples = self.clock.skip(behind);
            self.closed.ticks_skipped += behind;
            for rtp in self.ports.iter_mut().filter_map(|port| port.rtp_mut()) {
                rtp.skip(samples);
            }
        }
        loop {
            let due = self.clock.due();
            if due > now {
                return;
            }
            self.closed.ticks_late += u64::from(now > due + LATE);
            self.tick(now, due);
        }
    }

    /// The next packet to send.
    pub fn transmit(&mut self) -> Option<Transmit<'_>> {
        let Some((parcel, bytes)) = self.packets.next() else {
            self.spent.extend(self.leaving.drain(..).map(|port| Spent(Remains::Port(port))));
            return None;
        };
        let port = parcel.port;
        let from = reservation(&self.ports, port).or_else(|| reservation(&self.leaving, port));
        Some(Transmit { port, beside: parcel.beside, to: parcel.to, bytes, from })
    }

    /// The kernel did not take a packet of this port.
    pub fn send_failed(&mut self, port: PortId) {
        if let Some(rtp) = self.port(port).and_then(Port::rtp_mut) {
            rtp.send_failed();
        }
    }

    /// The next event for the call.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next session to wake: it sleeps, and there is something for it.
    pub fn wake(&mut self) -> Option<Wake> {
        self.ports.iter_mut().find_map(|port| port.stream_mut()?.wake())
    }

    /// The next thing to free.
    pub fn spent(&mut self) -> Option<Spent> {
        self.spent.pop()
    }

    /// Whether it has no port, so that it may go.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Closes every port.
    pub fn close_all(&mut self) {
        while let Some(id) = self.ports.last().map(|port| port.id) {
            self.close(id);
        }
    }

    /// What this graph did since its beginning.
    pub fn tally(&self) -> Tally {
        let mut tally = self.closed;
        for port in &self.ports {
            tally.count(port);
            tally.rtp_ports += u64::from(port.rtp().is_some());
            tally.streams += u64::from(port.stream().is_some());
        }
        tally
    }

    /// What a port was opened with.
    pub(super) fn reservation(&self, id: PortId) -> Option<&Reservation> {
        reservation(&self.ports, id)
    }

    fn open(&mut self, now: Instant, id: PortId, spec: Spec) {
        if self.port(id).is_some() {
            return self.spent.push(Spent(Remains::Open(spec)));
        }
        let kind = match spec {
            Spec::Rtp(spec, reservation) => Kind::Rtp(Box::new(RtpPort::new(
                now,
                spec,
                reservation,
                self.wait,
                self.wall,
                &mut self.chance.wake(),
            ))),
            Spec::Stream(StreamPort(mut stream)) => {
                stream.open(&self.clock, now);
                Kind::Stream(stream)
            }
            Spec::Player(player) => Kind::Player(player),
        };
        self.ports.push(Box::new(Port::new(id, kind)));
    }

    fn close(&mut self, id: PortId) {
        let Some(at) = self.ports.iter().position(|port| port.id == id) else { return };
        let mut port = self.ports.swap_remove(at);
        self.patch.forget(id);
        self.closed.count(&port);
        self.events.push_back(Event::Closed(id, port.counts()));
        match port.rtp_mut().and_then(|rtp| rtp.farewell(self.now)) {
            Some(leave) => {
                self.packets.push(id, &leave);
                self.leaving.push(port);
            }
            None => self.spent.push(Spent(Remains::Port(port))),
        }
    }

    fn port(&mut self, id: PortId) -> Option<&mut Port> {
        self.ports.iter_mut().find(|port| port.id == id).map(|port| &mut **port)
    }

    /// Passes on what an RTP port has: pieces of its line, then keys.
    fn deliver(&mut self, now: Instant, at: usize) {
        let (id, elapsed) = (self.ports[at].id, self.clock.elapsed(now));
        let mut line: Line = [0; MAX_PAYLOAD];
        while let Some(samples) = self.ports[at].rtp_mut().and_then(|rtp| rtp.pop(now, &mut line)) {
            let line = &line[..samples];
            for link in 0..self.patch.len() {
                let linked = self.patch.at_mut(link);
                let Link { from, to, gain, .. } = linked.link;
                if from != id {
                    continue;
                }
                match linked.path {
                    Path::Gathers => linked.keep(line),
                    Path::Drives => drive(&mut self.ports, at, (to, gain), line, (now, elapsed)),
                    Path::Blocks => {}
                }
            }
        }
        while let Some(pressed) = self.ports[at].rtp_mut().and_then(|rtp| rtp.digit(now)) {
            if self.events.len() < EVENTS {
                self.events.push_back(Event::Digit(id, pressed.digit, pressed.held));
            } else {
                self.closed.keys_lost += 1;
            }
            for port in &mut self.ports {
                if let Kind::Stream(stream) = &mut port.kind
                    && self.patch.said_by(id).any(|linked| linked.link.to == port.id)
                {
                    self.closed.keys_lost += u64::from(!stream.digit(pressed.digit, pressed.held));
                }
            }
        }
    }

    /// Takes what the sessions ordered, and tells them what there is to tell.
    fn orders(&mut self, now: Instant) {
        for at in 0..self.ports.len() {
            let Some(stream) = self.ports[at].stream_mut() else { continue };
            let cleared = stream.intake(now);
            stream.report();
            if cleared {
                self.hush(self.ports[at].id);
            }
        }
        self.align(now);
    }

    /// While only our own silence goes out, the clock follows the bot that is to be heard next: a silent packet is
    /// followed sooner by the first of its words. A graph has one clock, so one who speaks holds it for all.
    fn align(&mut self, now: Instant) {
        if self.voiced {
            return;
        }
        let Some(begins) = self.ports.iter().filter_map(|port| port.stream()?.begins()).min() else { return };
        if self.clock.hasten(begins.max(now)) {
            // The next packet is marked: the far end may set its playout anew (RFC 3551 §4.1).
            self.ports.iter_mut().filter_map(|port| port.rtp_mut()).for_each(|rtp| rtp.skip(0));
        }
    }

    /// What a cleared bot had in packets not yet full falls silent there.
    fn hush(&mut self, stream: PortId) {
        for port in &mut self.ports {
            let alone = self.patch.heard_by(port.id).all(|linked| linked.link.from == stream);
            if let Kind::Rtp(rtp) = &mut port.kind
                && alone
            {
                rtp.hush();
            }
        }
    }

    /// One block: all who speak, then all who hear, then what is to be told of it.
    fn tick(&mut self, now: Instant, due: Instant) {
        self.orders(now);
        let n = self.clock.block();
        let ticked = self.clock.tick();
        for at in 0..self.ports.len() {
            let port = &mut *self.ports[at];
            match &mut port.kind {
                Kind::Stream(stream) => port.voiced = stream.pull(now, due, &mut port.block[..n]),
                Kind::Player(player) => port.voiced = player.pull(&mut port.block[..n]),
                Kind::Rtp(_) => self.deliver(now, at),
            }
        }
        self.voiced = false;
        for at in 0..self.ports.len() {
            self.voiced |= self.hear(now, at, n, ticked);
        }
        self.hushed = if self.voiced { 0 } else { self.hushed.saturating_add(n) };
        if self.hushed > SETTLED {
            self.clock.relax();
        }
        for at in 0..self.ports.len() {
            self.conclude(now, at);
        }
        self.settle();
        self.align(now);
    }

    /// In a silence of the bot's own the clock is moved to where its messages want it, unless another bot speaks too.
    fn settle(&mut self) {
        let mut streams = self.ports.iter().filter_map(|port| port.stream()).filter(|stream| stream.plays());
        let (Some(stream), None) = (streams.next(), streams.next()) else { return };
        let Some(late) = stream.late(self.clock.due()) else { return };
        let silent = |port: &Port| !port.voiced || level::peak(&port.block) <= QUIET;
        if self.ports.iter().all(|port| silent(port)) && !self.patch.relays() {
            if !self.clock.shift(late) {
                return; // the clock is given back some of its time first
            }
            self.ports.iter_mut().filter_map(|port| port.rtp_mut()).for_each(|rtp| rtp.skip(0));
        }
    }

    /// Gives a port the block it hears; true: a peer hears more than our own silence.
    fn hear(&mut self, now: Instant, at: usize, n: usize, ticked: u64) -> bool {
        let mut heard = [0; Clock::BLOCK];
        let heard = &mut heard[..n];
        let id = self.ports[at].id;
        let voiced = self.patch.mix(&self.ports, id, heard);
        match &mut self.ports[at].kind {
            Kind::Rtp(rtp) => {
                let packets = &mut self.packets;
                if rtp.say(heard, voiced, |packet| packets.push(id, &packet)) {
                    self.events.push_back(Event::FirstOut(id));
                }
                return voiced;
            }
            Kind::Stream(stream) if self.patch.driven(id) => {
                silence(stream.owed_by_driver(ticked), |piece| stream.hear(now, piece));
            }
            Kind::Stream(stream) => {
                let owed = stream.owed(ticked);
                silence(owed.saturating_sub(n as u64), |piece| stream.hear(now, piece));
                stream.hear(now, &heard[n - (owed.min(n as u64) as usize)..]);
            }
            Kind::Player(_) => {}
        }
        false
    }

    fn conclude(&mut self, now: Instant, at: usize) {
        let id = self.ports[at].id;
        let waiting = |port: &Port| {
            port.rtp().is_some_and(|rtp| !rtp.flushed())
                && self.patch.heard_by(port.id).any(|linked| linked.link.from == id)
        };
        let sent = !self.ports.iter().any(|port| waiting(port));
        let event = match &mut self.ports[at].kind {
            Kind::Stream(stream) => {
                if sent {
                    stream.sent(now);
                }
                stream.report();
                stream.drained().then_some(Event::Drained(id))
            }
            Kind::Player(player) => player.drained().then_some(Event::Drained(id)),
            Kind::Rtp(rtp) => {
                if let Some(report) = rtp.report(now) {
                    self.packets.push(id, &report);
                }
                rtp.gone_silent(now).then_some(Event::Silent(id))
            }
        };
        self.events.extend(event);
    }
}

fn reservation(ports: &[Box<Port>], id: PortId) -> Option<&Reservation> {
    Some(&ports.iter().find(|port| port.id == id)?.rtp()?.reservation)
}

/// Passes a piece of an RTP port's line to the stream it drives.
fn drive(
    ports: &mut [Box<Port>],
    from: usize,
    (to, gain): (PortId, Gain),
    line: &[i16],
    (now, elapsed): (Instant, u64),
) {
    let Some(to) = ports.iter().position(|port| port.id == to) else { return };
    let Ok([from, to]) = ports.get_disjoint_mut([from, to]) else { return };
    let (Some(rtp), Some(stream)) = (from.rtp(), to.stream_mut()) else { return };
    if gain == Gain::UNITY {
        return stream.follow(now, line, elapsed, rtp.genuine());
    }
    let mut scaled = [0; Clock::BLOCK];
    for piece in line.chunks(Clock::BLOCK) {
        scale(piece, gain, &mut scaled);
        stream.follow(now, &scaled[..piece.len()], elapsed, rtp.genuine());
    }
}

/// So much silence, a block at a time.
fn silence(mut samples: u64, mut hear: impl FnMut(&[i16])) {
    const SILENCE: [i16; Clock::BLOCK] = [0; Clock::BLOCK];
    while samples > 0 {
        let n = samples.min(Clock::BLOCK as u64);
        hear(&SILENCE[..n as usize]);
        samples -= n;
    }
}

#[cfg(test)]
mod tests;
