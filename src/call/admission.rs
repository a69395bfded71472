//! Who may come in: calls at once and calls a second, of the node and of a trunk, and streams of the node and of an
//! account; and which bots are left alone (`breaker`). A permit is given back by being dropped.
//!
//! One lock, held for a few table look-ups on the control plane; no media core ever comes here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::breaker::Breakers;
use crate::ids::TrunkId;

/// How much the node takes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Calls at once.
    pub calls: u32,
    /// New calls a second.
    pub calls_per_second: u32,
    /// Streams at once.
    pub streams: u32,
    /// Streams at once of an account.
    pub account_streams: HashMap<String, u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 5000, calls_per_second: 200, streams: 5000, account_streams: HashMap::new() }
    }
}

/// Why a call or a stream is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Full {
    /// `limits.calls`.
    NodeCalls,
    /// `limits.calls_per_second`.
    NodeRate,
    /// `max_calls` of the trunk.
    TrunkCalls,
    /// `max_cps` of the trunk.
    TrunkRate,
    /// The node is draining.
    Draining,
    /// `limits.streams`.
    NodeStreams,
    /// `max_streams` of the account.
    AccountStreams,
}

impl Full {
    /// The word in log, metric and CDR.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::NodeCalls => "limit_calls",
            Self::NodeRate => "limit_rate",
            Self::TrunkCalls => "trunk_limit_calls",
            Self::TrunkRate => "trunk_limit_rate",
            Self::Draining => "draining",
            Self::NodeStreams => "limit_streams",
            Self::AccountStreams => "account_limit_streams",
        }
    }
}

/// A rate: so many a second, all of them at once if nothing came for a second.
#[derive(Debug)]
struct Bucket {
    per_second: u32,
    /// When the bucket would be full again, if nothing more came (generic cell rate algorithm).
    full_at: Option<Instant>,
}

impl Bucket {
    fn new(per_second: u32) -> Self {
        Self { per_second, full_at: None }
    }

    fn has_room(&self, now: Instant) -> bool {
        self.per_second > 0 && self.full_at.is_none_or(|at| at + self.each() <= now + Duration::from_secs(1))
    }

    fn take(&mut self, now: Instant) {
        let from = self.full_at.map_or(now, |at| at.max(now));
        self.full_at = Some(from + self.each());
    }

    fn each(&self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }
}

#[derive(Debug)]
struct TrunkUse {
    name: String,
    calls: u32,
    max_calls: Option<u32>,
    rate: Option<Bucket>,
}

#[derive(Debug)]
struct Use {
    limits: Limits,
    draining: bool,
    calls: u32,
    streams: u32,
    rate: Bucket,
    trunks: Vec<TrunkUse>,
    accounts: HashMap<String, u32>,
}

/// The door of the node; cloned, it is the same door.
#[derive(Clone, Debug)]
pub struct Admission {
    used: Arc<Mutex<Use>>,
    breakers: Breakers,
}

/// What is in use, for the gauges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    /// Calls of each trunk by name.
    pub calls: Vec<(String, u32)>,
    /// Streams of each account.
    pub streams: Vec<(String, u32)>,
    /// All calls.
    pub all_calls: u32,
    /// All streams.
    pub all_streams: u32,
    /// `limits.calls`.
    pub calls_limit: u32,
    /// `limits.streams`.
    pub streams_limit: u32,
    /// Whether new calls are refused because the node drains.
    pub draining: bool,
}

impl Admission {
    /// An open door: name, `max_calls` and `max_cps` of each trunk by `TrunkId`.
    pub fn new(limits: Limits, trunks: impl IntoIterator<Item = (String, Option<u32>, Option<u32>)>) -> Self {
        let trunks = trunks
            .into_iter()
            .map(|(name, max_calls, max_cps)| TrunkUse {
                name,
                calls: 0,
                max_calls,
                rate: max_cps.map(Bucket::new),
            })
            .collect();
        let used = Use {
            rate: Bucket::new(limits.calls_per_second),
            limits,
            draining: false,
            calls: 0,
            streams: 0,
            trunks,
            accounts: HashMap::new(),
        };
        Self { used: Arc::new(Mutex::new(used)), breakers: Breakers::default() }
    }

    /// The bots' breakers.
    pub fn breakers(&self) -> &Breakers {
        &self.breakers
    }

    fn lock(&self) -> MutexGuard<'_, Use> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner) // counters stay whole whatever panicked beside them
    }

    /// Lets one call in.
    ///
    /// # Errors
    /// Says which limit is reached; nothing is counted then.
    pub fn call(&self, now: Instant, trunk: TrunkId) -> Result<CallPermit, Full> {
        let mut guard = self.lock();
        let all = &mut *guard;
        if all.draining {
            return Err(Full::Draining);
        }
        if all.calls >= all.limits.calls {
            return Err(Full::NodeCalls);
        }
        if !all.rate.has_room(now) {
            return Err(Full::NodeRate);
        }
        if let Some(own) = all.trunks.get_mut(usize::from(trunk.0)) {
            if own.max_calls.is_some_and(|max| own.calls >= max) {
                return Err(Full::TrunkCalls);
            }
            if own.rate.as_ref().is_some_and(|rate| !rate.has_room(now)) {
                return Err(Full::TrunkRate);
            }
            own.calls += 1;
            if let Some(rate) = &mut own.rate {
                rate.take(now);
            }
        }
        all.rate.take(now);
        all.calls += 1;
        drop(guard);
        Ok(CallPermit { door: self.clone(), trunk })
    }

    /// Lets one stream of an account begin (agentstream.md section 2).
    ///
    /// # Errors
    /// Says which limit is reached.
    pub fn stream(&self, account: &str) -> Result<StreamPermit, Full> {
        let mut all = self.lock();
        if all.streams >= all.limits.streams {
            return Err(Full::NodeStreams);
        }
        let own = all.accounts.get(account).copied().unwrap_or(0);
        if all.limits.account_streams.get(account).is_some_and(|&max| own >= max) {
            return Err(Full::AccountStreams);
        }
        all.streams += 1;
        *all.accounts.entry(account.to_owned()).or_default() += 1;
        drop(all);
        Ok(StreamPermit { door: self.clone(), account: account.to_owned() })
    }

    /// Counts by these limits from now on; a trunk keeps its place, and what is in use stays in use.
    pub fn set_limits(
        &self,
        limits: Limits,
        trunks: impl IntoIterator<Item = (String, Option<u32>, Option<u32>)>,
    ) {
        let mut all = self.lock();
        if limits.calls_per_second != all.limits.calls_per_second {
            all.rate = Bucket::new(limits.calls_per_second);
        }
        all.limits = limits;
        for (place, (name, max_calls, max_cps)) in trunks.into_iter().enumerate() {
            let Some(own) = all.trunks.get_mut(place) else {
                all.trunks.push(TrunkUse { name, calls: 0, max_calls, rate: max_cps.map(Bucket::new) });
                continue;
            };
            if own.rate.as_ref().map(|rate| rate.per_second) != max_cps {
                own.rate = max_cps.map(Bucket::new);
            }
            (own.name, own.max_calls) = (name, max_calls);
        }
    }

    /// From now on new calls are refused (or taken again).
    pub fn drain(&self, draining: bool) {
        self.lock().draining = draining;
    }

    /// What is in use.
    pub fn in_use(&self) -> InUse {
        let all = self.lock();
        InUse {
            calls: all.trunks.iter().map(|trunk| (trunk.name.clone(), trunk.calls)).collect(),
            streams: all.accounts.iter().map(|(account, n)| (account.clone(), *n)).collect(),
            all_calls: all.calls,
            all_streams: all.streams,
            calls_limit: all.limits.calls,
            streams_limit: all.limits.streams,
            draining: all.draining,
        }
    }
}

/// One call's place.
#[derive(Debug)]
pub struct CallPermit {
    door: Admission,
    trunk: TrunkId,
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let mut all = self.door.lock();
        all.calls = all.calls.saturating_sub(1);
        if let Some(own) = all.trunks.get_mut(usize::from(self.trunk.0)) {
            own.calls = own.calls.saturating_sub(1);
        }
    }
}

/// One stream's place.
#[derive(Debug)]
pub struct StreamPermit {
    door: Admission,
    account: String,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut all = self.door.lock();
        all.streams = all.streams.saturating_sub(1);
        if let Some(own) = all.accounts.get_mut(&self.account) {
            *own = own.saturating_sub(1);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test begins somewhere in time
mod tests {
    use super::*;

    fn door(limits: Limits, max_calls: Option<u32>, max_cps: Option<u32>) -> Admission {
        Admission::new(limits, [("pbx".to_owned(), max_calls, max_cps)])
    }

    #[test]
    fn a_permit_is_given_back_by_being_dropped() {
        let (now, door) = (Instant::now(), door(Limits { calls: 1, ..Limits::default() }, None, None));
        let permit = door.call(now, TrunkId(0)).unwrap();
        assert_eq!(door.call(now, TrunkId(0)).unwrap_err(), Full::NodeCalls);
        drop(permit);
        assert!(door.call(now, TrunkId(0)).is_ok());
        assert_eq!(door.in_use().all_calls, 0);
    }

    #[test]
    fn a_rate_lets_a_second_s_worth_in_and_then_one_at_a_time() {
        let (now, door) = (Instant::now(), door(Limits::default(), None, Some(10)));
        let taken = (0..20).filter(|_| door.call(now, TrunkId(0)).is_ok()).count();
        assert_eq!(taken, 10);
        assert_eq!(door.call(now, TrunkId(0)).unwrap_err(), Full::TrunkRate);
        let later = now + Duration::from_millis(100);
        assert!(door.call(later, TrunkId(0)).is_ok());
        assert!(door.call(later, TrunkId(0)).is_err());
        assert!(
            (0..20).filter(|_| door.call(now + Duration::from_secs(60), TrunkId(0)).is_ok()).count() == 10
        );
    }

    #[test]
    fn a_refused_call_counts_nothing() {
        let (now, door) = (Instant::now(), door(Limits::default(), Some(0), None));
        assert_eq!(door.call(now, TrunkId(0)).unwrap_err(), Full::TrunkCalls);
        assert_eq!(door.in_use().all_calls, 0);
        door.drain(true);
        assert_eq!(door.call(now, TrunkId(0)).unwrap_err(), Full::Draining);
    }

    #[test]
    fn new_limits_hold_for_what_comes_and_what_is_in_use_stays_counted() {
        let (now, door) = (Instant::now(), door(Limits::default(), Some(5), None));
        let [one, _two] = [0, 0].map(|_| door.call(now, TrunkId(0)).unwrap());
        let trunks = [("pbx".to_owned(), Some(2), None), ("sbc".to_owned(), None, Some(1))];
        door.set_limits(Limits { calls: 3, ..Limits::default() }, trunks);
        assert_eq!(door.call(now, TrunkId(0)).unwrap_err(), Full::TrunkCalls);
        let _three = door.call(now, TrunkId(1)).unwrap();
        assert_eq!(door.call(now, TrunkId(1)).unwrap_err(), Full::NodeCalls);
        drop(one);
        assert_eq!(door.call(now, TrunkId(1)).unwrap_err(), Full::TrunkRate);
        assert_eq!(door.in_use().calls, [("pbx".to_owned(), 1), ("sbc".to_owned(), 1)]);
    }

    #[test]
    fn streams_are_counted_by_account() {
        let limits =
            Limits { streams: 2, account_streams: HashMap::from([("a".to_owned(), 1)]), ..Limits::default() };
        let door = door(limits, None, None);
        let first = door.stream("a").unwrap();
        assert_eq!(door.stream("a").unwrap_err(), Full::AccountStreams);
        let _other = door.stream("b").unwrap();
        assert_eq!(door.stream("c").unwrap_err(), Full::NodeStreams);
        drop(first);
        assert!(door.stream("a").is_ok());
    }
}
