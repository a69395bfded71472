//! A reload with calls up.

use super::bench::{Bench, CONTACT, PEER, addr, inside, invite, of_invite, request, trunk};
use crate::sip::io::Limits;
use crate::sip::{Command, Config, Ended, Event, Reload, Transport, Trunk};

fn reload(bench: &mut Bench, config: Config) {
    bench.command(Command::Reload(Box::new(Reload { config, limits: Limits::default() })));
}

/// The trunk under its name, for nobody.
fn gone() -> Config {
    Config { trunks: vec![Trunk { peers: Vec::new(), targets: Vec::new(), ..trunk() }], ..Config::default() }
}

fn outside(bench: &mut Bench, branch: &str) -> Vec<String> {
    bench.peer(&request("OPTIONS", branch, "", 1, "", ""));
    bench.heard()
}

#[test]
fn a_call_lives_on_when_its_trunk_is_gone_and_its_peer_is_a_stranger_else() {
    let mut bench = Bench::new();
    let (_, tag) = bench.up("");
    reload(&mut bench, gone());
    assert_eq!(outside(&mut bench, "o1"), ["403"]);
    for n in 0..20 {
        outside(&mut bench, &format!("p{n}")); // its answers as a stranger are used up
    }
    assert!(bench.endpoint.knows(Transport::Udp, addr(PEER)));
    let headers = format!("{CONTACT}Content-Type: application/sdp\r\n");
    bench.peer(&inside("INVITE", &tag, 2, &headers, "v=0\r\n"));
    assert!(matches!(bench.events.last(), Some(Event::Reoffer { .. })));
    let leg = bench.leg();
    bench.command(Command::Accept { leg, body: None });
    assert_eq!(bench.heard(), ["200"]);
    bench.peer(&inside("ACK", &tag, 2, "", ""));
    bench.peer(&inside("BYE", &tag, 3, "", ""));
    assert_eq!(bench.heard(), ["200"]);
    assert_eq!(bench.ended(), Some(Ended::Bye { reason: None }));
}

#[test]
fn an_invite_that_waits_can_be_cancelled_after_its_trunk_is_gone() {
    let mut bench = Bench::new();
    bench.invited("");
    reload(&mut bench, gone());
    bench.peer(&of_invite("CANCEL", ""));
    assert_eq!(bench.heard(), ["200", "487"]);
    bench.peer(&of_invite("ACK", ""));
    assert!(bench.take().is_empty());
    bench.assert_nothing_left();
}

#[test]
fn once_the_calls_have_ended_nothing_is_left_of_the_old_trunk() {
    let mut bench = Bench::new();
    let (_, tag) = bench.up("");
    reload(&mut bench, gone());
    bench.peer(&inside("BYE", &tag, 2, "", ""));
    bench.assert_nothing_left();
    reload(&mut bench, gone());
    assert!(!bench.endpoint.knows(Transport::Udp, addr(PEER)));
}

#[test]
fn new_requests_are_judged_by_the_new_trunks_and_limits() {
    let mut bench = Bench::with(Config::default());
    bench.from(PEER, &invite(""));
    assert_eq!(bench.heard(), ["403"]);
    let config = Config {
        trunks: vec![trunk()],
        user_agent: "other".to_owned(),
        source_requests_per_second: 1,
        advertise: Some("192.0.2.99".to_owned()),
        ..Config::default()
    };
    reload(&mut bench, config);
    bench.peer(&request("OPTIONS", "o1", "", 1, "", ""));
    let answer = bench.only();
    assert_eq!((answer.status(), answer.header("Server").as_deref()), (Some(200), Some("other")));
    assert_eq!(answer.contact().unwrap().uri.host(), "192.0.2.1", "where we are stays as it was");
    assert_eq!(outside(&mut bench, "o2"), ["503"]);
}
