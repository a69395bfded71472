//! `[[route]]` as written, and what it means.

use std::collections::BTreeMap;

use super::error::Place;
use super::flows::nearest;
use super::kinds::{AccountName, Secret};
use super::read::{Read, Section};
use crate::call::Bot;
use crate::flow::Flow;
use crate::ids::TrunkId;
use crate::route::{MAX_BOTS, Pattern, Route, Target};
use crate::stream::UrlLimits;

/// Judges the URL of a bot: what is wrong with it, without its secrets.
pub type JudgeUrl = fn(&str) -> Result<(), String>;

/// One `[[route]]`.
pub(super) struct Written {
    pub(super) route: Route,
    /// Its bots, those of its flow too.
    pub(super) bots: Vec<Bot>,
    /// Where they, or their flow, are named.
    pub(super) bots_place: Place,
    /// Where its account is written.
    pub(super) account_place: Place,
}

/// Reads one; `trunks` are the names by `TrunkId`.
pub(super) fn route(
    mut route: Section<'_>,
    trunks: &[&str],
    flows: &BTreeMap<String, Flow>,
    judge: JudgeUrl,
) -> Option<Written> {
    let trunk = trunk(&mut route, trunks);
    let account_place = route.place("account");
    let bots_place = route.place(if route.has("flow") { "flow" } else { "bot" });
    let headers = route.free::<Pattern>("header");
    let (to, from) = (route.maybe("to"), route.maybe("from"));
    let account: Option<AccountName> = route.maybe("account");
    let target = target(&mut route, flows, judge);
    let own = match &target {
        Some(Target::Flow(id)) => flows.get(id).and_then(|flow| flow.account.clone()),
        _ => None,
    };
    let account = account.map(|name| name.0);
    if let (Some(account), Some(own)) = (&account, &own)
        && account != own
    {
        route.refuse(
            "flow",
            format!("this flow is for account {own:?}"),
            "name that one, or leave account out",
        );
    }
    route.done();
    let target = target?;
    let read = |url: &String| Bot::parse(url, UrlLimits::DEFAULT).ok();
    let bots = match &target {
        Target::Bot(urls) => urls.iter().filter_map(read).collect(),
        Target::Flow(id) => {
            flows.get(id).map(|flow| flow.program.urls().filter_map(read).collect()).unwrap_or_default()
        }
        Target::Reject(_) => Vec::new(),
    };
    // a flow with an account takes that account's calls alone
    let account = account.or(own);
    let route = Route { trunk: trunk?, to, from, account, headers, target };
    Some(Written { route, bots, bots_place, account_place })
}

/// `None`: the route names a trunk there is not.
fn trunk(route: &mut Section<'_>, trunks: &[&str]) -> Option<Option<TrunkId>> {
    let Some(name) = route.maybe::<String>("trunk") else { return Some(None) };
    if let Some(id) = trunks.iter().position(|trunk| *trunk == name) {
        return Some(Some(TrunkId(id as u16)));
    }
    let nearest = trunks
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a, &name).total_cmp(&strsim::jaro_winkler(b, &name)));
    let right = match nearest {
        Some(trunk) => format!("the nearest trunk is {trunk:?}"),
        None => "write a [[trunk]] of this name".to_owned(),
    };
    route.refuse("trunk", format!("there is no trunk {name:?}"), right);
    None
}

/// Exactly one of `bot`, `flow`, `reject`.
fn target(route: &mut Section<'_>, flows: &BTreeMap<String, Flow>, judge: JudgeUrl) -> Option<Target> {
    let (written, flow) = (route.maybe::<Vec<Secret>>("bot"), route.maybe::<String>("flow"));
    let reject = route.has("reject").then(|| route.within("reject", 603_u16, 400..=699));
    route.maybe::<u16>("reject");
    let targets = ["bot", "flow", "reject"].into_iter().filter(|name| route.has(name)).count();
    if targets != 1 {
        let right = "write one of bot = \"wss://...\" (or https://), flow = \"id\" or reject = 603";
        route.refuse("", format!("{targets} targets stand in it"), right);
        return None;
    }
    match written {
        Some(urls) => bots(route, "bot", urls, judge).map(Target::Bot),
        None => reject.map(Target::Reject).or_else(|| known(route, flow?, flows)),
    }
}

/// A flow there is.
fn known(route: &Section<'_>, id: String, flows: &BTreeMap<String, Flow>) -> Option<Target> {
    if !flows.contains_key(&id) {
        let ids: Vec<String> = flows.keys().cloned().collect();
        let right =
            if ids.is_empty() { "write a [[flow]] of this id".to_owned() } else { nearest(&id, &ids) };
        route.refuse("flow", format!("there is no flow {id:?} without a fault"), right);
        return None;
    }
    Some(Target::Flow(id))
}

/// One bot, or several in the order they are tried.
pub(super) fn bots(
    section: &Section<'_>,
    key: &str,
    urls: Vec<Secret>,
    judge: JudgeUrl,
) -> Option<Vec<String>> {
    if section.is_empty_list(key) || urls.len() > MAX_BOTS {
        let wrong = format!("{} bots stand in it", urls.len());
        section.refuse(key, wrong, format!("write 1 to {MAX_BOTS} of them"));
        return None;
    }
    let several = urls.len() > 1;
    let mut wrong = false;
    for (place, Secret(url)) in urls.iter().enumerate() {
        if let Err(what) = judge(url) {
            let whose = if several { format!("bot {} of them: {what}", place + 1) } else { what };
            section.refuse(key, whose, "as \"wss://key:token@bot.example.com/media?sample-rate=16000\"");
            wrong = true;
        }
    }
    // one that could not be read is told already
    (!wrong && !urls.is_empty()).then(|| urls.into_iter().map(|Secret(url)| url).collect())
}

impl Read for Pattern {
    const RIGHT: &'static str = "write a text, with * for any run of characters";

    fn read(item: super::read::Item<'_>) -> Option<Self> {
        String::read(item).map(Self::new)
    }
}
