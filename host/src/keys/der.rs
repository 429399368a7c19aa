//! As much of DER (X.690) as public keys need.

use super::jwk::PublicParts;

/// RFC 8017 §A.1: `rsaEncryption`.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// RFC 5480 §2.1.1: `id-ecPublicKey`.
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// RFC 8410 §3: `id-Ed25519`.
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// RFC 5480 §2.1.1.1: `secp256r1`, `secp384r1`, `secp521r1`.
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
const BITS: u8 = 0x03;

/// The numbers in a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7) of a kind of key that we know.
pub(super) fn public_key_info(der: &[u8]) -> Option<PublicParts> {
    let (info, _) = value(SEQUENCE, der)?;
    let (algorithm, key) = value(SEQUENCE, info)?;
    let (kind, parameters) = value(OBJECT, algorithm)?;
    // The first byte of a bit string counts the bits that are not used, of which a key has none.
    let (&[0, ref key @ ..], _) = value(BITS, key)? else { return None };
    match kind {
        RSA => rsa_numbers(key).map(|(n, e)| PublicParts::Rsa { n: n.to_vec(), e: e.to_vec() }),
        ED25519 => Some(PublicParts::Ed25519 { x: key.to_vec() }),
        EC => {
            let &[4, ref point @ ..] = key else { return None };
            let (x, y) = point.split_at_checked(point.len() / 2)?;
            let (x, y) = (x.to_vec(), y.to_vec());
            match value(OBJECT, parameters)?.0 {
                P256 => Some(PublicParts::P256 { x, y }),
                P384 => Some(PublicParts::P384 { x, y }),
                P521 => Some(PublicParts::P521 { x, y }),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `n` and `e` of an `RSAPublicKey` (RFC 8017 §A.1.1): a DER sequence of two integers.
pub(super) fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, rest) = value(SEQUENCE, der)?;
    let (n, e) = value(INTEGER, sequence)?;
    let (e, end) = value(INTEGER, e)?;
    (rest.is_empty() && end.is_empty()).then_some((unsigned(n), unsigned(e)))
}

/// The value of this tag that stands first, and what stands behind it.
fn value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(*short), rest),
        0x81 | 0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    (*found == tag).then_some(())?;
    rest.split_at_checked(length)
}

/// Without the zero that keeps a DER integer positive.
fn unsigned(integer: &[u8]) -> &[u8] {
    match integer {
        [0, rest @ ..] if !rest.is_empty() => rest,
        _ => integer,
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
    };
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[0x30, 3, 2, 1, 5])]
    #[case(&[0x30, 7, 2, 1, 5, 2, 1, 3, 0])]
    #[case(&[0x31, 6, 2, 1, 5, 2, 1, 3])]
    #[case(&[0x30, 0x83, 0, 0, 6, 2, 1, 5, 2, 1, 3])]
    #[case(&[0x30, 0x82, 0xff])]
    fn reads_no_numbers_from_other_der(#[case] der: &[u8]) {
        assert_eq!(rsa_numbers(der), None);
        assert!(public_key_info(der).is_none());
    }

    #[test]
    fn reads_numbers() {
        assert_eq!(rsa_numbers(&[0x30, 7, 2, 2, 0, 0x85, 2, 1, 3]), Some((&[0x85][..], &[3][..])));
    }

    #[test]
    fn reads_the_keys_of_certificates() {
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = rsa.public_key().as_der().unwrap();
        let read = public_key_info(der.as_ref());
        assert!(matches!(read, Some(PublicParts::Rsa { n, e }) if n.len() == 256 && e == [1, 0, 1]));
        let ed = Ed25519KeyPair::generate().unwrap();
        let read = public_key_info(ed.public_key().as_der().unwrap().as_ref());
        assert!(matches!(read, Some(PublicParts::Ed25519 { x }) if x == ed.public_key().as_ref()));
        let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let read = public_key_info(p384.public_key().as_der().unwrap().as_ref());
        assert!(
            matches!(read, Some(PublicParts::P384 { x, y }) if [&[4], &x[..], &y[..]].concat() == p384.public_key().as_ref())
        );
        let p521 = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
        let der = p521.public_key().as_der().unwrap();
        assert!(matches!(public_key_info(der.as_ref()), Some(PublicParts::P521 { x, .. }) if x.len() == 66));
        for cut in 0..der.as_ref().len() {
            assert!(public_key_info(&der.as_ref()[..cut]).is_none());
        }
    }
}
