//! Dependencies point one way only: every `crate::…` of domain, component, core and host is held against the layers below. So are the crates that
//! what is pure may be made of.
//!
//! A module may use modules of layers under its own. Modules of one layer stand in their order: each may use those before it.
//! Import files of the host never know each other. What is otherwise is written down with its reason, and what is written down has
//! to be so. What operators are told of metrics is held against the source too.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From, to, why.
type Exception = (&'static str, &'static str, &'static str);

/// What a crate's modules may use.
struct Layout {
    source: &'static str,
    /// From the bottom up.
    layers: &'static [&'static [&'static str]],
    /// Never use each other, whatever their order.
    strangers: &'static [&'static str],
    /// Used by nobody but these.
    private: &'static [(&'static str, &'static [&'static str])],
    /// Names of modules that are re-exported at the root.
    aliases: &'static [(&'static str, &'static str)],
    exceptions: &'static [Exception],
}

const DOMAIN: Layout = Layout {
    source: "../guest/domain/src",
    layers: &[
        &["percent"],
        &["contract", "claims", "facts", "flow", "id", "own", "chain", "scope", "secret"],
        &["ports"],
        &["error", "tenant"],
        &["caller", "target", "policy", "audit", "mint"],
        &["pipeline", "explain"],
        &["endpoint"],
    ],
    strangers: &[],
    private: &[("endpoint", &[])],
    aliases: &[],
    exceptions: &[],
};

const GUEST: Layout = Layout {
    source: "../guest/src",
    layers: &[&["bindings", "heap"], &["imports"], &["component"]],
    strangers: &[],
    private: &[("heap", &[]), ("imports", &["component"]), ("component", &[])],
    aliases: &[],
    exceptions: &[],
};

const CORE: Layout = Layout {
    source: "../host/core/src",
    layers: &[
        &["hex", "clock", "peer", "address", "json", "claimed", "presented", "registry", "limits"],
        &["evidence"],
        &["approval", "record"],
    ],
    strangers: &[],
    private: &[],
    aliases: &[],
    exceptions: &[],
};

const HOST: Layout = Layout {
    source: "../host/src",
    layers: &[
        &["bindings", "bounded", "guard", "clock", "door", "guessing", "secret", "sqlite", "threads", "config"],
        &["tape"],
        &["registry", "http", "store", "directory", "keys", "audit", "decision_point"],
        &["engine", "image", "policy"],
        &["replay"],
        &["state"],
        &["shared"],
        &["call"],
        &["standin", "builder"],
        &["server"],
        &["cli"],
        &["main"],
    ],
    strangers: &["registry", "http", "store", "directory", "keys", "audit", "decision_point"],
    private: &[("main", &[]), ("cli", &["main"]), ("state", &["shared", "call", "standin", "builder"])],
    aliases: &[("types", "bindings"), ("obo", "bindings"), ("endpoint", "bindings")],
    exceptions: &[
        ("keys", "http", "issuers' key sets are fetched through the port `Http`"),
        ("keys", "audit", "nothing is signed before it is recorded"),
        ("audit", "keys", "checkpoints are signed through the port `Keys`"),
        ("standin", "builder", "the embedding API begins with `Standin::builder`, and a reload builds again"),
    ],
};

#[test]
fn the_domains_dependencies_point_one_way() {
    check(&DOMAIN);
}

#[test]
fn the_components_dependencies_point_one_way() {
    check(&GUEST);
}

#[test]
fn the_cores_dependencies_point_one_way() {
    check(&CORE);
}

#[test]
fn the_hosts_dependencies_point_one_way() {
    check(&HOST);
}

fn check(layout: &Layout) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(layout.source);
    let mut uses: BTreeMap<(String, String), BTreeSet<PathBuf>> = BTreeMap::new();
    let known: BTreeSet<&str> = layout.layers.iter().copied().flatten().copied().collect();
    let mut found = BTreeSet::new();
    for file in sources(&root) {
        let inside = file.strip_prefix(&root).unwrap().with_extension("");
        let module: Vec<&str> = inside.iter().map(|part| part.to_str().unwrap()).collect();
        if module == ["lib"] {
            continue;
        }
        assert!(known.contains(module[0]), "{} is in no layer", file.display());
        found.insert(module[0].to_owned());
        for name in references(&fs::read_to_string(&file).unwrap(), module.len()) {
            let name = layout.aliases.iter().find(|(alias, _)| *alias == name).map_or(name.as_str(), |(_, real)| real).to_owned();
            // What is not a module is an item of the root.
            if known.contains(name.as_str()) && name != module[0] {
                uses.entry((module[0].to_owned(), name)).or_default().insert(file.clone());
            }
        }
    }
    let missing: Vec<_> = known.iter().filter(|name| !found.contains(**name)).collect();
    assert!(missing.is_empty(), "no such module: {missing:?}");
    let mut wrong = Vec::new();
    for ((from, to), files) in &uses {
        let excepted = layout.exceptions.iter().any(|(a, b, _)| a == from && b == to);
        if !excepted && !allowed(layout, from, to) {
            wrong.push(format!("{from} uses {to}: {files:?}"));
        }
    }
    for (from, to, reason) in layout.exceptions {
        if !uses.contains_key(&((*from).to_owned(), (*to).to_owned())) {
            wrong.push(format!("{from} no longer uses {to} ({reason}): strike the exception"));
        } else if allowed(layout, from, to) {
            wrong.push(format!("{from} may use {to} anyway: strike the exception"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn allowed(layout: &Layout, from: &str, to: &str) -> bool {
    let place = |name: &str| {
        layout.layers.iter().enumerate().find_map(|(layer, names)| Some((layer, names.iter().position(|known| *known == name)?)))
    };
    let strangers = layout.strangers.contains(&from) && layout.strangers.contains(&to);
    let private = layout.private.iter().any(|(name, users)| *name == to && !users.contains(&from));
    place(to) < place(from) && !strangers && !private
}

/// Of the crates that everything links: what they may be made of. Bindings in one would be an import of whatever links it, and what waits,
/// opens files or asks the time has no place behind a port.
const PURE: &[(&str, &[&str])] = &[
    ("guest/domain", &["base64", "serde", "serde_json", "zeroize"]),
    (
        "host/core",
        &["async-trait", "base64", "icu_normalizer", "idna", "serde", "serde_json", "standin-domain", "thiserror", "zeroize"],
    ),
];

#[test]
fn what_is_pure_is_made_of_little() {
    for (folder, known) in PURE {
        let manifest = fs::read_to_string(Path::new("..").join(folder).join("Cargo.toml")).unwrap();
        let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
        let (section, others) = rest.split_once("\n[").unwrap();
        let named = |line: &str| line.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect::<String>();
        // What is optional no component asks for.
        let always = section.lines().filter(|line| !line.contains("optional = true"));
        let found: Vec<_> = always.map(named).filter(|name| !name.is_empty()).collect();
        assert_eq!(found, *known, "{folder}");
        assert!(!others.contains(".dependencies]") && !others.contains("build-dependencies"), "{folder}");
    }
}

/// Every file of the crate that is not a test.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if matches!(name, "tests" | "testing") {
            continue;
        }
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The first names behind `crate::`, and behind as many `super::` as lead to the root. Comments and tests do not count.
fn references(source: &str, depth: usize) -> BTreeSet<String> {
    let mut code = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            // A module of its own ends the file, a declaration one line.
            if lines.next().is_some_and(|next| next.ends_with('{')) {
                break;
            }
        } else if !line.trim_start().starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
    }
    let mut names = BTreeSet::new();
    for root in ["crate::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in code.match_indices(&root) {
            let before = code[..at].chars().next_back();
            let longer = before.is_some_and(|before| before.is_alphanumeric() || before == '_' || before == ':' || before == '$');
            if !longer {
                names.extend(heads(&code[at + root.len()..]));
            }
        }
    }
    names
}

/// `a::b` begins with `a`; `{a, b::c, d::{e, f}}` with `a`, `b` and `d`.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(list) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut names, mut open, mut start) = (Vec::new(), 1, 0);
    for (at, character) in list.char_indices() {
        match character {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if (character == ',' && open == 1) || open == 0 {
            names.push(name(list[start..at].trim_start()));
            start = at + 1;
        }
        if open == 0 {
            break;
        }
    }
    names
}

/// Operators read of every metric what it is, and of none that there is not.
#[test]
fn every_metric_is_described() {
    let page = fs::read_to_string("../docs/http.md").unwrap();
    let described: BTreeSet<_> = page.split("| `standin_").skip(1).map(|rest| named(rest, &['`', '{'])).collect();
    let mut made = BTreeSet::new();
    for path in sources(Path::new("../host/src")) {
        let text = fs::read_to_string(path).unwrap();
        let calls = ["counter!(", "gauge!(", "histogram!("].iter().flat_map(|call| text.split(call).skip(1));
        made.extend(calls.filter_map(|rest| Some(named(rest.trim_start().strip_prefix("\"standin_")?, &['"']))));
    }
    assert!(made.len() > 5, "{made:?}");
    assert_eq!(described, made);
}

fn named(rest: &str, ends: &[char]) -> String {
    rest.split(ends).next().unwrap().to_owned()
}

#[test]
fn references_are_found() {
    let code = "use crate::{id, mint::{Flow, local}};\n// crate::comment\nlet a = crate::chain::Actor::subs;\n\
                use super::sibling;\n#[cfg(test)]\nmod tests {\nuse crate::tested;\n}\n";
    let names = |depth| references(code, depth).into_iter().collect::<Vec<_>>();
    assert_eq!(names(1), ["chain", "id", "mint", "sibling"]);
    assert_eq!(names(2), ["chain", "id", "mint"]);
    assert_eq!(references("#[cfg(test)]\nmod testing;\nuse crate::after;", 1), BTreeSet::from(["after".to_owned()]));
}
