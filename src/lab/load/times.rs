//! How long set-ups take, read off the messages themselves: from the first INVITE of a call to its 200.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::spread::Spread;
use crate::lab::caller::wire::call_id;
use crate::sip::io::{Trace, Traced};

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// INVITE to 200.
    pub setup: Spread,
    /// BYE to its 200.
    pub goodbye: Spread,
    /// Requests sent more than once.
    pub repeated: u64,
}

/// Requests under way, by method and Call-ID, and what was read of those that are answered.
#[derive(Default)]
pub(super) struct Times(Mutex<(HashMap<String, Instant>, Taken)>);

impl Times {
    pub(super) fn trace(self: &Arc<Self>) -> Trace {
        let times = Arc::clone(self);
        Arc::new(move |traced: Traced<'_>| times.see(traced.at, traced.sent, traced.bytes))
    }

    pub(super) fn taken(&self) -> Taken {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn see(&self, at: Instant, sent: bool, message: &[u8]) {
        let status = message.strip_prefix(b"SIP/2.0 ").and_then(|rest| rest.first().copied());
        let method = match (sent, status) {
            (true, None) => message.split(|&octet| octet == b' ').next().unwrap_or_default(),
            (false, Some(b'2'..=b'6')) => method_of(message),
            _ => return,
        };
        if method != b"INVITE" && method != b"BYE" {
            return;
        }
        let Some(name) = call_id(message) else { return };
        let key = format!("{}{name}", if method == b"BYE" { 'B' } else { 'I' });
        let (under_way, taken) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sent {
            let again = under_way.contains_key(&key);
            taken.repeated += u64::from(again);
            under_way.entry(key).or_insert(at);
            return;
        }
        // A challenge is answered by the same request again: the time goes on.
        if message.starts_with(b"SIP/2.0 401") || message.starts_with(b"SIP/2.0 407") {
            return;
        }
        let Some(began) = under_way.remove(&key) else { return };
        let took = u64::try_from(at.saturating_duration_since(began).as_micros()).unwrap_or(u64::MAX);
        match (status, method) {
            (Some(b'2'), b"INVITE") => taken.setup.add(took),
            (Some(b'2'), _) => taken.goodbye.add(took),
            _ => {}
        }
    }
}

/// The method of the CSeq of an answer.
fn method_of(message: &[u8]) -> &[u8] {
    let lines = message.split(|&octet| octet == b'\n').take_while(|line| !line.is_empty() && *line != b"\r");
    let is_cseq = |line: &&[u8]| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"cseq:"));
    let line = lines.into_iter().find(is_cseq).unwrap_or_default();
    line.trim_ascii().rsplit(|&octet| octet == b' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_set_up_lasts_from_the_first_invite_to_its_200() {
        let (times, start) = (Times::default(), Instant::now());
        let see = |ms, sent, line: &str, cseq: &str| {
            let text = format!("{line}\r\nCall-ID: a\r\nCSeq: {cseq}\r\n\r\n");
            times.see(start + Duration::from_millis(ms), sent, text.as_bytes());
        };
        see(0, true, "INVITE sip:1@a SIP/2.0", "1 INVITE");
        see(1, false, "SIP/2.0 100 Trying", "1 INVITE");
        see(2, false, "SIP/2.0 401 Unauthorized", "1 INVITE");
        see(3, true, "INVITE sip:1@a SIP/2.0", "2 INVITE");
        see(9, false, "SIP/2.0 200 OK", "2 INVITE");
        see(10, false, "SIP/2.0 200 OK", "2 INVITE");
        see(20, true, "BYE sip:1@a SIP/2.0", "3 BYE");
        see(24, false, "SIP/2.0 200 OK", "3 BYE");
        let taken = times.taken();
        assert_eq!((taken.setup.count(), taken.setup.worst()), (1, 9.0));
        assert_eq!((taken.goodbye.count(), taken.goodbye.worst(), taken.repeated), (1, 4.0, 1));
    }

    #[test]
    fn a_refusal_is_no_set_up() {
        let (times, now) = (Times::default(), Instant::now());
        times.see(now, true, b"INVITE sip:1@a SIP/2.0\r\nCall-ID: a\r\nCSeq: 1 INVITE\r\n\r\n");
        times.see(now, false, b"SIP/2.0 503 Full\r\ni: a\r\nCSeq: 1 INVITE\r\n\r\n");
        assert_eq!(times.taken().setup.count(), 0);
    }
}
