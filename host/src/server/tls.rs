//! TLS with rustls: a certificate chain and its key, HTTP/2 and HTTP/1.1. What the files hold is taken up while the server serves,
//! always both of them or neither: every handshake sees one pair.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::bounded;
use crate::config::Tls;

/// The longest PEM file, in bytes.
const MAX_PEM: u64 = 1024 * 1024;
/// How often the files are looked at.
const WATCH: Duration = Duration::from_secs(2);

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
    /// The task that read the files died.
    #[error("reading the tls certificate and key did not finish")]
    Interrupted,
}

/// The certificate and key of new handshakes, and the files they come from. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Certificates(Arc<Inner>);

struct Inner {
    files: Tls,
    live: ArcSwap<Pair>,
}

/// A certificate chain and its key that were read and fit each other.
pub struct Pair {
    config: Arc<ServerConfig>,
    read: Seen,
}

/// What the files held, or why they could not be read, in short.
type Seen = [u8; 32];

/// The bytes of both files.
struct Contents {
    certificate: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

impl Certificates {
    /// What the files hold.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub(super) fn open(files: Tls) -> Result<Self, TlsError> {
        let live = ArcSwap::from_pointee(Contents::read(&files)?.pair(&files)?);
        Ok(Self(Arc::new(Inner { files, live })))
    }

    /// Reads the files again, for [`Self::take`].
    ///
    /// # Errors
    /// Where what they hold cannot be used.
    pub async fn read(&self) -> Result<Pair, TlsError> {
        let this = Arc::clone(&self.0);
        let reading = tokio::task::spawn_blocking(move || Contents::read(&this.files)?.pair(&this.files));
        reading.await.map_err(|_died| TlsError::Interrupted)?
    }

    /// New handshakes see this pair. Those that have begun end with the one they began with.
    pub fn take(&self, pair: Pair) {
        let another = pair.read != self.0.live.load().read;
        self.0.live.store(Arc::new(pair));
        if another {
            metrics::counter!("standin_tls_reloads_total", "outcome" => "done").increment(1);
            tracing::info!("the tls certificate and key changed and were taken up");
        }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.live.load().config))
    }

    /// Looks at the files now and then, and takes up what they have become. They have to look the same twice before they are used:
    /// one of the two may just be being replaced. Runs until it is dropped.
    pub(super) async fn watch(&self) {
        let (mut last, mut refused) = (None, None);
        loop {
            tokio::time::sleep(WATCH).await;
            let looking = self.clone();
            let looked = tokio::task::spawn_blocking(move || looking.look(last, refused));
            let Ok((seen, changed)) = looked.await else { continue };
            last = Some(seen);
            match changed {
                None => {}
                Some(Ok(pair)) => {
                    refused = None;
                    self.take(pair);
                }
                Some(Err(error)) => {
                    refused = Some(seen);
                    metrics::counter!("standin_tls_reloads_total", "outcome" => "refused").increment(1);
                    tracing::error!(%error, "the tls certificate and key changed and were refused; the old ones serve on");
                }
            }
        }
    }

    /// What the files hold, and what has become of it where that is new and no longer changes.
    fn look(&self, last: Option<Seen>, refused: Option<Seen>) -> (Seen, Option<Result<Pair, TlsError>>) {
        let Inner { files, live } = &*self.0;
        let contents = Contents::read(files);
        let seen = match &contents {
            Ok(contents) => contents.seen(),
            Err(error) => short(&digest(&SHA256, error.to_string().as_bytes())),
        };
        let settled = last == Some(seen) && refused != Some(seen) && live.load().read != seen;
        (seen, settled.then(|| contents.and_then(|contents| contents.pair(files))))
    }
}

impl Contents {
    fn read(files: &Tls) -> Result<Self, TlsError> {
        let read = |path: &Path| -> Result<_, TlsError> {
            let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
            let bytes = Zeroizing::new(bounded::read_file(path, MAX_PEM).map_err(unreadable)?);
            // Files with a mark may have been put together: it is before every certificate then.
            Ok(Zeroizing::new(bounded::without_marks(&bytes)))
        };
        Ok(Self { certificate: read(&files.certificate)?, key: read(&files.key)? })
    }

    fn seen(&self) -> Seen {
        let mut context = Context::new(&SHA256);
        for bytes in [&self.certificate, &self.key] {
            context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(bytes);
        }
        short(&context.finish())
    }

    fn pair(&self, files: &Tls) -> Result<Pair, TlsError> {
        let malformed = |path: &Path| TlsError::Malformed(path.to_owned());
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| malformed(&files.certificate))?;
        if chain.is_empty() {
            return Err(malformed(&files.certificate));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| malformed(&files.key))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Pair { config: Arc::new(config), read: self.seen() })
    }
}

fn short(digest: &Digest) -> Seen {
    let mut seen = Seen::default();
    // Of the same length.
    seen.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    seen
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
        let ((certificate, key), (_, other_key)) = (pair("a.example"), pair("b.example"));
        let (_dir, good) = files(&certificate, &key);
        assert!(Certificates::open(good).is_ok());
        let mark = "\u{feff}";
        let (_dir, marked) = files(&format!("{mark}{certificate}{mark}{certificate}"), &format!("{mark}{key}"));
        let contents = Contents::read(&marked).unwrap();
        assert_eq!(CertificateDer::pem_slice_iter(&contents.certificate).filter(Result::is_ok).count(), 2);
        assert!(Certificates::open(marked).is_ok());
        let (_dir, mismatched) = files(&certificate, &other_key);
        assert!(matches!(Certificates::open(mismatched), Err(TlsError::Refused(_))));
        let (_dir, empty) = files("", &key);
        assert!(matches!(Certificates::open(empty), Err(TlsError::Malformed(_))));
        let (_dir, keyless) = files(&certificate, "");
        assert!(matches!(Certificates::open(keyless), Err(TlsError::Malformed(_))));
        let padding = "\n".repeat(usize::try_from(MAX_PEM).unwrap());
        let (_dir, long) = files(&(certificate.clone() + &padding), &key);
        assert!(matches!(Certificates::open(long), Err(TlsError::Unreadable { .. })), "its end is not cut off");
        let (dir, missing) = files(&certificate, &key);
        drop(dir);
        assert!(matches!(Certificates::open(missing), Err(TlsError::Unreadable { .. })));
    }

    fn pair(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn files_are_taken_up_once_they_no_longer_change_and_fit() {
        let ((certificate, key), (other_certificate, other_key)) = (pair("a.example"), pair("b.example"));
        let (_dir, tls) = files(&certificate, &key);
        let certificates = Certificates::open(tls.clone()).unwrap();
        let began = certificates.look(None, None);
        assert!(began.1.is_none() && certificates.look(Some(began.0), None).1.is_none(), "nothing changed");

        // Half of a pair: seen, looked at once more, refused, and not tried again.
        std::fs::write(&tls.certificate, &other_certificate).unwrap();
        let (half, once) = certificates.look(Some(began.0), None);
        assert!(half != began.0 && once.is_none());
        let (_, twice) = certificates.look(Some(half), None);
        assert!(matches!(twice, Some(Err(TlsError::Refused(_)))));
        assert!(certificates.look(Some(half), Some(half)).1.is_none());

        std::fs::remove_file(&tls.key).unwrap();
        let (gone, _) = certificates.look(Some(half), Some(half));
        assert!(matches!(certificates.look(Some(gone), Some(half)).1, Some(Err(TlsError::Unreadable { .. }))));

        std::fs::write(&tls.key, &other_key).unwrap();
        let (whole, once) = certificates.look(Some(gone), Some(gone));
        assert!(once.is_none());
        let taken = certificates.look(Some(whole), Some(gone)).1.unwrap().unwrap();
        certificates.take(taken);
        assert!(certificates.look(Some(whole), None).1.is_none(), "what is live is not new");
    }
}
