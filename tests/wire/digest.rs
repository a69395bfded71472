//! A trunk that asks who is there: proofs are reckoned here, not by the product (RFC 7616, RFC 8760).

use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use sha2::Sha256;
use streamkit::lab::bot::Script;
use streamkit::sip::Transport;

use crate::kit::{Node, Wanted, beside, bot, over};
use crate::raw::{Telephone, to_tag};
use crate::sipp::Scene;

const USERS: &str = "digest_users = [{ user = \"pbx\", password = \"s3cret\" }]";
/// For those that look at the first challenge only.
const OLD: &str = "digest_users = [{ user = \"pbx\", password = \"s3cret\" }]\ndigest_algorithms = [\"md5\"]";

fn hash(algorithm: &str, text: &str) -> String {
    let octets: Vec<u8> = match algorithm {
        "MD5" => Md5::digest(text.as_bytes()).to_vec(),
        _ => Sha256::digest(text.as_bytes()).to_vec(),
    };
    octets.iter().fold(String::new(), |mut hex, octet| {
        write!(hex, "{octet:02x}").expect("a string takes everything");
        hex
    })
}

/// The value of a parameter of the challenge with this algorithm.
fn parameter(refusal: &str, algorithm: &str, name: &str) -> String {
    let is = |line: &&str| line.starts_with("WWW-Authenticate: Digest ") && line.contains(algorithm);
    let line = refusal.lines().find(is).unwrap_or_else(|| panic!("no {algorithm}: {refusal}"));
    let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name}: {line}"));
    rest.split('"').next().expect("a value").to_owned()
}

/// An Authorization line for an INVITE that was refused so.
fn proof(refusal: &str, algorithm: &str, user: &str, password: &str, uri: &str) -> String {
    let [realm, nonce] = ["realm", "nonce"].map(|name| parameter(refusal, algorithm, name));
    let h = |text: String| hash(algorithm, &text);
    let (a1, a2) = (h(format!("{user}:{realm}:{password}")), h(format!("INVITE:{uri}")));
    let response = h(format!("{a1}:{nonce}:00000001:c0ffee:auth:{a2}"));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm={algorithm}, cnonce=\"c0ffee\", qop=auth, nc=00000001\r\n"
    )
}

/// A telephone that calls twice: without a proof and, once challenged, with one.
struct Asked {
    telephone: Telephone,
    uri: String,
    refusal: String,
}

impl Asked {
    async fn by(node: &Node) -> Self {
        let to = node.sip(Transport::Udp);
        let telephone = Telephone::facing(to).await;
        telephone.send(&telephone.invite()).await;
        let refusal = telephone.answered("SIP/2.0 401").await.pop().expect("a challenge");
        let tag = to_tag(&refusal);
        telephone.send(&telephone.request("ACK", "1 ACK", "z9hG4bKonce", &tag, "")).await;
        Self { telephone, uri: format!("sip:01512340321@{to}"), refusal }
    }

    fn prove(&self, algorithm: &str, user: &str, password: &str) -> String {
        proof(&self.refusal, algorithm, user, password, &self.uri)
    }

    /// Calls with this proof; the first answer that begins so.
    async fn call(&self, proof: &str, expected: &str) -> String {
        let invite =
            self.telephone.invite().replace("CSeq: 1 ", "CSeq: 2 ").replace("z9hG4bKonce", "z9hG4bKtwice");
        let invite = invite.replace("Max-Forwards:", &format!("{proof}Max-Forwards:"));
        self.telephone.send(&invite).await;
        let answer = self.telephone.answered(expected).await.pop().expect("an answer");
        let branch = if expected.ends_with("200") { "z9hG4bKack" } else { "z9hG4bKtwice" };
        self.telephone.send(&self.telephone.request("ACK", "2 ACK", branch, &to_tag(&answer), "")).await;
        answer
    }

    /// Nobody is asked again inside the call.
    async fn hang_up(&self, answer: &str) {
        self.telephone.send(&self.telephone.request("BYE", "3 BYE", "z9hG4bKbye", &to_tag(answer), "")).await;
        let bye = self.telephone.answered("SIP/2.0 200").await.pop().expect("an answer");
        assert!(bye.contains("CSeq: 3 BYE"), "{bye}");
    }
}

#[test]
fn a_pbx_proves_who_it_is_by_either_algorithm_and_once_by_each_challenge() {
    beside(&[], async {
        let echo = bot(Script::echo()).await;
        let node = Node::start_beside(&Wanted { trunk: USERS, ..Wanted::leading_to(&echo, "/media") }).await;
        for (count, algorithm) in ["MD5", "SHA-256"].into_iter().enumerate() {
            let asked = Asked::by(&node).await;
            let proof = asked.prove(algorithm, "pbx", "s3cret");
            let answer = asked.call(&proof, "SIP/2.0 200").await;
            asked.hang_up(&answer).await;
            assert_eq!(over(&echo, count + 1).await.len(), count + 1);
            // overheard and said again by another: its count has been seen
            Asked::by(&node).await.call(&proof, "SIP/2.0 401").await;
        }
        node.cdrs(2).await;
        node.is_idle().await;
        node.stop().await;
    });
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_told_the_same() {
    beside(&[], async {
        let echo = bot(Script::echo()).await;
        let node = Node::start_beside(&Wanted { trunk: USERS, ..Wanted::leading_to(&echo, "/media") }).await;
        let mut told = Vec::new();
        for (user, password) in [("pbx", "guess"), ("nobody", "s3cret")] {
            let asked = Asked::by(&node).await;
            let proof = asked.prove("SHA-256", user, password);
            let refusal = asked.call(&proof, "SIP/2.0 401").await;
            let names =
                refusal.lines().map(|line| line.split([':', '=']).next().unwrap_or_default().to_owned());
            told.push((names.collect::<Vec<_>>(), refusal.contains("stale=true")));
        }
        assert_eq!(told[0], told[1]);
        assert!(echo.transcripts().is_empty(), "no bot is asked for a stranger's sake");
        node.cdrs(0).await;
        node.is_idle().await;
        node.stop().await;
    });
}

/// sipp 3.6 knows MD5 only, and looks at the first challenge only: as older PBXs do.
#[test]
fn sipp_proves_who_it_is_where_md5_is_asked_for() {
    beside(&["sipp"], async {
        let echo = bot(Script::echo()).await;
        let node = Node::start_beside(&Wanted { trunk: OLD, ..Wanted::leading_to(&echo, "/media") }).await;
        let known = |name, password| Scene::new(name).with(&["-au", "pbx", "-ap", password]);
        known("digest", "s3cret").play(node.sip(Transport::Udp)).succeeds().await;
        known("digest_wrong", "guess").play(node.sip(Transport::Udp)).succeeds().await;
        assert_eq!(over(&echo, 1).await.len(), 1);
        node.cdrs(1).await;
        node.stop().await;
    });
}
