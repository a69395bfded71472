//! TLS towards bots (agentstream.md section 2.2, reliability R-61): 1.2 or newer, certificate and name verified, no way around it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::VerifierBuilderError;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::stream::connect::Failure;
use crate::tls::{self, FileError};

/// Octets TLS may hold for a slow socket; 64 KiB is the library's.
const BUFFER: usize = 16 * 1024;

/// Whom we trust and who we are (`ca_file`, `client_certificate`, `client_key`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// PEM file of the authorities; when given, the system's are not asked.
    pub ca_file: Option<PathBuf>,
    /// PEM files of our certificate chain and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Why no `Connector` could be made of the files.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file cannot be read as PEM.
    #[error(transparent)]
    File(#[from] FileError),
    /// The authorities cannot be used.
    #[error("ca_file: {0}")]
    Roots(#[from] VerifierBuilderError),
    /// The certificate and key are not a pair we can use.
    #[error("client certificate: {0}")]
    Client(rustls::Error),
}

/// What all streams' TLS connections are made with; sessions are resumed through it.
pub struct Connector {
    config: RwLock<Arc<ClientConfig>>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    /// Reads the files, or the system's roots.
    ///
    /// # Errors
    /// When a file that was named cannot be used.
    pub fn new(trust: &Trust) -> Result<Self, TrustError> {
        let (roots, own) = match &trust.ca_file {
            Some(path) => (tls::authorities(path)?, tls::certificates(path)?),
            None => (tls::system(), Vec::new()),
        };
        let builder = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3");
        let builder = match own.is_empty() {
            true => builder.with_root_certificates(roots),
            false => builder.dangerous().with_custom_certificate_verifier(tls::servers(roots, own)?),
        };
        let config = match &trust.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let (chain, key) = (tls::certificates(chain)?, tls::private_key(key)?);
                builder.with_client_auth_cert(chain, key).map_err(TrustError::Client)?
            }
        };
        Ok(Self::of(config))
    }

    pub(super) fn of(config: ClientConfig) -> Self {
        Self { config: RwLock::new(Arc::new(config)) }
    }

    /// Streams that are opened from now on are made as with `other`; those that are open stay as they are.
    pub fn replace(&self, other: &Self) {
        let other = other.current();
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = other;
    }

    fn current(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The system's roots, or those of a file alone.
    ///
    /// # Errors
    /// As `new`.
    pub fn tls(ca_file: Option<&Path>) -> Result<Self, TrustError> {
        Self::new(&Trust { ca_file: ca_file.map(Path::to_owned), client: None })
    }

    pub(super) async fn handshake(
        &self,
        host: &str,
        tcp: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failure::Tls { cause: "tls_name", reason: "no name to verify".to_owned() })?;
        let connector = TlsConnector::from(self.current());
        let limited = |tls: &mut rustls::ClientConnection| tls.set_buffer_limit(Some(BUFFER));
        connector.connect_with(name, tcp, limited).await.map_err(|error| failure(&error))
    }
}

/// Expired, wrong name and unknown issuer each have a cause of their own.
fn failure(error: &io::Error) -> Failure {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return Failure::Tls { cause: "tls", reason: super::words(error) };
    };
    let rustls::Error::InvalidCertificate(why) = tls else {
        return Failure::Tls { cause: "tls", reason: tls.to_string() };
    };
    use CertificateError as E;
    let (cause, reason) = match why {
        E::Expired | E::ExpiredContext { .. } => ("tls_expired", "certificate has expired".to_owned()),
        E::NotValidYet | E::NotValidYetContext { .. } => {
            ("tls_expired", "certificate is not valid yet".to_owned())
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            ("tls_name", "certificate is not valid for the host name".to_owned())
        }
        E::UnknownIssuer => ("tls_issuer", "certificate signed by unknown authority".to_owned()),
        other => ("tls", format!("certificate: {other}")),
    };
    Failure::Tls { cause, reason }
}
