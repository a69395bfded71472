//! Whom we believe as a client. Two things that the letter of RFC 5280 refuses are what PBXs have: a certificate that
//! says it is an authority and stands itself in the file (as `openssl req -x509` makes it), and one that is made for a
//! server, for public authorities sign no other any more.

use std::sync::Arc;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
};

use super::itself::is_authority;

/// Verifies clients against `roots`; a certificate that is one of `own` is taken for what it is. Without one there is
/// no connection.
///
/// # Errors
/// When there is no root to verify against.
pub fn clients(
    roots: RootCertStore,
    own: Vec<CertificateDer<'static>>,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let (roots, provider) = (Arc::new(roots), super::provider());
    let algorithms = provider.signature_verification_algorithms;
    let usual = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider).build()?;
    Ok(Arc::new(Clients { usual, roots, own, algorithms }))
}

#[derive(Debug)]
struct Clients {
    usual: Arc<dyn ClientCertVerifier>,
    roots: Arc<RootCertStore>,
    own: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.usual.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.usual.verify_client_cert(leaf, between, now) {
            // the dates are looked at before either is said
            Err(Error::InvalidCertificate(CertificateError::Other(why)))
                if is_authority(&why) && self.own.iter().any(|own| own == leaf) =>
            {
                Ok(ClientCertVerified::assertion())
            }
            Err(Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
            )) => {
                let leaf = ParsedCertificate::try_from(leaf)?;
                let all = self.algorithms.all;
                verify_server_cert_signed_by_trust_anchor(&leaf, &self.roots, between, now, all)?;
                Ok(ClientCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose as Use, IsCa, KeyPair,
        date_time_ymd,
    };

    use super::*;

    fn params(uses: &[Use]) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["pbx.example.com".to_owned()]).expect("a name");
        params.extended_key_usages = uses.to_vec();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
        params
    }

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).expect("an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
    }

    fn verdict(named: &CertificateDer<'static>, shown: &CertificateDer<'_>) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(named.clone()).expect("a root");
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000)); // 2027
        clients(roots, vec![named.clone()]).expect("a verifier").verify_client_cert(shown, &[], now).map(drop)
    }

    #[test]
    fn a_client_is_who_its_authority_says_whatever_the_certificate_is_made_for() {
        let (ca, other) = (authority(), authority());
        let root = ca.as_ref().der().clone();
        for uses in [&[][..], &[Use::ClientAuth], &[Use::ServerAuth]] {
            let key = KeyPair::generate().expect("a key");
            let signed = params(uses).signed_by(&key, &ca).expect("a certificate");
            assert_eq!(verdict(&root, signed.der()), Ok(()), "{uses:?}");
            let foreign = params(uses).signed_by(&key, &other).expect("a certificate");
            assert!(verdict(&root, foreign.der()).is_err(), "{uses:?}");
        }
        let key = KeyPair::generate().expect("a key");
        let mail = params(&[Use::EmailProtection]).signed_by(&key, &ca).expect("a certificate");
        assert!(verdict(&root, mail.der()).is_err());
    }

    #[test]
    fn one_that_stands_itself_in_the_file_is_taken_until_it_expires() {
        let itself = |until| {
            let mut params = params(&[]);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.not_after = date_time_ymd(until, 1, 1);
            params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().clone()
        };
        let (named, other, old) = (itself(2040), itself(2040), itself(2022));
        assert_eq!(verdict(&named, &named), Ok(()));
        assert!(verdict(&named, &other).is_err());
        assert!(verdict(&old, &old).is_err());
    }
}
