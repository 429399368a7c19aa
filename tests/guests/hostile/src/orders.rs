//! What the request orders, read from its attributes.

use serde_json::{Map, Value};

use crate::bindings::standin::obo::types::Request;

/// The orders of one request.
pub(crate) struct Orders<'a>(&'a Request);

impl<'a> Orders<'a> {
    pub(crate) fn of(request: &'a Request) -> Self {
        Self(request)
    }

    /// The name of the trick.
    pub(crate) fn trick(&self) -> String {
        self.text("trick").unwrap_or_else(|| "mint".into())
    }

    /// One order; `null` where there is none.
    pub(crate) fn get(&self, name: &str) -> Value {
        let found = self.0.attributes.iter().find(|attribute| attribute.name == name);
        found.and_then(|attribute| serde_json::from_str(&attribute.value).ok()).unwrap_or_default()
    }

    /// An order that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).as_str().map(str::to_owned)
    }

    /// Puts the members of the order `name` into `object`; `null` takes one out.
    pub(crate) fn change(&self, name: &str, object: &mut Map<String, Value>) {
        if let Value::Object(changes) = self.get(name) {
            for (name, value) in changes {
                if value.is_null() {
                    object.remove(&name);
                } else {
                    object.insert(name, value);
                }
            }
        }
    }
}
