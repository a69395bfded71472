//! Lines for people and for machines: text on a terminal, JSON otherwise.
//!
//! No line can be forged or flooded from outside (reliability R-131): control characters are escaped, a value
//! longer than 1 KiB is cut, and a cause that repeats gets 10 lines a second with a count of what was held back.
//! Caller numbers can be masked.

#![allow(clippy::disallowed_methods)] // a shell: the limit of lines runs by the clock

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;

/// Longest value of a field in octets.
pub const MAX_VALUE: usize = 1024;
/// Lines a second that one cause gets.
pub const LINES_PER_SECOND: u32 = 10;
/// Causes that are told apart at once; beyond, all others share one limit.
const MAX_CAUSES: usize = 1024;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// `log.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The least important line that is written.
    pub level: LevelFilter,
    /// How it is written.
    pub format: Format,
    /// Digits of callers' numbers become `*`, but for the last two.
    pub mask_numbers: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { level: LevelFilter::INFO, format: Format::Auto, mask_numbers: false }
    }
}

static MASK: AtomicBool = AtomicBool::new(false);
static LEVEL: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Writes lines of this process to stderr from now on. Called again it changes level and masking only.
pub fn install(config: &Config) {
    MASK.store(config.mask_numbers, Ordering::Relaxed);
    if let Some(level) = LEVEL.get() {
        drop(level.reload(targets(config.level)));
        return;
    }
    let json = match config.format {
        Format::Auto => !std::io::stderr().is_terminal(),
        Format::Text => false,
        Format::Json => true,
    };
    let (filter, handle) = reload::Layer::new(targets(config.level));
    let installed = tracing::subscriber::set_global_default(
        tracing_subscriber::registry().with(lines(json, std::io::stderr).with_filter(filter)),
    );
    if installed.is_ok() {
        drop(LEVEL.set(handle));
    }
}

/// Our own lines at the level asked for; what libraries say only when it is a warning.
fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("streamkit", level)
}

fn lines<W>(
    json: bool,
    to: W,
) -> tracing_subscriber::fmt::Layer<Registry, tracing_subscriber::fmt::format::DefaultFields, Lines, W>
where
    W: for<'a> MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt::layer().event_format(Lines { json }).with_writer(to)
}

/// Whether a line about this cause may be written now; the number held back since the last one with it.
/// For what strangers can cause at will, so that the line is not even made.
pub fn allow(cause: &'static str) -> Option<u64> {
    limited(cause)
}

fn limited(cause: &str) -> Option<u64> {
    static LIMIT: LazyLock<Mutex<Limit>> = LazyLock::new(Mutex::default);
    let allowed = LIMIT.lock().unwrap_or_else(PoisonError::into_inner).allow(Instant::now(), cause);
    if allowed.is_none() {
        super::metrics::log_suppressed();
    }
    allowed
}

/// Ten lines a second for each cause.
#[derive(Debug, Default)]
struct Limit {
    causes: HashMap<String, Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
    suppressed: u64,
}

impl Limit {
    fn allow(&mut self, now: Instant, cause: &str) -> Option<u64> {
        let cause =
            if self.causes.len() < MAX_CAUSES || self.causes.contains_key(cause) { cause } else { "" };
        if !self.causes.contains_key(cause) {
            self.causes.insert(cause.to_owned(), Window { began: now, lines: 0, suppressed: 0 });
        }
        let window = self.causes.get_mut(cause)?;
        if now.saturating_duration_since(window.began) >= Duration::from_secs(1) {
            (window.began, window.lines) = (now, 0);
        }
        if window.lines == LINES_PER_SECOND {
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

/// A number or SIP address as it may stand in a log: as it is, or with its digits masked when the operator
/// asked for that.
pub fn number(number: &str) -> String {
    if MASK.load(Ordering::Relaxed) { masked(number) } else { number.to_owned() }
}

/// Every digit of a run of four or more becomes `*`, but for the last two.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, run) = rest.split_at(at);
        let end = run.find(|c: char| !c.is_ascii_digit()).unwrap_or(run.len());
        let (digits, after) = run.split_at(end);
        out.push_str(before);
        let shown = if digits.len() >= 4 { 2 } else { digits.len() };
        out.extend(std::iter::repeat_n('*', digits.len() - shown));
        out.push_str(&digits[digits.len() - shown..]);
        rest = after;
    }
    out + rest
}

/// Fields that hold a caller's number.
const NUMBERS: [&str; 5] = ["from", "to", "caller", "called", "number"];

/// One line an event.
struct Lines {
    json: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let meta = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        // What tells its cause, and every warning, is limited; a call's own lines are not.
        let cause = match (&fields.cause, *meta.level()) {
            (Some(cause), _) => Some(cause.as_str()),
            (None, Level::ERROR | Level::WARN) => Some(meta.name()),
            (None, _) => None,
        };
        let suppressed = match cause.map(limited) {
            Some(None) => return Ok(()),
            Some(Some(suppressed)) => suppressed,
            None => 0,
        };
        if suppressed > 0 {
            fields.others.push(("suppressed", suppressed.to_string()));
        }
        let now = jiff::Timestamp::now();
        if self.json {
            fields.json(&mut out, now, *meta.level(), meta.target())
        } else {
            fields.text(&mut out, now, *meta.level())
        }
    }
}

/// The values of one event, cut and masked but not yet escaped.
#[derive(Default)]
struct Fields {
    message: String,
    cause: Option<String>,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: &dyn fmt::Display) {
        let mut capped = Capped(String::new());
        let cut = write!(capped, "{value}").is_err();
        let mut text = capped.0;
        if cut {
            text.push('…');
        }
        if NUMBERS.contains(&field.name()) {
            text = number(&text);
        }
        match field.name() {
            "message" => self.message = text,
            "cause" => {
                self.cause = Some(text.clone());
                self.others.push(("cause", text));
            }
            name => self.others.push((name, text)),
        }
    }

    fn text(&self, out: &mut Writer<'_>, now: jiff::Timestamp, level: Level) -> fmt::Result {
        write!(out, "{now:.3} {level:>5} {}", Escaped(&self.message))?;
        for (name, value) in &self.others {
            if value.contains([' ', '"']) || value.is_empty() {
                write!(out, " {name}=\"{}\"", Escaped(&value.replace('"', "\\\"")))?;
            } else {
                write!(out, " {name}={}", Escaped(value))?;
            }
        }
        writeln!(out)
    }

    fn json(&self, out: &mut Writer<'_>, now: jiff::Timestamp, level: Level, target: &str) -> fmt::Result {
        let mut line = serde_json::Map::new();
        line.insert("time".into(), format!("{now:.3}").into());
        line.insert("level".into(), level.as_str().to_ascii_lowercase().into());
        line.insert("message".into(), self.message.as_str().into());
        line.insert("target".into(), target.into());
        for (name, value) in &self.others {
            line.insert((*name).to_owned(), value.as_str().into());
        }
        writeln!(out, "{}", EscapedJson(&serde_json::Value::Object(line).to_string()))
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format_args!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field, &value);
    }
}

/// Takes `MAX_VALUE` octets, then no more: a huge value is never made in full.
struct Capped(String);

impl fmt::Write for Capped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_VALUE - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        Err(fmt::Error)
    }
}

/// A control character, or one of Unicode that breaks a line or turns it round.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON whose writer left alone what is no ASCII control character.
struct EscapedJson<'a>(&'a str);

impl fmt::Display for EscapedJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if steers(c) {
                write!(f, "\\u{:04x}", u32::from(c))?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Control characters as `\n`, `\u{1b}`.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if steers(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(json: bool, what: impl FnOnce()) -> String {
        let paper = Paper::default();
        let to = paper.clone();
        let subscriber = tracing_subscriber::registry().with(lines(json, move || to.clone()));
        tracing::subscriber::with_default(subscriber, what);
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_stranger_cannot_forge_a_line() {
        let nasty = "x\r\n2026 ERROR forged \u{1b}[2J\u{85}\u{202e}";
        let text = written(false, || tracing::info!(agent = nasty, "took a call"));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.trim_end().contains(steers) && text.contains("\\r\\n2026"), "{text}");
        let json = written(true, || tracing::info!(agent = nasty, "took a call"));
        assert!(!json.trim_end().contains(steers), "{json}");
        let line: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
        assert_eq!((json.lines().count(), line["agent"].as_str()), (1, Some(nasty)));
        assert_eq!(line["level"], "info");
    }

    #[test]
    fn a_value_is_cut_at_1_kib_on_a_character() {
        let json = written(true, || tracing::info!(value = "é".repeat(5000), "long"));
        let line: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
        assert_eq!(line["value"].as_str().unwrap(), format!("{}…", "é".repeat(MAX_VALUE / 2)));
    }

    #[test]
    fn a_cause_gets_ten_lines_a_second_and_tells_what_was_held_back() {
        let (now, mut limit) = (Instant::now(), Limit::default());
        let allowed = (0..1000).filter(|_| limit.allow(now, "stranger").is_some()).count();
        assert_eq!(allowed, 10);
        assert_eq!(limit.allow(now, "another"), Some(0));
        assert_eq!(limit.allow(now + Duration::from_secs(1), "stranger"), Some(990));
        assert_eq!(limit.allow(now + Duration::from_secs(1), "stranger"), Some(0));
    }

    #[test]
    fn causes_beyond_the_table_share_one_limit() {
        let (now, mut limit) = (Instant::now(), Limit::default());
        let allowed = (0..5000).filter(|n| limit.allow(now, &n.to_string()).is_some()).count();
        assert_eq!(allowed, MAX_CAUSES + LINES_PER_SECOND as usize);
        assert!(limit.causes.len() <= MAX_CAUSES + 1);
    }

    #[test]
    fn lines_of_one_cause_are_held_back_and_lines_of_calls_are_not() {
        let text = written(false, || {
            for call in 0..50 {
                tracing::warn!(cause = "log test", "refused");
                tracing::info!(call, "began");
            }
        });
        assert!(text.matches("refused").count() <= 11, "{text}");
        assert_eq!(text.matches("began").count(), 50);
    }

    #[test]
    fn a_masked_number_keeps_its_last_two_digits() {
        assert_eq!(masked("sip:+918061234509@10.1.2.3"), "sip:+**********09@10.1.2.3");
        assert_eq!(masked("112 é 1234"), "112 é **34");
    }
}
