//! Calls of ours.

use std::time::Duration;

use super::answering::answer_to;
use super::bench::{Bench, addr, name, sdp};
use crate::ids::{LegId, TrunkId};
use crate::sip::message::Message;
use crate::sip::{Command, Destination, Dial, Ended, Event, Load, Transport};

const LEG: LegId = LegId(1 << 63 | 1);

fn dial(to: &str) -> Command {
    Command::Dial(Box::new(Dial {
        leg: LEG,
        trunk: TrunkId(0),
        uri: "sip:2000@203.0.113.5".to_owned(),
        to: Destination::Address(addr(to), Transport::Udp),
        ring_limit: Duration::from_secs(180),
        credentials: None,
        from: "sip:1000@192.0.2.1".to_owned(),
        headers: vec![("X-Test".to_owned(), "yes".to_owned())],
        body: Some(sdp()),
    }))
}

/// A call that rings nowhere yet, and its INVITE.
fn dialled() -> (Bench, Message) {
    let mut bench = Bench::new();
    bench.command(dial("203.0.113.5:5060"));
    let invite = bench.only();
    (bench, invite)
}

fn tagged(request: &Message, status: &str, tag: &str, extra: &str) -> String {
    let to = request.header("To").unwrap().into_owned();
    let contact = "Contact: <sip:2000@203.0.113.5:5070>\r\n";
    answer_to(request, status)
        .replace(&format!("To: {to}\r\n"), &format!("To: {to};tag={tag}\r\n{contact}{extra}"))
}

fn reply(bench: &mut Bench, text: &str) {
    bench.from("203.0.113.5:5060", text);
}

#[test]
fn an_invite_of_ours_says_who_and_where_we_are() {
    let (_, invite) = dialled();
    assert_eq!(
        (name(&invite).as_str(), invite.request_uri().unwrap().as_str()),
        ("INVITE", "sip:2000@203.0.113.5")
    );
    assert_eq!(invite.contact().unwrap().uri.as_str(), "sip:streamkit@192.0.2.1:5060;transport=udp");
    assert_eq!(
        (invite.via().host(), invite.via().port(), invite.via().rport_asked()),
        ("192.0.2.1", Some(5060), true)
    );
    assert!(
        invite.via().has_cookie() && invite.from().tag().unwrap().len() >= 16 && invite.call_id().len() == 32
    );
    assert_eq!(
        (invite.header("X-Test").as_deref(), invite.max_forwards(), invite.body()),
        (Some("yes"), Some(70), &b"v=0\r\n"[..])
    );
}

#[test]
fn an_answered_call_is_acknowledged_over_the_route_set_and_each_copy_gets_the_same_ack() {
    let (mut bench, invite) = dialled();
    reply(&mut bench, &answer_to(&invite, "100 Trying"));
    reply(&mut bench, &tagged(&invite, "180 Ringing", "b", ""));
    let routes = "Record-Route: <sip:192.0.2.31;lr>,<sip:192.0.2.30:5080;lr>\r\n";
    let ok = tagged(&invite, "200 OK", "b", routes);
    reply(&mut bench, &ok);
    let raw = bench.raw.clone();
    let (to, ack) = bench.take().remove(0);
    assert_eq!((to, name(&ack).as_str(), ack.cseq()), (addr("192.0.2.30:5080"), "ACK", invite.cseq()));
    assert_eq!(ack.request_uri().unwrap().as_str(), "sip:2000@203.0.113.5:5070");
    assert_eq!(ack.list("Route"), ["<sip:192.0.2.30:5080;lr>", "<sip:192.0.2.31;lr>"]);
    assert_ne!(ack.via().branch(), invite.via().branch());
    reply(&mut bench, &ok);
    assert_eq!(bench.raw, raw);
    bench.wait(Duration::from_secs(40)); // its transaction is gone, its dialog is not
    bench.take();
    reply(&mut bench, &ok);
    assert_eq!(bench.raw, raw);
    let told: Vec<_> = bench.events.iter().map(std::mem::discriminant).collect();
    assert_eq!(told.len(), 2, "{:?}", bench.events);
    assert!(matches!(bench.events[0], Event::Progress { status: 180, .. }));
    assert!(matches!(bench.events[1], Event::Answered { .. }));
    bench.take();
    bench.command(Command::Hangup { leg: LEG, reason: None });
    let bye = bench.only();
    assert_eq!((name(&bye).as_str(), bye.cseq()), ("BYE", 2));
    reply(&mut bench, &answer_to(&bye, "200 OK"));
    assert_eq!(bench.ended(), Some(Ended::ByUs));
    bench.assert_nothing_left();
}

#[test]
fn the_peer_may_end_a_call_of_ours() {
    let (mut bench, invite) = dialled();
    reply(&mut bench, &tagged(&invite, "200 OK", "b", ""));
    bench.take();
    let (ours, call_id) = (invite.from().tag().unwrap().to_owned(), invite.call_id().to_owned());
    let bye = super::bench::inside("BYE", &ours, 1, "", "")
        .replace("tag=peer", "tag=b")
        .replace("Call-ID: call", &format!("Call-ID: {call_id}"));
    bench.peer(&bye);
    assert_eq!(bench.heard(), ["200"]);
    assert_eq!(bench.ended(), Some(Ended::Bye { reason: None }));
    bench.assert_nothing_left();
}

#[test]
fn a_refusal_is_acknowledged_in_its_own_transaction() {
    let (mut bench, invite) = dialled();
    let busy = tagged(&invite, "486 Busy Here", "b", "Reason: Q.850;cause=17\r\n");
    reply(&mut bench, &busy);
    let ack = bench.only();
    assert_eq!((name(&ack).as_str(), ack.via(), ack.to().tag()), ("ACK", invite.via(), Some("b")));
    assert_eq!(ack.request_uri(), invite.request_uri());
    reply(&mut bench, &busy);
    assert_eq!(bench.heard(), ["ACK"]);
    let reason = Some("Q.850;cause=17".to_owned());
    assert_eq!(bench.ended(), Some(Ended::Refused { status: 486, reason }));
    bench.assert_nothing_left();
}

#[test]
fn nobody_there_is_408_after_64_t1() {
    let (mut bench, _) = dialled();
    bench.wait(Duration::from_secs(32));
    assert_eq!(bench.heard(), ["INVITE"; 6]);
    assert_eq!(bench.ended(), Some(Ended::Refused { status: 408, reason: None }));
    assert_eq!(bench.endpoint.load(), Load::default());
}

#[test]
fn a_cancel_waits_for_a_provisional() {
    let (mut bench, invite) = dialled();
    bench.command(Command::Hangup { leg: LEG, reason: Some("SIP;cause=200".to_owned()) });
    assert!(bench.sent.is_empty());
    bench.wait(Duration::from_millis(600));
    assert_eq!(bench.heard(), ["INVITE"]); // it goes on meanwhile
    reply(&mut bench, &answer_to(&invite, "100 Trying"));
    let cancel = bench.only();
    assert_eq!(
        (name(&cancel).as_str(), cancel.via(), cancel.cseq()),
        ("CANCEL", invite.via(), invite.cseq())
    );
    assert_eq!((cancel.to().tag(), cancel.header("Reason").as_deref()), (None, Some("SIP;cause=200")));
    reply(&mut bench, &answer_to(&cancel, "200 OK"));
    assert_eq!(bench.ended(), None);
    reply(&mut bench, &tagged(&invite, "487 Request Terminated", "b", ""));
    assert_eq!(bench.heard(), ["ACK"]);
    assert_eq!(bench.ended(), Some(Ended::ByUs));
    bench.assert_nothing_left();
}

#[test]
fn a_2xx_that_wins_over_our_cancel_gets_ack_and_bye() {
    let (mut bench, invite) = dialled();
    reply(&mut bench, &tagged(&invite, "180 Ringing", "b", ""));
    bench.command(Command::Hangup { leg: LEG, reason: None });
    assert_eq!(bench.heard(), ["CANCEL"]);
    reply(&mut bench, &tagged(&invite, "200 OK", "b", ""));
    assert_eq!(bench.heard(), ["ACK", "BYE"]);
    assert!(!bench.events.iter().any(|event| matches!(event, Event::Answered { .. })));
    bench.assert_nothing_left();
}

#[test]
fn a_cancel_without_487_is_over_after_64_t1() {
    let (mut bench, invite) = dialled();
    reply(&mut bench, &answer_to(&invite, "100 Trying"));
    bench.command(Command::Hangup { leg: LEG, reason: None });
    bench.wait(Duration::from_secs(33));
    assert_eq!(bench.ended(), Some(Ended::ByUs));
    assert_eq!(bench.endpoint.load(), Load::default());
}

#[test]
fn the_2xx_of_another_fork_gets_ack_and_bye_and_its_copies_the_ack() {
    let (mut bench, invite) = dialled();
    reply(&mut bench, &tagged(&invite, "200 OK", "b", ""));
    bench.take();
    let fork = tagged(&invite, "200 OK", "c", "");
    reply(&mut bench, &fork);
    let sent = bench.take();
    let [(_, ack), (_, bye)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((name(ack).as_str(), ack.to().tag()), ("ACK", Some("c")));
    assert_eq!((name(bye).as_str(), bye.to().tag()), ("BYE", Some("c")));
    reply(&mut bench, &fork);
    assert_eq!(bench.heard(), ["ACK"]);
    reply(&mut bench, &answer_to(bye, "200 OK"));
    assert_eq!(bench.ended(), None); // the call itself lives on
    bench.command(Command::Hangup { leg: LEG, reason: None });
    assert_eq!(bench.only().to().tag(), Some("b"));
    bench.assert_nothing_left();
}

#[test]
fn nothing_goes_to_an_address_outside_the_trunk() {
    let mut bench = Bench::new();
    bench.command(dial("198.51.100.1:5060"));
    assert!(bench.sent.is_empty());
    assert_eq!(bench.ended(), Some(Ended::Refused { status: 403, reason: None }));
}

#[test]
fn a_response_with_a_branch_of_nobody_is_dropped() {
    let (mut bench, invite) = dialled();
    reply(&mut bench, &tagged(&invite, "200 OK", "b", "").replace("z9hG4bK", "z9hG4bKx"));
    reply(
        &mut bench,
        &tagged(&invite, "200 OK", "b", "").replace("From:", "Via: SIP/2.0/UDP a;branch=z9hG4bKy\r\nFrom:"),
    );
    assert!(bench.sent.is_empty() && bench.events.is_empty());
}

/// The peer's BYE to a call of ours that has the tag `b` at its end.
fn bye_to(invite: &Message) -> String {
    super::bench::inside("BYE", invite.from().tag().unwrap(), 1, "", "")
        .replace("tag=peer", "tag=b")
        .replace("Call-ID: call", &format!("Call-ID: {}", invite.call_id()))
}

#[test]
fn a_bye_that_overtakes_the_200_ends_the_call_and_the_200_gets_ack_and_bye() {
    let (mut bench, invite) = dialled();
    reply(&mut bench, &tagged(&invite, "180 Ringing", "b", ""));
    bench.peer(&bye_to(&invite));
    assert_eq!(bench.heard(), ["200"]);
    assert_eq!(bench.ended(), Some(Ended::Bye { reason: None }));
    reply(&mut bench, &tagged(&invite, "200 OK", "b", ""));
    assert_eq!(bench.heard(), ["ACK", "BYE"]);
    bench.assert_nothing_left();
}

#[test]
fn a_bye_without_any_final_answer_leaves_nothing() {
    let (mut bench, invite) = dialled();
    reply(&mut bench, &tagged(&invite, "180 Ringing", "b", ""));
    bench.peer(&bye_to(&invite));
    assert_eq!(bench.heard(), ["200"]);
    bench.assert_nothing_left();
}
