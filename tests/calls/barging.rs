//! Callers who speak while the bot does (`local_barge_in`, agentstream.md section 8), and how `start` may be written.

use serde_json::json;
use streamkit::audio::codec::G711;
use streamkit::stream::{StartExtras, StartStyle};

use crate::world::clock::{ms, secs};
use crate::world::ear::{companded, is_silent, sound};
use crate::world::{Setup, World};
use crate::{tone, words};

fn in_a_call(local_barge_in: bool) -> World {
    let mut setup = Setup::default();
    setup.stream.local_barge_in = local_barge_in;
    let mut world = World::new(setup);
    world.call();
    world.run(secs(1));
    world
}

#[test]
fn a_caller_who_speaks_silences_the_bot_and_its_next_words_are_heard() {
    let mut world = in_a_call(true);
    for name in ["a", "b", "c"] {
        world.bot().say(&words(1, 2000));
        world.bot().mark(name);
    }
    world.run(secs(3));
    let spoke = world.now();
    world.caller().mouth.say(&tone(300.0, 1500));
    world.run(secs(1));
    let last = world.callers[0].ear.sound_before(world.now()).expect("sound");
    assert!(last - spoke <= ms(150), "{:?}", last - spoke);
    assert_eq!(world.bot().told(), "connected start mark:a mark:b mark:c");
    assert!(world.bot().marked("c") - spoke <= ms(150));

    let (stood, answer) = (world.callers[0].ear.line().len(), words(2, 1000));
    world.bot().say(&answer); // he speaks on: it is not cleared again
    world.run(secs(2));
    world.caller().hang_up();
    let cdr = world.finish();
    let line = world.callers[0].ear.line();
    assert!(is_silent(&line[stood - 800..stood]) && sound(&line[stood..]) == companded(G711::Mu, &answer));
    assert_eq!(cdr["streams"][0]["marks"], json!({"received": 3, "played": 1, "cleared": 2}));
}

#[test]
fn unless_it_is_asked_for_only_the_bot_clears() {
    let mut world = in_a_call(false);
    let said = words(3, 3000);
    world.bot().say(&said);
    world.caller().mouth.say(&tone(300.0, 2000));
    world.run(secs(4));
    world.caller().hang_up();
    world.finish();
    assert!(sound(&world.callers[0].ear.line()) == companded(G711::Mu, &said));
}

#[test]
fn a_caller_who_is_quiet_or_whose_line_hums_silences_nobody() {
    let mut world = in_a_call(true);
    let said = words(4, 3000);
    let hum: Vec<i16> = tone(100.0, 4000).iter().map(|sample| sample / 40).collect();
    world.caller().mouth.say(&hum);
    world.run(ms(500));
    world.bot().say(&said);
    world.run(secs(4));
    world.caller().hang_up();
    let cdr = world.finish();
    assert!(sound(&world.callers[0].ear.line()) == companded(G711::Mu, &said));
    assert_eq!(cdr["streams"][0]["audio"]["cleared_ms"], 0);
}

#[test]
fn start_is_written_as_all_bots_want_it() {
    let mut setup = Setup::url("ws://10.0.0.9/?sample-rate=16000");
    let extras = StartExtras { direction: "inbound".to_owned(), ..StartExtras::default() };
    setup.stream.start_style = StartStyle { raw: true, extras: Some(extras), continues: None };
    let mut world = World::new(setup);
    world.call();
    world.run(ms(100));
    world.caller().hang_up();
    world.finish();
    let start = world.bot().start();
    assert_eq!(
        start["media_format"],
        json!({"encoding": "audio/x-raw", "sample_rate": "16000", "bit_rate": "16"})
    );
    let extras = ["direction", "stream_name", "custom_field"].map(|name| start[name].as_str());
    assert_eq!(extras, [Some("inbound"), Some(""), Some("")]);
    assert_eq!(start.as_object().map(|members| members.len()), Some(10));
}
