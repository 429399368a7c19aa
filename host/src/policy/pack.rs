//! Packing: an engine that has read its sources, as a module that begins with its rules parsed.
//!
//! The engine is instantiated once, in a sandbox whose time stands still and whose randomness is a constant, and takes the
//! sources; then its memory becomes the initial memory of a new component. So a fresh sandbox parses nothing, and the same sources
//! make the same bytes.

use std::fmt;

use wasmtime::component::{ComponentType, Lift, Lower};

use super::cases::Suite;
use super::package::PackageManifest;
use crate::engine::{EngineError, SandboxError};
use crate::image::{ImageCache, ImageError};

#[cfg(feature = "policy-engines")]
mod snapshot;
#[cfg(not(feature = "policy-engines"))]
mod snapshot {
    use super::*;

    pub(super) fn pack(_: &[u8], _: &Package, _: Option<&ImageCache>, _: &dyn Fn(Step)) -> Result<Packed, PackError> {
        Err(PackError::NoEngines)
    }
}

/// The Cedar engine, before packing.
#[cfg(feature = "policy-engines")]
pub const CEDAR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cedar.wasm"));

/// The Rego engine, before packing.
#[cfg(feature = "policy-engines")]
pub const REGO: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rego.wasm"));

/// The engines of a build that has them.
struct Engines {
    cedar: &'static [u8],
    rego: &'static [u8],
}

#[cfg(feature = "policy-engines")]
const ENGINES: Option<Engines> = Some(Engines { cedar: CEDAR, rego: REGO });
#[cfg(not(feature = "policy-engines"))]
const ENGINES: Option<Engines> = None;

/// A language of policies whose engine can be built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Cedar.
    Cedar,
    /// Rego, the language of Open Policy Agent.
    Rego,
}

impl Language {
    /// Its engine, before packing.
    ///
    /// # Errors
    /// In a build without engines.
    pub fn engine(self) -> Result<&'static [u8], PackError> {
        self.among(ENGINES)
    }

    fn among(self, engines: Option<Engines>) -> Result<&'static [u8], PackError> {
        let engines = engines.ok_or(PackError::NoEngines)?;
        Ok(match self {
            Self::Cedar => engines.cedar,
            Self::Rego => engines.rego,
        })
    }
}

/// What packing is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The engine is made into machine code, or that is taken from the cache.
    Compiling,
    /// The engine reads the sources.
    Reading,
    /// The engine's memory becomes a module.
    Writing,
}

/// One file of policies: its path inside the bundle, and its text.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Source {
    /// Its path inside the bundle.
    pub name: String,
    /// Its text.
    pub content: String,
}

/// One thing that is wrong in the sources.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Fault {
    /// The file's path inside the bundle.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The line it is in.
    #[component(name = "source-line")]
    pub source_line: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// This build has nothing to pack with.
    #[error(
        "this build of standin makes no modules of policies: it was built without its default feature `policy-engines`; \
         `cargo build --release --locked -p standin` builds it with them"
    )]
    NoEngines,
    /// No runtime.
    #[error(transparent)]
    Runtime(#[from] EngineError),
    /// The engine wants what no module is given.
    #[error("the engine imports {0}, which no policy module is given")]
    Import(String),
    /// It is no component of world `policy-engine`, or cannot be made into a module.
    #[error("this is no policy engine that can be packed: {0:#}")]
    NotAnEngine(wasmtime::Error),
    /// It does not compile.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The engine gave no answer.
    #[error("the engine failed: {0}")]
    Sandbox(SandboxError),
    /// The sources are wrong.
    #[error("{}", count(.0.len()))]
    Faults(Vec<Fault>),
    /// The manifest or the cases cannot be written.
    #[error("manifest and cases cannot be written: {0}")]
    Package(#[from] serde_json::Error),
}

fn count(faults: usize) -> String {
    format!("{faults} {} in the policies", if faults == 1 { "fault" } else { "faults" })
}

/// What is packed.
#[derive(Debug, Clone)]
pub struct Package {
    /// What the module is called.
    pub name: String,
    /// Which version it is.
    pub version: u64,
    /// The policies, and what belongs to them.
    pub sources: Vec<Source>,
    /// The cases that travel with it.
    pub cases: Option<Suite>,
}

/// A packed module.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The component.
    pub wasm: Vec<u8>,
    /// What it says of itself.
    pub manifest: PackageManifest,
}

/// Packs sources with an engine: one of [`Language::engine`], or any component of world `policy-engine`.
///
/// # Errors
/// Where the engine is none, or finds faults in the sources.
pub fn pack(engine: &[u8], package: &Package) -> Result<Packed, PackError> {
    pack_with(engine, package, None, &|_step| {})
}

/// The same with the engine compiled once and kept in a cache, and with a word for each step as it begins.
///
/// # Errors
/// As [`pack`].
pub fn pack_with(
    engine: &[u8],
    package: &Package,
    cache: Option<&ImageCache>,
    begin: &dyn Fn(Step),
) -> Result<Packed, PackError> {
    snapshot::pack(engine, package, cache, begin)
}

#[cfg(all(test, feature = "policy-engines"))]
mod tests;

#[cfg(test)]
mod without_engines {
    use super::*;

    #[test]
    fn a_build_without_engines_says_which_build_has_them() {
        for language in [Language::Cedar, Language::Rego] {
            let refused = language.among(None).unwrap_err();
            assert!(matches!(refused, PackError::NoEngines));
            assert!(refused.to_string().contains("`cargo build --release --locked -p standin`"), "{refused}");
            assert_eq!(language.engine().is_ok(), cfg!(feature = "policy-engines"));
        }
    }
}
