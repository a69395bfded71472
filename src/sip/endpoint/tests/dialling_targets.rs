//! Calls to the targets of a trunk: where they are, which is next, which rest.

use std::time::Duration;

use super::answering::answer_to;
use super::bench::{Bench, addr, inside, name, sdp};
use crate::ids::{LegId, TrunkId};
use crate::sip::message::Message;
use crate::sip::{Command, Config, Destination, Dial, Ended, Event, Target, Transport, Trunk};

pub(super) const LEG: LegId = LegId(1 << 63 | 1);
pub(super) const ONE: &str = "203.0.113.1:5060";
pub(super) const TWO: &str = "203.0.113.2:5060";

pub(super) fn target(host: &str, priority: u16) -> Target {
    let host = host.to_owned();
    Target { host, port: None, transport: None, priority, weight: 0, credentials: None }
}

pub(super) fn trunk(targets: Vec<Target>) -> Trunk {
    let transports = vec![Transport::Udp, Transport::Tcp];
    Trunk { targets, transports, options_ping: Duration::ZERO, ..Trunk::new("pbx") }
}

pub(super) fn bench(trunk: Trunk) -> Bench {
    Bench::with(Config { trunks: vec![trunk], ..Config::default() })
}

/// Two addresses, one behind the other.
pub(super) fn two() -> Bench {
    bench(trunk(vec![target("203.0.113.2", 20), target("203.0.113.1", 10)]))
}

pub(super) fn dial() -> Dial {
    Dial {
        leg: LEG,
        trunk: TrunkId(0),
        uri: "sip:2000@pbx.example".to_owned(),
        to: Destination::Targets,
        ring_limit: Duration::from_secs(60),
        credentials: None,
        from: "sip:1000@192.0.2.1".to_owned(),
        headers: Vec::new(),
        body: Some(sdp()),
    }
}

pub(super) fn call(bench: &mut Bench, dial: Dial) {
    bench.command(Command::Dial(Box::new(dial)));
}

pub(super) fn hang_up(bench: &mut Bench) {
    bench.command(Command::Hangup { leg: LEG, reason: None });
}

/// The only message since the last look, to whom it went.
pub(super) fn only_to(bench: &mut Bench, whom: &str) -> Message {
    let mut sent = bench.take();
    assert_eq!(sent.len(), 1, "{sent:?}");
    let (to, message) = sent.remove(0);
    assert_eq!(to, addr(whom));
    message
}

/// The same with a tag, a Contact and further lines.
pub(super) fn tagged(request: &Message, status: &str, tag: &str, extra: &str) -> String {
    let to = request.header("To").unwrap().into_owned();
    let contact = format!("Contact: <sip:2000@203.0.113.{}>\r\n", if tag == "two" { 2 } else { 1 });
    answer_to(request, status)
        .replace(&format!("To: {to}\r\n"), &format!("To: {to};tag={tag}\r\n{contact}{extra}"))
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_silent_target_is_left_after_5_s_and_a_late_1xx_of_it_is_cancelled() {
    let mut bench = two();
    call(&mut bench, dial());
    let first = only_to(&mut bench, ONE);
    bench.wait(Duration::from_millis(4999));
    assert!(bench.take().iter().all(|(to, copy)| *to == addr(ONE) && copy.octets() == first.octets()));
    bench.wait(Duration::from_millis(1));
    let second = only_to(&mut bench, TWO);
    assert_eq!((second.call_id(), second.cseq()), (first.call_id(), first.cseq()));
    assert_eq!(second.from().tag(), first.from().tag());
    assert_ne!(second.via().branch(), first.via().branch());
    bench.from(TWO, &tagged(&second, "180 Ringing", "two", ""));
    bench.wait(4 * SECOND);
    assert!(bench.take().is_empty(), "the first INVITE is not sent again, and the second is answered");
    bench.from(ONE, &tagged(&first, "180 Ringing", "one", ""));
    let cancel = only_to(&mut bench, ONE);
    assert_eq!((name(&cancel).as_str(), cancel.via().branch()), ("CANCEL", first.via().branch()));
    bench.from(ONE, &tagged(&first, "487 Request Terminated", "one", ""));
    assert_eq!(name(&only_to(&mut bench, ONE)), "ACK");
    assert_eq!(bench.ended(), None);
    bench.from(TWO, &tagged(&second, "200 OK", "two", ""));
    assert_eq!(name(&only_to(&mut bench, TWO)), "ACK");
    assert!(
        matches!(bench.events[..], [Event::Progress { .. }, Event::Answered { .. }]),
        "{:?}",
        bench.events
    );
    hang_up(&mut bench);
    bench.assert_nothing_left();
}

#[test]
fn a_late_2xx_of_a_target_that_was_left_gets_ack_and_bye() {
    let mut bench = two();
    call(&mut bench, dial());
    let first = only_to(&mut bench, ONE);
    bench.wait(5 * SECOND);
    let second = bench.take().pop().unwrap().1;
    bench.from(ONE, &tagged(&first, "200 OK", "one", ""));
    let sent = bench.take();
    assert_eq!(
        sent.iter().map(|(to, message)| (*to, name(message))).collect::<Vec<_>>(),
        [(addr(ONE), "ACK".to_owned()), (addr(ONE), "BYE".to_owned())]
    );
    bench.from(ONE, &answer_to(&sent[1].1, "200 OK"));
    bench.from(TWO, &tagged(&second, "200 OK", "two", ""));
    assert_eq!(name(&only_to(&mut bench, TWO)), "ACK");
    assert!(matches!(bench.events[..], [Event::Answered { .. }]));
    hang_up(&mut bench);
    bench.assert_nothing_left();
}

#[test]
fn a_503_leads_to_the_next_target_and_the_first_rests_30_s() {
    let mut bench = two();
    call(&mut bench, dial());
    let first = only_to(&mut bench, ONE);
    bench.from(ONE, &tagged(&first, "503 Service Unavailable", "one", ""));
    let sent = bench.take();
    assert_eq!((sent[0].0, name(&sent[0].1).as_str()), (addr(ONE), "ACK"));
    assert_eq!((sent[1].0, name(&sent[1].1).as_str()), (addr(TWO), "INVITE"));
    bench.from(TWO, &tagged(&sent[1].1, "486 Busy Here", "two", ""));
    assert_eq!(bench.heard(), ["ACK"]);
    assert_eq!(
        bench.ended(),
        Some(Ended::Refused { status: 486, reason: None }),
        "a 486 is no reason to go on"
    );
    bench.events.clear();
    call(&mut bench, Dial { leg: LegId(1 << 63 | 2), ..dial() });
    let again = only_to(&mut bench, TWO);
    bench.from(TWO, &tagged(&again, "404 Not Found", "two", ""));
    bench.wait(30 * SECOND);
    bench.take();
    call(&mut bench, Dial { leg: LegId(1 << 63 | 3), ..dial() });
    only_to(&mut bench, ONE);
}

#[test]
fn when_all_fail_the_call_ends_as_the_last_one_did() {
    let mut bench = two();
    call(&mut bench, dial());
    bench.fail(ONE);
    let second = bench.take().pop().unwrap();
    assert_eq!(second.0, addr(TWO));
    bench.from(TWO, &tagged(&second.1, "503 Service Unavailable", "two", "Reason: Q.850;cause=38\r\n"));
    let reason = Some("Q.850;cause=38".to_owned());
    assert_eq!(bench.ended(), Some(Ended::Refused { status: 503, reason }));
    bench.take();
    bench.events.clear();
    call(&mut bench, Dial { leg: LegId(1 << 63 | 2), ..dial() });
    only_to(&mut bench, ONE); // all rest: they are tried all the same
}

#[test]
fn what_icmp_says_sends_a_call_on_but_ends_none() {
    let mut bench = two();
    call(&mut bench, dial());
    let first = only_to(&mut bench, ONE);
    bench.unreachable("203.0.113.9:5060");
    assert!(bench.sent.is_empty());
    bench.unreachable(ONE);
    let second = only_to(&mut bench, TWO);
    bench.unreachable(TWO);
    assert!(bench.sent.is_empty());
    assert_eq!(bench.ended(), None, "it may be forged");
    bench.from(TWO, &tagged(&second, "180 Ringing", "two", ""));
    bench.from(ONE, &tagged(&first, "180 Ringing", "one", ""));
    assert_eq!(name(&only_to(&mut bench, ONE)), "CANCEL");
}

#[test]
fn names_are_asked_for_once_at_a_time_and_one_that_is_not_found_is_passed_over() {
    let mut bench = bench(trunk(vec![target("A.example", 1), target("b.example", 2)]));
    bench.answers = false;
    call(&mut bench, dial());
    call(&mut bench, Dial { leg: LegId(1 << 63 | 2), ..dial() });
    assert_eq!(bench.asked.len(), 1);
    assert_eq!((bench.asked[0].host.as_str(), bench.asked[0].port), ("a.example", None));
    bench.found(None);
    assert_eq!(bench.asked.iter().map(|asked| asked.host.as_str()).collect::<Vec<_>>(), ["b.example"]);
    bench.found(Some(&[(10, &["203.0.113.9:5070"]), (5, &[ONE, TWO])]));
    let sent = bench.take();
    assert_eq!((sent.len(), sent[0].0, sent[1].0), (2, addr(ONE), addr(ONE)));
    assert_eq!(sent[0].1.contact().unwrap().uri.host(), "192.0.2.1");
    bench.wait(5 * SECOND);
    assert!(bench.take().iter().any(|(to, _)| *to == addr(TWO)));
    bench.wait(5 * SECOND);
    assert!(bench.take().iter().any(|(to, _)| *to == addr("203.0.113.9:5070")));
}

#[test]
fn a_trunk_that_leads_nowhere_is_lost() {
    let mut none = bench(trunk(Vec::new()));
    call(&mut none, dial());
    assert_eq!(none.ended(), Some(Ended::Lost));
    let mut named = bench(trunk(vec![target("pbx.example", 0)]));
    named.answers = false;
    call(&mut named, dial());
    named.found(None);
    assert_eq!(named.ended(), Some(Ended::Lost));
    named.assert_nothing_left();
}

#[test]
fn a_call_taken_back_while_its_target_is_looked_for_sends_nothing() {
    let mut bench = bench(trunk(vec![target("pbx.example", 0)]));
    bench.answers = false;
    call(&mut bench, dial());
    hang_up(&mut bench);
    assert_eq!(bench.ended(), Some(Ended::ByUs));
    bench.found(Some(&[(0, &[ONE])]));
    assert!(bench.sent.is_empty());
    bench.assert_nothing_left();
}

#[test]
fn a_call_taken_back_before_any_response_goes_to_no_other_target() {
    let mut bench = two();
    call(&mut bench, dial());
    only_to(&mut bench, ONE);
    hang_up(&mut bench);
    bench.wait(31 * SECOND);
    assert_eq!(bench.heard(), ["INVITE"; 5]);
    bench.assert_nothing_left();
    assert_eq!(bench.ended(), Some(Ended::ByUs));
}

#[test]
fn a_call_that_rings_too_long_is_cancelled_and_ends_as_408() {
    let mut bench = two();
    call(&mut bench, Dial { ring_limit: 20 * SECOND, ..dial() });
    let invite = only_to(&mut bench, ONE);
    bench.from(ONE, &tagged(&invite, "180 Ringing", "one", ""));
    bench.wait(Duration::from_millis(19_999));
    assert!(bench.sent.is_empty());
    bench.wait(Duration::from_millis(1));
    let cancel = only_to(&mut bench, ONE);
    assert_eq!(name(&cancel), "CANCEL");
    assert!(cancel.header("Reason").unwrap().contains("cause=408"));
    assert_eq!(bench.ended(), None);
    bench.from(ONE, &answer_to(&cancel, "200 OK"));
    bench.from(ONE, &tagged(&invite, "487 Request Terminated", "one", ""));
    assert!(matches!(bench.ended(), Some(Ended::Refused { status: 408, reason: Some(_) })));
    bench.assert_nothing_left();
}

#[test]
fn a_target_that_never_answers_is_408_at_the_ring_limit_and_cancelled_when_it_wakes() {
    let mut bench = bench(trunk(vec![target("203.0.113.1", 0)]));
    call(&mut bench, Dial { ring_limit: 10 * SECOND, ..dial() });
    let invite = only_to(&mut bench, ONE);
    bench.wait(10 * SECOND);
    assert!(matches!(bench.ended(), Some(Ended::Refused { status: 408, reason: Some(_) })));
    bench.take();
    bench.from(ONE, &answer_to(&invite, "100 Trying"));
    assert_eq!(name(&only_to(&mut bench, ONE)), "CANCEL");
    bench.from(ONE, &tagged(&invite, "200 OK", "one", ""));
    assert_eq!(bench.heard(), ["ACK", "BYE"]);
    bench.assert_nothing_left();
}

#[test]
fn a_target_that_is_no_peer_may_send_inside_our_call_and_nothing_else() {
    let mut bench = bench(trunk(vec![target("pbx.example", 0)]));
    bench.answers = false;
    call(&mut bench, dial());
    bench.found(Some(&[(0, &["198.51.100.7:5060"])]));
    let (there, invite) = ("198.51.100.7:5060", bench.only());
    let ok = tagged(&invite, "200 OK", "b", "").replace("203.0.113.1", "198.51.100.7");
    bench.from(there, &ok);
    assert_eq!(name(&only_to(&mut bench, there)), "ACK");
    let ours = invite.from().tag().unwrap();
    let bye = inside("BYE", ours, 1, "", "")
        .replace("tag=peer", "tag=b")
        .replace("Call-ID: call", &format!("Call-ID: {}", invite.call_id()));
    bench.from(there, &bye.replace("Call-ID: ", "Call-ID: x").replace("branch=z9hG4bK", "branch=z9hG4bKx"));
    assert_eq!(bench.heard(), ["481"]);
    bench.from(there, &super::bench::invite(""));
    assert_eq!(bench.heard(), ["403"]);
    bench.from(there, &bye);
    assert_eq!(bench.heard(), ["200"]);
    assert_eq!(bench.ended(), Some(Ended::Bye { reason: None }));
    bench.from(there, &bye);
    assert_eq!(bench.heard(), ["200"], "a copy, with the call gone");
    bench.assert_nothing_left();
}

#[test]
fn a_call_of_ours_asks_for_a_session_timer_and_reliable_ringing() {
    let mut bench = two();
    call(&mut bench, Dial { headers: vec![("Max-Forwards".to_owned(), "12".to_owned())], ..dial() });
    let invite = bench.only();
    let header = |name: &str| invite.header(name).map(|value| value.into_owned());
    assert_eq!(header("Session-Expires").as_deref(), Some("1800"));
    assert_eq!(header("Min-SE").as_deref(), Some("90"));
    assert_eq!((invite.lists("Supported", "timer"), invite.lists("Supported", "100rel")), (true, true));
    assert_eq!((invite.max_forwards(), invite.headers("Max-Forwards").count()), (Some(12), 1));
    let trunk = Trunk { session_timer: Duration::ZERO, ..trunk(vec![target("203.0.113.1", 0)]) };
    let mut without = super::dialling_targets::bench(trunk);
    call(&mut without, Dial { body: None, ..dial() });
    let invite = without.only();
    assert_eq!((invite.header("Session-Expires"), invite.header("Min-SE")), (None, None));
    assert!(!invite.lists("Supported", "100rel"), "a reliable 18x could hold an offer");
}

#[test]
fn a_redirect_is_followed_within_the_trunk_only_and_three_times_at_most() {
    let moved = |invite: &Message, to: &str| {
        answer_to(invite, "302 Moved Temporarily")
            .replace("Content-Length", &format!("Contact: {to}\r\nContent-Length"))
    };
    let mut still = two();
    call(&mut still, dial());
    let invite = only_to(&mut still, ONE);
    still.from(ONE, &moved(&invite, "<sip:3000@203.0.113.2>"));
    assert!(matches!(still.ended(), Some(Ended::Refused { status: 302, .. })));

    let targets = vec![target("203.0.113.1", 0), target("203.0.113.2", 1)];
    let mut bench = bench(Trunk { follow_redirect: true, ..trunk(targets) });
    call(&mut bench, dial());
    let mut invite = only_to(&mut bench, ONE);
    bench.from(
        ONE,
        &moved(
            &invite,
            "<sip:evil@198.51.100.1>, <sip:3000@203.0.113.1>;q=0.1, <sip:4000@203.0.113.2:5090>;q=0.5",
        ),
    );
    let sent = bench.take();
    assert_eq!((name(&sent[0].1).as_str(), sent[1].0), ("ACK", addr("203.0.113.2:5090")));
    let second = &sent[1].1;
    assert_eq!(second.request_uri().unwrap().as_str(), "sip:4000@203.0.113.2:5090");
    assert_eq!(
        (second.call_id(), second.cseq(), second.header("To")),
        (invite.call_id(), 2, invite.header("To"))
    );
    bench.from("203.0.113.2:5090", &moved(second, "<sip:5000@203.0.113.1>"));
    invite = bench.take().remove(1).1;
    bench.from(ONE, &moved(&invite, "<sip:6000@203.0.113.1>"));
    invite = bench.take().remove(1).1;
    bench.from(ONE, &moved(&invite, "<sip:7000@203.0.113.1>"));
    assert_eq!(bench.heard(), ["ACK"]);
    assert!(matches!(bench.ended(), Some(Ended::Refused { status: 302, .. })));
    bench.assert_nothing_left();
}
