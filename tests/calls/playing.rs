//! What the bot says, its marks and its clears.

use streamkit::audio::codec::G711;
use streamkit::units::SampleRate;

use crate::world::bot::digits;
use crate::world::clock::{ms, secs};
use crate::world::ear::{companded, find, is_silent};
use crate::world::{Setup, World};
use crate::{tone, tone_at};

fn in_a_call() -> World {
    let mut world = World::new(Setup::default());
    world.call();
    world.run(ms(507));
    world
}

#[test]
fn a_burst_of_six_seconds_plays_six_seconds() {
    let mut world = in_a_call();
    let speech = tone(1000.0, 6000);
    world.bot().say(&speech);
    world.bot().mark("end");
    world.run(secs(7));
    world.caller().hang_up();
    world.finish();

    let ear = &world.callers[0].ear;
    let place = find(&ear.line(), &companded(G711::Mu, &speech)).expect("all of it");
    let (first, mark) = (ear.came(place), world.bots[0].marked("end"));
    let took = mark - first;
    assert!((ms(5975)..=ms(6025)).contains(&took), "{took:?}");
    ear.assert_steady();
}

#[test]
fn the_first_words_leave_within_the_prebuffer() {
    for live in [false, true] {
        let mut world = in_a_call();
        let (said, speech) = (world.now(), tone(1000.0, 1000));
        match live {
            true => world.bot().say_live(&speech),
            false => world.bot().say(&speech),
        }
        world.run(secs(2));
        world.caller().hang_up();
        let cdr = world.finish();
        let ear = &world.callers[0].ear;
        let first = ear.sound_after(said).expect("sound");
        assert!(first - said <= ms(60 + 25), "{:?}", first - said);
        assert!(find(&ear.line(), &companded(G711::Mu, &speech)).is_some(), "without a gap, live: {live}");
        assert_eq!(cdr["streams"][0]["audio"]["starved"], 0);
    }
}

#[test]
fn a_clear_silences_at_once_and_what_comes_after_it_plays() {
    let mut world = in_a_call();
    for second in 1..=6 {
        world.bot().say(&tone(1000.0, 1000));
        world.bot().mark(&second.to_string());
    }
    world.run(ms(2500));
    world.bot().clear();
    let cleared = world.now() + ms(1); // its receipt
    world.run(ms(500));
    let ear = &world.callers[0].ear;
    let last = ear.sound_before(world.now()).expect("sound") - ms(2); // its sending
    assert!(last <= cleared + ms(20), "{:?} after the clear", last - cleared);
    assert_eq!(world.bot().told(), "connected start mark:1 mark:2 mark:3 mark:4 mark:5 mark:6");
    assert!(world.bot().marked("6") - cleared <= ms(25));

    let anew = tone(440.0, 1000);
    world.bot().say(&anew);
    world.bot().mark("7");
    world.run(secs(2));
    world.caller().hang_up();
    let cdr = world.finish();
    assert!(find(&world.callers[0].ear.line(), &companded(G711::Mu, &anew)).is_some());
    let stream = &cdr["streams"][0];
    assert_eq!(stream["marks"], serde_json::json!({"received": 7, "played": 3, "cleared": 4}));
    let (played, cleared) = (stream["audio"]["played_ms"].as_u64(), stream["audio"]["cleared_ms"].as_u64());
    assert_eq!(played.zip(cleared).map(|(played, cleared)| played + cleared), Some(7000));
    world.callers[0].ear.assert_steady();
}

#[test]
fn a_clear_and_new_words_in_one_breath() {
    let mut world = in_a_call();
    world.bot().say(&tone(1000.0, 3000));
    world.run(secs(1));
    let anew = tone(440.0, 1000);
    world.bot().clear();
    world.bot().say(&anew);
    world.bot().mark("anew");
    let cleared = world.now();
    world.run(secs(2));
    let back = world.bot().marked("anew") - cleared;
    assert!((ms(975)..=ms(1025)).contains(&back), "{back:?}");
    world.caller().hang_up();
    world.finish();
    assert!(find(&world.callers[0].ear.line(), &companded(G711::Mu, &anew)).is_some());
}

#[test]
fn a_clear_of_nothing_does_nothing() {
    let mut world = in_a_call();
    world.bot().clear();
    world.bot().clear();
    world.run(secs(1));
    assert!(world.callers[0].ear.packets.iter().all(|packet| is_silent(&packet.samples)));
    world.caller().hang_up();
    assert_eq!(world.finish()["streams"][0]["audio"]["cleared_ms"], 0);
}

#[test]
fn marks_come_back_in_order_each_once_whatever_stands_before_them() {
    let mut world = in_a_call();
    let asked = world.now();
    let bot = world.bot();
    bot.mark("none queued");
    bot.say(&tone(1000.0, 1000));
    bot.mark("a");
    bot.mark("a");
    bot.say(&tone(1000.0, 1000));
    bot.mark("b");
    world.run(ms(500));
    world.bot().mark("late");
    world.run(secs(2));
    world.bot().mark("after all");
    world.run(ms(100));
    world.caller().hang_up();
    world.finish();

    let bot = world.bot();
    let story = "connected start mark:none queued mark:a mark:a mark:b mark:late mark:after all stop:callended close:1000";
    assert_eq!(bot.told(), story);
    let at = |name| bot.marked(name) - asked;
    assert!(at("none queued") <= ms(25));
    assert!((ms(975)..=ms(1025)).contains(&at("a")), "{:?}", at("a"));
    assert!((ms(1975)..=ms(2025)).contains(&at("b")), "{:?}", at("b"));
    assert!(at("late") >= at("b"));
    assert!((ms(2500)..=ms(2525)).contains(&at("after all")));
}

#[test]
fn marks_that_wait_go_back_before_the_stop() {
    let mut world = in_a_call();
    world.bot().say(&tone(1000.0, 5000));
    world.bot().mark("never heard");
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(world.bot().told(), "connected start mark:never heard stop:callended close:1000");
    assert_eq!(cdr["streams"][0]["marks"]["cleared"], 1);
}

#[test]
fn a_pause_between_two_words_is_silent_and_not_a_click() {
    let rate = SampleRate::Hz24000;
    let mut world = World::new(Setup::url("ws://10.0.0.9/?sample-rate=24000"));
    world.call();
    for _ in 0..3 {
        world.bot().say(&tone_at(rate, 1000.0, 333)); // no whole number of packets
        world.run(secs(2));
    }
    world.caller().hang_up();
    let cdr = world.finish();
    let line = world.callers[0].ear.line();
    let peak = line.iter().map(|sample| sample.unsigned_abs()).max();
    assert!(peak.is_some_and(|peak| (7500..9200).contains(&peak)), "{peak:?}");
    assert_eq!(cdr["streams"][0]["audio"]["played_ms"], 999);
    world.callers[0].ear.assert_steady();
}

#[test]
fn a_bot_that_does_not_read_loses_the_oldest_audio_and_sees_the_gap() {
    let mut world = in_a_call();
    world.bot().sleep();
    world.run(secs(5));
    world.bot().reads = true;
    world.run(secs(1));
    let numbers: Vec<u64> = world.bot().all("media").map(|(_, m)| digits(&m["sequence_number"])).collect();
    let gaps: Vec<_> = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!((148..=152).contains(&(gaps[0][1] - gaps[0][0])), "three seconds of five: {gaps:?}");
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(cdr["streams"][0]["messages"]["dropped"], gaps[0][1] - gaps[0][0] - 1);
}

#[test]
fn a_bot_that_takes_nothing_for_15_s_is_given_up() {
    let mut world = in_a_call();
    world.bot().sleep();
    let stopped = world.now();
    let cdr = world.finish();
    assert_eq!(cdr["end"]["cause"], "connection_lost");
    let (bye, ..) = *world.wire.iter().find(|(_, _, text)| text.starts_with("BYE")).expect("a BYE");
    assert!((ms(14_900)..=ms(15_100)).contains(&(bye - stopped)), "{:?}", bye - stopped);
}
