//! Re-INVITE, UPDATE and INFO of ours, and theirs by UPDATE (RFC 3261 §14, RFC 3311).

use std::time::Duration;

use super::answering::answer_to;
use super::bench::{Bench, CONTACT, PEER, addr, inside, name, sdp};
use crate::ids::LegId;
use crate::sip::message::Message;
use crate::sip::{Body, Command, Ended, Event};

const SDP: &str = "Contact: <sip:1000@192.0.2.11:5062>\r\nContent-Type: application/sdp\r\n";
const UPDATES: &str = "Allow: INVITE, ACK, BYE, update, UPDATE\r\n";

fn modify(bench: &mut Bench, leg: LegId, update: bool, body: Option<Body>) {
    bench.command(Command::Modify { leg, update, body });
}

/// The peer's answer with a description and these header lines.
fn described(request: &Message, status: &str, headers: &str, body: &str) -> String {
    answer_to(request, status).replace(
        "Content-Length: 0\r\n\r\n",
        &format!("{headers}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    )
}

/// The result of the last change, as text.
fn result(bench: &Bench) -> String {
    let Some(Event::Modified { result, .. }) = bench.events.last() else { panic!("{:?}", bench.events) };
    match result {
        Ok(body) => {
            body.as_ref().map_or_else(String::new, |body| String::from_utf8(body.bytes.clone()).unwrap())
        }
        Err(status) => status.to_string(),
    }
}

/// A change that waits and its request: what is sent, and after how many ms.
fn sent_after(bench: &mut Bench, at_most_ms: u64) -> (Message, u64) {
    for ms in 0..=at_most_ms {
        if !bench.sent.is_empty() {
            return (bench.only(), ms);
        }
        bench.wait(Duration::from_millis(1));
    }
    panic!("nothing was sent");
}

#[test]
fn a_reinvite_of_ours_is_acknowledged_at_once_and_each_copy_alike() {
    let mut bench = Bench::new();
    let (leg, _) = bench.up("");
    modify(&mut bench, leg, true, Some(Body::sdp("v=0\r\no=new\r\n")));
    let invite = bench.only();
    assert_eq!(
        (name(&invite).as_str(), invite.cseq(), invite.to().tag()),
        ("INVITE", 1, Some("peer")),
        "no UPDATE unless it is allowed"
    );
    assert_eq!(invite.request_uri().unwrap().as_str(), "sip:1000@192.0.2.10:5060");
    assert_eq!((invite.body(), invite.headers("Contact").count()), (&b"v=0\r\no=new\r\n"[..], 1));
    bench.peer(&answer_to(&invite, "100 Trying"));
    let ok = described(&invite, "200 OK", "Contact: <sip:1000@192.0.2.11:5062>\r\n", "v=0\r\nyes");
    bench.peer(&ok);
    let raw = bench.raw.clone();
    let (to, ack) = bench.take().remove(0);
    assert_eq!(
        (name(&ack).as_str(), ack.cseq(), to),
        ("ACK", 1, addr("192.0.2.11:5062")),
        "the target moved"
    );
    assert_ne!(ack.via().branch(), invite.via().branch());
    assert_eq!(result(&bench), "v=0\r\nyes");
    bench.command(Command::Info {
        leg,
        body: Body { content_type: "application/dtmf-relay".to_owned(), bytes: b"Signal=1\r\n".to_vec() },
    });
    let info = bench.only();
    assert_eq!((name(&info).as_str(), info.cseq(), info.body()), ("INFO", 2, &b"Signal=1\r\n"[..]));
    bench.peer(&answer_to(&info, "200 OK"));
    for _ in 0..2 {
        bench.peer(&ok);
        assert_eq!(bench.raw, raw);
        bench.take();
        bench.wait(Duration::from_secs(40)); // its transaction is gone, its dialog is not
    }
    assert_eq!(bench.events.iter().filter(|event| matches!(event, Event::Modified { .. })).count(), 1);
    bench.command(Command::Hangup { leg, reason: None });
    bench.assert_nothing_left();
}

#[test]
fn an_offer_that_is_asked_for_is_acknowledged_with_the_calls_answer() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("");
    modify(&mut bench, leg, true, None);
    let invite = bench.only();
    assert!(invite.body().is_empty());
    let ok = described(&invite, "200 OK", CONTACT, "v=0\r\noffer");
    bench.peer(&ok);
    assert!(bench.sent.is_empty());
    assert_eq!(result(&bench), "v=0\r\noffer");
    bench.peer(&ok);
    assert!(bench.sent.is_empty(), "it has no ACK yet");
    bench.peer(&inside("UPDATE", &tag, 2, SDP, "v=0\r\n"));
    assert_eq!(bench.heard(), ["491"]);
    bench.command(Command::Acknowledge { leg, body: Some(sdp()) });
    let ack = bench.only();
    assert_eq!((name(&ack).as_str(), ack.body()), ("ACK", &b"v=0\r\n"[..]));
    bench.peer(&ok);
    assert_eq!(bench.only().body(), b"v=0\r\n");
    modify(&mut bench, leg, false, None);
    let invite = bench.only();
    bench.peer(&described(&invite, "200 OK", CONTACT, "v=0\r\n"));
    bench.command(Command::Hangup { leg, reason: None });
    assert_eq!(bench.heard(), ["ACK", "BYE"], "it wants its ACK all the same");
    bench.assert_nothing_left();
}

#[test]
fn an_update_of_ours_goes_to_who_allows_it_and_has_no_ack() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up(UPDATES);
    modify(&mut bench, leg, true, Some(sdp()));
    let update = bench.only();
    assert_eq!((name(&update).as_str(), update.headers("Contact").count()), ("UPDATE", 1));
    bench.peer(&described(&update, "200 OK", CONTACT, "v=0\r\nyes"));
    assert!(bench.sent.is_empty());
    assert_eq!(result(&bench), "v=0\r\nyes");
    modify(&mut bench, leg, true, None);
    let invite = bench.only();
    assert_eq!(name(&invite), "INVITE", "an UPDATE asks for no offer");
    bench.peer(&answer_to(&invite, "488 No"));
    assert_eq!(result(&bench), "488");
    bench.peer(&inside("OPTIONS", &tag, 2, "Allow: INVITE, ACK, BYE\r\n", ""));
    bench.take();
    modify(&mut bench, leg, true, Some(sdp()));
    assert_eq!(name(&bench.only()), "INVITE", "it said otherwise since");
}

#[test]
fn who_refuses_update_after_all_gets_a_reinvite() {
    let mut bench = Bench::new();
    let (leg, _) = bench.up(UPDATES);
    modify(&mut bench, leg, true, Some(sdp()));
    let update = bench.only();
    bench.peer(&answer_to(&update, "405 No"));
    assert_eq!(name(&bench.only()), "INVITE");
}

#[test]
fn a_change_that_glares_is_sent_again_at_most_three_times() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("");
    modify(&mut bench, leg, false, Some(sdp()));
    let mut invite = bench.only();
    bench.peer(&inside("INVITE", &tag, 2, SDP, "v=0\r\n"));
    assert_eq!(bench.heard(), ["491"], "ours is open");
    bench.peer(&super::bench::request("ACK", "INVITE2", &tag, 2, "", ""));
    for _ in 0..3 {
        bench.peer(&answer_to(&invite, "491 Pending"));
        assert_eq!(bench.heard(), ["ACK"]);
        let (again, after) = sent_after(&mut bench, 2001);
        assert!(after <= 2000 && again.cseq() == invite.cseq() + 1, "they made the Call-ID: {after}");
        invite = again;
    }
    bench.peer(&answer_to(&invite, "491 Pending"));
    assert_eq!(result(&bench), "491");
    bench.take();
    bench.wait(Duration::from_secs(60));
    assert!(bench.sent.is_empty() && bench.ended().is_none());
}

#[test]
fn what_glared_waits_for_the_end_of_theirs() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("");
    modify(&mut bench, leg, false, Some(sdp()));
    let invite = bench.only();
    bench.peer(&answer_to(&invite, "491 Pending"));
    bench.peer(&inside("INVITE", &tag, 2, SDP, "v=0\r\n"));
    bench.command(Command::Accept { leg, body: Some(sdp()) });
    assert_eq!(bench.heard(), ["ACK", "200"]);
    bench.wait(Duration::from_secs(5));
    assert!(bench.heard().iter().all(|status| status == "200"));
    bench.peer(&inside("ACK", &tag, 2, "", ""));
    let again = bench.only();
    assert_eq!((name(&again).as_str(), again.cseq()), ("INVITE", 2));
}

#[test]
fn a_change_waits_for_the_ack_of_our_200() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    let tag = bench.only().to().tag().unwrap().to_owned();
    modify(&mut bench, leg, false, Some(sdp()));
    assert!(bench.sent.is_empty());
    bench.peer(&inside("ACK", &tag, 1, "", ""));
    assert_eq!(bench.heard(), ["INVITE"]);
}

#[test]
fn a_second_change_is_not_begun_beside_the_first() {
    let mut bench = Bench::new();
    let (leg, _) = bench.up("");
    modify(&mut bench, leg, false, Some(sdp()));
    modify(&mut bench, leg, false, Some(sdp()));
    assert_eq!((result(&bench).as_str(), bench.heard().len()), ("491", 1));
}

#[test]
fn the_call_is_over_when_the_peer_does_not_know_it_or_is_silent() {
    for status in ["481 Gone", "408 Late"] {
        let mut bench = Bench::new();
        let (leg, _) = bench.up("");
        modify(&mut bench, leg, false, Some(sdp()));
        let invite = bench.only();
        bench.peer(&answer_to(&invite, status));
        assert_eq!(bench.heard(), ["ACK", "BYE"]);
        assert_eq!(bench.ended(), Some(Ended::Lost));
        bench.assert_nothing_left();
    }
    for (extra, method) in [("", "INVITE"), (UPDATES, "UPDATE")] {
        let mut bench = Bench::new();
        let (leg, _) = bench.up(extra);
        modify(&mut bench, leg, true, Some(sdp()));
        assert_eq!(bench.heard(), [method]);
        bench.wait(Duration::from_secs(32));
        assert_eq!(bench.take().last().map(|(_, bye)| name(bye)).as_deref(), Some("BYE"));
        assert_eq!(bench.ended(), Some(Ended::Lost), "{method}");
        bench.assert_nothing_left();
    }
}

#[test]
fn a_reinvite_that_rings_for_ever_is_taken_back_and_the_call_lives_on() {
    let mut bench = Bench::new();
    let (leg, _) = bench.up("");
    modify(&mut bench, leg, false, Some(sdp()));
    let invite = bench.only();
    bench.peer(&answer_to(&invite, "180 Ringing"));
    bench.wait(Duration::from_secs(32));
    let cancel = bench.only();
    assert_eq!(
        (name(&cancel).as_str(), cancel.via().branch(), cancel.to().tag()),
        ("CANCEL", invite.via().branch(), Some("peer"))
    );
    bench.peer(&answer_to(&cancel, "200 OK"));
    bench.peer(&answer_to(&invite, "487 Terminated"));
    assert_eq!((bench.heard(), result(&bench).as_str()), (vec!["ACK".to_owned()], "487"));
    assert_eq!(bench.ended(), None);
}

#[test]
fn a_hangup_while_a_reinvite_is_open_leaves_nothing() {
    for answer in [Some("200 OK"), Some("487 Terminated"), Some("100 Trying"), None] {
        let mut bench = Bench::new();
        let (leg, _) = bench.up("");
        modify(&mut bench, leg, false, Some(sdp()));
        let invite = bench.only();
        bench.command(Command::Hangup { leg, reason: None });
        let bye = bench.only();
        assert_eq!(name(&bye), "BYE");
        bench.peer(&answer_to(&bye, "200 OK"));
        assert_eq!(bench.ended(), Some(Ended::ByUs));
        if let Some(status) = answer {
            bench.peer(&answer_to(&invite, status));
            let acknowledged = !status.starts_with("100");
            assert_eq!(bench.heard().len(), usize::from(acknowledged), "{status}");
        }
        assert!(!bench.events.iter().any(|event| matches!(event, Event::Modified { .. })));
        bench.assert_nothing_left();
    }
}

#[test]
fn an_update_of_theirs_with_an_offer_is_put_to_the_call() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("");
    bench.peer(&inside("UPDATE", &tag, 2, SDP, "v=0\r\n"));
    assert!(bench.sent.is_empty());
    assert!(matches!(bench.events.last(), Some(Event::Reoffer { body: Some(_), .. })));
    bench.wait(Duration::from_millis(300));
    assert!(bench.sent.is_empty(), "no 100 for an UPDATE");
    for (cseq, method, body) in [(3, "UPDATE", "v=0\r\n"), (4, "UPDATE", ""), (5, "INVITE", "v=0\r\n")] {
        bench.peer(&inside(method, &tag, cseq, SDP, body));
        let answer = bench.only();
        assert_eq!(answer.status(), Some(500), "{method}");
        assert!(answer.header("Retry-After").unwrap().parse::<u32>().unwrap() <= 10);
    }
    modify(&mut bench, leg, false, Some(sdp()));
    assert!(bench.sent.is_empty(), "ours waits for the end of theirs");
    bench.command(Command::Accept { leg, body: Some(sdp()) });
    let sent = bench.take();
    assert_eq!((sent[0].1.status(), sent[0].1.cseq(), sent[0].1.body()), (Some(200), 2, &b"v=0\r\n"[..]));
    assert_eq!((name(&sent[1].1).as_str(), sent[1].0), ("INVITE", addr("192.0.2.11:5062")));
    bench.wait(Duration::from_millis(400));
    assert!(bench.sent.is_empty(), "an UPDATE wants no ACK");
    bench.peer(&inside("UPDATE", &tag, 6, SDP, "v=0\r\n"));
    assert_eq!(bench.heard(), ["491"], "ours is open");
    bench.peer(&inside("UPDATE", &tag, 7, CONTACT, ""));
    assert_eq!(bench.take().remove(0).0, addr(PEER));
}

#[test]
fn an_update_that_is_refused_or_left_alone_leaves_the_call_as_it_was() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.up("");
    bench.peer(&inside("UPDATE", &tag, 2, SDP, "v=0\r\n"));
    let refusal = crate::sip::Refusal { status: 488, reason: None, retry_after: None, warning: None };
    bench.command(Command::Reject { leg, refusal });
    assert_eq!(bench.heard(), ["488"]);
    bench.peer(&inside("UPDATE", &tag, 3, "Content-Type: text/plain\r\n", "v=0\r\n"));
    assert_eq!(bench.heard(), ["415"]);
    bench.peer(&inside("UPDATE", &tag, 4, SDP, "v=0\r\n"));
    bench.command(Command::Hangup { leg, reason: None });
    let sent = bench.take();
    assert_eq!((name(&sent[0].1).as_str(), name(&sent[1].1).as_str(), sent[1].0), ("487", "BYE", addr(PEER)));
    bench.assert_nothing_left();
}

#[test]
fn an_info_that_meets_nobody_ends_the_call() {
    let mut bench = Bench::new();
    let (leg, _) = bench.up("");
    let body = Body { content_type: "application/dtmf-relay".to_owned(), bytes: b"Signal=1\r\n".to_vec() };
    bench.command(Command::Info { leg, body: body.clone() });
    let info = bench.only();
    bench.peer(&answer_to(&info, "415 No"));
    assert_eq!(bench.ended(), None);
    bench.command(Command::Info { leg, body });
    let info = bench.only();
    bench.peer(&answer_to(&info, "481 Gone"));
    assert_eq!(bench.heard(), ["BYE"]);
    assert_eq!(bench.ended(), Some(Ended::Lost));
    bench.assert_nothing_left();
}
