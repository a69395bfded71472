//! One task: an input, then every output it causes, then the next input.
#![allow(clippy::disallowed_methods)] // the one place where signalling reads the clock

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::connections::{Comer, Connections};
use super::lookup::{self, Lookups};
use super::resolve::Facing;
use super::stream::{self, FromStream};
use super::udp::{Datagrams, Queue, Received};
use super::{Sockets, Trace, Traced};
use crate::sip::endpoint::{Endpoint, Input, Output};
use crate::sip::hop::{Hop, Way};
use crate::sip::message::Framed;
use crate::sip::target::{Found, Service, Unresolved};
use crate::sip::{Command, Destination, Event, Octets, Transport};
use crate::telemetry::metrics;

/// Datagrams taken before timers, connections and commands have their turn.
const BURST: usize = 32;
/// News of places out of reach that are taken at once.
const ERRORS: usize = 8;
/// Things connections may have said that were not heard yet.
const STREAM_QUEUE: usize = 256;
/// How often the fill of the tables is measured.
const MEASURE: Duration = Duration::from_secs(1);
/// A task with nothing to wait for looks at the clock so often.
const NEVER: Duration = Duration::from_secs(3600);

/// How long the last requests of ours may wait for their answers once nobody commands any more.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Drives the endpoint until the last sender of `commands` is gone and what we sent is answered, at most 2 s later, and
/// gives it back. `events` is called for each event in order and must not wait.
pub async fn drive(
    endpoint: Endpoint,
    sockets: Sockets,
    mut commands: Receiver<Command>,
    events: impl FnMut(Event) + Send,
    trace: Option<Trace>,
) -> Endpoint {
    let (tell, mut streams) = mpsc::channel(STREAM_QUEUE);
    let listening = sockets.local_addrs();
    let mut acceptors = JoinSet::new();
    for (listener, listen) in sockets.streams {
        acceptors.spawn(stream::accept(listener, listen.transport, tell.clone()));
    }
    let connections = Connections::new(tell, sockets.dscp, sockets.limits, sockets.tls);
    let (facing, listeners) = (Facing::default(), HashMap::new());
    let lookups = Lookups::new(sockets.nameservers);
    let mut shell = Shell {
        endpoint,
        udp: sockets.udp,
        queue: Queue::new(Instant::now(), SystemTime::now()),
        connections,
        facing,
        lookups,
        listeners,
        events,
        trace,
        next: 0,
    };
    for listen in listening {
        shell.endpoint.listens_on(listen.transport, listen.addr);
        shell.listeners.entry((listen.transport, listen.addr.is_ipv4())).or_insert(listen.addr);
    }
    shell.step(Instant::now(), Input::Timeout); // pings begin
    let mut buffer = vec![0; 65_535];
    let mut measured = Instant::now();
    let mut ending = None;
    // One for all turns: set to a later time it costs nothing, and most turns make it no earlier.
    let mut alarm = pin!(sleep_until(measured.into()));
    loop {
        let now = Instant::now();
        if now.duration_since(measured) >= MEASURE {
            measured = now;
            let load = shell.endpoint.load();
            metrics::resource("sip_transactions", load.transactions, shell.endpoint.transactions_limit());
            shell.connections.measure();
        }
        if ending.is_some_and(|until| now >= until || shell.endpoint.load().legs == 0) {
            return shell.endpoint;
        }
        let wake = shell.endpoint.poll_timeout().unwrap_or(now + NEVER).min(ending.unwrap_or(now + NEVER));
        if wake <= now {
            shell.unreachable(now); // before anything is sent there again
            shell.step(now, Input::Timeout);
            continue;
        }
        if alarm.deadline() != wake.into() {
            alarm.as_mut().reset(wake.into());
        }
        tokio::select! {
            (which, received) = receive(&shell.udp, shell.next, &mut buffer) => {
                shell.datagrams(which, received, &mut buffer).await;
            }
            Some(said) = streams.recv() => shell.stream(said),
            () = shell.lookups.answered() => shell.answer(Instant::now()),
            command = commands.recv(), if ending.is_none() => match command {
                Some(command) => shell.command(command),
                None => ending = Some(now + LAST_ANSWERS),
            },
            () = alarm.as_mut() => {}
        }
    }
}

/// The next datagram of any socket, beginning with `first`; never, where there is no socket.
async fn receive(udp: &[Datagrams], first: usize, buffer: &mut [u8]) -> (usize, Received) {
    poll_fn(|cx| {
        for turn in 0..udp.len() {
            let which = (first + turn) % udp.len();
            let Some(socket) = udp.get(which) else { continue };
            if let Poll::Ready(received) = socket.poll_receive(cx, buffer) {
                return Poll::Ready((which, received));
            }
        }
        Poll::Pending
    })
    .await
}

/// The endpoint and the world around it.
struct Shell<E> {
    endpoint: Endpoint,
    udp: Vec<Datagrams>,
    queue: Queue,
    connections: Connections,
    facing: Facing,
    lookups: Lookups,
    /// The first listener of each transport and family: what calls of ours go out by.
    listeners: HashMap<(Transport, bool), SocketAddr>,
    events: E,
    trace: Option<Trace>,
    /// The socket whose turn it is.
    next: usize,
}

impl<E: FnMut(Event) + Send> Shell<E> {
    /// One input, then drain the outputs.
    fn step(&mut self, now: Instant, input: Input<'_>) {
        self.endpoint.handle(now, input);
        self.drain(now);
        self.answer(now);
    }

    /// What ICMP said.
    fn unreachable(&mut self, now: Instant) {
        for which in 0..self.udp.len() {
            for _ in 0..ERRORS {
                let Some(place) = self.udp.get(which).and_then(Datagrams::unreachable) else { break };
                self.step(now, Input::Unreachable(place));
            }
        }
    }

    /// Answers to what the endpoint asked, as far as they are there.
    fn answer(&mut self, now: Instant) {
        while let Some((question, looked)) = self.lookups.ready() {
            let found = looked.and_then(|services| self.faced(&services));
            self.endpoint.handle(now, Input::Resolved { question, found });
            self.drain(now);
        }
    }

    /// With our address that faces each place; without the places that nothing of ours can reach.
    fn faced(&mut self, services: &[lookup::Service]) -> Found {
        let mut found = Vec::new();
        for service in services {
            let transport = service.transport;
            let hops = service.addresses.iter().filter_map(|&remote| {
                let listener = self.listeners.get(&(transport, remote.is_ipv4()))?;
                let local = self.facing.local(*listener, remote.ip())?;
                Some(Hop { transport, local, remote })
            });
            found.push(Service { priority: service.priority, weight: service.weight, hops: hops.collect() });
        }
        let any = found.iter().any(|service| !service.hops.is_empty());
        if any { Ok(found) } else { Err(Unresolved::NoAddress) }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Resolve(question) => self.lookups.ask(question),
                Output::Transmit { way, bytes } => self.transmit(now, way, bytes),
                Output::Close(hop) => self.connections.close(hop),
                Output::Event(event) => (self.events)(event),
            }
        }
    }

    /// The datagram that came, and those that wait behind it.
    async fn datagrams(&mut self, mut which: usize, mut received: Received, buffer: &mut [u8]) {
        for left in (0..BURST).rev() {
            self.datagram(which, received, buffer.get(..received.count).unwrap_or_default());
            self.next = (which + 1) % self.udp.len().max(1);
            if left == 0 {
                return; // what would be taken now had no one to hear it
            }
            let more = poll_fn(|cx| {
                let found = (0..self.udp.len()).find_map(|turn| {
                    let which = (self.next + turn) % self.udp.len();
                    match self.udp.get(which)?.poll_receive(cx, buffer) {
                        Poll::Ready(received) => Some((which, received)),
                        Poll::Pending => None,
                    }
                });
                Poll::Ready(found)
            });
            match more.await {
                Some(next) => (which, received) = next,
                None => return,
            }
        }
    }

    fn datagram(&mut self, which: usize, received: Received, bytes: &[u8]) {
        let Some(listener) = self.udp.get(which).map(Datagrams::local) else { return };
        let (now, remote) = (Instant::now(), received.from);
        let waited = self.queue.waited(now, SystemTime::now(), received.stamp);
        // A stranger learns no address of ours, and costs no look at the routes.
        let known = self.endpoint.knows(Transport::Udp, remote);
        let local = if known { self.facing.local(listener, remote.ip()) } else { Some(listener) };
        let Some(local) = local else { return metrics::sip_dropped("udp", "no_way_back") };
        self.traced(false, Hop { transport: Transport::Udp, local, remote }, bytes, now);
        self.step(now, Input::Waited { local, remote, bytes, waited });
    }

    fn stream(&mut self, said: FromStream) {
        let now = Instant::now();
        match said {
            FromStream::Accepted(stream, transport) => {
                let Ok(from) = stream.peer_addr() else { return };
                let known = self.endpoint.knows(transport, from);
                let names = self.endpoint.client_names(transport, from);
                self.connections.accept(stream, transport, Comer { known, names });
            }
            FromStream::Secured(id) => self.connections.secured(id),
            FromStream::Framed(id, framed) => {
                let Some(hop) = self.connections.hop(id) else { return };
                if let Framed::Message(message) = &framed {
                    self.traced(false, hop, message.octets(), now);
                }
                self.step(now, Input::Framed { hop, framed });
            }
            FromStream::Idle(id) => {
                if let Some(hop) = self.connections.hop(id).filter(|hop| !self.endpoint.uses(*hop)) {
                    self.connections.close(hop);
                }
            }
            FromStream::Closed(id) => drop(self.connections.forget(id)),
            FromStream::Failed(id) => {
                for hop in self.connections.forget(id) {
                    self.step(now, Input::Failed(hop));
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        if let Command::Reload(reload) = &command {
            self.connections.set_limits(reload.limits);
        }
        let local = match &command {
            Command::Dial(dial) => match dial.to {
                Destination::Address(to, transport) => {
                    let listener = self.listeners.get(&(transport, to.is_ipv4())).copied();
                    listener.and_then(|listener| self.facing.local(listener, to.ip()))
                }
                Destination::Targets => None,
            },
            _ => None,
        };
        self.step(Instant::now(), Input::Command { command, local });
    }

    fn transmit(&mut self, now: Instant, way: Way, bytes: Octets) {
        self.traced(true, way.hop, &bytes, now);
        let hop = way.hop;
        let taken = match hop.transport {
            Transport::Udp => {
                let socket = self.udp.iter().find(|socket| socket.is(hop.local));
                socket.is_some_and(|socket| socket.send(&bytes, hop.remote))
            }
            Transport::Tcp | Transport::Tls => {
                let endpoint = &self.endpoint;
                let to = way.otherwise.unwrap_or(hop.remote);
                self.connections.send(way, bytes, || endpoint.server_names(to))
            }
        };
        if !taken {
            metrics::sip_dropped(hop.transport.as_str(), "not_sent");
            if hop.transport.is_stream() {
                self.endpoint.handle(now, Input::Failed(hop));
            }
        }
    }

    fn traced(&self, sent: bool, hop: Hop, bytes: &[u8], at: Instant) {
        if let Some(trace) = &self.trace {
            trace(Traced { sent, hop, bytes, at });
        }
    }
}
