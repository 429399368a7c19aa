//! What a configuration names, looked at without putting it to use: nothing is made, changed or locked.

use super::policy::{self, LoadError, check_cases, file_of, limits, policy_trust};
use super::providers::providers;
use super::{BuildError, Config, DIRECTORY, STORE, open_keys};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, IssuerRegistration, PolicySource};
use crate::engine::{Runtime, RuntimeOptions};
use crate::http::ReqwestHttp;
use crate::keys::issuers::{Registered, read_file};
use crate::policy::trust::Trust;
use crate::policy::{PLATFORM, PolicyError, PolicyModule, tenant_slot};
use crate::registry::JwksSource;
use crate::sqlite::{self, SqliteError};
use crate::tape::Recorder;

/// Something that the configuration (or, as `environment`, that of this process) names and that a server on it could not use.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {error}")]
pub struct Unusable {
    /// The key that names it, or `environment`.
    pub key: String,
    /// Why not.
    #[source]
    pub error: BuildError,
}

/// Opens what the configuration names: the key folder, the policy module, issuers' key files, providers' secrets, the databases; and
/// looks at the proxy that the environment names.
pub fn inspect(config: &Config) -> Vec<Unusable> {
    let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::new(SystemClock::default());
    let policy = |key, slot, module| {
        let usable = self::module(module).map_err(|source| BuildError::Policy { slot, file: file_of(module), source });
        (key, usable)
    };
    let mut found: Vec<(String, Result<(), BuildError>)> = vec![
        ("keys.dir".into(), open_keys(None, config, &clock).map(drop)),
        policy("policy.module".into(), PLATFORM.to_owned(), &config.policy.platform),
    ];
    let tenants = config.policy.tenants.iter().enumerate();
    found.extend(
        tenants.map(|(index, own)| policy(format!("policy.tenant[{index}].module"), tenant_slot(&own.tenant), &own.module)),
    );
    found.extend([
        ("directory.url".into(), directory(config)),
        ("store.url".into(), store(config)),
        ("audit.path".into(), audit(config)),
        ("record".into(), record(config)),
        ("provider".into(), providers(Some(config)).map(drop)),
        ("environment".into(), ReqwestHttp::from_env().map(drop).map_err(BuildError::from)),
    ]);
    let issuers = config.issuers.iter().enumerate();
    found.extend(issuers.map(|(index, issuer)| (format!("trusted_issuer[{index}].jwks_file"), issuer_keys(issuer))));
    found.into_iter().filter_map(|(key, result)| result.err().map(|error| Unusable { key, error })).collect()
}

/// A module and its candidate, as at the start, but for the versions that were live.
fn module(module: &config::PolicyModule) -> Result<(), LoadError> {
    let trust = policy_trust(module)?;
    let file = match &module.source {
        PolicySource::Baseline => None,
        PolicySource::File(path) => Some((path, trust.clone())),
    };
    let shadow = module.shadow.as_ref().map(|path| (path, Trust { digest: None, ..trust }));
    for (path, trust) in file.into_iter().chain(shadow) {
        let wasm = policy::read(path, &trust)?;
        trust.check(&wasm)?;
        let runtime =
            Runtime::new(RuntimeOptions { slots: 1, ahead: 1, ..RuntimeOptions::default() }).map_err(PolicyError::World)?;
        check_cases(&PolicyModule::load(&runtime, None, &wasm, limits(module))?, &wasm, &SystemClock::default())?;
    }
    Ok(())
}

fn audit(config: &Config) -> Result<(), BuildError> {
    let path = &config.audit.path;
    crate::audit::check_place(path).map_err(|source| BuildError::Audit { path: path.clone(), source })
}

fn directory(config: &Config) -> Result<(), BuildError> {
    match sqlite::check_file(&config.directory) {
        Err(SqliteError::Missing) => Err(BuildError::NoDirectory(config.directory.clone())),
        checked => checked.map_err(|source| BuildError::Database { part: DIRECTORY, path: config.directory.clone(), source }),
    }
}

/// The folder of tapes is made at the start.
fn record(config: &Config) -> Result<(), BuildError> {
    Ok(config.record.as_ref().map_or(Ok(()), Recorder::check)?)
}

/// A store begins empty.
fn store(config: &Config) -> Result<(), BuildError> {
    match sqlite::check_file(&config.store) {
        Err(SqliteError::Missing) => Ok(()),
        checked => checked.and_then(|()| sqlite::check_writable(&config.store)).map_err(|source| BuildError::Database {
            part: STORE,
            path: config.store.clone(),
            source,
        }),
    }
}

/// Where the issuer's keys come from, and what is there where they are in a file. Those behind a URL are fetched when first needed.
pub(super) fn registered(issuer: &IssuerRegistration) -> Result<Registered, BuildError> {
    let IssuerRegistration { issuer, keys } = issuer;
    let set = match &keys.source {
        JwksSource::Url(_) => None,
        JwksSource::File(path) => {
            let unreadable = |source| BuildError::IssuerKeys { name: issuer.name.clone(), path: path.clone(), source };
            Some(read_file(path).map_err(unreadable)?)
        }
    };
    Ok(Registered { name: issuer.name.clone(), source: keys.source.clone(), algorithms: keys.algorithms.clone(), set })
}

/// Whether the issuer's keys are there, and one at least verifies something. A server on it starts all the same: the others' tokens
/// are none of this issuer's business.
fn issuer_keys(issuer: &IssuerRegistration) -> Result<(), BuildError> {
    match registered(issuer)?.set {
        Some(set) if !set.serves(&issuer.keys.algorithms) => {
            let mut why: Vec<String> = set.left_out().iter().map(ToString::to_string).collect();
            if !set.is_empty() {
                why.push("what else is in it is for none of the issuer's `algorithms`".to_owned());
            }
            Err(BuildError::NoUsableKey { name: issuer.issuer.name.clone(), why })
        }
        Some(_) | None => Ok(()),
    }
}
