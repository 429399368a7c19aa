//! Precompiled component images, cached on disk.
//!
//! A component is compiled once; the machine code is kept in a folder only we can write, authenticated with a key of the host or of the user, and
//! mapped at the next start. Whatever does not fit — missing, altered, made by another engine — is compiled anew and replaced.

mod folder;
mod own;

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::hmac;
use rustix::fs::{AtFlags, FileType, Timespec, Timestamps};
use rustix::io::Errno;
use wasmtime::Engine;
use wasmtime::component::Component;
use zeroize::Zeroizing;

use crate::clock::EntropyError;
use crate::hex;

/// Length of the tag that ends an image.
const TAG: u64 = 32;
/// The largest image that is looked at.
const MAX_IMAGE: u64 = 1 << 30;

/// What a folder holds at most.
#[derive(Debug, Clone, Copy)]
struct Room {
    files: usize,
    bytes: u64,
}

/// Of a host: every component and every version of the engine has its own image.
const HOST: Room = Room { files: 64, bytes: 4 << 30 };
/// Where a process finds its own descriptors by path.
#[cfg(target_os = "linux")]
const DESCRIPTORS: &str = "/proc/self/fd";
#[cfg(not(target_os = "linux"))]
const DESCRIPTORS: &str = "/dev/fd";

/// Both of a file's times.
const NOW: Timestamps = {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    Timestamps { last_access: now, last_modification: now }
};

/// Why there is no cache or no component.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The folder cannot be made or looked at.
    #[error("the image folder {path} cannot be used: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Somebody else owns the folder.
    #[error("the image folder {0} belongs to another user")]
    Owner(PathBuf),
    /// Somebody else may reach into the folder.
    #[error("the image folder {path} has mode {mode:04o}; it has to be 0700")]
    Mode {
        /// The folder.
        path: PathBuf,
        /// What was found.
        mode: u32,
    },
    /// There is no key to authenticate images with.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The key to authenticate images with cannot be made or read.
    #[error("the key {path} cannot be used: {source}")]
    Key {
        /// Its file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The bytes are no component.
    #[error("the component does not compile: {0:#}")]
    Compile(wasmtime::Error),
}

/// Why a cached image is not used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("there is none")]
    Missing,
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is not a file of ours with mode 0600")]
    Owner,
    #[error("its length is out of range")]
    Length,
    #[error("its tag is wrong")]
    Tag,
    #[error("the engine refuses it: {0:#}")]
    Engine(wasmtime::Error),
}

/// The folder of images.
pub struct ImageCache {
    folder: OwnedFd,
    key: hmac::Key,
    room: Room,
}

impl std::fmt::Debug for ImageCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageCache").field("folder", &self.folder).field("key", &"[redacted]").finish()
    }
}

impl ImageCache {
    /// Opens the folder, or makes it. `key` authenticates what is in it and must be this host's own.
    ///
    /// # Errors
    /// Where the folder cannot be made, belongs to somebody else or is open to others.
    pub fn open(path: &Path, key: &Zeroizing<[u8; 32]>) -> Result<Self, ImageError> {
        let folder = folder::open(path)?;
        Ok(Self { folder, key: hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()), room: HOST })
    }

    /// Loads the image of this name, if it is ours and whole.
    fn read(&self, engine: &Engine, name: &str) -> Result<Component, Unusable> {
        let (file, length) = folder::file(&self.folder, name)?;
        let code = length.checked_sub(TAG).filter(|_| length <= MAX_IMAGE).ok_or(Unusable::Length)?;
        self.authenticate(&file, name, code)?;
        // What is used is not the oldest. Where that cannot be written down, it is made again some day.
        rustix::fs::futimens(&file, &NOW).ok();
        let path = format!("{DESCRIPTORS}/{}", file.as_raw_fd());
        #[expect(unsafe_code, reason = "machine code can only be mapped unsafely; the proof is below")]
        // SAFETY: the file has to hold what `Engine::precompile_component` made, unchanged while it is mapped.
        // - Made by us: its tag, a MAC under the host's key (or the user's own, see `own`) over its name and every byte of code, has just
        //   been verified. Only `ImageCache::write` makes such tags, and only over the engine's own output. wasmtime checks for itself
        //   that version and configuration are this engine's.
        // - The same file: the path names the descriptor that was hashed, not the name in the folder, so a file put in its
        //   place meanwhile is not looked at.
        // - Unchanged: the file belongs to our user with mode 0600 in a folder with mode 0700, so nobody but our user and
        //   root can write to it, and both can write to this process's memory as it is. We never write into a file
        //   of that name: a new image is a new file, renamed over the old one.
        let component = unsafe { Component::deserialize_file(engine, &path) };
        component.map_err(Unusable::Engine)
    }

    /// Compares the tag at the end of `file` with one made of its name and its first `code` bytes.
    fn authenticate(&self, file: &File, name: &str, code: u64) -> Result<(), Unusable> {
        let mut mac = self.mac(name);
        let mut rest = file.take(code);
        let mut buffer = vec![0; 256 * 1024];
        let mut seen = 0;
        loop {
            let count = rest.read(&mut buffer)?;
            let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { break };
            mac.update(chunk);
            seen += chunk.len() as u64;
        }
        let mut tag = Vec::new();
        let mut file = file;
        Read::take(&mut file, TAG + 1).read_to_end(&mut tag)?;
        if seen != code {
            return Err(Unusable::Length);
        }
        let ours = mac.sign();
        aws_lc_rs::constant_time::verify_slices_are_equal(ours.as_ref(), &tag).map_err(|_| Unusable::Tag)
    }

    /// Writes an image, whole or not at all.
    fn write(&self, name: &str, code: &[u8]) -> io::Result<()> {
        let mut mac = self.mac(name);
        mac.update(code);
        let tag = mac.sign();
        folder::replace(&self.folder, name, &[code, tag.as_ref()])
    }

    /// The same, once there is room for its length.
    fn keep(&self, name: &str, code: &[u8], length: u64) -> Result<(), Unusable> {
        if let Err(cause) = self.prune(length) {
            tracing::warn!(%cause, "old component images cannot be deleted");
        }
        Ok(self.write(name, code)?)
    }

    /// Deletes what was not used for longest until there is room for one more of this length. Whoever has one mapped keeps it.
    fn prune(&self, length: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.folder)? {
            let entry = entry?;
            let Some(stat) = there(rustix::fs::statat(&self.folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW))? else {
                continue;
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                let bytes = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
                files.push(((stat.st_mtime, stat.st_mtime_nsec), bytes, entry.file_name().to_owned()));
            }
        }
        files.sort();
        let (mut left, mut bytes) = (files.len(), files.iter().fold(length, |sum, (_, bytes, _)| sum.saturating_add(*bytes)));
        for (_, freed, name) in files {
            if left < self.room.files && bytes <= self.room.bytes {
                break;
            }
            there(rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()))?;
            (left, bytes) = (left - 1, bytes.saturating_sub(freed));
        }
        Ok(())
    }

    fn mac(&self, name: &str) -> hmac::Context {
        let mut mac = hmac::Context::with_key(&self.key);
        mac.update(b"standin component image\0");
        mac.update(&(name.len() as u64).to_be_bytes());
        mac.update(name.as_bytes());
        mac
    }
}

/// Nothing, where another process was quicker to delete it.
fn there<T>(found: rustix::io::Result<T>) -> rustix::io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Feeds a digest with what is hashed.
struct Digesting(digest::Context);

impl Hasher for Digesting {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// Every input that changes the machine code: the component, and wasmtime's version and configuration.
fn name(engine: &Engine, wasm: &[u8]) -> String {
    let mut hasher = Digesting(digest::Context::new(&SHA256));
    hasher.0.update(digest::digest(&SHA256, wasm).as_ref());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}.cwasm", hex::encode(hasher.0.finish().as_ref()))
}

/// The component made of `wasm`: from the cache where it is there and right, otherwise compiled, and cached.
///
/// # Errors
/// Where the bytes are no component.
pub fn load(engine: &Engine, cache: Option<&ImageCache>, wasm: &[u8]) -> Result<Component, ImageError> {
    let Some(cache) = cache else { return compile(engine, wasm) };
    let name = name(engine, wasm);
    match cache.read(engine, &name) {
        Ok(component) => return Ok(component),
        Err(Unusable::Missing) => {}
        Err(cause) => tracing::warn!(image = name, %cause, "a cached component image is not used and made anew"),
    }
    let code = engine.precompile_component(wasm).map_err(ImageError::Compile)?;
    let length = (code.len() as u64).saturating_add(TAG);
    let written = if length <= MAX_IMAGE { cache.keep(&name, &code, length) } else { Err(Unusable::Length) };
    written.and_then(|()| cache.read(engine, &name)).or_else(|cause| {
        tracing::warn!(image = name, %cause, "a component image cannot be cached; the next start is slow");
        #[expect(unsafe_code, reason = "machine code can only be taken unsafely; the proof is below")]
        // SAFETY: these bytes are what `Engine::precompile_component` of the same engine has just returned; they have not left this process.
        let component = unsafe { Component::deserialize(engine, &code) };
        component.map_err(ImageError::Compile)
    })
}

fn compile(engine: &Engine, wasm: &[u8]) -> Result<Component, ImageError> {
    Component::from_binary(engine, wasm).map_err(ImageError::Compile)
}

#[cfg(test)]
mod tests;
