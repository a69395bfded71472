//! Who calls and who is called (sip-trunk.md 9.3; RFC 3325, RFC 3323).

use super::{IllFormed, NameAddr};
use crate::sip::message::{Message, Scheme, Uri};
use crate::telemetry::metrics;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user part for calls; absent: withheld.
    pub user: Option<String>,
    /// The user part whether or not it is withheld (`privacy_to_bot = "pass"`).
    pub asserted: String,
    /// The URI it was taken from.
    pub uri: Uri,
    /// The display name beside it.
    pub display: Option<String>,
}

/// Who calls: the first P-Asserted-Identity, tel before sip, else Remote-Party-ID, else From; the first two
/// only when the trunk's word is trusted.
pub fn caller(message: &Message, trust_identity: bool) -> Caller {
    let asserted = if trust_identity { asserted(message).or_else(|| remote_party(message)) } else { None };
    let who = asserted.unwrap_or_else(|| message.from().clone());
    let user = who.uri.user_part();
    let withheld =
        user.is_empty() || is_anonymous(&message.from().uri) || wants_privacy(message, trust_identity);
    Caller { user: (!withheld).then(|| user.clone()), asserted: user, uri: who.uri, display: who.display }
}

/// The number dialled: the user part of the Request-URI.
pub fn dialled(message: &Message) -> String {
    message.request_uri().map(Uri::user_part).unwrap_or_default()
}

fn asserted(message: &Message) -> Option<NameAddr> {
    let mut identities = entries(message, "P-Asserted-Identity");
    let tel = identities.iter().position(|who| who.uri.scheme() == Scheme::Tel).unwrap_or(0);
    (!identities.is_empty()).then(|| identities.swap_remove(tel))
}

/// The calling party of Remote-Party-ID (a draft that never became an RFC, and that Cisco speaks).
fn remote_party(message: &Message) -> Option<NameAddr> {
    let calling =
        |who: &NameAddr| who.param("party").is_none_or(|party| party.eq_ignore_ascii_case("calling"));
    entries(message, "Remote-Party-ID").into_iter().find(calling)
}

/// A bad entry counts as absent (reliability R-15).
fn entries(message: &Message, name: &str) -> Vec<NameAddr> {
    let read = |entry: std::borrow::Cow<'_, [u8]>| match NameAddr::parse(&entry) {
        Ok(who) => Some(who),
        Err(IllFormed) => {
            metrics::repair("optional_header");
            None
        }
    };
    message.list_octets(name).into_iter().filter_map(read).collect()
}

fn is_anonymous(from: &Uri) -> bool {
    from.host().eq_ignore_ascii_case("anonymous.invalid")
        || from.user().is_some_and(|user| user.eq_ignore_ascii_case("anonymous"))
}

/// Privacy asks it (RFC 3323 §4.2, RFC 3325 §9.3), or the Remote-Party-ID that is used.
fn wants_privacy(message: &Message, trust_identity: bool) -> bool {
    let asked = message.headers("Privacy").any(|value| {
        value.split([';', ',']).any(|wish| {
            ["id", "user", "full", "critical"].iter().any(|word| wish.trim().eq_ignore_ascii_case(word))
        })
    });
    asked
        || trust_identity
            && remote_party(message)
                .and_then(|who| who.param("privacy").map(|privacy| privacy.eq_ignore_ascii_case("full")))
                .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::header::invite_with;

    fn user(lines: &str) -> Option<String> {
        caller(&invite_with(lines), true).user
    }

    #[test]
    fn the_asserted_identity_counts_where_it_is_trusted() {
        let lines =
            "P-Asserted-Identity: \"x\" <sip:111@h>, <tel:+49-222>\r\nRemote-Party-ID: <sip:333@h>\r\n";
        assert_eq!(user(lines).as_deref(), Some("+49222"));
        assert_eq!(caller(&invite_with(lines), false).user.as_deref(), Some("0806123"));
        assert_eq!(
            user("Remote-Party-ID: <sip:9@h>;party=called, <sip:333@h>;party=calling\r\n").as_deref(),
            Some("333")
        );
        assert_eq!(user("P-Asserted-Identity: \"open\r\n").as_deref(), Some("0806123"));
        assert_eq!(user("").as_deref(), Some("0806123"));
    }

    #[test]
    fn a_withheld_caller_has_no_user() {
        for lines in [
            "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1\r\n",
            "Privacy: header;id\r\n",
            "P-Asserted-Identity: <sip:1@h>\r\nPrivacy: full\r\n",
            "Remote-Party-ID: <sip:333@h>;privacy=full\r\n",
        ] {
            assert_eq!(user(lines), None, "{lines}");
        }
        assert!(user("Privacy: none\r\n").is_some());
        assert_eq!(caller(&invite_with("Privacy: id\r\n"), true).asserted, "0806123");
    }

    #[test]
    fn the_number_dialled_is_the_request_uris() {
        assert_eq!(dialled(&invite_with("")), "+9180");
    }
}
