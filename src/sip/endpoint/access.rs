//! Who may talk to us, and how often (reliability, sip-trunk.md section 4 steps 3 and 4).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ids::TrunkId;
use crate::sip::{Config, Transport, Trunk};

/// In which answers to one stranger are counted.
const STRANGER_SPAN: Duration = Duration::from_secs(10);
/// Addresses of strangers remembered at once; while all are in use no other is answered.
const STRANGERS: usize = 4096;
/// Addresses of trunks counted at once.
const SOURCES: usize = 4096;

/// The trunk a source belongs to: the narrowest network over all trunks that have the transport; of
/// equal ones the first.
pub(super) fn trunk_of(trunks: &[Arc<Trunk>], transport: Transport, source: IpAddr) -> Option<TrunkId> {
    let source = source.to_canonical();
    let mut best: Option<(u8, usize)> = None;
    for (index, trunk) in trunks.iter().enumerate().filter(|(_, trunk)| trunk.transports.contains(&transport))
    {
        let narrowest =
            trunk.peers.iter().filter(|net| net.contains(&source)).map(|net| net.prefix_len()).max();
        if let Some(prefix) = narrowest
            && best.is_none_or(|(best, _)| prefix > best)
        {
            best = Some((prefix, index));
        }
    }
    best.map(|(_, index)| TrunkId(index as u16))
}

/// Whether that address is one of this trunk's peers, or written as its target (reliability R-26).
pub(super) fn is_of_trunk(trunk: &Trunk, address: IpAddr) -> bool {
    let address = address.to_canonical();
    trunk.targets.iter().any(|target| target.ip() == Some(address))
        || trunk.peers.iter().any(|net| net.contains(&address))
}

/// What a request outside a dialog may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rate {
    /// An answer.
    Within,
    /// 503 with Retry-After.
    Refuse,
    /// Nothing.
    Silence,
}

/// What is remembered of sources.
#[derive(Debug)]
pub(super) struct Access {
    strangers: HashMap<IpAddr, VecDeque<Instant>>,
    answered: VecDeque<Instant>,
    sources: HashMap<IpAddr, Second>,
    per_second: u32,
    /// Answers to one stranger in `STRANGER_SPAN`, and to all in a second.
    stranger_answers: (usize, usize),
}

/// Requests counted since `began`, for one second.
#[derive(Clone, Copy, Debug)]
struct Second {
    began: Instant,
    count: u32,
}

impl Access {
    /// Nobody has come yet.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            strangers: HashMap::new(),
            answered: VecDeque::new(),
            sources: HashMap::new(),
            per_second: config.source_requests_per_second.max(1),
            stranger_answers: (config.stranger_answers, config.strangers_per_second),
        }
    }

    /// Counts by these limits from now on.
    pub(super) fn set_limits(&mut self, config: &Config) {
        self.per_second = config.source_requests_per_second.max(1);
        self.stranger_answers = (config.stranger_answers, config.strangers_per_second);
    }

    /// Whether a stranger has used up its answers: then what it sends is not even read.
    pub(super) fn is_used_up(&mut self, now: Instant, source: IpAddr) -> bool {
        forget(&mut self.answered, now, Duration::from_secs(1));
        if self.answered.len() >= self.stranger_answers.1 {
            return true;
        }
        match self.strangers.get_mut(&source) {
            Some(answers) => {
                forget(answers, now, STRANGER_SPAN);
                answers.len() >= self.stranger_answers.0
            }
            None => {
                self.stranger_answers.0 == 0 || (self.strangers.len() >= STRANGERS && !self.make_room(now))
            }
        }
    }

    /// A stranger is answered now.
    pub(super) fn count_answer(&mut self, now: Instant, source: IpAddr) {
        self.strangers.entry(source).or_default().push_back(now);
        self.answered.push_back(now);
    }

    /// A request outside a dialog came from a trunk's address.
    pub(super) fn count_request(&mut self, now: Instant, source: IpAddr) -> Rate {
        let second = Duration::from_secs(1);
        if self.sources.len() >= SOURCES && !self.sources.contains_key(&source) {
            self.sources.retain(|_, counted| now.duration_since(counted.began) < second);
            if self.sources.len() >= SOURCES {
                return Rate::Silence;
            }
        }
        let counted = self.sources.entry(source).or_insert(Second { began: now, count: 0 });
        if now.duration_since(counted.began) >= second {
            *counted = Second { began: now, count: 0 };
        }
        counted.count = counted.count.saturating_add(1);
        match counted.count.saturating_sub(self.per_second) {
            0 => Rate::Within,
            over if over <= self.per_second.div_ceil(10) => Rate::Refuse,
            _ => Rate::Silence,
        }
    }

    fn make_room(&mut self, now: Instant) -> bool {
        self.strangers.retain(|_, answers| answers.back().is_some_and(|last| now < *last + STRANGER_SPAN));
        self.strangers.len() < STRANGERS
    }
}

fn forget(times: &mut VecDeque<Instant>, now: Instant, span: Duration) {
    while times.front().is_some_and(|time| *time + span <= now) {
        times.pop_front();
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for simulated time
mod tests {
    use super::*;
    use crate::sip::Target;

    fn trunk(peers: &[&str], transports: &[Transport]) -> Arc<Trunk> {
        Arc::new(Trunk {
            name: "t".to_owned(),
            peers: peers.iter().map(|net| net.parse().unwrap()).collect(),
            targets: vec![Target::address("203.0.113.9".parse().unwrap())],
            transports: transports.to_vec(),
            ..Trunk::new("")
        })
    }

    #[test]
    fn the_narrowest_network_wins_and_the_transport_counts() {
        let trunks = [
            trunk(&["192.0.2.0/24"], &[Transport::Udp, Transport::Tcp]),
            trunk(&["192.0.2.7/32", "2001:db8::/32"], &[Transport::Udp]),
        ];
        let of = |transport, ip: &str| trunk_of(&trunks, transport, ip.parse().unwrap()).map(|id| id.0);
        assert_eq!(of(Transport::Udp, "192.0.2.7"), Some(1));
        assert_eq!(of(Transport::Tcp, "192.0.2.7"), Some(0));
        assert_eq!(of(Transport::Udp, "::ffff:192.0.2.8"), Some(0));
        assert_eq!(of(Transport::Udp, "2001:db8::1"), Some(1));
        assert_eq!(of(Transport::Udp, "203.0.113.9"), None); // a target may be called, it may not call
        assert!(is_of_trunk(&trunks[0], "203.0.113.9".parse().unwrap()));
        assert!(!is_of_trunk(&trunks[0], "203.0.113.8".parse().unwrap()));
    }

    #[test]
    fn a_stranger_has_five_answers_in_ten_seconds() {
        let (now, source) = (Instant::now(), "198.51.100.1".parse().unwrap());
        let mut access = Access::new(&Config::default());
        for _ in 0..5 {
            assert!(!access.is_used_up(now, source));
            access.count_answer(now, source);
        }
        assert!(access.is_used_up(now + Duration::from_millis(9999), source));
        assert!(!access.is_used_up(now + Duration::from_secs(10), source));
    }

    #[test]
    fn all_strangers_together_have_200_answers_a_second_and_little_memory() {
        let mut now = Instant::now();
        let mut access = Access::new(&Config::default());
        let mut answered = 0;
        for n in 0..100_000_u32 {
            let source = IpAddr::from(n.to_be_bytes());
            if !access.is_used_up(now, source) {
                access.count_answer(now, source);
                answered += 1;
            }
            now += Duration::from_micros(20); // 2 s in all
        }
        assert!((400..=401).contains(&answered), "{answered}");
        assert!(access.strangers.len() <= STRANGERS);
    }

    #[test]
    fn a_source_over_its_rate_is_refused_for_a_while_and_then_met_with_silence() {
        let (now, source) = (Instant::now(), "192.0.2.1".parse().unwrap());
        let mut access = Access::new(&Config { source_requests_per_second: 20, ..Config::default() });
        let rates: Vec<_> = (0..25).map(|_| access.count_request(now, source)).collect();
        assert_eq!(rates.iter().filter(|rate| **rate == Rate::Within).count(), 20);
        assert_eq!(rates.iter().filter(|rate| **rate == Rate::Refuse).count(), 2);
        assert_eq!(rates.last(), Some(&Rate::Silence));
        assert_eq!(access.count_request(now + Duration::from_secs(1), source), Rate::Within);
    }
}
