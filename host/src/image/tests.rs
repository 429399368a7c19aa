use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};

use proptest::prelude::*;

use super::folder::FILE_MODE as IMAGE_MODE;
use super::*;
use crate::guard::OWN_FOLDER;

fn component() -> Vec<u8> {
    wat::parse_str("(component)").unwrap()
}

fn key(byte: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([byte; 32])
}

/// A folder with one image in it: cache, engine, folder, path of the image.
fn cached() -> (ImageCache, Engine, tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("images");
    let cache = ImageCache::open(&folder, &key(1)).unwrap();
    let engine = Engine::default();
    load(&engine, Some(&cache), &component()).unwrap();
    let path = folder.join(name(&engine, &component()));
    (cache, engine, dir, path)
}

fn unusable(cache: &ImageCache, engine: &Engine) -> Unusable {
    cache.read(engine, &name(engine, &component())).err().unwrap()
}

/// Whatever was wrong: `load` makes a new file, and that one is right.
fn made_anew(cache: &ImageCache, engine: &Engine, path: &Path) {
    load(engine, Some(cache), &component()).unwrap();
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, IMAGE_MODE);
    cache.read(engine, &name(engine, &component())).unwrap();
}

#[test]
fn a_second_load_uses_the_same_file() {
    let (cache, engine, _dir, path) = cached();
    let before = fs::metadata(&path).unwrap().ino();
    load(&engine, Some(&cache), &component()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o7777, OWN_FOLDER);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn an_altered_image_is_made_anew() {
    let (cache, engine, _dir, path) = cached();
    let whole = fs::read(&path).unwrap();
    for at in [0, whole.len() / 2, whole.len() - 33, whole.len() - 1] {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        fs::write(&path, altered).unwrap();
        assert!(matches!(unusable(&cache, &engine), Unusable::Tag));
    }
    made_anew(&cache, &engine, &path);
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(unusable(&cache, &engine), Unusable::Tag));
    made_anew(&cache, &engine, &path);
    fs::write(&path, b"short").unwrap();
    assert!(matches!(unusable(&cache, &engine), Unusable::Length));
    made_anew(&cache, &engine, &path);
}

#[test]
fn an_image_of_another_key_or_name_is_not_loaded() {
    let (cache, engine, dir, path) = cached();
    let other = ImageCache::open(&dir.path().join("images"), &key(2)).unwrap();
    assert!(matches!(unusable(&other, &engine), Unusable::Tag));
    fs::copy(&path, path.with_file_name("other.cwasm")).unwrap();
    assert!(matches!(cache.read(&engine, "other.cwasm").err(), Some(Unusable::Tag)));
}

#[test]
fn an_image_others_may_reach_is_made_anew() {
    let (cache, engine, _dir, path) = cached();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(unusable(&cache, &engine), Unusable::Owner));
    made_anew(&cache, &engine, &path);
    let elsewhere = path.with_file_name("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(matches!(unusable(&cache, &engine), Unusable::Io(_)));
    made_anew(&cache, &engine, &path);
}

#[test]
fn what_the_engine_did_not_make_is_refused_even_if_tagged() {
    let (cache, engine, _dir, path) = cached();
    let name = name(&engine, &component());
    cache.write(&name, b"not machine code").unwrap();
    assert!(matches!(unusable(&cache, &engine), Unusable::Engine(_)));
    made_anew(&cache, &engine, &path);
}

#[test]
fn another_engine_has_another_name() {
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    assert_ne!(name(&Engine::default(), &component()), name(&Engine::new(&config).unwrap(), &component()));
    assert_eq!(name(&Engine::default(), &component()), name(&Engine::default(), &component()));
}

#[test]
fn a_folder_open_to_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("images");
    fs::DirBuilder::new().mode(0o750).create(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
    let refused = ImageCache::open(&folder, &key(1)).err();
    assert!(matches!(refused, Some(ImageError::Mode { mode: 0o750, .. })));
}

#[test]
fn a_folder_of_another_user_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("images");
    ImageCache::open(&folder, &key(1)).unwrap();
    // Only root can give a folder away; for everyone else `/` is another user's.
    let given_away = std::os::unix::fs::chown(&folder, Some(65534), None).is_ok();
    let refused = ImageCache::open(if given_away { &folder } else { Path::new("/") }, &key(1)).err();
    assert!(matches!(refused, Some(ImageError::Owner(_))));
}

#[test]
fn a_folder_that_cannot_be_made_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = ImageCache::open(&dir.path().join("missing/images"), &key(1)).err();
    assert!(matches!(refused, Some(ImageError::Folder { .. })));
}

#[test]
fn what_is_no_component_does_not_load() {
    let (cache, engine, _dir, _path) = cached();
    assert!(matches!(load(&engine, Some(&cache), b"nonsense"), Err(ImageError::Compile(_))));
    assert!(matches!(load(&engine, None, b"nonsense"), Err(ImageError::Compile(_))));
    load(&engine, None, &component()).unwrap();
}

/// Makes what is there as old as it can be.
fn age(path: &Path) {
    fs::File::open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
}

#[test]
fn old_images_are_deleted() {
    let (cache, engine, _dir, path) = cached();
    let folder = path.parent().unwrap();
    age(&path);
    for number in 0..HOST.files {
        fs::write(folder.join(format!("{number}.cwasm")), b"later").unwrap();
    }
    load(&engine, Some(&cache), &wat::parse_str("(component (component))").unwrap()).unwrap();
    assert!(!path.exists());
    assert_eq!(fs::read_dir(folder).unwrap().count(), HOST.files);
}

#[test]
fn what_is_used_is_not_old() {
    let (cache, engine, _dir, path) = cached();
    age(&path);
    load(&engine, Some(&cache), &component()).unwrap();
    assert!(fs::metadata(&path).unwrap().modified().unwrap() > std::time::UNIX_EPOCH);
}

#[test]
fn large_images_leave_room_for_fewer() {
    let (mut cache, _engine, _dir, path) = cached();
    let folder = path.parent().unwrap();
    let length = fs::metadata(&path).unwrap().len();
    cache.room.bytes = 3 * length;
    age(&path);
    let other = folder.join("left behind by a crash");
    fs::write(&other, vec![0; usize::try_from(length).unwrap()]).unwrap();
    cache.prune(length).unwrap();
    assert!(path.exists() && other.exists());
    cache.prune(length + 1).unwrap();
    assert!(!path.exists() && other.exists());
    cache.prune(u64::MAX).unwrap();
    assert!(!other.exists());
}

/// As on a full disk, and without a second compilation.
#[test]
fn an_image_that_cannot_be_kept_is_used() {
    let (cache, engine, _dir, path) = cached();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    load(&engine, Some(&cache), &component()).unwrap();
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "half a file was left behind");
}

#[test]
fn a_folder_may_have_its_group_from_the_one_around_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o2770)).unwrap();
    ImageCache::open(&dir.path().join("images"), &key(1)).unwrap();
}

#[test]
fn the_key_is_not_shown() {
    let (cache, ..) = cached();
    assert!(format!("{cache:?}").contains("[redacted]"));
}

/// An engine, and what of its configuration changes the machine code.
fn engine(epochs: bool, canonical_nan: bool, reservation: u64) -> Engine {
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(epochs).cranelift_nan_canonicalization(canonical_nan).memory_reservation(reservation << 20);
    Engine::new(&config).unwrap()
}

proptest! {
    /// Bytes are neither moved between component and configuration nor left out.
    #[test]
    fn no_two_components_or_engines_share_an_image_name(
        one in proptest::collection::vec(0_u8..3, 0..4),
        other in proptest::collection::vec(0_u8..3, 0..4),
        first in (any::<bool>(), any::<bool>(), 1_u64..3),
        second in (any::<bool>(), any::<bool>(), 1_u64..3),
    ) {
        let named = |wasm: &[u8], (epochs, nan, reservation)| name(&engine(epochs, nan, reservation), wasm);
        prop_assert_eq!(one == other && first == second, named(&one, first) == named(&other, second));
    }
}
