//! The form of a token request (RFC 8693 §2.1). `$TOKEN` in it is a live subject token.

use standin_domain::endpoint::parse_form;

use crate::world::{FORM, World};

/// A form that is taken says the same to the URL standard's reader, and every answer to it is a right one: from a client that shows its
/// secret in the header, and from one that has to show it in the form.
pub fn holds(data: &[u8]) {
    let world = World::get();
    let body = filled_in(data, &world.subject_token());
    if let Ok(taken) = parse_form(&body) {
        let theirs = form_urlencoded::parse(&body).into_owned().filter(|(_, value)| !value.is_empty());
        assert_eq!(theirs.collect::<Vec<_>>(), taken);
    }
    world.exchange("svc-router", &body);
    world.post("/oauth2/token", &[("content-type", FORM)], &body);
}

/// The form with a token in place of its name.
fn filled_in(form: &[u8], token: &str) -> Vec<u8> {
    const NAME: &[u8] = b"$TOKEN";
    let at = form.windows(NAME.len()).position(|window| window == NAME);
    let parts = at.and_then(|at| Some((form.get(..at)?, form.get(at + NAME.len()..)?)));
    parts.map_or_else(|| form.to_vec(), |(before, after)| [before, token.as_bytes(), after].concat())
}
