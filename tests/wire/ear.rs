//! What was heard against what was said, on a machine that may be busy with other things.

use std::time::Duration;

use serde_json::Value;
use streamkit::lab::ear::compare;
use streamkit::lab::sound::Sound;

/// Milliseconds between two packets after which it was not the line's fault.
const STALL: u64 = 60;
/// Milliseconds after which there is nothing to be judged: this machine stood still, for the daemon, too.
const STANDSTILL: u64 = 400;
/// So much of what was said is looked for,
const BEGINNING: Duration = Duration::from_millis(1500);
/// and there.
const WITHIN: Duration = Duration::from_secs(4);
/// Correlation of what came through whole.
const WHOLE: f64 = 0.85;
/// Share of its pieces that are recognised all the same when the other program was held up.
const SOME: f64 = 0.25;

/// What was said is heard `from` there on, within seconds: its beginning whole; or, where the call's record says that
/// the other side faltered, some of its pieces.
pub(crate) fn recognised(who: &str, heard: &Sound, from: Duration, said: &Sound, cdr: &Value) {
    if over(&cdr["media"]["in"]["longest_gap_ms"], STANDSTILL) {
        return eprintln!("{who} is not judged: {:#}", cdr["media"]["in"]);
    }
    // all of it would be searched for minutes by code that is not optimised
    let (said, heard) = (said.part(Duration::ZERO, BEGINNING), heard.part(from, from + WITHIN));
    let judged = compare(&heard, &said).unwrap_or_else(|| panic!("{who} heard nothing: {cdr:#}"));
    let known = judged.segments.iter().filter(|piece| piece.correlation > 0.8).count();
    let share = known as f64 / judged.segments.len() as f64;
    let enough = judged.correlation > WHOLE || (faltered(cdr) && share >= SOME);
    assert!(enough, "{who}: {:.0} % of the pieces known; {cdr:#} {judged:#?}", 100.0 * share);
}

/// Whether the other side, or this machine, was held up.
pub(crate) fn faltered(cdr: &Value) -> bool {
    let (inward, stream) = (&cdr["media"]["in"], &cdr["streams"][0]);
    over(&inward["longest_gap_ms"], STALL)
        || over(&inward["concealed_ms"], 0)
        || over(&stream["audio"]["starved"], 0)
}

fn over(value: &Value, limit: u64) -> bool {
    value.as_u64().is_some_and(|value| value > limit)
}
