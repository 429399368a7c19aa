//! The files of a bundle.

use sha2::{Digest as _, Sha256};

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path inside the bundle.
    pub name: String,
    /// Its text.
    pub content: String,
}

/// SHA-256 of names and contents in the order of the names, each preceded by its length in eight bytes, big-endian.
pub fn digest(sources: &[Source]) -> String {
    let mut sorted: Vec<_> = sources.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hash = Sha256::new();
    for text in sorted.into_iter().flat_map(|source| [&source.name, &source.content]) {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, content: &str) -> Source {
        Source { name: name.into(), content: content.into() }
    }

    #[test]
    fn the_digest_is_of_names_and_contents_whatever_their_order() {
        let (a, b) = (source("a.cedar", "1"), source("b.cedar", "2"));
        let digest_ab = digest(&[a.clone(), b.clone()]);
        assert_eq!(digest_ab, digest(&[b, a.clone()]));
        assert_eq!(digest_ab.len(), 64);
        assert_ne!(digest(&[source("ab", "c")]), digest(&[source("a", "bc")]));
        assert_ne!(digest_ab, digest(&[a]));
    }
}
