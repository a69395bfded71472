//! Telephone keys.

use serde_json::Value;

use crate::world::clock::{ms, secs};
use crate::world::{Setup, World};

fn keys(world: &mut World) -> Vec<(String, u64)> {
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let key = |dtmf: &Value| (text(&dtmf["digit"]), text(&dtmf["duration"]).parse().expect("a number"));
    world.bot().all("dtmf").map(|(_, message)| key(&message["dtmf"])).collect()
}

#[test]
fn each_press_is_told_once_with_its_duration() {
    let mut world = World::new(Setup::default());
    world.call();
    world.caller().mouth.press("159#");
    world.run(secs(2));
    world.caller().hang_up();
    world.finish();
    let expected = ["1", "5", "9", "#"].map(|key| (key.to_owned(), 100));
    assert_eq!(keys(&mut world), expected);
    assert_eq!(world.bot().story().matches("dtmf").count(), 4);
}

#[test]
fn frames_go_on_one_each_20_ms_while_a_key_is_down() {
    for held in [160, 2000] {
        let mut world = World::new(Setup::default());
        world.call();
        world.run(secs(3));
        let pressed = world.now();
        world.caller().mouth.hold("5", ms(held));
        world.run(ms(held) + secs(1));
        let until = world.now();
        world.caller().hang_up();
        world.finish();
        let frames: Vec<_> = world.bot().all("media").map(|(at, _)| *at).collect();
        let during: Vec<_> = frames.windows(2).filter(|pair| pair[0] >= pressed && pair[1] < until).collect();
        assert!(during.len() as u64 >= held / 20 + 40, "{} frames", during.len());
        for pair in during {
            let between = pair[1] - pair[0];
            assert!(
                (ms(18)..=ms(22)).contains(&between),
                "{between:?} between frames, {:?} in",
                pair[0] - pressed
            );
        }
        assert_eq!(keys(&mut world), [("5".to_owned(), held)]);
    }
}

#[test]
fn a_press_whose_end_is_lost_is_told_120_ms_later() {
    let mut world = World::new(Setup::default());
    world.call();
    world.caller().mouth.without_ends = true;
    let pressed = world.now();
    world.caller().mouth.press("7");
    world.run(secs(1));
    world.caller().hang_up();
    world.finish();
    assert_eq!(keys(&mut world), [("7".to_owned(), 80)]);
    let told = world.bot().all("dtmf").next().expect("a key").0;
    assert!((ms(180)..=ms(260)).contains(&(told - pressed)), "{:?}", told - pressed);
}

#[test]
fn loss_and_copies_make_no_second_press() {
    for seed in 0..20 {
        let mut setup = Setup { seed, ..Setup::default() };
        setup.paths.rtp_up.loss = 20.0;
        setup.paths.rtp_up.twice = 20.0;
        setup.paths.rtp_up.overtaken = 10.0;
        let mut world = World::new(setup);
        world.call();
        world.run(secs(1));
        for key in ["1", "1", "2", "2"] {
            world.caller().mouth.press(key);
            world.run(ms(500));
        }
        world.caller().hang_up();
        world.finish();
        let told: Vec<String> = keys(&mut world).into_iter().map(|(key, _)| key).collect();
        assert_eq!(told, ["1", "1", "2", "2"], "seed {seed}");
    }
}

#[test]
fn keys_pressed_before_the_bot_is_there_are_kept_for_it() {
    use streamkit::flow::AnswerMode;
    let mut setup = Setup { doors: vec![crate::world::bot::Door::Opens(secs(2))], ..Setup::default() };
    setup.trunk.answer = AnswerMode::Immediate;
    let mut world = World::new(setup);
    world.call();
    world.caller().mouth.press("42");
    world.run(secs(3));
    world.caller().hang_up();
    world.finish();
    assert_eq!(keys(&mut world).len(), 2);
}

#[test]
fn a_key_told_by_info_reaches_the_bot() {
    let mut world = World::new(Setup::default());
    world.call();
    world.run(ms(500));
    world.caller().info("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    world.run(ms(500));
    world.bot().close(1000);
    world.finish();
    assert_eq!(world.callers[0].answers[0].0, 200);
    assert_eq!(keys(&mut world), [("5".to_owned(), 160)]);
}

#[test]
fn a_key_told_by_rtp_and_by_info_is_one_key() {
    let mut world = World::new(Setup::default());
    world.call();
    world.run(ms(500));
    world.caller().mouth.press("5");
    world.run(ms(200));
    world.caller().info("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    world.run(ms(1000));
    world.caller().info("application/dtmf", "5");
    world.run(ms(200));
    world.bot().close(1000);
    world.finish();
    assert_eq!(keys(&mut world).len(), 2, "one twice, and one alone a second later");
}

#[test]
fn a_trunk_may_want_keys_by_one_way_alone() {
    use streamkit::call::Dtmf;
    for (dtmf, by_rtp, by_info) in
        [(Dtmf::Auto, true, true), (Dtmf::Rfc4733, true, false), (Dtmf::Info, false, true)]
    {
        let mut setup = Setup::default();
        setup.trunk.dtmf = dtmf;
        let mut world = World::new(setup);
        world.call();
        assert_eq!(world.callers[0].sdp.contains("telephone-event"), by_rtp, "{dtmf:?}");
        if by_rtp {
            world.caller().mouth.press("1");
        }
        world.run(secs(1));
        world.caller().info("application/dtmf-relay", "Signal=2\r\nDuration=100\r\n");
        world.run(secs(1));
        assert_eq!(world.callers[0].answers[0].0, 200, "it is answered all the same");
        world.caller().hang_up();
        world.finish();
        let told: Vec<String> = keys(&mut world).into_iter().map(|(key, _)| key).collect();
        let expected = [("1", by_rtp), ("2", by_info)];
        let expected: Vec<_> = expected.iter().filter(|(_, told)| *told).map(|(key, _)| *key).collect();
        assert_eq!(told, expected, "{dtmf:?}");
    }
}
