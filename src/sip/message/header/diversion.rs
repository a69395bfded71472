//! Diversion (RFC 5806) and History-Info (RFC 7044): who sent the call on to us. Read into the call
//! record; no effect on routing.

use super::{IllFormed, NameAddr};
use crate::sip::message::Message;
use crate::telemetry::metrics;

/// One who sent the call on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    /// Who.
    pub who: NameAddr,
    /// Why: `unconditional`, `user-busy`, `no-answer`, ...
    pub reason: Option<String>,
}

/// Every entry of Diversion that can be read; the first is who diverted last.
pub fn diversions(message: &Message) -> Vec<Diversion> {
    entries(message, "Diversion")
        .map(|who| Diversion { reason: who.param("reason").map(str::to_owned), who })
        .collect()
}

/// Every entry of History-Info that can be read, oldest first.
pub fn history(message: &Message) -> Vec<NameAddr> {
    entries(message, "History-Info").collect()
}

/// A bad entry counts as absent (reliability R-15).
fn entries<'a>(message: &'a Message, name: &'a str) -> impl Iterator<Item = NameAddr> + 'a {
    message.list_octets(name).into_iter().filter_map(|entry| match NameAddr::parse(&entry) {
        Ok(entry) => Some(entry),
        Err(IllFormed) => {
            metrics::repair("optional_header");
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::header::invite_with;

    #[test]
    fn the_first_diverted_last() {
        let message = invite_with(
            "Diversion: <sip:2@h>;reason=user-busy, <tel:+1>;reason=\"no-answer\"\r\nDiversion: broken\r\n\
             History-Info: <sip:71506@h>;index=1, \"x\" <sip:7@h>;index=1.1\r\n",
        );
        let found: Vec<_> =
            diversions(&message).into_iter().map(|d| (d.who.uri.user_part(), d.reason.unwrap())).collect();
        assert_eq!(
            found,
            [("2".to_owned(), "user-busy".to_owned()), ("+1".to_owned(), "no-answer".to_owned())]
        );
        assert_eq!(history(&message).len(), 2);
    }
}
