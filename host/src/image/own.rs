//! The cache of whoever works on this machine without a configuration that names one.
//!
//! It is guarded as a host's is: a folder that is ours alone, and a key that only we can read, which lies beside the images instead of
//! being derived from a host's keys.

use std::fs::DirBuilder;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::io::Errno;
use zeroize::Zeroizing;

use super::folder;
use super::{ImageCache, ImageError, Room, Unusable};
use crate::clock::Entropy;
use crate::guard::{self, OWN_FOLDER};

/// Our folder among the user's caches.
const FOLDER: &str = "standin";
/// The key, in that folder.
const KEY: &str = "image.key";
/// The images, in that folder.
const IMAGES: &str = "images";
/// Every change of a policy makes another image.
const ROOM: Room = Room { files: 16, bytes: 1 << 30 };

impl ImageCache {
    /// The cache of this user, `standin` in the folder `caches`; what is missing is made.
    ///
    /// # Errors
    /// Where one of the folders cannot be made, belongs to somebody else or is open to others, or there is no key.
    pub fn of_user(caches: &Path, entropy: &dyn Entropy) -> Result<Self, ImageError> {
        check(caches)?;
        let made = DirBuilder::new().recursive(true).mode(OWN_FOLDER).create(caches);
        made.map_err(|source| ImageError::Folder { path: caches.into(), source })?;
        let path = caches.join(FOLDER);
        let own = folder::open(&path)?;
        let key = match read(&own) {
            Ok(key) => key,
            // Whoever could read or write it could make images: what was made with it does not count any more.
            Err(unusable) => make(&own, &unusable, entropy, &path)?,
        };
        Ok(Self { room: ROOM, ..Self::open(&path.join(IMAGES), &key)? })
    }
}

/// Nothing is made in a home that is another user's: whoever works as root with somebody's `HOME` would leave folders there that its owner
/// can neither use nor delete.
fn check(caches: &Path) -> Result<(), ImageError> {
    for folder in caches.ancestors() {
        match rustix::fs::stat(folder) {
            Ok(stat) if guard::is_ours(stat.st_uid) => return Ok(()),
            Ok(_) => return Err(ImageError::Owner(folder.into())),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(ImageError::Folder { path: folder.into(), source: error.into() }),
        }
    }
    Ok(())
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

/// Makes a key, and returns the one that is there then: another command's, where that was quicker.
fn make(folder: &OwnedFd, unusable: &Unusable, entropy: &dyn Entropy, path: &Path) -> Result<Zeroizing<[u8; 32]>, ImageError> {
    let mut key = Zeroizing::new([0; 32]);
    entropy.fill(key.as_mut_slice())?;
    let deleted = if matches!(unusable, Unusable::Missing) { Ok(()) } else { folder::delete(folder, KEY) };
    let there =
        deleted.and_then(|()| folder::put(folder, KEY, &[key.as_slice()])).map_err(Unusable::Io).and_then(|()| read(folder));
    there.map_err(|cause| {
        let source = if let Unusable::Io(source) = cause { source } else { io::Error::other(cause.to_string()) };
        ImageError::Key { path: path.join(KEY), source }
    })
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
        for count in 0..ROOM.files + 2 {
            let wasm = wat::parse_str(format!("(component {})", "(component) ".repeat(count))).unwrap();
            load(&engine, Some(&cache), &wasm).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path().join("standin/images")).unwrap().count(), ROOM.files);
    }

    #[test]
    fn of_commands_that_make_a_key_at_once_the_first_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let own = folder::open(&dir.path().join("standin")).unwrap();
        let make = |before: &Unusable| make(&own, before, &SystemEntropy, dir.path()).unwrap();
        let first = make(&Unusable::Missing);
        assert_ne!(*first, [0; 32]);
        // This one looked before the first one's key was there.
        assert_eq!(*make(&Unusable::Missing), *first);
        assert_eq!(*read(&own).unwrap(), *first);
        assert_ne!(*make(&Unusable::Length), *first);
        assert_eq!(fs::read_dir(dir.path().join("standin")).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_cannot_be_made_is_no_cache() {
        let dir = tempfile::tempdir().unwrap();
        cache(dir.path()).unwrap();
        let key = dir.path().join("standin/image.key");
        fs::remove_file(&key).unwrap();
        fs::create_dir(&key).unwrap();
        let refused = cache(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("standin/image.key cannot be used: "), "{refused}");
    }

    #[test]
    fn nothing_is_made_in_another_users_home() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        fs::create_dir(&home).unwrap();
        // Only root can give a folder away, and everyone else cannot write what is another user's anyway.
        if std::os::unix::fs::chown(&home, Some(65534), None).is_err() {
            return;
        }
        let refused = cache(&home.join(".cache")).err();
        assert!(matches!(refused, Some(ImageError::Owner(path)) if path == home));
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
        // Nor is what somebody else put into ours taken.
        fs::rename(&home, dir.path().join("standin")).unwrap();
        assert!(matches!(cache(dir.path()).err(), Some(ImageError::Owner(_))));
    }

    #[test]
    fn where_no_folder_can_be_there_is_no_cache() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        for caches in [file.join("caches"), file] {
            assert!(matches!(cache(&caches).err(), Some(ImageError::Folder { .. })), "{}", caches.display());
        }
    }
}
