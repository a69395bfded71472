//! Any call, whatever happens in it: it ends, once, and gives everything back.

use streamkit::call::{Request, Ring};
use streamkit::flow::AnswerMode;
use streamkit::ids::Entropy;
use streamkit::stream::connect::Failure;
use streamkit::units::SampleRate;

use crate::tone;
use crate::world::bot::Door;
use crate::world::caller::{Hook, sdp};
use crate::world::clock::{Frame, ms, secs};
use crate::world::net::{Path, Paths};
use crate::world::{Setup, World, to_bots};

fn pick<T: Clone>(chance: &mut Entropy, of: &[T]) -> T {
    of[chance.below(of.len() as u32) as usize].clone()
}

fn any_path(chance: &mut Entropy) -> Path {
    Path {
        delay: ms(pick(chance, &[1, 5, 40, 150])),
        jitter: ms(pick(chance, &[0, 0, 10, 60])),
        in_order: pick(chance, &[true, false]),
        loss: pick(chance, &[0.0, 0.0, 2.0, 20.0]),
        twice: pick(chance, &[0.0, 0.0, 10.0]),
        overtaken: pick(chance, &[0.0, 0.0, 5.0]),
    }
}

fn any_setup(seed: u64, chance: &mut Entropy) -> Setup {
    let rate = pick(chance, &SampleRate::ALL);
    let url = |host: &str| format!("ws://{host}/?sample-rate={rate}");
    let mut setup = Setup { seed, ..Setup::url(&url("10.0.0.9")) };
    if chance.below(3) == 0 {
        setup.routes = vec![to_bots(&[&url("10.0.0.8"), &url("10.0.0.9")])];
        let door = pick(chance, &[Door::Silent, Door::Fails(ms(300), Failure::Refused), Door::Opens(ms(70))]);
        setup.houses = vec![("10.0.0.8", vec![door])];
        setup.stream.connect_timeout = secs(3);
    }
    setup.trunk.answer = pick(chance, &[AnswerMode::BotReady, AnswerMode::Immediate, AnswerMode::BotAudio]);
    setup.trunk.ring = pick(chance, &[Ring::Nothing, Ring::Ringing, Ring::EarlyMedia]);
    (setup.trunk.media_timeout, setup.trunk.max_call) = (secs(20), secs(120));
    setup.paths = Paths {
        sip_up: any_path(chance),
        sip_down: any_path(chance),
        rtp_up: any_path(chance),
        rtp_down: any_path(chance),
    };
    let opens = Door::Opens(ms(chance.below(3000).into()));
    let fails = Door::Fails(ms(chance.below(2000).into()), Failure::Refused);
    setup.doors =
        pick(chance, &[vec![opens.clone()], vec![opens.clone()], vec![fails.clone(), opens], vec![fails]]);
    setup.lag = ms(pick(chance, &[0, 1, 4]));
    setup
}

/// One thing that somebody does.
fn anything(world: &mut World, chance: &mut Entropy) {
    let bot_is_up = world.bots.last().is_some_and(|bot| !bot.heard.is_empty() && !bot.gone);
    match chance.below(if bot_is_up { 20 } else { 4 }) {
        0 => world.caller().mouth.say(&tone(440.0, 700)),
        1 => world.caller().mouth.press("4"),
        2 if chance.below(4) == 0 => world.caller().hang_up(),
        3 if chance.below(8) == 0 => {
            world.ask(pick(chance, &[Request::Hangup, Request::Shutdown, Request::Fail]));
        }
        4..=8 => world.bot().say(&tone(1000.0, 900)),
        9..=11 => world.bot().mark("m"),
        12 | 13 => world.bot().clear(),
        14 => world.bot().frame(Frame::Text("nonsense".to_owned())),
        15 if chance.below(4) == 0 => world.bot().close(pick(chance, &[1000, 1001, 1011])),
        16 if chance.below(4) == 0 => world.bot().die(),
        17 => world.caller().mouth.muted = chance.below(2) == 0,
        18 if world.callers[0].hook == Hook::Up => {
            let direction = pick(chance, &["sendrecv", "sendonly", "inactive"]);
            let text = sdp(world.callers[0].mouth.from, "0 8 101", direction);
            world.caller().reoffer(&text);
        }
        19 => world.bot().polite = chance.below(3) > 0,
        _ => {}
    }
}

fn storm(seed: u64) -> World {
    let mut chance = Entropy::seeded(seed ^ 0x5707_4d5e);
    let mut world = World::new(any_setup(seed, &mut chance));
    world.caller().dial();
    for _ in 0..chance.below(40) {
        let pause = ms(chance.below(600).into());
        world.run(pause);
        anything(&mut world, &mut chance);
    }
    world.caller().hang_up();
    world.caller().mouth.muted = true;
    let cdr = world.finish();
    assert_ne!(cdr["end"]["cause"], "", "{cdr}");
    if cdr["times"].get("answer_ms").is_some() {
        assert_eq!(cdr["sip"]["code"], 200, "{cdr}");
        assert!(cdr.get("media").is_some(), "the port told what it counted: {cdr}");
    }
    for stream in cdr["streams"].as_array().expect("streams") {
        assert_ne!(stream["Status"], "", "{cdr}");
    }
    world
}

#[test]
fn any_call_ends_once_and_gives_everything_back() {
    for seed in 0..200 {
        if let Err(panic) = std::panic::catch_unwind(|| drop(storm(seed))) {
            eprintln!("this was seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn the_same_seed_is_the_same_call() {
    for seed in [3, 14, 15, 92] {
        let [one, other] = [storm(seed), storm(seed)].map(|world| {
            let at = |(at, _, text): &(_, _, String)| (world.ms(*at), text.clone());
            let stories: Vec<_> = world.bots.iter().map(|bot| bot.story()).collect();
            (world.wire.iter().map(at).collect::<Vec<_>>(), stories, world.callers[0].ear.line())
        });
        assert_eq!(one, other, "seed {seed}");
    }
}
