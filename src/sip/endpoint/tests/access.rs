//! Who is let in, and what is refused outside a dialog.

use std::time::Duration;

use super::bench::{Bench, CONTACT, PEER, addr, inside, invite, name, request, trunk};
use crate::sip::{Command, Config, Event, Gate, Load, Strangers};

const STRANGER: &str = "198.51.100.66:5060";

#[test]
fn a_stranger_gets_five_small_refusals_and_then_silence() {
    let mut bench = Bench::new();
    for n in 0..50 {
        bench.from(STRANGER, &invite("").replace("first", &format!("n{n}")));
    }
    let sizes: Vec<usize> = bench.raw.iter().map(Vec::len).collect();
    assert_eq!(bench.heard(), ["403"; 5]);
    assert!(sizes.iter().all(|size| *size <= invite("").len() + 128));
    assert!(bench.events.is_empty());
    assert_eq!(bench.endpoint.load(), Load::default());
    bench.wait(Duration::from_secs(10));
    bench.from(STRANGER, &invite(""));
    assert_eq!(bench.only().to().tag().map(str::len), Some(16));
}

#[test]
fn a_stranger_never_gets_an_answer_to_an_ack_nor_when_we_are_silent() {
    let mut bench = Bench::new();
    bench.from(STRANGER, &request("ACK", "x", "y", 1, "", ""));
    let mut silent =
        Bench::with(Config { trunks: vec![trunk()], strangers: Strangers::Silent, ..Config::default() });
    silent.from(STRANGER, &invite(""));
    silent.from(STRANGER, &request("OPTIONS", "x", "", 1, "", ""));
    assert!(bench.sent.is_empty() && silent.sent.is_empty());
}

#[test]
fn all_strangers_together_get_200_answers_a_second() {
    let mut bench = Bench::new();
    for n in 0..1000 {
        bench.from(
            &format!("198.51.{}.{}:5060", 100 + n / 250, n % 250),
            &request("OPTIONS", "x", "", 1, "", ""),
        );
    }
    assert_eq!(bench.sent.len(), 200);
    bench.peer(&request("OPTIONS", "x", "", 1, "", ""));
    assert_eq!(bench.sent.len(), 201); // the trunk is served all the same
}

#[test]
fn methods_are_refused_as_the_table_says() {
    let mut bench = Bench::new();
    let cases = [
        ("REGISTER", "405"),
        ("SUBSCRIBE", "405"),
        ("PUBLISH", "405"),
        ("MESSAGE", "405"),
        ("REFER", "405"),
        ("FROBNICATE", "501"),
        ("NOTIFY", "481"),
        ("BYE", "481"),
        ("INFO", "481"),
        ("UPDATE", "481"),
        ("PRACK", "481"),
        ("CANCEL", "481"),
    ];
    for (method, status) in cases {
        bench.peer(&request(method, method, "", 1, "", ""));
        let answer = bench.only();
        assert_eq!(name(&answer), status, "{method}");
        let refused = matches!(status, "405" | "501");
        assert_eq!(answer.lists("Allow", "INVITE"), refused, "{method}");
    }
    bench.peer(&request("ACK", "stray", "", 1, "", ""));
    assert!(bench.take().is_empty());
    bench.assert_nothing_left();
}

#[test]
fn a_request_for_a_dialog_that_is_not_there_gets_481() {
    let mut bench = Bench::new();
    for method in ["INVITE", "BYE", "OPTIONS", "INFO"] {
        bench.peer(&inside(method, "gone", 5, CONTACT, ""));
        assert_eq!(bench.heard(), ["481"], "{method}");
    }
    bench.peer(&inside("ACK", "gone", 5, "", ""));
    assert!(bench.sent.is_empty() && bench.events.is_empty());
}

#[test]
fn what_is_required_and_not_there_is_named() {
    let mut bench = Bench::new();
    bench.peer(&invite("Require: 100rel, x-magic\r\n"));
    let answer = bench.only();
    assert_eq!((answer.status(), answer.list("Unsupported").join(" ")), (Some(420), "x-magic".to_owned()));
    bench.peer(&request("OPTIONS", "o", "", 1, "Require: replaces\r\n", ""));
    assert_eq!(bench.only().header("Unsupported").as_deref(), Some("replaces"));
    assert!(bench.events.is_empty());
    bench.peer(&invite("Require: timer, 100rel\r\n").replace("first", "second"));
    assert_eq!(bench.heard(), ["100"]);
}

#[test]
fn a_body_that_is_no_session_description_gets_415() {
    let mut bench = Bench::new();
    let with = |headers: &str, n: &str| request("INVITE", n, "", 1, &format!("{CONTACT}{headers}"), "hello");
    bench.peer(&with("Content-Type: text/plain\r\n", "a"));
    assert_eq!(bench.only().header("Accept").as_deref(), Some("application/sdp"));
    bench.peer(&with("Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "b"));
    let answer = bench.only();
    assert_eq!((answer.status(), answer.header("Accept-Encoding").as_deref()), (Some(415), Some("")));
    bench.peer(
        &with("Content-Type: multipart/mixed;boundary=x\r\n", "c").replace("Call-ID: call", "Call-ID: other"),
    );
    assert_eq!(bench.heard(), ["100"]);
}

#[test]
fn the_second_branch_of_a_merged_invite_gets_482_unless_the_first_has_ended() {
    let mut bench = Bench::new();
    let leg = bench.invited("");
    bench.peer(&invite("").replace("first", "second"));
    assert_eq!(bench.heard(), ["482"]);
    let refusal = crate::sip::Refusal { status: 486, reason: None, retry_after: None, warning: None };
    bench.command(Command::Reject { leg, refusal });
    bench.take();
    bench.peer(&invite("").replace("first", "third"));
    assert_eq!(bench.heard(), ["100"]);
}

#[test]
fn a_closed_gate_refuses_new_calls_and_options_only() {
    let mut bench = Bench::new();
    let (_, tag) = bench.up("");
    bench.command(Command::Gate(Gate::Draining));
    bench.peer(&invite("").replace("first", "other").replace("Call-ID: call", "Call-ID: other"));
    let answer = bench.only();
    assert_eq!((answer.status(), answer.header("Retry-After").as_deref()), (Some(503), Some("30")));
    assert_eq!(answer.header("Reason").as_deref(), Some("Q.850;cause=42"));
    bench.peer(&request("OPTIONS", "o", "", 1, "", ""));
    assert_eq!(bench.heard(), ["503"]);
    bench.command(Command::Gate(Gate::Full));
    bench.peer(&request("OPTIONS", "p", "", 2, "", ""));
    let wait: u32 = bench.only().header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=5).contains(&wait));
    bench.peer(&inside("BYE", &tag, 2, "", ""));
    assert_eq!(bench.heard(), ["200"]);
    bench.command(Command::Gate(Gate::Open));
    bench.peer(&request("OPTIONS", "q", "", 3, "", ""));
    assert_eq!(bench.heard(), ["200"]);
}

#[test]
fn options_tell_what_we_can_do() {
    let mut bench = Bench::new();
    bench.peer(&request("OPTIONS", "o", "", 1, "", ""));
    let answer = bench.only();
    assert_eq!(answer.status(), Some(200));
    for method in ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO"] {
        assert!(answer.lists("Allow", method), "{method}");
    }
    assert!(answer.lists("Accept", "application/sdp") && answer.lists("Accept", "application/dtmf-relay"));
    assert_eq!(
        answer.contact().map(|contact| contact.uri.as_str()),
        Some("sip:streamkit@192.0.2.1:5060;transport=udp")
    );
    assert!(answer.body().is_empty() && answer.to().tag().is_some());
    bench.peer(&request("OPTIONS", "o", "", 1, "", ""));
    assert_eq!(bench.only().to().tag(), answer.to().tag());
}

#[test]
fn a_flood_from_a_trunk_is_refused_and_then_dropped() {
    let config = Config { trunks: vec![trunk()], source_requests_per_second: 10, ..Config::default() };
    let mut bench = Bench::with(config);
    for n in 0..100 {
        bench.peer(&request("OPTIONS", &format!("n{n}"), "", 1 + n, "", ""));
    }
    let heard = bench.heard();
    assert_eq!((heard.len(), heard.iter().filter(|status| *status == "503").count()), (11, 1));
    bench.wait(Duration::from_secs(1));
    bench.peer(&request("OPTIONS", "later", "", 500, "", ""));
    assert_eq!(bench.heard(), ["200"]);
}

#[test]
fn transactions_are_capped_and_calls_that_are_up_have_room() {
    let config = Config { trunks: vec![trunk()], max_transactions: 8, ..Config::default() };
    let mut bench = Bench::with(config);
    let (_, tag) = bench.up("");
    for n in 0..50 {
        bench.peer(&request("OPTIONS", &format!("n{n}"), "", 1 + n, "", ""));
    }
    let heard = bench.heard();
    assert_eq!(heard.iter().filter(|status| *status == "200").count(), 7);
    assert_eq!(heard.iter().filter(|status| *status == "503").count(), 43);
    assert_eq!(bench.endpoint.load().transactions, 8);
    bench.peer(&inside("BYE", &tag, 2, "", ""));
    assert_eq!(bench.heard(), ["200"]);
}

#[test]
fn the_malformed_are_refused_where_they_can_be_answered() {
    let mut bench = Bench::new();
    bench.peer(&invite("").replace("CSeq: 1 INVITE", "CSeq: 1 BYE"));
    assert_eq!(bench.heard(), ["400"]);
    bench.peer("\r\n\r\n");
    bench.peer("\u{0}\u{1}nothing of ours");
    bench.from(PEER, "SIP/2.0 200 OK\r\n\r\n");
    assert!(bench.sent.is_empty() && bench.events.is_empty());
    assert_eq!(bench.endpoint.load(), Load::default());
}

#[test]
fn an_answer_goes_to_the_source_address_whatever_via_says() {
    let mut bench = Bench::new();
    let text = request("OPTIONS", "o", "", 1, "", "");
    bench.from("192.0.2.77:9999", &text);
    assert_eq!(bench.take()[0].0, addr("192.0.2.77:9999"));
    bench.from("192.0.2.77:9999", &text.replace(";rport", ";maddr=198.51.100.1").replace("bKo", "bKp"));
    assert_eq!(bench.take()[0].0, addr("192.0.2.77:5060"));
}

#[test]
fn an_ipv4_mapped_source_is_the_ipv4_trunk() {
    let mut bench = Bench::new();
    bench.from("[::ffff:192.0.2.10]:5060", &invite(""));
    let Some(Event::Incoming(incoming)) = bench.events.first() else { panic!("{:?}", bench.events) };
    assert_eq!(incoming.remote, addr(PEER));
}

#[test]
fn who_takes_no_session_description_gets_406() {
    for (n, accept) in ["", "text/plain", "application/sdp;q=0, text/*"].into_iter().enumerate() {
        let mut bench = Bench::new();
        bench.peer(&invite(&format!("Accept: {accept}\r\n")));
        assert_eq!(bench.heard(), ["406"], "{n}: {accept}");
        assert!(bench.events.is_empty());
    }
    for accept in
        ["application/sdp", "text/plain, Application/*;q=0.1", "*/*", "a/b\r\nAccept: application/sdp"]
    {
        let mut bench = Bench::new();
        bench.invited(&format!("Accept: {accept}\r\n"));
    }
}

#[test]
fn an_invite_that_replaces_a_call_we_do_not_have_gets_481() {
    let mut bench = Bench::new();
    let (_, tag) = bench.up("");
    let other = |n: &str, replaces: &str| {
        invite(&format!("Replaces: {replaces}\r\n"))
            .replace("first", n)
            .replace("Call-ID: call", "Call-ID: other")
    };
    bench.peer(&other("a", "call;to-tag=none;from-tag=peer"));
    bench.peer(&other("b", &format!("gone;to-tag={tag};from-tag=peer")));
    bench.peer(&other("c", "call"));
    assert_eq!(bench.heard(), ["481"; 3]);
    bench.peer(&other("d", &format!("call;from-tag=peer;to-tag={tag}")).replace("CSeq: 1", "CSeq: 2"));
    assert_eq!(bench.heard(), ["100"], "a call like any other");
}

#[test]
fn an_invite_that_lay_unread_for_over_500_ms_is_dropped_and_nothing_else() {
    let mut bench = Bench::new();
    let (_, tag) = bench.up("");
    let fresh = |n: &str| invite("").replace("first", n).replace("Call-ID: call", "Call-ID: other");
    bench.waited(501, &fresh("a"));
    assert!(bench.sent.is_empty());
    bench.waited(60_000, &request("OPTIONS", "o", "", 1, "", ""));
    bench.waited(
        60_000,
        &inside("INVITE", &tag, 2, &format!("{CONTACT}Content-Type: application/sdp\r\n"), "v=0\r\n"),
    );
    bench.waited(60_000, &inside("BYE", &tag, 3, "", ""));
    bench.waited(500, &fresh("b"));
    assert_eq!(bench.heard(), ["200", "200", "487", "100"]);
}

#[test]
fn options_says_what_we_are_able_to_do() {
    let mut bench = Bench::new();
    bench.peer(&request("OPTIONS", "o", "", 1, "", ""));
    let answer = bench.only();
    let of = |name: &str| answer.header(name).unwrap_or_default().into_owned();
    assert_eq!(of("Allow"), "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, NOTIFY");
    assert_eq!((of("Supported"), of("Allow-Events")), ("timer, 100rel".to_owned(), "refer".to_owned()));
    assert_eq!(of("Accept"), "application/sdp, application/dtmf-relay, application/dtmf");
}
