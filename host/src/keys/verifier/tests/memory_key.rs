//! What is remembered of one input is never found for another.

use std::path::PathBuf;

use proptest::prelude::*;
use standin_core::registry::{Algorithm, IssuerKeys, JwksSource};

use super::super::{Signer, TokenRole, memory_key};
use crate::keys::VerifyingKey;

/// Everything the memory of a signature depends on.
#[derive(Debug, Clone, PartialEq)]
struct Input {
    token: String,
    thumbprint: String,
    algorithm: Algorithm,
    role: Option<TokenRole>,
    issuer: String,
    keys: Option<(JwksSource, Vec<Algorithm>)>,
}

impl Input {
    fn key(&self) -> [u8; 32] {
        let keys = self.keys.clone().map(|(source, algorithms)| IssuerKeys { source, algorithms, max_stale: Default::default() });
        let (issuer, key) = (self.issuer.clone(), std::sync::Arc::new(Named(self.thumbprint.clone())));
        memory_key(&self.token, self.algorithm, &Signer { role: self.role, issuer, keys: keys.map(Into::into), key })
    }
}

/// A key that is nothing but its thumbprint.
#[derive(Debug)]
struct Named(String);

impl VerifyingKey for Named {
    fn kid(&self) -> Option<&str> {
        None
    }

    fn thumbprint(&self) -> &str {
        &self.0
    }

    fn algorithms(&self) -> &[Algorithm] {
        &[]
    }

    fn verify(&self, _algorithm: Algorithm, _message: &[u8], _signature: &[u8]) -> bool {
        false
    }
}

/// Pieces that could be taken for another field's end or beginning: what names the fields' kinds, and lengths as they are written.
fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    let pieces = [
        "",
        "a",
        "b",
        "ab",
        "url",
        "file",
        "own",
        "subject",
        "caller",
        "inline",
        "EdDSA",
        "ES256",
        "\0",
        "\0\0\0\0\0\0\0\0",
        "\0\0\0\0\0\0\0\u{1}",
        "\0\0\0\0\0\0\0\u{3}",
        "\0\0\0\0\0\0\0\u{5}",
        "\0\0\0\0\0\0\0\u{7}",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..10)
}

fn algorithms() -> impl Strategy<Value = Vec<Algorithm>> {
    proptest::collection::vec(proptest::sample::select(Algorithm::ALL.to_vec()), 0..3)
}

/// What is not text.
#[derive(Debug, Clone)]
struct Rest {
    algorithm: Algorithm,
    role: Option<TokenRole>,
    registered: Option<Vec<Algorithm>>,
    in_a_file: bool,
}

fn rest() -> impl Strategy<Value = Rest> {
    let roles = vec![None, Some(TokenRole::Own), Some(TokenRole::Subject), Some(TokenRole::Caller)];
    let algorithm = proptest::sample::select(Algorithm::ALL.to_vec());
    (algorithm, proptest::sample::select(roles), proptest::option::of(algorithms()), any::<bool>())
        .prop_map(|(algorithm, role, registered, in_a_file)| Rest { algorithm, role, registered, in_a_file })
}

/// The pieces dealt to the four texts, cut at these places.
fn input(pieces: &[&str], cuts: [usize; 3], rest: Rest) -> Input {
    let mut cuts = cuts.map(|cut| cut.min(pieces.len()));
    cuts.sort_unstable();
    let [first, second, third] = cuts;
    let (token, thumbprint) = (pieces[..first].concat(), pieces[first..second].concat());
    let (issuer, source) = (pieces[second..third].concat(), pieces[third..].concat());
    let source = if rest.in_a_file { JwksSource::File(PathBuf::from(source)) } else { JwksSource::Url(source) };
    let keys = rest.registered.map(|algorithms| (source, algorithms));
    Input { token, thumbprint, algorithm: rest.algorithm, role: rest.role, issuer, keys }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// The same bytes are dealt to the fields twice: what is the same has the same key, what differs another.
    #[test]
    fn no_two_inputs_share_a_memory_key(
        pieces in pieces(),
        cuts in [0_usize..10, 0..10, 0..10],
        others in [0_usize..10, 0..10, 0..10],
        same_rest in any::<bool>(),
        one_rest in rest(),
        other_rest in rest(),
    ) {
        let one = input(&pieces, cuts, one_rest.clone());
        let other = input(&pieces, others, if same_rest { one_rest } else { other_rest });
        prop_assert_eq!(one == other, one.key() == other.key(), "{:?} {:?}", one, other);
    }
}
