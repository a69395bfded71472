//! Bots that send too much of what is not audio: marks, clears, pings; and those that send everything back.

use serde_json::{Value, json};
use streamkit::audio::codec::G711;
use streamkit::stream::tally::Drop;

use crate::manners::{assert_heard, drops, hang_up, in_a_call, names, with};
use crate::words;
use crate::world::bot::{Bot, digits, media};
use crate::world::clock::{Frame, ms, secs};
use crate::world::ear::{companded, is_silent, sound};

/// Sends every mark straight back.
fn echo_marks(bot: &mut Bot, message: &Value) {
    if message["event"] == "mark" {
        bot.send(message.clone());
    }
}

#[test]
fn five_thousand_marks_behind_a_word_come_back_as_it_ends() {
    let mut world = in_a_call();
    let said = words(13, 1000);
    let sent: Vec<String> = (0..5000).map(|n| format!("turn-{n}")).collect();
    world.bot().say(&said);
    for name in &sent {
        world.bot().mark(name);
    }
    let asked = world.now();
    world.run(secs(2));
    assert!(names(&mut world) == sent, "each once, in order");
    let (first, last) = (world.bot().marked("turn-0") - asked, world.bot().marked("turn-4999") - asked);
    assert!((ms(975)..=ms(1025)).contains(&first), "{first:?}");
    assert!(last - first <= ms(500), "marks behind audio are not slowed: {:?}", last - first);
    let stream = hang_up(&mut world);
    assert_heard(&world, &said);
    assert_eq!(stream["marks"], json!({"received": 5000, "played": 5000, "cleared": 0}));
}

#[test]
fn five_thousand_marks_behind_nothing_come_back_in_a_burst_and_then_slowly() {
    let mut world = in_a_call();
    for n in 0..5000 {
        world.bot().mark(&n.to_string());
    }
    let asked = world.now();
    world.run(secs(50));
    let sent: Vec<String> = (0..5000).map(|n| n.to_string()).collect();
    assert!(names(&mut world) == sent, "each once, in order");
    let at = |name| world.bots[0].marked(name) - asked;
    assert!(at("499") <= ms(100), "{:?}", at("499"));
    assert!((ms(44_900)..=ms(45_100)).contains(&at("4999")), "{:?}", at("4999"));
    hang_up(&mut world);
}

#[test]
fn more_marks_than_may_wait_are_dropped_and_those_accepted_come_back() {
    let mut world = in_a_call();
    world.bot().say(&words(14, 1000));
    for n in 0..9000 {
        world.bot().mark(&n.to_string());
    }
    world.run(secs(3));
    assert_eq!((names(&mut world).len(), drops(&mut world, Drop::TooManyMarks)), (8192, 808));
    world.bot().mark("later");
    world.run(ms(100));
    assert_eq!(names(&mut world).last().map(String::as_str), Some("later"));
    assert_eq!(hang_up(&mut world)["marks"]["received"], 8193);
}

#[test]
fn a_bot_that_echoes_marks_turns_them_round_no_faster_than_it_may() {
    let mut world = with(echo_marks);
    for _ in 0..600 {
        world.bot().mark("again");
    }
    world.run(secs(10));
    let back = names(&mut world).len();
    assert!((1490..=1501).contains(&back), "{back} marks in 10 s");
    let said = words(15, 1000);
    world.bot().say(&said);
    world.run(secs(2));
    hang_up(&mut world);
    assert_heard(&world, &said);
}

#[test]
fn a_bot_that_echoes_all_it_hears_lets_the_caller_hear_himself() {
    let mut world = with(|bot, message| bot.send(message.clone()));
    let said = words(16, 2000);
    world.caller().mouth.say(&said);
    world.run(secs(4));
    let stream = hang_up(&mut world);
    assert_heard(&world, &companded(G711::Mu, &said));
    assert_eq!(stream["messages"]["ignored"], 2, "connected and start");
    assert_eq!((&stream["audio"]["starved"], &stream["Disposition"]), (&0.into(), &"caller_hangup".into()));
}

#[test]
fn a_marks_name_may_be_anything_but_long() {
    let mut world = in_a_call();
    let long = |length: usize| "x".repeat(length);
    let longest = long(256);
    let fitting =
        [longest.as_str(), "", "same", "same", "हिन्दी 😀 \u{2028}", "\"quoted\" \\ \n\t\u{1}", "null", " "];
    for name in fitting {
        world.bot().mark(name);
    }
    for name in [long(257), long(1000), "ü".repeat(129), long(100_000)] {
        world.bot().mark(&name);
    }
    for name in [json!(17), json!(-1.5), json!(123456789012345678_u64)] {
        world.bot().send(json!({"event": "mark", "mark": {"name": name}}));
    }
    world.run(secs(1));
    assert_eq!(names(&mut world), [&fitting[..], &["17", "-1.5", "123456789012345678"]].concat());
    let stream = hang_up(&mut world);
    assert_eq!((&stream["messages"]["ignored"], &stream["marks"]["received"]), (&4.into(), &11.into()));
}

#[test]
fn a_storm_of_clears_harms_nobody() {
    let mut world = in_a_call();
    world.bot().say(&words(17, 5000));
    world.run(secs(1));
    for _ in 0..1000 {
        world.bot().clear();
    }
    world.run(ms(100));
    let stood = world.callers[0].ear.line().len();
    world.run(ms(900));
    assert!(is_silent(&world.callers[0].ear.line()[stood..]));
    world.bot().say(&words(18, 1000));
    world.bot().clear(); // it counts again
    let said = words(19, 1000);
    world.bot().say(&said);
    world.run(secs(2));
    let stream = hang_up(&mut world);
    assert!(sound(&world.callers[0].ear.line()[stood..]) == companded(G711::Mu, &said));
    assert_eq!(stream["messages"]["ignored"], 0, "none is dropped: each may be the caller's interruption");
}

#[test]
fn of_words_each_followed_by_a_clear_the_last_is_heard() {
    let mut world = in_a_call();
    for n in 0..200 {
        world.bot().say(&words(n, 100));
        world.bot().send(media(&[n as u8])); // half a sample
        world.bot().mark(&n.to_string());
        world.bot().clear();
    }
    let said = words(20, 1000);
    world.bot().say(&said);
    world.bot().mark("end");
    world.run(secs(2));
    let back = names(&mut world);
    assert_eq!((back.len(), back.last().map(String::as_str)), (201, Some("end")));
    let stream = hang_up(&mut world);
    assert_heard(&world, &said);
    let figures = ["received_ms", "played_ms", "cleared_ms"].map(|name| stream["audio"][name].as_u64());
    assert_eq!(figures, [21_000, 1000, 20_000].map(Some));
    assert_eq!(stream["marks"], json!({"received": 201, "played": 1, "cleared": 200}));
}

#[test]
fn a_flood_of_pings_is_a_violation() {
    let mut world = in_a_call();
    for _ in 0..150 {
        world.bot().frame(Frame::Ping);
    }
    let cdr = world.finish();
    let stream = &cdr["streams"][0];
    assert_eq!(world.bot().told(), "connected start close:1008");
    assert_eq!((&stream["Status"], &stream["DisconnectedBy"]), (&"failed".into(), &"bot".into()));
    assert_eq!(stream["Error"], "3013 protocol violation: more than 100 control frames a second");
}

#[test]
fn a_bot_that_reads_again_after_ten_seconds_has_lost_audio_and_nothing_else() {
    let mut world = in_a_call();
    let said = words(21, 5000);
    world.bot().sleep();
    world.bot().say(&said);
    world.bot().mark("said");
    world.caller().mouth.press("7");
    world.run(secs(10));
    world.bot().reads = true;
    world.run(secs(1));
    assert_eq!(world.bot().told(), "connected start dtmf:7 mark:said");
    let chunks: Vec<u64> = world.bot().all("media").map(|(_, m)| digits(&m["media"]["chunk"])).collect();
    let lost: u64 = chunks.windows(2).map(|pair| pair[1] - pair[0] - 1).sum();
    assert!((395..=405).contains(&lost), "all but 2 s of 10: {lost}");
    let stream = hang_up(&mut world);
    assert_heard(&world, &said);
    assert_eq!((&stream["messages"]["dropped"], &stream["Status"]), (&lost.into(), &"completed".into()));
}

#[test]
fn hundreds_of_marks_between_two_words_leave_no_gap() {
    let mut world = in_a_call();
    let said = words(22, 2000);
    world.bot().say(&said[..8000]);
    for n in 0..500 {
        world.bot().mark(&n.to_string());
    }
    world.bot().say(&said[8000..]);
    world.run(secs(3));
    assert_eq!(names(&mut world).len(), 500);
    let stream = hang_up(&mut world);
    assert_heard(&world, &said);
    assert_eq!(stream["audio"]["starved"], 0);
}
