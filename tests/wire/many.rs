//! Many calls at once.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use streamkit::lab::bot::Script;
use streamkit::lab::caller::Record;
use streamkit::lab::ear::{silences, tone};
use streamkit::lab::sound::Sound;
use streamkit::units::SampleRate;

use crate::kit::{Held, Node, Wanted, alone, bot, caller, eventually, over};

const CALLS: usize = 20;
const SAID: Duration = Duration::from_millis(1500);
/// Longer than a tone is near zero.
const QUIET: Duration = Duration::from_millis(10);

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
        let before = Held::settled().await;
        let (from, to) = (&caller, &node);
        let one = |n: usize| async move {
            let call = from.dial(to.dial()).await.expect("dialled");
            call.answered().await.expect("answered");
            call.say("tone", &Sound::tone(SampleRate::Hz8000, pitch(n), 9000, SAID)).await;
            let (mut voiced, mut since) = (0, Instant::now());
            eventually("the end of an echo", || {
                if call.voiced() != voiced {
                    (voiced, since) = (call.voiced(), Instant::now());
                }
                voiced > 0 && since.elapsed() > Duration::from_millis(500)
            })
            .await;
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
    // the bot's echo may falter on a busy machine, and is then played a little later: later, but whole
    let quiet = silences(&ear, QUIET);
    let begins: Vec<Duration> = [Duration::ZERO].into_iter().chain(quiet.iter().map(|gap| gap.end)).collect();
    let ends = quiet.iter().map(|gap| gap.start).chain([ear.duration()]);
    let pieces: Vec<_> = begins.into_iter().zip(ends).filter(|(from, to)| to > from).collect();
    let long: u128 = pieces.iter().map(|(from, to)| (*to - *from).as_millis()).sum();
    // a caller or a bot that is held up leaves packets out; the line itself loses none
    assert!((1200..=1560).contains(&long), "call {n} heard {long} ms in {pieces:?}");
    let (from, to) = pieces.into_iter().max_by_key(|(from, to)| *to - *from).expect("a piece");
    let (hz, purity) = tone(&ear.part(from, to)).expect("a tone");
    assert!(
        (hz - pitch(n)).abs() < 4.0 && purity > 0.9,
        "call {n} at {} Hz heard {hz} Hz, {purity}",
        pitch(n)
    );
}
