//! Two endpoints joined by a network that loses, doubles, delays and reorders, each from one seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::bench::{addr, sdp};
use crate::ids::{Entropy, LegId, TrunkId};
use crate::sip::endpoint::{Endpoint, Input, Output};
use crate::sip::{Command, Config, Destination, Dial, Ended, Event, Load, Octets, Transport, Trunk};

const OUT: LegId = LegId(1 << 63);
const ENDS: [&str; 2] = ["192.0.2.1:5060", "192.0.2.2:5060"];

/// What the callee does with a call, and who ends it when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plot {
    CallerEnds,
    CalleeEnds,
    BothEnd,
    Refused,
    GivenUp,
}

struct World {
    now: Instant,
    chance: Entropy,
    ends: Vec<Endpoint>,
    /// Packets on their way: when, which; from whom to whom.
    wire: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Octets)>,
    sent: u64,
    loss: u32,
    told: [Vec<String>; 2],
    inbound: Option<LegId>,
    /// Commands to be given, when and to whom.
    plans: BTreeMap<(Instant, u64), (usize, Command)>,
    plot: Plot,
}

impl World {
    fn new(seed: u64, loss: u32, plot: Plot) -> Self {
        let trunk = Trunk {
            name: "other".to_owned(),
            peers: vec!["192.0.2.0/24".parse().unwrap()],
            transports: vec![Transport::Udp],
            ..Trunk::new("")
        };
        let config = Config { trunks: vec![trunk], ..Config::default() };
        let mut chance = Entropy::seeded(seed);
        let ends = (0..2).map(|_| Endpoint::new(config.clone(), chance.fork())).collect();
        Self {
            now: Instant::now(),
            chance,
            ends,
            wire: BTreeMap::new(),
            sent: 0,
            loss,
            told: [Vec::new(), Vec::new()],
            inbound: None,
            plans: BTreeMap::new(),
            plot,
        }
    }

    fn step(&mut self, end: usize, input: Input<'_>) {
        self.ends[end].handle(self.now, input);
        while let Some(output) = self.ends[end].poll_output() {
            match output {
                Output::Transmit { way, bytes } => self.carry(way.hop.local, way.hop.remote, &bytes),
                Output::Event(event) => self.event(end, event),
                Output::Close(_) | Output::Resolve(_) => panic!("there is no stream and no name here"),
            }
        }
    }

    fn carry(&mut self, from: SocketAddr, to: SocketAddr, bytes: &Octets) {
        let copies =
            if self.chance.below(100) < self.loss { 0 } else { 1 + u32::from(self.chance.below(10) == 0) };
        for _ in 0..copies {
            self.sent += 1;
            let delay = Duration::from_millis(u64::from(1 + self.chance.below(300)));
            self.wire.insert((self.now + delay, self.sent), (from, to, bytes.clone()));
        }
    }

    fn plan(&mut self, after_ms: u64, end: usize, command: Command) {
        self.sent += 1;
        self.plans.insert((self.now + Duration::from_millis(after_ms), self.sent), (end, command));
    }

    fn event(&mut self, end: usize, event: Event) {
        let hangup = |leg| Command::Hangup { leg, reason: Some("Q.850;cause=16".to_owned()) };
        let leg = event.leg();
        match &event {
            Event::Incoming(_) => {
                assert_eq!(self.inbound.replace(leg), None, "one call came twice");
                self.plan(50, 1, Command::Progress { leg, status: 180, body: None });
                let refusal =
                    crate::sip::Refusal { status: 486, reason: None, retry_after: None, warning: None };
                match self.plot {
                    Plot::Refused => self.plan(400, 1, Command::Reject { leg, refusal }),
                    Plot::GivenUp if self.chance.below(2) == 0 => {}
                    _ => self.plan(400, 1, Command::Answer { leg, body: Some(sdp()) }),
                }
            }
            Event::Answered { .. } if matches!(self.plot, Plot::CallerEnds | Plot::BothEnd) => {
                self.plan(5000, 0, hangup(leg));
            }
            Event::Confirmed { .. } if matches!(self.plot, Plot::CalleeEnds | Plot::BothEnd) => {
                self.plan(5000, 1, hangup(leg));
            }
            _ => {}
        }
        let told = match event {
            Event::Ended { how, .. } => format!("{how:?}"),
            Event::Incoming(_) => "Incoming".to_owned(),
            Event::Progress { .. } => return,
            other => format!("{other:?}").split(' ').next().unwrap().to_owned(),
        };
        self.told[end].push(told);
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            let timers = self.ends.iter().filter_map(Endpoint::poll_timeout);
            let wire = self.wire.keys().next().map(|(at, _)| *at);
            let plans = self.plans.keys().next().map(|(at, _)| *at);
            let Some(next) = timers.chain(wire).chain(plans).min().filter(|at| *at <= until) else { break };
            self.now = self.now.max(next);
            if plans.is_some_and(|at| at <= self.now) {
                let (_, (end, command)) = self.plans.pop_first().unwrap();
                self.step(end, Input::Command { command, local: Some(addr(ENDS[end])) });
            } else if wire.is_some_and(|at| at <= self.now) {
                let (_, (from, to, bytes)) = self.wire.pop_first().unwrap();
                let end = ENDS.iter().position(|end| addr(end) == to).expect("nothing is sent elsewhere");
                self.step(end, Input::Datagram { local: to, remote: from, bytes: &bytes });
            } else {
                for end in 0..2 {
                    self.step(end, Input::Timeout);
                }
            }
        }
        self.now = until;
    }

    fn call(&mut self) {
        let dial = Dial {
            leg: OUT,
            trunk: TrunkId(0),
            uri: "sip:bot@192.0.2.2".to_owned(),
            to: Destination::Address(addr(ENDS[1]), Transport::Udp),
            ring_limit: Duration::from_secs(180),
            credentials: None,
            from: "sip:1000@192.0.2.1".to_owned(),
            headers: Vec::new(),
            body: Some(sdp()),
        };
        self.plan(0, 0, Command::Dial(Box::new(dial)));
        if self.plot == Plot::GivenUp {
            let after = u64::from(self.chance.below(1200));
            self.plan(after, 0, Command::Hangup { leg: OUT, reason: None });
        }
        self.run(Duration::from_secs(200));
    }
}

fn worlds(loss: u32, plot: Plot) -> impl Iterator<Item = (u64, World)> {
    (0..200).map(move |seed| {
        let mut world = World::new(seed, loss, plot);
        world.call();
        assert!(world.ends.iter().all(|end| end.load() == Load::default()), "seed {seed}");
        for (end, told) in world.told.iter().enumerate().filter(|(_, told)| !told.is_empty()) {
            let ends = ["Bye", "ByUs", "Cancelled", "Refused", "AckTimeout", "Lost"];
            let ended = told.iter().filter(|told| ends.iter().any(|end| told.starts_with(end))).count();
            assert_eq!(ended, 1, "seed {seed}, end {end}: {told:?}");
        }
        (seed, world)
    })
}

fn by(reason: Option<&str>) -> String {
    format!("{:?}", Ended::Bye { reason: reason.map(str::to_owned) })
}

#[test]
fn over_a_network_that_loses_nothing_every_call_goes_as_it_should() {
    let bye = by(Some("Q.850;cause=16"));
    for (seed, world) in worlds(0, Plot::CallerEnds) {
        assert_eq!(world.told[0], ["Answered", "ByUs"], "seed {seed}");
        assert_eq!(world.told[1], ["Incoming", "Confirmed", bye.as_str()], "seed {seed}");
    }
    for (seed, world) in worlds(0, Plot::CalleeEnds) {
        assert_eq!(world.told[0], ["Answered", bye.as_str()], "seed {seed}");
        assert_eq!(world.told[1], ["Incoming", "Confirmed", "ByUs"], "seed {seed}");
    }
    for (seed, world) in worlds(0, Plot::Refused) {
        assert_eq!(world.told[0].len(), 1, "seed {seed}");
        assert!(world.told[0][0].starts_with("Refused { status: 486"), "seed {seed}: {:?}", world.told);
        assert_eq!(world.told[1], ["Incoming", "ByUs"], "seed {seed}");
    }
}

#[test]
fn over_a_network_that_loses_a_fifth_every_call_is_set_up_and_ended_at_both_ends() {
    for plot in [Plot::CallerEnds, Plot::CalleeEnds, Plot::BothEnd] {
        let mut up = 0;
        for (_, world) in worlds(20, plot) {
            up += usize::from(world.told[0].first().is_some_and(|told| told == "Answered"));
        }
        assert!(up >= 199, "{plot:?}: {up} of 200 calls came up"); // seven INVITEs lost in a row are rare
    }
}

#[test]
fn a_call_given_up_at_any_moment_leaves_nothing_at_either_end() {
    for loss in [0, 20] {
        for (seed, world) in worlds(loss, Plot::GivenUp) {
            assert!(world.told[0].contains(&"ByUs".to_owned()), "seed {seed}: {:?}", world.told);
        }
    }
}
