//! A world of our own: streamkit's cores, telephones, bots and a network, in virtual time and from one seed. No socket,
//! no task, no thread, no sleep.
//!
//! ```text
//!   caller ── net ──► endpoint ◄──► call ◄──► stream ── socket ──► bot
//!   mouth, ear ─────► graph ◄── rings ───────────┘
//! ```
//!
//! A scenario says what its people do and lets time run; `finish` lets everything end, sees that nothing is left, and
//! gives the one call record.

pub(crate) mod bot;
mod bridge;
pub(crate) mod caller;
pub(crate) mod clock;
pub(crate) mod ear;
mod kit;
mod mouth;
pub(crate) mod net;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use streamkit::call::admission::Limits;
use streamkit::call::{self, AccountSettings, Request};
use streamkit::fetch;
use streamkit::flow::applet::Applet;
use streamkit::flow::{Flow, Program, Reconnect, Step};
use streamkit::ids::Entropy;
use streamkit::prompt::Prompt;
use streamkit::route::{Route, Table, Target};
use streamkit::sip::Load;
use streamkit::stream;
use streamkit::telemetry::table::ENDINGS;

use bot::{Bot, Door, Script};
use caller::{Caller, Hook};
use clock::{Parcel, Post, ms, secs};
use kit::Kit;
pub(crate) use mouth::Mouth;
use net::{Net, Paths};

pub(crate) const SIP_PORT: u16 = 5060;
/// More events than this at one moment: something spins.
const SPIN: u32 = 100_000;

/// A web server: its URL without user info and query, and what it answers after how long.
pub(crate) type Web = (&'static str, Option<(Duration, Result<String, fetch::Failure>)>);

/// A world as it is meant to be; a scenario changes what it is about.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) trunk: call::Trunk,
    pub(crate) routes: Vec<Route>,
    pub(crate) limits: Limits,
    pub(crate) stream: stream::Config,
    pub(crate) reconnect: Reconnect,
    pub(crate) flows: Vec<Flow>,
    pub(crate) prompts: BTreeMap<Arc<str>, Prompt>,
    pub(crate) paths: Paths,
    /// How the doors of bots answer, attempt after attempt; the last one for ever.
    pub(crate) doors: Vec<Door>,
    /// The same of single bots, by host.
    pub(crate) houses: Vec<(&'static str, Vec<Door>)>,
    /// What web servers answer with and after how long, by scheme, host, port and path; silent ones answer nothing.
    pub(crate) webs: Vec<Web>,
    pub(crate) fetch: fetch::Config,
    pub(crate) accounts: HashMap<String, AccountSettings>,
    pub(crate) script: Script,
    /// Of each message on a bot's socket.
    pub(crate) ws_delay: Duration,
    /// Up to so long for each step between tasks and threads of the daemon.
    pub(crate) lag: Duration,
    pub(crate) callers: u8,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            trunk: call::Trunk::new("pbx", "acme1"),
            routes: vec![to_bots(&["ws://10.0.0.9:8080/bot"])],
            limits: Limits::default(),
            stream: stream::Config::default(),
            reconnect: Reconnect::No,
            flows: Vec::new(),
            prompts: BTreeMap::new(),
            paths: Paths::default(),
            doors: vec![Door::Opens(ms(50))],
            houses: Vec::new(),
            webs: Vec::new(),
            fetch: fetch::Config::default(),
            accounts: HashMap::new(),
            script: |_, _| {},
            ws_delay: ms(1),
            lag: Duration::ZERO,
            callers: 1,
        }
    }
}

/// A route for every number.
pub(crate) fn to(target: Target) -> Route {
    Route { trunk: None, to: None, from: None, account: None, headers: Vec::new(), target }
}

/// A route for every number to the first of these bots that can be had.
pub(crate) fn to_bots(urls: &[&str]) -> Route {
    to(Target::Bot(urls.iter().map(|url| (*url).to_owned()).collect()))
}

impl Setup {
    /// Every call goes to this URL.
    pub(crate) fn url(url: &str) -> Self {
        Self::urls(&[url])
    }

    /// Every call goes to the first of these that can be had.
    pub(crate) fn urls(urls: &[&str]) -> Self {
        Self { routes: vec![to_bots(urls)], ..Self::default() }
    }

    /// Every call goes through these steps, one after the other.
    pub(crate) fn steps(steps: Vec<Applet>) -> Self {
        let last = steps.len() - 1;
        let follows = |(at, applet)| Step { applet, next: (at < last).then_some(at + 1) };
        let program = Program { steps: steps.into_iter().enumerate().map(follows).collect() };
        let flow = Flow {
            id: "flow".to_owned(),
            name: String::new(),
            account: None,
            names: Vec::new(),
            program: Arc::new(program),
        };
        Self { routes: vec![to(Target::Flow("flow".to_owned()))], flows: vec![flow], ..Self::default() }
    }

    fn config(&self) -> call::Config {
        call::Config {
            node: "edge1".to_owned(),
            trunks: vec![self.trunk.clone()],
            routes: Table { routes: self.routes.clone() },
            advertise: Vec::new(),
            stream: Arc::new(self.stream.clone()),
            fetch: Arc::new(self.fetch.clone()),
            accounts: self.accounts.clone(),
            reconnect: self.reconnect,
            flows: self.flows.iter().map(|flow| (flow.id.clone(), flow.clone())).collect(),
            prompts: self.prompts.clone(),
            limits: self.limits.clone(),
        }
    }
}

/// All there is.
pub(crate) struct World {
    pub(crate) post: Post,
    pub(crate) net: Net,
    pub(crate) kit: Kit,
    pub(crate) callers: Vec<Caller>,
    pub(crate) bots: Vec<Bot>,
    /// SIP as it was sent: time, `up` to streamkit, text.
    pub(crate) wire: Vec<(Instant, bool, String)>,
    /// Where datagrams of streamkit went that nobody took.
    pub(crate) astray: Vec<SocketAddr>,
    script: Script,
    ws_delay: Duration,
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let mut chance = Entropy::seeded(setup.seed);
        let kit_sip: SocketAddr = ([192, 0, 2, 1], SIP_PORT).into();
        let addresses: Vec<SocketAddr> =
            (0..setup.callers).map(|n| ([198, 51, 100, 10 + n], SIP_PORT).into()).collect();
        Self {
            post: Post::new(setup.lag, chance.fork()),
            net: Net::new(setup.paths, chance.fork()),
            kit: Kit::new(&setup, kit_sip, &addresses, chance.fork()),
            callers: addresses.iter().map(|sip| Caller::new(*sip, kit_sip, chance.fork())).collect(),
            bots: Vec::new(),
            wire: Vec::new(),
            astray: Vec::new(),
            script: setup.script,
            ws_delay: setup.ws_delay,
        }
    }

    // ---- what people do ----

    /// The telephone of most scenarios.
    pub(crate) fn caller(&mut self) -> &mut Caller {
        &mut self.callers[0]
    }

    /// The bot whose socket was opened last.
    pub(crate) fn bot(&mut self) -> &mut Bot {
        self.bots.last_mut().expect("a stream was opened")
    }

    /// The caller dials, and waits until it is answered.
    pub(crate) fn call(&mut self) {
        self.caller().dial();
        self.run_until(secs(40), |world| world.callers[0].hook == Hook::Up);
    }

    /// Asks the same of every call.
    pub(crate) fn ask(&mut self, request: Request) {
        self.kit.ask_all(&mut self.post, request);
    }

    /// Somebody sends streamkit a datagram.
    pub(crate) fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.net.send(&mut self.post, true, from, to, bytes);
    }

    // ---- time ----

    pub(crate) fn now(&self) -> Instant {
        self.post.now
    }

    /// Milliseconds since the world began.
    pub(crate) fn ms(&self, at: Instant) -> u64 {
        (at - self.post.start).as_millis() as u64
    }

    /// Lets time run.
    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.post.now + time;
        while self.step(until) {}
        self.post.now = until;
    }

    /// Lets time run until something is so.
    pub(crate) fn run_until(&mut self, most: Duration, so: impl Fn(&Self) -> bool) {
        let until = self.post.now + most;
        while !so(self) {
            assert!(self.step(until), "it never came to that: {}", self.ladder());
        }
    }

    /// All that happens at the next moment, if that is not after `until`.
    fn step(&mut self, until: Instant) -> bool {
        self.settle();
        let Some((next, _)) = self.next().filter(|(at, _)| *at <= until) else { return false };
        self.post.now = next.max(self.post.now);
        for turn in 0.. {
            while let Some(parcel) = self.post.take() {
                self.deliver(parcel);
                self.settle();
            }
            let now = self.post.now;
            let Some((_, who)) = self.next().filter(|(at, _)| *at <= now) else { break };
            assert!(turn < SPIN, "{who} spins at {} ms", self.ms(now));
            self.kit.timeout(now);
            self.callers_timeout(now);
            self.settle();
        }
        true
    }

    fn next(&self) -> Option<(Instant, &'static str)> {
        let callers =
            self.callers.iter().flat_map(|caller| [caller.endpoint.poll_timeout(), caller.mouth.next]);
        let people = callers.flatten().map(|at| (at, "caller"));
        let post = self.post.next().map(|at| (at, "post"));
        people.chain(post).chain(self.kit.poll_timeout(self.post.now)).min()
    }

    fn callers_timeout(&mut self, now: Instant) {
        for caller in &mut self.callers {
            if caller.endpoint.poll_timeout().is_some_and(|at| at <= now) {
                caller.endpoint.handle(now, streamkit::sip::Input::Timeout);
            }
            if let (Some(packet), Some(to)) = (caller.mouth.speak(now), caller.mouth.to) {
                self.net.send(&mut self.post, true, caller.mouth.from, to, &packet);
            }
        }
    }

    fn deliver(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::ToBot(index, frame) => {
                let now = self.post.now;
                self.bots[index - 1].take(now, frame);
            }
            Parcel::Datagram { from, to, bytes }
                if from.ip() == SocketAddr::from(([192, 0, 2, 1], 0)).ip() =>
            {
                let now = self.post.now;
                if let Some(caller) = self.callers.iter_mut().find(|c| c.sip == to || c.mouth.from == to) {
                    caller.take(now, from, to, &bytes);
                } else {
                    self.astray.push(to);
                }
            }
            parcel => self.kit.take(&mut self.post, parcel),
        }
    }

    /// Carries what everybody wants to its way.
    fn settle(&mut self) {
        let Self { post, net, kit, callers, bots, wire, .. } = self;
        for caller in callers {
            for bytes in caller.drain(post.now) {
                wire.push((post.now, true, String::from_utf8_lossy(&bytes).into_owned()));
                net.send(post, true, caller.sip, ([192, 0, 2, 1], SIP_PORT).into(), &bytes);
            }
        }
        for (index, bot) in bots.iter_mut().enumerate() {
            for (after, frame) in bot.outbox.drain(..) {
                post.at(post.now + after + self.ws_delay, Parcel::FromBot(index + 1, frame));
            }
        }
        net.seen.clear();
        let opened = kit.drain(post, net, |index| bots.get(index - 1).is_none_or(|bot| bot.reads));
        wire.extend(net.seen.drain(..).map(|text| (post.now, false, text)));
        bots.extend(opened.into_iter().map(|(rate, frame_ms)| {
            let mut bot = Bot::new(rate, self.script);
            bot.frame_ms = frame_ms;
            bot
        }));
    }

    // ---- what came of it ----

    /// SIP in the order it was sent: `INVITE <100 <180 <200 ACK BYE <200`; `<` is streamkit's.
    pub(crate) fn ladder(&self) -> String {
        let rung = |(_, up, text): &(Instant, bool, String)| {
            let mut words = text.split(' ');
            let first = words.next().unwrap_or_default();
            let word = if first == "SIP/2.0" { words.next().unwrap_or_default() } else { first };
            format!("{}{word}", if *up { "" } else { "<" })
        };
        self.wire.iter().map(rung).collect::<Vec<_>>().join(" ")
    }

    /// The first message whose rung is this, as in `ladder`.
    pub(crate) fn said(&self, rung: &str) -> &str {
        let (up, word) = match rung.strip_prefix('<') {
            Some(word) => (false, word),
            None => (true, rung),
        };
        let is = |text: &str| {
            text.starts_with(&format!("SIP/2.0 {word} ")) || text.starts_with(&format!("{word} "))
        };
        let found = self.wire.iter().find(|(_, went, text)| *went == up && is(text));
        &found.unwrap_or_else(|| panic!("no {rung} in {}", self.ladder())).2
    }

    /// Lets everything end: nothing may be left anywhere, and every call must have told its bot a sound story. The call's
    /// record.
    pub(crate) fn finish(&mut self) -> Value {
        let mut records = self.finish_all();
        assert_eq!(records.len(), 1, "one call, one record");
        records.remove(0)
    }

    /// The same for several calls.
    pub(crate) fn finish_all(&mut self) -> Vec<Value> {
        let until = self.post.now + secs(600);
        while self.step(until) {}
        assert_eq!(self.next(), None, "something never ends: {}", self.ladder());
        assert_eq!(self.kit.endpoint.load(), Load::default(), "{}", self.ladder());
        for caller in &self.callers {
            assert_eq!(caller.endpoint.load(), Load::default(), "{}", self.ladder());
        }
        let kit = &self.kit;
        assert_eq!((kit.calls.len(), kit.graphs.len(), kit.bridges.len()), (0, 0, 0));
        let left = kit.admission.in_use();
        assert_eq!((left.all_calls, left.all_streams), (0, 0), "every permit was given back");
        for bot in &self.bots {
            bot.assert_well_told();
        }
        for cdr in &kit.cdrs {
            let outcome = match (cdr.times.answer_ms, cdr.end.cause) {
                (Some(_), _) => "answered",
                (None, "cancel") => "cancelled",
                (None, _) => "refused",
            };
            let pair = (outcome, cdr.end.cause);
            assert!(ENDINGS.contains(&pair), "{pair:?} is not counted from the start");
        }
        kit.cdrs.iter().map(|cdr| serde_json::to_value(cdr).expect("a record is JSON")).collect()
    }
}
