//! Where the targets of a trunk are: what is asked of the system, and in which order its answer is tried
//! (RFC 3263 §4, RFC 2782).

use std::net::IpAddr;

use super::hop::Hop;
use super::{Target, Transport, Trunk};
use crate::ids::Entropy;

/// Where is that host? Asked by the endpoint, answered by its shell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Name in lower case, or address.
    pub host: String,
    /// With one there is no look at SRV.
    pub port: Option<u16>,
    /// Those that may be used, the preferred one first.
    pub transports: Vec<Transport>,
}

impl Question {
    /// About a target of that trunk.
    pub fn of(target: &Target, trunk: &Trunk) -> Self {
        let host = target.host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let transports = target.transport.map_or_else(|| trunk.transports.clone(), |one| vec![one]);
        Self { host, port: target.port, transports }
    }

    /// The host, when it is written as an address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok().map(|ip: IpAddr| ip.to_canonical())
    }

    /// What is used where no SRV record says it.
    pub fn transport(&self) -> Transport {
        self.transports.first().copied().unwrap_or(Transport::Udp)
    }
}

/// What was found: places, the preferred transport first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The lowest goes first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// Its addresses, in order, each with the address of ours that faces it. Those that no listener of ours can
    /// reach are left out.
    pub hops: Vec<Hop>,
}

/// Why nothing was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The system has no name servers to ask.
    #[error("no name servers: {0}")]
    NoResolver(String),
    /// No such name, or no address that we can reach.
    #[error("no address")]
    NoAddress,
    /// The name servers did not answer in time.
    #[error("name servers do not answer: {0}")]
    Unanswered(String),
}

/// What the shell says.
pub type Found = Result<Vec<Service>, Unresolved>;

/// Every place once, in the order in which they are to be tried.
pub(crate) fn in_order(services: &[Service], entropy: &mut Entropy) -> Vec<Hop> {
    let records = services.iter().map(|service| (service.priority, service.weight, &service.hops)).collect();
    let mut hops: Vec<Hop> = Vec::new();
    for service in by_priority_and_weight(records, entropy) {
        for hop in service {
            if !hops.contains(hop) {
                hops.push(*hop);
            }
        }
    }
    hops
}

/// The lowest priority first; of one priority each is first as often as its weight says (RFC 2782).
pub(crate) fn by_priority_and_weight<T>(mut left: Vec<(u16, u16, T)>, entropy: &mut Entropy) -> Vec<T> {
    // Those of weight 0 stand first, so that they have a small chance to be drawn.
    left.sort_by_key(|(priority, weight, _)| (*priority, *weight != 0));
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(priority) = left.first().map(|(priority, ..)| *priority) {
        let same = left.iter().take_while(|(of, ..)| *of == priority);
        let sum: u32 = same.clone().map(|(_, weight, _)| u32::from(*weight)).sum();
        let (drawn, mut running) = (entropy.below(sum + 1), 0);
        let chosen = same.into_iter().position(|(_, weight, _)| {
            running += u32::from(*weight);
            running >= drawn
        });
        ordered.push(left.remove(chosen.unwrap_or(0)).2);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_priority_is_always_first_and_the_weight_is_a_share() {
        let mut entropy = Entropy::seeded(5);
        let (mut heavy, mut idle) = (0, 0);
        for _ in 0..10_000 {
            let records = vec![(20, 0, "backup"), (10, 30, "heavy"), (10, 10, "light"), (10, 0, "idle")];
            let order = by_priority_and_weight(records, &mut entropy);
            assert_eq!((order.len(), order[3]), (4, "backup"));
            heavy += u32::from(order[0] == "heavy");
            idle += u32::from(order[0] == "idle");
        }
        assert!((7100..7600).contains(&heavy), "{heavy}"); // 30 of 41 draws
        assert!((150..350).contains(&idle), "{idle}"); // 1 of 41
    }

    #[test]
    fn a_question_is_about_the_host_as_dns_knows_it() {
        let trunk = Trunk::new("t");
        let of = |host: &str| {
            let target = Target { host: host.to_owned(), ..Target::address(IpAddr::from([0, 0, 0, 0])) };
            Question::of(&target, &trunk)
        };
        assert_eq!(of("PBX.Example.").host, "pbx.example");
        assert_eq!(of("[2001:db8::1]").ip(), "2001:db8::1".parse().ok());
        assert_eq!(of("pbx.example").transports, trunk.transports);
    }
}
