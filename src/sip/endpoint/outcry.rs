//! One log line for each refusal, and not more than ten a second for each cause (reliability R-131).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::sip::hop::Hop;

const LINES_A_SECOND: u32 = 10;

/// What was said lately.
#[derive(Debug, Default)]
pub(super) struct Outcry {
    said: HashMap<&'static str, Said>,
}

#[derive(Debug)]
struct Said {
    since: Instant,
    lines: u32,
    suppressed: u64,
}

impl Outcry {
    /// A message was refused with `status`, or dropped when there is none. `cause` is one of a fixed list.
    pub(super) fn refusal(&mut self, now: Instant, cause: &'static str, hop: Hop, status: Option<u16>) {
        let Some(suppressed) = self.may_say(now, cause) else { return };
        let (transport, source, status) = (hop.transport.as_str(), hop.remote, status.unwrap_or(0));
        tracing::info!(cause, transport, %source, status, suppressed, "SIP message refused");
    }

    /// How many lines were kept back before this one; nothing when this one is too.
    fn may_say(&mut self, now: Instant, cause: &'static str) -> Option<u64> {
        let said = self.said.entry(cause).or_insert(Said { since: now, lines: 0, suppressed: 0 });
        if now.duration_since(said.since) >= Duration::from_secs(1) {
            (said.since, said.lines) = (now, 0);
        }
        if said.lines >= LINES_A_SECOND {
            said.suppressed += 1;
            return None;
        }
        said.lines += 1;
        Some(std::mem::take(&mut said.suppressed))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for simulated time
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_line_of_a_second_is_kept_back_and_counted() {
        let (now, mut outcry) = (Instant::now(), Outcry::default());
        let said = (0..25).filter(|_| outcry.may_say(now, "stranger").is_some()).count();
        assert_eq!(said, 10);
        assert_eq!(outcry.may_say(now, "merged"), Some(0));
        assert_eq!(outcry.may_say(now + Duration::from_secs(1), "stranger"), Some(15));
    }
}
