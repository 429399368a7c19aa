//! Walks the parsed file: every value is asked for by name, what was never asked for is unknown, and faults are collected
//! instead of ending the walk.

use std::cell::RefCell;
use std::collections::HashMap;

use toml_edit::{Item, TableLike, Value};

use super::fault::{Fault, Lines, Problem};

/// Where something stands: byte offset and key.
#[derive(Debug, Clone)]
pub(super) struct Place {
    at: usize,
    path: String,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// Offset and name of a key that stands in its table a second time.
pub(super) type Repeated = (usize, String);

/// Collects faults.
pub(super) struct Faults<'t> {
    lines: Lines<'t>,
    found: RefCell<Vec<(usize, String, Problem)>>,
    /// Keys that are not to be looked at.
    skipped: Vec<Repeated>,
}

impl<'t> Faults<'t> {
    /// Of this text, some of whose keys stand there a second time.
    pub(super) fn new(text: &'t str, skipped: Vec<Repeated>) -> Self {
        Self { lines: Lines::new(text), found: RefCell::default(), skipped }
    }

    pub(super) fn push(&self, at: usize, path: String, problem: Problem) {
        self.found.borrow_mut().push((at, path, problem));
    }

    /// This stands at a place.
    pub(super) fn report(&self, place: &Place, problem: Problem) {
        self.push(place.at, place.path.clone(), problem);
    }

    /// Whether there is none.
    pub(super) fn none(&self) -> bool {
        self.found.borrow().is_empty() && self.skipped.is_empty()
    }

    /// All of them, in the order of the file.
    pub(super) fn into_sorted(self) -> Vec<Fault> {
        let Self { lines, found, skipped } = self;
        let mut found = found.into_inner();
        // Those in tables that nobody walked over.
        for (at, key) in skipped {
            if !found.iter().any(|fault| (fault.0, &fault.2) == (at, &Problem::DuplicateKey)) {
                found.push((at, key, Problem::DuplicateKey));
            }
        }
        found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        found.into_iter().map(|(at, path, problem)| lines.fault(at, path, problem)).collect()
    }
}

/// The longest list; every one of them is handed to the component with each request.
pub(super) const MAX_LIST: usize = 1_024;

/// Values that may stand only once, and where they stand.
#[derive(Debug)]
pub(super) struct Once<K>(HashMap<K, usize>);

impl<K> Default for Once<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: std::hash::Hash + Eq> Once<K> {
    /// Takes the value in; where it was taken in before answers the line of that.
    pub(super) fn first(&mut self, value: K, place: &Place, faults: &Faults<'_>) -> Result<(), usize> {
        match self.0.get(&value) {
            Some(first) => Err(faults.lines.line(*first)),
            None => {
                self.0.insert(value, place.at);
                Ok(())
            }
        }
    }

    /// Takes the value in and reports it where it was taken in before.
    pub(super) fn add(&mut self, value: K, place: &Place, faults: &Faults<'_>) {
        if let Err(line) = self.first(value, place, faults) {
            faults.report(place, Problem::Repeated { line });
        }
    }
}

/// One table of the file; without a table for a section that was left out.
pub(super) struct Section<'t> {
    table: Option<&'t dyn TableLike>,
    pub(super) place: Place,
    known: Vec<&'static str>,
    pub(super) faults: &'t Faults<'t>,
}

impl<'t> Section<'t> {
    /// The whole file.
    pub(super) fn root(table: &'t dyn TableLike, faults: &'t Faults<'t>) -> Self {
        Self { table: Some(table), place: Place { at: 0, path: String::new() }, known: Vec::new(), faults }
    }

    /// Where a key of this table stands, or would.
    pub(super) fn at(&self, key: &str) -> Place {
        let at = self.table.and_then(|table| table.key(key)).and_then(toml_edit::Key::span).map(|span| span.start);
        let path = if self.place.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place.path) };
        Place { at: at.unwrap_or(self.place.at), path }
    }

    /// Reports a fault of this key.
    pub(super) fn report(&self, key: &str, problem: Problem) {
        self.faults.report(&self.at(key), problem);
    }

    /// Whether the table itself stands there.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the key stands there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The string at this key, unchecked and without reporting anything.
    pub(super) fn peek(&self, key: &str) -> Option<&'t str> {
        self.table?.get(key)?.as_str()
    }

    fn item(&mut self, key: &'static str) -> Option<&'t Item> {
        self.known.push(key);
        self.table?.get(key)
    }

    /// The value at this key if there is one and `parse` takes it.
    pub(super) fn optional<T>(&mut self, key: &'static str, parse: impl Fn(&Value) -> Result<T, Problem>) -> Option<Found<T>> {
        let item = self.item(key)?;
        let mut place = self.at(key);
        place.at = item.span().map_or(place.at, |span| span.start);
        let parsed = item.as_value().ok_or(Problem::WrongType { expected: "a value", found: item.type_name() }).and_then(parse);
        self.take(place, parsed)
    }

    /// The same; a fault if there is none.
    pub(super) fn required<T>(&mut self, key: &'static str, parse: impl Fn(&Value) -> Result<T, Problem>) -> Option<Found<T>> {
        if !self.has(key) {
            self.report(key, Problem::Missing);
        }
        self.optional(key, parse)
    }

    /// The same; the default if there is none.
    pub(super) fn or<T>(&mut self, key: &'static str, parse: impl Fn(&Value) -> Result<T, Problem>, default: T) -> T {
        self.optional(key, parse).map_or(default, |found| found.value)
    }

    /// A list without repetitions, if it is there. Every element that `parse` refuses is a fault of its own.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Value) -> Result<T, Problem>,
    ) -> Option<Vec<Found<T>>> {
        let item = self.item(key)?;
        let place = self.at(key);
        let Some(array) = item.as_array() else {
            self.faults.report(&place, Problem::WrongType { expected: "an array", found: item.type_name() });
            return None;
        };
        if array.len() > MAX_LIST {
            self.faults.report(&place, Problem::TooMany { limit: MAX_LIST });
        }
        let mut elements: Vec<Found<T>> = Vec::new();
        for (index, value) in array.iter().enumerate().take(MAX_LIST) {
            let Some(found) = self.take(element(&place, index, value.span()), parse(value)) else { continue };
            match elements.iter().find(|earlier| earlier.value == found.value) {
                Some(earlier) => {
                    let line = self.faults.lines.line(earlier.place.at);
                    self.faults.report(&found.place, Problem::Repeated { line });
                }
                None => elements.push(found),
            }
        }
        Some(elements)
    }

    /// The same; an empty list is a fault.
    pub(super) fn filled<T: PartialEq>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Value) -> Result<T, Problem>,
    ) -> Option<Vec<Found<T>>> {
        if self.table.and_then(|table| table.get(key)?.as_array()).is_some_and(toml_edit::Array::is_empty) {
            self.report(key, Problem::Empty);
        }
        self.list(key, parse)
    }

    /// The same; an empty list where there is none, and nothing where it cannot be read.
    pub(super) fn list_or_empty<T: PartialEq>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Value) -> Result<T, Problem>,
    ) -> Option<Vec<Found<T>>> {
        if self.has(key) {
            self.list(key, parse)
        } else {
            self.known.push(key);
            Some(Vec::new())
        }
    }

    /// The same; an empty list is a fault, and so is none.
    pub(super) fn required_list<T: PartialEq>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Value) -> Result<T, Problem>,
    ) -> Option<Vec<Found<T>>> {
        if !self.has(key) {
            self.report(key, Problem::Missing);
        }
        self.filled(key, parse)
    }

    /// The table at this key; an empty one where there is none.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let place = self.at(key);
        let table = self.item(key).and_then(|item| {
            let table = item.as_table_like();
            if table.is_none() {
                self.faults.report(&place, Problem::WrongType { expected: "a table", found: item.type_name() });
            }
            table
        });
        Self { table, place, known: Vec::new(), faults: self.faults }
    }

    /// The tables at this key, written either way TOML has for them.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let place = self.at(key);
        let Some(item) = self.item(key) else { return Vec::new() };
        let open = |index: usize, table: Option<&'t dyn TableLike>, span: Option<std::ops::Range<usize>>| {
            let place = element(&place, index, span);
            if table.is_none() {
                self.faults.report(&place, Problem::WrongType { expected: "a table", found: "a value" });
            }
            table.map(|table| Self { table: Some(table), place, known: Vec::new(), faults: self.faults })
        };
        match item {
            Item::ArrayOfTables(tables) => {
                let tables = tables.iter().enumerate();
                tables.filter_map(|(index, table)| open(index, Some(table), table.span())).collect()
            }
            Item::Value(Value::Array(array)) => {
                let values = array.iter().enumerate();
                let as_table = |value: &'t Value| value.as_inline_table().map(|table| table as &dyn TableLike);
                values.filter_map(|(index, value)| open(index, as_table(value), value.span())).collect()
            }
            Item::None | Item::Value(_) | Item::Table(_) => {
                self.faults.report(&place, Problem::WrongType { expected: "an array of tables", found: item.type_name() });
                Vec::new()
            }
        }
    }

    fn take<T>(&self, place: Place, parsed: Result<T, Problem>) -> Option<Found<T>> {
        match parsed {
            Ok(value) => Some(Found { value, place }),
            Err(problem) => {
                self.faults.report(&place, problem);
                None
            }
        }
    }

    /// Ends the walk over this table: what nobody asked for is unknown.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        for (key, _) in table.iter() {
            let place = self.at(key);
            if let Some((at, key)) = self.faults.skipped.iter().find(|(at, _)| *at == place.at) {
                self.faults.push(*at, self.at(key).path, Problem::DuplicateKey);
            } else if !self.known.contains(&key) {
                let mut known = self.known.clone();
                known.sort_unstable();
                self.faults.report(&place, Problem::UnknownKey { known: known.join(", ") });
            }
        }
    }
}

fn element(list: &Place, index: usize, span: Option<std::ops::Range<usize>>) -> Place {
    Place { at: span.map_or(list.at, |span| span.start), path: format!("{}[{index}]", list.path) }
}

/// The values alone.
pub(super) fn values<T: Clone>(found: &[Found<T>]) -> Vec<T> {
    found.iter().map(|found| found.value.clone()).collect()
}
