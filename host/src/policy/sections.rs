//! Custom sections of a component: where what belongs to a module travels with it.

use wasmparser::BinaryReader;

/// Magic number, version and layer.
const PREAMBLE: usize = 8;

/// Why a file has no sections, or not this one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SectionError {
    /// Not a sequence of sections.
    #[error("the file is no WebAssembly component")]
    Malformed,
    /// Which of them would count?
    #[error("the section `{0}` stands there twice")]
    Repeated(String),
}

/// A custom section: its name and its body.
pub(super) type Section<'a> = (&'a str, &'a [u8]);

/// The body of the custom section of this name.
pub(super) fn custom<'a>(wasm: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, SectionError> {
    let mut found = None;
    for (named, body) in sections(wasm)?.into_iter().flatten() {
        if named == name && found.replace(body).is_some() {
            return Err(SectionError::Repeated(name.to_owned()));
        }
    }
    Ok(found)
}

/// The first section of all, if it is a custom one. The lengths of all others are within the file then.
pub(super) fn first(wasm: &[u8]) -> Result<Option<Section<'_>>, SectionError> {
    Ok(sections(wasm)?.into_iter().next().flatten())
}

/// Every section of the outermost layer; `None` is one that is not custom.
pub(super) fn sections(wasm: &[u8]) -> Result<Vec<Option<Section<'_>>>, SectionError> {
    if !wasmparser::Parser::is_component(wasm) {
        return Err(SectionError::Malformed);
    }
    read(wasm).map_err(|_unreadable| SectionError::Malformed)
}

fn read(wasm: &[u8]) -> wasmparser::Result<Vec<Option<Section<'_>>>> {
    let mut reader = BinaryReader::new(wasm.get(PREAMBLE..).unwrap_or_default(), PREAMBLE);
    let mut found = Vec::new();
    while !reader.eof() {
        let id = reader.read_u8()?;
        let length = reader.read_var_u32()? as usize;
        let body = reader.read_bytes(length)?;
        if id != 0 {
            found.push(None);
            continue;
        }
        let mut section = BinaryReader::new(body, 0);
        let name = section.read_unlimited_string()?;
        found.push(Some((name, section.read_bytes(section.bytes_remaining())?)));
    }
    Ok(found)
}

/// Puts a custom section behind all others.
#[cfg(any(test, feature = "policy-engines"))]
pub(super) fn append(wasm: &mut Vec<u8>, name: &str, body: &[u8]) {
    use wasm_encoder::ComponentSection as _;

    wasm_encoder::CustomSection { name: name.into(), data: body.into() }.append_to_component(wasm);
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_is_appended_is_found() {
        let mut wasm = EMPTY.to_vec();
        append(&mut wasm, "a", b"one");
        append(&mut wasm, "b", &[7; 1000]);
        assert_eq!(custom(&wasm, "a"), Ok(Some(&b"one"[..])));
        assert_eq!(custom(&wasm, "b"), Ok(Some(&[7; 1000][..])));
        assert_eq!(custom(&wasm, "c"), Ok(None));
        append(&mut wasm, "a", b"two");
        assert_eq!(custom(&wasm, "a"), Err(SectionError::Repeated("a".into())));
    }

    #[test]
    fn what_is_no_component_is_refused() {
        let core = b"\0asm\x01\0\0\0".to_vec();
        let cut = [EMPTY, &[0, 200, 1, b'a']].concat();
        let endless = [EMPTY, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
        let nameless = [EMPTY, &[0, 1, 9]].concat();
        for wasm in [vec![], core, cut, endless, nameless] {
            assert_eq!(custom(&wasm, "a"), Err(SectionError::Malformed), "{wasm:?}");
        }
    }
}
