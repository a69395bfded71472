//! Who may send besides having the right address (reliability R-24).
//!
//! A nonce is the time it was made, a number, and both with its source under a secret of this process: nothing is
//! kept of a challenge. What is kept is how often a nonce was used, by those who answered it rightly.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Algorithm, Answer, Proof, hex};
use crate::ids::Entropy;
use crate::sip::Credentials;
use crate::sip::message::{Message, Uri};

/// A nonce is taken so long.
const FRESH: Duration = Duration::from_secs(30);
/// Nonces whose use is counted at once; while all are in use a further one is called stale.
const NONCES: usize = 16_384;
/// Wrong answers of one source in `FAILURE_SPAN`; then nothing it says is looked at.
const FAILURES: u32 = 10;
const FAILURE_SPAN: Duration = Duration::from_secs(60);
/// Sources whose wrong answers are counted at once.
const SOURCES: usize = 4096;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is who it says.
    Pass,
    /// It is asked who it is: 401.
    Challenge {
        /// Its answer was right, its nonce too old.
        stale: bool,
    },
    /// It was wrong too often: 403.
    Barred,
    /// It answers for another Request-URI than it asks for: 400.
    OtherUri,
}

/// Asks and remembers.
#[derive(Debug)]
pub struct Door {
    secret: [u8; 32],
    made: u64,
    epoch: Option<Instant>,
    used: HashMap<Box<str>, (Instant, u32)>,
    failures: HashMap<IpAddr, (Instant, u32)>,
}

impl Door {
    /// With a secret of its own.
    pub fn new(entropy: &mut Entropy) -> Self {
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        Self { secret, made: 0, epoch: None, used: HashMap::new(), failures: HashMap::new() }
    }

    /// Values of the WWW-Authenticate fields of a 401, one for each way, in their order (RFC 8760 §2.4).
    pub fn challenges(
        &mut self,
        now: Instant,
        source: IpAddr,
        realm: &str,
        ways: &[Algorithm],
        stale: bool,
    ) -> Vec<String> {
        self.made += 1;
        let at = self.since_epoch(now);
        let nonce = self.nonce(at, self.made, source);
        let stale = if stale { ", stale=true" } else { "" };
        let one = |algorithm: Algorithm| {
            let name = algorithm.as_str();
            format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={name}, qop=\"auth\"{stale}")
        };
        ways.iter().copied().map(one).collect()
    }

    /// Whether a request that came from there is one of these users', proven in one of these ways.
    pub fn judge(
        &mut self,
        now: Instant,
        source: IpAddr,
        realm: &str,
        (users, ways): (&[Credentials], &[Algorithm]),
        request: &Message,
    ) -> Admission {
        if self.is_barred(now, source) {
            return Admission::Barred;
        }
        let answer = Answer::of(request)
            .into_iter()
            .find(|answer| answer.realm == realm && is_asked_for(answer, ways));
        let Some(answer) = answer else { return Admission::Challenge { stale: false } };
        if !is_for(&answer.uri, request.request_uri()) {
            return Admission::OtherUri;
        }
        let made = self.made_at(&answer.nonce, source);
        if !is_right(&answer, users, request.method().as_str()) {
            // A nonce that is none of ours, or another source's, is no guess at a password.
            if made.is_some() {
                self.count_failure(now, source);
            }
            return Admission::Challenge { stale: false };
        }
        let Some(made) = made else { return Admission::Challenge { stale: true } };
        let old = self.since_epoch(now).saturating_sub(made) > FRESH.as_millis() as u64;
        if old || !self.count_use(now, &answer) {
            Admission::Challenge { stale: true }
        } else {
            Admission::Pass
        }
    }

    /// Each use of a nonce counts up; one without a count is good for one use.
    fn count_use(&mut self, now: Instant, answer: &Answer) -> bool {
        let count = match &answer.counted {
            Some((_, nc, _)) => u32::from_str_radix(nc, 16).unwrap_or(0),
            None => 1,
        };
        if self.used.len() >= NONCES && !self.used.contains_key(answer.nonce.as_str()) {
            self.used.retain(|_, (until, _)| *until > now);
            if self.used.len() >= NONCES {
                return false;
            }
        }
        let (_, last) = self.used.entry(answer.nonce.as_str().into()).or_insert((now + FRESH + FRESH, 0));
        let fresh = count > *last;
        *last = count.max(*last);
        fresh
    }

    fn is_barred(&mut self, now: Instant, source: IpAddr) -> bool {
        let barred = self.failures.get(&source).copied();
        match barred {
            Some((since, _)) if now.duration_since(since) >= FAILURE_SPAN => {
                self.failures.remove(&source);
                false
            }
            Some((_, count)) => count >= FAILURES,
            None => false,
        }
    }

    fn count_failure(&mut self, now: Instant, source: IpAddr) {
        if self.failures.len() >= SOURCES && !self.failures.contains_key(&source) {
            self.failures.retain(|_, (since, _)| now.duration_since(*since) < FAILURE_SPAN);
            if self.failures.len() >= SOURCES {
                return;
            }
        }
        let (_, count) = self.failures.entry(source).or_insert((now, 0));
        *count = count.saturating_add(1);
    }

    /// Milliseconds, so that a nonce tells no clock.
    fn since_epoch(&mut self, now: Instant) -> u64 {
        let epoch = *self.epoch.get_or_insert(now);
        now.saturating_duration_since(epoch).as_millis() as u64
    }

    fn nonce(&self, at: u64, number: u64, source: IpAddr) -> String {
        format!("{at:016x}{number:016x}{}", self.seal(at, number, source))
    }

    /// When a nonce of ours was made for that source.
    fn made_at(&self, nonce: &str, source: IpAddr) -> Option<u64> {
        let part = |from: usize, to: usize| u64::from_str_radix(nonce.get(from..to)?, 16).ok();
        let (at, number) = (part(0, 16)?, part(16, 32)?);
        let same: bool = nonce.as_bytes().ct_eq(self.nonce(at, number, source).as_bytes()).into();
        same.then_some(at)
    }

    /// HMAC-SHA-256 (RFC 2104), its first half.
    fn seal(&self, at: u64, number: u64, source: IpAddr) -> String {
        let padded = |pad: u8| {
            let mut block = [pad; 64];
            block.iter_mut().zip(self.secret).for_each(|(octet, key)| *octet ^= key);
            Sha256::new().chain_update(block)
        };
        let said = format!("{at}:{number}:{source}");
        let inner = padded(0x36).chain_update(said.as_bytes()).finalize();
        let mut seal = hex(&padded(0x5C).chain_update(inner).finalize());
        seal.truncate(32);
        seal
    }
}

/// Whether it is answered in a way we asked for.
fn is_asked_for(answer: &Answer, ways: &[Algorithm]) -> bool {
    answer.algorithm.is_some_and(|algorithm| ways.contains(&algorithm))
        && answer.counted.as_ref().is_none_or(|(qop, ..)| qop.eq_ignore_ascii_case("auth"))
}

/// Every user is compared, and one that is not there is hashed like one that is: the time tells nothing.
fn is_right(answer: &Answer, users: &[Credentials], method: &str) -> bool {
    let Some(algorithm) = answer.algorithm else { return false };
    let counted = answer.counted.as_ref().map(|(_, nc, cnonce)| (nc.as_str(), cnonce.as_str()));
    let proof =
        Proof { algorithm, realm: &answer.realm, nonce: &answer.nonce, method, uri: &answer.uri, counted };
    let known = users.iter().find(|user| user.user == answer.user);
    let expected = proof.response(&answer.user, known.map_or("", |user| user.password.as_str()));
    let same: bool = expected.as_bytes().ct_eq(answer.response.to_ascii_lowercase().as_bytes()).into();
    same & known.is_some()
}

/// Relays write hosts and ports anew; the number that is called is what the answer vouches for. Some name their registrar
/// alone (sipp does): nobody can use that answer again, for its nonce is its source's and each use of it is counted.
fn is_for(vouched: &str, asked: Option<&Uri>) -> bool {
    let Some(asked) = asked else { return false };
    let same = |user: String| user.is_empty() || user == asked.user_part();
    vouched == asked.as_str() || Uri::parse(vouched.as_bytes()).is_ok_and(|uri| same(uri.user_part()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a beginning for simulated time
mod tests {
    use super::*;
    use crate::sip::auth::{Login, Tries};
    use crate::sip::message::Framing;

    const REALM: &str = "pbx";
    const BOTH: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Md5];
    const STRICT: [Algorithm; 1] = [Algorithm::Sha256];

    fn users() -> Vec<Credentials> {
        vec![Credentials { user: "alice".to_owned(), password: "secret".to_owned(), realm: None }]
    }

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn invite(lines: &str) -> Message {
        let text = format!(
            "INVITE sip:bot@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.as_bytes(), Framing::Datagram).unwrap()
    }

    /// A client that is asked, and what it then sends; again and again.
    fn asked(door: &mut Door, now: Instant, user: &str, password: &str) -> Login {
        let challenges: String = door
            .challenges(now, source(1), REALM, &BOTH, false)
            .iter()
            .map(|value| format!("WWW-Authenticate: {value}\r\n"))
            .collect();
        let text = format!(
            "SIP/2.0 401 U\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\n{challenges}Content-Length: 0\r\n\r\n"
        );
        let refusal = Message::parse(text.as_bytes(), Framing::Datagram).unwrap();
        let credentials = Credentials { user: user.to_owned(), password: password.to_owned(), realm: None };
        let mut login = Login::new(credentials);
        assert!(login.challenged(&refusal, &mut Tries::default()));
        login
    }

    fn answered(login: &mut Login, uri: &str) -> Message {
        let (name, value) = login.headers("INVITE", uri, &mut Entropy::seeded(3)).remove(0);
        invite(&format!("{name}: {value}\r\n"))
    }

    fn door() -> (Door, Instant) {
        (Door::new(&mut Entropy::seeded(9)), Instant::now())
    }

    const AGAIN: Admission = Admission::Challenge { stale: false };
    const STALE: Admission = Admission::Challenge { stale: true };

    #[test]
    fn the_right_answer_passes_once_for_each_count() {
        let (mut door, now) = door();
        assert_eq!(door.judge(now, source(1), REALM, (&users(), &BOTH), &invite("")), AGAIN);
        let mut login = asked(&mut door, now, "alice", "secret");
        let first = answered(&mut login, "sip:bot@h");
        assert!(first.header("Authorization").unwrap().contains("SHA-256"));
        assert_eq!(door.judge(now, source(1), REALM, (&users(), &BOTH), &first), Admission::Pass);
        assert_eq!(
            door.judge(now, source(1), REALM, (&users(), &BOTH), &first),
            STALE,
            "a copy of it is a replay"
        );
        let second = answered(&mut login, "sip:bot@h");
        assert_eq!(door.judge(now, source(1), REALM, (&users(), &BOTH), &second), Admission::Pass);
    }

    #[test]
    fn a_nonce_is_good_for_30_s_and_for_its_source() {
        let (mut door, now) = door();
        let mut login = asked(&mut door, now, "alice", "secret");
        let (one, two) = (answered(&mut login, "sip:bot@h"), answered(&mut login, "sip:bot@h"));
        assert_eq!(door.judge(now, source(2), REALM, (&users(), &BOTH), &one), STALE);
        assert_eq!(door.judge(now + FRESH, source(1), REALM, (&users(), &BOTH), &one), Admission::Pass);
        assert_eq!(
            door.judge(now + FRESH + Duration::from_millis(1), source(1), REALM, (&users(), &BOTH), &two),
            STALE
        );
    }

    #[test]
    fn an_unknown_user_and_a_wrong_password_get_the_same_answer_until_there_are_too_many() {
        let (mut door, now) = door();
        for (user, password) in
            [("alice", "wrong"), ("mallory", "secret"), ("mallory", "")].iter().cycle().take(10)
        {
            let request = answered(&mut asked(&mut door, now, user, password), "sip:bot@h");
            assert_eq!(door.judge(now, source(1), REALM, (&users(), &BOTH), &request), AGAIN);
        }
        let right = answered(&mut asked(&mut door, now, "alice", "secret"), "sip:bot@h");
        assert_eq!(door.judge(now, source(1), REALM, (&users(), &BOTH), &right), Admission::Barred);
        assert_eq!(door.judge(now + FRESH, source(2), REALM, (&users(), &BOTH), &invite("")), AGAIN);
        let later = now + FAILURE_SPAN;
        let right = answered(&mut asked(&mut door, later, "alice", "secret"), "sip:bot@h");
        assert_eq!(door.judge(later, source(1), REALM, (&users(), &BOTH), &right), Admission::Pass);
    }

    #[test]
    fn an_answer_for_another_number_is_none() {
        let (mut door, now) = door();
        let mut login = asked(&mut door, now, "alice", "secret");
        let other = answered(&mut login, "sip:premium@h");
        assert_eq!(door.judge(now, source(1), REALM, (&users(), &BOTH), &other), Admission::OtherUri);
        for relayed in ["sip:bot@proxy.example:5070;x=y", "sip:192.0.2.1:5060"] {
            let relayed = answered(&mut login, relayed);
            assert_eq!(door.judge(now, source(1), REALM, (&users(), &BOTH), &relayed), Admission::Pass);
        }
    }

    #[test]
    fn md5_may_be_switched_off() {
        let now = Instant::now();
        let mut door = Door::new(&mut Entropy::seeded(9));
        assert_eq!(door.challenges(now, source(1), REALM, &STRICT, true).len(), 1);
        let nonce = door.nonce(0, 1, source(1));
        let proof = Proof {
            algorithm: Algorithm::Md5,
            realm: REALM,
            nonce: &nonce,
            method: "INVITE",
            uri: "sip:bot@h",
            counted: None,
        };
        let response = proof.response("alice", "secret");
        let request = invite(&format!(
            "Authorization: Digest username=\"alice\",realm=\"pbx\",nonce=\"{nonce}\",uri=\"sip:bot@h\",response=\"{response}\"\r\n"
        ));
        assert_eq!(door.judge(now, source(1), REALM, (&users(), &STRICT), &request), AGAIN);
        assert_eq!(door.judge(now, source(1), REALM, (&users(), &BOTH), &request), Admission::Pass);
        assert_eq!(
            door.judge(now, source(1), REALM, (&users(), &BOTH), &request),
            STALE,
            "without a count, once"
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut door, now) = door();
        for n in 0..20_000_u32 {
            door.count_failure(now, IpAddr::from(n.to_be_bytes()));
        }
        assert_eq!(door.failures.len(), SOURCES);
    }
}
