//! Where the trunks' targets are and how they fare (sip-trunk.md section 15): what was found of them, what rests,
//! who waits for an answer of the system.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::access::is_of_trunk;
use super::keepalive::{Pings, TargetId};
use super::{Endpoint, Output};
use crate::ids::LegId;
use crate::sip::hop::Hop;
use crate::sip::target::{Found, Question, Service};
use crate::sip::{Target, Transport, Trunk};

/// How long a place that failed is tried last.
pub(super) const REST: Duration = Duration::from_secs(30);
/// Places that rest, remembered at once.
const RESTING: usize = 4096;
/// Names whose addresses are remembered at once.
const LOCATED: usize = 4096;
/// Legs and pings that wait for one answer.
const WAITING: usize = 4096;

/// Who waits for the answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// A call that is to go there.
    Leg(LegId),
    /// A ping.
    Ping(TargetId),
}

/// What is known of targets, whichever trunk's.
#[derive(Debug, Default)]
pub(super) struct Targets {
    located: HashMap<Question, Vec<Service>>,
    /// All that is or was found of the trunks' targets: who is no stranger.
    addresses: HashSet<IpAddr>,
    resting: HashMap<(Transport, SocketAddr), Instant>,
    waiting: HashMap<Question, Vec<Waiter>>,
    /// OPTIONS of ours.
    pub(super) pings: Pings,
}

impl Targets {
    /// From now on these are the trunks; what was found for others is forgotten.
    pub(super) fn set_trunks(&mut self, trunks: &[Arc<Trunk>], now: Option<Instant>) {
        let of = |trunk: &Arc<Trunk>| -> Vec<Question> {
            trunk.targets.iter().map(|target| Question::of(target, trunk)).collect()
        };
        let asked: HashSet<Question> = trunks.iter().flat_map(of).collect();
        self.located.retain(|question, _| asked.contains(question));
        self.addresses = asked.iter().filter_map(Question::ip).collect();
        let found = self.located.values().flatten().flat_map(|service| &service.hops);
        self.addresses.extend(found.map(|hop| hop.remote.ip().to_canonical()));
        self.pings.set_trunks(trunks, now);
    }

    /// Whether a target of any trunk is there.
    pub(super) fn are_at(&self, ip: IpAddr) -> bool {
        self.addresses.contains(&ip.to_canonical())
    }

    /// Whether packets of this trunk's calls may go there: its peers, its targets, and where their names led.
    pub(super) fn is_of(&self, trunk: &Trunk, ip: IpAddr) -> bool {
        is_of_trunk(trunk, ip) || (self.are_at(ip) && self.has_target_at(trunk, ip))
    }

    /// Whether a target of that trunk is there.
    pub(super) fn has_target_at(&self, trunk: &Trunk, ip: IpAddr) -> bool {
        trunk.targets.iter().any(|target| self.has_one_at(trunk, target, ip))
    }

    /// Whether that target of the trunk is there.
    pub(super) fn has_one_at(&self, trunk: &Trunk, target: &Target, ip: IpAddr) -> bool {
        let (ip, question) = (ip.to_canonical(), Question::of(target, trunk));
        let named = || self.located.get(&question).is_some_and(|services| leads_to(services, ip));
        question.ip() == Some(ip) || named()
    }

    /// That place failed: it is tried last for so long.
    pub(super) fn rest(&mut self, now: Instant, hop: Hop, span: Duration) {
        if self.resting.len() >= RESTING {
            self.resting.retain(|_, until| *until > now);
        }
        if self.resting.len() < RESTING {
            self.resting.insert((hop.transport, hop.remote), now + span);
        }
    }

    /// It answered.
    pub(super) fn wake(&mut self, hop: Hop) {
        self.resting.remove(&(hop.transport, hop.remote));
    }

    /// Whether it failed lately.
    pub(super) fn rests(&self, now: Instant, hop: Hop) -> bool {
        self.resting.get(&(hop.transport, hop.remote)).is_some_and(|until| *until > now)
    }

    /// Whether all that was found behind a question rests; what was never looked for does not.
    pub(super) fn all_rest(&self, now: Instant, question: &Question) -> bool {
        let Some(services) = self.located.get(question) else { return false };
        services.iter().flat_map(|service| &service.hops).all(|hop| self.rests(now, *hop))
    }

    /// Keeps what was found.
    fn locate(&mut self, question: &Question, services: &[Service]) {
        if self.located.len() >= LOCATED && !self.located.contains_key(question) {
            return;
        }
        self.addresses
            .extend(services.iter().flat_map(|s| &s.hops).map(|hop| hop.remote.ip().to_canonical()));
        self.located.insert(question.clone(), services.to_vec());
    }
}

fn leads_to(services: &[Service], ip: IpAddr) -> bool {
    services.iter().flat_map(|service| &service.hops).any(|hop| hop.remote.ip().to_canonical() == ip)
}

impl Endpoint {
    /// Asks where that is; the same question is asked once at a time. False: too many wait already.
    pub(super) fn ask(&mut self, question: Question, waiter: Waiter) -> bool {
        let waiting: usize = self.targets.waiting.values().map(Vec::len).sum();
        if waiting >= WAITING {
            return false;
        }
        let waiters = self.targets.waiting.entry(question.clone()).or_default();
        waiters.push(waiter);
        if waiters.len() == 1 {
            self.outputs.push_back(Output::Resolve(question));
        }
        true
    }

    /// The system answered.
    pub(super) fn resolved(&mut self, now: Instant, question: &Question, found: &Found) {
        let Some(waiters) = self.targets.waiting.remove(question) else { return };
        match found {
            Ok(services) => self.targets.locate(question, services),
            Err(error) => tracing::warn!(host = question.host, %error, "a target of a trunk was not found"),
        }
        let services = found.as_deref().unwrap_or_default();
        for waiter in waiters {
            match waiter {
                Waiter::Leg(leg) => {
                    self.with_leg(leg, |endpoint, id, leg| endpoint.found(now, id, leg, question, services));
                }
                Waiter::Ping(target) => self.ping_found(now, target, services),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for simulated time
mod tests {
    use super::*;

    fn hop(remote: &str) -> Hop {
        Hop {
            transport: Transport::Udp,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    }

    fn named(host: &str) -> Trunk {
        let target = Target { host: host.to_owned(), ..Target::address(IpAddr::from([0, 0, 0, 0])) };
        Trunk { targets: vec![target], ..Trunk::new(host) }
    }

    #[test]
    fn what_a_name_led_to_is_its_trunks_and_no_others() {
        let (ours, other) = (Arc::new(named("a.example")), Arc::new(named("b.example")));
        let (mut targets, ip) = (Targets::default(), "198.51.100.7".parse().unwrap());
        targets.set_trunks(&[ours.clone(), other.clone()], None);
        assert!(!targets.is_of(&ours, ip) && !targets.are_at(ip));
        let question = Question::of(&ours.targets[0], &ours);
        let service = Service { priority: 0, weight: 0, hops: vec![hop("198.51.100.7:5060")] };
        targets.locate(&question, &[service]);
        assert!(targets.is_of(&ours, ip) && targets.are_at(ip) && !targets.is_of(&other, ip));
        targets.set_trunks(&[other], None);
        assert!(!targets.are_at(ip));
    }

    #[test]
    fn a_place_rests_until_its_time_or_its_answer() {
        let (now, mut targets) = (Instant::now(), Targets::default());
        let (one, two) = (hop("198.51.100.7:5060"), hop("198.51.100.8:5060"));
        targets.rest(now, one, REST);
        assert!(targets.rests(now, one) && !targets.rests(now, two) && !targets.rests(now + REST, one));
        targets.wake(one);
        assert!(!targets.rests(now, one));
    }
}
