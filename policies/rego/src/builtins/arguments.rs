//! Arguments that are written down, which are looked at when a bundle is packed.

use regorus::unstable::{Expr, Ref};

use super::{printing, regex};
use crate::syntax::string;

/// What is wrong with the arguments of a builtin, as far as they are written down, and with which of them.
pub(crate) fn literal(name: &str, arguments: &[Ref<Expr>]) -> Option<(usize, &'static str)> {
    let text = |index: usize| arguments.get(index).and_then(|argument| string(argument));
    match name {
        "sprintf" => {
            let Some(parts) = printing::format(text(0)?) else {
                return Some((
                    0,
                    "a format has `%s`, `%d`, `%v` and `%%` here, without flags, width or precision: `substring`, `format_int` and `concat` say the rest",
                ));
            };
            let Some(Expr::Array { items, .. }) = arguments.get(1).map(|values| &**values) else { return None };
            (items.len() != printing::takes(&parts)).then_some((1, "there have to be as many values as the format takes"))
        }
        "regex.match" | "regex.find_n" | "regex.split" => pattern(text(0)?, 0),
        "regex.replace" => pattern(text(1)?, 1),
        _ => None,
    }
}

fn pattern(text: &str, index: usize) -> Option<(usize, &'static str)> {
    let wrong = "a pattern has characters, `.`, `[...]`, `(...)`, `(?:...)`, `|`, `^`, `$`, `*`, `+`, `?`, `{n,m}`, `\\d`, `\\w`, `\\s`, `\\b` \
                 and what is escaped by a backslash here; OPA and the library could read anything else otherwise";
    regex::translated(text).is_none().then_some((index, wrong))
}
