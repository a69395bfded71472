//! What was heard against what was said, on a machine that may be busy with other things.

use std::time::Duration;

use serde_json::Value;
use streamkit::lab::ear::compare;
use streamkit::lab::sound::Sound;
use streamkit::lab::speech::Speech;
use streamkit::units::SampleRate;

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
/// Of what came through with holes, pieces so long are recognised wherever they stand,
const PIECE: Duration = Duration::from_millis(300);
/// and a share of them all the same when the other program was held up.
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
    let enough = judged.correlation > WHOLE || (faltered(cdr) && known(&heard, &said) >= SOME);
    assert!(enough, "{who}: {:.0} % of the pieces known; {cdr:#} {judged:#?}", 100.0 * known(&heard, &said));
}

/// The share of the pieces of what was said that were heard, each by itself: every hole before one moves it.
fn known(heard: &Sound, said: &Sound) -> f64 {
    let pieces: Vec<Sound> = (0..(said.duration().as_millis() / PIECE.as_millis()) as u32)
        .map(|n| said.part(n * PIECE, (n + 1) * PIECE))
        .collect();
    let known = |piece: &&Sound| compare(heard, piece).is_some_and(|judged| judged.correlation > WHOLE);
    pieces.iter().filter(known).count() as f64 / pieces.len().max(1) as f64
}

#[test]
fn pieces_are_known_wherever_they_stand_and_other_words_are_not() {
    let part = |speech: Speech, from: u64, to: u64| {
        speech.sound().at(SampleRate::Hz8000).part(Duration::from_millis(from), Duration::from_millis(to))
    };
    let hole = Sound::silence(SampleRate::Hz8000, Duration::from_millis(120));
    let said = part(Speech::Caller, 0, 1500);
    let torn = (0..4).map(|n| part(Speech::Caller, 380 * n, 380 * (n + 1)).then(&hole));
    let torn = torn.reduce(|all, next| all.then(&next)).expect("four of them");
    assert!(compare(&torn, &said).is_none_or(|judged| judged.correlation < WHOLE), "it is torn");
    assert!(known(&torn, &said) >= 2.0 * SOME, "{}", known(&torn, &said));
    for other in [Speech::Story, Speech::Greeting, Speech::Goodbye, Speech::Barge] {
        let share = known(&part(other, 0, 4000), &said);
        assert!(share < SOME, "{other:?}: {share}");
    }
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
