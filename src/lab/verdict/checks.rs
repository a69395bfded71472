//! What is asked of a scene, and what is shown of it.

use std::time::Duration;

use super::evidence::{Evidence, Heard, stop_reason};
use super::{Case, TOLD};
use crate::lab::bot::End;
use crate::lab::report::{Check, Figure};
use crate::lab::scene::{HEADERS, KEYS, MARKS};
use crate::lab::speech::Speech;
use crate::sip::Ended;

/// Speech through G.711 and resampling is alike to so much; anything lost or out of place is below it.
const ALIKE: f64 = 0.97;
/// `clear` to silence at the caller's ear (agentstream.md section 16, no. 10).
const CLEARED: Duration = Duration::from_millis(100);

/// On loopback nothing is lost; packets are late when the machine is busy with something else.
const LATE_PERCENT: u64 = 3;

pub(super) fn figures(case: &Case<'_>, evidence: &Evidence) -> Vec<Figure> {
    let quality = &evidence.quality;
    let loss = 100.0 * quality.lost as f64 / (quality.packets + quality.lost).max(1) as f64;
    vec![
        Figure::new("INVITE to 200", ms(evidence.answer())),
        Figure::new("INVITE to start", ms(evidence.start())),
        Figure::new("first bot audio", ms(evidence.first_audio)),
        Figure::new("clear to silence", ms(evidence.clear)),
        Figure::new("added, caller to bot", ms(evidence.to_bot)),
        Figure::new("packets heard, sent", format!("{}, {}", quality.packets, case.record.audio.sent)),
        Figure::new("loss", format!("{loss:.1} %")),
        Figure::new("concealed", format!("{} ms", quality.concealed_ms)),
        Figure::new("jitter", format!("{:.1} ms", quality.jitter_ms)),
        Figure::new("MOS (estimate)", format!("{:.2}", quality.mos)),
    ]
}

pub(super) fn checks(case: &Case<'_>, evidence: &Evidence) -> Vec<Check> {
    let mut checks = setup(case, evidence);
    checks.push(heard("bot hears the caller", evidence.bot_heard.as_ref()));
    checks.push(echo(evidence.echo.as_ref()));
    for (speech, found) in TOLD.into_iter().zip(&evidence.caller_heard) {
        let name = match speech {
            Speech::Greeting => "caller hears the greeting",
            Speech::Story => "caller hears the story begin",
            _ => "caller hears the goodbye",
        };
        checks.push(heard(name, found.as_ref()));
    }
    checks.extend(protocol(case, evidence));
    checks.extend(media(case, evidence));
    checks.extend(ending(case));
    checks
}

fn setup(case: &Case<'_>, evidence: &Evidence) -> Vec<Check> {
    let start = case.transcript.start.clone().unwrap_or_default();
    let answered = match (&case.record.agreed, &case.record.ended) {
        (Some(agreed), _) => format!("{}, {} ms a packet", agreed.law.name(), agreed.ptime_ms),
        (None, Some(Ended::Refused { status, .. })) => format!("refused with {status}"),
        (None, ended) => format!("{ended:?}"),
    };
    let rate = if evidence.started.is_some() { format!("{} Hz", start.rate) } else { "no start".to_owned() };
    let rate_holds = evidence.started.is_some() && start.rate == case.rate;
    let mut checks = vec![
        Check::new("call is answered", answered, "200 with a usable answer", case.record.agreed.is_some()),
        Check::new("stream starts", rate, format!("{} Hz", case.rate), rate_holds),
        Check::new("account", &start.account_sid, case.account, start.account_sid == case.account),
    ];
    for (sent_as, name, value) in HEADERS {
        let found = start.custom_parameters.get(name).cloned().unwrap_or_default();
        let holds = found == value;
        checks.push(Check::new(format!("{sent_as} reaches the bot"), found, value, holds));
    }
    checks
}

fn heard(name: &str, found: Option<&Heard>) -> Check {
    let wanted = format!("alike to {ALIKE}, no holes, in its place");
    let Some(heard) = found else { return Check::new(name, "nothing", wanted, false) };
    let (alike, moved) = (heard.judged.correlation, heard.judged.moved_ms());
    let mut found = format!("alike to {alike:.3}");
    if heard.holes > 0 {
        found += &format!(", {} holes", heard.holes);
    }
    if moved >= 1.0 {
        found += &format!(", pieces moved by {moved:.0} ms");
    }
    Check::new(name, found, wanted, alike >= ALIKE && heard.holes == 0 && moved < 5.0)
}

/// The echo runs live through the bot: under load its queue may run empty for a moment, which moves the rest.
fn echo(found: Option<&Heard>) -> Check {
    let (name, wanted) = ("caller hears its echo", "9 of 10 pieces");
    let Some(heard) = found else { return Check::new(name, "nothing", wanted, false) };
    let pieces = &heard.judged.segments;
    let known = pieces.iter().filter(|piece| piece.correlation > 0.9).count();
    Check::new(
        name,
        format!("{known} of {} pieces", pieces.len()),
        wanted,
        known * 10 >= pieces.len() * 9 && known > 0,
    )
}

fn protocol(case: &Case<'_>, evidence: &Evidence) -> Vec<Check> {
    let digits = case.transcript.digits();
    let marks: Vec<&str> = case.transcript.marks().iter().map(|(_, name)| *name).collect();
    let faults = &case.transcript.faults;
    let first_fault = faults.first().map_or_else(|| "none".to_owned(), |f| format!("{} ({f})", faults.len()));
    let after = evidence.mark_after_ms;
    vec![
        Check::new("keys reach the bot", &digits, KEYS, digits == KEYS),
        Check::new("marks come back", marks.join(", "), MARKS.join(", "), marks == MARKS),
        Check::new(
            "mark after its audio",
            after.map_or_else(|| "none".to_owned(), |ms| format!("{ms:.0} ms")),
            "within 100 ms",
            after.is_some_and(|ms| ms.abs() <= 100.0),
        ),
        Check::new(
            "clear silences",
            ms(evidence.clear),
            format!("within {} ms", CLEARED.as_millis()),
            evidence.clear.is_some_and(|took| took <= CLEARED),
        ),
        Check::new("faults of the protocol", first_fault, "none", faults.is_empty()),
    ]
}

fn media(case: &Case<'_>, evidence: &Evidence) -> Vec<Check> {
    let quality = &evidence.quality;
    let spoken = case.transcript.heard.duration();
    let lasted = case.transcript.arrivals.first().zip(case.transcript.arrivals.last());
    let lasted = lasted.map_or(Duration::ZERO, |(first, last)| last.0.saturating_duration_since(first.0));
    let apart = spoken.abs_diff(lasted);
    vec![
        Check::new(
            "packets reach the caller",
            format!("{} lost, {} late of {}", quality.lost, quality.late, quality.packets),
            format!("none lost, at most {LATE_PERCENT} % late"),
            quality.lost == 0 && quality.late * 100 <= quality.packets * LATE_PERCENT && quality.packets > 0,
        ),
        Check::new(
            "audio to the bot is continuous",
            format!("{:.2} s in {:.2} s", spoken.as_secs_f64(), lasted.as_secs_f64()),
            "as much as time passed",
            !spoken.is_zero() && apart < Duration::from_millis(120) && case.transcript.missing == 0,
        ),
        Check::new("MOS (estimate)", format!("{:.2}", quality.mos), "at least 3.8", quality.mos >= 3.8),
    ]
}

fn ending(case: &Case<'_>) -> Vec<Check> {
    let stop = stop_reason(case).unwrap_or_else(|| "none".to_owned());
    let close = case.transcript.ended.as_ref().map(|(_, end)| end.clone());
    let closed = close.as_ref().map_or_else(|| "not yet".to_owned(), |end| format!("{end:?}"));
    let ended = case.record.ended.as_ref().map_or_else(|| "not yet".to_owned(), |how| format!("{how:?}"));
    vec![
        Check::new("call ends by the caller", ended, "ByUs", case.record.ended == Some(Ended::ByUs)),
        Check::new("bot is told why", &stop, "callended", stop == "callended"),
        Check::new("socket is closed", closed, "1000", close == Some(End::ByStreamKit(Some(1000)))),
    ]
}

fn ms(time: Option<Duration>) -> String {
    let shown = |ms: f64| if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") };
    time.map_or_else(|| "–".to_owned(), |t| shown(t.as_secs_f64() * 1000.0))
}
