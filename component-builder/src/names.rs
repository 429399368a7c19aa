//! Names for debuggers, which `strip` leaves in the outer layer of a component.

use crate::sections::{join, split};

/// The custom section that holds them (component model, "Binary Format").
const SECTION: &[u8] = b"component-name";

/// The component without its names. Whatever does not read as a sequence of sections is left as it is.
pub(crate) fn strip(component: Vec<u8>) -> Vec<u8> {
    let kept = split(&component).map(|(preamble, mut sections)| {
        sections.retain(|section| section.name() != Some(SECTION));
        join(preamble, sections)
    });
    kept.unwrap_or(component)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sections::{CUSTOM, Section};

    const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";

    fn custom(name: &str, body: &[u8]) -> Section<'static> {
        let length = u8::try_from(name.len()).unwrap();
        Section { id: CUSTOM, body: [&[length], name.as_bytes(), body].concat().into() }
    }

    #[test]
    fn takes_out_the_names_and_nothing_else() {
        let (before, after) = (custom("producers", b"x"), custom("component-names", b"y"));
        let component = join(PREAMBLE, [before.clone(), custom("component-name", b"secret"), after.clone()]);
        assert_eq!(strip(component), join(PREAMBLE, [before, after]));
    }

    #[test]
    fn leaves_what_it_cannot_read() {
        for odd in [&b""[..], b"\0asm", &[PREAMBLE, &[0, 200]].concat()] {
            assert_eq!(strip(odd.to_vec()), odd);
        }
    }
}
