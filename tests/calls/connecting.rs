//! What the caller hears while a bot is being reached (`connecting_audio`, agentstream.md section 2).

use std::sync::Arc;

use streamkit::audio::codec::G711;
use streamkit::call::Ring;
use streamkit::flow::applet::{Applet, Hangup, Voicebot};
use streamkit::flow::{AnswerMode, Reconnect, StreamSettings};
use streamkit::prompt::Prompt;
use streamkit::stream::connect::Failure;

use crate::words;
use crate::world::bot::Door;
use crate::world::clock::{ms, secs};
use crate::world::ear::{companded, find, is_silent, sound};
use crate::world::{Setup, World};

/// Two bots, at whose doors one waits like this; the caller hears 300 ms of audio over and over meanwhile.
fn setup(answer: AnswerMode, ring: Ring, one: Vec<Door>, two: Vec<Door>) -> (Setup, Vec<i16>) {
    let audio = words(41, 300);
    let settings = StreamSettings { connecting_audio: Some("music".into()), ..StreamSettings::default() };
    let urls = ["ws://one.example/", "ws://two.example/"].map(str::to_owned).to_vec();
    let bot = Voicebot { urls, settings: Arc::new(settings), reconnect: Reconnect::No };
    let mut setup = Setup::steps(vec![Applet::Voicebot(bot), Applet::Hangup(Hangup::default())]);
    (setup.trunk.answer, setup.trunk.ring) = (answer, ring);
    setup.prompts.insert("music".into(), Prompt::from(audio.clone()));
    setup.houses = vec![("one.example", one), ("two.example", two)];
    (setup, audio)
}

fn opens(after: u64) -> Vec<Door> {
    vec![Door::Opens(ms(after))]
}

fn refuses() -> Vec<Door> {
    vec![Door::Fails(ms(20), Failure::Refused)]
}

/// The line is the audio, over and over, from its first sound on, for so long; then silence.
fn assert_looped(line: &[i16], audio: &[i16], about_ms: usize) {
    let heard = sound(line);
    let endless: Vec<i16> = audio.iter().copied().cycle().take(heard.len()).collect();
    assert!(heard == companded(G711::Mu, &endless), "not a sample is lost or said twice");
    assert!(heard.len().abs_diff(8 * about_ms) <= 8 * 60, "{} ms", heard.len() / 8);
}

#[test]
fn an_answered_caller_hears_it_until_the_bot_is_up_and_then_the_bot_alone() {
    let (setup, audio) = setup(AnswerMode::Immediate, Ring::Ringing, opens(1500), opens(50));
    let mut world = World::new(setup);
    world.call();
    world.run(ms(1490));
    let said = words(42, 500);
    world.run(ms(40));
    world.bot().say(&said);
    world.run(secs(2));
    world.caller().hang_up();
    world.finish();
    let line = world.callers[0].ear.line();
    let word = find(&line, &companded(G711::Mu, &said)).expect("the bot's word, and nothing mixed into it");
    assert_looped(&line[..word], &audio, 1500);
    assert!(is_silent(&line[word + said.len()..]));
    world.callers[0].ear.assert_steady();
    assert!(is_silent(&world.bots[0].line()), "the bot does not hear it");
}

#[test]
fn it_goes_on_without_a_seam_while_the_next_bot_is_tried() {
    let (setup, audio) = setup(AnswerMode::Immediate, Ring::Ringing, refuses(), opens(1000));
    let mut world = World::new(setup);
    world.call();
    world.run(secs(3));
    world.caller().hang_up();
    world.finish();
    assert_looped(&world.callers[0].ear.line(), &audio, 20 + 250 + 20 + 1000);
}

#[test]
fn early_media_carries_it_before_the_answer() {
    let (setup, audio) = setup(AnswerMode::BotReady, Ring::EarlyMedia, opens(1000), opens(50));
    let mut world = World::new(setup);
    world.call();
    world.run(secs(1));
    world.caller().hang_up();
    world.finish();
    assert!(world.ladder().starts_with("INVITE <100 <183 "), "{}", world.ladder());
    assert_looped(&world.callers[0].ear.line(), &audio, 1000);
}

#[test]
fn a_caller_whose_own_side_rings_hears_nothing_of_it() {
    let (setup, _) = setup(AnswerMode::BotReady, Ring::Ringing, opens(1000), opens(50));
    let mut world = World::new(setup);
    world.call();
    world.run(secs(1));
    world.caller().hang_up();
    world.finish();
    assert!(is_silent(&world.callers[0].ear.line()));
}

#[test]
fn it_ends_with_the_call_when_no_bot_can_be_had() {
    let (setup, audio) = setup(AnswerMode::Immediate, Ring::Ringing, refuses(), refuses());
    let mut world = World::new(setup);
    world.call();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK <BYE 200");
    assert_looped(&world.callers[0].ear.line(), &audio, 2 * (20 + 250 + 20));
    assert_eq!(cdr["streams"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_caller_who_leaves_while_it_plays_leaves_nothing_behind() {
    let (setup, _) = setup(AnswerMode::Immediate, Ring::Ringing, vec![Door::Silent], opens(50));
    let mut world = World::new(setup);
    world.call();
    world.run(secs(2));
    world.caller().hang_up();
    let cdr = world.finish();
    assert_eq!(cdr["streams"][0]["Disposition"], "caller_hangup_during_setup");
}
