//! Many calls at once.

use std::time::Duration;

use futures_util::future::join_all;
use streamkit::lab::bot::Script;
use streamkit::lab::caller::Record;
use streamkit::lab::ear::{silence_after, silences, tone};
use streamkit::lab::sound::Sound;
use streamkit::units::SampleRate;

use crate::kit::{Held, Node, Wanted, alone, bot, caller, eventually, over};

const CALLS: usize = 20;
const SAID: Duration = Duration::from_millis(1500);
const QUIET: Duration = Duration::from_millis(60);

/// Each call has a pitch of its own.
fn pitch(n: usize) -> f64 {
    350.0 + 40.0 * n as f64
}

#[test]
fn twenty_calls_at_once_each_hear_their_own_echo() {
    alone(async {
        let echo = bot(Script::echo()).await;
        let node = Node::start(&Wanted::leading_to(&echo, "/media")).await;
        let caller = caller().await;
        let before = Held::now();
        let (from, to) = (&caller, &node);
        let one = |n: usize| async move {
            let call = from.dial(to.dial()).await.expect("dialled");
            call.answered().await.expect("answered");
            call.say("tone", &Sound::tone(SampleRate::Hz8000, pitch(n), 9000, SAID)).await;
            let wanted = SAID.as_millis() as u64 / 20;
            eventually("an echo", || call.voiced() >= wanted).await;
            call.finish().await
        };
        let records = join_all((0..CALLS).map(one)).await;
        for (n, record) in records.iter().enumerate() {
            heard_itself(n, record);
        }
        let seen = over(&echo, CALLS).await;
        assert_eq!(seen.len(), CALLS, "one connection a call");
        for one in &seen {
            assert_eq!((one.faults.as_slice(), one.missing), (&[] as &[String], 0));
        }
        let sids: std::collections::BTreeSet<_> =
            seen.iter().filter_map(|one| Some(&one.start.as_ref()?.stream_sid)).collect();
        assert_eq!(sids.len(), CALLS, "no two streams share a name");
        for cdr in node.cdrs(CALLS).await {
            assert_eq!(cdr["end"]["cause"], "bye");
            assert_eq!(cdr["media"]["in"]["lost"], 0);
        }
        let engine = node.running.engine.clone();
        node.is_as_before(before).await;
        eventually("every port is free again after its rest", || engine.ports_free() == engine.ports_total())
            .await;
        drop(engine);
        node.stop().await;
    });
}

fn heard_itself(n: usize, record: &Record) {
    let heard = &record.audio.heard;
    assert_eq!(heard.quality().lost, 0, "call {n}");
    let ear = heard.sound(false);
    let quiet = silences(&ear, QUIET);
    let from = quiet.first().filter(|gap| gap.start.is_zero()).map_or(Duration::ZERO, |gap| gap.end);
    let to = silence_after(&ear, from, QUIET).unwrap_or(ear.duration());
    let long = (to - from).as_millis();
    assert!((1440..=1560).contains(&long), "call {n} heard {long} ms: {quiet:?}");
    let (hz, purity) = tone(&ear.part(from, to)).expect("a tone");
    assert!(
        (hz - pitch(n)).abs() < 4.0 && purity > 0.9,
        "call {n} at {} Hz heard {hz} Hz, {purity}",
        pitch(n)
    );
}
