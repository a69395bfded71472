//! How a daemon is reached from here: its address, our address towards it, whom we trust over TLS.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::lab::bot::Certificate;
use crate::sip::Transport;
use crate::sip::io::Tls;
use crate::sip::message::{Scheme, Uri};
use crate::tls;

/// Where a URI leads, and how.
///
/// # Errors
/// What is wrong with it, as a line.
pub(super) async fn address(uri: &Uri, wanted: Option<Transport>) -> Result<(SocketAddr, Transport), String> {
    let named = uri.param("transport").map(|name| name.to_ascii_lowercase());
    let transport = match (wanted, uri.scheme(), named.as_deref()) {
        (Some(transport), ..) => transport,
        (None, Scheme::Sips, _) | (None, _, Some("tls")) => Transport::Tls,
        (None, _, Some("tcp")) => Transport::Tcp,
        (None, Scheme::Sip, None | Some("udp")) => Transport::Udp,
        _ => return Err(format!("`{}` is neither udp, tcp nor tls", uri.as_str())),
    };
    let usual = if transport == Transport::Tls { 5061 } else { 5060 };
    let host = uri.host().trim_matches(['[', ']']);
    let mut found = tokio::net::lookup_host((host, uri.port().unwrap_or(usual)))
        .await
        .map_err(|error| format!("{host}: {error}"))?;
    found.next().map(|to| (to, transport)).ok_or_else(|| format!("{host}: no address"))
}

/// The address of ours that packets to `to` leave from.
pub(super) fn facing(to: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let probe = UdpSocket::bind(any)?;
    probe.connect(to)?;
    Ok(probe.local_addr()?.ip())
}

/// Whom we trust over TLS.
#[derive(Clone, Debug, Default)]
pub(super) struct Trusted {
    /// This certificate instead of the system's.
    pub(super) ca: Option<PathBuf>,
    /// Anybody on this machine itself (reliability R-61: never anybody elsewhere).
    pub(super) insecure_loopback: bool,
}

impl Trusted {
    /// What a handshake with `to`, known as `host`, is made with.
    ///
    /// # Errors
    /// A file that cannot be used, or loopback that is none.
    pub(super) fn connector(
        &self,
        to: SocketAddr,
        host: &str,
    ) -> Result<(TlsConnector, ServerName<'static>), String> {
        let name = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(self.servers(to)?)
            .with_no_client_auth();
        Ok((TlsConnector::from(Arc::new(config)), name))
    }

    /// The same for a caller, who is called back on a listener with a certificate made on the spot.
    ///
    /// # Errors
    /// As `connector`.
    pub(super) fn tls(&self, to: SocketAddr) -> Result<Tls, String> {
        let ip = facing(to).map_err(|error| error.to_string())?;
        let own = Certificate::for_address(ip).map_err(|error| error.to_string())?.pair();
        Tls::believing(self.servers(to)?, own).map_err(|error| error.wrong)
    }

    fn servers(&self, to: SocketAddr) -> Result<Arc<dyn ServerCertVerifier>, String> {
        if self.insecure_loopback {
            let here = to.ip().to_canonical().is_loopback();
            let refused = || format!("--insecure-loopback is for this machine, not for {}", to.ip());
            return if here { Ok(Arc::new(Anybody(tls::provider()))) } else { Err(refused()) };
        }
        let told = |error: tls::FileError| error.to_string();
        let (roots, themselves) = match &self.ca {
            None => (tls::system(), Vec::new()),
            Some(path) => (tls::authorities(path).map_err(told)?, tls::certificates(path).map_err(told)?),
        };
        tls::servers(roots, themselves).map_err(|error| error.to_string())
    }
}

/// Trusts any certificate; the signature over the handshake is checked all the same.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn where_to(uri: &str) -> Result<(SocketAddr, Transport), String> {
        address(&Uri::parse(uri.as_bytes()).expect("a URI"), None).await
    }

    #[tokio::test]
    async fn the_uri_says_where_and_how() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(where_to("sip:1@127.0.0.1").await, Ok((at(5060), Transport::Udp)));
        assert_eq!(where_to("sip:1@127.0.0.1:7;transport=TCP").await, Ok((at(7), Transport::Tcp)));
        assert_eq!(where_to("sip:1@127.0.0.1;transport=tls").await, Ok((at(5061), Transport::Tls)));
        assert_eq!(where_to("sips:1@127.0.0.1").await, Ok((at(5061), Transport::Tls)));
        assert!(where_to("sip:1@127.0.0.1;transport=sctp").await.is_err());
    }

    #[test]
    fn anybody_is_trusted_on_this_machine_only() {
        let trusted = Trusted { insecure_loopback: true, ..Trusted::default() };
        assert!(trusted.connector(([127, 0, 0, 1], 5061).into(), "localhost").is_ok());
        let refused =
            trusted.connector(([192, 0, 2, 1], 5061).into(), "pbx.example.com").map(drop).unwrap_err();
        assert!(refused.contains("192.0.2.1"), "{refused}");
        let missing = Trusted { ca: Some("/none.pem".into()), insecure_loopback: false };
        assert!(
            missing
                .connector(([127, 0, 0, 1], 5061).into(), "localhost")
                .map(drop)
                .unwrap_err()
                .contains("none.pem")
        );
    }
}
