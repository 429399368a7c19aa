//! The providers of a configuration, with their secrets.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::BuildError;
use crate::bounded;
use crate::config::{self, Config};
use crate::guard;
use crate::http::{Provider, ProviderCredential};

/// As kubelet leaves a Secret's file for a group.
const READ_BY_A_GROUP: u32 = 0o440;
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
    Ok(ProviderCredential::new(&credential.client_id, read_secret(&credential.secret_file)?))
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, BuildError> {
    let unreadable = |source| BuildError::Unreadable { path: path.to_owned(), source };
    // Mode and contents of one and the same file.
    let file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    let refused = |why| Err(unreadable(io::Error::new(io::ErrorKind::PermissionDenied, why)));
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 && mode != READ_BY_A_GROUP {
        return refused("the file is open to others: mode 0600 is needed, or 0440 for a group");
    }
    if !guard::is_ours(found.uid()) {
        return refused("the file belongs to another user");
    }
    let bytes = Zeroizing::new(bounded::read(file, MAX_SECRET).map_err(unreadable)?);
    let secret = std::str::from_utf8(bounded::without_mark(&bytes))
        .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Ok(Zeroizing::new(secret.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::private(0o600, true)]
    #[case::of_a_secrets_volume(0o440, true)]
    #[case::of_a_group(0o640, false)]
    #[case::of_all(0o644, false)]
    fn a_secret_is_read_as_people_leave_it(#[case] mode: u32, #[case] taken: bool) {
        let home = tempfile::tempdir().unwrap();
        let secret_file = home.path().join("secret");
        std::fs::write(&secret_file, "\u{feff}s3cret\r\n").unwrap();
        std::fs::set_permissions(&secret_file, std::fs::Permissions::from_mode(mode)).unwrap();
        let read = read_secret(&secret_file).ok();
        assert_eq!(read.as_deref().map(String::as_str), taken.then_some("s3cret"));
    }

    #[test]
    fn a_secret_of_another_user_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let secret_file = home.path().join("secret");
        std::fs::write(&secret_file, "s3cret").unwrap();
        std::fs::set_permissions(&secret_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        // Only root can give a file away; everybody else has one that is open to others.
        let given_away = std::os::unix::fs::chown(&secret_file, Some(65534), None).is_ok();
        let secret_file = if given_away { secret_file } else { "/etc/passwd".into() };
        let refused = read_secret(&secret_file).err().unwrap();
        let why = if given_away { "belongs to another user" } else { "open to others" };
        assert!(refused.to_string().contains(why), "{refused}");
    }
}
