//! What can be said of a module without asking it anything.

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use wasmtime::component::Component;

use super::cases::Suite;
use super::package::{self, PackageError, PackageManifest};
use super::signature::{self, SignatureError};
use crate::engine::{EngineError, Runtime};
use crate::hex;
use crate::image::ImageError;

/// Why a file cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// No runtime.
    #[error(transparent)]
    Runtime(#[from] EngineError),
    /// It does not compile.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// What travels in it cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Its signature cannot be read.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// What there is to know.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// Lowercase hex SHA-256 of the file.
    pub digest: String,
    /// Its length, in bytes.
    pub size: usize,
    /// `None` where the module was not packed by `standin policy pack`.
    pub manifest: Option<PackageManifest>,
    /// How many cases travel with it.
    pub cases: usize,
    /// What it wants.
    pub imports: Vec<Import>,
    /// What it offers.
    pub exports: Vec<String>,
    /// The ids of the keys it says it was signed with. Nothing is verified.
    pub signers: Vec<String>,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Its name.
    pub name: String,
    /// Whether a policy module is given it; a module with one that it is not given is refused.
    pub given: bool,
}

/// Looks into a module.
///
/// # Errors
/// Where the file is no component, or what travels in it cannot be read.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, InspectError> {
    let manifest = PackageManifest::of(wasm)?;
    let signers = signature::signers(wasm)?;
    let cases = package::cases_of(wasm)?.as_ref().map_or(0, Suite::len);
    let runtime = Runtime::unpooled()?;
    let component = Component::from_binary(runtime.engine(), wasm).map_err(ImageError::Compile)?;
    let imports = super::imports(runtime.engine(), &component).into_iter().map(|(name, given)| Import { name, given });
    let exports = component.component_type().exports(runtime.engine()).map(|(name, _)| name.to_owned()).collect();
    let digest = hex::encode(digest(&SHA256, wasm).as_ref());
    Ok(Inspection { digest, size: wasm.len(), manifest, cases, imports: imports.collect(), exports, signers })
}
