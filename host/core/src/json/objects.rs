//! A struct is an object. serde takes a list for one as well, its members in the order in which they are declared: `[[]]` would be a JWK
//! set. No other reader of JSON sees that in it, and nobody documents such an order.

use std::borrow::Cow;
use std::fmt;
use std::str::Utf8Error;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde_json::Value;

use super::{RAW, check_name};

/// Like `serde_json::from_slice`, of UTF-8 alone (RFC 8259 §8.1), also where nobody looks.
///
/// # Errors
/// As there.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> serde_json::Result<T> {
    from_str(std::str::from_utf8(bytes).map_err(|error| no_text(bytes, error))?)
}

/// Says where, as `serde_json` does of what is text: it takes the place out of these very words.
fn no_text(bytes: &[u8], error: Utf8Error) -> serde_json::Error {
    let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
    serde::de::Error::custom(format_args!("not UTF-8 at line {line} column {column}"))
}

/// Like `serde_json::from_str`.
///
/// # Errors
/// As there.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = T::deserialize(Objects(&mut json))?;
    json.end().map(|()| value)
}

/// Like `serde_json::from_value`.
///
/// # Errors
/// As there.
pub fn from_value<T: DeserializeOwned>(value: Value) -> serde_json::Result<T> {
    T::deserialize(Objects(value))
}

/// Wraps any part of a deserialization (deserializer, visitor, seed, access), so that a struct is read from an object alone, also within
/// others. Not behind `#[serde(flatten)]`, `untagged` or `tag`: serde reads those from a buffer of its own.
pub struct Objects<T>(pub T);

macro_rules! kinds {
    ($($kind:ident)*) => {
        $(fn $kind<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$kind(Objects(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    kinds! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option deserialize_unit deserialize_seq deserialize_map
        deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Objects(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, Objects(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        if name == RAW {
            // It comes as the only member of an object, of this very name.
            return self.0.deserialize_newtype_struct(name, visitor);
        }
        self.0.deserialize_newtype_struct(name, Objects(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Objects(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, name: &'static str, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Objects(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, Objects(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! values {
    ($($visit:ident: $kind:ty),* $(,)?) => {
        $(fn $visit<E: serde::de::Error>(self, value: $kind) -> Result<V::Value, E> {
            self.0.$visit(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Objects<V> {
    type Value = V::Value;

    values! {
        visit_bool: bool, visit_i8: i8, visit_i16: i16, visit_i32: i32, visit_i64: i64, visit_i128: i128, visit_u8: u8, visit_u16: u16,
        visit_u32: u32, visit_u64: u64, visit_u128: u128, visit_f32: f32, visit_f64: f64, visit_char: char, visit_str: &str,
        visit_borrowed_str: &'de str, visit_string: String, visit_bytes: &[u8], visit_borrowed_bytes: &'de [u8], visit_byte_buf: Vec<u8>,
    }

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(formatter)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Objects(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Objects(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Objects(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(members))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Objects(variant))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let Some(name) = self.0.next_key_seed(Name)? else { return Ok(None) };
        check_name(&name)?;
        match name {
            Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some),
            Cow::Owned(name) => seed.deserialize(name.into_deserializer()).map(Some),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Objects<A> {
    type Error = A::Error;
    type Variant = Objects<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        self.0.variant_seed(Objects(seed)).map(|(name, variant)| (name, Objects(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Objects(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Objects(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], visitor: V) -> Result<V::Value, A::Error> {
        self.0.newtype_variant_seed(Members(visitor))
    }
}

/// The name of a member.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<Cow<'de, str>, D::Error> {
        inner.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }

    fn visit_string<E>(self, name: String) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name))
    }
}

/// What a variant has between braces.
struct Members<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Members<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        inner.deserialize_map(Objects(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(default)]
        inner: Vec<Inner>,
        one: Option<Inner>,
        #[serde(default)]
        other: BTreeMap<String, Choice>,
        raw: Option<Box<RawValue>>,
        any: Option<Value>,
    }

    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Inner {
        n: Option<i64>,
    }

    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Choice {
        Nothing,
        Inner(Inner),
        Named { n: i64 },
    }

    #[test]
    fn an_object_reads_as_it_does_otherwise() {
        let text = r#"{"name":"a","inner":[{"n":1},{}],"one":{"n":-2},"raw":[ 1,2],"any":[{"x":[1.5]}],
            "other":{"a":"nothing","b":{"inner":{"n":3}},"c":{"named":{"n":4}}}}"#;
        let read: Outer<'_> = from_str(text).unwrap();
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            serde_json::to_string(&serde_json::from_str::<Outer<'_>>(text).unwrap()).unwrap()
        );
        assert!(matches!(read.name, Cow::Borrowed("a")), "{read:?}");
    }

    #[rstest]
    #[case::outside(r#"["a",[],null,{},null,null]"#)]
    #[case::in_a_list(r#"{"name":"a","inner":[[1]]}"#)]
    #[case::optional(r#"{"name":"a","one":[1]}"#)]
    #[case::behind_a_name(r#"{"name":"a","other":{"b":{"inner":[3]}}}"#)]
    #[case::of_a_variant(r#"{"name":"a","other":{"c":{"named":[4]}}}"#)]
    #[case::more_behind_it(r#"{"name":"a"} x"#)]
    fn a_list_is_no_object(#[case] text: &str) {
        assert!(from_str::<Outer<'_>>(text).is_err());
        assert!(from_slice::<Outer<'_>>(text.as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_text_is_no_json_where_nobody_looks_either() {
        assert!(serde_json::from_slice::<Inner>(b"{\"other\":\"\xff\"}").is_ok());
        let error = from_slice::<Inner>(b"{\n \"other\":\"\xff\"}").unwrap_err();
        assert_eq!(error.to_string(), "not UTF-8 at line 2 column 11");
        assert_eq!((error.line(), error.column()), (2, 11));
    }

    #[test]
    fn a_value_is_read_alike() {
        assert_eq!(from_value::<Inner>(serde_json::json!({ "n": 1 })).unwrap().n, Some(1));
        assert!(from_value::<Inner>(serde_json::json!([1])).is_err());
    }
}
