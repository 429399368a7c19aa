//! Packages that decide nothing: a `deny` in one of them would forbid nothing, without a word.

use std::collections::BTreeSet;

use standin_policy_engine::Fault;

use crate::syntax::Place;

/// The packages of all policies, and what each refers to.
#[derive(Debug, Default)]
pub(crate) struct Packages {
    /// Every policy's package, and what to say where it decides nothing.
    found: Vec<(Place, Fault)>,
    /// Who refers to what.
    references: BTreeSet<(Place, Place)>,
}

impl Packages {
    /// There is such a package.
    pub(crate) fn add(&mut self, package: Place, unused: Fault) {
        self.found.push((package, unused));
    }

    /// A package refers to a place, of which the part that is computed is left out.
    pub(crate) fn refers(&mut self, package: &[String], to: Place) {
        self.references.insert((package.to_owned(), to));
    }

    /// The faults of those that nothing refers to that begins at the package that decides.
    pub(crate) fn unused(self, decides: &str) -> impl Iterator<Item = Fault> {
        let Self { found, references } = self;
        let mut reached = BTreeSet::from([vec![decides.to_owned()]]);
        // Each round reaches one more package at least, or is the last.
        loop {
            let next = found.iter().map(|(package, _)| package).find(|package| {
                let refers = |(from, to): &(Place, Place)| reached.contains(from) && is_of(to, package);
                !reached.contains(*package) && references.iter().any(refers)
            });
            match next.cloned() {
                Some(package) => reached.insert(package),
                None => break,
            };
        }
        found.into_iter().filter(move |(package, _)| !reached.contains(package)).map(|(_, fault)| fault)
    }
}

/// Whether a reference is to something of a package, to the package, or to what it stands in.
fn is_of(reference: &[String], package: &[String]) -> bool {
    reference.iter().zip(package).all(|(one, other)| one == other)
}
