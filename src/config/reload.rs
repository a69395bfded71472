//! A configuration that takes the place of the one a node runs by (reliability R-111): which of its changes cannot be
//! made while it runs, which are made, and that a trunk keeps its number, for calls that are up go by it.

use std::fmt::{self, Debug};

use super::Config;
use crate::ids::TrunkId;
use crate::sip;

/// Keys whose change needs a restart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NeedsRestart(pub Vec<&'static str>);

impl fmt::Display for NeedsRestart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot change while the node runs", self.0.join(", "))
    }
}

impl Config {
    /// This configuration as the successor of the one a node runs by, and what it changes, in words without values.
    ///
    /// Trunks stand where those of the same name stood; one that is gone leaves an empty place, which admits nobody.
    ///
    /// # Errors
    /// Keys that need a restart, every one of them.
    pub fn succeed(mut self, running: &Self) -> Result<(Self, Vec<String>), NeedsRestart> {
        let mut fixed: Vec<&'static str> =
            fixed(running, &self).into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect();
        self.keep_places(running);
        if self.call.trunks.len() > usize::from(u16::MAX) {
            fixed.push("trunk");
        }
        if !fixed.is_empty() {
            return Err(NeedsRestart(fixed));
        }
        let changes = changes(running, &self);
        Ok((self, changes))
    }

    fn keep_places(&mut self, running: &Self) {
        let mut names: Vec<String> = running.call.trunks.iter().map(|trunk| trunk.name.clone()).collect();
        let place = |names: &[String], name: &str| names.iter().position(|other| other == name);
        for trunk in &self.call.trunks {
            if place(&names, &trunk.name).is_none() {
                names.push(trunk.name.clone());
            }
        }
        for route in &mut self.call.routes.routes {
            let name =
                route.trunk.and_then(|id| self.call.trunks.get(usize::from(id.0))).map(|trunk| &trunk.name);
            let place = name.and_then(|name| place(&names, name));
            route.trunk = place.map(|place| TrunkId(u16::try_from(place).unwrap_or(u16::MAX)));
        }
        let new = |name: &String| self.call.trunks.iter().position(|trunk| trunk.name == *name);
        let at: Vec<Option<usize>> = names.iter().map(new).collect();
        let places = || at.iter().enumerate();
        let sip = places().map(|(place, new)| match new {
            Some(new) => self.sip.trunks[*new].clone(),
            None => gone(&running.sip.trunks[place]),
        });
        let call = places().map(|(place, new)| match new {
            Some(new) => self.call.trunks[*new].clone(),
            None => running.call.trunks[place].clone(),
        });
        (self.sip.trunks, self.call.trunks) = (sip.collect(), call.collect());
    }
}

/// Nobody is admitted by it and nobody called; its calls end as they began.
fn gone(trunk: &sip::Trunk) -> sip::Trunk {
    let (peers, targets, digest_users) = (Vec::new(), Vec::new(), Vec::new());
    sip::Trunk { peers, targets, digest_users, options_ping: std::time::Duration::ZERO, ..trunk.clone() }
}

/// What a running node is built on.
fn fixed(old: &Config, new: &Config) -> Vec<(&'static str, bool)> {
    let (sip, media, http) = ((&old.sip, &new.sip), (&old.media, &new.media), (&old.http, &new.http));
    vec![
        ("node.name", old.node.name != new.node.name),
        ("node.state_dir", old.node.state_dir != new.node.state_dir),
        ("node.run_dir", old.node.run_dir != new.node.run_dir),
        ("node.drain_timeout", old.node.drain_timeout != new.node.drain_timeout),
        ("sip.listen", old.listen != new.listen),
        ("sip.advertise", sip.0.advertise != sip.1.advertise),
        ("sip.t1", sip.0.t1 != sip.1.t1),
        ("sip.dscp", old.sip_dscp != new.sip_dscp),
        ("sip.digest_md5", sip.0.digest_md5 != sip.1.digest_md5),
        ("media.cores", media.0.cores != media.1.cores),
        ("media.realtime", media.0.realtime != media.1.realtime),
        ("media.ports", media.0.ports != media.1.ports),
        ("media.bind", media.0.bind != media.1.bind),
        ("media.dscp", media.0.dscp != media.1.dscp),
        ("media.jitter.max", media.0.jitter_max != media.1.jitter_max),
        ("http.listen", http.0.listen != http.1.listen),
        ("http.metrics_allow", http.0.metrics_allow != http.1.metrics_allow),
        ("log.format", old.log.format != new.log.format),
    ]
}

/// What changes, in words; certificates are read again whatever is written.
fn changes(old: &Config, new: &Config) -> Vec<String> {
    let mut changes = Vec::new();
    for (place, trunk) in new.call.trunks.iter().enumerate() {
        let sip = (old.sip.trunks.get(place), new.sip.trunks.get(place));
        let call = old.call.trunks.get(place);
        let was = old.names.trunks.contains(&trunk.name);
        let is = new.names.trunks.contains(&trunk.name);
        let word = match (was, is) {
            (false, true) => "new",
            (true, false) => "gone",
            (true, true) if sip.0 != sip.1 || call.is_none_or(|old| differ(old, trunk)) => "changed",
            _ => continue,
        };
        changes.push(format!("trunk {} {word}", trunk.name));
    }
    let limits = (&old.call.limits, &new.call.limits);
    let sip = |config: &sip::Config| {
        (config.source_requests_per_second, config.stranger_answers, config.strangers_per_second)
    };
    let connections = old.sip_limits != new.sip_limits;
    for (what, changed) in [
        ("routes", differ(&old.call.routes, &new.call.routes)),
        ("flows", differ(&old.call.flows, &new.call.flows) || differ(&old.call.prompts, &new.call.prompts)),
        (
            "accounts",
            limits.0.account_streams != limits.1.account_streams || old.call.accounts != new.call.accounts,
        ),
        (
            "limits",
            differ_but_accounts(limits)
                || sip(&old.sip) != sip(&new.sip)
                || connections
                || old.cpu_percent != new.cpu_percent,
        ),
        ("sip.strangers", old.sip.strangers != new.sip.strangers),
        ("sip.user_agent", old.sip.user_agent != new.sip.user_agent),
        ("sip.tls", old.sip_tls != new.sip_tls),
        ("media.advertise", old.call.advertise != new.call.advertise),
        (
            "stream",
            differ(&old.call.stream, &new.call.stream)
                || old.stream_tls != new.stream_tls
                || old.call.reconnect != new.call.reconnect
                || old.call.fetch.timeout != new.call.fetch.timeout,
        ),
        ("egress", old.egress != new.egress),
        ("log", old.log != new.log),
    ] {
        if changed {
            changes.push(what.to_owned());
        }
    }
    changes
}

fn differ_but_accounts(
    (old, new): (&crate::call::admission::Limits, &crate::call::admission::Limits),
) -> bool {
    (old.calls, old.calls_per_second, old.streams) != (new.calls, new.calls_per_second, new.streams)
}

/// By what they print: none of these hides anything.
fn differ<T: Debug>(one: &T, other: &T) -> bool {
    format!("{one:?}") != format!("{other:?}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::Surroundings;

    fn read(text: &str) -> Config {
        let machine = Surroundings {
            variables: HashMap::new(),
            cores: vec![0, 1, 2, 3],
            descriptors: 1 << 20,
            host_name: "edge-1".to_owned(),
        };
        Config::from_text("f", text, &machine).expect("a configuration")
    }

    fn trunk(name: &str, peer: &str) -> String {
        format!(
            "[[trunk]]\nname = \"{name}\"\naccount = \"a\"\npeers = [\"{peer}\"]\n[[route]]\ntrunk = \"{name}\"\nreject = 603\n"
        )
    }

    fn names(config: &Config) -> Vec<&str> {
        config.call.trunks.iter().map(|trunk| trunk.name.as_str()).collect()
    }

    #[test]
    fn a_trunk_keeps_its_number_however_the_list_changes() {
        let first = read(&(trunk("a", "192.0.2.1") + &trunk("b", "192.0.2.2") + &trunk("c", "192.0.2.3")));
        let next = read(&(trunk("d", "192.0.2.4") + &trunk("c", "192.0.2.3") + &trunk("a", "192.0.2.9")));
        let (second, changes) = next.succeed(&first).expect("a successor");
        assert_eq!(names(&second), ["a", "b", "c", "d"]);
        assert_eq!(changes, ["trunk a changed", "trunk b gone", "trunk d new", "routes"]);
        assert!(second.sip.trunks[1].peers.is_empty());
        let of = |config: &Config| {
            config.call.routes.routes.iter().map(|r| r.trunk.map(|id| id.0)).collect::<Vec<_>>()
        };
        assert_eq!(of(&second), [Some(3), Some(2), Some(0)]);
        assert_eq!(second.sip.trunks.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), names(&second));
        // back again: b is where it was
        let again = read(&(trunk("b", "192.0.2.2") + &trunk("a", "192.0.2.9")));
        let (third, changes) = again.succeed(&second).expect("a successor");
        assert_eq!(names(&third), ["a", "b", "c", "d"]);
        assert_eq!(changes, ["trunk b new", "trunk c gone", "trunk d gone", "routes"]);
        assert_eq!(third.sip.trunks[1].peers, first.sip.trunks[1].peers);
        assert_eq!(of(&third), [Some(1), Some(0)]);
    }

    #[test]
    fn what_needs_a_restart_is_named_all_at_once() {
        let first = read("");
        let next = read(
            "[sip]\nlisten = [\"udp://127.0.0.1:5060\"]\ndscp = 8\n[media]\nports = \"20000-39999\"\n[log]\nlevel = \"debug\"\n",
        );
        let refused = next.succeed(&first).expect_err("three keys");
        assert_eq!(refused.0, ["sip.listen", "sip.dscp", "media.ports"]);
        assert!(refused.to_string().starts_with("sip.listen, sip.dscp, media.ports cannot change"));
    }

    #[test]
    fn what_changes_is_said_without_its_value() {
        let first = read(&trunk("a", "192.0.2.1"));
        assert_eq!(read(&trunk("a", "192.0.2.1")).succeed(&first).expect("the same").1, Vec::<String>::new());
        let text = "[sip]\nstrangers = \"silent\"\n[limits]\ncalls = 9\n[log]\nlevel = \"debug\"\n[stream]\nping_interval = \"5s\"\n[[account]]\nsid = \"a\"\nmax_streams = 3\n".to_owned()
            + &trunk("a", "192.0.2.1").replace("[[route]]", "digest_users = [{ user = \"u\", password = \"s3cret\" }]\n[[route]]");
        let (_, changes) = read(&text).succeed(&first).expect("a successor");
        assert_eq!(changes, ["trunk a changed", "accounts", "limits", "sip.strangers", "stream", "log"]);
        let other = read(&text.replace("s3cret", "other"));
        let (config, _) = read(&text).succeed(&first).expect("a successor");
        assert_eq!(
            other.succeed(&config).expect("a successor").1,
            ["trunk a changed"],
            "a password is a change"
        );
    }
}
