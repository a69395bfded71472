//! The bot speaks faster than anybody listens, and thinks better of it.

use std::time::{Duration, Instant};

use streamkit::lab::bot::{FromStreamKit, Said, Script, Step};
use streamkit::lab::ear::{silence_after, silences};
use streamkit::lab::sound::Sound;
use streamkit::units::SampleRate;

use crate::kit::{Node, Wanted, alone, bot, caller, eventually, over, until};

const SIX_SECONDS: Duration = Duration::from_secs(6);
/// Longer than a tone is near zero.
const QUIET: Duration = Duration::from_millis(40);

fn tone() -> Sound {
    Sound::tone(SampleRate::Hz8000, 440.0, 9000, SIX_SECONDS)
}

/// Milliseconds between two times, whichever is the earlier.
fn apart(a: Instant, b: Instant) -> u128 {
    a.max(b).duration_since(a.min(b)).as_millis()
}

#[test]
fn six_seconds_sent_at_once_are_heard_as_six_seconds_and_marked_at_their_end() {
    alone(async {
        let speaker = bot(Script::of(vec![Step::burst(tone()), Step::Mark("end".into())])).await;
        let node = Node::start(&Wanted::leading_to(&speaker, "/media?sample-rate=16000")).await;
        let caller = caller().await;
        let call = caller.dial(node.dial()).await.expect("dialled");
        call.answered().await.expect("answered");
        until(&speaker, |all| all.iter().any(|one| !one.marks().is_empty())).await;
        let voiced = call.voiced();
        let record = call.finish().await;
        let seen = over(&speaker, 1).await;

        let heard = &record.audio.heard;
        assert_eq!(heard.quality().lost, 0);
        let ear = heard.sound(false);
        let quiet = silences(&ear, QUIET);
        let from = quiet.first().filter(|gap| gap.start.is_zero()).map_or(Duration::ZERO, |gap| gap.end);
        let to = silence_after(&ear, from, QUIET).unwrap_or(ear.duration());
        let heard_for = (to - from).as_millis();
        assert!((5940..=6060).contains(&heard_for), "heard for {heard_for} ms; {voiced} packets; {quiet:?}");
        let first = heard.begins().expect("something was heard") + from;
        let marked = seen[0].marks()[0].0;
        let off = apart(marked, first + SIX_SECONDS);
        assert!(off <= 100, "the mark came back {off} ms from the end");
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
        let call = caller.dial(node.dial()).await.expect("dialled");
        call.answered().await.expect("answered");
        until(&speaker, |all| all.iter().any(|one| !one.marks().is_empty())).await;
        let (mut voiced, mut since) = (call.voiced(), Instant::now());
        eventually("silence", || {
            if call.voiced() != voiced {
                (voiced, since) = (call.voiced(), Instant::now());
            }
            since.elapsed() > Duration::from_millis(500)
        })
        .await;
        let record = call.finish().await;
        let seen = over(&speaker, 1).await;

        let heard = &record.audio.heard;
        let begins = heard.begins().expect("something was heard");
        let cleared = seen[0].sent().find(|(_, said)| **said == Said::Clear).expect("it cleared").0;
        let from = cleared - begins;
        let ear = heard.sound(false);
        let before = ear.part(from - Duration::from_millis(200), from - Duration::from_millis(100));
        assert!(silences(&before, QUIET).is_empty(), "it was heard until then");
        let silent = silence_after(&ear, from, Duration::from_millis(300)).expect("silence");
        let took = (silent - from).as_millis();
        assert!(took <= 100, "silent {took} ms after clear");
        let names: Vec<_> = seen[0].marks().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["never heard"], "a mark that is cleared comes back");
        assert!(seen[0].received().any(|(_, message)| matches!(message, FromStreamKit::Stop { .. })));
        let cdr = node.cdrs(1).await.remove(0);
        assert!(cdr["streams"][0]["audio"]["cleared_ms"].as_u64() > Some(3000), "{cdr:#}");
        node.stop().await;
    });
}
