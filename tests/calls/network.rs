//! What RTP goes through, and what the bot hears of it: one line, gapless, in real time (reliability R-45).

use std::net::SocketAddr;

use streamkit::audio::codec::G711;
use streamkit::units::SampleRate;

use crate::tone;
use crate::world::caller::sdp;
use crate::world::clock::{ms, secs};
use crate::world::ear::{companded, find};
use crate::world::net::{Path, Paths};
use crate::world::{Setup, World};

/// A minute over this network up, at this rate; `midway` after 30 s.
fn minute(
    seed: u64,
    rate: SampleRate,
    rtp_up: Path,
    midway: impl Fn(&mut World),
) -> (World, serde_json::Value) {
    let setup = Setup::url(&format!("ws://10.0.0.9/?sample-rate={rate}"));
    let mut world = World::new(Setup { seed, paths: Paths { rtp_up, ..Paths::default() }, ..setup });
    world.call();
    world.caller().mouth.say(&tone(440.0, 60_000));
    world.run(secs(30));
    midway(&mut world);
    world.run(secs(30));
    world.caller().hang_up();
    let cdr = world.finish();
    let bot = world.bot();
    let frames: Vec<_> = bot.all("media").map(|(at, _)| *at).collect();
    let (first, last) = (frames[0], frames[frames.len() - 1]);
    let (said, passed) = ((frames.len() - 1) as f64 * 0.02, (last - first).as_secs_f64());
    let most = 0.001 * passed + 0.06; // and what is under way at either end
    assert!((said - passed).abs() <= most, "{said} s of audio in {passed} s");
    (world, cdr)
}

fn nothing(_: &mut World) {}

#[test]
fn the_bots_line_is_gapless_at_any_loss_up_to_20_percent() {
    for (loss, rate) in [(5.0, SampleRate::Hz8000), (20.0, SampleRate::Hz16000), (20.0, SampleRate::Hz8000)] {
        let (_, cdr) = minute(7, rate, Path { loss, ..Path::default() }, nothing);
        let incoming = &cdr["media"]["in"];
        let (lost, came) = (incoming["lost"].as_f64(), incoming["packets"].as_f64());
        let percent = lost.zip(came).map(|(lost, came)| 100.0 * lost / (lost + came)).expect("numbers");
        assert!((percent - loss).abs() < 2.5, "{percent} % counted of {loss} %");
        assert_eq!(cdr["verdict"]["side"], "network");
    }
}

#[test]
fn what_is_overtaken_is_put_in_its_place() {
    let path = Path { overtaken: 5.0, ..Path::default() };
    let (world, cdr) = minute(3, SampleRate::Hz8000, path, nothing);
    assert_eq!(cdr["media"]["in"]["lost"], 0);
    assert!(cdr["media"]["in"]["reordered"].as_u64() > Some(50));
    let line = world.bots[0].line();
    let exact = companded(G711::Mu, &tone(440.0, 60_000));
    let second = &exact[8000 * 50..8000 * 51];
    assert!(find(&line, second).is_some(), "once the wait has grown nothing is missing any more");
}

#[test]
fn copies_are_heard_once() {
    let path = Path { twice: 20.0, ..Path::default() };
    let (world, cdr) = minute(4, SampleRate::Hz8000, path, nothing);
    assert!(find(&world.bots[0].line(), &companded(G711::Mu, &tone(440.0, 50_000))).is_some());
    assert!(cdr["media"]["in"]["duplicated"].as_u64() > Some(400));
}

#[test]
fn jitter_up_to_100_ms_leaves_the_line_whole() {
    for in_order in [true, false] {
        let path = Path { jitter: ms(100), in_order, ..Path::default() };
        let (_, cdr) = minute(5, SampleRate::Hz8000, path, nothing);
        let lost = cdr["media"]["in"]["lost"].as_u64().expect("a number");
        assert!(lost <= 5, "{lost} lost, more than can be on their way at the BYE; in order: {in_order}");
        let concealed = cdr["media"]["in"]["concealed_ms"].as_u64().expect("a number");
        assert!(concealed < 1500, "{concealed} ms of a minute, in order: {in_order}");
    }
}

#[test]
fn everything_at_once() {
    for seed in 0..4 {
        let path = Path { jitter: ms(60), loss: 10.0, twice: 5.0, overtaken: 5.0, ..Path::default() };
        minute(seed, SampleRate::Hz24000, path, |world| {
            let mouth = &mut world.caller().mouth;
            (mouth.ssrc, mouth.seq, mouth.timestamp) = (77, 9, 1_000_000);
        });
    }
}

#[test]
fn another_ssrc_is_the_same_call() {
    let (world, cdr) = minute(6, SampleRate::Hz8000, Path::default(), |world| {
        let mouth = &mut world.caller().mouth;
        (mouth.ssrc, mouth.seq, mouth.timestamp) = (0xABCD, 40_000, 123_456_789);
    });
    let line = world.bots[0].line();
    let exact = companded(G711::Mu, &tone(440.0, 60_000));
    assert!(find(&line, &exact[8000 * 40..8000 * 41]).is_some(), "the voice goes on");
    assert_eq!(cdr["media"]["in"]["lost"], 0);
}

#[test]
fn numbers_and_stamps_may_turn() {
    let mut world = World::new(Setup::default());
    let mouth = &mut world.caller().mouth;
    (mouth.seq, mouth.timestamp) = (65_500, u32::MAX - 8000);
    world.call();
    let words = tone(440.0, 3000);
    world.caller().mouth.say(&words);
    world.run(secs(4));
    world.caller().hang_up();
    let cdr = world.finish();
    assert!(find(&world.bot().line(), &companded(G711::Mu, &words)).is_some());
    assert_eq!((&cdr["media"]["in"]["lost"], &cdr["media"]["in"]["reordered"]), (&0.into(), &0.into()));
}

#[test]
fn a_stranger_is_neither_heard_nor_answered() {
    let mut world = World::new(Setup::default());
    world.call();
    world.run(secs(1));
    let (to, stranger) =
        (world.callers[0].mouth.to.expect("a call"), SocketAddr::from(([203, 0, 113, 66], 4000)));
    let mut noise = crate::world::Mouth::new(stranger);
    noise.ssrc = 66;
    noise.say(&tone(2000.0, 1000));
    for _ in 0..50 {
        noise.open(world.now(), to);
        let packet = noise.speak(world.now()).expect("a packet");
        world.send(stranger, to, &packet);
        world.run(ms(20));
    }
    world.run(secs(1));
    world.caller().hang_up();
    let cdr = world.finish();
    assert!(world.bot().line().iter().all(|sample| *sample == 0));
    assert_eq!(cdr["media"]["in"]["foreign"], 50);
    world.callers[0].ear.assert_steady();
    assert!(world.astray.is_empty(), "everything went to the telephone: {:?}", world.astray);
}

#[test]
fn behind_a_nat_audio_finds_its_way_back() {
    let mut world = World::new(Setup::default());
    let caller = world.caller();
    caller.offer = Some(sdp("10.1.1.1:7000".parse().expect("an address"), "0 8 101", "sendrecv"));
    caller.mouth.from = "198.51.100.10:23456".parse().expect("an address");
    world.call();
    world.run(secs(1));
    let (question, words) = (tone(440.0, 500), tone(1000.0, 500));
    world.caller().mouth.say(&question);
    world.bot().say(&words);
    world.run(secs(1));
    world.caller().hang_up();
    world.finish();
    assert!(find(&world.bot().line(), &companded(G711::Mu, &question)).is_some());
    assert!(find(&world.callers[0].ear.line(), &companded(G711::Mu, &words)).is_some());
    let before =
        world.astray.iter().filter(|to| **to == "10.1.1.1:7000".parse().expect("an address")).count();
    assert!((1..=5).contains(&before), "until three packets taught where: {before}");
}
