//! Does the whole fit together? What one table cannot tell by itself.

use std::collections::{BTreeSet, HashMap};

use super::error::Place;
use super::flows::Flows;
use super::kinds::Listen;
use super::read::Reading;
use super::routes::Written;
use super::trunks::Trunk;
use crate::call::Bot;
use crate::media;
use crate::route::Target;
use crate::sip::Transport;
use crate::stream::UrlLimits;
use crate::telemetry::exposition::Names;

/// Trunks beside one another: names, and networks that two would claim.
pub(super) fn trunks(reading: &Reading<'_>, trunks: &[Trunk]) {
    let mut names: HashMap<&str, &Place> = HashMap::new();
    for (i, trunk) in trunks.iter().enumerate() {
        if let Some(first) = names.insert(&trunk.call.name, &trunk.place) {
            let wrong = format!("trunk {:?} stands already at {first}", trunk.call.name);
            reading.refuse(trunk.place.clone(), "trunk.name", wrong, "give it another name");
        }
        for earlier in &trunks[..i] {
            claims(reading, earlier, trunk);
        }
    }
    if trunks.len() > usize::from(u16::MAX) {
        reading.refuse(Place::Whole, "trunk", "there are more than 65535 trunks", "");
    }
}

/// The same network in two trunks with a transport in common: nobody could tell whose a request is.
fn claims(reading: &Reading<'_>, one: &Trunk, other: &Trunk) {
    if !one.sip.transports.iter().any(|transport| other.sip.transports.contains(transport)) {
        return;
    }
    for net in one.sip.peers.iter().filter(|net| other.sip.peers.contains(net)) {
        reading.refuse(
            other.peers_place.clone(),
            "trunk.peers",
            format!("{net} is a peer of trunk {:?} already, over the same transport", one.call.name),
            "let it stand in one of them, or part them by transports",
        );
    }
}

/// Ports, accounts, and what would never be used.
pub(super) fn whole(
    reading: &Reading<'_>,
    listen: &[Listen],
    media: &media::Config,
    trunks: &[Trunk],
    routes: &[Written],
) {
    for one in
        listen.iter().filter(|one| one.transport == Transport::Udp && media.ports.contains(&one.addr.port()))
    {
        let (first, last) = (media.ports.start(), media.ports.end());
        reading.refuse(
            reading.root().section("media").place("ports"),
            "sip.listen",
            format!("port {} lies in media.ports, {first}-{last}", one.addr.port()),
            "part the two",
        );
    }
    let known: BTreeSet<&String> = trunks.iter().flat_map(|trunk| &trunk.call.access.accounts).collect();
    for written in routes {
        if let Some(account) = written.route.account.as_ref().filter(|account| !known.contains(account)) {
            let wrong = format!("no trunk has an account {account:?}");
            reading.refuse(
                written.account_place.clone(),
                "route.account",
                wrong,
                "name one of a trunk's accounts",
            );
        }
    }
    notes(reading, trunks, routes);
}

/// Accounts of flows, and flows nobody is sent to.
pub(super) fn flows(reading: &Reading<'_>, trunks: &[Trunk], routes: &[Written], flows: &Flows) {
    let known = |account: &String| trunks.iter().any(|trunk| trunk.call.access.accounts.contains(account));
    for (account, place) in flows.accounts.iter().filter(|(account, _)| !known(account)) {
        let wrong = format!("no trunk has an account {account:?}");
        reading.refuse(place.clone(), "flow.account_sid", wrong, "name one of a trunk's accounts");
    }
    let leads = |id: &str| routes.iter().any(|of| matches!(&of.route.target, Target::Flow(to) if to == id));
    for id in flows.flows.keys().filter(|id| !leads(id)) {
        reading.note(format!("no route leads to flow {id}"));
    }
}

/// What is allowed and surely not meant.
fn notes(reading: &Reading<'_>, trunks: &[Trunk], routes: &[Written]) {
    if trunks.is_empty() {
        reading.note("there is no [[trunk]]: every call is a stranger's and is refused");
    }
    for (id, trunk) in trunks.iter().enumerate() {
        let name = &trunk.call.name;
        if trunk.sip.peers.is_empty() {
            reading.note(format!("trunk {name} has no peers: it takes no calls"));
        }
        let leads = |written: &&Written| written.route.trunk.is_none_or(|of| usize::from(of.0) == id);
        if !routes.iter().any(|written| leads(&written)) {
            reading.note(format!("no route leads on from trunk {name}: its calls get 404"));
        }
    }
}

/// Label values of metrics.
pub(super) fn names(
    trunks: &[Trunk],
    routes: &[Written],
    flows: &Flows,
    own: impl Iterator<Item = String>,
    media: &media::Config,
) -> Names {
    let accounts: BTreeSet<String> =
        trunks.iter().flat_map(|trunk| trunk.call.access.accounts.clone()).chain(own).collect();
    let of_flows = flows.flows.values().flat_map(|flow| flow.program.urls());
    let of_flows: Vec<Bot> = of_flows.filter_map(|url| Bot::parse(url, UrlLimits::DEFAULT).ok()).collect();
    let bots = || routes.iter().flat_map(|written| &written.bots).chain(&of_flows);
    let hosts: BTreeSet<String> = bots().map(|bot| bot.host().to_owned()).collect();
    let addresses: BTreeSet<String> = bots().map(|bot| bot.address().to_string()).collect();
    Names {
        trunks: trunks.iter().map(|trunk| trunk.call.name.clone()).collect(),
        accounts: accounts.into_iter().collect(),
        bots: hosts.into_iter().collect(),
        bot_addresses: addresses.into_iter().collect(),
        cores: if media.cores.is_empty() { vec![0] } else { media.cores.clone() },
    }
}
