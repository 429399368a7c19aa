//! Names for debuggers, which `strip` leaves in the outer layer of a component.

/// The custom section that holds them (component model, "Binary Format").
const SECTION: &[u8] = b"component-name";
/// Magic number, version and layer.
const PREAMBLE: usize = 8;

/// The component without its names. Whatever does not read as a sequence of sections is left as it is.
pub(crate) fn strip(component: Vec<u8>) -> Vec<u8> {
    kept(&component).unwrap_or(component)
}

fn kept(component: &[u8]) -> Option<Vec<u8>> {
    let (preamble, mut rest) = component.split_at_checked(PREAMBLE)?;
    let mut kept = preamble.to_vec();
    while let [id, after @ ..] = rest {
        let (length, body) = leb128(after)?;
        let (body, next) = body.split_at_checked(length)?;
        if *id != 0 || !is_names(body) {
            kept.extend_from_slice(rest.get(..rest.len() - next.len())?);
        }
        rest = next;
    }
    Some(kept)
}

fn is_names(section: &[u8]) -> bool {
    leb128(section).is_some_and(|(length, rest)| rest.get(..length) == Some(SECTION))
}

/// An unsigned LEB128 number of at most 32 bits, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
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

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn custom(name: &str, body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(1 + name.len() + body.len()).unwrap();
        [&[0, length, u8::try_from(name.len()).unwrap()], name.as_bytes(), body].concat()
    }

    #[test]
    fn takes_out_the_names_and_nothing_else() {
        let (before, after) = (custom("producers", b"x"), custom("component-names", b"y"));
        let component = [EMPTY, &before, &custom("component-name", b"secret"), &after].concat();
        assert_eq!(strip(component), [EMPTY, &before, &after].concat());
    }

    #[test]
    fn leaves_what_it_cannot_read() {
        for odd in [&b""[..], b"\0asm", &[EMPTY, &[0, 200]].concat(), &[EMPTY, &[0, 0xff, 0xff, 0xff, 0xff, 0xff]].concat()] {
            assert_eq!(strip(odd.to_vec()), odd);
        }
    }
}
