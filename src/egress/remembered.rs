//! Addresses of names, kept as long as they may be (reliability R-74).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// There is no such name, or it has no address.
    #[error("no such host")]
    NoSuchHost,
    /// No name server answered in time.
    #[error("i/o timeout")]
    TimedOut,
    /// The name servers cannot say, or cannot be asked.
    #[error("{0}")]
    Unanswered(String),
}

/// Answers hold so long at least and at most; that there is no such name, so long.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
const NEGATIVE: Duration = Duration::from_secs(5);
/// While the name servers are silent an answer is used so long beyond its time.
const STALE: Duration = Duration::from_secs(3600);
/// Names that are kept.
const NAMES: usize = 1024;

/// What was found, or that there is nothing.
type Kept = Option<Vec<IpAddr>>;

/// Names and their addresses.
#[derive(Debug, Default)]
pub(super) struct Remembered(HashMap<String, (Kept, Instant)>);

impl Remembered {
    /// What is known of a name, in lower case, and still holds.
    pub(super) fn recall(&self, now: Instant, name: &str) -> Option<Result<Vec<IpAddr>, Unknown>> {
        let (kept, until) = self.0.get(name)?;
        (*until > now).then(|| kept.clone().ok_or(Unknown::NoSuchHost))
    }

    /// Keeps an answer and gives back what it is worth: where the name servers are silent, what they said before.
    pub(super) fn keep(
        &mut self,
        now: Instant,
        name: &str,
        found: Result<(Vec<IpAddr>, Duration), Unknown>,
    ) -> Result<Vec<IpAddr>, Unknown> {
        match found {
            Ok((addresses, ttl)) => {
                self.put(now, name, Some(addresses.clone()), now + ttl.clamp(TTL.0, TTL.1));
                Ok(addresses)
            }
            Err(Unknown::NoSuchHost) => {
                self.put(now, name, None, now + NEGATIVE);
                Err(Unknown::NoSuchHost)
            }
            Err(silent) => match self.0.get(name) {
                Some((Some(addresses), until)) if now < *until + STALE => Ok(addresses.clone()),
                _ => Err(silent),
            },
        }
    }

    fn put(&mut self, now: Instant, name: &str, kept: Kept, until: Instant) {
        if self.0.len() >= NAMES && !self.0.contains_key(name) {
            self.0.retain(|_, (_, until)| *until > now);
            if self.0.len() >= NAMES {
                self.0.clear();
            }
        }
        self.0.insert(name.to_owned(), (kept, until));
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // any beginning will do: only differences are looked at
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ttl: Duration) -> Result<(Vec<IpAddr>, Duration), Unknown> {
        Ok((vec![IpAddr::from([192, 0, 2, 1])], ttl))
    }

    #[test]
    fn an_answer_holds_by_its_ttl_and_no_answer_for_five_seconds() {
        let (now, mut names) = (Instant::now(), Remembered::default());
        names.keep(now, "short", at(Duration::ZERO)).expect("an address");
        names.keep(now, "long", at(24 * TTL.1)).expect("an address");
        names.keep(now, "none", Err(Unknown::NoSuchHost)).expect_err("none");
        let knows = |after, name| names.recall(now + after, name).is_some();
        assert!(knows(TTL.0 - MS, "short") && !knows(TTL.0, "short"));
        assert!(knows(TTL.1 - MS, "long") && !knows(TTL.1, "long"));
        assert!(knows(NEGATIVE - MS, "none") && !knows(NEGATIVE, "none"));
    }

    #[test]
    fn while_name_servers_are_silent_an_answer_outlives_its_time_by_an_hour() {
        let (now, mut names) = (Instant::now(), Remembered::default());
        names.keep(now, "bot", at(TTL.0)).expect("an address");
        let silent = |names: &mut Remembered, after| names.keep(now + after, "bot", Err(Unknown::TimedOut));
        assert!(silent(&mut names, STALE).is_ok());
        assert_eq!(names.recall(now + STALE, "bot"), None, "it is asked anew each time");
        assert_eq!(silent(&mut names, STALE + TTL.0), Err(Unknown::TimedOut));
        assert_eq!(names.keep(now, "bot", Err(Unknown::NoSuchHost)), Err(Unknown::NoSuchHost));
        assert_eq!(silent(&mut names, MS), Err(Unknown::TimedOut), "what is gone is not used");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (now, mut names) = (Instant::now(), Remembered::default());
        for n in 0..5000 {
            names.keep(now, &n.to_string(), at(TTL.1)).expect("an address");
        }
        assert!(names.0.len() <= NAMES);
    }
}
