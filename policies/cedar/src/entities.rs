//! The bundle's own entities: groups, and what the bundle knows of tenants, audiences and parties.
//!
//! They are kept one by one. A request takes those that it can reach, so that many entities cost a request no more than few.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::{Entities, Entity as PublicEntity, EntityUid};
use cedar_policy_core::ast::{Entity, EntityUID, PartialValue};
use serde_json::value::RawValue;
use standin_policy_engine::{Fault, Source};

use crate::schema::{Checked, PROVISIONAL};

/// An entity, its ancestors within, and the entities its attributes and tags name.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) entity: Arc<Entity>,
    pub(crate) names: Vec<EntityUID>,
}

/// The bundle's entities by name.
#[derive(Debug, Default)]
pub(crate) struct Store(HashMap<EntityUID, Known>);

impl Store {
    /// Reads and validates them.
    pub(crate) fn load(source: Option<&Source>, checked: &Checked) -> Result<Self, Vec<Fault>> {
        let Some(Source { name, content }) = source else { return Ok(Self::default()) };
        let items: Vec<&RawValue> = serde_json::from_str(content).map_err(|why| {
            let offset = offset_of(content, why.line(), why.column());
            vec![Fault::at(name, content, offset, format!("entities are a JSON array of objects: {why}"))]
        })?;
        let mut places: HashMap<EntityUid, usize> = HashMap::new();
        let mut faults = Vec::new();
        let mut entities = Vec::with_capacity(items.len());
        for item in items {
            let offset = item.get().as_ptr().addr().saturating_sub(content.as_ptr().addr());
            let mut fault = |message: String| faults.push(Fault::at(name, content, offset, message));
            match PublicEntity::from_json_str(item.get(), Some(&checked.of_entities)) {
                Err(why) => fault(told(&why)),
                Ok(entity) if entity.attr(PROVISIONAL).is_some() => {
                    fault(format!("`{PROVISIONAL}` is said by the request, not by the bundle"));
                }
                Ok(entity) if entity.as_ref().uid().is_action() => fault("actions are the schema's, not the bundle's".to_owned()),
                Ok(entity) => match places.insert(entity.uid(), offset) {
                    Some(_) => fault(format!("there is another entity `{}` already", entity.uid())),
                    None => entities.push(entity),
                },
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        // Each entity was held against the schema above; here it is about the whole: ancestors, and that there is no cycle.
        let whole = Entities::from_entities(entities, None).map_err(|why| vec![Fault::at(name, content, 0, told(&why))])?;
        let known = whole.as_ref().iter().map(|entity| (entity.uid().clone(), Known::new(entity.clone())));
        Ok(Self(known.collect()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, uid: &EntityUID) -> Option<&Known> {
        self.0.get(uid)
    }

    /// Those of these names that are here.
    pub(crate) fn retain(&self, names: &mut std::collections::BTreeSet<EntityUID>) {
        names.retain(|name| self.0.contains_key(name));
    }

    #[cfg(test)]
    pub(crate) fn all(&self) -> impl Iterator<Item = &Known> {
        self.0.values()
    }
}

impl Known {
    fn new(entity: Entity) -> Self {
        let values = entity.attrs().chain(entity.tags());
        let names = values.flat_map(|(_, value)| match value {
            PartialValue::Value(value) => value.all_literal_uids(),
            // There are none: entities in JSON have no unknowns.
            PartialValue::Residual(_) => Default::default(),
        });
        Self { names: names.collect(), entity: Arc::new(entity) }
    }
}

/// An error with what caused it.
fn told(why: &dyn std::error::Error) -> String {
    let mut text = why.to_string();
    let mut cause = why.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// The byte of a line and column, both from 1, the column in bytes.
fn offset_of(content: &str, line: usize, column: usize) -> usize {
    let before: usize = content.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    before + column.saturating_sub(1)
}
