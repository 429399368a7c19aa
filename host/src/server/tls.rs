//! TLS with rustls: a certificate chain and its key, HTTP/2 and HTTP/1.1.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::bounded;
use crate::config::Tls;

/// The longest PEM file, in bytes.
const MAX_PEM: u64 = 1024 * 1024;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file holds no certificate or no private key.
    #[error("{0} holds no usable pem")]
    Malformed(PathBuf),
    /// The key does not fit the certificate, or rustls refuses them.
    #[error("the tls certificate and key cannot be used: {0}")]
    Refused(#[from] rustls::Error),
}

/// An acceptor for this certificate and key.
pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, TlsError> {
    let chain = read(&tls.certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::Malformed(tls.certificate.clone()))?;
    if chain.is_empty() {
        return Err(TlsError::Malformed(tls.certificate.clone()));
    }
    let key = read(&tls.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::Malformed(tls.key.clone()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    Ok(Zeroizing::new(bounded::read(file, MAX_PEM).map_err(unreadable)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(certificate: &str, key: &str) -> (tempfile::TempDir, Tls) {
        let dir = tempfile::tempdir().unwrap();
        let tls = Tls { certificate: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        std::fs::write(&tls.certificate, certificate).unwrap();
        std::fs::write(&tls.key, key).unwrap();
        (dir, tls)
    }

    #[test]
    fn takes_a_certificate_and_its_key_only() {
        let pair = |name: &str| {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        };
        let ((certificate, key), (_, other_key)) = (pair("a.example"), pair("b.example"));
        let (_dir, good) = files(&certificate, &key);
        assert!(acceptor(&good).is_ok());
        let (_dir, mismatched) = files(&certificate, &other_key);
        assert!(matches!(acceptor(&mismatched), Err(TlsError::Refused(_))));
        let (_dir, empty) = files("", &key);
        assert!(matches!(acceptor(&empty), Err(TlsError::Malformed(_))));
        let (_dir, keyless) = files(&certificate, "");
        assert!(matches!(acceptor(&keyless), Err(TlsError::Malformed(_))));
        let padding = "\n".repeat(usize::try_from(MAX_PEM).unwrap());
        let (_dir, long) = files(&(certificate.clone() + &padding), &key);
        assert!(matches!(acceptor(&long), Err(TlsError::Unreadable { .. })), "its end is not cut off");
        let (dir, missing) = files(&certificate, &key);
        drop(dir);
        assert!(matches!(acceptor(&missing), Err(TlsError::Unreadable { .. })));
    }
}
