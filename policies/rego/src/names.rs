//! What the names of a policy stand for.

use std::collections::BTreeMap;

use regorus::unstable::{Expr, Module, Span};

use crate::syntax::{Place, path, place_of, written};

/// The names of a package, which all its policies share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    package: Place,
    /// What imports stand for, from `data` or `input` on.
    imports: BTreeMap<String, Place>,
}

impl Names {
    /// Those of a package that has these policies.
    pub(crate) fn of(package: &Place, modules: &[&Module]) -> Self {
        let imports = modules.iter().flat_map(|module| imports(module)).map(|(name, target, _)| (name.to_owned(), target));
        Self { package: package.clone(), imports: imports.collect() }
    }

    /// What a reference that begins so begins with, from `data` or `input` on; none where that is no import.
    pub(crate) fn document(&self, root: &str) -> Option<Place> {
        match root {
            "data" | "input" => Some(vec![root.to_owned()]),
            _ => self.imports.get(root).cloned(),
        }
    }

    /// Where a reference stands, from `data` or `input` on; none where a part of it is computed.
    pub(crate) fn place(&self, expression: &Expr) -> Option<Place> {
        let parts = place_of(&written(expression)?);
        let (root, rest) = parts.split_first()?;
        let own = || [&["data".to_owned()], self.package.as_slice(), std::slice::from_ref(root)].concat();
        Some([self.document(root).unwrap_or_else(own).as_slice(), rest].concat())
    }
}

/// What the imports of a policy are called here, and what they stand for; keywords are no names.
pub(crate) fn imports(module: &Module) -> impl Iterator<Item = (&str, Place, &Span)> {
    module.imports.iter().filter_map(|import| {
        let parts = path(&import.refr);
        let (last, span) = *parts.last()?;
        let name = import.r#as.as_ref().map_or(last, |name| name.text());
        matches!(parts.first(), Some(("data" | "input", _))).then(|| (name, place_of(&parts), span))
    })
}
