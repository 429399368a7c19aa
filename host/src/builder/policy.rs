//! The policy module of a configuration: read, held against what is trusted, compiled, and only then live.

use crate::bounded;
use crate::config::{self, Config, PolicySource};
use crate::policy::trust::{Floor, Trust};
use crate::policy::{BASELINE, PolicyLimits, PolicyModule};
use crate::sqlite::Database;

use super::{BuildError, Loader};

/// The longest file of a public key, in bytes.
const MAX_KEY: u64 = 16 * 1024;

impl Loader {
    pub(super) fn policy(&self, config: Option<&Config>) -> Result<PolicyModule, BuildError> {
        let images = self.images.as_deref();
        let file = config.and_then(|config| match &config.policy.source {
            PolicySource::Baseline => None,
            PolicySource::File(path) => Some((config, path)),
        });
        let limits = config.map_or_else(PolicyLimits::default, limits);
        let Some((config, path)) = file else { return Ok(PolicyModule::load(&self.runtime, images, BASELINE, limits)?) };
        let wasm = super::read(path)?;
        let version = policy_trust(&config.policy)?.check(&wasm)?.map(|manifest| manifest.version);
        let floor = Floor::new(Database::create(&config.store)?);
        floor.check(version)?;
        let module = PolicyModule::load(&self.runtime, images, &wasm, limits)?;
        if let Some(version) = version {
            floor.raise(version)?;
        }
        Ok(module)
    }
}

pub(super) fn limits(config: &Config) -> PolicyLimits {
    let memory = usize::try_from(config.policy.memory).unwrap_or(usize::MAX);
    PolicyLimits { memory, deadline: config.policy.deadline, ..PolicyLimits::default() }
}

/// What `[policy]` asks of a module before it may become live.
///
/// # Errors
/// Where a file of `trusted_keys` cannot be read or is no public key.
pub fn policy_trust(policy: &config::PolicyModule) -> Result<Trust, BuildError> {
    let mut trust = Trust { digest: policy.digest, ..Trust::default() };
    for path in &policy.trusted_keys {
        let unreadable = |source| BuildError::Unreadable { path: path.clone(), source };
        let bytes = bounded::read(std::fs::File::open(path).map_err(unreadable)?, MAX_KEY).map_err(unreadable)?;
        let broken = |source| BuildError::TrustedKey { path: path.clone(), source };
        trust.keys.add(&String::from_utf8_lossy(&bytes)).map_err(broken)?;
    }
    Ok(trust)
}
