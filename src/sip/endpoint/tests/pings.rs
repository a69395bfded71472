//! OPTIONS of ours, and what they tell of the targets.

use std::time::Duration;

use super::answering::answer_to;
use super::bench::{Bench, addr, name};
use super::dialling_targets::{ONE, TWO, bench, call, dial, only_to, target, trunk};
use crate::sip::endpoint::Input;
use crate::sip::message::Message;
use crate::sip::{Credentials, Target, Trunk};

const SECOND: Duration = Duration::from_secs(1);

fn pinging(targets: Vec<Target>) -> Trunk {
    Trunk { options_ping: 30 * SECOND, ..trunk(targets) }
}

/// Each target got its first OPTIONS.
fn begun(targets: Vec<Target>) -> (Bench, Vec<(std::net::SocketAddr, Message)>) {
    let mut bench = bench(pinging(targets));
    bench.begin();
    bench.wait(SECOND);
    let mut sent = bench.take();
    sent.sort_by_key(|(to, _)| *to);
    sent.dedup_by_key(|(to, _)| *to);
    (bench, sent)
}

fn alive(bench: &Bench) -> Vec<bool> {
    bench.endpoint.targets().iter().map(|state| state.alive).collect()
}

#[test]
fn any_answer_but_503_is_life_and_calls_go_where_there_is_some() {
    let (mut bench, sent) = begun(vec![target("203.0.113.1", 0), target("203.0.113.2", 1)]);
    let [(one, first), (two, second)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((*one, name(first).as_str(), *two), (addr(ONE), "OPTIONS", addr(TWO)));
    assert_eq!(first.request_uri().unwrap().as_str(), "sip:203.0.113.1");
    assert_eq!(alive(&bench), [true, true]);
    bench.from(ONE, &answer_to(first, "503 Service Unavailable"));
    bench.from(TWO, &answer_to(second, "405 Method Not Allowed"));
    assert_eq!(alive(&bench), [false, true]);
    assert_eq!(bench.endpoint.targets()[0].target, "203.0.113.1");
    assert!(bench.endpoint.targets()[0].since.is_some());
    bench.take();
    call(&mut bench, dial());
    only_to(&mut bench, TWO);
}

#[test]
fn a_silent_target_rests_until_it_answers() {
    let (mut bench, sent) = begun(vec![target("203.0.113.1", 0), target("203.0.113.2", 1)]);
    bench.from(TWO, &answer_to(&sent[1].1, "200 OK"));
    bench.wait(5 * SECOND);
    assert_eq!(alive(&bench), [false, true]);
    bench.wait(35 * SECOND);
    let again = bench.take();
    let ping =
        again.iter().rev().find(|(to, message)| *to == addr(ONE) && name(message) == "OPTIONS").unwrap();
    assert!(!alive(&bench)[0]);
    bench.from(ONE, &answer_to(&ping.1, "200 OK"));
    assert!(alive(&bench)[0]);
    call(&mut bench, dial());
    only_to(&mut bench, ONE);
}

#[test]
fn pings_come_about_each_interval_and_stop_when_the_trunks_change() {
    let (mut bench, sent) = begun(vec![target("203.0.113.1", 0)]);
    bench.from(ONE, &answer_to(&sent[0].1, "200 OK"));
    let mut pings = std::collections::HashSet::new();
    for _ in 0..300 {
        bench.wait(SECOND);
        for (_, ping) in bench.take() {
            pings.insert(ping.via().branch().unwrap().to_owned());
            bench.from(ONE, &answer_to(&ping, "200 OK"));
        }
    }
    assert!((9..=11).contains(&pings.len()), "{} in 300 s", pings.len());
    bench
        .endpoint
        .set_trunks(vec![Trunk { options_ping: Duration::ZERO, ..pinging(vec![target("203.0.113.1", 0)]) }]);
    bench.wait(300 * SECOND);
    assert!(bench.take().is_empty());
    bench.endpoint.set_trunks(vec![pinging(vec![target("203.0.113.2", 0)])]);
    bench.wait(SECOND / 4);
    only_to(&mut bench, TWO);
    bench.endpoint.set_trunks(Vec::new());
    bench.assert_nothing_left();
    assert!(bench.endpoint.targets().is_empty());
}

#[test]
fn a_challenged_ping_shows_who_we_are_and_is_life_already() {
    let credentials = Credentials { user: "alice".to_owned(), password: "secret".to_owned(), realm: None };
    let one = Target { credentials: Some(credentials), ..target("203.0.113.1", 0) };
    let (mut bench, sent) = begun(vec![one]);
    let challenge = "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"\r\nContent-Length";
    bench.from(ONE, &answer_to(&sent[0].1, "401 Unauthorized").replace("Content-Length", challenge));
    let again = only_to(&mut bench, ONE);
    assert_eq!((again.cseq(), again.call_id()), (2, sent[0].1.call_id()));
    assert!(again.header("Authorization").unwrap().contains("username=\"alice\""));
    bench.from(ONE, &answer_to(&again, "401 Unauthorized").replace("Content-Length", challenge));
    assert!(bench.sent.is_empty());
    assert_eq!(alive(&bench), [true]);
    bench.endpoint.set_trunks(Vec::new());
    bench.assert_nothing_left();
}

#[test]
fn a_name_that_is_not_found_is_not_alive_and_one_of_several_places_is_enough() {
    let mut bench = bench(pinging(vec![target("pbx.example", 0)]));
    bench.begin();
    bench.wait(SECOND);
    bench.found(None);
    assert_eq!(alive(&bench), [false]);
    bench.wait(35 * SECOND);
    bench.found(Some(&[(0, &[ONE, TWO])]));
    let sent = bench.take();
    assert_eq!(sent.len(), 2);
    bench.from(TWO, &answer_to(&sent[1].1, "200 OK"));
    assert_eq!(alive(&bench), [true]);
    bench.wait(6 * SECOND);
    assert_eq!(alive(&bench), [true]);
}

impl Bench {
    fn begin(&mut self) {
        let now = self.now;
        self.endpoint.handle(now, Input::Timeout);
    }
}
