//! TLS towards bots (agentstream.md section 2.2, reliability R-61): 1.2 or newer, certificate and name verified, no way around it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::stream::connect::Failure;
use crate::tls;

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
pub type TrustError = tls::OutwardError;

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
        let client = trust.client.as_ref().map(|(chain, key)| (chain.as_path(), key.as_path()));
        Ok(Self::of(tls::outward(trust.ca_file.as_deref(), client)?))
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

    /// `first` goes out with our last flight, once the other side is who it should be: one packet instead of two.
    pub(super) async fn handshake(
        &self,
        host: &str,
        tcp: TcpStream,
        first: &[u8],
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failure::Tls { cause: "tls_name", reason: "no name to verify".to_owned() })?;
        let connector = TlsConnector::from(self.current());
        let mut kept = Ok(());
        let begin = |tls: &mut rustls::ClientConnection| {
            kept = tls.writer().write_all(first); // kept by the library until the handshake is done
            tls.set_buffer_limit(Some(BUFFER));
        };
        let connected = connector.connect_with(name, tcp, begin).await.map_err(|error| {
            let (cause, reason) = tls::fault(&error);
            Failure::Tls { cause, reason }
        })?;
        kept.map_err(|_| Failure::Handshake("request too long".to_owned()))?;
        Ok(connected)
    }
}
