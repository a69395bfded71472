//! What ends a call that nobody ends, and who is not let in.

use streamkit::call::Request;
use streamkit::call::admission::Limits;

use crate::world::clock::{ms, secs};
use crate::world::{Setup, World};

#[test]
fn a_telephone_without_rtp_is_hung_up_on() {
    let mut setup = Setup::default();
    setup.trunk.media_timeout = secs(10);
    let mut world = World::new(setup);
    world.call();
    world.run(secs(5));
    world.caller().mouth.muted = true;
    let cdr = world.finish();
    assert!(world.said("<BYE").contains("Reason: Q.850;cause=41;text=\"no RTP\"\r\n"));
    assert_eq!(cdr["end"]["cause"], "media_timeout");
    assert_eq!(cdr["verdict"]["side"], "network");
    let lasted = cdr["times"]["duration_ms"].as_u64().expect("a number");
    assert!((14_950..=15_100).contains(&lasted), "{lasted}");
    assert_eq!(world.bot().told(), "connected start stop:callended close:1000");
}

#[test]
fn a_call_lasts_as_long_as_it_may() {
    let mut setup = Setup::default();
    setup.trunk.max_call = secs(30);
    let mut world = World::new(setup);
    world.call();
    let cdr = world.finish();
    assert!(world.said("<BYE").contains("Reason: Q.850;cause=16;text=\"call limit\"\r\n"));
    assert_eq!((&cdr["end"]["cause"], &cdr["times"]["duration_ms"]), (&"call_limit".into(), &30_000.into()));
}

#[test]
fn a_stream_lasts_as_long_as_it_may() {
    let mut setup = Setup::default();
    setup.stream.max_stream_duration = secs(10);
    let mut world = World::new(setup);
    world.call();
    let cdr = world.finish();
    assert_eq!(world.bot().told(), "connected start stop:stopped close:1000");
    assert_eq!(
        (&cdr["end"]["cause"], &cdr["streams"][0]["Duration"]),
        (&"duration_limit".into(), &"10".into())
    );
}

#[test]
fn a_node_that_goes_down_says_so_to_both_sides() {
    let mut world = World::new(Setup::default());
    world.call();
    world.run(secs(1));
    world.ask(Request::Shutdown);
    let cdr = world.finish();
    assert!(world.said("<BYE").contains("Reason: Q.850;cause=41;text=\"shutdown\"\r\n"));
    assert_eq!(world.bot().told(), "connected start stop:stopped close:1001");
    assert_eq!((&cdr["end"]["by"], &cdr["end"]["cause"]), (&"streamkit".into(), &"shutdown".into()));
    assert_eq!(cdr["streams"][0]["Disposition"], "shutdown");
}

#[test]
fn a_node_that_goes_down_refuses_who_still_rings() {
    let mut world = World::new(Setup { doors: vec![crate::world::bot::Door::Silent], ..Setup::default() });
    world.caller().dial();
    world.run(secs(1));
    world.ask(Request::Shutdown);
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <503 ACK");
    assert!(world.said("<503").contains("Retry-After: 30\r\n"));
    assert_eq!((&cdr["end"]["cause"], &cdr["sip"]["code"]), (&"draining".into(), &503.into()));
    assert_eq!(cdr["streams"][0]["Disposition"], "shutdown");
}

#[test]
fn a_hangup_that_is_asked_for_happens() {
    let mut world = World::new(Setup::default());
    world.call();
    world.run(secs(1));
    world.ask(Request::Hangup);
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK <BYE 200");
    assert_eq!(world.bot().told(), "connected start stop:callended close:1000");
    assert_eq!(cdr["end"]["cause"], "hangup");
}

#[test]
fn a_hangup_that_is_asked_for_while_it_rings_is_a_480() {
    let mut world = World::new(Setup { doors: vec![crate::world::bot::Door::Silent], ..Setup::default() });
    world.caller().dial();
    world.run(secs(1));
    world.ask(Request::Hangup);
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <480 ACK");
    assert_eq!((&cdr["end"]["by"], &cdr["end"]["cause"]), (&"streamkit".into(), &"hangup".into()));
}

#[test]
fn a_throttled_stream_ends_a_call_that_was_answered_at_once() {
    let mut setup = Setup::default();
    setup.trunk.answer = streamkit::flow::AnswerMode::Immediate;
    setup.limits.streams = 0;
    let mut world = World::new(setup);
    world.call();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <180 <200 ACK <BYE 200");
    assert!(world.said("<BYE").contains("Reason: Q.850;cause=34\r\n"));
    assert_eq!((&cdr["end"]["by"], &cdr["end"]["cause"]), (&"streamkit".into(), &"throttled".into()));
}

/// Two telephones call, one after the other; the records of the second.
fn second_of_two(change: impl Fn(&mut Setup)) -> (World, serde_json::Value) {
    let mut setup = Setup { callers: 2, ..Setup::default() };
    change(&mut setup);
    let mut world = World::new(setup);
    world.call();
    world.wire.clear();
    world.callers[1].dial();
    world.run(secs(1));
    let ladder = world.ladder();
    world.caller().hang_up();
    let mut records = world.finish_all();
    assert_eq!(records.len(), 2);
    records.retain(|cdr| cdr["sip"]["code"] != 200);
    assert_eq!(records.len(), 1, "{ladder}");
    (world, records.remove(0))
}

#[test]
fn a_full_trunk_refuses_this_call_only() {
    let (world, cdr) = second_of_two(|setup| setup.trunk.max_calls = Some(1));
    assert!(world.ladder().starts_with("INVITE <100 <503 ACK"));
    assert!(world.said("<503").contains("Reason: Q.850;cause=34\r\n"));
    assert!(!world.said("<503").contains("Retry-After"));
    assert_eq!(cdr["end"]["cause"], "trunk_limit_calls");
}

#[test]
fn a_trunk_that_calls_too_often_is_refused_as_well() {
    let (world, cdr) = second_of_two(|setup| setup.trunk.max_cps = Some(1));
    assert!(!world.said("<503").contains("Retry-After"));
    assert_eq!(cdr["end"]["cause"], "trunk_limit_rate");
}

#[test]
fn a_full_node_asks_for_another_try() {
    for limits in
        [Limits { calls: 1, ..Limits::default() }, Limits { calls_per_second: 1, ..Limits::default() }]
    {
        let (world, cdr) = second_of_two(|setup| setup.limits = limits.clone());
        let refusal = world.said("<503");
        assert!(refusal.contains("Reason: Q.850;cause=42\r\n"));
        let after: u32 = crate::world::caller::field(refusal, "Retry-After").parse().expect("seconds");
        assert!((1..=5).contains(&after));
        assert!(cdr["end"]["cause"].as_str().is_some_and(|cause| cause.starts_with("limit_")));
    }
}

#[test]
fn an_account_without_a_stream_left_is_throttled() {
    let (world, cdr) = second_of_two(|setup| {
        setup.limits.account_streams.insert("acme1".to_owned(), 1);
    });
    assert!(world.ladder().starts_with("INVITE <100 <180 <503 ACK"), "{}", world.ladder());
    assert!(world.said("<503").contains("Reason: Q.850;cause=34\r\n"));
    assert_eq!(cdr["end"]["cause"], "throttled");
    let stream = &cdr["streams"][0];
    assert_eq!(stream["DetailedStatus"], "Streaming_call_throttled");
    assert_eq!(stream["Error"], "3010 streaming call throttled");
    assert_eq!(stream.get("StreamSID"), None, "no attempt was begun");
}

#[test]
fn without_an_rtp_port_there_is_no_call() {
    let mut world = World::new(Setup::default());
    world.kit.no_ports = true;
    world.caller().dial();
    let cdr = world.finish();
    assert_eq!(world.ladder(), "INVITE <100 <503 ACK");
    assert!(world.said("<503").contains("Retry-After: "));
    assert_eq!(cdr["end"]["cause"], "no_rtp_port");
}

#[test]
fn a_draining_node_lets_nobody_in() {
    let mut world = World::new(Setup::default());
    world.kit.admission.drain(true);
    world.caller().dial();
    let cdr = world.finish();
    assert!(world.said("<503").contains("Retry-After: 30\r\n"));
    assert_eq!(cdr["end"]["cause"], "draining");
    world.run(ms(1));
}
