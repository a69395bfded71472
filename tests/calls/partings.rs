//! How bots with bad manners come and go, and what a stream's record says of it (agentstream.md sections 9 to 11).

use serde_json::{Value, json};
use streamkit::audio::codec::G711;
use streamkit::stream::connect::Failure;

use crate::manners::with;
use crate::words;
use crate::world::bot::{Bot, Door, Script, media, pcm};
use crate::world::clock::{Frame, ms, secs};
use crate::world::ear::{companded, find, sound};
use crate::world::{Setup, World};

fn at_the_door(doors: Vec<Door>) -> World {
    World::new(Setup { doors, ..Setup::default() })
}

/// `Status DisconnectedBy Disposition`, and the error.
fn outcome(stream: &Value) -> (String, Option<&str>) {
    let word = |name: &str| stream[name].as_str().expect("a string");
    let words = ["Status", "DisconnectedBy", "Disposition"].map(word);
    (words.join(" "), stream["Error"].as_str())
}

fn bye_at(world: &World) -> std::time::Instant {
    world.wire.iter().find(|(_, _, text)| text.starts_with("BYE ")).expect("a BYE").0
}

#[test]
fn a_bot_that_takes_nine_seconds_to_open_is_waited_for() {
    let mut world = at_the_door(vec![Door::Opens(secs(9))]);
    world.call();
    let said = words(1, 500);
    world.bot().say(&said);
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(cdr["times"]["answer_ms"], 9000);
    let stream = &cdr["streams"][0];
    assert_eq!((&stream["attempts"], &stream["connect_ms"]), (&1.into(), &9000.into()));
    assert_eq!(outcome(stream), ("completed user caller_hangup".to_owned(), None));
    assert!(sound(&world.callers[0].ear.line()) == companded(G711::Mu, &said));
}

#[test]
fn a_bot_that_takes_eleven_seconds_to_open_is_too_late() {
    let mut world = at_the_door(vec![Door::Opens(secs(11))]);
    world.caller().dial();
    let cdr = world.finish();
    let stream = &cdr["streams"][0];
    let error = "3009 failed to establish ws conn: timeout after 10s";
    assert_eq!(outcome(stream), ("failed NA connect_failed".to_owned(), Some(error)));
    assert_eq!((&stream["attempts"], &stream["Duration"]), (&1.into(), &"0".into()));
    assert_eq!(world.bot().story(), "", "nothing is said to it");
}

#[test]
fn a_bot_that_is_refused_late_is_tried_again_within_the_budget() {
    let mut world = at_the_door(vec![Door::Fails(secs(8), Failure::Status(503)), Door::Opens(secs(1))]);
    world.call();
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!((&cdr["times"]["answer_ms"], &cdr["streams"][0]["attempts"]), (&9250.into(), &2.into()));
    let mut world = at_the_door(vec![Door::Fails(secs(8), Failure::Status(503)), Door::Opens(secs(2))]);
    world.caller().dial();
    let cdr = world.finish();
    let error = "3009 failed to establish ws conn: timeout after 10s";
    assert_eq!(outcome(&cdr["streams"][0]), ("failed NA connect_failed".to_owned(), Some(error)));
}

#[test]
fn a_503_once_costs_a_quarter_of_a_second() {
    let mut world = at_the_door(vec![Door::Fails(ms(50), Failure::Status(503)), Door::Opens(ms(50))]);
    world.call();
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!((&cdr["times"]["answer_ms"], &cdr["streams"][0]["attempts"]), (&350.into(), &2.into()));
    assert_eq!(outcome(&cdr["streams"][0]), ("completed user caller_hangup".to_owned(), None));
    assert_eq!(world.bot().story(), "connected start media stop:callended close:1000");
}

#[test]
fn every_way_to_leave_has_its_outcome_and_decides_what_is_still_heard() {
    let close = |code: Option<u16>| Frame::Close(code, "why".to_owned());
    let closed = |code: u16| format!("3012 ws closed by peer: code={code} reason=why");
    let left = "completed bot bot_closed";
    let ways = [
        (close(Some(1000)), left, None, true),
        (close(Some(1001)), left, None, true),
        (close(None), left, None, true),
        (close(Some(1002)), "failed bot bot_error", Some(closed(1002)), false),
        (close(Some(1003)), "failed bot bot_error", Some(closed(1003)), false),
        (close(Some(1011)), "failed bot bot_error", Some(closed(1011)), false),
        (close(Some(1012)), "failed bot bot_error", Some(closed(1012)), false),
        (close(Some(3000)), "failed bot bot_error", Some(closed(3000)), false),
        (close(Some(4400)), "failed bot bot_error", Some(closed(4400)), false),
        (
            Frame::Gone,
            "failed NA connection_lost",
            Some("3011 ws connection lost: connection reset by peer".to_owned()),
            false,
        ),
    ];
    for (way, words_of_it, error, heard) in ways {
        let mut world = with(|_, _| {});
        let said = words(2, 2000);
        world.bot().say(&said);
        world.bot().mark("end");
        world.run(ms(500));
        world.bot().frame(way.clone());
        let gone = world.now();
        let cdr = world.finish();
        assert_eq!(outcome(&cdr["streams"][0]), (words_of_it.to_owned(), error.as_deref()), "{way:?}");
        let line = world.callers[0].ear.line();
        let said = companded(G711::Mu, &said);
        let part = sound(&line);
        assert!(!part.is_empty() && find(&said, part) == Some(0), "{way:?}: what is heard is its beginning");
        assert_eq!(part.len() == said.len(), heard, "{way:?}");
        assert_eq!(world.bot().told(), "connected start", "{way:?}: nothing is said to one who left");
        let after = bye_at(&world) - gone;
        let expected = if heard { ms(1480)..=ms(1600) } else { ms(0)..=ms(100) };
        assert!(expected.contains(&after), "{way:?}: BYE after {after:?}");
        let end = &cdr["end"];
        let by = (&end["by"], &end["cause"]);
        assert_eq!(by, (&"bot".into(), &words_of_it.rsplit(' ').next().into()), "{way:?}");
    }
}

#[test]
fn a_bot_that_leaves_right_after_it_opened_has_left() {
    let mut world = at_the_door(vec![Door::Opens(ms(50))]);
    world.caller().dial();
    world.run_until(secs(1), |world| !world.bots.is_empty());
    world.run(ms(50));
    world.bot().close(1000);
    let cdr = world.finish();
    assert_eq!(outcome(&cdr["streams"][0]), ("completed bot bot_closed".to_owned(), None));
    assert_eq!(cdr["streams"][0]["Duration"], "0");
    assert_eq!(cdr["end"]["by"], "bot");
}

// ---- after the stop ----

/// What a bot may do when it is told of the end.
const AFTER_STOP: [(&str, Script); 6] = [
    ("nothing", |bot, message| bot.polite &= message["event"] != "stop"),
    ("talks on", |bot, message| at_stop(bot, message, |bot| bot.say(&words(3, 3000)))),
    ("breaks the connection", |bot, message| at_stop(bot, message, Bot::die)),
    ("closes with an error", |bot, message| at_stop(bot, message, |bot| bot.close(4400))),
    ("talks nonsense", |bot, message| {
        at_stop(bot, message, |bot| (0..1000).for_each(|_| bot.frame(Frame::Binary)));
    }),
    ("sends it back", |bot, message| {
        if message["event"] == "stop" {
            bot.send(message.clone());
        }
    }),
];

fn at_stop(bot: &mut Bot, message: &Value, then: impl FnOnce(&mut Bot)) {
    if message["event"] == "stop" {
        then(bot);
    }
}

#[test]
fn what_a_bot_does_after_the_stop_has_no_influence() {
    for (what, script) in AFTER_STOP {
        let mut world = with(script);
        let said = words(4, 300);
        world.bot().say(&said);
        world.run(secs(1));
        world.caller().hang_up();
        let hung_up = world.now();
        world.run_until(secs(3), |world| world.bots[0].gone);
        assert!(world.now() - hung_up <= ms(2100), "{what}");
        let cdr = world.finish();
        assert_eq!(outcome(&cdr["streams"][0]), ("completed user caller_hangup".to_owned(), None), "{what}");
        assert_eq!(world.bot().told(), "connected start stop:callended close:1000", "{what}");
        assert!(sound(&world.callers[0].ear.line()) == companded(G711::Mu, &said), "{what}");
        assert_eq!((&cdr["end"]["by"], &cdr["end"]["cause"]), (&"caller".into(), &"bye".into()), "{what}");
    }
}

#[test]
fn nor_has_it_where_the_caller_still_listens() {
    for (what, script) in AFTER_STOP {
        let mut setup = Setup { script, ..Setup::default() };
        setup.stream.max_stream_duration = secs(5);
        let mut world = World::new(setup);
        world.call();
        world.run(secs(1));
        let said = words(5, 300);
        world.bot().say(&said);
        let cdr = world.finish();
        assert_eq!(outcome(&cdr["streams"][0]), ("completed NA duration_limit".to_owned(), None), "{what}");
        assert_eq!(world.bot().told(), "connected start stop:stopped close:1000", "{what}");
        assert!(sound(&world.callers[0].ear.line()) == companded(G711::Mu, &said), "{what}");
    }
}

#[test]
fn a_bot_that_says_stop_and_talks_on_is_heard_to_the_end() {
    let mut world = with(|_, _| {});
    let said = words(6, 2000);
    let (before, after) = said.split_at(8000);
    world.bot().say(before);
    world.bot().send(json!({"event": "stop", "stream_sid": "x", "stop": {"reason": "done"}}));
    world.bot().say(after);
    world.bot().send(json!({"event": "stop"}));
    let cdr = world.finish();
    assert_eq!(outcome(&cdr["streams"][0]), ("completed bot bot_closed".to_owned(), None));
    assert!(sound(&world.callers[0].ear.line()) == companded(G711::Mu, &said));
    assert_eq!(world.bot().told(), "connected start stop:stopped close:1000");
    assert_eq!(cdr["streams"][0]["audio"]["played_ms"], 2000);
}

#[test]
fn a_bot_that_says_stop_and_then_fails_has_left_all_the_same() {
    for way in [Frame::Gone, Frame::Close(Some(1011), String::new()), Frame::Close(Some(1000), String::new())]
    {
        let mut world = with(|_, _| {});
        let said = words(7, 1000);
        world.bot().say(&said);
        world.bot().send(json!({"event": "stop"}));
        world.bot().frame(way.clone());
        let cdr = world.finish();
        assert_eq!(outcome(&cdr["streams"][0]), ("completed bot bot_closed".to_owned(), None), "{way:?}");
        assert!(sound(&world.callers[0].ear.line()) == companded(G711::Mu, &said), "{way:?}");
    }
}

#[test]
fn audio_after_a_bots_close_is_not_heard() {
    let mut world = with(|_, _| {});
    let said = words(8, 500);
    world.bot().say(&said);
    world.bot().close(1000);
    world.bot().send(media(&pcm(&words(9, 500))));
    let cdr = world.finish();
    assert!(sound(&world.callers[0].ear.line()) == companded(G711::Mu, &said));
    assert_eq!(cdr["streams"][0]["audio"]["received_ms"], 500);
}
