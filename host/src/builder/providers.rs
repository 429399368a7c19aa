//! The providers of a configuration, with their secrets.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use zeroize::Zeroizing;

use super::BuildError;
use crate::bounded;
use crate::config::{self, Config};
use crate::http::{Provider, ProviderCredential};

/// The longest secret, in bytes.
const MAX_SECRET: u64 = 16 * 1024;

pub(super) fn providers(config: Option<&Config>) -> Result<HashMap<String, Provider>, BuildError> {
    let configured = config.map(|config| config.providers.as_slice()).unwrap_or_default();
    configured
        .iter()
        .map(|provider| {
            let credential = provider.credential.as_ref().map(read_credential).transpose()?;
            let max_body = usize::try_from(provider.max_body).unwrap_or(usize::MAX);
            let made = Provider::new(&provider.origin, credential).map(|made| made.with_limits(provider.timeout, max_body));
            let made = made.map_err(|source| BuildError::Provider { name: provider.name.clone(), source })?;
            Ok((provider.name.clone(), made))
        })
        .collect()
}

fn read_credential(credential: &config::ProviderCredential) -> Result<ProviderCredential, BuildError> {
    let path = &credential.secret_file;
    let unreadable = |source| BuildError::Unreadable { path: path.clone(), source };
    // Mode and contents of one and the same file.
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.permissions().mode() & 0o077 != 0 {
        return Err(unreadable(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the file is open to others: mode 0600 is needed",
        )));
    }
    let bytes = Zeroizing::new(bounded::read(file, MAX_SECRET).map_err(unreadable)?);
    let secret = std::str::from_utf8(bounded::without_mark(&bytes))
        .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Ok(ProviderCredential::new(&credential.client_id, Zeroizing::new(secret.trim().to_owned())))
}
