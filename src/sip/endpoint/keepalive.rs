//! OPTIONS of ours: whether the trunks' targets are there (sip-trunk.md section 15).
//!
//! ```text
//!  due ─► where is it? ─► OPTIONS to each of its places ─► any answer: it is there
//!                                                       └► 503, or none in 5 s: it rests
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::targets::{REST, Waiter};
use super::{Endpoint, Octets, Send, Way};
use crate::ids::Entropy;
use crate::sip::auth::{Login, Tries};
use crate::sip::hop::Hop;
use crate::sip::message::{Message, Method, Request};
use crate::sip::target::{Question, Service, in_order};
use crate::sip::transaction::table::{Purpose, TxId};
use crate::sip::transaction::{ClientKey, Deadlines};
use crate::sip::{Target, Transport, Trunk};
use crate::telemetry::metrics;

/// Without an answer for so long a place rests.
const PATIENCE: Duration = Duration::from_secs(5);
/// Places of one target that are pinged.
const PLACES: usize = 8;
/// The first pings go out within so long.
const SOON: Duration = Duration::from_secs(1);

/// A target that is pinged or was ever looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TargetId(u32);

/// What waits for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Due {
    /// The next ping of a target.
    Target(TargetId),
    /// The answer to one OPTIONS.
    Answer(u32),
}

/// How a target of a trunk fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetState {
    /// Name of the trunk.
    pub trunk: String,
    /// `host[:port]` with `;transport=` where one is named.
    pub target: String,
    /// It answered the last OPTIONS; true too while none was sent.
    pub alive: bool,
    /// Since when it is so; absent: since the beginning.
    pub since: Option<Instant>,
}

#[derive(Debug)]
struct Pinged {
    trunk: Arc<Trunk>,
    target: Target,
    question: Question,
    /// Places without an answer yet, and whether any gave one, in this round.
    open: usize,
    answered: bool,
    alive: bool,
    since: Option<Instant>,
}

/// One OPTIONS on its way.
#[derive(Debug)]
struct Ping {
    target: TargetId,
    hop: Hop,
    login: Option<Login>,
    tries: Tries,
    call_id: String,
    tag: String,
    seq: u32,
    /// Its answer, or its time, came.
    judged: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Pings {
    targets: BTreeMap<TargetId, Pinged>,
    under_way: HashMap<u32, Ping>,
    due: DueTimes,
    last: u32,
}

#[derive(Debug)]
struct DueTimes(Deadlines<Due>);

impl Default for DueTimes {
    fn default() -> Self {
        Self(Deadlines::new())
    }
}

impl Pings {
    /// What was known of targets that stay is kept.
    pub(super) fn set_trunks(&mut self, trunks: &[Arc<Trunk>], now: Option<Instant>) {
        let mut before = std::mem::take(&mut self.targets);
        for trunk in trunks {
            for target in &trunk.targets {
                let same = |known: &Pinged| known.trunk.name == trunk.name && known.target == *target;
                let kept = before.iter().find(|(_, known)| same(known)).map(|(id, _)| *id);
                let (id, mut pinged) = match kept.and_then(|id| Some((id, before.remove(&id)?))) {
                    Some(known) => known,
                    None => (self.fresh(), Pinged::new(trunk, target)),
                };
                let was_off = pinged.trunk.options_ping.is_zero() || kept.is_none();
                (pinged.trunk, pinged.question) = (trunk.clone(), Question::of(target, trunk));
                self.targets.insert(id, pinged);
                match (trunk.options_ping.is_zero(), now) {
                    (true, _) => self.due.0.arm(Due::Target(id), None),
                    (false, Some(now)) if was_off => self.due.0.arm(Due::Target(id), Some(now)),
                    (false, _) => {}
                }
            }
        }
        for (id, gone) in before {
            metrics::sip_target_up(&gone.trunk.name, &gone.target.to_string(), false);
            self.due.0.arm(Due::Target(id), None);
        }
    }

    fn fresh(&mut self) -> TargetId {
        self.last += 1;
        TargetId(self.last)
    }

    /// The first time is told: pings begin, not all at once.
    pub(super) fn begin(&mut self, now: Instant, entropy: &mut Entropy) {
        for pinged in self.targets.values() {
            metrics::sip_target_up(&pinged.trunk.name, &pinged.target.to_string(), pinged.alive);
        }
        let pinged = self.targets.iter().filter(|(_, pinged)| !pinged.trunk.options_ping.is_zero());
        let ids: Vec<_> = pinged.map(|(id, _)| *id).collect();
        for id in ids {
            let wait = SOON * entropy.below(1000) / 1000;
            self.due.0.arm(Due::Target(id), Some(now + wait));
        }
    }

    /// When something is next due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.0.next()
    }

    /// How every target fares, those known for longest first.
    pub(super) fn states(&self) -> Vec<TargetState> {
        self.targets.values().map(Pinged::state).collect()
    }
}

impl Pinged {
    fn new(trunk: &Arc<Trunk>, target: &Target) -> Self {
        let (trunk, target) = (trunk.clone(), target.clone());
        let question = Question::of(&target, &trunk);
        Self { trunk, target, question, open: 0, answered: false, alive: true, since: None }
    }

    fn state(&self) -> TargetState {
        TargetState {
            trunk: self.trunk.name.clone(),
            target: self.target.to_string(),
            alive: self.alive,
            since: self.since,
        }
    }

    fn become_alive(&mut self, now: Instant, alive: bool) {
        let (trunk, target) = (self.trunk.name.as_str(), self.target.to_string());
        metrics::sip_target_up(trunk, &target, alive);
        if self.alive == alive {
            return;
        }
        (self.alive, self.since) = (alive, Some(now));
        match alive {
            true => tracing::info!(trunk, target, "the target answers"),
            false => tracing::warn!(trunk, target, "the target does not answer, or is out of service"),
        }
    }
}

impl Endpoint {
    /// How the targets of the trunks fare.
    pub fn targets(&self) -> Vec<TargetState> {
        self.targets.pings.states()
    }

    /// Pings that are due, and answers that are overdue.
    pub(super) fn pings_due(&mut self, now: Instant) {
        while let Some(due) = self.targets.pings.due.0.pop(now) {
            match due {
                Due::Target(id) => self.ping_target(now, id),
                Due::Answer(number) => self.ping_judged(now, number, false),
            }
        }
    }

    fn ping_target(&mut self, now: Instant, id: TargetId) {
        let Some(pinged) = self.targets.pings.targets.get(&id) else { return };
        let (interval, question) = (pinged.trunk.options_ping, pinged.question.clone());
        if interval.is_zero() {
            return;
        }
        // A tenth to either side, so that many targets do not answer in one beat.
        let wait = interval * (900 + self.entropy.below(201)) / 1000;
        self.targets.pings.due.0.arm(Due::Target(id), Some(now + wait));
        self.ask(question, Waiter::Ping(id));
    }

    /// The places of a target are known: an OPTIONS to each.
    pub(super) fn ping_found(&mut self, now: Instant, id: TargetId, services: &[Service]) {
        let hops = in_order(services, &mut self.entropy);
        let hops: Vec<_> = hops.into_iter().take(PLACES).collect();
        let Some(pinged) = self.targets.pings.targets.get_mut(&id) else { return };
        (pinged.open, pinged.answered) = (hops.len(), false);
        if hops.is_empty() {
            return pinged.become_alive(now, false);
        }
        let credentials = pinged.target.credentials.clone();
        for hop in hops {
            self.targets.pings.last += 1;
            let number = self.targets.pings.last;
            let ping = Ping {
                target: id,
                hop,
                login: credentials.clone().map(Login::new),
                tries: Tries::default(),
                call_id: self.entropy.token(),
                tag: self.tag(),
                seq: 0,
                judged: false,
            };
            self.targets.pings.due.0.arm(Due::Answer(number), Some(now + PATIENCE));
            self.send_ping(now, number, ping);
        }
    }

    fn send_ping(&mut self, now: Instant, number: u32, mut ping: Ping) {
        ping.seq += 1;
        let (hop, branch) = (ping.hop, self.branch());
        let target = self.targets.pings.targets.get(&ping.target).map(|pinged| &pinged.target);
        let uri =
            target.map_or_else(|| format!("sip:{}", hop.remote), |target| uri_of(target, hop.transport));
        let mut options = self
            .signed(Request::new(Method::Options, &uri))
            .via(hop.transport, &self.sent_by(hop), &branch)
            .from(format!("<sip:streamkit@{}>;tag={}", self.sent_by(hop), ping.tag))
            .to(format!("<{uri}>"))
            .call_id(&ping.call_id)
            .cseq(ping.seq)
            .contact(self.contact(hop, false))
            .header("Accept", super::authored::ACCEPT);
        if let Some(login) = &mut ping.login {
            for (name, value) in login.headers("OPTIONS", &uri, &mut self.entropy) {
                options = options.header(name, value);
            }
        }
        let (octets, way): (Octets, _) = (options.octets().into(), Way { hop, otherwise: Some(hop.remote) });
        let key = ClientKey { branch: branch.as_str().into(), method: Method::Options.label() };
        self.targets.pings.under_way.insert(number, ping);
        self.transactions.send(now, key, Purpose::Ping(number), way, octets.clone());
        self.transmit(way, Send::First(octets));
    }

    /// Something came back. A challenge is answered once; whatever it is but 503, the target is there.
    pub(super) fn pinged(&mut self, now: Instant, number: u32, tx: TxId, status: u16, response: &Message) {
        if status < 200 {
            return;
        }
        let Some(ping) = self.targets.pings.under_way.get_mut(&number) else { return };
        let asked = matches!(status, 401 | 407) && ping.seq < 4;
        let again =
            asked && ping.login.as_mut().is_some_and(|login| login.challenged(response, &mut ping.tries));
        self.ping_judged(now, number, status != 503);
        if !again {
            return;
        }
        if let Some(ping) = self.targets.pings.under_way.remove(&number) {
            self.transactions.abandon(tx);
            self.send_ping(now, number, ping);
        }
    }

    /// The transaction of a ping is gone, whatever came of it.
    pub(super) fn ping_over(&mut self, now: Instant, number: u32) {
        self.ping_judged(now, number, false);
        self.targets.pings.under_way.remove(&number);
    }

    /// One place answered, or did not. A late answer is one too.
    pub(super) fn ping_judged(&mut self, now: Instant, number: u32, alive: bool) {
        let Some(ping) = self.targets.pings.under_way.get_mut(&number) else { return };
        let (first, hop, target) = (!std::mem::replace(&mut ping.judged, true), ping.hop, ping.target);
        self.targets.pings.due.0.arm(Due::Answer(number), None);
        if !first && !alive {
            return;
        }
        let Some(pinged) = self.targets.pings.targets.get_mut(&target) else { return };
        if first {
            pinged.open = pinged.open.saturating_sub(1);
        }
        pinged.answered |= alive;
        if pinged.answered || pinged.open == 0 {
            pinged.become_alive(now, pinged.answered);
        }
        // Until the next ping has had its time.
        let rest = REST.max(pinged.trunk.options_ping * 2 + PATIENCE);
        match alive {
            true => self.targets.wake(hop),
            false => self.targets.rest(now, hop, rest),
        }
    }
}

/// Request-URI of an OPTIONS to a target.
fn uri_of(target: &Target, transport: Transport) -> String {
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    let port = target.port.map(|port| format!(":{port}")).unwrap_or_default();
    match transport {
        Transport::Udp => format!("sip:{host}{port}"),
        Transport::Tcp | Transport::Tls => format!("sip:{host}{port};transport={}", transport.as_str()),
    }
}
