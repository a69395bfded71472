//! TLS as SIP, streams and fetches share it: what PEM files hold, whom we believe, how long a certificate lasts.
//!
//! Version 1.2 and 1.3 only, with the suites of `ring`, each of which has forward secrecy and authenticates what it
//! encrypts; there is no switch that verifies less.

mod clients;
mod files;
mod itself;
mod judge;
mod outward;
mod validity;
mod verified;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{CipherSuite, SupportedCipherSuite};

pub use clients::clients;
pub use files::{FileError, authorities, certificates, private_key, system};
pub use itself::servers;
pub use judge::{Judge, Judged};
pub use outward::{OutwardError, fault, outward};
pub use validity::Validity;

/// The cryptography everything is done with. Of two suites that differ in nothing but AES-128 and AES-256, the former
/// comes first, as RFC 8446 §9.1 has it: SHA-256 is in the processor, SHA-384 is not, and a handshake hashes a lot.
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(preference); // stable: the rest stays as the library has it
    Arc::new(provider)
}

fn preference(suite: &SupportedCipherSuite) -> u8 {
    let aes_128 = match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
        _ => 1,
    };
    let older = 2 * u8::from(suite.tls13().is_none());
    older + aes_128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aes_128_stands_first_of_its_version_and_nothing_is_left_out() {
        let provider = provider();
        let suites: Vec<_> = provider.cipher_suites.iter().map(SupportedCipherSuite::suite).collect();
        assert_eq!(suites.first(), Some(&CipherSuite::TLS13_AES_128_GCM_SHA256));
        let newer = provider.cipher_suites.iter().take_while(|suite| suite.tls13().is_some()).count();
        assert_eq!(newer, 3, "TLS 1.3 before 1.2");
        let usual = ring::default_provider().cipher_suites;
        assert!(usual.iter().all(|suite| suites.contains(&suite.suite())) && usual.len() == suites.len());
    }
}
