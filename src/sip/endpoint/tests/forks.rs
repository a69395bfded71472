//! Calls of ours that ring at several ends, ring reliably, or are offered something.

use std::time::Duration;

use super::answering::answer_to;
use super::bench::{Bench, addr, inside, name, sdp};
use super::dialling_targets::{LEG, ONE, call, dial, hang_up, only_to, tagged, two};
use crate::sip::message::Message;
use crate::sip::{Body, Command, Dial, Event};

fn dialled() -> (Bench, Message) {
    let mut bench = two();
    call(&mut bench, dial());
    let invite = only_to(&mut bench, ONE);
    (bench, invite)
}

fn reliable(invite: &Message, status: &str, tag: &str, rseq: u32) -> String {
    tagged(invite, status, tag, &format!("Require: 100rel\r\nRSeq: {rseq}\r\n"))
}

fn rings(bench: &Bench) -> usize {
    bench.events.iter().filter(|event| matches!(event, Event::Progress { .. })).count()
}

#[test]
fn each_reliable_1xx_gets_one_prack_in_order_in_its_own_early_dialog() {
    let (mut bench, invite) = dialled();
    let routes = "Record-Route: <sip:203.0.113.2;lr>\r\nRSeq";
    bench.from(ONE, &reliable(&invite, "183 Session Progress", "a", 7).replacen("RSeq", routes, 1));
    let prack = only_to(&mut bench, "203.0.113.2:5060");
    assert_eq!(
        (name(&prack).as_str(), prack.cseq(), prack.header("RAck").as_deref()),
        ("PRACK", 2, Some("7 1 INVITE"))
    );
    assert_eq!((prack.to().tag(), prack.request_uri().unwrap().host()), (Some("a"), "203.0.113.1"));
    assert_eq!(prack.list("Route"), ["<sip:203.0.113.2;lr>"]);
    bench.from(ONE, &reliable(&invite, "183 Session Progress", "a", 7));
    bench.from(ONE, &reliable(&invite, "180 Ringing", "a", 9));
    assert!(bench.sent.is_empty(), "a copy, and one out of order");
    assert_eq!(rings(&bench), 1);
    bench.wait(Duration::from_millis(500));
    assert_eq!(
        bench.take().iter().map(|(_, copy)| copy.octets().to_vec()).collect::<Vec<_>>(),
        [prack.octets()]
    );
    bench.from(ONE, &answer_to(&prack, "200 OK"));
    bench.from(ONE, &reliable(&invite, "180 Ringing", "a", 8));
    let second = bench.only();
    assert_eq!((second.cseq(), second.header("RAck").as_deref()), (3, Some("8 1 INVITE")));
    bench.from(ONE, &reliable(&invite, "180 Ringing", "b", 100));
    let other = bench.only();
    assert_eq!(
        (other.cseq(), other.to().tag(), other.header("RAck").as_deref()),
        (2, Some("b"), Some("100 1 INVITE"))
    );
    assert_eq!(rings(&bench), 3);
    bench.from(ONE, &answer_to(&second, "200 OK"));
    bench.from(ONE, &answer_to(&other, "200 OK"));
    bench.from(ONE, &tagged(&invite, "200 OK", "a", ""));
    let ack = bench.only();
    assert_eq!((name(&ack).as_str(), ack.cseq(), ack.to().tag()), ("ACK", 1, Some("a")));
    hang_up(&mut bench);
    let bye = bench.only();
    assert_eq!((bye.cseq(), bye.to().tag()), (4, Some("a")));
    bench.from(ONE, &answer_to(&bye, "200 OK"));
    bench.assert_nothing_left();
}

#[test]
fn a_1xx_that_is_not_reliable_gets_no_prack_and_its_copies_are_told() {
    let (mut bench, invite) = dialled();
    bench.from(ONE, &tagged(&invite, "180 Ringing", "a", "RSeq: 1\r\n"));
    bench.from(ONE, &tagged(&invite, "180 Ringing", "a", "Require: 100rel\r\n"));
    bench.from(ONE, &answer_to(&invite, "183 Session Progress"));
    assert!(bench.sent.is_empty());
    assert_eq!(rings(&bench), 3);
    bench.from(ONE, &tagged(&invite, "199 Early Dialog Terminated", "a", ""));
    assert!(matches!(bench.events.last(), Some(Event::Progress { status: 199, .. })));
}

#[test]
fn one_that_answers_wins_and_each_other_gets_ack_and_bye_at_once() {
    let (mut bench, invite) = dialled();
    for tag in ["a", "b"] {
        bench.from(ONE, &tagged(&invite, "180 Ringing", tag, ""));
    }
    bench.from(ONE, &tagged(&invite, "200 OK", "b", ""));
    assert_eq!(bench.only().to().tag(), Some("b"));
    bench.from(ONE, &tagged(&invite, "200 OK", "a", ""));
    let sent = bench.take();
    assert_eq!((name(&sent[0].1).as_str(), sent[0].1.to().tag()), ("ACK", Some("a")));
    assert_eq!((name(&sent[1].1).as_str(), sent[1].1.to().tag()), ("BYE", Some("a")));
    assert_eq!(bench.ended(), None);
    hang_up(&mut bench);
    bench.assert_nothing_left();
}

#[test]
fn ends_without_number_are_bounded() {
    let (mut bench, invite) = dialled();
    for n in 0..100 {
        bench.from(ONE, &reliable(&invite, "180 Ringing", &format!("t{n}"), 1));
    }
    assert_eq!(bench.heard().len(), 16);
}

#[test]
fn an_offer_in_the_2xx_is_acknowledged_with_our_answer_and_not_before() {
    let mut bench = two();
    call(&mut bench, Dial { body: None, ..dial() });
    let invite = only_to(&mut bench, ONE);
    assert!(invite.body().is_empty());
    let offer = "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=1\r\n";
    let ok = tagged(&invite, "200 OK", "one", "").replace("Content-Length: 0\r\n\r\n", offer);
    bench.from(ONE, &ok);
    let Some(Event::Answered { body: Some(body), .. }) = bench.events.last() else {
        panic!("{:?}", bench.events)
    };
    assert_eq!(body.bytes, b"v=1\r\n");
    bench.from(ONE, &ok);
    assert!(bench.sent.is_empty());
    bench.command(Command::Acknowledge { leg: LEG, body: Some(Body::sdp("v=2\r\n")) });
    let raw = bench.raw.clone();
    let ack = only_to(&mut bench, ONE);
    assert_eq!((name(&ack).as_str(), ack.cseq(), ack.body()), ("ACK", 1, &b"v=2\r\n"[..]));
    bench.from(ONE, &ok);
    assert_eq!(bench.raw, raw, "then the same ACK");
    bench.take();
    hang_up(&mut bench);
    assert_eq!(bench.heard(), ["BYE"]);
    bench.assert_nothing_left();
}

#[test]
fn an_offer_nobody_answers_is_acknowledged_bare_before_the_bye() {
    let mut bench = two();
    call(&mut bench, Dial { body: None, ..dial() });
    let invite = only_to(&mut bench, ONE);
    let offer = "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=1\r\n";
    bench.from(ONE, &tagged(&invite, "200 OK", "one", "").replace("Content-Length: 0\r\n\r\n", offer));
    hang_up(&mut bench);
    assert_eq!(bench.heard(), ["ACK", "BYE"]);
    bench.assert_nothing_left();
}

#[test]
fn the_target_of_an_early_dialog_moves_with_what_its_end_sends() {
    let (mut bench, invite) = dialled();
    bench.from(ONE, &reliable(&invite, "180 Ringing", "a", 1));
    let prack = bench.only();
    bench.from(ONE, &answer_to(&prack, "200 OK"));
    let update =
        inside("UPDATE", invite.from().tag().unwrap(), 1, "Contact: <sip:moved@203.0.113.2:5090>\r\n", "")
            .replace("tag=peer", "tag=a")
            .replace("Call-ID: call", &format!("Call-ID: {}", invite.call_id()));
    bench.from(ONE, &update);
    assert_eq!(bench.heard(), ["200"]);
    let again = reliable(&invite, "180 Ringing", "a", 2).replace("Contact: <sip:2000@203.0.113.1>\r\n", "");
    bench.from(ONE, &again);
    let (to, prack) = bench.take().remove(0);
    assert_eq!((to, prack.request_uri().unwrap().user()), (addr("203.0.113.2:5090"), Some("moved")));
}

#[test]
fn an_offer_of_theirs_may_follow_a_reliable_answer() {
    let (mut bench, invite) = dialled();
    let answer = "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=1\r\n";
    bench.from(
        ONE,
        &reliable(&invite, "183 Session Progress", "a", 1).replace("Content-Length: 0\r\n\r\n", answer),
    );
    let prack = bench.only();
    bench.from(ONE, &answer_to(&prack, "200 OK"));
    let update = inside(
        "UPDATE",
        invite.from().tag().unwrap(),
        1,
        "Content-Type: application/sdp\r\nContact: <sip:b@203.0.113.1>\r\n",
        "v=2\r\n",
    )
    .replace("tag=peer", "tag=a")
    .replace("Call-ID: call", &format!("Call-ID: {}", invite.call_id()));
    bench.from(ONE, &update);
    assert!(matches!(bench.events.last(), Some(Event::Reoffer { body: Some(_), .. })), "{:?}", bench.events);
    bench.command(Command::Accept { leg: LEG, body: Some(sdp()) });
    assert_eq!(bench.heard(), ["200"]);
}

#[test]
fn a_2xx_of_a_call_that_is_dead_and_forgotten_gets_ack_and_bye() {
    let (mut bench, invite) = dialled();
    bench.from(ONE, &answer_to(&invite, "100 Trying"));
    hang_up(&mut bench);
    bench.wait(Duration::from_secs(70));
    assert_eq!(bench.endpoint.load(), crate::sip::Load::default());
    bench.take();
    for tag in ["a", "b"] {
        let ok = tagged(&invite, "200 OK", tag, "Record-Route: <sip:203.0.113.2;lr>\r\n");
        bench.from(ONE, &ok);
        let sent = bench.take();
        let [(to, ack), (_, bye)] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!((name(ack).as_str(), ack.cseq(), ack.to().tag()), ("ACK", 1, Some(tag)));
        assert_eq!((name(bye).as_str(), bye.cseq(), bye.to().tag()), ("BYE", 2, Some(tag)));
        assert_eq!((*to, bye.list("Route").len()), (addr("203.0.113.2:5060"), 1));
        assert_eq!((bye.call_id(), bye.from().tag()), (invite.call_id(), invite.from().tag()));
        bench.from(ONE, &ok);
        assert_eq!(bench.heard(), ["ACK"], "the BYE is on its way");
        bench.from(ONE, &answer_to(bye, "200 OK"));
    }
    bench.from("198.51.100.1:5060", &tagged(&invite, "200 OK", "c", ""));
    bench.from(ONE, &tagged(&invite, "200 OK", "c", "").replace("z9hG4bK", "z9hG4bK0"));
    assert!(bench.sent.is_empty(), "a stranger's is nobody's, and so is one to what we never sent");
    bench.assert_nothing_left();
}
