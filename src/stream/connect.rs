//! How often and how long we try to reach a bot (agentstream.md section 2, reliability R-60), and what is said when it fails.

use std::time::{Duration, Instant};

use super::{BotUrl, Config, StreamError};

/// DNS, TCP and TLS of one attempt together.
pub const SETUP: Duration = Duration::from_secs(4);
/// Between two attempts.
pub const PAUSE: Duration = Duration::from_millis(250);

/// The attempts of one stream: one budget of time, at most one retry.
#[derive(Clone, Debug)]
pub struct Attempts {
    began: Instant,
    until: Instant,
    left: u8,
    made: u8,
}

/// The deadlines of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// DNS, TCP and TLS are done.
    pub setup: Instant,
    /// The upgrade is answered: the end of the budget.
    pub answer: Instant,
}

impl Attempts {
    /// The first attempt is about to begin.
    pub fn new(config: &Config, now: Instant) -> Self {
        Self {
            began: now,
            until: now + config.connect_timeout,
            left: 1 + config.connect_retries.min(1),
            made: 0,
        }
    }

    /// An attempt begins.
    pub fn begin(&mut self, now: Instant) -> Deadlines {
        self.left = self.left.saturating_sub(1);
        self.made += 1;
        Deadlines { setup: (now + SETUP).min(self.until), answer: self.until }
    }

    /// An attempt failed: when the next begins, if there is one.
    pub fn failed(&self, now: Instant, failure: &Failure) -> Option<Instant> {
        let next = now + PAUSE;
        (self.left > 0 && next < self.until && failure.may_pass()).then_some(next)
    }

    /// How many attempts were begun.
    pub fn made(&self) -> u8 {
        self.made
    }

    /// Since the first began.
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

/// Why one attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The name leads nowhere.
    Lookup(String),
    /// The name was not answered in time.
    LookupTimeout,
    /// No address may be connected to.
    Forbidden(&'static str),
    /// TCP said no.
    Dial(String),
    /// TCP was refused.
    Refused,
    /// TCP said nothing.
    DialTimeout,
    /// TLS; the cause is a stable word.
    Tls {
        /// `tls`, `tls_expired`, `tls_name`, `tls_issuer`.
        cause: &'static str,
        /// For humans.
        reason: String,
    },
    /// TLS said nothing.
    TlsTimeout,
    /// The upgrade was answered, and not with 101.
    Status(u16),
    /// The answer to the upgrade was none of the protocol.
    Handshake(String),
    /// The budget of all attempts is used up.
    Budget(Duration),
}

impl Failure {
    /// Whether another attempt may go better: our own rules do not change within seconds.
    fn may_pass(&self) -> bool {
        !matches!(self, Self::Forbidden(_) | Self::Budget(_))
    }

    /// As agentstream.md section 11 prints it.
    pub fn error(&self, url: &BotUrl) -> StreamError {
        let (host, port) = (url.host(), url.port());
        let dial = |what: &str| match host.contains(':') {
            true => format!("dial tcp [{host}]:{port}: {what}"),
            false => format!("dial tcp {host}:{port}: {what}"),
        };
        let (cause, reason) = match self {
            Self::Lookup(reason) => ("dns", format!("lookup {host}: {reason}")),
            Self::LookupTimeout => ("dns", format!("lookup {host}: i/o timeout")),
            Self::Forbidden(reason) => ("forbidden", dial(reason)),
            Self::Dial(reason) => ("dial", dial(&format!("connect: {reason}"))),
            Self::Refused => ("refused", dial("connect: connection refused")),
            Self::DialTimeout => ("timeout", dial("i/o timeout")),
            Self::Tls { cause, reason } => (*cause, format!("tls: {reason}")),
            Self::TlsTimeout => ("timeout", "tls: handshake timeout".to_owned()),
            Self::Status(status) => ("status", format!("unexpected status {status}")),
            Self::Handshake(reason) => ("handshake", format!("bad handshake: {reason}")),
            Self::Budget(budget) => ("timeout", format!("timeout after {}s", budget.as_secs_f64())),
        };
        StreamError::Connect { reason: one_line(&reason, 200), cause }
    }
}

/// One line without control characters, of at most `limit` octets: fit for an `Error` and a log.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + c.len_utf8() > limit {
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // any instant will do: only differences are looked at
    use super::*;

    fn began() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_refused_bot_is_tried_exactly_twice() {
        let now = began();
        let mut attempts = Attempts::new(&Config::default(), now);
        attempts.begin(now);
        let again = attempts.failed(now, &Failure::Refused).expect("one retry");
        assert_eq!(again - now, PAUSE);
        attempts.begin(again);
        assert_eq!(attempts.failed(again, &Failure::Refused), None);
        assert_eq!(attempts.made(), 2);
    }

    #[test]
    fn a_lost_packet_leaves_room_for_the_second_attempt_within_the_budget() {
        let now = began();
        let mut attempts = Attempts::new(&Config::default(), now);
        let first = attempts.begin(now);
        assert_eq!((first.setup - now, first.answer - now), (SETUP, Duration::from_secs(10)));
        let again = attempts.failed(first.setup, &Failure::DialTimeout).expect("one retry");
        let second = attempts.begin(again);
        assert_eq!(second.setup - now, 2 * SETUP + PAUSE);
        assert_eq!(second.answer, first.answer);
    }

    #[test]
    fn the_budget_ends_it_all() {
        let now = began();
        let config = Config { connect_timeout: Duration::from_secs(3), ..Config::default() };
        let mut attempts = Attempts::new(&config, now);
        assert_eq!(attempts.begin(now).setup - now, Duration::from_secs(3));
        let late = now + Duration::from_millis(2800);
        assert_eq!(attempts.failed(late, &Failure::Status(503)), None);
        assert_eq!(attempts.failed(now, &Failure::Budget(config.connect_timeout)), None);
    }

    #[test]
    fn errors_read_as_the_table_says() {
        let url = BotUrl::parse("wss://key:secret@bot.example.com/x").expect("a URL");
        let text = |failure: Failure| failure.error(&url).to_string();
        let said = "3009 failed to establish ws conn: ";
        let refused = "dial tcp bot.example.com:443: connect: connection refused";
        assert_eq!(text(Failure::Refused), format!("{said}{refused}"));
        let unknown = Failure::Lookup("no such host".into());
        assert_eq!(text(unknown), format!("{said}lookup bot.example.com: no such host"));
        assert_eq!(text(Failure::Status(403)), format!("{said}unexpected status 403"));
        assert_eq!(text(Failure::Budget(Duration::from_secs(10))), format!("{said}timeout after 10s"));
        let long = Failure::Handshake("ü\r\n".repeat(300));
        assert!(text(long.clone()).len() <= 256 && !text(long).contains('\n'));
    }
}
