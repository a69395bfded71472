//! Bots that cannot be had again and again are left alone for a while: a breaker a bot, shared by all calls.
//!
//! ```text
//!          failures in a row               rest is over: one call tries
//!   closed ────────────────► open ────────────────────────────────────► half-open
//!     ▲                       ▲ └──── rest is over, nobody came back ◄──────┤ │
//!     │                       └──────────────── it failed ──────────────────┘ │
//!     └──────────────────────────────── it came up ───────────────────────────┘
//! ```
//!
//! One lock, held for a look-up on the control plane; no media core ever comes here.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::fetch::HttpUrl;
use crate::stream::{BotUrl, Config};
use crate::telemetry::metrics;

/// A bot as its breaker knows it: scheme, host, port and path. What may be secret or differ from call to call, user
/// info and query, is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(String);

impl Address {
    /// Where this URL leads.
    pub fn of(url: &BotUrl) -> Self {
        let scheme = if url.secure() { "wss" } else { "ws" };
        let path = url.target().split('?').next().unwrap_or_default();
        Self::at(scheme, (url.host(), url.port()), path)
    }

    /// Of a bot that is asked for at this URL: it stands for whatever it answers with.
    pub fn of_web(url: &HttpUrl) -> Self {
        let scheme = if url.secure() { "https" } else { "http" };
        Self::at(scheme, (url.place().host(), url.place().port()), url.path())
    }

    fn at(scheme: &str, (host, port): (&str, u16), path: &str) -> Self {
        let host = host.to_ascii_lowercase();
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Self(format!("{scheme}://{host}:{port}{path}"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a bot is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is called as usual.
    Closed,
    /// One call tries it.
    HalfOpen,
    /// It is passed over where there is another.
    Open,
}

impl State {
    /// Value of the gauge.
    const fn level(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// The bot came up.
    CameUp,
    /// It could not be had.
    Failed,
    /// The caller did not wait for it: nothing is known.
    GivenUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaker {
    /// So many failures in a row, fewer than it takes.
    Closed { failures: u32 },
    /// Left alone until then.
    Open { until: Instant },
    /// One call tries; if nothing is heard of it until then, another may.
    HalfOpen { until: Instant },
}

impl Breaker {
    fn state(self) -> State {
        match self {
            Self::Closed { .. } => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// A call would try it; false: it had better not.
    fn asked(&mut self, now: Instant, rest: Duration) -> bool {
        match *self {
            Self::Closed { .. } => true,
            Self::Open { until } | Self::HalfOpen { until } if until <= now => {
                *self = Self::HalfOpen { until: now + rest };
                true
            }
            Self::Open { .. } | Self::HalfOpen { .. } => false,
        }
    }

    fn told(self, now: Instant, config: &Config, what: Try) -> Self {
        match (self, what) {
            (_, Try::CameUp) => Self::Closed { failures: 0 },
            (Self::Closed { failures }, Try::Failed) if failures + 1 < config.breaker_failures => {
                Self::Closed { failures: failures + 1 }
            }
            (Self::Closed { .. } | Self::HalfOpen { .. }, Try::Failed) => {
                Self::Open { until: now + config.breaker_rest }
            }
            (Self::HalfOpen { .. }, Try::GivenUp) => Self::Open { until: now }, // the next call tries
            (as_it_was, Try::Failed | Try::GivenUp) => as_it_was,
        }
    }
}

/// The breakers of all bots; cloned, they are the same. Only bots that failed are kept.
#[derive(Clone, Debug, Default)]
pub struct Breakers(Arc<Mutex<HashMap<Address, Breaker>>>);

impl Breakers {
    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // every entry is whole whatever panicked beside it
    }

    /// Whether a call should try this bot now. Where the rest is over this call is the one that tries.
    pub fn admits(&self, now: Instant, config: &Config, bot: &Address) -> bool {
        let mut all = self.lock();
        let Some(breaker) = all.get_mut(bot) else { return true };
        let before = breaker.state();
        let admits = breaker.asked(now, config.breaker_rest);
        changed(bot, before, breaker.state());
        admits
    }

    /// What became of a call's try.
    pub fn tell(&self, now: Instant, config: &Config, bot: &Address, what: Try) {
        let mut all = self.lock();
        let before = match all.get(bot) {
            Some(breaker) => *breaker,
            None if what == Try::Failed => Breaker::Closed { failures: 0 },
            None => return, // as it should be
        };
        let after = before.told(now, config, what);
        match after {
            Breaker::Closed { failures: 0 } => drop(all.remove(bot)),
            after => drop(all.insert(bot.clone(), after)),
        }
        changed(bot, before.state(), after.state());
    }

    /// How this bot is met.
    pub fn state(&self, bot: &Address) -> State {
        self.lock().get(bot).map_or(State::Closed, |breaker| breaker.state())
    }

    /// Forgets every bot but these.
    pub fn keep(&self, bots: &[String]) {
        self.lock().retain(|bot, _| {
            let stays = bots.contains(&bot.0);
            if !stays {
                metrics::stream_breaker(&bot.0, State::Closed.level());
            }
            stays
        });
    }
}

/// Told under the lock, so that the gauge ends as the breaker does.
fn changed(bot: &Address, before: State, after: State) {
    if before == after {
        return;
    }
    metrics::stream_breaker(&bot.0, after.level());
    match after {
        State::Closed => tracing::info!(%bot, "the bot is there again"),
        State::HalfOpen => tracing::info!(%bot, "one call tries the bot"),
        State::Open => {
            tracing::warn!(%bot, cause = "breaker_open", "the bot is left alone: it could not be had again and again");
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test begins somewhere in time
mod tests {
    use super::*;

    struct World {
        now: Instant,
        config: Config,
        all: Breakers,
        bot: Address,
    }

    fn world() -> World {
        let config =
            Config { breaker_failures: 3, breaker_rest: Duration::from_secs(30), ..Config::default() };
        World {
            now: Instant::now(),
            config,
            all: Breakers::default(),
            bot: address("wss://bot.example.com/"),
        }
    }

    fn address(url: &str) -> Address {
        Address::of(&BotUrl::parse(url).expect("a URL"))
    }

    impl World {
        fn admits(&self) -> bool {
            self.all.admits(self.now, &self.config, &self.bot)
        }

        fn tell(&self, what: Try) -> State {
            self.all.tell(self.now, &self.config, &self.bot, what);
            self.all.state(&self.bot)
        }

        /// Open, and its rest is over.
        fn rested(mut self) -> Self {
            for _ in 0..3 {
                self.tell(Try::Failed);
            }
            assert!(!self.admits());
            self.now += self.config.breaker_rest;
            self
        }
    }

    #[test]
    fn a_bot_is_where_it_leads_and_not_who_calls_it() {
        let bot = address("wss://key:secret@Bot.example.com/media?sample-rate=16000&who=me");
        assert_eq!(bot.to_string(), "wss://bot.example.com:443/media");
        assert_eq!(bot, address("wss://bot.example.com:443/media?x=1"));
        assert_ne!(bot, address("ws://bot.example.com:443/media"));
        assert_ne!(bot, address("wss://bot.example.com/other"));
        assert_eq!(address("ws://[2001:db8::1]").to_string(), "ws://[2001:db8::1]:80/");
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let world = world();
        for what in [Try::Failed, Try::Failed, Try::CameUp, Try::Failed, Try::GivenUp, Try::Failed] {
            assert_eq!(world.tell(what), State::Closed);
        }
        assert!(world.admits());
        assert_eq!(world.tell(Try::Failed), State::Open);
        assert!(!world.admits());
    }

    #[test]
    fn after_its_rest_one_call_tries_and_closes_it() {
        let world = world().rested();
        assert!(world.admits());
        assert_eq!(world.all.state(&world.bot), State::HalfOpen);
        assert!(!world.admits(), "one is enough");
        assert_eq!(world.tell(Try::CameUp), State::Closed);
        assert!(world.admits());
        assert_eq!(world.tell(Try::Failed), State::Closed, "it counts from the beginning again");
    }

    #[test]
    fn a_try_that_fails_begins_another_rest() {
        let mut world = world().rested();
        assert!(world.admits());
        assert_eq!(world.tell(Try::Failed), State::Open);
        world.now += world.config.breaker_rest - Duration::from_millis(1);
        assert!(!world.admits());
        world.now += Duration::from_millis(1);
        assert!(world.admits());
    }

    #[test]
    fn a_caller_who_does_not_wait_leaves_the_try_to_the_next() {
        let mut world = world().rested();
        assert!(world.admits());
        assert_eq!(world.tell(Try::GivenUp), State::Open);
        assert!(world.admits());
        // and one of whom nothing is heard any more holds it for one rest
        world.now += world.config.breaker_rest;
        assert!(world.admits());
    }

    #[test]
    fn a_call_that_tries_an_open_bot_all_the_same_prolongs_nothing() {
        let mut world = world().rested();
        world.now -= Duration::from_secs(1);
        assert_eq!(world.tell(Try::Failed), State::Open);
        world.now += Duration::from_secs(1);
        assert!(world.admits());
    }

    #[test]
    fn bots_that_stay_keep_their_state_and_others_are_forgotten() {
        let world = world().rested();
        world.all.keep(&[world.bot.to_string()]);
        assert_eq!(world.all.state(&world.bot), State::Open);
        world.all.keep(&["wss://other.example.com:443/".to_owned()]);
        assert_eq!(world.all.state(&world.bot), State::Closed);
    }
}
