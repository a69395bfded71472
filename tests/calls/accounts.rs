//! What the record says of a stream: who waited for whom, and what became of all the bot said.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use streamkit::stream;

use crate::tone;
use crate::world::bot::Bot;
use crate::world::clock::{Frame, ms, secs};
use crate::world::{Setup, World};

/// Of a network path, each way.
const WAY: u64 = 2;

fn call(setup: Setup) -> World {
    let mut world = World::new(setup);
    world.call();
    world.run(ms(503));
    world
}

/// The caller says something; when the last of it came to streamkit, in milliseconds.
fn speak(world: &mut World, length_ms: u32) -> u64 {
    let mouth = &mut world.caller().mouth;
    mouth.say(&tone(400.0, length_ms));
    let last = mouth.next.expect("it speaks") + ms(20) * (length_ms.div_ceil(20) - 1);
    let came = last + ms(WAY);
    world.run_until(secs(60), |world| world.now() >= came);
    world.ms(came)
}

/// When the first sound left streamkit from now on, once it did.
fn answered(world: &mut World, since: std::time::Instant) -> u64 {
    let at = world.callers[0].ear.sound_after(since).expect("a sound");
    world.ms(at) - WAY
}

fn numbers(list: &Value) -> Vec<u64> {
    list.as_array().map(|list| list.iter().filter_map(Value::as_u64).collect()).unwrap_or_default()
}

fn ear_ms(world: &World) -> u64 {
    let loud = world.callers[0].ear.packets.iter().flat_map(|packet| &packet.samples);
    loud.filter(|sample| sample.unsigned_abs() > 4000).count() as u64 / 8
}

#[test]
fn a_turn_lasts_from_the_callers_last_word_to_the_bots_first() {
    for hz in [8000, 16_000, 24_000] {
        let mut world = call(Setup::url(&format!("ws://10.0.0.9/?sample-rate={hz}")));
        let mut turns = Vec::new();
        for thinks in [620, 1540, 90] {
            let last = speak(&mut world, 700);
            world.run(ms(thinks));
            let (asked, samples) = (world.now(), vec![8000; hz as usize]);
            world.bot().say(&samples);
            world.run(ms(2100));
            turns.push(answered(&mut world, asked) - last);
        }
        world.caller().hang_up();
        let told = numbers(&world.finish()["streams"][0]["turns_ms"]);
        assert_eq!(told.len(), turns.len(), "{told:?}, in truth {turns:?}");
        for (told, turn) in told.iter().zip(&turns) {
            assert!(told.abs_diff(*turn) <= 10, "{told} ms, in truth {turn}, at {hz}");
        }
    }
}

#[test]
fn an_interrupted_bot_is_timed_to_its_silence_and_to_its_answer() {
    let mut world = call(Setup::default());
    world.bot().say(&tone(1000.0, 8000));
    world.run(secs(2));
    speak(&mut world, 300);
    world.bot().clear();
    let cleared = world.now() + ms(1); // its receipt
    let last = speak(&mut world, 500);
    world.run(ms(400));
    let asked = world.now();
    world.bot().say(&tone(1000.0, 1000));
    world.run(secs(2));
    let turn = answered(&mut world, asked) - last;
    let silent =
        world.callers[0].ear.packets.iter().find(|p| p.at >= cleared + ms(WAY)).expect("a packet").at;
    let silence = world.ms(silent) - WAY - world.ms(cleared);
    world.caller().hang_up();
    let cdr = world.finish();
    let stream = &cdr["streams"][0];
    let turns = numbers(&stream["turns_ms"]);
    assert!(turns.len() == 1 && turns[0].abs_diff(turn) <= 10, "{turns:?}, in truth {turn}");
    let clears = numbers(&stream["clear_ms"]);
    assert!(
        clears.len() == 1 && clears[0].abs_diff(silence) <= 1 && clears[0] <= 20,
        "{clears:?}: {silence}"
    );
}

#[test]
fn who_never_speaks_makes_no_turn() {
    let mut world = call(Setup::default());
    world.bot().say(&tone(1000.0, 500));
    world.run(secs(3));
    world.bot().say(&tone(1000.0, 500));
    world.bot().clear();
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(
        (&cdr["streams"][0]["turns_ms"], &cdr["streams"][0]["clear_ms"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn marks_a_bot_left_behind_are_played_or_discarded() {
    let mut world = call(Setup::default());
    for name in ["a", "b", "c"] {
        world.bot().say(&tone(1000.0, 2000));
        world.bot().mark(name);
    }
    world.run(ms(2500));
    world.bot().close(1000);
    let cdr = world.finish();
    let stream = &cdr["streams"][0];
    assert_eq!(stream["marks"], serde_json::json!({"received": 3, "played": 3, "cleared": 0}));

    let mut world = call(Setup {
        stream: stream::Config { drain_on_close: secs(1), ..Default::default() },
        ..Default::default()
    });
    for name in ["a", "b", "c"] {
        world.bot().say(&tone(1000.0, 2000));
        world.bot().mark(name);
    }
    world.run(ms(2500));
    world.bot().close(1000);
    let cdr = world.finish();
    let stream = &cdr["streams"][0];
    assert_eq!(
        stream["marks"],
        serde_json::json!({"received": 3, "played": 1, "cleared": 0, "discarded": 2})
    );
    let played = stream["audio"]["played_ms"].as_u64().expect("a number");
    assert!((3380..=3520).contains(&played), "{played}");
    assert_eq!(stream["audio"]["discarded_ms"], 6000 - played);
}

#[test]
fn a_clear_behind_more_than_there_is_room_for_is_not_kept_waiting() {
    for wait in 0..25 {
        let mut world = call(Setup::default());
        world.run(ms(500 + wait));
        for _ in 0..40 {
            world.bot().say(&tone(1000.0, 100));
        }
        for _ in 0..5 {
            world.bot().mark("m");
        }
        world.bot().clear();
        world.run(ms(500));
        world.caller().hang_up();
        let cdr = world.finish();
        let stream = &cdr["streams"][0];
        assert_eq!(stream["audio"]["played_ms"], 0, "{wait}: {stream}");
        assert_eq!(stream["marks"], serde_json::json!({"received": 5, "played": 0, "cleared": 5}), "{wait}");
        assert_eq!(stream["clear_ms"], Value::Null, "there was nothing to be silenced");
    }
}

/// How a stream ends.
#[derive(Clone, Copy, Debug)]
enum End {
    HangUp,
    Close(u16),
    Stop,
    Die,
}

fn end(world: &mut World, end: End) {
    let bot: &mut Bot = world.bot();
    match end {
        End::HangUp => world.caller().hang_up(),
        End::Close(code) => bot.close(code),
        End::Stop => bot.send(serde_json::json!({"event": "stop"})),
        End::Die => bot.frame(Frame::Gone),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_bot_said_was_played_cleared_or_discarded(
        seed in 0_u64..1000,
        hz in select(vec![8000_u32, 16_000, 24_000]),
        steps in prop::collection::vec((0_u8..6, 5_u64..900), 1..10),
        last in 0_u64..600,
        how in select(vec![End::HangUp, End::Close(1000), End::Close(4000), End::Stop, End::Die]),
        short in any::<bool>(),
        lag in 0_u64..10,
    ) {
        let max_queue = if short { ms(700) } else { secs(120) };
        let stream = stream::Config { max_queue, ..stream::Config::default() };
        let url = format!("ws://10.0.0.9/?sample-rate={hz}");
        let mut world = call(Setup { seed, stream, lag: ms(lag), ..Setup::url(&url) });
        let (mut said, mut marks) = (0, 0);
        for (what, n) in steps {
            match what {
                0 | 1 => {
                    let samples = vec![8000; (u64::from(hz) / 1000 * n) as usize];
                    said += n;
                    world.bot().say(&samples);
                }
                2 => {
                    marks += 1;
                    world.bot().mark("m");
                }
                3 => world.bot().clear(),
                _ => world.run(ms(n)),
            }
        }
        world.run(ms(last));
        world.run(ms(3)); // all has come
        end(&mut world, how);
        let cdr = world.finish();
        let (audio, told) = (&cdr["streams"][0]["audio"], &cdr["streams"][0]["marks"]);
        let of = |of: &Value, key: &str| of[key].as_u64().unwrap_or(0);
        let [received, played, cleared, discarded] =
            ["received_ms", "played_ms", "cleared_ms", "discarded_ms"].map(|key| of(audio, key));
        prop_assert_eq!(received, played + cleared + discarded, "{}", audio);
        prop_assert!((received + of(audio, "refused_ms")).abs_diff(said) <= 1, "{} of {}", audio, said);
        prop_assert!(ear_ms(&world).abs_diff(played) <= 45, "{} heard: {}", ear_ms(&world), audio);
        prop_assert_eq!(of(told, "received"), marks);
        let [played, cleared, discarded] = ["played", "cleared", "discarded"].map(|key| of(told, key));
        prop_assert_eq!(marks, played + cleared + discarded, "{}", told);
        prop_assert!(numbers(&cdr["streams"][0]["clear_ms"]).iter().all(|&took| took <= 20 + lag), "{}", cdr);
    }
}
