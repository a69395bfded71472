//! TLS of connections that go out over TCP: whom we trust, as whom we present ourselves, and what it is called when it
//! fails (reliability R-61).

use std::io;
use std::path::Path;

use rustls::client::VerifierBuilderError;
use rustls::{CertificateError, ClientConfig, Error};

use super::FileError;
use super::verified::remembered;

/// Why nothing could be made of the files.
#[derive(Debug, thiserror::Error)]
pub enum OutwardError {
    /// A file cannot be read as PEM.
    #[error(transparent)]
    File(#[from] FileError),
    /// The authorities cannot be used.
    #[error("ca_file: {0}")]
    Roots(#[from] VerifierBuilderError),
    /// The certificate and key are not a pair we can use.
    #[error("client certificate: {0}")]
    Client(Error),
}

/// Trusts the authorities of a file alone, or the system's; presents a certificate with its key, if there is one.
///
/// # Errors
/// When a file that was named cannot be used.
///
/// # Panics
/// Never: the cryptography speaks both versions.
pub fn outward(ca_file: Option<&Path>, client: Option<(&Path, &Path)>) -> Result<ClientConfig, OutwardError> {
    let (roots, own) = match ca_file {
        Some(path) => (super::authorities(path)?, super::certificates(path)?),
        None => (super::system(), Vec::new()),
    };
    let builder = ClientConfig::builder_with_provider(super::provider())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3");
    // without any authority everybody is refused, which is no reason not to start
    let builder = match roots.is_empty() {
        true => builder.with_root_certificates(roots),
        false => {
            builder.dangerous().with_custom_certificate_verifier(remembered(super::servers(roots, own)?))
        }
    };
    match client {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => {
            let (chain, key) = (super::certificates(chain)?, super::private_key(key)?);
            builder.with_client_auth_cert(chain, key).map_err(OutwardError::Client)
        }
    }
}

/// What a handshake failed by, as a stable word and for people. Expired, wrong name and unknown issuer each have a word
/// of their own: `tls_expired`, `tls_name`, `tls_issuer`, else `tls`.
pub fn fault(error: &io::Error) -> (&'static str, String) {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        let text = error.to_string();
        let words = text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words);
        return ("tls", words.to_lowercase());
    };
    let Error::InvalidCertificate(why) = tls else { return ("tls", tls.to_string()) };
    use CertificateError as E;
    let (cause, reason) = match why {
        E::Expired | E::ExpiredContext { .. } => ("tls_expired", "certificate has expired"),
        E::NotValidYet | E::NotValidYetContext { .. } => ("tls_expired", "certificate is not valid yet"),
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            ("tls_name", "certificate is not valid for the host name")
        }
        E::UnknownIssuer => ("tls_issuer", "certificate signed by unknown authority"),
        other => return ("tls", format!("certificate: {other}")),
    };
    (cause, reason.to_owned())
}
