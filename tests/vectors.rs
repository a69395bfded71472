//! Every message of `tests/vectors` through the parser, as a datagram and as a stream, against its index;
//! and what must hold of any octets at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use streamkit::sip::Transport;
use streamkit::sip::message::{
    Cause, Framed, Framer, Framing, Malformed, Message, Method, Request, Response,
};

/// What our parser refuses, and why; every other vector it takes.
const REFUSED: [(&str, Cause); 21] = [
    ("badinv01.dat", Cause::Via),
    ("clerr.dat", Cause::ContentLength),
    ("ncl.dat", Cause::ContentLength),
    ("scalar02.dat", Cause::CSeq),
    ("scalarlg.dat", Cause::CSeq),
    ("quotbal.dat", Cause::To),
    ("ltgtruri.dat", Cause::Uri),
    ("lwsruri.dat", Cause::StartLine),
    ("lwsstart.dat", Cause::StartLine),
    ("trws.dat", Cause::StartLine),
    ("escruri.dat", Cause::Uri),
    ("baddn.dat", Cause::Unfinished),
    ("baddn-terminated.dat", Cause::From),
    ("badvers.dat", Cause::Version),
    ("mismatch01.dat", Cause::CSeqMethod),
    ("mismatch02.dat", Cause::CSeqMethod),
    ("bigcode.dat", Cause::StartLine),
    ("insuf.dat", Cause::From),
    ("unkscm.dat", Cause::Scheme),
    ("novelsc.dat", Cause::Scheme),
    ("ipv6-bad.dat", Cause::Uri),
];

/// Refused too, with a cause that is clearer beside its test.
const REFUSED_MORE: [(&str, Cause); 3] =
    [("multi01.dat", Cause::Repeated), ("mcl01.dat", Cause::Repeated), ("extra-test.dat", Cause::StartLine)];

struct Vector {
    file: String,
    kind: String,
    expected: Vec<String>,
    octets: Vec<u8>,
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

/// The rows of an index with their files.
fn vectors(name: &str) -> Vec<Vector> {
    let index = fs::read_to_string(folder(name).join("index.tsv")).unwrap();
    let rows = index.lines().skip(1).filter(|row| !row.is_empty()).map(|row| {
        let columns: Vec<_> = row.split('\t').collect();
        let (file, kind, expected) = match name {
            "pbx" => (columns[0], "INVITE", "accept"),
            _ => (columns[0], columns[3], columns[4]),
        };
        let octets = fs::read(folder(name).join(file)).unwrap();
        assert_eq!(octets.len().to_string(), columns[columns.len() - 2], "{file} was changed on its way");
        let expected = expected.split('|').map(str::to_owned).collect();
        Vector { file: file.to_owned(), kind: kind.to_owned(), expected, octets }
    });
    rows.collect()
}

fn all() -> Vec<Vector> {
    ["rfc4475", "rfc5118", "pbx"].into_iter().flat_map(vectors).collect()
}

fn refused() -> BTreeMap<&'static str, Cause> {
    REFUSED.into_iter().chain(REFUSED_MORE).collect()
}

/// Does an outcome of the parser leave the index its expected answer?
fn agrees(vector: &Vector, outcome: &Result<Message, Malformed>) -> bool {
    let expects = |answer: &str| vector.expected.iter().any(|expected| expected == answer);
    match outcome {
        _ if vector.kind.starts_with("response") => {
            expects("none") && !matches!(outcome, Err(Malformed { answerable: Some(_), .. }))
        }
        // Anything but a refusal by the parser is for others to give.
        Ok(_) => vector
            .expected
            .iter()
            .any(|expected| !["400", "505", "416", "513", "none"].contains(&expected.as_str())),
        Err(Malformed { answerable: None, .. }) => expects("none"),
        Err(Malformed { cause, .. }) => expects(&cause.status().to_string()),
    }
}

#[test]
fn every_datagram_has_the_outcome_of_its_index() {
    let (vectors, refused) = (all(), refused());
    assert_eq!(vectors.len(), 51 + 12 + 10);
    for vector in vectors {
        let outcome = Message::parse(&vector.octets, Framing::Datagram);
        assert!(agrees(&vector, &outcome), "{}: {outcome:?}", vector.file);
        assert_eq!(
            outcome.err().map(|e| e.cause),
            refused.get(vector.file.as_str()).copied(),
            "{}",
            vector.file
        );
    }
}

/// What came out of a stream: `Ok` a message, `Err` a refusal; the flag says that the stream is over.
type Seen = Vec<(Result<Vec<u8>, Cause>, bool)>;

fn through(framer: &mut Framer, pieces: &[&[u8]]) -> Seen {
    let mut seen = Vec::new();
    for piece in pieces {
        framer.push(piece);
        while let Some(framed) = framer.next() {
            match framed {
                Framed::Ping => {}
                Framed::Message(message) => seen.push((Ok(message.octets().to_vec()), false)),
                Framed::Refused(malformed) => seen.push((Err(malformed.cause), false)),
                Framed::Broken(malformed) => seen.push((Err(malformed.cause), true)),
            }
        }
    }
    seen
}

#[test]
fn every_stream_has_the_outcome_of_its_index() {
    let refused = refused();
    for Vector { file, octets, .. } in all() {
        let mut framer = Framer::new();
        let seen = through(&mut framer, &[&octets]);
        let single: Vec<_> = octets.chunks(1).collect();
        assert_eq!(seen, through(&mut Framer::new(), &single), "{file}, an octet at a time");
        match file.as_str() {
            // Never whole: the deadline of the connection ends it.
            "clerr.dat" | "baddn.dat" => assert!(seen.is_empty() && framer.is_unfinished(), "{file}"),
            "inv2543.dat" => assert_eq!(seen, [(Err(Cause::NoContentLength), true)], "{file}"),
            "ncl.dat" => assert_eq!(seen, [(Err(Cause::ContentLength), true)], "{file}"),
            "mcl01.dat" => assert_eq!(seen, [(Err(Cause::Repeated), true)], "{file}"),
            // What is behind the second body is no message.
            "dblreq.dat" => {
                let taken: Vec<_> = seen.iter().map(|(seen, over)| (seen.is_ok(), *over)).collect();
                assert_eq!(taken, [(true, false), (true, false), (false, true)]);
            }
            _ => {
                let first = seen.first().unwrap_or_else(|| panic!("{file}: nothing came out"));
                let cause = first.0.as_ref().err().copied();
                assert_eq!(cause, refused.get(file.as_str()).copied(), "{file}");
            }
        }
    }
}

#[test]
fn a_refusal_is_written_from_what_there_is() {
    let insufficient = fs::read(folder("rfc4475").join("insuf.dat")).unwrap();
    let malformed = Message::parse(&insufficient, Framing::Datagram).unwrap_err();
    let answerable = malformed.answerable.unwrap();
    let octets = Response::to(&answerable, malformed.cause.status()).to_tag("x").octets();
    let text = String::from_utf8(octets).unwrap();
    assert_eq!(
        text,
        "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf\r\n\
         CSeq: 193942 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn an_ack_is_never_answered() {
    let ack = b"ACK sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nCSeq: 1 ACK\r\n\r\n";
    assert!(Message::parse(ack, Framing::Datagram).unwrap_err().answerable.is_none());
}

#[test]
fn unusual_letters_go_back_as_they_came() {
    let octets = fs::read(folder("rfc4475").join("intmeth.dat")).unwrap();
    let message = Message::parse(&octets, Framing::Datagram).unwrap();
    let answer = Response::to(&message, 501).to_tag("ours").octets();
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        let line = octets.split(|&o| o == b'\n').find(|line| line.starts_with(name.as_bytes())).unwrap();
        assert!(answer.windows(line.len()).any(|window| window == line), "{name}");
    }
    let to = message.raw("To").next().unwrap();
    assert!(to.contains(&0) && answer.windows(to.len()).any(|window| window == &*to));
}

/// What we write, another parser reads (its limits: no IPv6, no compact names).
#[test]
fn rsip_reads_what_we_write() {
    use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};
    for vector in vectors("pbx") {
        let request = Message::parse(&vector.octets, Framing::Datagram).unwrap();
        let octets = Response::to(&request, 200)
            .to_tag("0123456789abcdef")
            .source("192.0.2.77:5099".parse().unwrap(), false)
            .record_route()
            .header("Contact", "<sip:streamkit@192.0.2.1:5060>")
            .header("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS")
            .body("application/sdp", "v=0\r\n")
            .octets();
        let theirs = rsip::Response::try_from(octets.as_slice()).unwrap();
        assert_eq!(theirs.status_code.code(), 200);
        assert_eq!(theirs.call_id_header().unwrap().value(), request.call_id());
        assert_eq!(theirs.cseq_header().unwrap().typed().unwrap().seq, request.cseq());
        assert_eq!(
            theirs.via_header().unwrap().typed().unwrap().branch().map(|b| b.to_string()).as_deref(),
            request.via().branch()
        );
        let tag = theirs.from_header().unwrap().typed().unwrap().tag().map(|tag| tag.to_string());
        assert_eq!(tag.as_deref(), request.from().tag());
        assert_eq!(theirs.to_header().unwrap().typed().unwrap().tag().unwrap().value(), "0123456789abcdef");
        assert_eq!(theirs.body, b"v=0\r\n");
    }
    let octets = invite("sip:1000@192.0.2.9", "z9hG4bKabc", "call-1", 7, b"v=0\r\n");
    let theirs = rsip::Request::try_from(octets.as_slice()).unwrap();
    assert_eq!(theirs.method, rsip::Method::Invite);
    assert_eq!(theirs.uri.to_string(), "sip:1000@192.0.2.9");
    assert_eq!(theirs.max_forwards_header().unwrap().num().unwrap(), 70);
    assert_eq!(theirs.cseq_header().unwrap().typed().unwrap(), (7, rsip::Method::Invite).into());
}

fn invite(uri: &str, branch: &str, call_id: &str, cseq: u32, body: &[u8]) -> Vec<u8> {
    Request::new(Method::Invite, uri)
        .via(Transport::Udp, "192.0.2.1:5060", branch)
        .route(["<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>"])
        .from("\"A, \\\"B\\\"\" <sip:a@example.com>;tag=1928")
        .to("<sip:b@example.com>")
        .call_id(call_id)
        .cseq(cseq)
        .contact("<sip:streamkit@192.0.2.1:5060>")
        .header("Supported", "timer, 100rel")
        .body("application/sdp", body)
        .octets()
}

/// A vector with some of its octets changed, cut out or doubled.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let seeds: Vec<Vec<u8>> = all().into_iter().map(|vector| vector.octets).collect();
    let interesting = prop::sample::select(b"\r\n \t;,=<>\"\\:@%[]/0\0\xFF".to_vec());
    let octet = prop_oneof![interesting, any::<u8>()];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), octet, 0..4u8), 0..8);
    (prop::sample::select(seeds), changes).prop_map(|(mut octets, changes)| {
        for (place, octet, how) in changes {
            let at = place.index(octets.len().max(1));
            match how {
                _ if octets.is_empty() => octets.push(octet),
                0 => octets[at] = octet,
                1 => octets.insert(at, octet),
                2 => drop(octets.remove(at)),
                _ => octets.extend_from_within(at..(at + 40).min(octets.len())),
            }
        }
        octets
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_answered_is_one_message(octets in mutated()) {
        let (request, status) = match Message::parse(&octets, Framing::Datagram) {
            Ok(message) if message.is_request() => (message, 200),
            Ok(_) => return Ok(()),
            Err(malformed) => match malformed.answerable {
                Some(message) => (*message, malformed.cause.status()),
                None => return Ok(()),
            },
        };
        let answer = Response::to(&request, status).to_tag("t").source("[::ffff:192.0.2.3]:99".parse().unwrap(), true).octets();
        // One head, as many lines as were meant, nothing behind it.
        let lines = answer.split(|&octet| octet == b'\n').count();
        let copied = ["From", "To", "Call-ID", "CSeq"].iter().filter(|name| request.raw(name).next().is_some()).count();
        prop_assert_eq!(lines, 1 + request.raw("Via").count() + copied + 1 + 2);
        if status == 200 {
            let answer = Message::parse(&answer, Framing::Stream).unwrap();
            prop_assert_eq!(answer.call_id_octets(), request.call_id_octets());
            prop_assert_eq!(answer.cseq(), request.cseq());
            prop_assert_eq!(answer.method(), request.method());
            prop_assert_eq!(answer.via().branch(), request.via().branch());
            prop_assert_eq!(answer.via().received(), Some("192.0.2.3"));
            prop_assert_eq!(answer.from(), request.from());
        }
    }

    #[test]
    fn framing_does_not_depend_on_the_pieces(
        messages in prop::collection::vec(mutated(), 1..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = messages.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut at = 0;
        for cut in cuts.into_iter().chain([stream.len()]) {
            pieces.push(&stream[at..cut]);
            at = cut;
        }
        prop_assert_eq!(through(&mut Framer::new(), &[&stream]), through(&mut Framer::new(), &pieces));
    }

    #[test]
    fn what_is_written_is_read_again(
        user in "[a-zA-Z0-9+*#_.-]{1,20}", branch in "[a-zA-Z0-9]{1,40}", call_id in "[!-~]{1,60}",
        cseq in 0..(1u32 << 31), body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (uri, branch) = (format!("sip:{user}@[2001:db8::1]:5062;transport=tcp"), format!("z9hG4bK{branch}"));
        let octets = invite(&uri, &branch, &call_id, cseq, &body);
        let message = Message::parse(&octets, Framing::Stream).unwrap();
        prop_assert_eq!(message.request_uri().unwrap().as_str(), uri);
        prop_assert_eq!(message.request_uri().unwrap().user(), Some(user.as_str()));
        prop_assert_eq!(message.via().branch(), Some(branch.as_str()));
        prop_assert!(message.via().rport_asked());
        prop_assert_eq!(message.call_id(), call_id);
        prop_assert_eq!(message.cseq(), cseq);
        prop_assert_eq!(message.from().display.as_deref(), Some("A, \"B\""));
        prop_assert_eq!(message.list("Route").len(), 2);
        prop_assert_eq!(message.body(), body);
        prop_assert_eq!(message.content_type(), Some("application/sdp".to_owned()));
    }

    #[test]
    fn no_value_of_ours_makes_a_line(value in "\\PC*[\r\n\0\u{7f}]{1,3}X-Evil: 1\\PC*") {
        let request = Message::parse(&invite("sip:a@b", "z9hG4bK1", "c", 1, b""), Framing::Datagram).unwrap();
        let octets = Response::to(&request, 200).reason_phrase(value.as_str()).header("X-Ours", value.as_str())
            .body(value.as_str(), "").octets();
        let answer = Message::parse(&octets, Framing::Stream).unwrap();
        prop_assert!(answer.header("X-Evil").is_none());
        prop_assert!(octets.iter().all(|&octet| octet >= b' ' && octet != 0x7F || matches!(octet, b'\r' | b'\n' | b'\t')));
    }
}
