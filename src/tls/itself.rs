//! A server's certificate that stands itself in `ca_file`. What `openssl req -x509` writes says of itself that it is an
//! authority, and RFC 5280 lets no authority be a server; whoever names that very certificate means it all the same.
//! Its dates and its name are verified as ever.

use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::{Judge, Judged};

/// Verifies servers against `roots`, and takes a certificate that is one of `own` for what it is.
///
/// # Errors
/// When there is no root to verify against.
pub fn servers(
    roots: RootCertStore,
    own: Vec<CertificateDer<'static>>,
) -> Result<Arc<dyn ServerCertVerifier>, VerifierBuilderError> {
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), super::provider()).build()?;
    Ok(Arc::new(Judged(Itself { usual, own })))
}

#[derive(Debug)]
struct Itself {
    usual: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl Judge for Itself {
    fn usual(&self) -> &dyn ServerCertVerifier {
        &*self.usual
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.usual.verify_server_cert(leaf, between, name, ocsp, now) {
            // the dates are looked at before this is said
            Err(Error::InvalidCertificate(CertificateError::Other(why)))
                if is_authority(&why) && self.own.iter().any(|own| own == leaf) =>
            {
                verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }
}

/// The library has a type for this, but not in its interface.
pub(super) fn is_authority(why: &rustls::OtherError) -> bool {
    format!("{why:?}").contains("CaUsedAsEndEntity")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    /// As `openssl req -x509` makes it: signed by itself, an authority, valid in these years.
    fn openssl_like(years: (i32, i32)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["bot.example.com".to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().clone()
    }

    fn verdict(named: &CertificateDer<'static>, shown: &CertificateDer<'_>, host: &str) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(named.clone()).expect("a root");
        let verifier = servers(roots, vec![named.clone()]).expect("a verifier");
        let name = ServerName::try_from(host).expect("a name").to_owned();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000)); // 2027
        verifier.verify_server_cert(shown, &[], &name, &[], now).map(drop)
    }

    #[test]
    fn a_certificate_that_is_named_itself_is_taken_for_its_own_name_only() {
        let named = openssl_like((2020, 2040));
        assert_eq!(verdict(&named, &named, "bot.example.com"), Ok(()));
        assert!(verdict(&named, &named, "other.example.com").is_err());
    }

    #[test]
    fn one_that_is_not_named_or_has_expired_is_not() {
        let named = openssl_like((2020, 2040));
        assert!(verdict(&named, &openssl_like((2020, 2040)), "bot.example.com").is_err());
        let old = openssl_like((2000, 2010));
        assert!(verdict(&old, &old, "bot.example.com").is_err());
    }
}
