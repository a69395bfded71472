//! Where the targets of trunks are: SRV, A and AAAA (RFC 3263 §4), remembered as long as they say (reliability R-74).
//!
//! ```text
//!  Question ─► an address? its own answer        ─┐
//!           ─► remembered? that                  ─┼─► ready ─► Input::Resolved
//!           ─► name servers, in a task, 5 s ─► kept ─┘
//! ```
#![allow(clippy::disallowed_methods)] // part of the shell

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::sip::Transport;
use crate::sip::target::{Question, Unresolved};

/// Everything about one question.
const DEADLINE: Duration = Duration::from_secs(5);
/// One packet to one name server.
const ONE_TRY: Duration = Duration::from_millis(1500);
/// Answers are remembered so long at least and at most, failures so long.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
const NEGATIVE: Duration = Duration::from_secs(30);
/// While the name servers are silent an answer is used so long beyond its time.
const STALE: Duration = Duration::from_secs(3600);
/// Answers remembered, questions asked at once, services and addresses of one answer.
const REMEMBERED: usize = 1024;
const AT_ONCE: usize = 256;
const SERVICES: usize = 16;
const ADDRESSES: usize = 8;
/// The system's configuration is read again after so long.
const CONFIGURED: Duration = Duration::from_secs(60);

/// What DNS says of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) transport: Transport,
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) addresses: Vec<SocketAddr>,
}

/// What was found, or why not.
pub(super) type Looked = Result<Vec<Service>, Unresolved>;

/// The same with how long it holds.
type Fresh = Result<(Vec<Service>, Duration), Unresolved>;

/// Everything that is looked up.
#[derive(Default)]
pub(super) struct Lookups {
    /// Asked in place of the system's, when there are any.
    nameservers: Vec<SocketAddr>,
    resolver: Option<(TokioResolver, Instant)>,
    remembered: Remembered,
    under_way: JoinSet<(Question, Fresh)>,
    ready: VecDeque<(Question, Looked)>,
}

impl Lookups {
    /// Asks these in place of the system's name servers, if there are any.
    pub(super) fn new(nameservers: Vec<SocketAddr>) -> Self {
        Self { nameservers, ..Self::default() }
    }

    /// The answer will be `ready`, at once or after `answered`.
    pub(super) fn ask(&mut self, question: Question) {
        let now = Instant::now();
        if let Some(looked) = itself(&question).or_else(|| self.remembered.recall(now, &question)) {
            return self.ready.push_back((question, looked));
        }
        match self.resolver(now) {
            Err(error) => {
                let error = Unresolved::NoResolver(error.to_string());
                let _ = self.remembered.keep(now, question.clone(), Err(error.clone()));
                self.ready.push_back((question, Err(error)));
            }
            Ok(_) if self.under_way.len() >= AT_ONCE => {
                let error = Unresolved::Unanswered("too many questions".to_owned());
                self.ready.push_back((question, Err(error)));
            }
            Ok(resolver) => {
                self.under_way.spawn(async move {
                    let unanswered = |_| Err(Unresolved::Unanswered("deadline".to_owned()));
                    let looked = timeout(DEADLINE, look_up(&resolver, &question)).await;
                    (question, looked.unwrap_or_else(unanswered))
                });
            }
        }
    }

    /// Something more is ready; never, while nothing is under way.
    pub(super) async fn answered(&mut self) {
        let Some(joined) = self.under_way.join_next().await else { return std::future::pending().await };
        // A lookup that panicked has no question to answer; what waits for it runs into its own limits.
        let Ok((question, looked)) = joined else { return };
        let looked = self.remembered.keep(Instant::now(), question.clone(), looked);
        self.ready.push_back((question, looked));
    }

    /// The next answer.
    pub(super) fn ready(&mut self) -> Option<(Question, Looked)> {
        self.ready.pop_front()
    }

    fn resolver(&mut self, now: Instant) -> Result<TokioResolver, NetError> {
        if let Some((resolver, since)) = &self.resolver
            && now.duration_since(*since) < CONFIGURED
        {
            return Ok(resolver.clone());
        }
        let resolver = resolver(&self.nameservers)?;
        self.resolver = Some((resolver.clone(), now));
        Ok(resolver)
    }
}

/// Of the system, or of these name servers. It remembers nothing: that is done here, by our bounds.
fn resolver(nameservers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if nameservers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let of = |at: &SocketAddr| {
            let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
            (udp.port, tcp.port) = (at.port(), at.port());
            NameServerConfig::new(at.ip(), true, vec![udp, tcp])
        };
        let config = ResolverConfig::from_parts(None, Vec::new(), nameservers.iter().map(of).collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options: &mut ResolverOpts = builder.options_mut();
    (options.cache_size, options.timeout, options.attempts) = (0, ONE_TRY, 2);
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

/// An address is its own answer (RFC 3263 §4.2).
fn itself(question: &Question) -> Option<Looked> {
    let (ip, transport) = (question.ip()?, question.transport());
    let address = SocketAddr::new(ip, question.port.unwrap_or(default_port(transport)));
    Some(Ok(vec![Service { transport, priority: 0, weight: 0, addresses: vec![address] }]))
}

/// SRV for each transport, the first that has any; else, or with a port, A and AAAA.
async fn look_up(resolver: &TokioResolver, question: &Question) -> Fresh {
    if question.port.is_none() {
        let asked =
            question.transports.iter().map(|transport| services(resolver, *transport, &question.host));
        let found = join_all(asked).await.into_iter().find(|(services, _)| !services.is_empty());
        if let Some((services, ttl)) = found {
            return Ok((services, ttl));
        }
    }
    let transport = question.transport();
    let port = question.port.unwrap_or(default_port(transport));
    let (addresses, ttl) = addresses(resolver, &question.host, port).await?;
    Ok((vec![Service { transport, priority: 0, weight: 0, addresses }], ttl))
}

/// What SRV says. A server that cannot say it is taken for one that has none: A and AAAA are asked then.
async fn services(resolver: &TokioResolver, transport: Transport, host: &str) -> (Vec<Service>, Duration) {
    let name = match transport {
        Transport::Udp => format!("_sip._udp.{host}"),
        Transport::Tcp => format!("_sip._tcp.{host}"),
        Transport::Tls => format!("_sips._tcp.{host}"),
    };
    let Ok(lookup) = resolver.lookup(name, RecordType::SRV).await else {
        return (Vec::new(), Duration::ZERO);
    };
    let mut ttl = remaining(lookup.valid_until());
    let records: Vec<SRV> = lookup
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) if !srv.target.is_root() => Some(srv.clone()),
            _ => None,
        })
        .take(SERVICES)
        .collect();
    let found = join_all(records.iter().map(|srv| async {
        let (addresses, ttl) = addresses(resolver, &srv.target.to_ascii(), srv.port).await.ok()?;
        Some((Service { transport, priority: srv.priority, weight: srv.weight, addresses }, ttl))
    }));
    let found: Vec<_> = found.await.into_iter().flatten().collect();
    ttl = found.iter().map(|(_, of)| *of).fold(ttl, Duration::min);
    (found.into_iter().map(|(service, _)| service).collect(), ttl)
}

async fn addresses(
    resolver: &TokioResolver,
    host: &str,
    port: u16,
) -> Result<(Vec<SocketAddr>, Duration), Unresolved> {
    match resolver.lookup_ip(host).await {
        Ok(found) => {
            let ttl = remaining(found.valid_until());
            let addresses = found.iter().take(ADDRESSES).map(|ip| SocketAddr::new(ip.to_canonical(), port));
            Ok((addresses.collect(), ttl))
        }
        Err(error) if error.is_no_records_found() || error.is_nx_domain() => Err(Unresolved::NoAddress),
        Err(error) => Err(Unresolved::Unanswered(error.to_string())),
    }
}

fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn default_port(transport: Transport) -> u16 {
    if transport == Transport::Tls { 5061 } else { 5060 }
}

/// Answers by question.
#[derive(Debug, Default)]
struct Remembered(HashMap<Question, (Looked, Instant)>);

impl Remembered {
    fn recall(&self, now: Instant, question: &Question) -> Option<Looked> {
        let (looked, until) = self.0.get(question)?;
        (*until > now).then(|| looked.clone())
    }

    /// Keeps an answer and gives back what it is worth: where the name servers are silent, what they said before.
    fn keep(&mut self, now: Instant, question: Question, looked: Fresh) -> Looked {
        let before = self.0.get(&question);
        let (looked, until) = match (looked, before) {
            (Ok((services, ttl)), _) => (Ok(services), now + ttl.clamp(TTL.0, TTL.1)),
            (Err(Unresolved::Unanswered(error)), Some((Ok(services), until))) if now < *until + STALE => {
                tracing::warn!(
                    host = question.host,
                    error,
                    "name servers do not answer; what they said before is used"
                );
                let (services, until) = (services.clone(), *until);
                return self.keep_until(now, question, Ok(services), until);
            }
            (Err(error), _) => (Err(error), now + NEGATIVE),
        };
        self.keep_until(now, question, looked, until)
    }

    fn keep_until(&mut self, now: Instant, question: Question, looked: Looked, until: Instant) -> Looked {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&question) {
            self.0.retain(|_, (_, until)| *until > now);
            if self.0.len() >= REMEMBERED {
                self.0.clear();
            }
        }
        self.0.insert(question, (looked.clone(), until));
        looked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(host: &str) -> Question {
        Question { host: host.to_owned(), port: None, transports: vec![Transport::Tls, Transport::Udp] }
    }

    fn service(address: &str) -> Vec<Service> {
        let addresses = vec![address.parse().unwrap()];
        vec![Service { transport: Transport::Udp, priority: 0, weight: 0, addresses }]
    }

    #[test]
    fn an_address_is_its_own_answer_on_the_preferred_transport() {
        let found = itself(&question("2001:db8::1")).unwrap().unwrap();
        assert_eq!(
            (found[0].transport, found[0].addresses.clone()),
            (Transport::Tls, vec!["[2001:db8::1]:5061".parse().unwrap()])
        );
        assert_eq!(itself(&question("pbx.example")), None);
    }

    #[test]
    fn an_answer_is_remembered_by_its_ttl_and_a_failure_for_half_a_minute() {
        let (now, mut remembered) = (Instant::now(), Remembered::default());
        let (good, long, bad) = (question("good"), question("long"), question("bad"));
        let day = Duration::from_secs(86_400);
        remembered.keep(now, good.clone(), Ok((service("192.0.2.1:5060"), Duration::ZERO))).unwrap();
        remembered.keep(now, long.clone(), Ok((service("192.0.2.2:5060"), day))).unwrap();
        remembered.keep(now, bad.clone(), Err(Unresolved::NoAddress)).unwrap_err();
        let knows =
            |after_ms, question| remembered.recall(now + Duration::from_millis(after_ms), question).is_some();
        assert!(knows(999, &good) && !knows(1000, &good));
        assert!(knows(3_599_999, &long) && !knows(3_600_000, &long));
        assert!(knows(29_999, &bad) && !knows(30_000, &bad));
    }

    #[test]
    fn while_name_servers_are_silent_an_answer_outlives_its_time_by_an_hour() {
        let (now, mut remembered) = (Instant::now(), Remembered::default());
        let silent = || Err(Unresolved::Unanswered("x".to_owned()));
        let asked = question("pbx");
        remembered.keep(now, asked.clone(), Ok((service("192.0.2.1:5060"), TTL.0))).unwrap();
        let later = now + STALE;
        assert_eq!(remembered.keep(later, asked.clone(), silent()), Ok(service("192.0.2.1:5060")));
        assert_eq!(remembered.recall(later, &asked), None, "it is asked anew each time");
        assert!(remembered.keep(later + TTL.0, asked.clone(), silent()).is_err());
        assert!(remembered.keep(now, asked.clone(), Err(Unresolved::NoAddress)).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (now, mut remembered) = (Instant::now(), Remembered::default());
        for n in 0..5000 {
            let _ = remembered.keep(now, question(&n.to_string()), Err(Unresolved::NoAddress));
        }
        assert!(remembered.0.len() <= REMEMBERED);
    }
}
