//! Answers to challenges of our requests (RFC 3261 §22.2, §22.3, reliability R-25).

use super::{Algorithm, Challenge, Proof, fields};
use crate::ids::Entropy;
use crate::sip::Credentials;
use crate::sip::message::Message;

/// Servers between us and the far end that may each ask.
const MAX_PASSES: usize = 4;

/// What one call, or one target, was asked so far, and who we are there.
#[derive(Clone, Debug)]
pub struct Login {
    credentials: Credentials,
    passes: Vec<Pass>,
}

/// One server's challenge.
#[derive(Clone, Debug)]
struct Pass {
    proxy: bool,
    challenge: Challenge,
    algorithm: Algorithm,
    /// Requests that carried it.
    count: u32,
}

/// What was tried for one request: each server is answered once, once more when it only called the nonce stale.
#[derive(Clone, Debug, Default)]
pub struct Tries {
    answered: Vec<(bool, String)>,
    stale: bool,
}

impl Login {
    /// Of that user, not asked yet.
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, passes: Vec::new() }
    }

    /// A request was answered 401 or 407. Whether it is worth sending again, with what `headers` then gives.
    pub fn challenged(&mut self, response: &Message, tries: &mut Tries) -> bool {
        let mut asked: Vec<Pass> = Vec::new();
        for (proxy, challenge) in fields::challenges(response) {
            let Some(algorithm) = challenge.algorithm.filter(|_| self.may_answer(&challenge)) else {
                continue;
            };
            let pass = Pass { proxy, challenge, algorithm, count: 0 };
            match asked.iter().position(|other| other.is_for(&pass)) {
                Some(at) if asked[at].algorithm < algorithm => asked[at] = pass,
                None if asked.len() < MAX_PASSES => asked.push(pass),
                Some(_) | None => {}
            }
        }
        if asked.is_empty() || !asked.iter().all(|pass| tries.allow(pass)) {
            return false;
        }
        for pass in asked {
            self.passes.retain(|old| !old.is_for(&pass));
            if self.passes.len() == MAX_PASSES {
                self.passes.remove(0);
            }
            self.passes.push(pass);
        }
        true
    }

    /// The header fields that a request carries to all who have asked so far.
    pub fn headers(&mut self, method: &str, uri: &str, entropy: &mut Entropy) -> Vec<(&'static str, String)> {
        let credentials = &self.credentials;
        self.passes.iter_mut().map(|pass| pass.header(credentials, method, uri, entropy)).collect()
    }

    /// `qop` of `auth-int` alone is refused: what it signs is the body, and relays change bodies.
    fn may_answer(&self, challenge: &Challenge) -> bool {
        let realm = self.credentials.realm.as_ref().is_none_or(|realm| *realm == challenge.realm);
        realm && challenge.auth != Some(false)
    }
}

impl Tries {
    fn allow(&mut self, pass: &Pass) -> bool {
        let who = (pass.proxy, pass.challenge.realm.clone());
        if !self.answered.contains(&who) {
            self.answered.push(who);
            return self.answered.len() <= MAX_PASSES;
        }
        pass.challenge.stale && !std::mem::replace(&mut self.stale, true)
    }
}

impl Pass {
    fn is_for(&self, other: &Self) -> bool {
        self.proxy == other.proxy && self.challenge.realm == other.challenge.realm
    }

    fn header(
        &mut self,
        credentials: &Credentials,
        method: &str,
        uri: &str,
        entropy: &mut Entropy,
    ) -> (&'static str, String) {
        self.count = self.count.saturating_add(1);
        let (nc, cnonce) = (format!("{:08x}", self.count), entropy.token());
        let asked = &self.challenge;
        let proof = Proof {
            algorithm: self.algorithm,
            realm: &asked.realm,
            nonce: &asked.nonce,
            method,
            uri,
            counted: asked.auth.map(|_| (nc.as_str(), cnonce.as_str())),
        };
        let response = proof.response(&credentials.user, &credentials.password);
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\", algorithm={}",
            escaped(&credentials.user),
            asked.realm,
            asked.nonce,
            self.algorithm.as_str()
        );
        if asked.auth.is_some() {
            value.push_str(&format!(", qop=auth, nc={nc}, cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &asked.opaque {
            value.push_str(&format!(", opaque=\"{opaque}\""));
        }
        (if self.proxy { "Proxy-Authorization" } else { "Authorization" }, value)
    }
}

fn escaped(user: &str) -> String {
    user.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Framing;

    fn refusal(status: &str, lines: &str) -> Message {
        let text = format!(
            "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.as_bytes(), Framing::Datagram).unwrap()
    }

    fn login(realm: Option<&str>) -> Login {
        let (user, password) = ("us\"er".to_owned(), "secret".to_owned());
        Login::new(Credentials { user, password, realm: realm.map(str::to_owned) })
    }

    fn headers(login: &mut Login) -> Vec<(&'static str, String)> {
        login.headers("INVITE", "sip:b@h", &mut Entropy::seeded(1))
    }

    #[test]
    fn the_strongest_of_one_realm_is_answered_and_counted() {
        let asked = refusal(
            "401 Unauthorized",
            "WWW-Authenticate: Digest realm=\"r\",nonce=\"m\",qop=\"auth\",algorithm=MD5\r\n\
             WWW-Authenticate: Digest realm=\"r\",nonce=\"s\",qop=\"auth,auth-int\",algorithm=SHA-256,opaque=\"o\"\r\n\
             WWW-Authenticate: Digest realm=\"r\",nonce=\"x\",qop=\"auth\",algorithm=SHA-999\r\n",
        );
        let (mut login, mut tries) = (login(None), Tries::default());
        assert!(login.challenged(&asked, &mut tries));
        let (name, value) = headers(&mut login).remove(0);
        assert_eq!(name, "Authorization");
        for part in [
            "username=\"us\\\"er\"",
            "nonce=\"s\"",
            "algorithm=SHA-256",
            "qop=auth,",
            "nc=00000001",
            "opaque=\"o\"",
        ] {
            assert!(value.contains(part), "{part} in {value}");
        }
        assert!(headers(&mut login)[0].1.contains("nc=00000002"));
        assert!(!login.challenged(&asked, &mut tries), "a second refusal ends it");
        assert!(login.challenged(&asked, &mut Tries::default()), "of another request it is the first");
        assert!(headers(&mut login)[0].1.contains("nc=00000001"));
    }

    #[test]
    fn a_stale_nonce_is_answered_once_more_and_a_proxy_apart() {
        let first = refusal("407 P", "Proxy-Authenticate: Digest realm=\"r\",nonce=\"1\"\r\n");
        let stale = refusal("407 P", "Proxy-Authenticate: Digest realm=\"r\",nonce=\"2\",stale=true\r\n");
        let inner = refusal("401 U", "WWW-Authenticate: Digest realm=\"r\",nonce=\"3\"\r\n");
        let (mut login, mut tries) = (login(Some("r")), Tries::default());
        assert!(login.challenged(&first, &mut tries) && login.challenged(&stale, &mut tries));
        assert!(!login.challenged(&stale, &mut tries));
        assert!(login.challenged(&inner, &mut tries));
        let written = headers(&mut login);
        assert_eq!(
            written.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["Proxy-Authorization", "Authorization"]
        );
        assert!(written[0].1.contains("nonce=\"2\"") && !written[0].1.contains("qop"));
    }

    #[test]
    fn another_realm_than_the_configured_and_auth_int_alone_are_not_answered() {
        let asked =
            |params: &str| refusal("401 U", &format!("WWW-Authenticate: Digest nonce=\"n\",{params}\r\n"));
        let may = |realm, params: &str| login(realm).challenged(&asked(params), &mut Tries::default());
        assert!(may(Some("r"), "realm=\"r\"") && may(None, "realm=\"other\""));
        assert!(!may(Some("r"), "realm=\"other\""));
        assert!(!may(None, "realm=\"r\",qop=\"auth-int\""));
        assert!(!may(None, "realm=\"r\",algorithm=MD5-sess"));
    }
}
