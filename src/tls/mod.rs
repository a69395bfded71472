//! TLS as SIP, streams and fetches share it: what PEM files hold, whom we believe, how long a certificate lasts.
//!
//! Version 1.2 and 1.3 only, with the suites of `ring`, each of which has forward secrecy and authenticates what it
//! encrypts; there is no switch that verifies less.

mod clients;
mod files;
mod itself;
mod outward;
mod validity;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

pub use clients::clients;
pub use files::{FileError, authorities, certificates, private_key, system};
pub use itself::servers;
pub use outward::{OutwardError, fault, outward};
pub use validity::Validity;

/// The cryptography everything is done with.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
