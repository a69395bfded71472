//! `[[account]]` as written, and what it means; `[egress]`, for both say whom calls may trust with what.

use std::collections::HashMap;

use ipnet::IpNet;

use super::error::Place;
use super::flows::Flows;
use super::kinds::{AccountName, Secret};
use super::read::{Item, Read, Reading, Section};
use super::routes::Written;
use super::sip::is_host_name;
use super::trunks::Trunk;
use crate::call::{AccountSettings, Bot, Dialect};
use crate::egress::Allowed;
use crate::route::Target;
use crate::stream::DtmfKey;

/// Every `[[account]]`.
#[derive(Default)]
pub(super) struct Accounts {
    /// Streams at once.
    pub(super) streams: HashMap<String, u32>,
    /// The rest.
    pub(super) settings: HashMap<String, AccountSettings>,
}

/// Reads them all.
pub(super) fn accounts(sections: Vec<Section<'_>>) -> Accounts {
    let mut all = Accounts::default();
    for mut section in sections {
        let name: Option<AccountName> = section.required("sid");
        let max: Option<u32> =
            section.has("max_streams").then(|| section.within("max_streams", 1, 0..=1_000_000));
        let _: Option<u32> = section.maybe("max_streams");
        let dialects = [("full", Some(Dialect::Full)), ("legacy", Some(Dialect::Legacy))];
        let settings = AccountSettings {
            dialect: section.word("dialect", Dialect::Full, &dialects),
            dtmf_key: dtmf_key(&mut section),
        };
        not_in_this_release(&mut section);
        if let Some(AccountName(name)) = name {
            all.streams.extend(max.map(|max| (name.clone(), max)));
            if all.settings.insert(name.clone(), settings).is_some() {
                let wrong = format!("account {name:?} stands twice");
                section.refuse("sid", wrong, "write one [[account]] for each");
            }
        }
        section.done();
    }
    all
}

fn dtmf_key(account: &mut Section<'_>) -> Option<DtmfKey> {
    let Secret(text) = account.maybe("dtmf_key")?;
    match DtmfKey::parse(text.trim()) {
        Ok(key) => Some(key),
        Err(wrong) => {
            let right =
                "write 32 random octets as 64 hexadecimal digits or in base64, as of openssl rand -hex 32";
            account.refuse("dtmf_key", wrong, right);
            None
        }
    }
}

fn not_in_this_release(account: &mut Section<'_>) {
    let _keys: Vec<Secret> = account.key("api_keys", Vec::new());
    let _zone: Option<String> = account.maybe("time_zone");
    if account.maybe::<Secret>("webhook_secret").is_some() {
        account.not_yet("webhook_secret", "a webhook");
    }
    if account.has("api_keys") {
        account.not_yet("api_keys", "the control API");
    }
}

/// Accounts beside trunks and routes: a legacy account's bots carry no more than it may, and where keys are to be
/// encrypted there is a key.
pub(super) fn fit(
    reading: &Reading<'_>,
    all: &Accounts,
    trunks: &[Trunk],
    routes: &[Written],
    encrypt: Option<Place>,
    flows: &Flows,
) {
    for written in routes {
        let mut legacy = comes(trunks, written).filter(|account| {
            all.settings.get(*account).is_some_and(|settings| settings.dialect == Dialect::Legacy)
        });
        let limits = Dialect::Legacy.limits();
        let over = written.bots.iter().any(|bot| match bot {
            Bot::Socket(url) => !url.fits(limits),
            Bot::Web(_) => false, // what it answers with is judged then
        });
        if let (true, Some(account)) = (over, legacy.next()) {
            reading.refuse(
                written.bots_place.clone(),
                if matches!(written.route.target, Target::Flow(_)) { "route.flow" } else { "route.bot" },
                format!(
                    "account {account:?} is of the dialect \"legacy\": a bot's URL has at most {} parameters and {} characters \
                     of query",
                    limits.parameters, limits.query
                ),
                "shorten the query, or part the accounts by account = in the route",
            );
        }
    }
    let keyless =
        |account: &&String| all.settings.get(*account).is_none_or(|settings| settings.dtmf_key.is_none());
    let refuse = |place: &Place, key: &str, routes: &mut dyn Iterator<Item = &Written>| {
        let mut without: Vec<&String> =
            routes.flat_map(|written| comes(trunks, written)).filter(keyless).collect();
        without.sort();
        without.dedup();
        for account in without {
            let wrong = format!("keys are to be encrypted, and account {account:?} has no dtmf_key");
            reading.refuse(place.clone(), key, wrong, "write one in its [[account]]");
        }
    };
    if let Some(place) = encrypt {
        refuse(&place, "stream.encrypt_dtmf", &mut routes.iter().filter(|written| !written.bots.is_empty()));
    }
    for (id, place) in &flows.encrypting {
        let leads = |of: &&Written| matches!(&of.route.target, Target::Flow(to) if to == id);
        refuse(place, "flow.steps.encrypt_dtmf", &mut routes.iter().filter(leads));
    }
}

/// The accounts whose calls may take a route.
fn comes<'a>(trunks: &'a [Trunk], written: &'a Written) -> impl Iterator<Item = &'a String> {
    let route = &written.route;
    let of = move |(id, _): &(usize, &Trunk)| route.trunk.is_none_or(|trunk| usize::from(trunk.0) == *id);
    let named = move |account: &&String| route.account.as_ref().is_none_or(|only| only == *account);
    trunks.iter().enumerate().filter(of).flat_map(|(_, trunk)| &trunk.call.access.accounts).filter(named)
}

/// `[egress]`.
pub(super) fn egress(mut egress: Section<'_>) -> Vec<Allowed> {
    let allowed = egress.key("allow", Vec::new());
    egress.done();
    allowed
}

impl Read for Allowed {
    const RIGHT: &'static str =
        "write a host, \"*.example.com\" for all below it, an address or a network as \"10.1.0.0/16\"";

    fn read(item: Item<'_>) -> Option<Self> {
        let Some(text) = item.text() else {
            return item.refuse(format!("{} is no host and no network", item.shown()), Self::RIGHT);
        };
        let is_number = |b: u8| b.is_ascii_digit() || b == b'.';
        if text.contains(['/', ':']) && !text.contains("://") || text.bytes().all(is_number) {
            return IpNet::read(item).map(Self::Net);
        }
        match text.strip_prefix("*.") {
            Some(name) if is_host_name(name) => Some(Self::Below(name.to_owned())),
            None if is_host_name(text) => Some(Self::Host(text.to_owned())),
            _ => item.refuse(format!("{text:?} is no host and no network"), Self::RIGHT),
        }
    }
}
