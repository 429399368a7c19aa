//! Which source of a bundle is what.

use standin_policy_engine::{Fault, Source};

/// The file with the bundle's own entities.
const ENTITIES: &str = "entities.json";

/// The sources by what they are.
#[derive(Debug, Default)]
pub(crate) struct Bundle<'a> {
    /// By name.
    pub(crate) policies: Vec<&'a Source>,
    /// Replaces the built-in schema.
    pub(crate) schema: Option<&'a Source>,
    /// The bundle's own entities.
    pub(crate) entities: Option<&'a Source>,
}

impl<'a> Bundle<'a> {
    /// `*.cedar`, at most one `*.cedarschema`, at most one `entities.json`; nothing else.
    pub(crate) fn of(sources: &'a [Source]) -> Result<Self, Vec<Fault>> {
        let mut bundle = Self::default();
        let mut faults = Vec::new();
        let mut sorted: Vec<_> = sources.iter().collect();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        let mut previous = None;
        for source in sorted {
            let mut refuse = |message: &str| faults.push(Fault::at(&source.name, &source.content, 0, message));
            let (stem, extension) = source.name.rsplit_once('.').unwrap_or((&source.name, ""));
            let file = source.name.rsplit('/').next().unwrap_or_default();
            if previous.replace(source.name.as_str()) == Some(source.name.as_str()) {
                refuse("the bundle has two files of this name");
            } else if stem.is_empty() || source.name.chars().any(char::is_control) {
                refuse("this is no name of a file");
            } else if extension == "cedar" {
                bundle.policies.push(source);
            } else if extension == "cedarschema" {
                match bundle.schema {
                    None => bundle.schema = Some(source),
                    Some(_) => refuse("the bundle has another schema already"),
                }
            } else if file == ENTITIES {
                match bundle.entities {
                    None => bundle.entities = Some(source),
                    Some(_) => refuse("the bundle has another `entities.json` already"),
                }
            } else {
                refuse("a bundle consists of `*.cedar`, `*.cedarschema` and `entities.json`");
            }
        }
        if faults.is_empty() { Ok(bundle) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, content: &str) -> Source {
        Source { name: name.into(), content: content.into() }
    }

    #[test]
    fn sources_are_told_apart_by_their_names() {
        let sources = ["b/x.cedar", "a.cedar", "my.cedarschema", "sub/entities.json"].map(|name| source(name, ""));
        let bundle = Bundle::of(&sources).unwrap();
        assert_eq!(bundle.policies.iter().map(|source| source.name.as_str()).collect::<Vec<_>>(), ["a.cedar", "b/x.cedar"]);
        assert_eq!(bundle.schema.unwrap().name, "my.cedarschema");
        assert_eq!(bundle.entities.unwrap().name, "sub/entities.json");
    }

    #[test]
    fn what_has_no_place_is_refused() {
        for names in [
            &["readme.md"][..],
            &["a.json"],
            &["cedar"],
            &[""],
            &[".cedar"],
            &["a\n.cedar"],
            &["a.cedar", "a.cedar"],
            &["a.cedarschema", "b.cedarschema"],
            &["entities.json", "x/entities.json"],
        ] {
            let sources: Vec<_> = names.iter().map(|name| source(name, "")).collect();
            assert_eq!(Bundle::of(&sources).unwrap_err().len(), 1, "{names:?}");
        }
    }
}
