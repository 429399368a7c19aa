//! Hostile JSON for tests, of hosts too.

use super::RAW;

/// JSON in a text in JSON, and so on: the depth of each is small, and that of all of them together is what a reader recurses to.
pub fn bomb(levels: usize) -> String {
    let brackets = |bracket: &str| bracket.repeat(120);
    (0..levels).fold("1".to_owned(), |inside, _| {
        let text = inside.replace('\\', "\\u005c").replace('"', "\\u0022");
        format!("{}{{\"{RAW}\":\"{text}\"}}{}", brackets("["), brackets("]"))
    })
}
