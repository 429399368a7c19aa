//! What can be missing or wrong when a [`Standin`](crate::Standin) is put together.

use std::io;
use std::path::PathBuf;

use super::policy::LoadError;
use crate::audit::{AuditError, OpenError};
use crate::engine::EngineError;
use crate::http::{ProviderError, ProxyError};
use crate::image::ImageError;
use crate::keys::files::KeyFileError;
use crate::keys::issuers::FetchError;
use crate::policy::PLATFORM;
use crate::sqlite::SqliteError;
use crate::tape::RecordError;

/// Why there is no [`Standin`](crate::Standin).
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Neither a configuration nor the embedding program gave this part.
    #[error("{0} is missing: give a configuration or the part itself")]
    Missing(&'static str),
    /// A component file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The engine, or the component in it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Compiling, or the cache of compiled images.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A policy module cannot become live.
    #[error("policy {slot}{}: {source}", source.file(file.as_deref()))]
    Policy {
        /// In which slot: `platform`, or `tenant:` and the tenant.
        slot: String,
        /// The module's file, where it is in one.
        file: Option<PathBuf>,
        /// The cause.
        source: LoadError,
    },
    /// Another policy module would have become live, and that could not be recorded.
    #[error("the change of policy could not be recorded: {0}")]
    Unrecorded(#[source] AuditError),
    /// The key folder.
    #[error("keys: {0}")]
    Keys(#[from] KeyFileError),
    /// The database of directory or store.
    #[error("the {part}'s database {}: {source}", path.display())]
    Database {
        /// `directory` or `store`.
        part: &'static str,
        /// Its file.
        path: PathBuf,
        /// The cause.
        source: SqliteError,
    },
    /// The audit log.
    #[error("audit {}: {source}", path.display())]
    Audit {
        /// Its file.
        path: PathBuf,
        /// The cause.
        source: OpenError,
    },
    /// There is no directory database, and an empty one would know nobody.
    #[error("there is no directory database {}: run `standin directory import` or `standin init`", .0.display())]
    NoDirectory(PathBuf),
    /// The proxy that the environment names.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The file of a trusted issuer's keys.
    #[error("trusted issuer {name}: {}: {source}", path.display())]
    IssuerKeys {
        /// The issuer's name.
        name: String,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: FetchError,
    },
    /// A trusted issuer's set of keys is there, and nothing in it verifies a signature.
    #[error("trusted issuer {name}: the key set has no usable key{}", reasons(.why))]
    NoUsableKey {
        /// The issuer's name.
        name: String,
        /// Why not, for each key.
        why: Vec<String>,
    },
    /// A provider.
    #[error("provider {name}: {source}")]
    Provider {
        /// Its name.
        name: String,
        /// The cause.
        source: ProviderError,
    },
    /// Requests cannot be recorded as configured.
    #[error("record: {0}")]
    Record(#[from] RecordError),
    /// A reload changes what is in use from the start to the end.
    #[error("only a restart can change {}", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
    /// A reload would leave nobody who may ask for anything.
    #[error("the configuration has no [[client]] left")]
    NoClients,
    /// The task that loaded the policy died.
    #[error("loading did not finish")]
    Interrupted,
}

impl BuildError {
    /// The slot whose policy it is about, and in one word why it is refused.
    pub(super) fn policy(&self) -> Option<(&str, &'static str)> {
        match self {
            Self::Policy { slot, source, .. } => Some((slot, source.code())),
            Self::Unrecorded(_) => Some((PLATFORM, "audit")),
            Self::Missing(_)
            | Self::Unreadable { .. }
            | Self::Engine(_)
            | Self::Image(_)
            | Self::Keys(_)
            | Self::Database { .. }
            | Self::Audit { .. }
            | Self::Record(_)
            | Self::NoDirectory(_)
            | Self::IssuerKeys { .. }
            | Self::NoUsableKey { .. }
            | Self::Provider { .. }
            | Self::NeedsRestart(_)
            | Self::NoClients
            | Self::Interrupted
            | Self::Proxy(_) => None,
        }
    }
}

/// Behind what was said before: a colon and all of them.
fn reasons(why: &[String]) -> String {
    if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) }
}
