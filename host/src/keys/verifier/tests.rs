mod memory_key;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use rstest::rstest;
use serde_json::json;

use super::super::testing::{CORP, EDGE, Health, OWN, Own, Registered, Signer, Stand, set};
use super::*;
use crate::http::HttpError;

const HEADER_NONE: &str = r#"{"alg":"none"}"#;

struct Case {
    stand: Stand,
    verifier: Verifier,
    own: Own,
    registry: Registered,
}

impl Case {
    fn new(remember: bool) -> Self {
        let stand = Stand::new();
        let verifier = stand.verifier(remember);
        Self { stand, verifier, own: Own::new(Health::Well), registry: Registered::default() }
    }

    async fn verify(&self, token: &str, source: KeySource) -> Result<VerifiedToken, VerifyError> {
        self.verifier.verify(token, &source, &self.own, &self.registry).await
    }

    async fn subject(&self, token: &str) -> Result<VerifiedToken, VerifyError> {
        self.verify(token, KeySource::SubjectIssuer).await
    }
}

fn signer(algorithm: Algorithm) -> Signer {
    Signer::new(algorithm)
}

fn encode(header: &str, claims: &str) -> String {
    format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims))
}

fn claims(issuer: &str) -> String {
    json!({ "iss": issuer, "sub": "alice" }).to_string()
}

#[rstest]
#[case(Algorithm::EdDsa)]
#[case(Algorithm::Es256)]
#[tokio::test]
async fn verifies_a_subject_token(#[case] algorithm: Algorithm, #[values(true, false)] remember: bool) {
    let (case, key) = (Case::new(remember), signer(algorithm));
    case.stand.site.serve(set(&[&key]));
    for _ in 0..2 {
        let token = case.subject(&key.token(CORP)).await.unwrap();
        assert_eq!(token.role, Some(TokenRole::Subject));
        let Verified { issuer, id, key_thumbprint, alg, typ, claims: found } = token.verified;
        assert_eq!(id.len(), 22);
        assert_eq!((issuer.as_str(), key_thumbprint.as_str()), (CORP, key.0.kid()));
        assert_eq!((alg.as_str(), typ.as_deref(), found), (algorithm.name(), Some("JWT"), claims(CORP)));
    }
}

#[tokio::test]
async fn verifies_our_own_token_as_a_subject_only() {
    let case = Case::new(true);
    let ours = case.own.signer.token(OWN);
    assert_eq!(case.subject(&ours).await.unwrap().role, Some(TokenRole::Own));
    assert_eq!(case.verify(&ours, KeySource::CallerIssuer).await.err(), Some(VerifyError::UnknownIssuer));
    // Another key, or none named.
    assert_eq!(case.subject(&signer(Algorithm::EdDsa).token(OWN)).await.err(), Some(VerifyError::UnknownKey));
    let nameless = format!("{}.c2ln", encode(r#"{"alg":"EdDSA"}"#, &claims(OWN)));
    assert_eq!(case.subject(&nameless).await.err(), Some(VerifyError::UnknownKey));
    assert_eq!(case.stand.site.count(), 0);
}

#[tokio::test]
async fn a_foreign_token_is_named_with_its_issuer_and_ours_by_its_jti() {
    const OTHER: &str = "https://other.example.com";
    let mut case = Case::new(true);
    let mut signers = vec![signer(Algorithm::EdDsa), signer(Algorithm::Es256)];
    case.stand.site.serve(set(&signers.iter().collect::<Vec<_>>()));
    let known = case.registry.issuers[CORP].clone();
    case.registry.issuers.insert(OTHER.into(), known);
    let named = async |signer: &Signer, claims: serde_json::Value| {
        let token = signer.0.jws("JWT", &claims.to_string()).unwrap();
        case.subject(&token).await.unwrap().verified.id
    };
    let (es256, eddsa) = (signers.pop().unwrap(), signers.pop().unwrap());
    let of = |issuer: &str, jti: &str| json!({ "iss": issuer, "sub": "alice", "jti": jti });
    let name = named(&eddsa, of(CORP, "1")).await;
    // The name is made of issuer and jti alone: what an operator who knows both can name.
    assert_eq!(name, foreign_name(CORP, "1"));
    assert_eq!(named(&es256, json!({ "iss": CORP, "sub": "bob", "jti": "1", "more": true })).await, name);
    let others = [
        named(&eddsa, of(OTHER, "1")).await,
        named(&eddsa, of(CORP, "2")).await,
        named(&eddsa, of(CORP, "")).await,
        named(&eddsa, of(OTHER, "")).await,
        named(&eddsa, json!({ "iss": CORP, "sub": "alice" })).await,
        named(&eddsa, json!({ "iss": CORP, "sub": "bob" })).await,
        named(&eddsa, json!({ "iss": CORP, "sub": "alice", "jti": 1 })).await,
    ];
    let all: std::collections::BTreeSet<_> = others.iter().chain([&name]).collect();
    assert_eq!(all.len(), 8, "{others:?}");
    let is_name = |name: &&String| name.len() == 22 && BASE64URL.decode(name).is_ok_and(|half| half.len() == 16);
    assert!(all.iter().all(is_name), "{all:?}");
    // Another signature of the same claims is the same token, or whoever has one would make one that was not revoked.
    let nameless = json!({ "iss": CORP, "sub": "alice" });
    assert_eq!(named(&es256, nameless.clone()).await, named(&es256, nameless).await);
    // No two pairs run together.
    assert_ne!(foreign_name("https://a", "b1"), foreign_name("https://ab", "1"));
    // Ours has its own jti, whatever it is; without one it has a name all the same.
    assert_eq!(named(&case.own.signer, of(OWN, "our-jti")).await, "our-jti");
    assert_eq!(named(&case.own.signer, json!({ "iss": OWN, "sub": "alice" })).await.len(), 22);
}

#[tokio::test]
async fn roles_do_not_mix() {
    let (case, key) = (Case::new(true), signer(Algorithm::EdDsa));
    case.stand.site.serve(set(&[&key]));
    let (subject, caller) = (key.token(CORP), key.token(EDGE));
    assert_eq!(case.verify(&subject, KeySource::CallerIssuer).await.err(), Some(VerifyError::UnknownIssuer));
    assert_eq!(case.subject(&caller).await.err(), Some(VerifyError::UnknownIssuer));
    assert_eq!(case.verify(&caller, KeySource::CallerIssuer).await.unwrap().role, Some(TokenRole::Caller));
    // Neither does what is remembered.
    assert_eq!(case.subject(&caller).await.err(), Some(VerifyError::UnknownIssuer));
}

#[rstest]
#[case::stranger(claims("https://evil.example"))]
#[case::nobody("{}".to_owned())]
#[tokio::test]
async fn unknown_issuers_are_refused(#[case] claims: String) {
    let case = Case::new(true);
    let token = signer(Algorithm::EdDsa).0.jws("JWT", &claims).unwrap();
    assert_eq!(case.subject(&token).await.err(), Some(VerifyError::UnknownIssuer));
    assert_eq!(case.stand.site.count(), 0);
}

#[tokio::test]
async fn an_issuer_that_is_no_text_is_malformed() {
    let token = signer(Algorithm::EdDsa).0.jws("JWT", r#"{"iss":["a"]}"#).unwrap();
    assert!(matches!(Case::new(true).subject(&token).await, Err(VerifyError::Malformed(MalformedJws::Claims(_)))));
}

#[rstest]
#[case::none(HEADER_NONE)]
#[case::none_in_capitals(r#"{"alg":"None"}"#)]
#[case::hmac(r#"{"alg":"HS256"}"#)]
#[case::unknown(r#"{"alg":"XX256"}"#)]
#[case::empty(r#"{"alg":""}"#)]
#[case::lower_case(r#"{"alg":"eddsa"}"#)]
#[tokio::test]
async fn algorithms_without_a_name_here_are_refused(#[case] header: &str, #[values("", "c2ln")] signature: &str) {
    let case = Case::new(true);
    for issuer in [CORP, OWN] {
        let token = format!("{}.{signature}", encode(header, &claims(issuer)));
        assert_eq!(case.subject(&token).await.err(), Some(VerifyError::Algorithm));
    }
    assert_eq!(case.stand.site.count(), 0);
}

#[tokio::test]
async fn hmac_with_the_public_key_is_refused() {
    let (case, key) = (Case::new(true), signer(Algorithm::EdDsa));
    case.stand.site.serve(set(&[&key]));
    assert!(case.subject(&key.token(CORP)).await.is_ok());
    let message = encode(&format!(r#"{{"alg":"HS256","kid":"{}"}}"#, key.0.kid()), &claims(CORP));
    let public = BASE64URL.decode(key.jwk()["x"].as_str().unwrap()).unwrap();
    for secret in [public, key.jwk().to_string().into_bytes()] {
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
        let token = format!("{message}.{}", BASE64URL.encode(mac));
        assert_eq!(case.subject(&token).await.err(), Some(VerifyError::Algorithm));
    }
}

#[tokio::test]
async fn algorithms_that_are_not_registered_are_refused() {
    let (case, key) = (Case::new(true), signer(Algorithm::Rs256));
    case.stand.site.serve(set(&[&key]));
    assert_eq!(case.subject(&key.token(CORP)).await.err(), Some(VerifyError::Algorithm));
    assert_eq!(case.stand.site.count(), 0, "nothing is fetched for it");
}

#[tokio::test]
async fn an_algorithm_that_does_not_fit_the_key_is_refused() {
    let (case, key) = (Case::new(true), signer(Algorithm::EdDsa));
    case.stand.site.serve(set(&[&key]));
    let named = |kid: &str| format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#);
    let theirs = format!("{}.c2ln", encode(&named(key.0.kid()), &claims(CORP)));
    assert_eq!(case.subject(&theirs).await.err(), Some(VerifyError::Algorithm));
    let ours = format!("{}.c2ln", encode(&named(case.own.signer.0.kid()), &claims(OWN)));
    assert_eq!(case.subject(&ours).await.err(), Some(VerifyError::Algorithm));
}

#[tokio::test]
async fn without_kid_the_only_key_that_fits_is_taken() {
    let (case, one, other) = (Case::new(true), signer(Algorithm::EdDsa), signer(Algorithm::Es256));
    case.stand.site.serve(set(&[&one, &other]));
    // The signature is over another header, so that a wrong signature shows that the key was found.
    let token = format!("{}.c2ln", encode(r#"{"alg":"EdDSA"}"#, &claims(CORP)));
    assert_eq!(case.subject(&token).await.err(), Some(VerifyError::BadSignature));
    let twins = Case::new(true);
    twins.stand.site.serve(set(&[&one, &signer(Algorithm::EdDsa)]));
    assert_eq!(twins.subject(&token).await.err(), Some(VerifyError::UnknownKey));
}

#[tokio::test]
async fn wrong_signatures_are_refused_and_not_remembered() {
    let (case, key) = (Case::new(true), signer(Algorithm::EdDsa));
    case.stand.site.serve(set(&[&key]));
    let token = key.token(CORP);
    let (message, _) = token.rsplit_once('.').unwrap();
    let other = key.0.jws("JWT", &json!({ "iss": CORP, "sub": "mallory" }).to_string()).unwrap();
    let forged = format!("{message}.{}", other.rsplit_once('.').unwrap().1);
    assert!(case.subject(&token).await.is_ok());
    for forged in [&forged, &format!("{message}.AAAA")] {
        for _ in 0..2 {
            assert_eq!(case.subject(forged).await.err(), Some(VerifyError::BadSignature));
        }
    }
    let unsigned = format!("{message}.");
    assert_eq!(case.subject(&unsigned).await.err(), Some(VerifyError::Malformed(MalformedJws::Parts)));
}

#[tokio::test]
async fn what_is_remembered_dies_with_its_key() {
    let (case, old, new) = (Case::new(true), signer(Algorithm::EdDsa), signer(Algorithm::EdDsa));
    case.stand.site.serve(set(&[&old]));
    let token = old.token(CORP);
    assert!(case.subject(&token).await.is_ok());
    assert!(case.subject(&token).await.is_ok());
    case.stand.site.serve(set(&[&new]));
    assert!(case.subject(&new.token(CORP)).await.is_ok());
    assert_eq!(case.subject(&token).await.err(), Some(VerifyError::UnknownKey));
}

#[tokio::test]
async fn what_is_remembered_dies_with_the_registration() {
    let (mut case, key) = (Case::new(true), signer(Algorithm::EdDsa));
    case.stand.site.serve(set(&[&key]));
    let token = key.token(CORP);
    assert!(case.subject(&token).await.is_ok());
    case.registry.issuers.get_mut(CORP).unwrap().1.algorithms = vec![Algorithm::Es256];
    assert_eq!(case.subject(&token).await.err(), Some(VerifyError::Algorithm));
    case.registry.issuers.remove(CORP);
    assert_eq!(case.subject(&token).await.err(), Some(VerifyError::UnknownIssuer));
}

/// Counts how often it is asked.
#[derive(Debug)]
struct Counting(Arc<dyn VerifyingKey>, std::sync::atomic::AtomicUsize);

impl VerifyingKey for Counting {
    fn kid(&self) -> Option<&str> {
        self.0.kid()
    }

    fn thumbprint(&self) -> &str {
        self.0.thumbprint()
    }

    fn algorithms(&self) -> &[Algorithm] {
        self.0.algorithms()
    }

    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.0.verify(algorithm, message, signature)
    }
}

fn check(case: &Case, key: &Arc<Counting>, token: &str) -> Result<(), VerifyError> {
    let jws = Jws::parse(token, 16 * 1024, 8).unwrap();
    let signer = super::Signer { role: Some(TokenRole::Own), issuer: OWN.into(), keys: None, key: Arc::<Counting>::clone(key) };
    case.verifier.check(token, &jws.signature().unwrap(), jws.message, Algorithm::EdDsa, &signer)
}

#[rstest]
#[case(true, 2)]
#[case(false, 4)]
fn a_right_signature_is_checked_once_in_five_minutes(#[case] remember: bool, #[case] checked: usize) {
    let (case, signer) = (Case::new(remember), signer(Algorithm::EdDsa));
    let key = Arc::new(Counting(signer.key(), 0.into()));
    let token = signer.token(OWN);
    for seconds in [0, 299, 1, 299] {
        case.stand.clock.pass(seconds);
        check(&case, &key, &token).unwrap();
    }
    assert_eq!(key.1.load(std::sync::atomic::Ordering::SeqCst), checked);
}

#[test]
fn everything_the_answer_depends_on_is_in_the_memory_key() {
    let key = signer(Algorithm::EdDsa);
    let keys = Registered::default().issuers[CORP].1.clone();
    let signer_of = |role, issuer: &str, keys: Option<&IssuerKeys>, key: &Signer| super::Signer {
        role,
        issuer: issuer.into(),
        keys: keys.cloned().map(Arc::new),
        key: key.key(),
    };
    let subject = Some(TokenRole::Subject);
    let fewer = IssuerKeys { algorithms: vec![Algorithm::EdDsa], ..keys.clone() };
    let file = IssuerKeys { source: JwksSource::File("jwks.json".into()), ..keys.clone() };
    let url = IssuerKeys { source: JwksSource::Url("jwks.json".into()), ..keys.clone() };
    let base = signer_of(subject, CORP, Some(&keys), &key);
    let entries = [
        memory_key("a.b.c", Algorithm::EdDsa, &base),
        memory_key("a.b.d", Algorithm::EdDsa, &base),
        memory_key("a.b.c", Algorithm::Es256, &base),
        memory_key("a.b.c", Algorithm::EdDsa, &signer_of(Some(TokenRole::Caller), CORP, Some(&keys), &key)),
        memory_key("a.b.c", Algorithm::EdDsa, &signer_of(subject, EDGE, Some(&keys), &key)),
        memory_key("a.b.c", Algorithm::EdDsa, &signer_of(subject, CORP, Some(&fewer), &key)),
        memory_key("a.b.c", Algorithm::EdDsa, &signer_of(subject, CORP, Some(&file), &key)),
        memory_key("a.b.c", Algorithm::EdDsa, &signer_of(subject, CORP, Some(&url), &key)),
        memory_key("a.b.c", Algorithm::EdDsa, &signer_of(Some(TokenRole::Own), OWN, None, &key)),
        memory_key("a.b.c", Algorithm::EdDsa, &signer_of(None, "", None, &key)),
        memory_key("a.b.c", Algorithm::EdDsa, &signer_of(subject, CORP, Some(&keys), &signer(Algorithm::EdDsa))),
    ];
    let different: std::collections::HashSet<_> = entries.iter().collect();
    assert_eq!(different.len(), entries.len());
}

#[tokio::test]
async fn verifies_with_a_key_that_came_along() {
    let (case, key) = (Case::new(true), signer(Algorithm::Es256));
    let token = key.0.jws("dpop+jwt", r#"{"jti":"1"}"#).unwrap();
    let found = case.verify(&token, KeySource::InlineJwk(key.jwk().to_string())).await.unwrap();
    assert_eq!(found.role, None);
    assert_eq!((found.verified.issuer.as_str(), found.verified.key_thumbprint.as_str()), ("", key.0.kid()));
    let other = signer(Algorithm::Es256).jwk().to_string();
    assert_eq!(case.verify(&token, KeySource::InlineJwk(other)).await.err(), Some(VerifyError::BadSignature));
    let of_another_type = signer(Algorithm::EdDsa).jwk().to_string();
    assert_eq!(case.verify(&token, KeySource::InlineJwk(of_another_type)).await.err(), Some(VerifyError::Algorithm));
}

#[rstest]
#[case::none("{}".to_owned())]
#[case::symmetric(r#"{"kty":"oct","k":"AAAA"}"#.to_owned())]
#[case::private(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"AAAA"}"#.to_owned())]
#[case::two_readings(r#"{"kty":"OKP","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#.to_owned())]
#[case::long(" ".repeat(5_000))]
#[tokio::test]
async fn a_key_that_came_along_and_is_none_is_malformed(#[case] jwk: String) {
    let token = signer(Algorithm::EdDsa).token(CORP);
    let refused = Case::new(true).verify(&token, KeySource::InlineJwk(jwk)).await.err();
    assert_eq!(refused, Some(VerifyError::Malformed(MalformedJws::Jwk)));
}

#[test]
fn a_signature_is_checked_against_a_kept_set() {
    let (one, other) = (signer(Algorithm::EdDsa), signer(Algorithm::EdDsa));
    let kept = KeySet::parse(set(&[&one]).as_bytes()).unwrap();
    let token = one.token(OWN);
    assert!(is_signed_by(&token, "JWT", &kept));
    assert!(!is_signed_by(&token, "at+jwt", &kept));
    assert!(!is_signed_by(&other.token(OWN), "JWT", &kept));
    assert!(!is_signed_by(&format!("{}AAAA", &token[..token.len() - 4]), "JWT", &kept));
    assert!(!is_signed_by("a.b.c", "JWT", &kept));
    let unsigned = format!("{}.c2ln", encode(&format!(r#"{{"alg":"none","kid":"{}"}}"#, one.0.kid()), "{}"));
    assert!(!is_signed_by(&unsigned, "JWT", &kept));
}

#[tokio::test]
async fn clients_have_no_registered_keys() {
    let token = signer(Algorithm::EdDsa).token(CORP);
    let refused = Case::new(true).verify(&token, KeySource::Client("svc".into())).await.err();
    assert_eq!(refused, Some(VerifyError::UnknownKey));
}

#[tokio::test]
async fn limits_are_the_registered_ones() {
    let case = Case::new(true);
    let long = format!("{}.c2ln", encode(HEADER_NONE, &" ".repeat(16 * 1024)));
    assert_eq!(case.subject(&long).await.err(), Some(VerifyError::Malformed(MalformedJws::TooLong)));
    let deep = format!("{}.c2ln", encode(HEADER_NONE, &format!("{}{}", r#"{"a":"#.repeat(9), "1}}}}}}}}}")));
    let refused = case.subject(&deep).await.err();
    assert_eq!(refused, Some(VerifyError::Malformed(MalformedJws::Claims(JsonError::Depth))));
}

#[tokio::test]
async fn an_issuer_that_is_down_is_unavailable() {
    let case = Case::new(true);
    case.stand.site.answer(Err(HttpError::Timeout));
    assert!(matches!(case.subject(&signer(Algorithm::EdDsa).token(CORP)).await, Err(VerifyError::Unavailable(_))));
}

#[rstest]
#[case(VerifyError::Malformed(MalformedJws::Parts), |error: &KeyError| matches!(error, KeyError::Malformed))]
#[case(VerifyError::Algorithm, |error: &KeyError| matches!(error, KeyError::Algorithm))]
#[case(VerifyError::UnknownIssuer, |error: &KeyError| matches!(error, KeyError::UnknownIssuer))]
#[case(VerifyError::UnknownKey, |error: &KeyError| matches!(error, KeyError::UnknownKey))]
#[case(VerifyError::BadSignature, |error: &KeyError| matches!(error, KeyError::BadSignature))]
#[case(VerifyError::Unavailable(IssuerKeyError::TooMany), |error: &KeyError| matches!(error, KeyError::Unavailable))]
fn errors_have_their_names(#[case] error: VerifyError, #[case] expected: fn(&KeyError) -> bool) {
    assert!(expected(&error.into()));
}
