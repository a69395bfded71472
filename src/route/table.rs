//! The routes, matched in the order they are written.

use super::Pattern;
use crate::ids::TrunkId;

/// Bots of one route.
pub const MAX_BOTS: usize = 8;

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A voicebot, then a hangup: the bots' URLs as configured, the first that can be had is taken. At least one, at
    /// most `MAX_BOTS`.
    Bot(Vec<String>),
    /// A flow by its id.
    Flow(String),
    /// A final SIP answer, 400..=699.
    Reject(u16),
}

/// One `[[route]]`: every condition that stands in it must hold.
#[derive(Clone, Debug)]
pub struct Route {
    /// The trunk it came over.
    pub trunk: Option<TrunkId>,
    /// The number dialled.
    pub to: Option<Pattern>,
    /// The caller's number.
    pub from: Option<Pattern>,
    /// The account.
    pub account: Option<String>,
    /// Header fields of the INVITE.
    pub headers: Vec<(String, Pattern)>,
    /// Where it goes then.
    pub target: Target,
}

/// What a call shows the table.
pub struct Asked<'a> {
    /// The trunk it came over.
    pub trunk: TrunkId,
    /// The number dialled.
    pub to: &'a str,
    /// The caller's number; empty when withheld.
    pub from: &'a str,
    /// The account.
    pub account: &'a str,
    /// Value of a header field of the INVITE, by name in any case.
    pub header: &'a dyn Fn(&str) -> Option<String>,
}

/// All routes.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// In order; the first that fits is taken.
    pub routes: Vec<Route>,
}

impl Table {
    /// The first route that fits, and its place in the table from 1; none is 404.
    pub fn find(&self, asked: &Asked<'_>) -> Option<(usize, &Route)> {
        self.routes.iter().enumerate().find(|(_, route)| route.fits(asked)).map(|(i, route)| (i + 1, route))
    }
}

impl Route {
    fn fits(&self, asked: &Asked<'_>) -> bool {
        self.trunk.is_none_or(|trunk| trunk == asked.trunk)
            && self.to.as_ref().is_none_or(|to| to.matches(asked.to))
            && self.from.as_ref().is_none_or(|from| from.matches(asked.from))
            && self.account.as_ref().is_none_or(|account| account == asked.account)
            && self
                .headers
                .iter()
                .all(|(name, pattern)| (asked.header)(name).is_some_and(|value| pattern.matches(&value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(to: Option<&str>, header: Option<(&str, &str)>, target: u16) -> Route {
        Route {
            trunk: Some(TrunkId(0)),
            to: to.map(Pattern::new),
            from: None,
            account: None,
            headers: header.iter().map(|(n, v)| ((*n).to_owned(), Pattern::new(*v))).collect(),
            target: Target::Reject(target),
        }
    }

    #[test]
    fn the_first_route_whose_every_condition_holds_is_taken() {
        let table = Table {
            routes: vec![
                route(Some("100"), Some(("X-Custom-Header", "Sales*")), 601),
                route(Some("1*"), None, 602),
            ],
        };
        let find = |trunk, to, value: Option<&str>| {
            let header = |name: &str| (name == "X-Custom-Header").then(|| value.map(str::to_owned)).flatten();
            table
                .find(&Asked { trunk: TrunkId(trunk), to, from: "", account: "a", header: &header })
                .map(|(place, _)| place)
        };
        assert_eq!(find(0, "100", Some("SalesBot")), Some(1));
        assert_eq!(find(0, "100", None), Some(2));
        assert_eq!(find(0, "200", None), None);
        assert_eq!(find(1, "100", Some("SalesBot")), None);
    }
}
