//! Where these commands keep what they compiled: no configuration tells them of a folder.

use std::path::PathBuf;
use std::sync::Once;

use standin::clock::SystemEntropy;
use standin::image::ImageCache;

use crate::cli::out::tell;

/// The user's cache. Where it cannot be trusted or used, everything is compiled each time, and it is said why, once.
pub(super) fn open(silent: bool) -> Option<ImageCache> {
    static SAID: Once = Once::new();
    match ImageCache::of_user(&folder()?, &SystemEntropy) {
        Ok(cache) => Some(cache),
        Err(cause) => {
            if !silent {
                SAID.call_once(|| tell!("what is compiled is not kept: {cause}"));
            }
            None
        }
    }
}

/// The user's folder of caches (XDG Base Directory Specification): a relative path there does not count.
fn folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))
}
