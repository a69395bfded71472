//! Digest authentication (RFC 7616, RFC 8760, RFC 2617), both sides.
//!
//! ```text
//!  401, 407 ──► Challenge ──► client::Login ──► Authorization      of requests of ours (R-25)
//!  request  ──► Answer ─────► server::Door ──► pass, or 401        of what a trunk sends us (R-24)
//! ```
//!
//! What is hashed is the inside of a quoted string as it stands on the wire: two ends that unescape
//! differently would never agree.

pub mod client;
mod fields;
pub mod server;

pub use client::{Login, Tries};
pub use fields::{Answer, Challenge};
pub use server::{Admission, Door};

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

/// Hash functions we have, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `MD5`, and what a challenge without algorithm means.
    Md5,
    /// `SHA-256`.
    Sha256,
    /// `SHA-512-256`.
    Sha512Trunc256,
}

impl Algorithm {
    /// As in `algorithm=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512Trunc256 => "SHA-512-256",
        }
    }

    /// The one of that name, in any case. The `-sess` variants bind a session to one nonce; nobody uses them in SIP.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256, Self::Sha512Trunc256]
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    /// Of the parts joined by colons, in hexadecimal.
    fn hash(self, parts: &[&str]) -> String {
        match self {
            Self::Md5 => digest::<Md5>(parts),
            Self::Sha256 => digest::<Sha256>(parts),
            Self::Sha512Trunc256 => digest::<Sha512_256>(parts),
        }
    }
}

fn digest<D: Digest>(parts: &[&str]) -> String {
    let mut hasher = D::new();
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            hasher.update(b":");
        }
        hasher.update(part.as_bytes());
    }
    hex(&hasher.finalize())
}

fn hex(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 0xF)]);
    octets.iter().flat_map(|octet| [digit(octet >> 4), digit(*octet)]).collect()
}

/// What goes into a response besides the secret.
#[derive(Clone, Copy, Debug)]
struct Proof<'a> {
    algorithm: Algorithm,
    realm: &'a str,
    nonce: &'a str,
    method: &'a str,
    uri: &'a str,
    /// With `qop=auth`: nc and cnonce as they stand on the wire. Without qop: absent (RFC 2617 §3.2.2.1).
    counted: Option<(&'a str, &'a str)>,
}

impl Proof<'_> {
    /// The response of that user (RFC 7616 §3.4.1).
    fn response(&self, user: &str, password: &str) -> String {
        let hash = |parts: &[&str]| self.algorithm.hash(parts);
        let secret = hash(&[user, self.realm, password]);
        let asked = hash(&[self.method, self.uri]);
        match self.counted {
            Some((nc, cnonce)) => hash(&[&secret, self.nonce, nc, cnonce, "auth", &asked]),
            None => hash(&[&secret, self.nonce, &asked]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2617_3_5_comes_out() {
        let proof = Proof {
            algorithm: Algorithm::Md5,
            realm: "testrealm@host.com",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            method: "GET",
            uri: "/dir/index.html",
            counted: Some(("00000001", "0a4f113b")),
        };
        assert_eq!(proof.response("Mufasa", "Circle Of Life"), "6629fae49393a05397450978507c4ef1");
        let without_qop = Proof { counted: None, ..proof };
        assert_eq!(without_qop.response("Mufasa", "Circle Of Life"), "670fd8c2df070c60b045671b8b24ff02");
    }

    #[test]
    fn the_examples_of_rfc_7616_3_9_1_come_out() {
        let of = |algorithm| Proof {
            algorithm,
            realm: "http-auth@example.org",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            method: "GET",
            uri: "/dir/index.html",
            counted: Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")),
        };
        let response = |algorithm| of(algorithm).response("Mufasa", "Circle of Life");
        assert_eq!(response(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            response(Algorithm::Sha256),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    /// RFC 7616 §3.9.2: the user is hashed there too, and the response is what its erratum 4897 gives.
    #[test]
    fn the_example_of_rfc_7616_3_9_2_comes_out_in_sha_512_256() {
        let user = Algorithm::Sha512Trunc256.hash(&["J\u{e4}s\u{f8}n Doe", "api@example.org"]);
        assert_eq!(user, "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b");
        let proof = Proof {
            algorithm: Algorithm::Sha512Trunc256,
            realm: "api@example.org",
            nonce: "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            method: "GET",
            uri: "/doe.json",
            counted: Some(("00000001", "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v")),
        };
        let response = proof.response("J\u{e4}s\u{f8}n Doe", "Secret, or not?");
        assert_eq!(response, "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
    }

    #[test]
    fn a_session_variant_is_an_algorithm_we_have_not() {
        assert_eq!(Algorithm::of_name("sha-256"), Some(Algorithm::Sha256));
        assert_eq!((Algorithm::of_name("MD5-sess"), Algorithm::of_name("")), (None, None));
    }
}
