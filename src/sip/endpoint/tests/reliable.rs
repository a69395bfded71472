//! Provisional answers that want a PRACK (RFC 3262), and UPDATE before the answer (RFC 3311 §5.2).

use std::time::Duration;

use super::bench::{Bench, CONTACT, inside, of_invite, request, sdp};
use crate::ids::LegId;
use crate::sip::message::Message;
use crate::sip::{Body, Command, Ended, Event, Refusal};

const REQUIRED: &str = "Require: 100rel\r\n";
const SUPPORTED: &str = "Supported: timer, 100rel\r\n";
const SDP: &str = "Content-Type: application/sdp\r\n";

fn progress(bench: &mut Bench, leg: LegId, status: u16, body: Option<Body>) {
    bench.command(Command::Progress { leg, status, body });
}

/// RSeq of a reliable answer.
fn rseq(answer: &Message) -> u32 {
    assert!(answer.lists("Require", "100rel"), "{answer:?}");
    answer.header("RSeq").unwrap().parse().unwrap()
}

/// The PRACK of an answer.
fn prack(answer: &Message, cseq: u32, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { SDP };
    let rack = format!("RAck: {} {} INVITE\r\n{kind}", rseq(answer), answer.cseq());
    inside("PRACK", answer.to().tag().unwrap(), cseq, &rack, body)
}

/// An INVITE without a description.
fn late_offer(bench: &mut Bench, extra: &str) -> LegId {
    bench.peer(&request("INVITE", "first", "", 1, &format!("{CONTACT}{extra}"), ""));
    assert_eq!(bench.heard(), ["100"]);
    bench.leg()
}

#[test]
fn who_insists_gets_every_18x_reliably_and_who_knows_how_those_with_a_description() {
    for (extra, ringing, described) in [("", false, false), (SUPPORTED, false, true), (REQUIRED, true, true)]
    {
        let mut bench = Bench::new();
        let leg = bench.invited(extra);
        let Some(Event::Incoming(incoming)) = bench.events.first() else { panic!() };
        assert_eq!(incoming.reliable, described);
        for (status, body, reliable) in [(180, None, ringing), (183, Some(sdp()), described)] {
            progress(&mut bench, leg, status, body);
            let answer = bench.only();
            assert_eq!(answer.header("RSeq").is_some(), reliable, "{extra} {status}");
            if reliable {
                bench.peer(&prack(&answer, u32::from(status), ""));
                assert_eq!(bench.heard(), ["200"]);
            }
        }
    }
}

#[test]
fn a_reliable_18x_is_repeated_until_its_prack_and_the_next_has_the_next_number() {
    let mut bench = Bench::new();
    let leg = bench.invited(REQUIRED);
    progress(&mut bench, leg, 180, None);
    let first = bench.only();
    bench.wait(Duration::from_secs(4));
    let raw = bench.raw.clone();
    assert_eq!(bench.heard(), ["180"; 3], "0.5, 1.5, 3.5");
    assert!(raw.windows(2).all(|pair| pair[0] == pair[1]));
    progress(&mut bench, leg, 181, None);
    progress(&mut bench, leg, 183, Some(sdp()));
    assert!(bench.sent.is_empty(), "one at a time");
    bench.peer(&prack(&first, 2, ""));
    let sent = bench.take();
    assert_eq!((sent[0].1.status(), sent[1].1.status()), (Some(200), Some(181)));
    assert_eq!((sent[0].1.cseq(), rseq(&sent[1].1)), (2, rseq(&first) + 1));
    bench.peer(&prack(&first, 2, ""));
    assert_eq!(bench.heard(), ["200"], "a copy");
    bench.peer(&prack(&first, 3, ""));
    assert_eq!(bench.heard(), ["481"], "what is acknowledged is not acknowledged again");
    bench.peer(&prack(&sent[1].1, 4, ""));
    assert_eq!(bench.heard(), ["200", "183"]);
    bench.peer(&of_invite("CANCEL", ""));
    bench.take();
    bench.wait(Duration::from_secs(1));
    assert!(bench.heard().iter().all(|status| status == "487"));
    assert_eq!(bench.ended(), Some(Ended::Cancelled { reason: None }));
    bench.assert_nothing_left();
}

#[test]
fn a_prack_that_never_comes_is_504_after_64_t1() {
    let mut bench = Bench::new();
    let leg = bench.invited(REQUIRED);
    progress(&mut bench, leg, 180, None);
    bench.wait(Duration::from_millis(31_999));
    assert_eq!(bench.heard(), ["180"; 7]);
    bench.wait(Duration::from_millis(1));
    assert_eq!(bench.heard(), ["504"]);
    assert_eq!(bench.ended(), Some(Ended::PrackTimeout));
    bench.assert_nothing_left();
}

#[test]
fn the_200_waits_for_the_prack_of_a_description_but_not_of_bare_ringing() {
    let mut bench = Bench::new();
    let leg = bench.invited(REQUIRED);
    progress(&mut bench, leg, 180, None);
    let ringing = bench.only();
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    assert_eq!(bench.heard(), ["200"]);
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.heard(), ["200"], "the 180 is repeated no more");
    bench.peer(&prack(&ringing, 2, ""));
    let tag = bench.only().to().tag().unwrap().to_owned();
    bench.peer(&inside("ACK", &tag, 1, "", ""));
    bench.peer(&inside("BYE", &tag, 3, "", ""));
    bench.assert_nothing_left();

    let mut bench = Bench::new();
    let leg = bench.invited(SUPPORTED);
    progress(&mut bench, leg, 183, Some(sdp()));
    let described = bench.only();
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    progress(&mut bench, leg, 180, None);
    assert!(bench.sent.is_empty());
    bench.peer(&prack(&described, 2, ""));
    let sent = bench.take();
    assert_eq!((sent[0].1.cseq(), sent[1].1.cseq(), sent[1].1.body()), (2, 1, described.body()));
    assert_eq!(sent[1].1.status(), Some(200));
}

#[test]
fn an_offer_of_ours_goes_out_early_only_reliably_and_its_prack_answers_it() {
    let mut bench = Bench::new();
    let leg = late_offer(&mut bench, "");
    progress(&mut bench, leg, 183, Some(sdp()));
    assert!(bench.only().body().is_empty(), "not without 100rel");

    let mut bench = Bench::new();
    let leg = late_offer(&mut bench, SUPPORTED);
    progress(&mut bench, leg, 183, Some(sdp()));
    let offer = bench.only();
    assert_eq!(offer.body(), b"v=0\r\n");
    bench.command(Command::Answer { leg, body: Some(sdp()) }); // the call did not wait for the answer
    assert!(bench.sent.is_empty());
    bench.peer(&prack(&offer, 2, "v=0\r\na=x\r\n"));
    let Some(Event::Acknowledged { body: Some(body), .. }) = bench.events.last() else {
        panic!("{:?}", bench.events)
    };
    assert_eq!(body.bytes, b"v=0\r\na=x\r\n");
    let sent = bench.take();
    assert!(sent.iter().all(|(_, answer)| answer.status() == Some(200) && answer.body().is_empty()));
    assert_eq!(sent.len(), 2, "PRACK and INVITE");
    let tag = offer.to().tag().unwrap();
    bench.peer(&inside("ACK", tag, 1, "", ""));
    assert!(matches!(bench.events.last(), Some(Event::Confirmed { body: None, .. })));
    bench.peer(&inside("UPDATE", tag, 3, SDP, "v=0\r\n"));
    assert!(matches!(bench.events.last(), Some(Event::Reoffer { .. })));
}

#[test]
fn without_an_answer_in_the_prack_the_200_offers_again() {
    let mut bench = Bench::new();
    let leg = late_offer(&mut bench, REQUIRED);
    progress(&mut bench, leg, 183, Some(sdp()));
    let offer = bench.only();
    bench.peer(&prack(&offer, 2, ""));
    bench.take();
    assert!(matches!(bench.events.last(), Some(Event::Acknowledged { body: None, .. })));
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    assert_eq!(bench.only().body(), b"v=0\r\n");
}

#[test]
fn a_new_offer_in_a_prack_is_put_to_the_call_and_answered_in_its_200() {
    let mut bench = Bench::new();
    let leg = bench.invited(REQUIRED);
    progress(&mut bench, leg, 183, Some(sdp()));
    let described = bench.only();
    bench.peer(&prack(&described, 2, "v=0\r\nb\r\n"));
    assert!(bench.sent.is_empty());
    let Some(Event::Reoffer { body: Some(body), .. }) = bench.events.last() else { panic!() };
    assert_eq!(body.bytes, b"v=0\r\nb\r\n");
    bench.command(Command::Answer { leg, body: Some(sdp()) });
    assert!(bench.sent.is_empty(), "the 200 waits for this answer too");
    let tag = described.to().tag().unwrap().to_owned();
    bench.peer(&inside("UPDATE", &tag, 3, SDP, "v=0\r\n"));
    assert_eq!(bench.heard(), ["500"]);
    bench.command(Command::Accept { leg, body: Some(sdp()) });
    let sent = bench.take();
    assert_eq!(sent.iter().map(|(_, answer)| answer.cseq()).collect::<Vec<_>>(), [2, 1]);
    bench.peer(&inside("ACK", &tag, 1, "", ""));
    bench.peer(&inside("BYE", &tag, 4, "", ""));
    bench.assert_nothing_left();
}

#[test]
fn a_refused_offer_in_a_prack_leaves_the_invite_ringing() {
    let refusal = |status| Refusal { status, reason: None, retry_after: None, warning: None };
    let mut bench = Bench::new();
    let leg = bench.invited(REQUIRED);
    progress(&mut bench, leg, 183, Some(sdp()));
    let described = bench.only();
    bench.peer(&prack(&described, 2, "v=0\r\n"));
    bench.command(Command::Reject { leg, refusal: refusal(488) });
    let answer = bench.only();
    assert_eq!((answer.status(), answer.method().as_str()), (Some(488), "PRACK"));
    assert_eq!(bench.ended(), None);
    bench.peer(&inside("UPDATE", described.to().tag().unwrap(), 3, SDP, "v=0\r\n"));
    bench.command(Command::Reject { leg, refusal: refusal(486) }); // it crossed the offer: the call is meant
    assert_eq!(bench.heard(), ["486", "487"]);
    assert_eq!(bench.ended(), Some(Ended::ByUs));
    bench.assert_nothing_left();
}

#[test]
fn an_update_before_the_answer_needs_a_complete_exchange() {
    let mut bench = Bench::new();
    let leg = bench.invited(SUPPORTED);
    progress(&mut bench, leg, 180, None);
    let tag = bench.only().to().tag().unwrap().to_owned();
    let update = |cseq| inside("UPDATE", &tag, cseq, &format!("{CONTACT}{SDP}"), "v=0\r\n");
    bench.peer(&update(2));
    let answer = bench.only();
    assert_eq!(answer.status(), Some(500), "their offer has no answer yet");
    assert!(answer.header("Retry-After").unwrap().parse::<u32>().unwrap() <= 10);
    bench.peer(&inside("UPDATE", &tag, 3, CONTACT, ""));
    assert_eq!(bench.heard(), ["200"], "without an offer it is always welcome");
    progress(&mut bench, leg, 183, Some(sdp()));
    let described = bench.only();
    bench.peer(&update(4));
    assert_eq!(bench.heard(), ["500"], "nobody knows whether they have it");
    bench.peer(&prack(&described, 5, ""));
    bench.peer(&update(6));
    assert_eq!(bench.heard(), ["200"]);
    assert!(matches!(bench.events.last(), Some(Event::Reoffer { .. })));
    bench.command(Command::Accept { leg, body: Some(sdp()) });
    let ok = bench.only();
    assert_eq!((ok.status(), ok.cseq(), ok.body()), (Some(200), 6, &b"v=0\r\n"[..]));
    bench.command(Command::Answer { leg, body: None });
    assert!(bench.only().body().is_empty());

    let mut bench = Bench::new();
    let leg = late_offer(&mut bench, REQUIRED);
    progress(&mut bench, leg, 183, Some(sdp()));
    let tag = bench.only().to().tag().unwrap().to_owned();
    bench.peer(&inside("UPDATE", &tag, 2, SDP, "v=0\r\n"));
    assert_eq!(bench.heard(), ["491"], "ours has no answer yet");
}

#[test]
fn a_long_ringing_is_said_again_under_a_new_number() {
    let mut bench = Bench::new();
    let leg = bench.invited(REQUIRED);
    progress(&mut bench, leg, 180, None);
    let first = bench.only();
    bench.peer(&prack(&first, 2, ""));
    bench.take();
    bench.wait(Duration::from_secs(149));
    assert!(bench.sent.is_empty());
    bench.wait(Duration::from_secs(1));
    assert_eq!(rseq(&bench.only()), rseq(&first) + 1);
}
