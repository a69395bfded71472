//! `[[trunk]]` as written, and what it means to signalling and to calls (operator.md section 3.1).

use std::time::Duration;

use ipnet::IpNet;

use super::error::Place;
use super::kinds::AccountName;
use super::read::{Read as _, Section, Shown as _};
use super::targets::{digest_algorithms, digest_users, targets, tls_names};
use crate::call::{self, Dtmf, Identity, Privacy, Ring, Srtp, UuiDecode, UuiSource};
use crate::flow::AnswerMode;
use crate::media::{G711, LatchMode};
use crate::route::{Access, MissingAccount};
use crate::sip::{self, Transport};

/// One `[[trunk]]`.
pub(super) struct Trunk {
    /// What calls are told of it.
    pub(super) call: call::Trunk,
    /// What signalling is told of it.
    pub(super) sip: sip::Trunk,
    /// Where it begins.
    pub(super) place: Place,
    /// Where its peers are written.
    pub(super) peers_place: Place,
    /// Where its transports are.
    pub(super) transports_place: Place,
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Reads one; without a name it is no trunk, and that is told.
pub(super) fn trunk(mut trunk: Section<'_>) -> Option<Trunk> {
    let place = trunk.place("");
    let name = trunk.required::<String>("name").filter(|name| is_name(&trunk, name));
    let access = access(&mut trunk);
    let transports: Vec<Transport> = trunk.key("transports", vec![Transport::Udp, Transport::Tcp]);
    if transports.is_empty() {
        trunk.refuse("transports", "no transport is left", Transport::RIGHT);
    }
    let (peers_place, transports_place) = (trunk.place("peers"), trunk.place("transports"));
    let sip = sip::Trunk {
        name: name.clone().unwrap_or_default(),
        peers: trunk.key::<Vec<IpNet>>("peers", Vec::new()),
        targets: targets(&mut trunk, &transports),
        transports,
        force_rport: trunk.key("force_rport", false),
        nat_contact: trunk.key("nat_contact", true),
        session_timer: or_off(&mut trunk, "session_timer", 1800 * SECOND, 90 * SECOND..=24 * HOUR),
        digest_users: digest_users(&mut trunk),
        digest_algorithms: digest_algorithms(&mut trunk),
        tls_names: tls_names(&mut trunk),
        options_ping: or_off(&mut trunk, "options_ping", 30 * SECOND, 5 * SECOND..=HOUR),
        follow_redirect: trunk.key("follow_redirect", false),
    };
    let call = call(&mut trunk);
    keys_in_the_clear(&trunk, &sip, &call);
    later(&mut trunk);
    trunk.done();
    let name = name?;
    // refused already; the routes to it are judged all the same
    let access = access.unwrap_or(Access { accounts: Vec::new(), missing: MissingAccount::Reject });
    Some(Trunk { call: call::Trunk { name, access, ..call }, sip, place, peers_place, transports_place })
}

fn is_name(trunk: &Section<'_>, name: &str) -> bool {
    let right = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !right {
        trunk.refuse(
            "name",
            format!("{name:?} is no name of a trunk"),
            "write 1 to 64 letters, digits, '-' or '_'",
        );
    }
    right
}

/// `account` or `accounts`, and what a call that names none gets.
fn access(trunk: &mut Section<'_>) -> Option<Access> {
    let one: Option<AccountName> = trunk.maybe("account");
    let many: Option<Vec<AccountName>> = trunk.maybe("accounts");
    let written = trunk.has("account") || trunk.has("accounts");
    if one.is_some() && many.is_some() {
        trunk.refuse("accounts", "account stands beside it", "write one of the two");
    }
    let accounts: Vec<String> =
        one.into_iter().chain(many.into_iter().flatten()).map(|name| name.0).collect();
    let default = if accounts.len() == 1 { MissingAccount::Default } else { MissingAccount::Reject };
    let missing = trunk.word(
        "missing_account",
        default,
        &[("default", Some(MissingAccount::Default)), ("reject", Some(MissingAccount::Reject))],
    );
    if accounts.is_empty() {
        if !written {
            trunk.refuse("account", "this key is missing", AccountName::RIGHT);
        } else if trunk.is_empty_list("accounts") {
            trunk.refuse("accounts", "no account stands in it", AccountName::RIGHT);
        }
        return None;
    }
    Some(Access { accounts, missing })
}

/// Everything a call is told, name and accounts excepted.
fn call(trunk: &mut Section<'_>) -> call::Trunk {
    let default = call::Trunk::new("", "");
    let latch =
        [("strict", Some(LatchMode::Strict)), ("auto", Some(LatchMode::Auto)), ("any", Some(LatchMode::Any))];
    call::Trunk {
        answer: trunk.word(
            "answer",
            default.answer,
            &[
                ("bot_ready", Some(AnswerMode::BotReady)),
                ("immediate", Some(AnswerMode::Immediate)),
                ("bot_audio", Some(AnswerMode::BotAudio)),
            ],
        ),
        ring: trunk.word(
            "ring",
            default.ring,
            &[("none", Some(Ring::Nothing)), ("180", Some(Ring::Ringing)), ("183", Some(Ring::EarlyMedia))],
        ),
        codecs: codecs(trunk),
        local_order: trunk.word("codec_order", false, &[("offer", Some(false)), ("local", Some(true))]),
        latch: trunk.word("latch", default.latch, &latch),
        media_peers: trunk.key("media_peers", Vec::new()),
        media_timeout: or_off(trunk, "media_timeout", default.media_timeout, 5 * SECOND..=24 * HOUR),
        max_call: trunk.within("max_call", default.max_call, SECOND..=48 * HOUR),
        max_calls: limit(trunk, "max_calls"),
        max_cps: limit(trunk, "max_cps"),
        custom_headers: custom_headers(trunk, &default),
        custom_header_max: trunk.within("custom_header_max", default.custom_header_max, 1..=1024),
        uui_source: trunk.key("uui_source", default.uui_source.clone()),
        uui_decode: trunk.word(
            "uui_decode",
            default.uui_decode,
            &[("hex", Some(UuiDecode::Hex)), ("text", Some(UuiDecode::Text))],
        ),
        trust_identity: trunk.key("trust_identity", true),
        identity: trunk.word(
            "identity_style",
            default.identity,
            &[
                ("sip_user", Some(Identity::SipUser)),
                ("number", Some(Identity::Number)),
                ("uri", Some(Identity::Uri)),
            ],
        ),
        privacy: trunk.word(
            "privacy_to_bot",
            default.privacy,
            &[("withhold", Some(Privacy::Withhold)), ("pass", Some(Privacy::Pass))],
        ),
        dtmf: trunk.word(
            "dtmf",
            default.dtmf,
            &[
                ("auto", Some(Dtmf::Auto)),
                ("rfc4733", Some(Dtmf::Rfc4733)),
                ("info", Some(Dtmf::Info)),
                ("inband", Some(Dtmf::Inband)),
            ],
        ),
        srtp: trunk.word(
            "srtp",
            default.srtp,
            &[
                ("off", Some(Srtp::Off)),
                ("optional", Some(Srtp::Optional)),
                ("required", Some(Srtp::Required)),
            ],
        ),
        srtp_without_tls: trunk.key("srtp_without_tls", false),
        hold_passes: trunk.word("hold_audio", false, &[("silence", Some(false)), ("pass", Some(true))]),
        ..default
    }
}

fn limit(trunk: &mut Section<'_>, name: &'static str) -> Option<u32> {
    trunk.has(name).then(|| trunk.within(name, 1, 1..=1_000_000)).or_else(|| trunk.maybe(name))
}

/// A duration in which 0 is off.
fn or_off(
    trunk: &mut Section<'_>,
    name: &'static str,
    default: Duration,
    range: std::ops::RangeInclusive<Duration>,
) -> Duration {
    let value = trunk.key(name, default);
    if !value.is_zero() && !range.contains(&value) {
        let right = format!("right is {} to {}, or 0", range.start().shown(), range.end().shown());
        trunk.refuse(name, format!("{} is out of range", value.shown()), right);
    }
    value
}

fn codecs(trunk: &mut Section<'_>) -> Vec<G711> {
    let codecs: Vec<G711> = trunk.key("codecs", vec![G711::Mu, G711::A]);
    let twice = codecs.len() == 2 && codecs[0] == codecs[1];
    if codecs.is_empty() || codecs.len() > 2 || twice {
        trunk.refuse(
            "codecs",
            "each codec stands once, and at least one",
            "write [\"pcmu\", \"pcma\"] in your order",
        );
    }
    codecs
}

impl super::read::Read for G711 {
    const RIGHT: &'static str = "write \"pcmu\" or \"pcma\"";

    fn read(item: super::read::Item<'_>) -> Option<Self> {
        let words = [
            ("pcmu", Some(Self::Mu)),
            ("pcma", Some(Self::A)),
            ("g722", None),
            ("opus", None),
            ("g729", None),
        ];
        super::read::one_of(item, &words)
    }
}

/// Names of header fields: tokens (RFC 3261 section 25.1).
fn custom_headers(trunk: &mut Section<'_>, default: &call::Trunk) -> Vec<String> {
    let names: Vec<String> = trunk.key("custom_headers", default.custom_headers.clone());
    let token = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
    };
    for name in names.iter().filter(|name| !token(name)) {
        trunk.refuse(
            "custom_headers",
            format!("{name:?} is no name of a header field"),
            "as \"X-Custom-Header\"",
        );
    }
    names
}

impl super::read::Read for UuiSource {
    const RIGHT: &'static str = "write \"x-uui\" or \"user-to-user\"";

    fn read(item: super::read::Item<'_>) -> Option<Self> {
        super::read::one_of(item, &[("x-uui", Some(Self::XUui)), ("user-to-user", Some(Self::UserToUser))])
    }
}

/// Keys of SRTP travel in SDP: over TLS nobody else reads them (reliability R-42).
fn keys_in_the_clear(trunk: &Section<'_>, sip: &sip::Trunk, call: &call::Trunk) {
    let name = trunk.shown_name();
    let tls = sip.transports.contains(&Transport::Tls);
    let plain = sip.transports.iter().any(|transport| *transport != Transport::Tls);
    match (call.srtp, call.srtp_without_tls) {
        (Srtp::Off, true) => trunk.reading.note(format!("trunk {name}: srtp_without_tls has no effect, srtp is off")),
        (Srtp::Required, false) if !tls => trunk.refuse(
            "srtp",
            "keys are taken over TLS only, and tls is none of the trunk's transports",
            "let tls stand in transports, or set srtp_without_tls = true",
        ),
        (Srtp::Optional, false) if !tls => trunk.reading.note(format!(
            "trunk {name}: srtp has no effect without tls in transports or srtp_without_tls"
        )),
        (Srtp::Required, false) if plain => trunk.reading.note(format!(
            "trunk {name}: srtp is required, so calls over udp and tcp are refused; leave them out of transports or \
             set srtp_without_tls"
        )),
        (_, true) if plain => trunk.reading.note(format!(
            "trunk {name}: srtp_without_tls lets whoever reads the signalling over udp or tcp hear the calls"
        )),
        _ => {}
    }
}

/// Keys of transfers and of calls by flows, which come later: a slip in them is found all the same.
fn later(trunk: &mut Section<'_>) {
    let transfers = ["refer", "b2b", "refer_then_b2b", "off"].map(|word| (word, Some(())));
    trunk.word("transfer", (), &transfers);
    let _allowed: Vec<String> = trunk.key("dial_allow", Vec::new());
    for name in ["transfer", "dial_allow"].into_iter().filter(|name| trunk.has(name)) {
        let of = trunk.shown_name();
        trunk.reading.note(format!("trunk {of}: {name} is taken and has no effect yet"));
    }
}
