//! What a packed module says of itself, beside what its engine says: name, version, rules, and the cases it was packed with.

use serde::{Deserialize, Serialize};

use super::cases::Suite;
use super::sections::{self, SectionError};
use crate::json;

/// Where the manifest travels.
const MANIFEST: &str = "standin:policy-manifest";
/// Where the cases travel.
const CASES: &str = "standin:policy-cases";

/// The manifest of a packed module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageManifest {
    /// What the module is called: `acme`.
    pub name: String,
    /// Which version it is. It only ever goes up.
    pub version: u64,
    /// The engine inside, with its version.
    pub engine: String,
    /// Lowercase hex SHA-256 of the sources.
    pub source_digest: String,
    /// Linear memory that the module starts with, in bytes.
    pub memory: u64,
    /// The names of its rules.
    pub rules: Vec<String>,
}

/// Why what travels in a module cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The file has no readable sections.
    #[error(transparent)]
    Section(#[from] SectionError),
    /// The manifest is none.
    #[error("the module's manifest cannot be read: {0}")]
    Manifest(#[source] serde_json::Error),
    /// The cases are none.
    #[error("the module's cases cannot be read: {0}")]
    Cases(#[source] serde_json::Error),
}

impl PackageManifest {
    /// Reads the manifest of a module; `None` where it was not packed by `standin policy pack`.
    ///
    /// # Errors
    /// Where the file is no component, or the manifest no manifest.
    pub fn of(wasm: &[u8]) -> Result<Option<Self>, PackageError> {
        let section = sections::custom(wasm, MANIFEST)?;
        section.map(|section| json::from_slice(section).map_err(PackageError::Manifest)).transpose()
    }
}

/// Reads the cases that a module was packed with.
///
/// # Errors
/// Where the file is no component, or the cases are none.
pub fn cases_of(wasm: &[u8]) -> Result<Option<Suite>, PackageError> {
    let section = sections::custom(wasm, CASES)?;
    section.map(|section| json::from_slice(section).map_err(PackageError::Cases)).transpose()
}

/// Writes both into the module.
#[cfg(any(test, feature = "policy-engines"))]
pub(super) fn attach(wasm: &mut Vec<u8>, manifest: &PackageManifest, cases: Option<&Suite>) -> serde_json::Result<()> {
    sections::append(wasm, MANIFEST, &serde_json::to_vec(manifest)?);
    if let Some(cases) = cases {
        sections::append(wasm, CASES, &serde_json::to_vec(cases)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn manifest() -> PackageManifest {
        let (name, engine) = ("acme".to_owned(), "cedar".to_owned());
        PackageManifest { name, version: 7, engine, source_digest: "00".into(), memory: 65_536, rules: vec!["a".into()] }
    }

    #[test]
    fn manifest_and_cases_travel() {
        let mut wasm = EMPTY.to_vec();
        assert!(PackageManifest::of(&wasm).unwrap().is_none() && cases_of(&wasm).unwrap().is_none());
        let suite = Suite::of([("a.json", r#"{"cases": [{"name": "one", "input": {}, "expect": {"effect": "deny"}}]}"#)], None);
        attach(&mut wasm, &manifest(), Some(&suite.unwrap())).unwrap();
        assert_eq!(PackageManifest::of(&wasm).unwrap().unwrap(), manifest());
        assert_eq!(cases_of(&wasm).unwrap().unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_manifest_is_an_error() {
        let mut wasm = EMPTY.to_vec();
        sections::append(&mut wasm, MANIFEST, b"{}");
        sections::append(&mut wasm, CASES, b"[");
        assert!(matches!(PackageManifest::of(&wasm), Err(PackageError::Manifest(_))));
        assert!(matches!(cases_of(&wasm), Err(PackageError::Cases(_))));
        assert!(matches!(PackageManifest::of(b"no wasm"), Err(PackageError::Section(SectionError::Malformed))));
    }
}
