//! Signatures of modules, in the format of the WebAssembly tool conventions: an Ed25519 signature over the hash of everything
//! behind the section that holds it.

use std::collections::BTreeMap;
use std::io::Cursor;

use wasmsign2::{KeyPair, Module, PublicKey, PublicKeySet, SecretKey, SignatureData, WSError};
use zeroize::Zeroizing;

use super::sections::{self, SectionError};
use crate::hex;

/// The section that holds the signatures; the format wants it first.
const SECTION: &str = "signature";

/// Why a module is not signed, or its signature does not count.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The file has no readable sections.
    #[error(transparent)]
    Section(#[from] SectionError),
    /// Not a key.
    #[error("this is no Ed25519 {0} key in PEM")]
    Key(&'static str),
    /// There is no signature.
    #[error("the module is not signed")]
    Unsigned,
    /// The signature cannot be read.
    #[error("the module's signature cannot be read")]
    Malformed,
    /// No signature by a key that counts fits the module.
    #[error("no trusted key signed the module as it is: it was altered, or signed by another key{}", by(.0))]
    Untrusted(Vec<String>),
    /// The module could not be signed.
    #[error("the module cannot be signed: {0}")]
    Sign(#[source] WSError),
}

fn by(keys: &[String]) -> String {
    if keys.is_empty() { String::new() } else { format!(" (it names {})", keys.join(", ")) }
}

/// Makes a key pair: the secret key and the public key, in PEM.
pub fn generate() -> (Zeroizing<String>, String) {
    let pair = KeyPair::generate();
    (Zeroizing::new(pair.sk.to_pem()), pair.pk.to_pem())
}

/// Signs a module with a secret key in PEM. A signature that is there already is replaced.
///
/// # Errors
/// Where the key is none, or the file no component.
pub fn sign(wasm: &[u8], secret: &str) -> Result<Vec<u8>, SignatureError> {
    let key = SecretKey::from_pem(secret).map_err(|_unreadable| SignatureError::Key("secret"))?;
    let public = PublicKey { pk: key.sk.public_key(), key_id: None };
    sections::sections(wasm)?;
    let module = Module::deserialize(&mut Cursor::new(wasm)).map_err(SignatureError::Sign)?;
    let id = public.attach_default_key_id().key_id;
    let mut signed = Vec::with_capacity(wasm.len() + 256);
    let module = key.sign(module, id.as_ref()).map_err(SignatureError::Sign)?;
    module.serialize(&mut signed).map_err(SignatureError::Sign)?;
    Ok(signed)
}

/// The ids of the keys that a module says it was signed with; none if it is not signed. Nothing is verified.
///
/// # Errors
/// Where the file is no component or its signature none.
pub fn signers(wasm: &[u8]) -> Result<Vec<String>, SignatureError> {
    let sets = signature(wasm)?.map(|data| data.signed_hashes_set).unwrap_or_default();
    let name = |id: &Option<Vec<u8>>| id.as_deref().map_or_else(|| "unnamed".to_owned(), hex::encode);
    Ok(sets.iter().flat_map(|set| set.signatures.iter().map(|signature| name(&signature.key_id))).collect())
}

/// What the first section says, if it is the one with the signatures.
fn signature(wasm: &[u8]) -> Result<Option<SignatureData>, SignatureError> {
    let first = sections::first(wasm)?.filter(|(name, _)| *name == SECTION);
    first.map(|(_, body)| SignatureData::deserialize(body).map_err(|_unreadable| SignatureError::Malformed)).transpose()
}

/// Public keys whose signatures count, by id.
#[derive(Clone, Default)]
pub struct TrustedKeys(BTreeMap<String, PublicKey>);

impl std::fmt::Debug for TrustedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl TrustedKeys {
    /// Adds a public key in PEM; returns its id.
    ///
    /// # Errors
    /// Where it is none.
    pub fn add(&mut self, pem: &str) -> Result<String, SignatureError> {
        let key = PublicKey::from_pem(pem).map_err(|_unreadable| SignatureError::Key("public"))?.attach_default_key_id();
        let id = hex::encode(key.key_id().map(Vec::as_slice).unwrap_or_default());
        self.0.insert(id.clone(), key);
        Ok(id)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids of those keys that signed the module exactly as it is; at least one.
    ///
    /// # Errors
    /// Where none of them did.
    pub fn verify(&self, wasm: &[u8]) -> Result<Vec<String>, SignatureError> {
        // The lengths of all sections are checked first: the library believes them.
        let data = signature(wasm)?.ok_or(SignatureError::Unsigned)?;
        // The format lets a signature cover the beginnings of a module too, and the library would take such a beginning for all of
        // it.
        if data.signed_hashes_set.iter().any(|set| set.hashes.len() != 1) {
            return Err(SignatureError::Malformed);
        }
        let named = signers(wasm)?;
        let keys = PublicKeySet::new(self.0.values().cloned().collect());
        match keys.verify(&mut Cursor::new(wasm), None) {
            Ok(valid) => Ok(self.0.iter().filter(|(_, key)| valid.contains(key)).map(|(id, _)| id.clone()).collect()),
            Err(WSError::NoSignatures) => Err(SignatureError::Unsigned),
            Err(WSError::VerificationFailed) => Err(SignatureError::Untrusted(named)),
            Err(_unreadable) => Err(SignatureError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module() -> Vec<u8> {
        let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
        sections::append(&mut wasm, "a", b"content");
        wasm
    }

    fn trusting(keys: &[&str]) -> TrustedKeys {
        let mut trusted = TrustedKeys::default();
        for key in keys {
            trusted.add(key).unwrap();
        }
        trusted
    }

    #[test]
    fn a_signature_says_who_and_that_nothing_changed() {
        let ((secret, public), (_, other)) = (generate(), generate());
        let signed = sign(&module(), &secret).unwrap();
        let id = trusting(&[]).add(&public).unwrap();
        assert_eq!(signers(&signed).unwrap(), [id.as_str()]);
        assert_eq!(trusting(&[&other, &public]).verify(&signed).unwrap(), [id.as_str()]);
        assert!(matches!(trusting(&[&other]).verify(&signed), Err(SignatureError::Untrusted(named)) if named == [id]));
        // Signed again, by another: the former signature is gone.
        let (again, another) = generate();
        let resigned = sign(&signed, &again).unwrap();
        assert!(trusting(&[&public]).verify(&resigned).is_err() && trusting(&[&another]).verify(&resigned).is_ok());
    }

    #[test]
    fn every_byte_counts() {
        let (secret, public) = generate();
        let signed = sign(&module(), &secret).unwrap();
        let trusted = trusting(&[&public]);
        assert!(trusted.verify(&signed).is_ok());
        for at in 0..signed.len() {
            let mut altered = signed.clone();
            altered[at] ^= 1;
            assert!(trusted.verify(&altered).is_err(), "byte {at}");
        }
        let mut longer = signed.clone();
        sections::append(&mut longer, "b", b"");
        assert!(matches!(trusted.verify(&longer), Err(SignatureError::Untrusted(_))));
        assert!(trusted.verify(&signed[..signed.len() - 1]).is_err());
    }

    /// Who signs in parts signs that each beginning may stand alone.
    #[test]
    fn a_signature_of_parts_is_refused() {
        let (secret, public) = generate();
        let (key, public_key) = (SecretKey::from_pem(&secret).unwrap(), PublicKey::from_pem(&public).unwrap());
        let mut wasm = module();
        sections::append(&mut wasm, "b", b"more");
        let module = Module::deserialize(&mut Cursor::new(wasm)).unwrap();
        let parts =
            module.split(|section| matches!(section, wasmsign2::Section::Custom(custom) if custom.name() == "a")).unwrap();
        let id = public_key.attach_default_key_id().key_id;
        let (signed, _) = key.sign_multi(parts, id.as_ref(), false, false).unwrap();
        let mut wasm = Vec::new();
        signed.serialize(&mut wasm).unwrap();
        assert!(matches!(trusting(&[&public]).verify(&wasm), Err(SignatureError::Malformed)));
    }

    #[test]
    fn what_is_not_signed_or_no_key_is_told() {
        let (secret, public) = generate();
        let trusted = trusting(&[&public]);
        assert!(matches!(trusted.verify(&module()), Err(SignatureError::Unsigned)));
        assert!(signers(&module()).unwrap().is_empty());
        assert!(matches!(trusted.verify(b"no wasm"), Err(SignatureError::Section(_))));
        let mut broken = b"\0asm\x0d\0\x01\0".to_vec();
        sections::append(&mut broken, SECTION, b"?");
        assert!(matches!(trusted.verify(&broken), Err(SignatureError::Malformed)));
        assert!(matches!(signers(&broken), Err(SignatureError::Malformed)));
        assert!(matches!(sign(&module(), &public), Err(SignatureError::Key("secret"))));
        assert!(matches!(sign(b"", &secret), Err(SignatureError::Section(_))));
        assert!(matches!(TrustedKeys::default().add(&secret), Err(SignatureError::Key("public"))));
        assert!(trusting(&[]).is_empty() && !trusted.is_empty());
    }
}
