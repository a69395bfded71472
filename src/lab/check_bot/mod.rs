//! Plays the platform against somebody's bot and says what it does wrong, or slowly: what `streamkit check-bot` is
//! made of. One call a sample rate; each has a greeting to wait for, a question, an interruption, a key, a line that
//! was stuck, and a hang-up.
//!
//! ```text
//!   course ── what is due ──► io ── messages ──► bot
//!                             │  ◄──────────────┘
//!                             └──► listener: reading, playout ──► findings ──► report
//! ```

mod course;
mod fault;
mod io;
mod listener;
mod pen;
mod playout;
mod reading;
mod report;

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

pub use course::Plan;
pub use fault::{Fault, Finding, Severity};
pub use listener::Figures;

use crate::stream::{BotUrl, StreamError};
use crate::units::SampleRate;

/// The bot to be checked.
#[derive(Clone)]
pub struct Target {
    /// Its URL; the rate in it is replaced by the one that is tried.
    pub url: String,
    /// What TLS is spoken with, for `wss://`.
    pub tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// What was found of a bot.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its URL without user info.
    pub url: String,
    /// One call a rate.
    pub calls: Vec<Checked>,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its rate.
    pub rate: SampleRate,
    /// What was measured.
    pub figures: Figures,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Whether this was found.
    pub fn has(&self, fault: Fault) -> bool {
        self.findings.iter().any(|finding| finding.fault == fault)
    }

    /// The greeting's length, were its bytes at this rate.
    fn greeting(&self) -> Duration {
        self.rate.duration(self.figures.greeting_octets / 2)
    }
}

/// Calls the bot at each of these rates, one after the other; `tell` hears of each call when it is over.
///
/// # Errors
/// A URL that is none.
pub async fn check(
    target: &Target,
    rates: &[SampleRate],
    plan: &Plan,
    tell: impl Fn(&Checked),
) -> Result<Report, StreamError> {
    let urls = rates.iter().map(|&rate| BotUrl::parse(&at_rate(&target.url, rate)));
    let urls = urls.collect::<Result<Vec<_>, _>>()?;
    let mut calls: Vec<Checked> = Vec::new();
    for url in &urls {
        let (figures, findings) = io::call(target, url, plan).await;
        let mut call = Checked { rate: url.rate(), figures, findings };
        call.findings.extend(calls.first().and_then(|first| rate_ignored(first, &call)));
        call.findings.sort_by_key(|finding| std::cmp::Reverse(finding.fault.severity()));
        tell(&call);
        calls.push(call);
    }
    let url = urls.first().map_or(String::new(), BotUrl::to_string);
    Ok(Report { url, calls })
}

/// A greeting that has as many bytes at another rate was made for one of the two.
fn rate_ignored(first: &Checked, call: &Checked) -> Option<Finding> {
    let (before, now) = (first.figures.greeting_octets, call.figures.greeting_octets);
    let alike = before.abs_diff(now) * 20 <= before.max(now);
    // Half a second is enough to tell a greeting from a click.
    (first.rate != call.rate && alike && first.greeting() > Duration::from_millis(500)).then(|| Finding {
        fault: Fault::RateIgnored,
        times: 1,
        at: Duration::ZERO,
        evidence: format!("{before} bytes of greeting at {} Hz, {now} at {} Hz", first.rate, call.rate),
    })
}

/// The URL with this rate in its query, in place of the one that is there.
fn at_rate(url: &str, rate: SampleRate) -> String {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let of_rate = |pair: &&str| matches!(pair.split('=').next(), Some("sample-rate" | "sample_rate"));
    let own = format!("sample-rate={rate}");
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !of_rate(pair)).collect();
    pairs.push(&own);
    format!("{place}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests;
