//! What crosses on the wire.

use std::time::Duration;

use super::answering::answer_to;
use super::bench::{Bench, inside, name, of_invite, sdp};
use crate::sip::{Command, Ended};

#[test]
fn a_cancel_before_the_answer_gets_200_and_the_invite_487_with_one_tag() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Progress { leg, status: 180, body: None });
    let tag = bench.only().to().tag().unwrap().to_owned();
    bench.peer(&of_invite("CANCEL", "").replace("Content-Length", "Reason: SIP;cause=200\r\nContent-Length"));
    let sent = bench.take();
    let answers: Vec<_> =
        sent.iter().map(|(_, answer)| (name(answer), answer.method().to_string())).collect();
    assert_eq!(answers, [("200", "CANCEL"), ("487", "INVITE")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert!(sent.iter().all(|(_, answer)| answer.to().tag() == Some(&tag)));
    assert_eq!(bench.ended(), Some(Ended::Cancelled { reason: Some("SIP;cause=200".to_owned()) }));
    bench.peer(&of_invite("ACK", &tag));
    bench.peer(&of_invite("CANCEL", ""));
    assert_eq!(bench.heard(), ["200"]); // a copy gets the same
    bench.assert_nothing_left();
}

#[test]
fn a_487_without_ack_is_given_up_and_nothing_is_left() {
    let mut bench = Bench::new();
    bench.invited("");
    bench.peer(&of_invite("CANCEL", ""));
    bench.wait(Duration::from_secs(33));
    assert_eq!(bench.heard().iter().filter(|status| *status == "487").count(), 11);
    bench.assert_nothing_left();
}

#[test]
fn a_cancel_after_the_answer_has_no_effect() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    let tag = bench.only().to().tag().unwrap().to_owned();
    bench.peer(&of_invite("CANCEL", ""));
    let answer = bench.only();
    assert_eq!((answer.status(), answer.to().tag()), (Some(200), Some(&*tag)));
    assert_eq!(bench.ended(), None);
    bench.peer(&inside("ACK", &tag, 1, "", ""));
    bench.peer(&inside("BYE", &tag, 2, "", ""));
    assert_eq!(bench.ended(), Some(Ended::Bye { reason: None }));
    bench.assert_nothing_left();
}

#[test]
fn an_answer_after_the_cancel_is_not_given() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.peer(&of_invite("CANCEL", ""));
    bench.take();
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    assert!(bench.sent.is_empty());
}

#[test]
fn a_bye_before_the_ack_ends_the_call_and_the_repetition() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    let tag = bench.only().to().tag().unwrap().to_owned();
    bench.peer(&inside("BYE", &tag, 2, "", ""));
    assert_eq!(bench.heard(), ["200"]);
    assert_eq!(bench.ended(), Some(Ended::Bye { reason: None }));
    bench.wait(Duration::from_secs(40));
    assert!(bench.sent.is_empty());
    bench.assert_nothing_left();
}

#[test]
fn a_bye_in_the_early_dialog_ends_the_invite_too() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Progress { leg, status: 180, body: None });
    let tag = bench.only().to().tag().unwrap().to_owned();
    bench.peer(&inside("BYE", &tag, 2, "", ""));
    assert_eq!(bench.heard(), ["200", "487"]);
    assert_eq!(bench.ended(), Some(Ended::Cancelled { reason: None }));
    bench.peer(&of_invite("ACK", &tag));
    bench.assert_nothing_left();
}

#[test]
fn our_bye_waits_for_the_ack() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    let tag = bench.only().to().tag().unwrap().to_owned();
    bench.command(Command::Hangup { leg, reason: None });
    assert!(bench.sent.is_empty());
    bench.peer(&inside("ACK", &tag, 1, "", ""));
    assert_eq!(bench.heard(), ["BYE"]);
    bench.assert_nothing_left();
}

#[test]
fn our_bye_goes_out_without_an_ack_after_64_t1() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    bench.command(Command::Hangup { leg, reason: Some("Q.850;cause=16".to_owned()) });
    bench.take();
    bench.wait(Duration::from_secs(32));
    let (_, bye) = bench.take().pop().unwrap();
    assert_eq!((name(&bye), bye.header("Reason").as_deref()), ("BYE".to_owned(), Some("Q.850;cause=16")));
    bench.peer(&answer_to(&bye, "481 Gone"));
    assert_eq!(bench.ended(), Some(Ended::ByUs));
    bench.assert_nothing_left();
}

#[test]
fn a_bye_that_crosses_ours_gets_200() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("");
    bench.command(Command::Hangup { leg, reason: None });
    let bye = bench.only();
    bench.peer(&inside("BYE", &tag, 2, "", ""));
    assert_eq!(bench.heard(), ["200"]);
    bench.peer(&answer_to(&bye, "200 OK"));
    assert_eq!(bench.ended(), Some(Ended::ByUs));
    bench.peer(&inside("BYE", &tag, 3, "", "")); // still polite
    assert_eq!(bench.heard(), ["200"]);
    bench.assert_nothing_left();
}

#[test]
fn a_hangup_of_an_unanswered_call_refuses_it() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Hangup { leg, reason: None });
    assert_eq!(bench.heard(), ["480"]);
    assert_eq!(bench.ended(), Some(Ended::ByUs));
    bench.assert_nothing_left();
}
