//! Every message of `tests/vectors` over every transport against a daemon on real sockets: each gets the outcome of
//! its index, and nothing is left of it (reliability ).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use streamkit::lab::bot::{Bot, Script};
use streamkit::sip::{Load, Transport};
use tokio::time::sleep;

use crate::kit::{Held, Identity, Node, Wanted, alone, bot, eventually};
use crate::line::{Line, Said};

/// Short, so that what absorbs retransmissions is gone soon after the last message.
const T1: Duration = Duration::from_millis(20);
/// Timers H, J and L (RFC 3261 §17, RFC 6026) and some more.
const ABSORBED: Duration = Duration::from_millis(64 * 20 + 700);

/// What real equipment's INVITEs get when their number has a bot, and what our answer says of audio.
const EQUIPMENT: [(&str, u16, &str); 10] = [
    ("avaya-session-manager.sip", 200, " RTP/AVP 0 120\r\n"),
    ("avaya-aep-no-media-line.sip", 488, ""),
    ("cisco-ios-gateway-g729-cn19.sip", 488, ""),
    ("cisco-phone-c-after-m.sip", 200, " RTP/AVP "),
    ("asterisk-pjsip-maxptime150.sip", 200, " RTP/AVP 8 101\r\n"),
    ("ribbon-sonus-tcp-padded-length.sip", 200, " RTP/AVP "),
    ("audiocodes-anonymous.sip", 200, " RTP/AVP "),
    ("audiocodes-siprec-bare-lf.sip", 420, ""),
    ("genesys-delayed-offer.sip", 200, " RTP/AVP 0 8 101\r\n"),
    ("freeswitch-events-three-rates.sip", 200, " RTP/AVP 8 101\r\n"),
];

struct Vector {
    file: String,
    expected: String,
    octets: Vec<u8>,
}

/// The rows of an index with their files.
fn vectors() -> Vec<Vector> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let of = |set: &str| -> Vec<Vector> {
        let index = fs::read_to_string(folder.join(set).join("index.tsv")).expect("an index");
        let row = |row: &str| {
            let columns: Vec<_> = row.split('\t').collect();
            let expected = if set == "pbx" { "accept" } else { columns[4] }.to_owned();
            let octets = fs::read(folder.join(set).join(columns[0])).expect("a vector");
            Vector { file: columns[0].to_owned(), expected, octets }
        };
        index.lines().skip(1).filter(|line| !line.is_empty()).map(row).collect()
    };
    let all: Vec<_> = ["rfc4475", "rfc5118", "pbx"].into_iter().flat_map(of).collect();
    assert_eq!(all.len(), 51 + 12 + 10);
    all
}

/// What came of a message.
#[derive(Debug, Default)]
struct Outcome {
    /// Its first final answer.
    answer: Option<Said>,
    /// The connection was closed.
    closed: bool,
}

impl Outcome {
    fn status(&self) -> Option<u16> {
        self.answer.as_ref().map(|answer| answer.status)
    }

    /// As the index words it: `accept`, `none`, a number, or several with `|`; on streams a refusal that ends the
    /// connection will do wherever the framing is lost.
    fn fits(&self, file: &str, expected: &str, transport: Transport) -> bool {
        let word = |word: &str| match (word, self.status()) {
            ("none", None) => true,
            ("accept", Some(status)) => {
                status != 400 && status != 505 && (status < 500 || matches!(status, 501 | 503))
            }
            (number, Some(status)) => number.parse() == Ok(status),
            _ => false,
        };
        let lost = match file {
            // no Content-Length: where it ends nobody knows
            "inv2543.dat" => self.status() == Some(400) && self.closed,
            // never whole: the read deadline of the connection ends it
            "clerr.dat" => self.status().is_none() && self.closed,
            // without Via or CSeq there is no answer
            "extra-test.dat" => self.closed,
            _ => false,
        };
        expected.split('|').any(word) || (transport != Transport::Udp && lost)
    }
}

/// Sends a message and a ping behind it; what comes before the ping's answer or the end.
async fn outcome(line: &mut Line, octets: &[u8], count: usize) -> Outcome {
    line.send(octets).await;
    let ping = format!("after-{count}");
    line.ask("OPTIONS", &ping).await;
    let (mut outcome, mut provisional, mut pinged) = (Outcome::default(), false, false);
    loop {
        if pinged && (outcome.answer.is_some() || !provisional) {
            return outcome;
        }
        let Some(said) = line.hear().await else {
            outcome.closed = true;
            return outcome;
        };
        match said.status {
            _ if said.call_id == ping => pinged = true,
            100..200 => provisional = true,
            _ => drop(outcome.answer.get_or_insert(said)),
        }
    }
}

/// Takes a call that was answered to its end.
async fn call(line: &mut Line, answer: &Said, late: bool) {
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";
    line.within("ACK", answer, if late { sdp } else { "" }).await;
    line.within("BYE", answer, "").await;
    loop {
        let said = line.hear().await.expect("an answer to BYE");
        if said.text.contains(" BYE\r\n") {
            return assert_eq!(said.status, 200, "{}", said.text);
        }
    }
}

/// Says every vector to this daemon; how many of them became calls.
async fn every_vector_over(transport: Transport, node: &Node) -> usize {
    let equipment: BTreeMap<_, _> =
        EQUIPMENT.into_iter().map(|(file, status, audio)| (file, (status, audio))).collect();
    let (mut wrong, mut calls, mut refused, mut rounds) = (Vec::new(), 0, 0, 0);
    for (count, (again, Vector { file, expected, octets })) in
        by_transaction(vectors()).into_iter().enumerate()
    {
        if again > rounds && transport == Transport::Udp {
            sleep(ABSORBED).await; // it would be taken for a retransmission
            rounds = again;
        }
        let mut line = Line::to(node, transport).await;
        let outcome = outcome(&mut line, &octets, count).await;
        let mut fits = outcome.fits(&file, &expected, transport);
        if let Some((status, audio)) = equipment.get(file.as_str()) {
            let answered = outcome.answer.as_ref().is_some_and(|answer| answer.text.contains(audio));
            fits &= outcome.status() == Some(*status) && answered;
        }
        if !fits {
            wrong.push(format!("{file}: {outcome:#?}, not {expected}"));
        }
        match &outcome.answer {
            Some(answer) if answer.status == 200 && answer.text.contains(" INVITE\r\n") => {
                calls += 1;
                call(&mut line, answer, file == "genesys-delayed-offer.sip").await;
            }
            // its second message is a call; what is behind that breaks the connection before the call is answered
            _ if file == "dblreq.dat" && outcome.closed => calls += 1,
            _ => refused += 1,
        }
        // a new line for each: the daemon is still there, whatever came
        drop(line);
        let mut line = Line::to(node, transport).await;
        line.ask("OPTIONS", &format!("still-there-{count}")).await;
        assert_eq!(line.hear().await.map(|said| said.status), Some(200), "after {file}");
    }
    assert!(wrong.is_empty(), "{transport:?}: {}", wrong.join("\n"));
    assert!(calls >= 10 && refused >= 30, "{calls} calls, {refused} others");
    calls
}

/// Those first that share their transaction (method and Via) with none before them, each with the number of those
/// that it does.
fn by_transaction(vectors: Vec<Vector>) -> Vec<(usize, Vector)> {
    let mut seen = BTreeMap::<(String, String), usize>::new();
    let count = |vector: Vector| {
        let text = String::from_utf8_lossy(&vector.octets).into_owned();
        let method = text.split(' ').next().unwrap_or_default().to_owned();
        let via = text.lines().find(|line| line.contains("branch=")).map(str::to_owned);
        let again = via.map_or(0, |via| {
            let again = seen.entry((method, via)).or_default();
            *again += 1;
            *again - 1
        });
        (again, vector)
    };
    let mut counted: Vec<_> = vectors.into_iter().map(count).collect();
    counted.sort_by_key(|(again, _)| *again);
    counted
}

fn wanted(echo: &Bot, transport: Transport) -> Wanted {
    // The answers to messages of other hosts come back to us; without it they go to the port of their Via.
    let udp_and_tcp = "force_rport = true";
    let all = "force_rport = true\ntransports = [\"udp\", \"tcp\", \"tls\"]";
    let over_tls = transport == Transport::Tls;
    let (trunk, tls) = if over_tls { (all, Some(Identity::new())) } else { (udp_and_tcp, None) };
    let tables = format!("[[route]]\ntrunk = \"pbx\"\nto = \"*\"\nbot = {:?}\n", echo.url("/media"));
    Wanted { trunk, tables, tls, t1: Some(T1), ..Wanted::leading_to(echo, "/media") }
}

/// A daemon for each transport, side by side.
#[test]
fn every_vector_has_its_outcome_over_every_transport_and_leaves_nothing() {
    alone(async {
        let mut daemons = Vec::new();
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            let echo = bot(Script::echo()).await;
            let node = Node::start(&wanted(&echo, transport)).await;
            daemons.push((transport, node, echo));
        }
        let before = Held::settled().await;
        let said = daemons.iter().map(|(transport, node, _)| every_vector_over(*transport, node));
        for ((_, node, echo), calls) in daemons.iter().zip(join_all(said).await) {
            eventually("the end of every stream", || {
                echo.transcripts().iter().all(|one| one.ended.is_some())
            })
            .await;
            assert_eq!(echo.transcripts().len(), calls, "a bot is asked for calls that are served, and once");
            node.is_idle().await;
        }
        daemons[0].1.is_as_before(before).await;
        sleep(ABSORBED).await;
        for (transport, node, _) in daemons {
            let held = node.stop().await;
            assert_eq!(held, Load::default(), "{transport:?}: dialogs, transactions, legs and timers");
        }
    });
}
