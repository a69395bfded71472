//! streamkit without its shells: endpoint, desk, calls, a graph a call, a bridge a stream.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use streamkit::call::admission::Admission;
use streamkit::call::cdr::{Began, Cdr};
use streamkit::call::{self, Call, Output, Request, intake};
use streamkit::egress::Egress;
use streamkit::fetch::Errand;
use streamkit::ids::{CallKey, CallSid, Entropy, LegId, PortId};
use streamkit::media::{Graph, NoPort, Reservation};
use streamkit::sip::{self, Endpoint, Incoming, Transport};
use streamkit::stream::Baton;

use super::bot::Door;
use super::bridge::Bridge;
use super::clock::{Lane, Parcel, Post, Teller, ms};
use super::net::Net;
use super::{Setup, Web};

/// The daemon's cores.
pub(crate) struct Kit {
    pub(crate) endpoint: Endpoint,
    pub(crate) admission: Admission,
    pub(crate) calls: BTreeMap<CallKey, Call>,
    pub(crate) graphs: BTreeMap<CallKey, Graph>,
    pub(crate) bridges: BTreeMap<usize, Bridge>,
    pub(crate) cdrs: Vec<Cdr>,
    /// How the doors of bots answer, attempt after attempt; the last one for ever.
    pub(crate) doors: Vec<Door>,
    /// The same of single bots, by host.
    pub(crate) houses: Vec<(&'static str, Vec<Door>)>,
    /// What web servers answer with and after how long, by scheme, host, port and path; silent ones answer nothing.
    webs: Vec<Web>,
    /// What was fetched, and when.
    pub(crate) errands: Vec<(Instant, Errand)>,
    /// Callers who are heard while their bots are asked for.
    listening: Vec<Baton>,
    /// Errands that were given up.
    pub(crate) given_up: usize,
    /// Where the streams that were opened may lead.
    pub(crate) egress: Vec<Egress>,
    /// No RTP port is free.
    pub(crate) no_ports: bool,
    config: Arc<call::Config>,
    sip: SocketAddr,
    legs: BTreeMap<LegId, CallKey>,
    /// Where calls take RTP.
    sockets: BTreeMap<SocketAddr, PortId>,
    opened: usize,
    ws_delay: Duration,
    chance: Entropy,
}

impl Kit {
    pub(crate) fn new(setup: &Setup, sip: SocketAddr, peers: &[SocketAddr], mut chance: Entropy) -> Self {
        let trunk = sip::Trunk {
            name: setup.trunk.name.clone(),
            peers: peers.iter().map(|peer| peer.ip().into()).collect(),
            transports: vec![Transport::Udp],
            ..sip::Trunk::new("")
        };
        let mut endpoint =
            Endpoint::new(sip::Config { trunks: vec![trunk], ..sip::Config::default() }, chance.fork());
        endpoint.listens_on(Transport::Udp, sip);
        let trunks = [(setup.trunk.name.clone(), setup.trunk.max_calls, setup.trunk.max_cps)];
        Self {
            endpoint,
            admission: Admission::new(setup.limits.clone(), trunks),
            calls: BTreeMap::new(),
            graphs: BTreeMap::new(),
            bridges: BTreeMap::new(),
            cdrs: Vec::new(),
            doors: setup.doors.clone(),
            houses: setup.houses.clone(),
            webs: setup.webs.clone(),
            errands: Vec::new(),
            listening: Vec::new(),
            given_up: 0,
            egress: Vec::new(),
            no_ports: false,
            config: Arc::new(setup.config()),
            sip,
            legs: BTreeMap::new(),
            sockets: BTreeMap::new(),
            opened: 0,
            ws_delay: setup.ws_delay,
            chance,
        }
    }

    /// Takes what has arrived.
    pub(crate) fn take(&mut self, post: &mut Post, parcel: Parcel) {
        let now = post.now;
        match parcel {
            Parcel::Datagram { from, to, bytes } if to == self.sip => {
                self.endpoint.handle(now, sip::Input::Datagram { local: to, remote: from, bytes: &bytes });
            }
            Parcel::Datagram { from, to, bytes } => {
                let Some(port) = self.sockets.get(&to) else { return };
                if let Some(graph) = self.graphs.get_mut(&port.call) {
                    graph.datagram(now, *port, from, &bytes);
                }
            }
            Parcel::Sip(command) => self.endpoint.handle(now, sip::Input::Command { command, local: None }),
            Parcel::Call(key, input) => {
                if let Some(call) = self.calls.get_mut(&key) {
                    call.handle(now, *input);
                }
            }
            Parcel::Media(key, command) => {
                let chance = &mut self.chance;
                let graph = self.graphs.entry(key).or_insert_with(|| Graph::new(now, ms(200), chance.fork()));
                graph.apply(now, command);
            }
            Parcel::Stream(index, command) => {
                if let Some(bridge) = self.bridges.get_mut(&index) {
                    bridge.obey(now, command);
                }
            }
            Parcel::FromBot(index, frame) => {
                if let Some(bridge) = self.bridges.get_mut(&index) {
                    bridge.take(now, frame);
                }
            }
            Parcel::ToBot(..) => unreachable!("that is the bot's"),
        }
    }

    /// Asks the same of every call.
    pub(crate) fn ask_all(&self, post: &mut Post, request: Request) {
        for key in self.calls.keys() {
            post.inside(
                Lane::Call(*key, Teller::Operator),
                Parcel::Call(*key, Box::new(call::Input::Request(request))),
            );
        }
    }

    /// When something is due, and whose it is.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<(Instant, &'static str)> {
        let sip = self.endpoint.poll_timeout().map(|at| (at, "endpoint"));
        let calls = self.calls.values().filter_map(Call::poll_timeout).map(|at| (at, "call"));
        let graphs = self.graphs.values().filter_map(Graph::due).map(|at| (at, "graph"));
        let bridges =
            self.bridges.values().filter_map(|bridge| bridge.poll_timeout(now)).map(|at| (at, "stream"));
        sip.into_iter().chain(calls).chain(graphs).chain(bridges).min()
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.endpoint.poll_timeout()) {
            self.endpoint.handle(now, sip::Input::Timeout);
        }
        for call in self.calls.values_mut().filter(|call| due(call.poll_timeout())) {
            call.handle(now, call::Input::Timeout);
        }
        for graph in self.graphs.values_mut().filter(|graph| due(graph.due())) {
            graph.run(now);
        }
        for bridge in self.bridges.values_mut().filter(|bridge| due(bridge.poll_timeout(now))) {
            bridge.timeout(now);
        }
    }

    /// Carries what all of them want; `reads` says whether a bot's socket takes something. The streams that were opened.
    pub(crate) fn drain(
        &mut self,
        post: &mut Post,
        net: &mut Net,
        reads: impl Fn(usize) -> bool,
    ) -> Vec<(u32, u32)> {
        self.drain_endpoint(post, net);
        let opened = self.drain_calls(post);
        self.drain_graphs(post, net);
        self.bridges.retain(|index, bridge| bridge.drain(post, reads(*index)));
        opened
    }

    fn drain_endpoint(&mut self, post: &mut Post, net: &mut Net) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                sip::Output::Transmit { way, bytes } => {
                    net.send(post, false, way.hop.local, way.hop.remote, &bytes);
                }
                sip::Output::Event(sip::Event::Incoming(incoming)) => self.begin(post, incoming),
                sip::Output::Event(event) => {
                    if let Some(key) = self.legs.get(&event.leg()) {
                        post.inside(
                            Lane::Call(*key, Teller::Sip),
                            Parcel::Call(*key, Box::new(call::Input::Sip(event))),
                        );
                    }
                }
                sip::Output::Close(_) | sip::Output::Resolve(_) => {}
            }
        }
    }

    /// As the daemon's desk does it.
    fn begin(&mut self, post: &mut Post, incoming: Box<Incoming>) {
        let config = self.config.clone();
        let began = Began { at: incoming.at, wall: SystemTime::UNIX_EPOCH + (incoming.at - post.start) };
        let chance = (CallSid::fresh(&mut self.chance), self.chance.fork());
        let leg = incoming.leg;
        match intake::receive(config, &self.admission, began, chance, incoming) {
            Ok(beginning) => {
                let key = CallKey(leg.0);
                self.legs.insert(leg, key);
                self.calls.insert(key, Call::inbound(key, beginning));
            }
            Err(refused) => {
                let (cdr, reject) = *refused;
                self.cdrs.push(cdr);
                post.inside(Lane::Sip, Parcel::Sip(reject));
            }
        }
    }

    fn drain_calls(&mut self, post: &mut Post) -> Vec<(u32, u32)> {
        let (mut opened, mut over) = (Vec::new(), Vec::new());
        self.listening.iter().for_each(Baton::hear);
        let keys: Vec<CallKey> = self.calls.keys().copied().collect();
        for key in keys {
            while let Some(output) = self.calls.get_mut(&key).and_then(Call::poll_output) {
                assert!(!over.contains(&key), "nothing follows the end of a call: {output:?}");
                match output {
                    Output::Sip(command) => post.inside(Lane::Sip, Parcel::Sip(command)),
                    Output::Media(command) => post.inside(Lane::Media(key), Parcel::Media(key, command)),
                    Output::Reserve(_) => self.reserve(post.now, key),
                    Output::Fetch(sid, errand, caller) => {
                        self.listening.extend(caller);
                        let address = errand.url.to_string();
                        let web = self.webs.iter().find(|(url, _)| *url == address);
                        self.errands.push((post.now, *errand));
                        if let Some((_, Some((after, answer)))) = web {
                            let answer = answer.clone().map(String::into_bytes);
                            let told = Box::new(call::Input::Fetched(sid, answer));
                            post.at(post.now + *after, Parcel::Call(key, told));
                        }
                    }
                    Output::Unfetch(_) => self.given_up += 1,
                    Output::OpenStream(opening) => {
                        self.egress.push(opening.egress.clone());
                        self.opened += 1;
                        opened.push((opening.url.rate().hz(), opening.settings.frame_ms));
                        let house = self.houses.iter().find(|(host, _)| *host == opening.url.host());
                        let doors = house.map_or(&self.doors, |(_, doors)| doors).clone();
                        let config = self.config.stream.clone();
                        let bridge =
                            Bridge::new(post.now, self.opened, key, *opening, config, doors, self.ws_delay);
                        self.bridges.insert(self.opened, bridge);
                    }
                    Output::Stream(sid, command) => {
                        let of = |bridge: &&Bridge| bridge.sid == sid;
                        if let Some(index) = self.bridges.values().find(of).map(|bridge| bridge.index) {
                            post.inside(Lane::Stream(index), Parcel::Stream(index, command));
                        }
                    }
                    Output::Done(cdr) => {
                        self.cdrs.push(*cdr);
                        over.push(key);
                    }
                }
            }
        }
        for key in over {
            let call = self.calls.remove(&key).expect("it is over");
            assert_eq!(call.poll_timeout(), None, "a call that is over waits for nothing");
            self.legs.retain(|_, of| *of != key);
        }
        opened
    }

    fn reserve(&mut self, now: Instant, key: CallKey) {
        let (number, total) = (self.sockets.len(), 500);
        let input = if self.no_ports {
            Err(NoPort::Reserve { free: 0, total })
        } else {
            let local = SocketAddr::new(self.sip.ip(), 40_000 + 2 * number as u16);
            self.sockets.insert(local, PortId { call: key, index: 0 });
            Ok(Reservation::simulated(local))
        };
        if let Some(call) = self.calls.get_mut(&key) {
            call.handle(now, call::Input::Reserved(input));
        }
    }

    fn drain_graphs(&mut self, post: &mut Post, net: &mut Net) {
        for (key, graph) in &mut self.graphs {
            while let Some(packet) = graph.transmit() {
                if packet.beside {
                    continue; // these callers speak no RTCP
                }
                let from = self.sockets.iter().find(|(_, port)| **port == packet.port).expect("its socket").0;
                net.send(post, false, *from, packet.to, packet.bytes);
            }
            while let Some(event) = graph.event() {
                post.inside(
                    Lane::Call(*key, Teller::Media),
                    Parcel::Call(*key, Box::new(call::Input::Media(event))),
                );
            }
            while graph.wake().is_some() {}
            while graph.spent().is_some() {}
        }
        self.graphs.retain(|_, graph| !graph.is_empty());
    }
}
