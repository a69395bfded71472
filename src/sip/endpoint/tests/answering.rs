//! Calls to us: from the INVITE to the end.

use std::time::Duration;

use super::bench::{Bench, PEER, addr, inside, invite, name, of_invite, sdp};
use crate::sip::{Command, Ended, Event, Refusal, RetryAfter};

const T1: Duration = Duration::from_millis(500);

fn refusal(status: u16) -> Refusal {
    Refusal {
        status,
        reason: Some("Q.850;cause=17".to_owned()),
        retry_after: Some(RetryAfter::Seconds(30)),
        warning: Some((304, "media type")),
    }
}

#[test]
fn an_invite_gets_100_without_a_tag_at_once_and_is_told() {
    let mut bench = Bench::new();
    bench.peer(&invite("Timestamp: 54\r\n"));
    let trying = bench.only();
    assert_eq!(
        (trying.status(), trying.to().tag(), trying.header("Timestamp").as_deref()),
        (Some(100), None, Some("54"))
    );
    let [Event::Incoming(incoming)] = &bench.events[..] else { panic!("{:?}", bench.events) };
    assert_eq!(
        (incoming.remote, incoming.local.port(), incoming.invite.body()),
        (addr(PEER), 5060, &b"v=0\r\n"[..])
    );
}

#[test]
fn a_thousand_copies_of_an_invite_are_one_call_and_one_answer_each() {
    let mut bench = Bench::new();
    for _ in 0..1000 {
        bench.peer(&invite(""));
    }
    assert_eq!((bench.events.len(), bench.sent.len()), (1, 1000));
    assert!(bench.raw.windows(2).all(|pair| pair[0] == pair[1]));
    let load = bench.endpoint.load();
    assert_eq!((load.transactions, load.dialogs, load.legs), (1, 1, 1));
    let leg = bench.leg();
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    bench.take();
    for _ in 0..1000 {
        bench.peer(&invite(""));
    }
    assert!(bench.sent.is_empty()); // the 200 goes again by its own timer only
}

#[test]
fn record_routes_come_back_in_every_answer_that_makes_a_dialog() {
    let mut bench = Bench::new();
    let leg = bench.invited(
        "Record-Route: <sip:192.0.2.20;lr>, <sip:192.0.2.21;lr>\r\nRecord-Route: <sip:192.0.2.22>\r\n",
    );
    bench.command(Command::Progress { leg, status: 180, body: None });
    let ringing = bench.only();
    bench.command(Command::Progress { leg, status: 183, body: Some(sdp()) });
    let progress = bench.only();
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    let ok = bench.only();
    for answer in [&ringing, &progress, &ok] {
        let routes = answer.list("Record-Route");
        assert_eq!(routes, ["<sip:192.0.2.20;lr>", "<sip:192.0.2.21;lr>", "<sip:192.0.2.22>"]);
        assert_eq!(answer.headers("Contact").count(), 1);
        assert_eq!(answer.to().tag(), ringing.to().tag());
        assert!(answer.to().tag().unwrap().len() >= 16);
    }
    assert_eq!((progress.body(), ok.body()), (&b"v=0\r\n"[..], &b"v=0\r\n"[..]));
    assert!(ok.lists("Allow", "BYE"));
}

#[test]
fn a_call_is_answered_confirmed_and_ended_by_the_peer() {
    let mut bench = Bench::new();
    let (_, tag) = bench.up("");
    bench.peer(&inside("BYE", &tag, 2, "Reason: Q.850;cause=16\r\n", ""));
    assert_eq!(bench.heard(), ["200"]);
    assert_eq!(bench.ended(), Some(Ended::Bye { reason: Some("Q.850;cause=16".to_owned()) }));
    bench.peer(&inside("BYE", &tag, 2, "Reason: Q.850;cause=16\r\n", ""));
    assert_eq!(bench.heard(), ["200"]);
    bench.assert_nothing_left();
}

#[test]
fn the_200_is_repeated_until_its_ack() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    let tag = bench.only().to().tag().unwrap().to_owned();
    bench.wait(Duration::from_millis(3600));
    let raw = bench.raw.clone();
    assert_eq!(bench.heard(), ["200"; 3]); // 0.5, 1.5, 3.5
    assert!(raw.windows(2).all(|pair| pair[0] == pair[1]));
    bench.peer(&inside("ACK", &tag, 1, "Content-Type: application/sdp\r\n", "v=0\r\n"));
    bench.peer(&inside("ACK", &tag, 1, "", ""));
    bench.wait(Duration::from_secs(30));
    assert!(bench.sent.is_empty());
    let confirmed: Vec<_> = bench.events.iter().skip(1).collect();
    let [Event::Confirmed { body: Some(body), .. }] = confirmed[..] else { panic!("{confirmed:?}") };
    assert_eq!(*body, sdp());
}

#[test]
fn an_ack_with_the_branch_of_the_invite_is_taken() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    let tag = bench.only().to().tag().unwrap().to_owned();
    bench.peer(&of_invite("ACK", &tag));
    assert!(matches!(bench.events.last(), Some(Event::Confirmed { .. })));
}

#[test]
fn a_200_without_ack_ends_in_a_bye_after_64_t1() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    bench.wait(64 * T1 - Duration::from_millis(1));
    assert_eq!(bench.heard(), ["200"; 11]); // at once, and 0.5 1.5 3.5 7.5 … 31.5
    assert_eq!(bench.ended(), None);
    bench.wait(Duration::from_millis(1));
    let bye = bench.only();
    assert_eq!(name(&bye), "BYE");
    assert!(bye.header("Reason").unwrap().starts_with("SIP;cause=408"));
    assert_eq!(bench.ended(), Some(Ended::AckTimeout));
    bench.assert_nothing_left();
}

#[test]
fn a_refusal_says_why_and_is_repeated_until_its_ack() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Reject { leg, refusal: refusal(486) });
    bench.wait(Duration::from_millis(1600));
    let sent = bench.take();
    assert_eq!(sent.len(), 3);
    let refused = &sent[0].1;
    assert_eq!(refused.status(), Some(486));
    assert_eq!(refused.header("Reason").as_deref(), Some("Q.850;cause=17"));
    assert_eq!(refused.header("Retry-After").as_deref(), Some("30"));
    assert_eq!(refused.header("Warning").as_deref(), Some("304 192.0.2.1:5060 \"media type\""));
    bench.peer(&of_invite("ACK", refused.to().tag().unwrap()));
    bench.wait(Duration::from_secs(4));
    assert!(bench.sent.is_empty());
    assert_eq!(bench.ended(), Some(Ended::ByUs));
    bench.assert_nothing_left();
}

#[test]
fn ringing_is_repeated_each_minute() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Progress { leg, status: 180, body: None });
    bench.wait(Duration::from_secs(150));
    let raw = bench.raw.clone();
    assert_eq!(bench.heard(), ["180"; 3]);
    assert!(raw[0] == raw[1] && raw[1] == raw[2]);
}

#[test]
fn an_invite_that_expires_gets_487() {
    let mut bench = Bench::new();
    bench.invited("Expires: 20\r\n");
    bench.wait(Duration::from_secs(20));
    let refused = bench.only();
    assert_eq!(refused.status(), Some(487));
    assert_eq!(bench.ended(), Some(Ended::Cancelled { reason: None }));
    bench.peer(&of_invite("ACK", refused.to().tag().unwrap()));
    bench.assert_nothing_left();
}

#[test]
fn an_expiry_after_the_answer_is_nothing() {
    let mut bench = Bench::new();
    bench.up("Expires: 20\r\n");
    bench.wait(Duration::from_secs(100));
    assert!(bench.sent.is_empty() && bench.ended().is_none());
}

#[test]
fn our_bye_says_why_and_the_leg_ends_with_its_answer() {
    let mut bench = Bench::new();
    let (leg, _) = bench.up("");
    let reason = "Q.850;cause=16;text=\"bot ended the call\"";
    bench.command(Command::Hangup { leg, reason: Some(reason.to_owned()) });
    let bye = bench.only();
    assert_eq!((name(&bye), bye.header("Reason").as_deref()), ("BYE".to_owned(), Some(reason)));
    assert_eq!(bye.request_uri().unwrap().as_str(), "sip:1000@192.0.2.10:5060");
    assert_eq!((bye.to().tag(), bye.call_id(), bye.cseq()), (Some("peer"), "call", 1));
    assert_eq!(bench.ended(), None);
    bench.peer(&answer_to(&bye, "200 OK"));
    assert_eq!(bench.ended(), Some(Ended::ByUs));
    bench.assert_nothing_left();
}

#[test]
fn a_bye_that_nobody_answers_ends_the_leg_after_64_t1() {
    let mut bench = Bench::new();
    let (leg, _) = bench.up("");
    bench.command(Command::Hangup { leg, reason: None });
    bench.wait(Duration::from_secs(32));
    assert_eq!(bench.heard().len(), 11);
    assert_eq!(bench.ended(), Some(Ended::ByUs));
    assert_eq!(bench.endpoint.load().legs, 0);
}

#[test]
fn a_command_for_a_leg_that_is_gone_changes_nothing() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("");
    bench.peer(&inside("BYE", &tag, 2, "", ""));
    bench.take();
    bench.command(Command::Hangup { leg, reason: None });
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    bench.command(Command::Reject { leg, refusal: refusal(486) });
    bench.command(Command::Progress { leg, status: 180, body: None });
    assert!(bench.sent.is_empty());
}

/// The peer's answer to a request of ours.
pub(super) fn answer_to(request: &crate::sip::message::Message, status: &str) -> String {
    let value = |name: &str| request.header(name).unwrap_or_default().into_owned();
    format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {}\r\nContent-Length: 0\r\n\r\n",
        value("Via"),
        value("From"),
        value("To"),
        value("Call-ID"),
        value("CSeq")
    )
}
