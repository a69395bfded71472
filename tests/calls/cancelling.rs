//! Callers who think better of it.

use crate::world::bot::Door;
use crate::world::clock::{ms, secs};
use crate::world::{Setup, World};

fn slow_bot() -> World {
    World::new(Setup { doors: vec![Door::Opens(secs(1))], ..Setup::default() })
}

#[test]
fn a_cancel_before_the_answer_ends_everything() {
    let mut world = slow_bot();
    world.caller().dial();
    world.run(ms(500));
    world.caller().hang_up();
    let cdr = world.finish();

    assert_eq!(world.ladder(), "INVITE <100 <180 CANCEL <200 <487 ACK");
    assert!(world.bot().heard.is_empty(), "the bot never saw the call");
    assert_eq!((&cdr["end"]["by"], &cdr["end"]["cause"]), (&"caller".into(), &"cancel".into()));
    assert_eq!(cdr["sip"]["code"], 487);
    let stream = &cdr["streams"][0];
    assert_eq!(
        (&stream["Status"], &stream["Disposition"]),
        (&"cancelled".into(), &"caller_hangup_during_setup".into())
    );
    assert_eq!(cdr["times"]["duration_ms"], 0);
}

#[test]
fn a_cancel_that_crosses_the_200_meets_an_ordinary_call() {
    let mut world = slow_bot();
    world.caller().dial();
    world.run(ms(1001)); // the 200 goes out at 1002, the CANCEL arrives at 1003
    world.caller().hang_up();
    let cdr = world.finish();

    assert_eq!(world.ladder(), "INVITE <100 <180 CANCEL <200 <200 ACK BYE <200");
    assert_eq!(cdr["end"]["cause"], "bye");
    assert_eq!(world.bot().told(), "connected start stop:callended close:1000");
}

#[test]
fn an_expires_that_runs_out_is_a_cancel() {
    let mut world = World::new(Setup { doors: vec![Door::Silent], ..Setup::default() });
    world.caller().headers = vec![("Expires".to_owned(), "5".to_owned())];
    world.caller().dial();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <487 ACK");
    assert_eq!(cdr["end"]["cause"], "cancel");
}

#[test]
fn whenever_the_cancel_comes_the_call_ends_once() {
    for at in 0..80 {
        let setup = Setup { doors: vec![Door::Opens(ms(20))], lag: ms(3), seed: at, ..Setup::default() };
        let mut world = World::new(setup);
        world.caller().dial();
        world.run(ms(at / 2));
        world.caller().hang_up();
        let cdr = world.finish();
        let (answered, cause) = (cdr["times"].get("answer_ms").is_some(), cdr["end"]["cause"].as_str());
        assert!(matches!((answered, cause), (true, Some("bye")) | (false, Some("cancel"))), "at {at}: {cdr}");
    }
}
