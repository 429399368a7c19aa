//! Which source of a bundle is what, and the data document.

use regorus::Value;
use standin_policy_engine::{Fault, Source};

use crate::builtins;

/// The file with data, in any folder.
const DATA: &str = "data.json";
/// How the names of tests end, which take no part in decisions.
const TEST: &str = "_test.rego";

/// The sources by what they are.
#[derive(Debug)]
pub(crate) struct Bundle<'a> {
    /// By name, without tests.
    pub(crate) policies: Vec<&'a Source>,
    /// Every `data.json`, each under the path of its folder.
    pub(crate) data: Value,
}

impl<'a> Bundle<'a> {
    /// `*.rego` and `data.json`, as in an OPA bundle; nothing else.
    pub(crate) fn of(sources: &'a [Source]) -> Result<Self, Vec<Fault>> {
        let mut bundle = Self { policies: Vec::new(), data: Value::new_object() };
        let mut faults = Vec::new();
        let mut sorted: Vec<_> = sources.iter().collect();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        let mut previous = None;
        for source in sorted {
            let mut refuse = |message: &str| faults.push(Fault::at(&source.name, &source.content, 0, message));
            let (folder, file) = source.name.rsplit_once('/').unwrap_or(("", &source.name));
            if previous.replace(source.name.as_str()) == Some(source.name.as_str()) {
                refuse("the bundle has two files of this name");
            } else if source.name.chars().any(char::is_control) {
                refuse("this is no name of a file");
            } else if file.ends_with(TEST) {
            } else if file.strip_suffix(".rego").is_some_and(|stem| !stem.is_empty()) {
                bundle.policies.push(source);
            } else if file == DATA {
                faults.extend(bundle.add(source, folder).err());
            } else {
                refuse("a bundle consists of `*.rego` and `data.json`");
            }
        }
        if faults.is_empty() { Ok(bundle) } else { Err(faults) }
    }

    fn add(&mut self, source: &Source, folder: &str) -> Result<(), Fault> {
        let Source { name, content } = source;
        let at = |offset: usize, message: String| Fault::at(name, content, offset, message);
        let mut data: serde_json::Value =
            serde_json::from_str(content).map_err(|why| at(offset(content, why.line(), why.column()), why.to_string()))?;
        if let Some(number) = builtins::inexact(content) {
            let message =
                format!("`{number}` has more than 15 digits and is no integer of 64 bits: OPA keeps digits that are lost here");
            return Err(at(content.find(number).unwrap_or_default(), message));
        }
        for part in folder.rsplit('/').filter(|part| !part.is_empty()) {
            data = serde_json::Value::Object([(part.to_owned(), data)].into_iter().collect());
        }
        let Some(members) = data.as_object() else {
            return Err(at(0, "the data of a bundle is a JSON object".to_owned()));
        };
        if let Some(ours) = members.keys().find(|key| RESERVED.contains(&key.as_str())) {
            return Err(at(0, format!("`data.{ours}` is for rules: no data can stand there")));
        }
        let conflict = |why: &dyn ToString| at(0, format!("this contradicts the data of another file: {}", why.to_string()));
        merge(&mut self.data, Value::from(data)).map_err(|path| conflict(&format!("`data{path}`")))
    }
}

/// Packages that no data may stand in for.
const RESERVED: [&str; 2] = ["standin", crate::interpreter::ANSWER];

/// Deep, refusing what is there already.
fn merge(target: &mut Value, other: Value) -> Result<(), String> {
    let (Ok(known), Ok(more)) = (target.as_object_mut(), other.as_object()) else { return Err(String::new()) };
    for (key, value) in more.iter_sorted() {
        match known.get_mut(key) {
            None => drop(known.insert(key.clone(), value.clone())),
            Some(there) => {
                let name = key.as_string().map_or_else(|_| String::new(), |name| format!(".{name}"));
                merge(there, value.clone()).map_err(|path| format!("{name}{path}"))?;
            }
        }
    }
    Ok(())
}

/// The byte that a line and a column (in bytes) name, both from 1; column 0 is the end of the line before.
fn offset(content: &str, line: usize, column: usize) -> usize {
    let before: usize = content.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Vec<Source> {
        files.iter().map(|(name, content)| Source { name: (*name).into(), content: (*content).into() }).collect()
    }

    fn fault(files: &[(&str, &str)]) -> (String, u32, u32, String) {
        let mut faults = Bundle::of(&sources(files)).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        let Fault { file, line, column, message, .. } = faults.remove(0);
        (file, line, column, message)
    }

    #[test]
    fn sources_are_told_apart_by_their_names() {
        let files = [("b/x.rego", ""), ("a.rego", ""), ("a_test.rego", "no policy"), ("data.json", "{\"a\": 1}")];
        let sources = sources(&files);
        let bundle = Bundle::of(&sources).unwrap();
        assert_eq!(bundle.policies.iter().map(|source| source.name.as_str()).collect::<Vec<_>>(), ["a.rego", "b/x.rego"]);
    }

    #[test]
    fn data_lies_under_its_folder() {
        let files = [("data.json", "{\"a\": {\"x\": 1}}"), ("a/data.json", "{\"y\": [true]}"), ("a/b/data.json", "7")];
        let sources = sources(&files);
        let data = Bundle::of(&sources).unwrap().data;
        assert_eq!(data.to_json_str().unwrap().split_whitespace().collect::<String>(), r#"{"a":{"b":7,"x":1,"y":[true]}}"#);
    }

    #[test]
    fn what_has_no_place_is_refused() {
        for name in ["readme.md", "a.json", "rego", ".rego", "", "data.yaml", ".manifest", "a\n.rego"] {
            assert_eq!(fault(&[(name, "")]).0, name);
        }
        assert!(fault(&[("a.rego", ""), ("a.rego", "")]).3.contains("two files"));
    }

    #[test]
    fn faulty_data_has_a_place() {
        assert_eq!(fault(&[("data.json", "{\n  \"ä\": [}")]).1, 2);
        assert_eq!(fault(&[("data.json", "{\n  \"ä\": [}")]).2, 9);
        assert!(fault(&[("data.json", "[]")]).3.contains("JSON object"));
        assert!(fault(&[("data.json", "{\"standin\": {\"allow\": true}}")]).3.contains("`data.standin` is for rules"));
        assert!(fault(&[("standin/data.json", "{}")]).3.contains("`data.standin` is for rules"));
        let both = [("data.json", "{\"a\": {\"x\": 1}}"), ("a/data.json", "{\"x\": 1}")];
        assert!(fault(&both).3.contains("`data.a.x`"));
        assert!(fault(&[("data.json", "{\"a\": 1}"), ("a/data.json", "{}")]).3.contains("`data.a`"));
    }
}
