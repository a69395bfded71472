//! Which route a call would take, and why not the ones before it.

use std::fmt::Write as _;
use std::str::FromStr;

use crate::call::Bot;
use crate::config::Config;
use crate::ids::TrunkId;
use crate::route::{Asked, Route, Target};
use crate::stream::UrlLimits;

/// A call that might come: `trunk=pbx,from=0801,to=0800,X-UUI=A1`.
#[derive(Clone, Debug, Default)]
pub(super) struct Question {
    trunk: Option<String>,
    account: Option<String>,
    from: String,
    to: String,
    headers: Vec<(String, String)>,
}

impl FromStr for Question {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut question = Self::default();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is no KEY=VALUE"))?;
            let value = value.trim().to_owned();
            match key.trim() {
                "trunk" => question.trunk = Some(value),
                "account" => question.account = Some(value),
                "from" => question.from = value,
                "to" => question.to = value,
                header => question.headers.push((header.to_owned(), value)),
            }
        }
        Ok(question)
    }
}

impl Question {
    /// What would become of the call; `Err` if it would be refused for want of a trunk, an account or a route.
    pub(super) fn answer(&self, config: &Config) -> Result<String, String> {
        let trunk = self.trunk(config)?;
        let settings = &config.call.trunks[usize::from(trunk.0)];
        let named = self.account.as_deref().or_else(|| self.header("X-Exotel-AccountSid"));
        let account = settings
            .access
            .account(named)
            .map_err(|why| format!("403: {why} (trunk {}, {})\n", settings.name, why.cause()))?;
        let header = |name: &str| self.header(name).map(str::to_owned);
        let asked = Asked { trunk, to: &self.to, from: &self.from, account, header: &header };
        let found = config.call.routes.find(&asked);
        let mut out = format!("trunk {}, account {account}\n", settings.name);
        let passed = found.map_or(config.call.routes.routes.len(), |(place, _)| place - 1);
        for (i, route) in config.call.routes.routes.iter().enumerate().take(passed) {
            let _ = writeln!(out, "route {}: not this one: {}", i + 1, self.why_not(config, route, &asked));
        }
        match found {
            Some((place, route)) => {
                let _ = writeln!(out, "route {place}: {}", target(&route.target));
                Ok(out)
            }
            None => Err(out + "404: no route fits\n"),
        }
    }

    /// The trunk that is named, or the only one.
    fn trunk(&self, config: &Config) -> Result<TrunkId, String> {
        let trunks = &config.call.trunks;
        let names = || trunks.iter().map(|trunk| trunk.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = match &self.trunk {
            Some(name) => trunks.iter().position(|trunk| trunk.name == *name),
            None => Some(0).filter(|_| trunks.len() == 1),
        };
        match (found, &self.trunk) {
            (Some(id), _) => Ok(TrunkId(id as u16)),
            (None, Some(name)) => Err(format!("there is no trunk {name:?}; trunks are: {}\n", names())),
            (None, None) => {
                Err(format!("say which trunk the call comes over: trunk=..; trunks are: {}\n", names()))
            }
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first condition that does not hold.
    fn why_not(&self, config: &Config, route: &Route, asked: &Asked<'_>) -> String {
        if let Some(trunk) = route.trunk.filter(|trunk| *trunk != asked.trunk) {
            let name = config.call.trunks.get(usize::from(trunk.0)).map_or("?", |trunk| &trunk.name);
            return format!("it is for trunk {name}");
        }
        for (key, pattern, value) in [("to", &route.to, asked.to), ("from", &route.from, asked.from)] {
            if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.matches(value)) {
                return format!("{key} is {value:?}, not {pattern}");
            }
        }
        if let Some(account) = route.account.as_ref().filter(|account| *account != asked.account) {
            return format!("it is for account {account}");
        }
        for (name, pattern) in &route.headers {
            match self.header(name) {
                None => return format!("{name} is missing"),
                Some(value) if !pattern.matches(value) => {
                    return format!("{name} is {value:?}, not {pattern}");
                }
                Some(_) => {}
            }
        }
        "it fits".to_owned()
    }
}

/// Where a route leads; bots' URLs without their user info, in the order they are tried.
pub(super) fn target(target: &Target) -> String {
    match target {
        Target::Bot(urls) => {
            let bot = |url: &String| match Bot::parse(url, UrlLimits::DEFAULT) {
                Ok(bot) => format!("to the bot {bot}"),
                Err(wrong) => format!("to no bot: {wrong}"),
            };
            urls.iter().map(bot).collect::<Vec<_>>().join(", else ")
        }
        Target::Flow(id) => format!("to the flow {id}"),
        Target::Reject(status) => format!("answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::Surroundings;

    const TEXT: &str = r#"
[[trunk]]
name = "pbx"
accounts = ["a", "b"]

[[trunk]]
name = "sbc"
account = "c"

[[route]]
trunk = "sbc"
reject = 603

[[route]]
trunk = "pbx"
to = "0800*"
header = { "X-Custom-Header" = "Sales*" }
bot = "wss://k:s3cret@sales.example.com/media?x=1"

[[route]]
trunk = "pbx"
account = "a"
bot = ["wss://k:s3cret@other.example.com/", "wss://spare.example.com/"]
"#;

    fn ask(question: &str) -> Result<String, String> {
        let machine = Surroundings {
            variables: HashMap::new(),
            cores: vec![0],
            descriptors: 1 << 20,
            host_name: "x".to_owned(),
        };
        let config = Config::from_text("f", TEXT, &machine).expect("a configuration");
        question.parse::<Question>().expect("a question").answer(&config)
    }

    #[test]
    fn the_route_is_named_with_the_reasons_against_those_before_it() {
        let answer = ask("trunk=pbx,account=a,to=0900,X-Custom-Header=Sales1").expect("a route");
        assert_eq!(
            answer,
            "trunk pbx, account a\nroute 1: not this one: it is for trunk sbc\n\
             route 2: not this one: to is \"0900\", not 0800*\nroute 3: to the bot wss://other.example.com/, \
             else to the bot wss://spare.example.com/\n"
        );
        let sales = ask("trunk=pbx,X-Exotel-AccountSid=b,to=08001,x-custom-header=Sales1").expect("a route");
        assert!(
            sales.contains("route 2: to the bot wss://sales.example.com/") && !sales.contains("s3cret"),
            "{sales}"
        );
        assert!(ask("trunk=sbc").expect("a route").contains("route 1: answered 603"));
    }

    #[test]
    fn a_call_that_would_be_refused_says_why() {
        assert!(ask("trunk=pbx").expect_err("no account").starts_with("403: X-Exotel-AccountSid is missing"));
        assert!(ask("trunk=pbx,account=b,to=1").expect_err("no route").ends_with("404: no route fits\n"));
        assert!(ask("to=1").expect_err("which trunk").contains("trunks are: pbx, sbc"));
        assert!(ask("trunk=x").expect_err("no trunk").contains("there is no trunk \"x\""));
    }
}
