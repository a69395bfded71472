//! Asks name servers: both families at once, within a deadline of its own, and remembers by TTL (reliability R-74).
#![allow(clippy::disallowed_methods)] // a shell

mod carrier;

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverOpts};
use tokio::time::timeout;

pub use carrier::Carrier;

use super::Unknown;
use super::remembered::Remembered;

/// Everything about one name.
const DEADLINE: Duration = Duration::from_secs(2);
/// One packet to one name server.
const ONE_TRY: Duration = Duration::from_millis(900);
/// The system's configuration is read again after so long.
const CONFIGURED: Duration = Duration::from_secs(60);
/// Addresses of a name that are used.
const ADDRESSES: usize = 8;

/// Names and their addresses. No lock is held while a name server is waited for.
#[derive(Default)]
pub struct Names {
    resolver: Mutex<Option<(TokioResolver, Instant)>>,
    remembered: Mutex<Remembered>,
}

impl Names {
    /// The addresses of a host, both families by turns; an address is its own.
    ///
    /// # Errors
    /// There is none, or it is not known within the deadline.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unknown> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![ip]);
        }
        let name = host.to_ascii_lowercase();
        if let Some(known) = locked(&self.remembered).recall(Instant::now(), &name) {
            return known;
        }
        let resolver = self.resolver()?;
        let asked = timeout(DEADLINE, ask(&resolver, &name)).await;
        let found = asked.unwrap_or(Err(Unknown::TimedOut));
        let was_silent = found.as_ref().err().filter(|why| **why != Unknown::NoSuchHost).cloned();
        let worth = locked(&self.remembered).keep(Instant::now(), &name, found);
        if let (Some(error), Ok(_)) = (was_silent, &worth) {
            tracing::warn!(host = name, %error, "name servers do not answer; what they said before is used");
        }
        worth
    }

    fn resolver(&self) -> Result<TokioResolver, Unknown> {
        let (now, mut kept) = (Instant::now(), locked(&self.resolver));
        if let Some((resolver, since)) = &*kept
            && now.duration_since(*since) < CONFIGURED
        {
            return Ok(resolver.clone());
        }
        let resolver = resolver().map_err(|error| Unknown::Unanswered(error.to_string()))?;
        *kept = Some((resolver.clone(), now));
        Ok(resolver)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner) // each value is whole whatever panicked beside it
}

/// The system's. It remembers nothing: that is done here, by our bounds.
fn resolver() -> Result<TokioResolver, hickory_resolver::net::NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options: &mut ResolverOpts = builder.options_mut();
    (options.cache_size, options.timeout, options.attempts) = (0, ONE_TRY, 2);
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

async fn ask(resolver: &TokioResolver, name: &str) -> Result<(Vec<IpAddr>, Duration), Unknown> {
    match resolver.lookup_ip(name).await {
        Ok(found) => {
            let ttl = found.valid_until().saturating_duration_since(Instant::now());
            match by_turns(found.iter().collect()) {
                none if none.is_empty() => Err(Unknown::NoSuchHost),
                addresses => Ok((addresses, ttl)),
            }
        }
        Err(error) if error.is_no_records_found() || error.is_nx_domain() => Err(Unknown::NoSuchHost),
        Err(error) => Err(Unknown::Unanswered(error.to_string())),
    }
}

/// Both families by turns, the first one first (RFC 8305 §4).
fn by_turns(found: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v6 = found.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = found.into_iter().partition(|ip| ip.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] || all.len() >= ADDRESSES {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_its_own_and_the_machine_knows_itself() {
        let names = Names::default();
        assert_eq!(names.addresses("::1").await, Ok(vec![IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])]));
        let local = names.addresses("LocalHost").await.expect("the hosts file or the resolver knows it");
        assert!(!local.is_empty() && local.iter().all(IpAddr::is_loopback), "{local:?}");
    }

    #[test]
    fn families_take_turns() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let found = ["::1", "::2", "::3", "1.1.1.1"].map(ip).to_vec();
        assert_eq!(by_turns(found), ["::1", "1.1.1.1", "::2", "::3"].map(ip));
    }
}
