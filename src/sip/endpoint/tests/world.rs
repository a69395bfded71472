//! Two endpoints joined by a network that loses, doubles, delays and reorders, each from one seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::bench::addr;
use crate::ids::{Entropy, LegId, TrunkId};
use crate::sip::endpoint::{Endpoint, Input, Output};
use crate::sip::{
    Body, Command, Config, Destination, Dial, Ended, Event, Load, Octets, Refusal, Transport, Trunk,
};

/// The caller's leg.
pub(super) const OUT: LegId = LegId(1 << 63);
/// Caller and callee.
const ENDS: [&str; 2] = ["192.0.2.1:5060", "192.0.2.2:5060"];

/// What the network does to packets, in percent of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) loss: u32,
    pub(super) twice: u32,
    /// Overtaken by what is sent in the next seconds.
    pub(super) late: u32,
}

pub(super) const FAIR: Weather = Weather { loss: 0, twice: 10, late: 0 };
pub(super) const FOUL: Weather = Weather { loss: 20, twice: 10, late: 5 };

/// What the two ends do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plot {
    CallerEnds,
    CalleeEnds,
    BothEnd,
    Refused,
    GivenUp,
    /// The callee's 18x are reliable; who ends it is left to chance, and so is when.
    Reliable,
    /// Either end changes the session, at once and apart, by INVITE and UPDATE, with offers and asking for them.
    Changes,
    /// Refreshed for ten minutes.
    Sessions,
    /// Nothing gets through any more from some moment on.
    Cut,
}

/// Something an end will do.
#[derive(Debug)]
enum Act {
    Command(Command),
    Modify { leg: LegId, update: bool, described: bool },
    Cut,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) chance: Entropy,
    ends: Vec<Endpoint>,
    /// Packets on their way: when, which; from whom to whom.
    wire: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Octets)>,
    sent: u64,
    weather: Weather,
    /// What each was told, one word each.
    pub(super) told: [Vec<String>; 2],
    inbound: Option<LegId>,
    /// When and who.
    plans: BTreeMap<(Instant, u64), (usize, Act)>,
    plot: Plot,
    /// Nobody has heard of UPDATE.
    no_update: bool,
    /// Offers so far.
    offers: u32,
    /// The change of each end that is not done: its offer, or that it asked for one.
    changing: [Option<Option<u32>>; 2],
    /// Requests on the wire by method, without copies.
    pub(super) methods: BTreeMap<String, u32>,
}

impl World {
    pub(super) fn new(seed: u64, weather: Weather, plot: Plot) -> Self {
        let session_timer = if matches!(plot, Plot::Sessions | Plot::Cut) { 90 } else { 1800 };
        let trunk = Trunk {
            name: "other".to_owned(),
            peers: vec!["192.0.2.0/24".parse().unwrap()],
            transports: vec![Transport::Udp],
            session_timer: Duration::from_secs(session_timer),
            ..Trunk::new("")
        };
        let config = Config { trunks: vec![trunk], ..Config::default() };
        let mut chance = Entropy::seeded(seed);
        let ends = (0..2).map(|_| Endpoint::new(config.clone(), chance.fork())).collect();
        Self {
            now: Instant::now(),
            no_update: chance.below(2) == 0,
            chance,
            ends,
            wire: BTreeMap::new(),
            sent: 0,
            weather,
            told: [Vec::new(), Vec::new()],
            inbound: None,
            plans: BTreeMap::new(),
            plot,
            offers: 0,
            changing: [None, None],
            methods: BTreeMap::new(),
        }
    }

    fn step(&mut self, end: usize, input: Input<'_>) {
        self.ends[end].handle(self.now, input);
        while let Some(output) = self.ends[end].poll_output() {
            match output {
                Output::Transmit { way, bytes } => self.carry(way.hop.local, way.hop.remote, &bytes),
                Output::Event(event) => self.event(end, event),
                Output::Close(_) | Output::Resolve(_) => panic!("there is neither stream nor name here"),
            }
        }
    }

    fn carry(&mut self, from: SocketAddr, to: SocketAddr, bytes: &Octets) {
        let text = String::from_utf8_lossy(bytes);
        let method = text.split(' ').next().unwrap_or_default().to_owned();
        *self.methods.entry(method).or_default() += 1;
        let bytes: Octets = match self.no_update {
            true => text.replace("OPTIONS, UPDATE,", "OPTIONS,").into_bytes().into(),
            false => bytes.clone(),
        };
        let lost = self.chance.below(100) < self.weather.loss;
        let copies = if lost { 0 } else { 1 + u32::from(self.chance.below(100) < self.weather.twice) };
        for _ in 0..copies {
            self.sent += 1;
            let late = self.chance.below(100) < self.weather.late;
            let delay = 1 + self.chance.below(if late { 5000 } else { 300 });
            let at = self.now + Duration::from_millis(delay.into());
            self.wire.insert((at, self.sent), (from, to, bytes.clone()));
        }
    }

    fn plan(&mut self, after_ms: u32, end: usize, command: Command) {
        self.act(after_ms, end, Act::Command(command));
    }

    fn act(&mut self, after_ms: u32, end: usize, act: Act) {
        self.sent += 1;
        self.plans.insert((self.now + Duration::from_millis(after_ms.into()), self.sent), (end, act));
    }

    // ---- what the calls do ----

    fn event(&mut self, end: usize, event: Event) {
        let leg = event.leg();
        assert!(!self.told[end].iter().any(|told| is_an_end(told)), "told after the end: {event:?}");
        match &event {
            Event::Incoming(_) => self.rings(leg),
            Event::Answered { .. } => self.up(end, leg),
            Event::Confirmed { .. } if !self.told[end].iter().any(|told| told == "Confirmed") => {
                self.up(end, leg);
            }
            Event::Reoffer { body, .. } => self.reoffered(end, leg, body.as_ref()),
            Event::Modified { result, .. } => self.modified(end, leg, result),
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

    fn rings(&mut self, leg: LegId) {
        assert_eq!(self.inbound.replace(leg), None, "one call came twice");
        self.plan(50, 1, Command::Progress { leg, status: 180, body: None });
        let refusal = Refusal { status: 486, reason: None, retry_after: None, warning: None };
        match self.plot {
            Plot::Refused => self.plan(400, 1, Command::Reject { leg, refusal }),
            Plot::GivenUp if self.chance.below(2) == 0 => {}
            Plot::Reliable => {
                self.plan(100, 1, Command::Progress { leg, status: 183, body: Some(answer(0)) });
                let (after, way) = (100 + self.chance.below(2000), self.chance.below(4));
                match way {
                    0 => self.plan(after, 1, Command::Reject { leg, refusal }),
                    1 => self.plan(after, 0, hangup(OUT)),
                    _ => {}
                }
                if way > 0 {
                    let after = 100 + self.chance.below(2000);
                    self.plan(after, 1, Command::Answer { leg, body: Some(answer(0)) });
                }
            }
            _ => self.plan(400, 1, Command::Answer { leg, body: Some(answer(0)) }),
        }
    }

    fn up(&mut self, end: usize, leg: LegId) {
        let ends = match self.plot {
            Plot::CallerEnds => end == 0,
            Plot::CalleeEnds => end == 1,
            Plot::BothEnd => true,
            Plot::Reliable | Plot::Changes => return self.live(end, leg),
            Plot::Sessions => {
                let after = 600_000 + self.chance.below(500);
                return self.plan(after, end, hangup(leg));
            }
            Plot::Cut => {
                let after = self.chance.below(300_000);
                return self.act(after, end, Act::Cut);
            }
            Plot::Refused | Plot::GivenUp => false,
        };
        if ends {
            self.plan(5000, end, hangup(leg));
        }
    }

    /// Changes of every kind, many of them at the same moment at both ends, and then a hangup, perhaps amid one.
    fn live(&mut self, end: usize, leg: LegId) {
        if self.plot == Plot::Changes {
            for turn in 0..3 {
                let after = turn * 3000 + self.chance.below(600);
                let (update, described) = (self.chance.below(2) == 0, self.chance.below(4) > 0);
                self.act(after, end, Act::Modify { leg, update, described });
                let body =
                    Body { content_type: "application/dtmf-relay".to_owned(), bytes: b"Signal=1".to_vec() };
                let after = after + self.chance.below(900);
                self.plan(after, end, Command::Info { leg, body });
            }
        }
        if self.chance.below(3) > 0 || end == 0 {
            let after = 1000 + self.chance.below(12_000);
            self.plan(after, end, hangup(leg));
        }
    }

    fn reoffered(&mut self, end: usize, leg: LegId, offer: Option<&Body>) {
        let refusal = Refusal { status: 488, reason: None, retry_after: None, warning: None };
        let body = match offer {
            Some(offer) => answer(number(offer)),
            None => self.offer(),
        };
        let after = self.chance.below(400);
        match self.chance.below(6) {
            0 if self.plot == Plot::Changes => self.plan(after, end, Command::Reject { leg, refusal }),
            _ => self.plan(after, end, Command::Accept { leg, body: Some(body) }),
        }
    }

    fn modified(&mut self, end: usize, leg: LegId, result: &Result<Option<Body>, u16>) {
        match (self.changing[end].take(), result) {
            (Some(Some(offer)), Ok(body)) => {
                assert_eq!(body.as_ref(), Some(&answer(offer)), "another's answer");
            }
            (Some(None), Ok(body)) => {
                let body = body.as_ref().map(|offer| answer(number(offer)));
                let after = self.chance.below(300);
                self.plan(after, end, Command::Acknowledge { leg, body });
            }
            (Some(_), Err(status)) => assert!(matches!(status, 487 | 488 | 491 | 500), "{status}"),
            (None, result) => assert!(self.plot == Plot::Sessions || self.plot == Plot::Cut, "{result:?}"),
        }
    }

    fn offer(&mut self) -> Body {
        self.offers += 1;
        Body::sdp(format!("offer {}", self.offers))
    }

    fn perform(&mut self, end: usize, act: Act) {
        let command = match act {
            Act::Command(command) => command,
            Act::Cut => {
                self.weather.loss = 100;
                return;
            }
            Act::Modify { leg, update, described } => {
                if self.changing[end].is_some() || self.told[end].iter().any(|told| is_an_end(told)) {
                    return;
                }
                let body = described.then(|| self.offer());
                self.changing[end] = Some(body.as_ref().map(number));
                Command::Modify { leg, update, body }
            }
        };
        if let Command::Hangup { leg, .. } = &command
            && (*leg == OUT) == (end == 0)
        {
            self.changing[end] = None;
        }
        self.step(end, Input::Command { command, local: Some(addr(ENDS[end])) });
    }

    // ---- time ----

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            let timers = self.ends.iter().filter_map(Endpoint::poll_timeout);
            let wire = self.wire.keys().next().map(|(at, _)| *at);
            let plans = self.plans.keys().next().map(|(at, _)| *at);
            let Some(next) = timers.chain(wire).chain(plans).min().filter(|at| *at <= until) else { break };
            self.now = self.now.max(next);
            if plans.is_some_and(|at| at <= self.now) {
                let (_, (end, act)) = self.plans.pop_first().unwrap();
                self.perform(end, act);
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
        let insists = self.plot == Plot::Reliable && self.chance.below(2) == 0;
        let headers = insists.then(|| ("Require".to_owned(), "100rel".to_owned()));
        let dial = Dial {
            leg: OUT,
            trunk: TrunkId(0),
            uri: "sip:bot@192.0.2.2".to_owned(),
            to: Destination::Address(addr(ENDS[1]), Transport::Udp),
            ring_limit: Duration::from_secs(180),
            credentials: None,
            from: "sip:1000@192.0.2.1".to_owned(),
            headers: headers.into_iter().collect(),
            body: Some(Body::sdp("offer 0")),
        };
        self.plan(0, 0, Command::Dial(Box::new(dial)));
        if self.plot == Plot::GivenUp {
            let after = self.chance.below(1200);
            self.plan(after, 0, Command::Hangup { leg: OUT, reason: None });
        }
        let long = matches!(self.plot, Plot::Sessions | Plot::Cut);
        self.run(Duration::from_secs(if long { 800 } else { 250 }));
    }

    /// Nothing is left of anything, and each end that knew of the call was told of its end, once and last.
    fn check(&self, seed: u64) {
        for (end, told) in self.told.iter().enumerate() {
            assert_eq!(self.ends[end].load(), Load::default(), "seed {seed}, end {end}: {told:?}");
            let ends = told.iter().filter(|told| is_an_end(told)).count();
            assert_eq!(ends, usize::from(!told.is_empty()), "seed {seed}, end {end}: {told:?}");
        }
    }
}

/// Worlds of these seeds whose calls are over.
pub(super) fn worlds(count: u64, weather: Weather, plot: Plot) -> impl Iterator<Item = (u64, World)> {
    (0..count).map(move |seed| {
        let mut world = World::new(seed, weather, plot);
        world.call();
        world.check(seed);
        (seed, world)
    })
}

fn hangup(leg: LegId) -> Command {
    Command::Hangup { leg, reason: Some("Q.850;cause=16".to_owned()) }
}

fn is_an_end(told: &str) -> bool {
    const ENDS: [&str; 8] =
        ["Bye", "ByUs", "Cancelled", "Refused", "AckTimeout", "PrackTimeout", "SessionExpired", "Lost"];
    ENDS.iter().any(|end| told.starts_with(end))
}

/// The answer to the offer of that number.
fn answer(offer: u32) -> Body {
    Body::sdp(format!("answer {offer}"))
}

/// The number in an offer or answer.
fn number(body: &Body) -> u32 {
    let text = std::str::from_utf8(&body.bytes).unwrap();
    text.split(' ').next_back().unwrap().parse().unwrap()
}

/// How an end is told of the BYE of the other.
pub(super) fn bye_with(reason: Option<&str>) -> String {
    format!("{:?}", Ended::Bye { reason: reason.map(str::to_owned) })
}
