//! Keys told encrypted (agentstream.md section 5.4): AES-256-GCM under the account's key, with the StreamSID as
//! associated data. `dtmf.encrypted` is base64 of nonce (12), ciphertext (1) and tag (16).

use std::fmt;

use base64_simd::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::ids::Entropy;
use crate::units::Digit;

/// An account's `dtmf_key`: 32 octets. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct DtmfKey([u8; 32]);

impl DtmfKey {
    /// Reads 64 hexadecimal digits, or base64 in either alphabet, with or without padding.
    ///
    /// # Errors
    /// What is wrong with it, without a part of it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let octets = match text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            true => from_hex(text),
            false => from_base64(text),
        };
        let octets = octets.ok_or("it is neither hexadecimal nor base64")?;
        octets.try_into().map(Self).map_err(|_| "it is not 32 octets long")
    }
}

impl fmt::Debug for DtmfKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DtmfKey(…)")
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let standard = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    base64_simd::STANDARD_NO_PAD.decode_to_vec(standard).ok()
}

/// How one stream's keys are told.
#[derive(Debug, Default)]
pub enum Keys {
    /// As they are.
    #[default]
    Clear,
    /// Encrypted.
    Sealed(Box<Cipher>),
    /// Not at all: they are to be encrypted and there is no key.
    Withheld,
}

impl Keys {
    /// Encrypted if that is asked for; `key` is the account's, nonces are drawn from `chance`.
    pub fn of(encrypt: bool, key: Option<&DtmfKey>, chance: Entropy) -> Self {
        match (encrypt, key) {
            (false, _) => Self::Clear,
            (true, Some(key)) => Self::Sealed(Box::new(Cipher::new(key, chance))),
            (true, None) => Self::Withheld,
        }
    }
}

/// Encrypts the keys of one stream.
pub struct Cipher {
    key: LessSafeKey,
    chance: Entropy,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(…)")
    }
}

impl Cipher {
    /// Under this key; nonces are drawn from `chance`.
    ///
    /// # Panics
    /// Never: the key has the length of the algorithm.
    pub fn new(key: &DtmfKey, chance: Entropy) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &key.0).expect("32 octets are a key of AES-256");
        Self { key: LessSafeKey::new(key), chance }
    }

    /// What stands in `dtmf.encrypted` of this stream for this key; nothing if the library fails, which it does for
    /// texts of gigabytes alone.
    pub(super) fn seal(&mut self, digit: Digit, stream_sid: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        self.chance.fill(&mut nonce);
        let mut text = [u8::try_from(digit.as_char()).ok()?];
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(stream_sid.as_bytes()),
                &mut text,
            )
            .ok()?;
        let sealed: Vec<u8> = nonce.iter().chain(&text).chain(tag.as_ref()).copied().collect();
        Some(STANDARD.encode_to_string(sealed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";

    /// As a bot does it.
    fn open(sealed: &str, sid: &str) -> Option<String> {
        let mut octets = STANDARD.decode_to_vec(sealed).expect("base64");
        let mut rest = octets.split_off(NONCE_LEN);
        let key: Vec<u8> = (0..32).collect();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key"));
        let nonce = Nonce::try_assume_unique_for_key(&octets).expect("12 octets");
        let text = key.open_in_place(nonce, Aad::from(sid.as_bytes()), &mut rest).ok()?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    #[test]
    fn what_is_sealed_opens_with_the_key_and_the_stream_it_is_for() {
        let mut cipher = Cipher::new(&DtmfKey::parse(HEX).expect("a key"), Entropy::seeded(1));
        let mut seen = std::collections::HashSet::new();
        for digit in "0123456789*#ABCD".chars().chain("5555".chars()) {
            let sealed = cipher.seal(Digit::from_char(digit).expect("a key"), "b6c5").expect("sealed");
            assert_eq!(STANDARD.decode_to_vec(&sealed).expect("base64").len(), 12 + 1 + 16);
            assert_eq!(open(&sealed, "b6c5"), Some(digit.to_string()));
            assert_eq!(open(&sealed, "other"), None);
            assert!(seen.insert(sealed), "no two are the same");
        }
    }

    #[test]
    fn a_key_is_32_octets_in_hex_or_base64_and_is_never_printed() {
        let hex = DtmfKey::parse(HEX).expect("hex");
        for text in
            ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"]
        {
            assert_eq!(DtmfKey::parse(text), Ok(hex.clone()));
        }
        let slashes = "_".repeat(42) + "8=";
        assert_eq!(DtmfKey::parse(&slashes), DtmfKey::parse(&"f".repeat(64)));
        assert_eq!(DtmfKey::parse(&HEX[2..]), Err("it is not 32 octets long"));
        assert_eq!(DtmfKey::parse("not a key"), Err("it is neither hexadecimal nor base64"));
        let cipher = Keys::of(true, Some(&hex), Entropy::seeded(1));
        assert_eq!(format!("{hex:?} {cipher:?}"), "DtmfKey(…) Sealed(Cipher(…))");
    }
}
