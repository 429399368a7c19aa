use rstest::rstest;
use serde_json::json;

use super::*;
use crate::clock::SystemEntropy;
use crate::keys::signing::SigningKey;

fn public(algorithm: Algorithm) -> (SigningKey, Value) {
    let (key, _) = SigningKey::generate(algorithm, &SystemEntropy).unwrap();
    let jwk = published(key.kid(), algorithm, key.parts());
    (key, jwk)
}

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

#[test]
fn thumbprints_are_those_of_the_specifications() {
    // RFC 7638 §3.1.
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let rsa = json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" });
    assert_eq!(PublicKey::parse(&rsa.to_string()).unwrap().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    // RFC 8037 §A.3.
    let okp = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    assert_eq!(PublicKey::parse(&okp.to_string()).unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn verifies_the_signature_of_rfc_8037() {
    // RFC 8037 §A.4.
    let okp = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let key = PublicKey::parse(&okp.to_string()).unwrap();
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(key.verify(Algorithm::EdDsa, message, &BASE64URL.decode(signature).unwrap()));
    assert!(!key.verify(Algorithm::Es256, message, &BASE64URL.decode(signature).unwrap()));
}

#[rstest]
#[case(Algorithm::EdDsa)]
#[case(Algorithm::Es256)]
#[case(Algorithm::Rs256)]
fn reads_what_we_publish(#[case] algorithm: Algorithm) {
    let (key, jwk) = public(algorithm);
    let read = PublicKey::parse(&jwk.to_string()).unwrap();
    assert_eq!(read.kid(), Some(key.kid()));
    assert_eq!(read.thumbprint(), key.kid());
    assert_eq!(read.algorithms(), [algorithm]);
    assert!(format!("{read:?}").contains(key.kid()));
}

#[test]
fn a_key_without_alg_serves_what_it_fits() {
    let (_, mut jwk) = public(Algorithm::Rs256);
    jwk.as_object_mut().unwrap().remove("alg");
    assert_eq!(PublicKey::parse(&jwk.to_string()).unwrap().algorithms(), RSA.map(|(algorithm, _)| algorithm));
}

#[test]
fn ed25519_has_two_names() {
    // RFC 9864 §2.2.
    let (_, jwk) = public(Algorithm::EdDsa);
    let key = PublicKey::parse(&with(jwk, "alg", json!("Ed25519")).to_string()).unwrap();
    assert_eq!((key.algorithms(), Algorithm::named("Ed25519")), (&[Algorithm::EdDsa][..], Some(Algorithm::EdDsa)));
    assert_eq!(Algorithm::named("Ed448"), None);
}

#[test]
fn keys_of_spiffe_bundles_are_taken() {
    assert!(PublicKey::parse(&with(public(Algorithm::Es256).1, "use", json!("jwt-svid")).to_string()).is_ok());
    let refused = PublicKey::parse(&with(public(Algorithm::Es256).1, "use", json!("x509-svid")).to_string());
    assert_eq!(refused.err(), Some(JwkError::Unusable(Unusable::Use)));
}

#[test]
fn the_larger_curves_are_taken() {
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    for (curve, length, algorithm, signing) in [
        ("P-384", 48, Algorithm::Es384, &ECDSA_P384_SHA384_FIXED_SIGNING),
        ("P-521", 66, Algorithm::Es512, &ECDSA_P521_SHA512_FIXED_SIGNING),
    ] {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (BASE64URL.encode(&point[1..=length]), BASE64URL.encode(&point[1 + length..]));
        let key = PublicKey::parse(&json!({ "kty": "EC", "crv": curve, "x": x, "y": y }).to_string()).unwrap();
        let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), b"m").unwrap();
        assert!(key.verify(algorithm, b"m", signature.as_ref()));
    }
}

fn rsa(bits: usize, e: &[u8]) -> Value {
    let mut n = vec![0xff; bits / 8];
    n[0] = 0x80;
    json!({ "kty": "RSA", "n": BASE64URL.encode(n), "e": BASE64URL.encode(e) })
}

#[rstest]
#[case::symmetric(json!({ "kty": "oct", "k": "AAAA" }), Unusable::Symmetric)]
#[case::weak(rsa(1024, &[1, 0, 1]), Unusable::Size(1024))]
#[case::weak_by_little(rsa(2040, &[1, 0, 1]), Unusable::Size(2040))]
#[case::huge(rsa(16_384, &[1, 0, 1]), Unusable::Size(16_384))]
#[case::small_exponent(rsa(2048, &[3]), Unusable::Exponent)]
#[case::even_exponent(rsa(2048, &[1, 0, 2]), Unusable::Exponent)]
#[case::long_exponent(rsa(2048, &[1, 0, 0, 0, 1]), Unusable::Exponent)]
#[case::for_encryption(with(public(Algorithm::EdDsa).1, "use", json!("enc")), Unusable::Use)]
#[case::for_signing_only(with(public(Algorithm::EdDsa).1, "key_ops", json!(["sign"])), Unusable::Operations)]
#[case::private(with(public(Algorithm::EdDsa).1, "d", json!("AAAA")), Unusable::Private)]
#[case::unknown_alg(with(public(Algorithm::EdDsa).1, "alg", json!("HS256")), Unusable::Algorithm)]
#[case::alg_of_encryption(with(rsa(2048, &[1, 0, 1]), "alg", json!("RSA-OAEP")), Unusable::Algorithm)]
#[case::alg_of_another_type(with(public(Algorithm::EdDsa).1, "alg", json!("ES256")), Unusable::Algorithm)]
#[case::unknown_curve(with(public(Algorithm::Es256).1, "crv", json!("secp256k1")), Unusable::Kind)]
#[case::not_on_the_curve(with(public(Algorithm::Es256).1, "x", json!(BASE64URL.encode([1; 32]))), Unusable::Point)]
#[case::short_coordinate(with(public(Algorithm::Es256).1, "x", json!(BASE64URL.encode([1; 31]))), Unusable::Point)]
#[case::short_okp(with(public(Algorithm::EdDsa).1, "x", json!(BASE64URL.encode([1; 31]))), Unusable::Point)]
#[case::long_kid(with(public(Algorithm::EdDsa).1, "kid", json!("k".repeat(513))), Unusable::Kid)]
#[case::unknown_type(json!({ "kty": "AKP" }), Unusable::Kind)]
#[case::no_certificate(json!({ "kty": "RSA", "x5c": [] }), Unusable::Certificate)]
#[case::broken_certificate(json!({ "kty": "RSA", "x5c": ["AAAA"] }), Unusable::Certificate)]
#[case::certificate_in_base64url(json!({ "kty": "RSA", "x5c": ["_-8"] }), Unusable::Certificate)]
fn unusable_keys_are_left_out(#[case] jwk: Value, #[case] why: Unusable) {
    let why = JwkError::Unusable(why);
    assert_eq!(PublicKey::parse(&jwk.to_string()).err(), Some(why));
    let (key, good) = public(Algorithm::EdDsa);
    let keys = KeySet::parse(&set(&[good, jwk])).unwrap();
    assert_eq!(keys.len(), 1);
    assert!(matches!(keys.pick(Some(key.kid()), Algorithm::EdDsa), Picked::Key(_)));
    let [left] = keys.left_out() else { panic!("{:?}", keys.left_out()) };
    assert_eq!((left.at, left.why), (2, why));
    assert!(left.to_string().starts_with("key 2") && left.to_string().ends_with(&why.to_string()), "{left}");
}

#[rstest]
#[case::not_json("{")]
#[case::no_kty("{}")]
#[case::list(
    r#"["OKP",null,null,null,null,"Ed25519","11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",null,null,null,null,null,null]"#
)]
#[case::no_x(r#"{"kty":"OKP","crv":"Ed25519"}"#)]
#[case::padded(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="}"#)]
fn malformed_keys_are_refused(#[case] jwk: &str) {
    assert_eq!(PublicKey::parse(jwk).err(), Some(JwkError::Malformed));
}

#[test]
fn sets_are_bounded() {
    let (_, jwk) = public(Algorithm::EdDsa);
    assert_eq!(KeySet::parse(&set(&vec![jwk.clone(); 101])).err(), Some(JwkError::TooLong));
    assert_eq!(KeySet::parse(&vec![b' '; MAX_SET_BYTES + 1]).err(), Some(JwkError::TooLong));
    for list in ["[]", "[[]]"] {
        assert_eq!(KeySet::parse(list.as_bytes()).err(), Some(JwkError::Malformed));
    }
    assert!(KeySet::parse(&set(&[json!({ "kty": "oct" })])).unwrap().is_empty());
}

#[test]
fn a_key_that_stands_there_for_two_algorithms_is_one_key() {
    let (key, jwk) = public(Algorithm::Rs256);
    let keys = KeySet::parse(&set(&[jwk.clone(), with(jwk.clone(), "alg", json!("PS512")), jwk])).unwrap();
    assert_eq!(keys.len(), 1);
    for (algorithm, fits) in [(Algorithm::Rs256, true), (Algorithm::Ps512, true), (Algorithm::Rs512, false)] {
        for kid in [Some(key.kid()), None] {
            assert_eq!(matches!(keys.pick(kid, algorithm), Picked::Key(_)), fits, "{algorithm:?} {kid:?}");
        }
    }
}

/// A JWK with nothing but a certificate of this key.
fn certified(kty: &str, algorithm: &'static rcgen::SignatureAlgorithm) -> (Value, Vec<u8>) {
    let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["idp.example.com".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let x5c = [STANDARD.encode(certificate.der()), "the rest is not read".to_owned()];
    (json!({ "kty": kty, "kid": "c", "use": "sig", "x5c": x5c }), rcgen::PublicKeyData::der_bytes(&pair).to_vec())
}

#[test]
fn the_key_of_a_certificate_is_taken() {
    for (kty, certificate, algorithm) in [
        ("EC", &rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::Es256),
        ("EC", &rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::Es384),
        ("OKP", &rcgen::PKCS_ED25519, Algorithm::EdDsa),
    ] {
        let (jwk, public) = certified(kty, certificate);
        let key = PublicKey::parse(&jwk.to_string()).unwrap();
        assert_eq!((key.kid(), key.algorithms()), (Some("c"), &[algorithm][..]));
        // The same as its members would say.
        let (x, y) = if kty == "OKP" { (&public[..], &[][..]) } else { public[1..].split_at(public.len() / 2) };
        let members = json!({ "kty": kty, "crv": key_curve(algorithm), "x": BASE64URL.encode(x), "y": BASE64URL.encode(y) });
        assert_eq!(PublicKey::parse(&members.to_string()).unwrap().thumbprint(), key.thumbprint());
        let other = with(jwk.clone(), "kty", json!("RSA"));
        assert_eq!(PublicKey::parse(&other.to_string()).err(), Some(JwkError::Unusable(Unusable::Certificate)));
        let other = with(jwk, "crv", json!("P-521"));
        assert_eq!(PublicKey::parse(&other.to_string()).err(), Some(JwkError::Unusable(Unusable::Certificate)));
    }
}

#[test]
fn the_rsa_key_of_a_certificate_is_taken() {
    let (jwk, public) = certified("RSA", &rcgen::PKCS_RSA_SHA256);
    let key = PublicKey::parse(&jwk.to_string()).unwrap();
    let (n, e) = crate::keys::der::rsa_numbers(&public).unwrap();
    let members = json!({ "kty": "RSA", "n": BASE64URL.encode(n), "e": BASE64URL.encode(e) });
    assert_eq!(PublicKey::parse(&members.to_string()).unwrap().thumbprint(), key.thumbprint());
    assert!(key.algorithms().contains(&Algorithm::Rs256) && key.algorithms().contains(&Algorithm::Ps384));
}

fn key_curve(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Es256 => "P-256",
        Algorithm::Es384 => "P-384",
        _ => "Ed25519",
    }
}

#[test]
fn picks_by_kid_and_type() {
    let ((ed, first), (_, second), (_, ec)) = (public(Algorithm::EdDsa), public(Algorithm::EdDsa), public(Algorithm::Es256));
    let keys = KeySet::parse(&set(&[first.clone(), second.clone(), ec.clone()])).unwrap();
    assert!(matches!(keys.pick(Some(ed.kid()), Algorithm::EdDsa), Picked::Key(key) if key.thumbprint() == ed.kid()));
    assert!(matches!(keys.pick(Some(ed.kid()), Algorithm::Es256), Picked::Misfit));
    assert!(matches!(keys.pick(Some("unknown"), Algorithm::EdDsa), Picked::None));
    assert!(matches!(keys.pick(None, Algorithm::Es256), Picked::Key(_)));
    assert!(matches!(keys.pick(None, Algorithm::EdDsa), Picked::None), "two keys fit");
    assert!(matches!(keys.pick(None, Algorithm::Rs256), Picked::None), "none fits");

    let twice = KeySet::parse(&set(&[first.clone(), first.clone()])).unwrap();
    assert!(matches!(twice.pick(Some(ed.kid()), Algorithm::EdDsa), Picked::Key(_)));
    assert_eq!(twice.len(), 1);
    let two_names = KeySet::parse(&set(&[first.clone(), with(first.clone(), "kid", json!("other")), ec])).unwrap();
    assert!(matches!(two_names.pick(None, Algorithm::EdDsa), Picked::Key(key) if key.thumbprint() == ed.kid()));
    assert!(matches!(two_names.pick(Some("other"), Algorithm::EdDsa), Picked::Key(_)));
    let same_name = KeySet::parse(&set(&[first.clone(), with(second, "kid", first["kid"].clone())])).unwrap();
    assert!(matches!(same_name.pick(Some(ed.kid()), Algorithm::EdDsa), Picked::None));
}

#[test]
fn a_key_is_no_text_with_a_key_in_it() {
    let (_, key) = public(Algorithm::Es256);
    let hidden = json!({ "keys": [{ "$serde_json::private::RawValue": key.to_string() }] }).to_string();
    assert_eq!(KeySet::parse(hidden.as_bytes()).err(), Some(JwkError::Malformed));
    let bomb = format!(r#"{{"keys":[{key},{}]}}"#, crate::json::testing::bomb(45));
    // A worker thread of the server has no more.
    let read = move || assert_eq!(KeySet::parse(bomb.as_bytes()).err(), Some(JwkError::Malformed));
    std::thread::Builder::new().stack_size(2 << 20).spawn(read).unwrap().join().unwrap();
}
