//! TLS under SIP (sip-trunk.md section 2): who we are, which clients are let in, which servers are believed. A reload
//! replaces all of it for the connections that are made from then on; those that are open stay as they are.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_name};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, Error, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::tls::{self, FileError, Judge, Judged};

/// PEM files (`sip.tls.*`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, the leaf first and then what leads to its authority, and its key. We show it as a server, and
    /// as a client when a server asks for one; absent: we only call.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Authorities of clients; absent: clients are not asked who they are.
    pub client_ca: Option<PathBuf>,
    /// Authorities of servers; absent: those of the system.
    pub ca_file: Option<PathBuf>,
}

/// What is wrong with the files, and under which key of `sip.tls` it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sip.tls.{key}: {wrong}")]
pub struct TlsError {
    /// `certificate`, `key`, `client_ca` or `ca_file`.
    pub key: &'static str,
    /// What is wrong.
    pub wrong: String,
}

/// What TLS connections are made with; clones share it.
#[derive(Clone)]
pub struct Tls {
    current: Arc<RwLock<Arc<Current>>>,
}

struct Current {
    server: Option<Arc<ServerConfig>>,
    /// Clients are asked who they are.
    asks: bool,
    /// Absent: there is no authority to believe.
    client: Option<Client>,
}

/// Certificate chain and key.
type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be used, or certificate and key are no pair.
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let current = Current::read(files)?;
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(current))) })
    }

    /// For whoever believes the servers that this verifier does, and shows clients this certificate with its key.
    ///
    /// # Errors
    /// Certificate and key are no pair.
    pub fn believing(
        servers: Arc<dyn ServerCertVerifier>,
        own: (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    ) -> Result<Self, TlsError> {
        let server = Some(Arc::new(server(&own, None)?));
        let client = Some((Arc::new(of_client(believer(&servers).with_no_client_auth())), servers));
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(Current { server, asks: false, client }))) })
    }

    /// New connections are made as with `other` from now on.
    pub fn replace(&self, other: &Self) {
        let other = other.current();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = other;
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// And whether clients are asked who they are.
    pub(super) fn acceptor(&self) -> Option<(TlsAcceptor, bool)> {
        let current = self.current();
        Some((TlsAcceptor::from(Arc::clone(current.server.as_ref()?)), current.asks))
    }

    /// For a server whose certificate has to be for one of these names; the first is the one we ask for.
    pub(super) fn connector(&self, names: &[String]) -> Option<(TlsConnector, ServerName<'static>)> {
        let names = server_names(names);
        let first = names.first()?.clone();
        let current = self.current();
        let (client, servers) = current.client.as_ref()?;
        let mut config = Arc::clone(client);
        if names.len() > 1 {
            let any: Arc<dyn ServerCertVerifier> =
                Arc::new(Judged(AnyOf { usual: Arc::clone(servers), names }));
            Arc::make_mut(&mut config).dangerous().set_certificate_verifier(any);
        }
        Some((TlsConnector::from(config), first))
    }
}

impl Current {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let own = match &files.own {
            None => None,
            Some((chain, key)) => {
                let chain = tls::certificates(chain).map_err(|error| wrong("certificate", error))?;
                Some((chain, tls::private_key(key).map_err(|error| wrong("key", error))?))
            }
        };
        let server = match &own {
            None => None,
            Some(own) => Some(Arc::new(server(own, files.client_ca.as_deref())?)),
        };
        Ok(Self { server, asks: files.client_ca.is_some(), client: client(own, files.ca_file.as_deref())? })
    }
}

fn server((chain, key): &Own, client_ca: Option<&Path>) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3");
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let (roots, own) = authorities(path).map_err(|error| wrong("client_ca", error))?;
            let clients = tls::clients(roots, own).map_err(|error| wrong("client_ca", error))?;
            builder.with_client_cert_verifier(clients)
        }
    };
    builder.with_single_cert(chain.clone(), key.clone_key()).map_err(no_pair)
}

type Client = (Arc<ClientConfig>, Arc<dyn ServerCertVerifier>);

fn client(own: Option<Own>, ca_file: Option<&Path>) -> Result<Option<Client>, TlsError> {
    let (roots, themselves) = match ca_file {
        None => (tls::system(), Vec::new()),
        Some(path) => authorities(path).map_err(|error| wrong("ca_file", error))?,
    };
    if roots.is_empty() {
        return Ok(None);
    }
    let servers = tls::servers(roots, themselves).map_err(|error| wrong("ca_file", error))?;
    let builder = believer(&servers);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(no_pair)?,
    };
    Ok(Some((Arc::new(of_client(config)), servers)))
}

fn believer(
    servers: &Arc<dyn ServerCertVerifier>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(servers))
}

fn of_client(mut config: ClientConfig) -> ClientConfig {
    // connections live long, and one that is resumed is not looked at again
    config.resumption = Resumption::disabled();
    config
}

type Authorities = (rustls::RootCertStore, Vec<CertificateDer<'static>>);

fn authorities(path: &Path) -> Result<Authorities, FileError> {
    Ok((tls::authorities(path)?, tls::certificates(path)?))
}

fn wrong(key: &'static str, error: impl std::fmt::Display) -> TlsError {
    TlsError { key, wrong: error.to_string() }
}

fn no_pair(error: Error) -> TlsError {
    match error {
        Error::InconsistentKeys(_) => wrong("key", "it is not the key of the certificate"),
        Error::General(why) => wrong("key", why),
        error => wrong("certificate", error),
    }
}

fn server_names(names: &[String]) -> Vec<ServerName<'static>> {
    names.iter().filter_map(|name| ServerName::try_from(name.clone()).ok()).collect()
}

/// Whether a certificate is for one of these names.
pub(super) fn is_for(certificate: &CertificateDer<'_>, names: &[String]) -> bool {
    let Ok(certificate) = ParsedCertificate::try_from(certificate) else { return false };
    server_names(names).iter().any(|name| verify_server_name(&certificate, name).is_ok())
}

/// A server that goes by several names.
#[derive(Debug)]
struct AnyOf {
    usual: Arc<dyn ServerCertVerifier>,
    names: Vec<ServerName<'static>>,
}

impl Judge for AnyOf {
    fn usual(&self) -> &dyn ServerCertVerifier {
        &*self.usual
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        first: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(leaf)?;
        let fits = self.names.iter().find(|name| verify_server_name(&certificate, name).is_ok());
        self.usual.verify_server_cert(leaf, between, fits.unwrap_or(first), ocsp, now)
    }
}
