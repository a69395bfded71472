//! What a configuration means, in lines for people.

use std::fmt::{self, Write as _};
use std::path::Path;

use super::which_route::target;
use crate::call::{Dialect, Dtmf, Ring, Srtp};
use crate::config::Config;
use crate::flow::applet::{Applet, Stream};
use crate::flow::{AnswerMode, Reconnect};
use crate::media::G711;
use crate::route::{MissingAccount, Route, Target};
use crate::sip::{self, Strangers, Transport};

/// What it means, one subject a line.
pub(super) fn of(config: &Config, path: &Path) -> String {
    let mut out = format!("{} is right.\n\n", path.display());
    // Writing to a String does not fail.
    let _ = node(&mut out, config);
    let _ = trunks(&mut out, config);
    let _ = accounts(&mut out, config);
    let _ = routes(&mut out, config);
    let _ = flows(&mut out, config);
    for note in &config.notes {
        let _ = writeln!(out, "note      {note}");
    }
    out
}

fn node(out: &mut String, config: &Config) -> fmt::Result {
    let (node, media, limits) = (&config.node, &config.media, &config.call.limits);
    writeln!(
        out,
        "node      {}, state in {}, drains for {:?}",
        node.name,
        node.state_dir.display(),
        node.drain_timeout
    )?;
    let strangers = match config.sip.strangers {
        Strangers::Refuse => "strangers get 403",
        Strangers::Silent => "strangers get nothing",
    };
    write!(out, "SIP       {}; {strangers}", list(&config.listen))?;
    match &config.sip.advertise {
        Some(name) => writeln!(out, "; known as {name}")?,
        None => writeln!(out)?,
    }
    if let Some(tls) = &config.sip_tls {
        let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let clients = match path(&tls.client_ca) {
            Some(authority) => format!("clients must be known to {authority}"),
            None => "clients are not asked who they are".to_owned(),
        };
        let servers = path(&tls.ca_file).unwrap_or_else(|| "the system".to_owned());
        let own = tls.own.as_ref().map(|(certificate, _)| certificate.display().to_string());
        let own = own.unwrap_or_default();
        writeln!(out, "TLS       {own}; {clients}; servers must be known to {servers}")?;
    }
    let ports = (usize::from(*media.ports.end()) + 1 - usize::from(*media.ports.start())).div_ceil(2);
    let cores = match media.cores.as_slice() {
        [] => "one worker, not pinned".to_owned(),
        cores => format!("cores {}", list(cores)),
    };
    let (first, last) = (media.ports.start(), media.ports.end());
    writeln!(
        out,
        "media     {ports} RTP ports ({first}-{last}); {cores}; packets waited for {:?} at most",
        media.jitter_max
    )?;
    writeln!(
        out,
        "limits    {} calls, {} new calls a second, {} streams",
        limits.calls, limits.calls_per_second, limits.streams
    )?;
    if !config.egress.is_empty() {
        let allowed = list(&config.egress);
        writeln!(out, "egress    what arrives at run time may lead to public addresses and to {allowed}")?;
    }
    writeln!(out, "HTTP      {}", list(&config.http.listen))
}

fn trunks(out: &mut String, config: &Config) -> fmt::Result {
    for (trunk, sip) in config.call.trunks.iter().zip(&config.sip.trunks) {
        let peers = if sip.peers.is_empty() { "nobody".to_owned() } else { list(&sip.peers) };
        let transports: Vec<_> = sip.transports.iter().map(|transport| transport.as_str()).collect();
        let codecs: Vec<_> = trunk
            .codecs
            .iter()
            .map(|codec| match codec {
                G711::Mu => "PCMU",
                G711::A => "PCMA",
            })
            .collect();
        let answer = match trunk.answer {
            AnswerMode::BotReady => "answers when the bot is there",
            AnswerMode::Immediate => "answers at once",
            AnswerMode::BotAudio => "answers when the bot speaks",
        };
        let ring = match trunk.ring {
            Ring::Nothing => "no ringing",
            Ring::Ringing => "180",
            Ring::EarlyMedia => "183",
        };
        let missing = match trunk.access.missing {
            MissingAccount::Default => "the first if none is named",
            MissingAccount::Reject => "one must be named",
        };
        writeln!(out, "trunk     {}: from {peers} over {}", trunk.name, list(&transports))?;
        writeln!(
            out,
            "          accounts {} ({missing}); {}; {ring}, {answer}",
            list(&trunk.access.accounts),
            list(&codecs)
        )?;
        writeln!(out, "          {}", session(trunk, sip))?;
        called(out, sip)?;
        if trunk.max_calls.is_some() || trunk.max_cps.is_some() {
            let or_all = |limit: Option<u32>| limit.map_or("no limit".to_owned(), |limit| limit.to_string());
            writeln!(
                out,
                "          calls at once: {}; new calls a second: {}",
                or_all(trunk.max_calls),
                or_all(trunk.max_cps)
            )?;
        }
    }
    Ok(())
}

/// Keys, encryption, session timer.
fn session(trunk: &crate::call::Trunk, sip: &sip::Trunk) -> String {
    let keys = match trunk.dtmf {
        Dtmf::Auto => "keys by RFC 4733 or INFO",
        Dtmf::Rfc4733 => "keys by RFC 4733",
        Dtmf::Info => "keys by INFO",
        Dtmf::Inband => "keys by RFC 4733, INFO or tones",
    };
    let over = match (trunk.srtp_without_tls, sip.transports.contains(&Transport::Tls)) {
        (true, _) => "over any transport",
        (false, true) => "over TLS",
        (false, false) => "never, for want of TLS",
    };
    let srtp = match trunk.srtp {
        Srtp::Off => "no SRTP".to_owned(),
        Srtp::Optional => format!("SRTP if offered, {over}"),
        Srtp::Required => format!("SRTP always, {over}"),
    };
    let timer = match sip.session_timer.is_zero() {
        true => "no session timer of ours".to_owned(),
        false => format!("session timer {:?}", sip.session_timer),
    };
    format!("{keys}; {srtp}; {timer}")
}

/// Where it is called, and who must say who they are.
fn called(out: &mut String, sip: &sip::Trunk) -> fmt::Result {
    let mut targets: Vec<&sip::Target> = sip.targets.iter().collect();
    targets.sort_by_key(|target| target.priority);
    for target in targets {
        let user = target.credentials.as_ref().map(|own| format!(", as {}", own.user)).unwrap_or_default();
        let pings = match sip.options_ping.is_zero() {
            true => String::new(),
            false => format!(", asked every {:?}", sip.options_ping),
        };
        let (priority, weight) = (target.priority, target.weight);
        writeln!(out, "          called at {target}: priority {priority}, weight {weight}{user}{pings}")?;
    }
    if !sip.digest_users.is_empty() {
        let users: Vec<&str> = sip.digest_users.iter().map(|user| user.user.as_str()).collect();
        writeln!(out, "          peers must say who they are: {}", list(&users))?;
    }
    if !sip.tls_names.is_empty() {
        writeln!(out, "          certificates of its peers: {}", list(&sip.tls_names))?;
    }
    Ok(())
}

/// Those with settings of their own.
fn accounts(out: &mut String, config: &Config) -> fmt::Result {
    let mut all: Vec<_> = config.call.accounts.iter().collect();
    all.sort_by_key(|(name, _)| *name);
    for (name, settings) in all {
        let streams = match config.call.limits.account_streams.get(name) {
            Some(streams) => format!("{streams} streams"),
            None => "no limit of streams".to_owned(),
        };
        let dialect = match settings.dialect {
            Dialect::Full => "",
            Dialect::Legacy => ", legacy dialect",
        };
        let key = if settings.dtmf_key.is_some() { ", a key for DTMF" } else { "" };
        writeln!(out, "account   {name}: {streams}{dialect}{key}")?;
    }
    Ok(())
}

fn routes(out: &mut String, config: &Config) -> fmt::Result {
    for (i, route) in config.call.routes.routes.iter().enumerate() {
        writeln!(out, "route {:<3} {}: {}", i + 1, conditions(config, route), target(&route.target))?;
    }
    writeln!(out, "else      404")
}

/// Each flow with its steps, in the order they are reached; secrets left out.
fn flows(out: &mut String, config: &Config) -> fmt::Result {
    for flow in config.call.flows.values() {
        let name = if flow.name.is_empty() { String::new() } else { format!(" ({})", flow.name) };
        let account = flow.account.as_ref().map_or("every account".to_owned(), |of| format!("account {of}"));
        writeln!(out, "flow      {}{name}: calls of {account} begin at {}", flow.id, flow.names[0])?;
        for (name, step) in flow.names.iter().zip(&flow.program.steps) {
            let next = match step.next.and_then(|next| flow.names.get(next)) {
                Some(next) => format!(", then {next}"),
                None if matches!(step.applet, Applet::Hangup(_)) => String::new(),
                None => ", then hangs up".to_owned(),
            };
            writeln!(out, "          {name}: {}{next}", applet(&step.applet))?;
        }
    }
    Ok(())
}

fn applet(applet: &Applet) -> String {
    match applet {
        Applet::Voicebot(voicebot) => {
            let lost = match voicebot.reconnect {
                Reconnect::No => "",
                Reconnect::Next => "; one that is lost is followed by the next",
            };
            let music = voicebot.settings.connecting_audio.as_ref();
            let music = music.map_or(String::new(), |audio| format!("; meanwhile {audio}"));
            format!("talks {}{music}{lost}", target(&Target::Bot(voicebot.urls.clone())))
        }
        Applet::Stream(Stream::Start { url, settings }) => {
            let track = settings.fork.unwrap_or_default().as_str();
            format!("sends the {track} track {}", target(&Target::Bot(vec![url.clone()])))
        }
        Applet::Stream(Stream::Stop) => "ends the streams begun before".to_owned(),
        Applet::Hangup(_) => "hangs up".to_owned(),
        #[cfg(test)]
        Applet::Pass => String::new(),
    }
}

fn conditions(config: &Config, route: &Route) -> String {
    let mut all = Vec::new();
    if let Some(trunk) = route.trunk.and_then(|id| config.call.trunks.get(usize::from(id.0))) {
        all.push(format!("trunk {}", trunk.name));
    }
    all.extend(route.to.iter().map(|to| format!("to {to}")));
    all.extend(route.from.iter().map(|from| format!("from {from}")));
    all.extend(route.account.iter().map(|account| format!("account {account}")));
    all.extend(route.headers.iter().map(|(name, pattern)| format!("{name} {pattern}")));
    if all.is_empty() { "every call".to_owned() } else { all.join(", ") }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::Surroundings;

    #[test]
    fn the_meaning_names_everything_and_no_secret() {
        let text = "[[trunk]]\nname=\"pbx\"\npeers=[\"192.0.2.10\"]\naccount=\"acme1\"\nmax_cps=5\n\
                    dtmf=\"inband\"\nsrtp=\"optional\"\ndigest_users=[{user=\"who\",password=\"s3cret\"}]\n\
                    targets=[{uri=\"b.example.com\",priority=2},{uri=\"192.0.2.7:5070;transport=tcp\",user=\"me\",password=\"s3cret\"}]\n\
                    [[route]]\nto=\"0800*\"\nbot=\"wss://key:s3cret@bot.example.com/media\"\n";
        let machine = Surroundings {
            variables: HashMap::new(),
            cores: vec![0, 1, 2, 3],
            descriptors: 1 << 20,
            host_name: "edge-1".to_owned(),
        };
        let config = Config::from_text("f", text, &machine).expect("a configuration");
        let meaning = of(&config, Path::new("f"));
        for said in [
            "f is right.",
            "edge-1",
            "udp://0.0.0.0:5060 tcp://0.0.0.0:5060; strangers get 403",
            "10000 RTP ports (10000-29999); cores 1 2 3",
            "5000 calls, 200 new calls a second, 5000 streams",
            "trunk     pbx: from 192.0.2.10/32 over udp tcp",
            "keys by RFC 4733, INFO or tones; SRTP if offered, never, for want of TLS; session timer 1800s",
            "called at 192.0.2.7:5070;transport=tcp: priority 0, weight 0, as me, asked every 30s\n          called at b.",
            "peers must say who they are: who\n",
            "calls at once: no limit; new calls a second: 5",
            "to 0800*: to the bot wss://bot.example.com/media",
        ] {
            assert!(meaning.contains(said), "{said} is missing in\n{meaning}");
        }
        assert!(!meaning.contains("s3cret"));
    }
}
