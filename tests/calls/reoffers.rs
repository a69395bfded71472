//! Re-INVITEs: hold, resume, another port, and what cannot be.

use std::net::SocketAddr;

use streamkit::audio::codec::G711;

use crate::tone;
use crate::world::caller::{address, sdp};
use crate::world::clock::{ms, secs};
use crate::world::ear::{companded, find, is_silent};
use crate::world::{Setup, World};

fn in_a_call() -> World {
    let mut world = World::new(Setup::default());
    world.call();
    world.run(secs(1));
    world
}

/// The caller offers its own address with this direction; the answer to it.
fn offer(world: &mut World, direction: &str) -> (u16, String) {
    let caller = world.caller();
    let text = sdp(caller.mouth.from, "0 8 101", direction);
    caller.reoffer(&text);
    let before = world.callers[0].answers.len();
    world.run_until(secs(1), |world| world.callers[0].answers.len() > before);
    world.callers[0].answers[before].clone()
}

#[test]
fn on_hold_nothing_is_sent_and_after_it_all_goes_on() {
    let mut world = in_a_call();
    let (status, answer) = offer(&mut world, "sendonly");
    assert_eq!(status, 200);
    assert!(answer.contains("a=recvonly"), "{answer}");
    let held = world.now();
    world.caller().mouth.say(&tone(440.0, 1000)); // music on hold
    world.bot().say(&tone(1000.0, 1000));
    world.bot().mark("unheard");
    world.run(secs(5));
    let packets = &world.callers[0].ear.packets;
    assert!(packets.iter().all(|packet| packet.at <= held + ms(25) && is_silent(&packet.samples)));
    let unheard = world.bots[0].marked("unheard") - held;
    assert!((ms(975)..=ms(1025)).contains(&unheard), "the bot's time runs on: {unheard:?}");
    assert!(world.bots[0].line().iter().all(|sample| *sample == 0), "the bot does not hear the music");

    let (status, answer) = offer(&mut world, "sendrecv");
    assert_eq!(status, 200);
    assert!(answer.contains("a=sendrecv"), "{answer}");
    let (resumed, before) = (world.now(), world.callers[0].ear.packets.len());
    let words = tone(700.0, 500);
    world.bot().say(&words);
    world.run(secs(1));
    let ear = &world.callers[0].ear;
    let (last, first) = (&ear.packets[before - 1], &ear.packets[before]);
    assert!(first.at - resumed <= ms(100));
    assert!(first.marker, "the first after a pause");
    let gap = ms(u64::from(first.timestamp.wrapping_sub(last.timestamp)) / 8);
    assert!(gap.abs_diff(first.at - last.at) <= ms(20), "hold counts as elapsed: {gap:?}");
    assert!(find(&ear.line(), &companded(G711::Mu, &words)).is_some());
    world.bot().close(1000);
    let cdr = world.finish();
    assert_eq!(cdr["end"]["cause"], "bot_closed");
    let frames = world.bot().all("media").count() as f64;
    assert!((frames / 50.0 - 7.0).abs() < 0.3, "the bot's line had no gap: {frames}");
}

#[test]
fn a_hold_is_not_a_media_timeout() {
    let mut setup = Setup::default();
    setup.trunk.media_timeout = secs(5);
    let mut world = World::new(setup);
    world.call();
    offer(&mut world, "inactive");
    world.caller().mouth.muted = true;
    world.run(secs(20));
    assert_eq!(world.kit.calls.len(), 1);
    offer(&mut world, "sendrecv");
    let cdr = world.finish();
    assert_eq!(cdr["end"]["cause"], "media_timeout", "and afterwards it counts again");
}

#[test]
fn audio_follows_to_another_port() {
    let mut world = in_a_call();
    let elsewhere: SocketAddr = "198.51.100.10:4444".parse().expect("an address");
    world.caller().mouth.from = elsewhere;
    let (status, answer) = offer(&mut world, "sendrecv");
    assert_eq!((status, address(&answer)), (200, address(&world.callers[0].sdp)), "ours stays");
    let (question, words) = (tone(440.0, 500), tone(1000.0, 500));
    world.run(ms(100));
    world.caller().mouth.say(&question);
    world.bot().say(&words);
    world.run(secs(1));
    world.bot().close(1000);
    world.finish();
    assert!(find(&world.callers[0].ear.line(), &companded(G711::Mu, &words)).is_some());
    assert!(find(&world.bot().line(), &companded(G711::Mu, &question)).is_some());
}

#[test]
fn what_cannot_be_is_refused_and_the_call_lives_on() {
    let mut world = in_a_call();
    let text = sdp(world.callers[0].mouth.from, "18", "sendrecv");
    world.caller().reoffer(&text);
    world.run(ms(100));
    assert_eq!(world.callers[0].answers[0].0, 488);
    let words = tone(1000.0, 500);
    world.bot().say(&words);
    world.run(secs(1));
    world.bot().close(1000);
    world.finish();
    assert!(find(&world.callers[0].ear.line(), &companded(G711::Mu, &words)).is_some());
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK INVITE <488 ACK <BYE 200");
}

#[test]
fn an_unchanged_offer_gets_an_unchanged_answer() {
    let mut world = in_a_call();
    let (status, answer) = offer(&mut world, "sendrecv");
    assert_eq!((status, answer), (200, world.callers[0].sdp.clone()), "a refresh, octet for octet");
    world.run(secs(1));
    world.bot().close(1000);
    world.finish();
    world.callers[0].ear.assert_steady();
}

#[test]
fn an_offer_that_is_asked_for_moves_the_audio_with_its_answer() {
    let mut world = in_a_call();
    let elsewhere: SocketAddr = "198.51.100.10:5555".parse().expect("an address");
    let caller = world.caller();
    caller.answer_in_ack = Some(sdp(elsewhere, "8 101", "sendrecv"));
    caller.reoffer("");
    world.run(ms(50));
    let (status, ours) = world.callers[0].answers[0].clone();
    assert!(status == 200 && ours.contains("RTP/AVP 0 8 101"), "all of ours again: {ours}");
    let mouth = &mut world.caller().mouth;
    (mouth.from, mouth.law) = (elsewhere, G711::A);
    let (question, words) = (tone(440.0, 500), tone(1000.0, 500));
    world.run(ms(100));
    world.caller().mouth.say(&question);
    world.bot().say(&words);
    world.run(secs(1));
    world.bot().close(1000);
    let cdr = world.finish();
    assert!(find(&world.callers[0].ear.line(), &companded(G711::A, &words)).is_some());
    assert!(find(&world.bot().line(), &companded(G711::A, &question)).is_some());
    assert_eq!(cdr["media"]["codec"], "PCMA");
}

#[test]
fn a_reinvite_without_any_description_ends_no_call() {
    let mut world = in_a_call();
    world.caller().reoffer("");
    world.run(ms(100));
    let words = tone(1000.0, 500);
    world.bot().say(&words);
    world.run(secs(1));
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK INVITE <200 ACK");
    world.caller().hang_up();
    world.finish();
    assert!(find(&world.callers[0].ear.line(), &companded(G711::Mu, &words)).is_some());
    world.callers[0].ear.assert_steady();
}

#[test]
fn music_on_hold_is_heard_where_the_trunk_says_so() {
    let mut setup = Setup::default();
    setup.trunk.hold_passes = true;
    let mut world = World::new(setup);
    world.call();
    world.run(secs(1));
    offer(&mut world, "sendonly");
    let (held, music) = (world.now(), tone(440.0, 1000));
    world.caller().mouth.say(&music);
    world.run(secs(2));
    assert!(find(&world.bots[0].line(), &companded(G711::Mu, &music)).is_some());
    assert!(world.callers[0].ear.packets.iter().all(|packet| packet.at <= held + ms(25)), "nothing goes out");
    world.caller().hang_up();
    world.finish();
}
