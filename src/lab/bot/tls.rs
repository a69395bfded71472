//! A certificate for a server of our own, made on the spot and trusted by nobody who is not given it.

use std::io::{Error, Result};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// A self-signed certificate with its key.
#[derive(Clone)]
pub struct Certificate {
    pem: String,
    der: rustls::pki_types::CertificateDer<'static>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate")
    }
}

impl Certificate {
    /// One for `localhost` and this address; for every address of this machine when it is unspecified.
    ///
    /// # Errors
    /// When no key could be made.
    pub fn for_address(ip: IpAddr) -> Result<Self> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        if !ip.is_unspecified() && !ip.is_loopback() {
            names.push(ip.to_string());
        } else if ip.is_unspecified() {
            let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
            names.extend(interfaces.filter_map(|i| address(i.address.as_ref()?)).map(|ip| ip.to_string()));
        }
        let made = rcgen::generate_simple_self_signed(names).map_err(Error::other)?;
        let key = made.signing_key.serialized_der().to_vec();
        Ok(Self { pem: made.cert.pem(), der: made.cert.der().clone(), key })
    }

    /// The certificate, for `stream.ca_file`.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes the certificate to a file.
    ///
    /// # Errors
    /// What the system says of the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, &self.pem)
    }

    /// Chain and key, for whoever serves with them.
    pub fn pair(&self) -> (Vec<rustls::pki_types::CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (vec![self.der.clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone())))
    }

    /// Writes the key to a file.
    ///
    /// # Errors
    /// What the system says of the file.
    pub fn write_key(&self, path: &Path) -> Result<()> {
        let text = base64_simd::STANDARD.encode_to_string(&self.key);
        let lines: Vec<String> =
            text.as_bytes().chunks(64).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        std::fs::write(path, pem)
    }

    pub(in crate::lab) fn acceptor(&self) -> Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (chain, key) = self.pair();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|b| b.with_no_client_auth().with_single_cert(chain, key));
        Ok(TlsAcceptor::from(Arc::new(config.map_err(Error::other)?)))
    }
}

fn address(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip()))).filter(|ip| !ip.is_loopback())
}
