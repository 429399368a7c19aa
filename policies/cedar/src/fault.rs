//! Where Cedar's errors stand in a source.

use std::fmt;

use cedar_policy_core::parser::Loc;
use miette::Diagnostic;
use standin_policy_engine::Fault;

/// Where a part of a policy stands.
pub(crate) fn of(file: &str, content: &str, loc: Option<&Loc>, message: impl fmt::Display) -> Fault {
    Fault::at(file, content, loc.map_or(0, Loc::start), message)
}

/// What Cedar says, where Cedar says it.
pub(crate) fn from_diagnostic(file: &str, content: &str, diagnostic: &dyn Diagnostic) -> Fault {
    let label = diagnostic.labels().and_then(|mut labels| labels.next());
    let mut message = diagnostic.to_string();
    if let Some(said) = label.as_ref().and_then(|label| label.label()) {
        message = format!("{message}: {said}");
    }
    if let Some(help) = diagnostic.help() {
        message = format!("{message} ({help})");
    }
    Fault::at(file, content, label.map_or(0, |label| label.offset()), message)
}

/// At the first place where a name stands as a word of its own, else at the beginning.
pub(crate) fn at_word(file: &str, content: &str, word: &str, message: impl fmt::Display) -> Fault {
    let is_part = |character: Option<char>| character.is_some_and(|character| character.is_alphanumeric() || character == '_');
    let stands_alone = |at: &usize| {
        let before = content.get(..*at).and_then(|text| text.chars().next_back());
        let after = content.get(at + word.len()..).and_then(|text| text.chars().next());
        let line = content.get(..*at).and_then(|text| text.lines().next_back()).unwrap_or_default();
        !is_part(before) && !is_part(after) && !line.contains("//")
    };
    let place = content.match_indices(word).map(|(at, _)| at).find(stands_alone);
    Fault::at(file, content, place.unwrap_or(0), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whole_and_outside_comments() {
        let text = "// User\nentity Users, User;";
        assert_eq!(at_word("a", text, "User", "m").column, 15);
        assert_eq!(at_word("a", text, "Host", "m").line, 1);
    }
}
