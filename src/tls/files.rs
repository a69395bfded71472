//! Certificates and keys in PEM files.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// Why; never what stands in it.
    pub reason: String,
}

impl FileError {
    /// Says why a file cannot be used.
    pub fn new(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// The certificates of a file, in order.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let all = CertificateDer::pem_file_iter(path).map_err(|reason| FileError::new(path, plain(&reason)))?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|reason| FileError::new(path, plain(&reason)))?;
    match all.is_empty() {
        true => Err(FileError::new(path, "no certificate in it")),
        false => Ok(all),
    }
}

/// The private key of a file.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    PrivateKeyDer::from_pem_file(path).map_err(|reason| match reason {
        rustls::pki_types::pem::Error::NoItemsFound => FileError::new(path, "no private key in it"),
        reason => FileError::new(path, plain(&reason)),
    })
}

/// The authorities of a file.
///
/// # Errors
/// It cannot be read, holds none, or one that is no certificate.
pub fn authorities(path: &Path) -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|reason| FileError::new(path, reason))?;
    }
    Ok(roots)
}

/// The authorities of this system; what is wrong with them is logged.
pub fn system() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate of the system was not read");
    }
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("the system has no root certificates: no server can be verified without a ca_file");
    }
    roots
}

/// What the system says of a file, without the library's words around it.
fn plain(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let (missing, empty) = (dir.path().join("missing.pem"), dir.path().join("empty.pem"));
        std::fs::write(&empty, "no PEM").expect("a file");
        let told = |error: FileError| error.to_string();
        assert!(told(certificates(&missing).unwrap_err()).contains("missing.pem: No such file"));
        assert!(told(certificates(&empty).unwrap_err()).ends_with("empty.pem: no certificate in it"));
        assert!(told(private_key(&empty).unwrap_err()).ends_with("empty.pem: no private key in it"));
    }
}
