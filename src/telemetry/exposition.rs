//! How the table becomes text a scraper reads. `install` once, before anything is counted; then `render`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::metrics::{CONCEALED_MS, Hot, MAX_CORES};
use super::process;
use super::table::{Axis, Kind, TABLE};

/// How often samples of histograms are folded into their buckets when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
static CORES: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Label values that come from configuration.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Trunks.
    pub trunks: Vec<String>,
    /// Accounts.
    pub accounts: Vec<String>,
    /// Hosts of bots.
    pub bots: Vec<String>,
    /// The bots one by one: scheme, host, port and path.
    pub bot_addresses: Vec<String>,
    /// Media cores.
    pub cores: Vec<usize>,
}

/// The two texts a scraper may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for.
    pub fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// Content-Type of it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Makes this process count, with every series of these names at 0. Called again (a reload, a second daemon
/// in one process) it adds the series of the new names.
pub fn install(names: &Names) -> PrometheusHandle {
    let handle = HANDLE.get_or_init(|| {
        std::sync::LazyLock::force(&process::STARTED);
        let handle =
            with_buckets().install_recorder().expect("no other recorder is installed in this process");
        describe();
        Hot::take();
        keep_up(handle.clone());
        handle
    });
    register(names);
    let mut cores = CORES.lock().unwrap_or_else(PoisonError::into_inner);
    for &core in &names.cores {
        if core < MAX_CORES && !cores.contains(&core) {
            cores.push(core);
        }
    }
    handle.clone()
}

fn with_buckets() -> PrometheusBuilder {
    TABLE.iter().fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
        Kind::Histogram(bounds) => builder
            .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)
            .expect("no histogram of the table is without bounds"),
        Kind::Counter | Kind::Gauge => builder,
    })
}

fn describe() {
    for metric in TABLE {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

/// Without it the samples of histograms would be kept one by one until somebody scrapes.
fn keep_up(handle: PrometheusHandle) {
    let thread = std::thread::Builder::new().name("metrics".to_owned());
    let started = thread.spawn(move || {
        loop {
            std::thread::sleep(UPKEEP);
            handle.run_upkeep();
        }
    });
    drop(started.expect("a process at its start may have a thread"));
}

type Labels = Vec<(&'static str, String)>;

/// Touches every series, so that it is exported before anything happened.
fn register(names: &Names) {
    for metric in TABLE {
        for labels in combinations(metric.axes, names) {
            let labels: Vec<metrics::Label> =
                labels.into_iter().map(|(key, value)| metrics::Label::new(key, value)).collect();
            match metric.kind {
                Kind::Counter => metrics::counter!(metric.name, labels).increment(0),
                Kind::Gauge => metrics::gauge!(metric.name, labels).increment(0.0),
                Kind::Histogram(_) => drop(metrics::histogram!(metric.name, labels)),
            }
        }
    }
}

fn combinations(axes: &[Axis], names: &Names) -> Vec<Labels> {
    axes.iter().fold(vec![Labels::new()], |so_far, axis| {
        let values = values(axis, names);
        so_far
            .iter()
            .flat_map(|labels| values.iter().map(|more| labels.iter().chain(more).cloned().collect()))
            .collect()
    })
}

fn values(axis: &Axis, names: &Names) -> Vec<Labels> {
    let each = |key: &'static str, values: &[String]| {
        values.iter().map(|value| vec![(key, value.clone())]).collect()
    };
    match *axis {
        Axis::Of(key, values) => values.iter().map(|&value| vec![(key, value.to_owned())]).collect(),
        Axis::Pairs(one, two, pairs) => {
            pairs.iter().map(|&(a, b)| vec![(one, a.to_owned()), (two, b.to_owned())]).collect()
        }
        Axis::Triples(keys, rows) => {
            rows.iter().map(|row| keys.into_iter().zip(row.map(str::to_owned)).collect()).collect()
        }
        Axis::Trunk => each("trunk", &names.trunks),
        Axis::Account => each("account", &names.accounts),
        Axis::Bot => each("bot", &names.bots),
        Axis::BotAddress => each("bot", &names.bot_addresses),
        Axis::Target => Vec::new(),
        Axis::Core => names.cores.iter().map(|core| vec![("core", core.to_string())]).collect(),
    }
}

/// Everything that is counted, as text; empty before `install`.
pub fn render(format: Format) -> String {
    let Some(handle) = HANDLE.get() else { return String::new() };
    if let Some((open, limit)) = process::descriptors() {
        super::metrics::resource("file_descriptors", open, limit);
    }
    let mut text = handle.render();
    write_build_info(&mut text);
    write_concealed(&mut text);
    process::write(&mut text);
    match format {
        Format::Prometheus => text,
        Format::OpenMetrics => open_metrics(&text),
    }
}

/// The commit this was built from, when the builder said so.
pub const COMMIT: Option<&str> = option_env!("STREAMKIT_COMMIT");

fn write_build_info(text: &mut String) {
    let (version, commit) = (env!("CARGO_PKG_VERSION"), COMMIT.unwrap_or("unknown"));
    text.push_str(
        "# HELP streamkit_build_info What is running; always 1.\n# TYPE streamkit_build_info gauge\n",
    );
    let _ = writeln!(text, "streamkit_build_info{{version=\"{version}\",commit=\"{commit}\"}} 1");
}

fn write_concealed(text: &mut String) {
    const NAME: &str = "streamkit_media_concealed_seconds_total";
    let _ = writeln!(text, "# HELP {NAME} Audio made up for want of packets.\n# TYPE {NAME} counter");
    for &core in CORES.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let seconds = CONCEALED_MS[core].load(Ordering::Relaxed) as f64 / 1000.0;
        let _ = writeln!(text, "{NAME}{{core=\"{core}\"}} {seconds}");
    }
}

/// The same in OpenMetrics: a counter's family goes without `_total`, no blank lines, `# EOF` at the end.
fn open_metrics(text: &str) -> String {
    let kinds: HashMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(word), Some(name), Some(rest)) => {
                let family = match kinds.get(name) {
                    Some(&"counter") => name.strip_suffix("_total").unwrap_or(name),
                    _ => name,
                };
                let _ = writeln!(out, "# {word} {family} {rest}");
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out.push_str("# EOF\n");
    out
}

#[cfg(test)]
mod tests {
    use super::super::metrics as count;
    use super::*;

    fn names() -> Names {
        Names {
            trunks: vec!["pbx".into(), "sbc".into()],
            accounts: vec!["acme1".into()],
            bots: vec!["bot.example.com".into()],
            bot_addresses: vec!["wss://bot.example.com:443/media".into()],
            cores: vec![0, 3],
        }
    }

    #[test]
    fn every_metric_of_the_table_is_there_from_the_start() {
        install(&names());
        count::sip_target_up("pbx", "192.0.2.1:5060", true); // its targets are found out later
        let text = render(Format::Prometheus);
        for metric in TABLE {
            let line = match metric.kind {
                Kind::Histogram(_) => format!("\n{}_count", metric.name),
                Kind::Counter | Kind::Gauge => format!("\n{}", metric.name),
            };
            assert!(text.contains(&line), "{} is missing", metric.name);
            assert!(text.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}", metric.name);
        }
        for series in [
            "streamkit_sip_requests_total{transport=\"tls\",direction=\"out\",method=\"OTHER\"} 0",
            "streamkit_call_mos_bucket{trunk=\"sbc\",le=\"4.1\"} 0",
            "streamkit_media_concealed_seconds_total{core=\"3\"}",
            "process_threads ",
            "process_resident_memory_bytes ",
        ] {
            assert!(text.contains(series), "{series} is missing");
        }
    }

    #[test]
    fn what_is_counted_is_seen() {
        install(&names());
        let value = |text: &str, series: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(series))
                .unwrap_or_else(|| panic!("{series} is missing"));
            line.trim().parse::<f64>().expect("a number")
        };
        let before = render(Format::Prometheus);
        count::rtp_dropped("in", "foreign", 7);
        count::stream_messages("in", "of the future", 1);
        count::call_set_up("sbc", Duration::from_millis(40), true);
        count::media_concealed(3, Duration::from_millis(1500));
        let after = render(Format::Prometheus);
        for (series, more) in [
            ("streamkit_rtp_dropped_total{direction=\"in\",cause=\"foreign\"}", 7.0),
            ("streamkit_stream_messages_total{direction=\"in\",event=\"other\"}", 1.0),
            ("streamkit_call_answer_seconds_bucket{trunk=\"sbc\",le=\"0.05\"}", 1.0),
            ("streamkit_media_concealed_seconds_total{core=\"3\"}", 1.5),
        ] {
            // at least: the tests beside this one count too
            assert!(value(&after, series) >= value(&before, series) + more, "{series}");
        }
    }

    #[test]
    fn open_metrics_ends_and_names_families_without_total() {
        let text = open_metrics(
            "# HELP a_total Things.\n# TYPE a_total counter\na_total 1\n\n# TYPE b gauge\nb 2\n",
        );
        assert_eq!(text, "# HELP a Things.\n# TYPE a counter\na_total 1\n# TYPE b gauge\nb 2\n# EOF\n");
    }

    #[test]
    fn the_scraper_chooses_the_text() {
        assert_eq!(Format::accepted(None), Format::Prometheus);
        let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        assert_eq!(Format::accepted(Some(accept)), Format::OpenMetrics);
    }
}
