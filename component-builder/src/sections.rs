//! A component as the sequence of its outermost sections (component model, "Binary Format").

use std::borrow::Cow;

/// Magic number, version and layer.
const PREAMBLE: usize = 8;
/// The section of something that only tools read.
pub(crate) const CUSTOM: u8 = 0;
/// The section with a core module.
pub(crate) const CORE_MODULE: u8 = 1;

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    pub(crate) id: u8,
    pub(crate) body: Cow<'a, [u8]>,
}

impl Section<'_> {
    /// Its name, where it is a custom one.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        let (length, rest) = Some(&*self.body).filter(|_| self.id == CUSTOM).and_then(number)?;
        rest.get(..length)
    }
}

/// The preamble and the sections; none where this does not read as such.
pub(crate) fn split(component: &[u8]) -> Option<(&[u8], Vec<Section<'_>>)> {
    let (preamble, mut rest) = component.split_at_checked(PREAMBLE)?;
    let mut sections = Vec::new();
    while let [id, after @ ..] = rest {
        let (length, body) = number(after)?;
        let (body, next) = body.split_at_checked(length)?;
        sections.push(Section { id: *id, body: body.into() });
        rest = next;
    }
    Some((preamble, sections))
}

/// The opposite of [`split`].
pub(crate) fn join<'a>(preamble: &[u8], sections: impl IntoIterator<Item = Section<'a>>) -> Vec<u8> {
    let mut component = preamble.to_vec();
    for Section { id, body } in sections {
        component.push(id);
        let mut length = body.len();
        while length >= 0x80 {
            component.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        component.push(length as u8);
        component.extend_from_slice(&body);
    }
    component
}

/// An unsigned LEB128 number of at most 32 bits, and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_split_is_joined_again() {
        let long = vec![7; 20_000];
        let sections =
            [(1, &b""[..]), (CUSTOM, &b"\x04nameand more"[..]), (2, &long)].map(|(id, body)| Section { id, body: body.into() });
        let component = join(b"\0asm\x0d\0\x01\0", sections.clone());
        let (preamble, read) = split(&component).unwrap();
        assert_eq!((preamble, read.as_slice()), (&b"\0asm\x0d\0\x01\0"[..], sections.as_slice()));
        assert_eq!(read.iter().map(Section::name).collect::<Vec<_>>(), [None, Some(&b"name"[..]), None]);
    }

    #[test]
    fn what_is_cut_or_too_long_is_no_component() {
        for odd in [&b""[..], b"\0asm", b"\0asm\x0d\0\x01\0\0\xc8", b"\0asm\x0d\0\x01\0\0\xff\xff\xff\xff\xff"] {
            assert_eq!(split(odd), None);
        }
    }
}
