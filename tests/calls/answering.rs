//! When the phone is picked up, and what goes before it.

use streamkit::audio::codec::G711;
use streamkit::call::Ring;
use streamkit::flow::AnswerMode;

use crate::tone;
use crate::world::bot::Door;
use crate::world::caller::sdp;
use crate::world::clock::{ms, secs};
use crate::world::ear::{companded, find};
use crate::world::{Setup, World};

fn answers(mode: AnswerMode, door: Door) -> Setup {
    let mut setup = Setup { doors: vec![door], ..Setup::default() };
    setup.trunk.answer = mode;
    setup
}

fn rings(ring: Ring) -> World {
    let mut setup = Setup { doors: vec![Door::Opens(secs(1))], ..Setup::default() };
    setup.trunk.ring = ring;
    World::new(setup)
}

#[test]
fn bot_ready_answers_when_start_is_written() {
    let mut world = World::new(answers(AnswerMode::BotReady, Door::Opens(secs(3))));
    world.call();
    assert_eq!(world.ms(world.now()), 3004);
    assert_eq!(world.bot().heard.len(), 2, "connected and start came before the 200");
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!((&cdr["times"]["start_ms"], &cdr["times"]["answer_ms"]), (&3000.into(), &3000.into()));
    assert_eq!(cdr["streams"][0]["connect_ms"], 3000);
}

#[test]
fn immediate_keeps_what_the_caller_says_meanwhile() {
    let mut world = World::new(answers(AnswerMode::Immediate, Door::Opens(secs(2))));
    world.call();
    assert!(world.ms(world.now()) < 20);
    let hello = tone(440.0, 1000);
    world.caller().mouth.say(&hello);
    world.run(secs(4));
    world.caller().hang_up();
    world.finish();

    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK BYE <200");
    let line = world.bot().line();
    let place = find(&line, &companded(G711::Mu, &hello)).expect("all of it");
    assert!(place < 8 * 60, "the stream's time begins with the answer, not with the socket: {place}");
    world.callers[0].ear.assert_steady();
}

#[test]
fn immediate_keeps_the_last_three_seconds_at_most() {
    let mut world = World::new(answers(AnswerMode::Immediate, Door::Opens(secs(6))));
    world.call();
    world.caller().mouth.say(&tone(440.0, 5900));
    world.run(secs(7));
    world.caller().hang_up();
    world.finish();

    let bot = world.bot();
    let start = bot.all("start").next().expect("a start").0;
    assert_eq!(bot.all("media").filter(|(at, _)| *at == start).count(), 150);
    assert!(bot.all("media").count() >= 195, "and then in real time");
}

#[test]
fn immediate_without_a_bot_hangs_up() {
    let mut world = World::new(answers(AnswerMode::Immediate, Door::Silent));
    world.call();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK <BYE 200");
    assert!(world.said("<BYE").contains("Reason: Q.850;cause=41"));
    assert_eq!(cdr["end"]["cause"], "connect_failed");
    assert_eq!(cdr["streams"][0]["Error"], "3009 failed to establish ws conn: timeout after 10s");
    world.callers[0].ear.assert_steady();
}

#[test]
fn bot_audio_answers_with_the_bots_first_words() {
    let setup = Setup {
        script: |bot, message| {
            if message["event"] == "start" {
                bot.say(&tone(1000.0, 500));
            }
        },
        ..answers(AnswerMode::BotAudio, Door::Opens(ms(500)))
    };
    let mut world = World::new(setup);
    world.call();
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(cdr["times"]["answer_ms"], 502);
    assert!(find(&world.callers[0].ear.line(), &companded(G711::Mu, &tone(1000.0, 500))).is_some());
}

#[test]
fn bot_audio_answers_a_mute_bot_after_three_seconds() {
    let mut world = World::new(answers(AnswerMode::BotAudio, Door::Opens(ms(500))));
    world.call();
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(cdr["times"]["answer_ms"], 3500);
}

#[test]
fn nothing_rings_when_nothing_is_to_ring() {
    let mut world = rings(Ring::Nothing);
    world.call();
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <200 ACK BYE <200");
    assert_eq!(cdr["times"].get("ringing_ms"), None);
}

#[test]
fn early_media_is_the_answers_own_description_and_silence() {
    let mut world = rings(Ring::EarlyMedia);
    world.call();
    let caller = world.caller();
    let before = caller.ear.packets.len();
    assert!((45..=52).contains(&before), "a second of silence before the 200: {before}");
    let (status, early) = caller.progress[0].clone();
    assert_eq!((status, early.as_deref()), (183, Some(caller.sdp.as_str())), "octet for octet");
    world.run(secs(1));
    world.caller().hang_up();
    world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <183 PRACK <200 <200 ACK BYE <200");
    world.callers[0].ear.assert_steady();
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    for ring in [Ring::Ringing, Ring::EarlyMedia] {
        let mut world = rings(ring);
        let caller = world.caller();
        caller.offer = None;
        caller.answer_in_ack = Some(sdp(caller.mouth.from, "8 101", "sendrecv"));
        caller.mouth.law = G711::A;
        world.call();
        assert!(world.caller().sdp.contains("RTP/AVP 0 8 101"), "{}", world.callers[0].sdp);
        let (question, answer) = (tone(440.0, 500), tone(1000.0, 500));
        world.run(ms(100));
        world.caller().mouth.say(&question);
        world.bot().say(&answer);
        world.run(secs(2));
        world.caller().hang_up();
        let cdr = world.finish();

        assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK BYE <200");
        assert!(find(&world.bot().line(), &companded(G711::A, &question)).is_some());
        assert!(find(&world.callers[0].ear.line(), &companded(G711::A, &answer)).is_some());
        assert_eq!(cdr["media"]["codec"], "PCMA");
    }
}

#[test]
fn an_ack_without_its_answer_ends_the_call() {
    let mut world = rings(Ring::Ringing);
    world.caller().offer = None;
    world.call();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK <BYE 200");
    assert!(world.said("<BYE").contains("Reason: SIP;cause=488\r\n"));
    assert_eq!(cdr["end"]["cause"], "no_sdp_answer");
}
