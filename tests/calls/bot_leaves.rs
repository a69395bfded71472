//! Bots that cannot be had, or go first.

use streamkit::audio::codec::G711;
use streamkit::stream::connect::Failure;

use crate::tone;
use crate::world::bot::Door;
use crate::world::clock::{Frame, ms, secs};
use crate::world::ear::{companded, find};
use crate::world::{Setup, World};

fn at_the_door(doors: Vec<Door>) -> World {
    World::new(Setup { doors, ..Setup::default() })
}

fn no() -> Door {
    Door::Fails(ms(50), Failure::Status(403))
}

#[test]
fn a_bot_that_refuses_twice_is_a_502() {
    let mut world = at_the_door(vec![no()]);
    world.caller().dial();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <502 ACK");
    assert!(world.said("<502").contains("Reason: Q.850;cause=38\r\n"));
    assert_eq!(cdr["end"]["cause"], "bot_unavailable");
    assert_eq!(cdr["end"]["by"], "bot");
    let stream = &cdr["streams"][0];
    assert_eq!((&stream["attempts"], &stream["Disposition"]), (&2.into(), &"connect_failed".into()));
    assert_eq!(stream["Error"], "3009 failed to establish ws conn: unexpected status 403");
    assert_eq!(cdr["verdict"]["side"], "bot");
}

#[test]
fn a_second_attempt_may_go_better() {
    let mut world = at_the_door(vec![no(), Door::Opens(ms(100))]);
    world.call();
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(cdr["times"]["answer_ms"], 50 + 250 + 100);
    assert_eq!(cdr["streams"][0]["attempts"], 2);
}

#[test]
fn a_bot_that_never_answers_is_a_504() {
    let mut world = at_the_door(vec![Door::Silent]);
    world.caller().dial();
    world.run(ms(9999));
    assert_eq!(world.ladder(), "INVITE <100 <180");
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <504 ACK");
    assert!(world.said("<504").contains("Reason: Q.850;cause=102\r\n"));
    assert_eq!((&cdr["end"]["cause"], &cdr["sip"]["code"]), (&"bot_timeout".into(), &504.into()));
}

#[test]
fn a_bot_with_an_impossible_url_is_a_502() {
    let mut world = World::new(Setup::url("ftp://bot.example.com/"));
    world.caller().dial();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <502 ACK");
    assert_eq!(cdr["streams"][0]["Disposition"], "bad_url");
}

#[test]
fn a_bot_that_closes_is_heard_to_the_end() {
    let mut world = at_the_door(vec![Door::Opens(ms(50))]);
    world.call();
    world.run(secs(1));
    let farewell = tone(1000.0, 2000);
    world.bot().say(&farewell);
    world.bot().close(1000);
    let closed = world.now();
    let cdr = world.finish();

    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK <BYE 200");
    assert!(world.said("<BYE").contains("Reason: Q.850;cause=16;text=\"bot ended the call\"\r\n"));
    let ear = &world.callers[0].ear;
    assert!(find(&ear.line(), &companded(G711::Mu, &farewell)).is_some());
    let last = ear.packets.last().expect("audio").at;
    assert!((ms(1980)..=ms(2060)).contains(&(last - closed)), "{:?}", last - closed);
    assert_eq!(world.bot().told(), "connected start", "a bot that closed first gets no stop");
    assert_eq!((&cdr["end"]["by"], &cdr["end"]["cause"]), (&"bot".into(), &"bot_closed".into()));
    assert_eq!(cdr["streams"][0]["audio"]["played_ms"], 2000);
}

#[test]
fn what_a_bot_leaves_is_played_for_five_seconds_at_most() {
    let mut world = at_the_door(vec![Door::Opens(ms(50))]);
    world.call();
    world.bot().say(&tone(1000.0, 20_000));
    world.bot().close(1001);
    let closed = world.now();
    world.finish();
    let last = world.callers[0].ear.packets.last().expect("audio").at;
    assert!((ms(4980)..=ms(5060)).contains(&(last - closed)), "{:?}", last - closed);
}

#[test]
fn silence_that_a_bot_leaves_is_not_waited_for() {
    let mut world = at_the_door(vec![Door::Opens(ms(50))]);
    world.call();
    world.bot().say(&tone(1000.0, 500));
    world.bot().say(&vec![0; 8 * 4000]);
    world.bot().close(1000);
    let closed = world.now();
    world.finish();
    let last = world.callers[0].ear.packets.last().expect("audio").at;
    assert!((ms(480)..=ms(560)).contains(&(last - closed)), "{:?}", last - closed);
}

#[test]
fn however_short_the_last_word_the_call_ends_behind_it() {
    for seed in 0..30 {
        let mut world = World::new(Setup { seed, lag: ms(50), ..Setup::default() });
        world.call();
        world.run(secs(1));
        world.bot().say(&[1000; 20]);
        world.bot().close(1000);
        let closed = world.now();
        world.finish();
        let (bye, ..) = *world.wire.iter().find(|(_, _, text)| text.starts_with("BYE")).expect("a BYE");
        assert!(bye - closed < ms(400), "seed {seed}: {:?}", bye - closed);
    }
}

#[test]
fn a_bot_that_talks_nonsense_is_shown_the_door() {
    let mut world = at_the_door(vec![Door::Opens(ms(50))]);
    world.call();
    for _ in 0..200 {
        world.bot().frame(Frame::Binary);
    }
    world.run(secs(1));
    assert_eq!(world.bot().told(), "connected start", "so much is borne");
    world.run(secs(11));
    for _ in 0..201 {
        world.bot().frame(Frame::Text("[]".to_owned()));
    }
    let cdr = world.finish();
    assert_eq!(world.bot().told(), "connected start close:1008");
    assert_eq!(cdr["end"]["cause"], "protocol_error");
    let error = "3013 protocol violation: more than 200 meaningless messages in 10s";
    assert_eq!(cdr["streams"][0]["Error"], error);
    assert!(world.said("<BYE").contains("Reason: Q.850;cause=41"));
}

#[test]
fn a_message_beyond_the_limit_ends_the_stream() {
    let mut world = at_the_door(vec![Door::Opens(ms(50))]);
    world.call();
    world.bot().frame(Frame::Text("x".repeat((1 << 20) + 1)));
    let cdr = world.finish();
    assert_eq!(world.bot().told(), "connected start close:1009");
    assert_eq!(cdr["streams"][0]["Disposition"], "protocol_error");
}

#[test]
fn a_caller_may_hang_up_on_a_bots_last_words() {
    let mut world = at_the_door(vec![Door::Opens(ms(50))]);
    world.call();
    world.bot().say(&tone(1000.0, 4000));
    world.bot().close(1000);
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK BYE <200");
    assert_eq!((&cdr["end"]["by"], &cdr["end"]["cause"]), (&"caller".into(), &"bye".into()));
    assert_eq!(cdr["streams"][0]["Disposition"], "bot_closed");
}

#[test]
fn a_bot_that_fails_is_not_heard_any_more() {
    let mut world = at_the_door(vec![Door::Opens(ms(50))]);
    world.call();
    world.bot().say(&tone(1000.0, 4000));
    world.run(secs(1));
    world.bot().close(1011);
    let closed = world.now();
    let cdr = world.finish();
    assert!(world.said("<BYE").contains("Reason: Q.850;cause=41;text=\"bot connection lost\"\r\n"));
    let last = world.callers[0].ear.packets.last().expect("audio").at;
    assert!(last - closed <= ms(40), "{:?}", last - closed);
    assert_eq!((&cdr["end"]["by"], &cdr["end"]["cause"]), (&"bot".into(), &"bot_error".into()));
    assert_eq!(cdr["streams"][0]["Error"], "3012 ws closed by peer: code=1011 reason=");
    assert_eq!(cdr["verdict"]["side"], "bot");
}

#[test]
fn a_bot_that_dies_is_noticed_at_once() {
    let mut world = at_the_door(vec![Door::Opens(ms(50))]);
    world.call();
    world.run(secs(1));
    world.bot().die();
    let died = world.now();
    let cdr = world.finish();
    let (bye, ..) = *world.wire.iter().find(|(_, _, text)| text.starts_with("BYE")).expect("a BYE");
    assert!(bye - died <= ms(100));
    assert_eq!(cdr["end"]["cause"], "connection_lost");
    assert_eq!(cdr["streams"][0]["Error"], "3011 ws connection lost: connection reset by peer");
}

#[test]
fn a_bot_that_falls_silent_on_its_socket_is_given_up_after_30_s() {
    let mut world = at_the_door(vec![Door::Opens(ms(50))]);
    world.call();
    world.bot().polite = false;
    let cdr = world.finish();
    assert_eq!(cdr["streams"][0]["Error"], "3014 ws peer unresponsive");
    let lasted = cdr["times"]["duration_ms"].as_u64().expect("a number");
    assert!((29_900..=30_100).contains(&lasted), "{lasted}");
}

#[test]
fn a_bot_that_asks_for_the_end_gets_its_stop() {
    let mut world = at_the_door(vec![Door::Opens(ms(50))]);
    world.call();
    world.bot().send(serde_json::json!({"event": "stop"}));
    let cdr = world.finish();
    assert_eq!(world.bot().story(), "connected start media stop:stopped close:1000");
    assert!(world.said("<BYE").contains("text=\"bot ended the call\""));
    assert_eq!(cdr["end"]["cause"], "bot_closed");
}

#[test]
fn a_bot_that_never_closes_is_dropped_after_two_seconds() {
    let mut world = at_the_door(vec![Door::Opens(ms(50))]);
    world.call();
    world.bot().polite = false;
    world.run(secs(1));
    world.caller().hang_up();
    world.run(ms(1900));
    assert!(!world.bot().gone);
    world.run(ms(200));
    assert!(world.bot().gone);
    assert_eq!(world.finish()["streams"][0]["Disposition"], "caller_hangup");
}
