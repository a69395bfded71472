//! Who are you? Asked of us, and asked by us.

use std::time::Duration;

use super::answering::answer_to;
use super::bench::{Bench, PEER, addr, inside, invite, name, request};
use super::dialling_targets::{
    LEG, ONE, TWO, bench, call, dial, hang_up, only_to, tagged, target, trunk, two,
};
use crate::ids::Entropy;
use crate::sip::auth::{Answer, Login, Tries};
use crate::sip::message::Message;
use crate::sip::{Command, Config, Credentials, Dial, Ended, Event, Target, Trunk};

fn credentials(realm: Option<&str>) -> Credentials {
    let (user, password) = ("alice".to_owned(), "secret".to_owned());
    Credentials { user, password, realm: realm.map(str::to_owned) }
}

/// One target that knows who we are.
fn known() -> Bench {
    let one = Target { credentials: Some(credentials(Some("pbx"))), ..target("203.0.113.1", 0) };
    bench(trunk(vec![one]))
}

fn asked(request: &Message, status: &str, nonce: &str, extra: &str) -> String {
    let field = if status.starts_with("401") { "WWW-Authenticate" } else { "Proxy-Authenticate" };
    let challenge =
        format!("{field}: Digest realm=\"pbx\",nonce=\"{nonce}\",qop=\"auth\",algorithm=SHA-256{extra}\r\n");
    tagged(request, status, "one", &challenge).replace(";tag=one;tag=one", ";tag=one")
}

fn authorization(request: &Message, field: &str) -> Answer {
    Answer::parse(request.header(field).expect(field).as_bytes()).unwrap()
}

#[test]
fn a_challenged_invite_goes_again_with_the_next_number_and_its_ack_shows_the_same() {
    let mut bench = known();
    call(&mut bench, dial());
    let first = only_to(&mut bench, ONE);
    assert_eq!(first.header("Authorization"), None);
    bench.from(ONE, &asked(&first, "401 Unauthorized", "n1", ""));
    let sent = bench.take();
    let [(_, ack), (to, second)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((name(ack).as_str(), ack.cseq(), *to), ("ACK", 1, addr(ONE)));
    assert_eq!(
        (second.cseq(), second.call_id(), second.from().tag()),
        (2, first.call_id(), first.from().tag())
    );
    assert_eq!((second.to().tag(), second.body()), (None, first.body()));
    let answer = authorization(second, "Authorization");
    assert_eq!((answer.user.as_str(), answer.nonce.as_str()), ("alice", "n1"));
    assert_eq!(answer.uri, second.request_uri().unwrap().as_str());
    bench.from(ONE, &tagged(second, "200 OK", "one", ""));
    let ack = only_to(&mut bench, ONE);
    assert_eq!((ack.cseq(), ack.header("Authorization")), (2, second.header("Authorization")));
    hang_up(&mut bench);
    let bye = only_to(&mut bench, ONE);
    let answer = authorization(&bye, "Authorization");
    assert_eq!((bye.cseq(), answer.counted.unwrap().1.as_str()), (3, "00000002"));
    bench.from(ONE, &asked(&bye, "407 Proxy", "n2", ""));
    let again = only_to(&mut bench, ONE);
    assert_eq!((name(&again).as_str(), again.cseq()), ("BYE", 4));
    assert_eq!(authorization(&again, "Proxy-Authorization").nonce, "n2");
    assert_eq!(bench.ended(), None);
    bench.from(ONE, &asked(&again, "407 Proxy", "n3", ""));
    assert!(bench.sent.is_empty());
    assert_eq!(bench.ended(), Some(Ended::ByUs));
    bench.assert_nothing_left();
}

#[test]
fn a_second_refusal_ends_the_call_unless_the_nonce_was_only_stale() {
    let mut bench = known();
    call(&mut bench, dial());
    let first = only_to(&mut bench, ONE);
    bench.from(ONE, &asked(&first, "407 Proxy", "n1", ""));
    let second = bench.take().remove(1).1;
    bench.from(ONE, &asked(&second, "407 Proxy", "n2", ",stale=true"));
    let third = bench.take().remove(1).1;
    assert_eq!(authorization(&third, "Proxy-Authorization").nonce, "n2");
    bench.from(ONE, &asked(&third, "407 Proxy", "n3", ",stale=true"));
    assert_eq!(bench.heard(), ["ACK"]);
    assert!(matches!(bench.ended(), Some(Ended::Refused { status: 407, .. })));
    bench.assert_nothing_left();
}

#[test]
fn without_credentials_or_for_another_realm_a_challenge_is_a_refusal() {
    let mut nobody = two();
    call(&mut nobody, dial());
    let invite = only_to(&mut nobody, ONE);
    nobody.from(ONE, &asked(&invite, "401 Unauthorized", "n", ""));
    assert_eq!(nobody.heard(), ["ACK"], "and the next target is not tried");
    assert!(matches!(nobody.ended(), Some(Ended::Refused { status: 401, .. })));
    let mut other = known();
    call(&mut other, dial());
    let invite = only_to(&mut other, ONE);
    other.from(ONE, &asked(&invite, "401 Unauthorized", "n", "").replace("\"pbx\"", "\"other\""));
    assert!(matches!(other.ended(), Some(Ended::Refused { status: 401, .. })));
}

#[test]
fn credentials_of_the_call_go_before_those_of_the_target_and_the_next_target_learns_nothing() {
    let mut bench = two();
    let mine = Credentials { user: "bob".to_owned(), ..credentials(None) };
    call(&mut bench, Dial { credentials: Some(mine), ..dial() });
    let first = only_to(&mut bench, ONE);
    bench.from(ONE, &asked(&first, "401 Unauthorized", "n", ""));
    let second = bench.take().remove(1).1;
    assert_eq!(authorization(&second, "Authorization").user, "bob");
    bench.from(ONE, &tagged(&second, "503 Service Unavailable", "one", ""));
    let (to, third) = bench.take().remove(1);
    assert_eq!((to, third.header("Authorization")), (addr(TWO), None));
}

#[test]
fn changes_and_keys_inside_a_call_of_ours_answer_challenges_too() {
    let mut bench = known();
    call(&mut bench, dial());
    let invite = only_to(&mut bench, ONE);
    bench.from(ONE, &tagged(&invite, "200 OK", "one", ""));
    bench.take();
    bench.command(Command::Modify { leg: LEG, update: false, body: Some(super::bench::sdp()) });
    let change = only_to(&mut bench, ONE);
    assert_eq!((name(&change).as_str(), change.header("Authorization")), ("INVITE", None));
    let refusal = asked(&change, "401 Unauthorized", "n1", "");
    bench.from(ONE, &refusal);
    let sent = bench.take();
    assert_eq!((name(&sent[0].1).as_str(), name(&sent[1].1).as_str()), ("ACK", "INVITE"));
    assert_eq!(authorization(&sent[1].1, "Authorization").nonce, "n1");
    bench.from(ONE, &answer_to(&sent[1].1, "200 OK"));
    assert_eq!(bench.heard(), ["ACK"]);
    assert!(matches!(bench.events.last(), Some(Event::Modified { result: Ok(_), .. })));
    let key = crate::sip::Body {
        content_type: "application/dtmf-relay".to_owned(),
        bytes: b"Signal=1\r\n".to_vec(),
    };
    bench.command(Command::Info { leg: LEG, body: key });
    let info = only_to(&mut bench, ONE);
    assert_eq!(authorization(&info, "Authorization").nonce, "n1");
    bench.from(ONE, &asked(&info, "401 Unauthorized", "n2", ",stale=true"));
    let again = only_to(&mut bench, ONE);
    assert_eq!((again.body(), authorization(&again, "Authorization").nonce.as_str()), (info.body(), "n2"));
    bench.from(ONE, &answer_to(&again, "200 OK"));
    hang_up(&mut bench);
    bench.assert_nothing_left();
}

#[test]
fn a_call_of_theirs_never_sees_our_credentials() {
    let own = Target { credentials: Some(credentials(None)), ..target("192.0.2.10", 0) };
    let trunk = Trunk { peers: vec!["192.0.2.0/24".parse().unwrap()], ..trunk(vec![own]) };
    let mut bench = bench(trunk);
    let (leg, _) = bench.up("");
    bench.command(Command::Hangup { leg, reason: None });
    let bye = bench.only();
    let challenge = "WWW-Authenticate: Digest realm=\"pbx\",nonce=\"n\"\r\nContent-Length";
    bench.peer(&answer_to(&bye, "401 Unauthorized").replace("Content-Length", challenge));
    assert!(bench.sent.is_empty());
    assert_eq!(bench.ended(), Some(Ended::ByUs));
}

#[test]
fn a_422_is_answered_with_the_larger_interval_in_both_fields_three_times_at_most() {
    let mut bench = two();
    call(&mut bench, dial());
    let mut invite = only_to(&mut bench, ONE);
    for (number, wanted) in [(2, "3600"), (3, "4000"), (4, "5000")] {
        let refusal =
            tagged(&invite, "422 Session Interval Too Small", "one", &format!("Min-SE: {wanted}\r\n"));
        bench.from(ONE, &refusal);
        let (to, again) = bench.take().remove(1);
        assert_eq!((to, again.cseq(), again.call_id()), (addr(ONE), number, invite.call_id()));
        assert_eq!(again.header("Session-Expires").as_deref(), Some(wanted));
        assert_eq!(again.header("Min-SE").as_deref(), Some(wanted));
        invite = again;
    }
    bench.from(ONE, &tagged(&invite, "422 Session Interval Too Small", "one", "Min-SE: 6000\r\n"));
    assert!(matches!(bench.ended(), Some(Ended::Refused { status: 422, .. })));
}

// ---- asked by us ----

fn guarded(md5: bool) -> Bench {
    let trunk = Trunk { digest_users: vec![credentials(None)], ..super::bench::trunk() };
    Bench::with(Config { trunks: vec![trunk], digest_md5: md5, ..Config::default() })
}

/// What a peer with that password sends once it was asked, in the INVITE of another branch and number.
fn answered(challenge: &Message, password: &str) -> String {
    let mut login = Login::new(Credentials { password: password.to_owned(), ..credentials(None) });
    assert!(login.challenged(challenge, &mut Tries::default()));
    let (field, value) = login.headers("INVITE", "sip:bot@192.0.2.1", &mut Entropy::seeded(1)).remove(0);
    again(&invite(&format!("{field}: {value}\r\n")))
}

fn again(invite: &str) -> String {
    invite.replace("z9hG4bKfirst", "z9hG4bKsecond").replace("CSeq: 1 ", "CSeq: 2 ")
}

#[test]
fn a_trunk_with_users_asks_before_anything_else_and_takes_the_right_answer() {
    let mut bench = guarded(true);
    bench.peer(&invite(""));
    let challenge = bench.only();
    assert_eq!((challenge.status(), challenge.headers("WWW-Authenticate").count()), (Some(401), 2));
    assert!(challenge.header("WWW-Authenticate").unwrap().contains("SHA-256"));
    assert!(challenge.to().tag().is_some() && bench.events.is_empty());
    assert_eq!(bench.endpoint.load().transactions, 0);
    bench.peer(&answered(&challenge, "secret"));
    assert_eq!(bench.heard(), ["100"]);
    assert!(matches!(bench.events[..], [Event::Incoming(_)]));
    bench.peer(&answered(&challenge, "secret"));
    assert_eq!(bench.heard(), ["100"], "a copy is a copy, and no replay");
    let leg = bench.leg();
    bench.command(Command::Answer { leg, body: Some(super::bench::sdp()) });
    let tag = bench.only().to().tag().unwrap().to_owned();
    bench.peer(&inside("ACK", &tag, 2, "", ""));
    bench.peer(&inside("BYE", &tag, 3, "", ""));
    assert_eq!(bench.heard(), ["200"], "inside a dialog nobody is asked");
    bench.assert_nothing_left();
}

#[test]
fn a_replayed_answer_is_stale_and_an_old_one_too() {
    let mut bench = guarded(false);
    bench.peer(&invite(""));
    let challenge = bench.only();
    assert_eq!(challenge.headers("WWW-Authenticate").count(), 1);
    let right = answered(&challenge, "secret");
    bench.peer(&right);
    assert_eq!(bench.heard(), ["100"]);
    bench.peer(&right.replace("z9hG4bKsecond", "z9hG4bKthird").replace("Call-ID: call", "Call-ID: other"));
    let stale = bench.only();
    assert!(stale.header("WWW-Authenticate").unwrap().contains("stale=true"));
    bench.wait(Duration::from_secs(31));
    bench.take();
    bench.peer(
        &answered(&stale, "secret").replace("second", "late").replace("Call-ID: call", "Call-ID: late"),
    );
    assert!(bench.only().header("WWW-Authenticate").unwrap().contains("stale=true"));
    assert_eq!(bench.events.iter().filter(|event| matches!(event, Event::Incoming(_))).count(), 1);
}

#[test]
fn ten_wrong_answers_bar_a_source_and_options_are_not_asked() {
    let mut bench = guarded(true);
    for n in 0..10 {
        bench.peer(&invite("").replace("Call-ID: call", &format!("Call-ID: ask{n}")));
        let challenge = bench.only();
        assert_eq!(challenge.status(), Some(401));
        bench.peer(&answered(&challenge, "wrong"));
        let refusal = bench.only();
        assert_eq!(refusal.status(), Some(401));
        assert!(!refusal.header("WWW-Authenticate").unwrap().contains("stale"));
    }
    bench.peer(&invite(""));
    assert_eq!(bench.heard(), ["403"]);
    bench.peer(&request("OPTIONS", "o", "", 1, "", ""));
    assert_eq!(bench.heard(), ["200"]);
    let elsewhere = PEER.replace(".10:", ".11:");
    bench.from(&elsewhere, &invite(""));
    assert_eq!(bench.heard(), ["401"]);
}
