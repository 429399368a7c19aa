//! The cache of whoever works on this machine without a configuration that names one.
//!
//! It is guarded as a host's is: a folder that is ours alone, and a key that only we can read, which lies beside the images instead of
//! being derived from a host's keys.

use std::fs::DirBuilder;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::folder::{self, FOLDER_MODE};
use super::{ImageCache, ImageError, Unusable};
use crate::clock::Entropy;

/// Our folder among the user's caches.
const FOLDER: &str = "standin";
/// The key, in that folder.
const KEY: &str = "image.key";
/// The images, in that folder.
const IMAGES: &str = "images";
/// The most images: every change of a policy makes another.
const MOST: usize = 16;

impl ImageCache {
    /// The cache of this user, `standin` in the folder `caches`; what is missing is made.
    ///
    /// # Errors
    /// Where one of the folders cannot be made, belongs to somebody else or is open to others.
    pub fn of_user(caches: &Path, entropy: &dyn Entropy) -> Result<Self, ImageError> {
        let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(caches);
        made.map_err(|source| ImageError::Folder { path: caches.into(), source })?;
        let path = caches.join(FOLDER);
        let own = folder::open(&path)?;
        let key = match read(&own) {
            Ok(key) => key,
            // Whoever could read or write it could make images: what was made with it does not count any more.
            Err(_unusable) => make(&own, entropy, &path)?,
        };
        Ok(Self { most: MOST, ..Self::open(&path.join(IMAGES), &key)? })
    }
}

fn read(folder: &OwnedFd) -> Result<Zeroizing<[u8; 32]>, Unusable> {
    let (mut file, length) = folder::file(folder, KEY)?;
    let mut key = Zeroizing::new([0; 32]);
    if length != key.len() as u64 {
        return Err(Unusable::Length);
    }
    file.read_exact(key.as_mut_slice())?;
    Ok(key)
}

fn make(folder: &OwnedFd, entropy: &dyn Entropy, path: &Path) -> Result<Zeroizing<[u8; 32]>, ImageError> {
    let mut key = Zeroizing::new([0; 32]);
    entropy.fill(key.as_mut_slice())?;
    let written = folder::replace(folder, KEY, &[key.as_slice()]);
    written.map_err(|source| ImageError::Folder { path: path.join(KEY), source })?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use wasmtime::Engine;

    use super::super::load;
    use super::*;
    use crate::clock::SystemEntropy;

    fn cache(caches: &Path) -> Result<ImageCache, ImageError> {
        ImageCache::of_user(caches, &SystemEntropy)
    }

    /// The inode of the one image.
    fn image(caches: &Path) -> u64 {
        let images: Vec<_> = fs::read_dir(caches.join("standin/images")).unwrap().map(Result::unwrap).collect();
        assert_eq!(images.len(), 1);
        images[0].metadata().unwrap().ino()
    }

    #[test]
    fn what_one_command_compiled_the_next_one_finds() {
        let dir = tempfile::tempdir().unwrap();
        let caches = dir.path().join("home/.cache");
        let (engine, wasm) = (Engine::default(), wat::parse_str("(component)").unwrap());
        load(&engine, Some(&cache(&caches).unwrap()), &wasm).unwrap();
        let first = image(&caches);
        load(&engine, Some(&cache(&caches).unwrap()), &wasm).unwrap();
        assert_eq!(image(&caches), first);
        let mode = |path: &str| fs::metadata(caches.join(path)).unwrap().mode() & 0o7777;
        assert_eq!([mode("standin"), mode("standin/images"), mode("standin/image.key")], [0o700, 0o700, 0o600]);
    }

    /// A key that others could read or write vouches for nothing: there is another, and what was made with it is made anew.
    #[test]
    fn a_key_that_is_not_ours_alone_vouches_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, wasm) = (Engine::default(), wat::parse_str("(component)").unwrap());
        let path = dir.path().join("standin/image.key");
        let mut before = None;
        let spoil: [&dyn Fn(); 4] = [
            &|| fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap(),
            &|| fs::write(&path, b"short").unwrap(),
            &|| fs::remove_file(&path).unwrap(),
            &|| {
                let elsewhere = dir.path().join("elsewhere");
                fs::rename(&path, &elsewhere).unwrap();
                std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
            },
        ];
        for spoil in spoil {
            load(&engine, Some(&cache(dir.path()).unwrap()), &wasm).unwrap();
            assert_ne!(Some(image(dir.path())), before, "made with the former key");
            before = Some(image(dir.path()));
            spoil();
            let key = cache(dir.path()).map(|_cache| fs::symlink_metadata(&path).unwrap()).unwrap();
            assert!(key.is_file() && key.mode() & 0o7777 == 0o600 && key.len() == 32);
        }
    }

    #[test]
    fn a_folder_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["standin", "standin/images"] {
            cache(dir.path()).unwrap();
            fs::set_permissions(dir.path().join(folder), fs::Permissions::from_mode(0o770)).unwrap();
            assert!(matches!(cache(dir.path()).err(), Some(ImageError::Mode { mode: 0o770, .. })), "{folder}");
            fs::set_permissions(dir.path().join(folder), fs::Permissions::from_mode(0o700)).unwrap();
        }
        fs::rename(dir.path().join("standin"), dir.path().join("other")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("other"), dir.path().join("standin")).unwrap();
        assert!(matches!(cache(dir.path()).err(), Some(ImageError::Folder { .. })));
    }

    #[test]
    fn few_images_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, cache) = (Engine::default(), cache(dir.path()).unwrap());
        for count in 0..MOST + 2 {
            let wasm = wat::parse_str(format!("(component {})", "(component) ".repeat(count))).unwrap();
            load(&engine, Some(&cache), &wasm).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path().join("standin/images")).unwrap().count(), MOST);
    }
}
