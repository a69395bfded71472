//! The published torture messages, as a trunk's peer would send them: what is answered first and finally.

use std::fs;
use std::path::PathBuf;

use super::bench::{Bench, addr, name, request};
use crate::sip::{Command, Event, Refusal};

const SOURCE: &str = "192.0.2.77:7777";

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

/// The first final answer to a message; a call that is told is refused with 480.
fn outcome(octets: &[u8]) -> Option<u16> {
    let mut bench = Bench::new();
    bench.octets(SOURCE, octets);
    if let Some(Event::Incoming(incoming)) = bench.events.first() {
        let (leg, refusal) =
            (incoming.leg, Refusal { status: 480, reason: None, retry_after: None, warning: None });
        bench.command(Command::Reject { leg, refusal });
    }
    let sent = bench.take();
    for (to, answer) in &sent {
        assert_eq!(to.ip(), addr(SOURCE).ip(), "nothing goes elsewhere");
        assert!(answer.status().is_some(), "nothing but answers: {}", name(answer));
    }
    assert!(sent.len() <= 2, "one request of a datagram");
    bench.peer(&request("OPTIONS", "after", "", 1, "", ""));
    assert_eq!(bench.heard(), ["200"], "it still serves");
    bench.assert_nothing_left();
    sent.iter().filter_map(|(_, answer)| answer.status()).find(|status| *status >= 200)
}

/// As the index words it: `accept`, `none`, a number, or several with `|`.
fn fits(expected: &str, got: Option<u16>) -> bool {
    expected.split('|').map(str::trim).any(|word| match (word, got) {
        ("none", None) => true,
        ("accept", Some(status)) => {
            status != 400 && status != 505 && (status < 500 || matches!(status, 501 | 503))
        }
        (number, Some(status)) => number.parse() == Ok(status),
        _ => false,
    })
}

fn every_vector_of(set: &str) {
    let index = fs::read_to_string(folder(set).join("index.tsv")).unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for row in index.lines().skip(1).filter(|row| !row.is_empty()) {
        let columns: Vec<_> = row.split('\t').collect();
        let got = outcome(&fs::read(folder(set).join(columns[0])).unwrap());
        let expected = if set == "pbx" { "accept" } else { columns[4] };
        seen += 1;
        if !fits(expected, got) {
            wrong.push(format!("{}: {got:?}, not {expected}", columns[0]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen >= 10);
}

#[test]
fn the_messages_of_rfc_4475_get_what_the_index_says() {
    every_vector_of("rfc4475");
}

#[test]
fn the_messages_of_rfc_5118_get_what_the_index_says() {
    every_vector_of("rfc5118");
}

#[test]
fn the_invites_of_real_equipment_are_understood() {
    every_vector_of("pbx");
}

#[test]
fn a_message_cut_anywhere_ends_nothing() {
    for file in ["wsinv.dat", "dblreq.dat", "mpart01.dat"] {
        let octets = fs::read(folder("rfc4475").join(file)).unwrap();
        let mut bench = Bench::new();
        for end in 0..octets.len() {
            bench.octets(SOURCE, &octets[..end]);
        }
        bench.take();
        bench.now += std::time::Duration::from_secs(2);
        bench.peer(&request("OPTIONS", "after", "", 1, "", ""));
        assert_eq!(bench.heard(), ["200"], "{file}");
    }
}
