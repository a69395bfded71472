//! The configuration: what was written becomes what is meant, or a list of everything that is wrong with it.
//!
//! ```text
//!  streamkit.toml ┐
//!  conf.d/*.toml  ├─► layers ─► read ─► file · trunks · routes ─► check ─► Config
//!  STREAMKIT__... ┘  one tree,  keys asked   what each            does the
//!                    with places for by name  table means          whole fit?
//! ```
//!
//! Only `Config` is passed on; it holds the `Config` of each module. A value that exists is a value that is right.

mod accounts;
mod check;
mod env;
mod error;
mod file;
mod flows;
mod json;
mod kinds;
mod layers;
mod read;
mod reload;
mod routes;
mod sip;
mod targets;
mod trunks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use env::Surroundings;
pub use error::{Place, Problem, Refused};
pub use kinds::Listen;
pub use reload::NeedsRestart;
pub use routes::JudgeUrl;

use crate::egress::Allowed;
use crate::sip::Config as Signalling;
use crate::sip::io::{Limits, TlsFiles};
use crate::telemetry::{exposition, log};
use crate::{call, fetch, media, route, stream};
use layers::File;
use read::Reading;

/// Where flows are kept, if nothing else is written.
const FLOWS_DIR: &str = "/etc/streamkit/flows.d";

/// Everything, as meant.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: Node,
    /// Where SIP is listened for.
    pub listen: Vec<Listen>,
    /// Differentiated services code point of SIP, 24.
    pub sip_dscp: u8,
    /// How many SIP connections there may be, and for how long.
    pub sip_limits: Limits,
    /// Processor time of this process, percent of all cores, from which on new calls get 503; 0: none is refused for it.
    pub cpu_percent: u8,
    /// Certificates of SIP; absent: there is no TLS.
    pub sip_tls: Option<TlsFiles>,
    /// What signalling keeps to, trunks included.
    pub sip: Signalling,
    /// What the engine keeps to.
    pub media: media::Config,
    /// What calls keep to: trunks, routes, streams, limits.
    pub call: call::Config,
    /// Whom streams trust, and as whom they present themselves.
    pub stream_tls: StreamTls,
    /// `egress.allow`; hosts that stand in the configuration besides are in `call.fetch`.
    pub egress: Vec<Allowed>,
    /// Metrics and health.
    pub http: Http,
    /// Lines.
    pub log: log::Config,
    /// Label values of metrics.
    pub names: exposition::Names,
    /// What was accepted and deserves a word: keys without effect in this release, defaults made to fit.
    pub notes: Vec<String>,
}

/// `[node]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// In metrics, CDRs and logs.
    pub name: String,
    /// CDRs.
    pub state_dir: PathBuf,
    /// What lives as long as the process.
    pub run_dir: PathBuf,
    /// How long running calls may go on after SIGTERM.
    pub drain_timeout: Duration,
}

/// `stream.ca_file` and the client's certificate: PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamTls {
    /// Roots in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate.
    pub client_certificate: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where it is listened, loopback only in this release.
    pub listen: Vec<SocketAddr>,
    /// Networks that may read metrics and health besides loopback.
    pub metrics_allow: Vec<IpNet>,
}

impl Config {
    /// Reads a file and the `conf.d` beside it, under the environment of this process.
    ///
    /// # Errors
    /// Every problem, each with its place.
    pub fn load(path: &Path) -> Result<Self, Refused> {
        let mut problems = Vec::new();
        let files = layers::read_files(path, &mut problems);
        let flows = Some(Path::new(FLOWS_DIR));
        Self::from_files(&files, &Surroundings::of_this_process(), flows, judge_url, problems)
    }

    /// Reads a text that is no file, under these surroundings.
    ///
    /// # Errors
    /// Every problem, each with its place; `name` stands for the file.
    pub fn from_text(name: &str, text: &str, surroundings: &Surroundings) -> Result<Self, Refused> {
        let file = File { name: name.to_owned(), text: text.to_owned() };
        Self::from_files(&[file], surroundings, None, judge_url, Vec::new())
    }

    fn from_files(
        files: &[File],
        surroundings: &Surroundings,
        default_flows: Option<&Path>,
        judge: JudgeUrl,
        mut problems: Vec<Problem>,
    ) -> Result<Self, Refused> {
        let layered = layers::lay(files, surroundings, default_flows, &mut problems);
        let reading = Reading::new(&layered, surroundings, problems);
        let config = meant(&reading, judge);
        let (problems, notes) = reading.finish();
        if problems.is_empty() { Ok(Self { notes, ..config }) } else { Err(Refused(problems)) }
    }
}

/// Reads the whole tree; what is wrong goes to `reading`, and something stands in its place.
fn meant(reading: &Reading<'_>, judge: JudgeUrl) -> Config {
    let mut root = reading.root();
    let node = file::node(root.section("node"));
    let mut sip = sip::sip(root.section("sip"));
    let (media, advertise) = file::media(root.section("media"), sip.config.advertise.as_deref());
    let http = file::http(root.section("http"));
    let limits = file::limits(root.section("limits"), &media.ports);
    let log = file::log(root.section("log"));
    let file::Streams { config: stream, tls: stream_tls, url_timeout, encrypts, reconnect } =
        file::stream(root.section("stream"));
    let egress = accounts::egress(root.section("egress"));
    file::later(&mut root);
    let flows = flows::flows(&mut root, judge);
    let trunks: Vec<_> = root.sections("trunk").into_iter().filter_map(trunks::trunk).collect();
    check::trunks(reading, &trunks);
    let names: Vec<&str> = trunks.iter().map(|trunk| trunk.call.name.as_str()).collect();
    let routes = root.sections("route").into_iter();
    let routes: Vec<_> =
        routes.filter_map(|section| routes::route(section, &names, &flows.flows, judge)).collect();
    let own = accounts::accounts(root.sections("account"));
    root.done();
    check::whole(reading, &sip.listen, &media, &trunks, &routes);
    check::flows(reading, &trunks, &routes, &flows);
    accounts::fit(reading, &own, &trunks, &routes, encrypts, &flows);
    let refuse = |trunk: &trunks::Trunk, wrong: &str, right: &str| {
        reading.refuse(trunk.transports_place.clone(), "trunk.transports", wrong, right);
    };
    sip::fits(&sip, &trunks, refuse, |note| reading.note(note));

    let names = check::names(&trunks, &routes, &flows, own.settings.keys().cloned(), &media);
    let hosts = names.bots.iter().cloned().map(Allowed::Host);
    let fetch = fetch::Config {
        timeout: url_timeout,
        plain: stream.allow_plain_ws,
        user_agent: stream.user_agent.clone(),
        allow: egress.iter().cloned().chain(hosts).collect(),
    };
    sip.config.trunks = trunks.iter().map(|trunk| trunk.sip.clone()).collect();
    sip.config.source_requests_per_second = limits.source_requests_per_second;
    (sip.config.stranger_answers, sip.config.strangers_per_second) = limits.stranger_answers;
    sip.config.max_transactions = 100 * limits.calls_per_second as usize;
    let call = call::Config {
        node: node.name.clone(),
        trunks: trunks.into_iter().map(|trunk| trunk.call).collect(),
        routes: route::Table { routes: routes.into_iter().map(|written| written.route).collect() },
        advertise,
        stream: Arc::new(stream),
        fetch: Arc::new(fetch),
        accounts: own.settings,
        reconnect,
        flows: flows.flows,
        prompts: flows.prompts,
        limits: call::admission::Limits {
            calls: limits.calls,
            calls_per_second: limits.calls_per_second,
            streams: limits.streams,
            account_streams: own.streams,
        },
    };
    Config {
        node,
        listen: sip.listen,
        sip_dscp: sip.dscp,
        cpu_percent: limits.cpu_percent,
        sip_limits: Limits {
            idle: sip.limits.idle,
            stranger_idle: sip.limits.stranger_idle,
            ..limits.connections
        },
        sip_tls: sip.tls,
        sip: sip.config,
        media,
        call,
        stream_tls,
        egress,
        http,
        log,
        names,
        notes: Vec::new(),
    }
}

/// What the stream module says of a bot's URL; it never repeats its user info.
fn judge_url(url: &str) -> Result<(), String> {
    call::Bot::parse(url, stream::UrlLimits::DEFAULT).map(drop).map_err(|wrong| wrong.to_string())
}

#[cfg(test)]
mod tests;
