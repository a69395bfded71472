//! The bot speaks faster than anybody listens, and thinks better of it.

use std::ops::Range;
use std::time::{Duration, Instant};

use streamkit::lab::bot::{FromStreamKit, Said, Script, Step};
use streamkit::lab::caller::Heard;
use streamkit::lab::ear::silences;
use streamkit::lab::sound::Sound;
use streamkit::media::Tally;
use streamkit::units::SampleRate;

use crate::kit::{Node, Pulse, Wanted, alone, bot, caller, eventually, over, until};

const SIX_SECONDS: Duration = Duration::from_secs(6);
/// Longer than a tone is near zero.
const QUIET: Duration = Duration::from_millis(10);

fn tone() -> Sound {
    Sound::tone(SampleRate::Hz8000, 440.0, 9000, SIX_SECONDS)
}

/// Milliseconds between two times, whichever is the earlier.
fn apart(a: Instant, b: Instant) -> u128 {
    a.max(b).duration_since(a.min(b)).as_millis()
}

/// Where something is to be heard. A daemon that is held up leaves packets out and goes on where it was: later, but
/// whole.
fn pieces(ear: &Sound) -> Vec<Range<Duration>> {
    let quiet = silences(ear, QUIET);
    let begins = [Duration::ZERO].into_iter().chain(quiet.iter().map(|gap| gap.end));
    let ends = quiet.iter().map(|gap| gap.start).chain([ear.duration()]);
    begins.zip(ends).map(|(from, to)| from..to).filter(|piece| !piece.is_empty()).collect()
}

/// Milliseconds that are allowed: what is promised, and what this machine was late itself.
fn allowed(promised: u128, heard: &Heard, pulse: &Pulse) -> u128 {
    promised + u128::from(pulse.late()) + (heard.quality().longest_gap_ms as u128).saturating_sub(20)
}

#[test]
fn six_seconds_sent_at_once_are_heard_as_six_seconds_and_marked_at_their_end() {
    alone(async {
        let speaker = bot(Script::of(vec![Step::burst(tone()), Step::Mark("end".into())])).await;
        let node = Node::start(&Wanted::leading_to(&speaker, "/media?sample-rate=16000")).await;
        let caller = caller().await;
        let pulse = Pulse::start();
        let call = caller.dial(node.dial()).await.expect("dialled");
        call.answered().await.expect("answered");
        until(&speaker, |all| all.iter().any(|one| !one.marks().is_empty())).await;
        let voiced = call.voiced();
        let record = call.finish().await;
        let seen = over(&speaker, 1).await;

        let heard = &record.audio.heard;
        assert_eq!(heard.quality().lost, 0);
        let ear = heard.sound(false);
        let pieces = pieces(&ear);
        let heard_for: u128 = pieces.iter().map(|piece| (piece.end - piece.start).as_millis()).sum();
        assert!((5940..=6060).contains(&heard_for), "heard for {heard_for} ms; {voiced} packets; {pieces:?}");
        let engine = &node.running.engine;
        eventually("one piece, or a core that was held up", || {
            let held_up = |tally: Tally| tally.ticks_skipped + tally.starved > 0;
            pieces.len() == 1 || engine.cores().iter().any(|core| held_up(core.tally))
        })
        .await;
        let ends = heard.begins().zip(pieces.last()).map(|(begins, last)| begins + last.end);
        let off = apart(seen[0].marks()[0].0, ends.expect("something was heard"));
        let allowed = allowed(100, heard, &pulse);
        assert!(off <= allowed, "the mark came back {off} ms from the end, not within {allowed}");
        node.is_idle().await;
        node.stop().await;
    });
}

#[test]
fn clear_silences_the_bot_at_the_caller_s_ear_at_once() {
    alone(async {
        let steps = vec![
            Step::burst(tone()),
            Step::Mark("never heard".into()),
            Step::Wait(Duration::from_millis(1500)),
            Step::Clear,
        ];
        let speaker = bot(Script::of(steps)).await;
        let node = Node::start(&Wanted::leading_to(&speaker, "/media")).await;
        let caller = caller().await;
        let pulse = Pulse::start();
        let call = caller.dial(node.dial()).await.expect("dialled");
        call.answered().await.expect("answered");
        until(&speaker, |all| all.iter().any(|one| !one.marks().is_empty())).await;
        let (mut voiced, mut since) = (call.voiced(), Instant::now());
        eventually("silence", || {
            if call.voiced() != voiced {
                (voiced, since) = (call.voiced(), Instant::now());
            }
            since.elapsed() > Duration::from_millis(500 + 2 * pulse.late())
        })
        .await;
        let record = call.finish().await;
        let seen = over(&speaker, 1).await;

        let heard = &record.audio.heard;
        let begins = heard.begins().expect("something was heard");
        let cleared = seen[0].sent().find(|(_, said)| **said == Said::Clear).expect("it cleared").0;
        let from = cleared - begins;
        let ear = heard.sound(false);
        let allowed = allowed(100, heard, &pulse);
        let ends = pieces(&ear).last().expect("a piece").end;
        let off = ends.abs_diff(from).as_millis();
        assert!(off <= allowed, "the last sound was {off} ms from clear, not within {allowed}");
        let names: Vec<_> = seen[0].marks().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["never heard"], "a mark that is cleared comes back");
        assert!(seen[0].received().any(|(_, message)| matches!(message, FromStreamKit::Stop { .. })));
        let cdr = node.cdrs(1).await.remove(0);
        assert!(cdr["streams"][0]["audio"]["cleared_ms"].as_u64() > Some(1000), "of 4500 ms: {cdr:#}");
        node.stop().await;
    });
}
