//! Anything in any order from a peer in a call, and from the call: nothing ends but the call, and nothing is left.

use std::time::Duration;

use super::bench::{Bench, CONTACT, request, sdp, trunk};
use crate::ids::{Entropy, LegId};
use crate::sip::message::Message;
use crate::sip::{Body, Command, Config, Event, Gate, Refusal};

/// One of them.
fn one<'a>(chance: &mut Entropy, of: &[&'a str]) -> &'a str {
    of[chance.below(of.len() as u32) as usize]
}

/// A request of the peer: most belong to the dialog, some are what nobody should send.
fn noise(chance: &mut Entropy, tag: &str, rseq: u32, n: u32) -> String {
    const METHODS: [&str; 14] = [
        "INVITE", "INVITE", "UPDATE", "UPDATE", "PRACK", "PRACK", "ACK", "ACK", "CANCEL", "INFO", "OPTIONS",
        "NOTIFY", "BYE", "WHAT",
    ];
    const LINES: [&str; 16] = [
        "Supported: timer, 100rel\r\n",
        "Require: 100rel\r\n",
        "Require: nothing\r\n",
        "x: 90;refresher=uac\r\n",
        "x: 90;refresher=uas\r\n",
        "x: 4294967295\r\n",
        "x: 0\r\nMin-SE: 4294967295\r\n",
        "Supported: timer\r\nx: 30\r\n",
        "Contact: <sip:1000@192.0.2.11:5062>\r\n",
        "Contact: *\r\n",
        "Allow: UPDATE\r\n",
        "Allow:\r\n",
        "Event: refer\r\n",
        "Replaces: a;b;c\r\n",
        "Accept:\r\n",
        "Expires: 1\r\n",
    ];
    let method = one(chance, &METHODS);
    let branch = match chance.below(5) {
        0 => "first".to_owned(), // of the INVITE
        1 => format!("{method}{}", n.saturating_sub(chance.below(4))),
        _ => format!("{method}{n}"),
    };
    let mut lines = String::new();
    if method == "PRACK" {
        let off = chance.below(3).saturating_sub(1);
        lines.push_str(&format!("RAck: {} {} INVITE\r\n", rseq.wrapping_add(off), 1 + chance.below(2)));
    }
    for _ in 0..chance.below(3) {
        lines.push_str(one(chance, &LINES));
    }
    if !lines.contains("Contact") {
        lines.push_str(CONTACT);
    }
    let body = one(chance, &["", "v=0\r\n", "v=0\r\nx"]);
    if !body.is_empty() {
        lines.push_str("Content-Type: application/sdp\r\n");
    }
    let tag = if chance.below(20) == 0 { "" } else { tag };
    let cseq = match chance.below(8) {
        0 => 1,
        1 => n.saturating_sub(chance.below(5)).max(1),
        _ => n,
    };
    request(method, &branch, tag, cseq, &lines, body)
}

/// An answer to something we sent.
fn answer(chance: &mut Entropy, request: &Message) -> String {
    const STATUSES: [&str; 12] = [
        "100 T", "180 R", "200 OK", "200 OK", "202 A", "302 M", "401 U", "422 S", "481 G", "488 N", "491 P",
        "500 S",
    ];
    const LINES: [&str; 5] =
        ["", "x: 90;refresher=uas\r\n", "x: 3;refresher=uac\r\n", "Min-SE: 3600\r\n", CONTACT];
    let lines = one(chance, &LINES);
    super::answering::answer_to(request, one(chance, &STATUSES))
        .replace("Content-Length", &format!("{lines}Content-Length"))
}

fn command(chance: &mut Entropy, leg: LegId) -> Command {
    let body = (chance.below(3) > 0).then(sdp);
    let update = chance.below(2) == 0;
    let refusal = |status| Refusal { status, reason: None, retry_after: None, warning: None };
    match chance.below(16) {
        0 | 1 => Command::Progress { leg, status: 180, body: None },
        2 | 3 => Command::Progress { leg, status: 183, body },
        4 => Command::Answer { leg, body },
        5..=7 => Command::Accept { leg, body },
        8 => Command::Reject { leg, refusal: refusal(488) },
        9..=11 => Command::Modify { leg, update, body },
        12 | 13 => Command::Acknowledge { leg, body },
        14 => Command::Info { leg, body: Body { content_type: "a/b".to_owned(), bytes: vec![0] } },
        _ if chance.below(4) == 0 => Command::Hangup { leg, reason: None },
        _ => Command::Gate(Gate::Open),
    }
}

fn course(seed: u64) {
    let mut chance = Entropy::seeded(seed);
    let mut trunk = trunk();
    trunk.session_timer = Duration::from_secs(u64::from(chance.below(2)) * 90);
    let mut bench = Bench::with(Config { trunks: vec![trunk], ..Config::default() });
    let lines =
        one(&mut chance, &["", "Require: 100rel\r\n", "Supported: 100rel, timer\r\nAllow: UPDATE\r\n"]);
    let first = super::bench::invite(lines);
    bench.peer(&if chance.below(4) == 0 {
        first.replace("v=0", "").replace(": 5\r\n\r\n", ": 0\r\n\r\n")
    } else {
        first
    });
    let leg = bench.leg();
    let (mut tag, mut rseq) = (String::new(), 0);
    let mut heard: Vec<Message> = Vec::new();
    for n in 1..120 {
        match chance.below(10) {
            0..=3 => bench.peer(&noise(&mut chance, &tag, rseq, n)),
            4..=6 => bench.command(command(&mut chance, leg)),
            7 | 8 => {
                if let Some(request) = heard.pop() {
                    bench.peer(&answer(&mut chance, &request));
                }
            }
            _ => bench.wait(Duration::from_millis(chance.below(40_000).into())),
        }
        for (_, message) in bench.take() {
            if let Some(ours) = message.to().tag().filter(|_| message.status().is_some()) {
                ours.clone_into(&mut tag);
            }
            rseq = message.header("RSeq").map_or(rseq, |value| value.parse().unwrap());
            if message.status().is_none() {
                heard.push(message);
            }
        }
    }
    let after_end = |event: &&Event| !matches!(event, Event::Ended { .. }) && event.leg() == leg;
    if let Some(at) =
        bench.events.iter().position(|event| matches!(event, Event::Ended { .. }) && event.leg() == leg)
    {
        let more: Vec<_> = bench.events[at..].iter().filter(after_end).collect();
        assert!(more.is_empty(), "seed {seed}: {more:?}");
    }
    let legs: Vec<LegId> = bench.events.iter().map(Event::leg).collect();
    for leg in legs {
        bench.command(Command::Hangup { leg, reason: None });
    }
    bench.wait(Duration::from_secs(70));
    bench.assert_nothing_left();
}

#[test]
fn any_noise_in_a_call_ends_nothing_but_the_call_and_leaves_nothing() {
    for seed in 0..400 {
        course(seed);
    }
}
