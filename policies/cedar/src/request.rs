//! A question as Cedar's request, and the entities it can reach.

use std::collections::HashSet;
use std::sync::Arc;

use cedar_policy_core::ast::{Context, Entity, EntityUID, EntityUIDEntry, PartialValue, Request, Value};
use cedar_policy_core::entities::{Entities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;
use standin_policy_engine::{Attribute, Input, Party};

use crate::entities::Store;
use crate::schema::{Action, PROVISIONAL, Shape, Shapes, Slot};
use crate::value::{texts, uid};

/// What the edge says carries this prefix.
const EDGE: &str = "edge.";
/// The fact that a tenant is reached by crossing.
const CROSS_TENANT_FROM: &str = "cross_tenant.from";
/// The kind of a subject that is the caller.
const CLIENT: &str = "client";

/// Why a question cannot be put to policies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuestionError {
    /// A party of a kind that has no type.
    #[error("`{0}` is no kind of party")]
    Kind(String),
    /// A flow that is no action.
    #[error("`{0}` is no flow")]
    Flow(String),
    /// A fact that is not of the type the schema declares.
    #[error("the fact `{name}` is not of type {expected}")]
    Fact {
        /// Its name.
        name: String,
        /// The declared type.
        expected: String,
    },
    /// A number that Cedar has no integer for.
    #[error("the time exceeds what an integer can hold")]
    Time,
    /// The entities contradict each other.
    #[error("the entities of the request contradict each other: {0}")]
    Entities(String),
}

/// What Cedar is asked.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) action: Action,
    /// Whether the schema has such a request at all.
    pub(crate) applies: bool,
    pub(crate) principal: Arc<Entity>,
    pub(crate) resource: Arc<Entity>,
    pub(crate) request: Request,
    /// Made for this request.
    made: Vec<Arc<Entity>>,
    /// Named by it.
    names: Vec<EntityUID>,
}

impl Question {
    pub(crate) fn of(input: &Input, shapes: &Shapes, store: &Store) -> Result<Self, QuestionError> {
        let action = Action::of_flow(&input.flow).ok_or_else(|| QuestionError::Flow(input.flow.clone()))?;
        let shape = shapes.actions.get(action);
        let mut maker = Maker { shapes, store, made: vec![Arc::clone(&shape.entity)], names: Vec::new() };
        let (principal, resource) = maker.parties(&input.caller, &input.subject)?;
        let context = maker.context(input, &shape.context)?;
        let Maker { made, names, .. } = maker;
        let known = |entity: &Entity| EntityUIDEntry::known(entity.uid().clone(), None);
        let action_uid = EntityUIDEntry::known(shape.uid.clone(), None);
        let request = Request::new_unchecked(known(&principal), action_uid, known(&resource), Some(context));
        let applies = input.caller.kind == CLIENT && shape.applies_to(&input.subject.kind);
        Ok(Self { action, applies, principal, resource, request, made, names })
    }

    /// The entities that policies which name `named` can reach: what was made for the request, and from there on along attributes.
    pub(crate) fn entities<'a>(
        &'a self,
        store: &'a Store,
        named: impl Iterator<Item = &'a EntityUID>,
    ) -> Result<Entities, QuestionError> {
        let mut reached = self.made.clone();
        if !store.is_empty() {
            let mut seen: HashSet<&EntityUID> = self.made.iter().map(|entity| entity.uid()).collect();
            let mut open: Vec<&EntityUID> = self.names.iter().chain(named).collect();
            while let Some(name) = open.pop() {
                if let (true, Some(known)) = (seen.insert(name), store.get(name)) {
                    reached.push(Arc::clone(&known.entity));
                    open.extend(&known.names);
                }
            }
        }
        collect(reached)
    }

    /// Every entity there is.
    #[cfg(test)]
    pub(crate) fn all_entities(&self, store: &Store) -> Entities {
        let made: HashSet<_> = self.made.iter().map(|entity| entity.uid().clone()).collect();
        let others = store.all().filter(|known| !made.contains(known.entity.uid()));
        collect(self.made.iter().cloned().chain(others.map(|known| Arc::clone(&known.entity))).collect()).unwrap()
    }
}

/// Ancestors are complete: those of the bundle were computed when it was loaded, those of the request when it was made.
fn collect(entities: Vec<Arc<Entity>>) -> Result<Entities, QuestionError> {
    let complete = TCComputation::AssumeAlreadyComputed;
    let collected = Entities::new().add_entities(entities, None::<&NoEntitiesSchema>, complete, Extensions::all_available());
    collected.map_err(|why| QuestionError::Entities(why.to_string()))
}

/// Makes the entities of one request.
struct Maker<'a> {
    shapes: &'a Shapes,
    store: &'a Store,
    made: Vec<Arc<Entity>>,
    names: Vec<EntityUID>,
}

impl Maker<'_> {
    /// Caller and subject; one entity where the caller acts for itself.
    fn parties(&mut self, caller: &Party, subject: &Party) -> Result<(Arc<Entity>, Arc<Entity>), QuestionError> {
        if caller.kind == subject.kind && caller.id == subject.id {
            let mut one = caller.clone();
            one.provisional |= subject.provisional;
            let others = subject.tenants.iter().filter(|tenant| !caller.tenants.contains(tenant));
            one.tenants.extend(others.cloned());
            let others = subject.attributes.iter().filter(|fact| caller.attributes.iter().all(|known| known.name != fact.name));
            one.attributes.extend(others.cloned());
            let one = self.party(&one)?;
            return Ok((Arc::clone(&one), one));
        }
        Ok((self.party(caller)?, self.party(subject)?))
    }

    fn party(&mut self, party: &Party) -> Result<Arc<Entity>, QuestionError> {
        let shape = self.shapes.party(&party.kind).ok_or_else(|| QuestionError::Kind(party.kind.clone()))?;
        let parents = party.tenants.iter().map(|tenant| uid(&self.shapes.tenant, tenant)).collect();
        let facts = party.attributes.iter().map(|fact| (fact.name.as_str(), fact));
        let provisional = shape.declared.contains_key(PROVISIONAL).then(|| Value::from(party.provisional));
        self.entity(shape, &party.id, parents, facts, provisional)
    }

    /// What the request says comes before what the bundle says.
    fn entity<'f>(
        &mut self,
        shape: &Shape,
        id: &str,
        mut parents: HashSet<EntityUID>,
        facts: impl Iterator<Item = (&'f str, &'f Attribute)>,
        provisional: Option<Value>,
    ) -> Result<Arc<Entity>, QuestionError> {
        let uid = uid(&shape.entity_type, id);
        let (mut attributes, mut tags) = (Vec::new(), Vec::new());
        if let Some(known) = self.store.get(&uid) {
            let copy = |(name, value): (&_, &PartialValue)| (Clone::clone(name), value.clone());
            attributes.extend(known.entity.attrs().map(copy));
            tags.extend(known.entity.tags().map(copy));
            parents.extend(known.entity.parents().cloned());
            self.names.extend(known.names.iter().cloned());
        }
        for (name, fact) in facts {
            let wrong = |expected: &dyn ToString| QuestionError::Fact { name: fact.name.clone(), expected: expected.to_string() };
            if name == PROVISIONAL && provisional.is_some() {
                // The contract has a field of its own for it.
                continue;
            }
            if let Some(kind) = shape.declared.get(name) {
                let value = serde_json::from_str(&fact.value).ok().and_then(|json| kind.value(&json));
                let value = value.ok_or_else(|| wrong(kind))?;
                self.note(&value);
                attributes.push((name.into(), value.into()));
            } else if let Some(kind) = &shape.tags {
                let value = kind.tag(&fact.value).ok_or_else(|| wrong(kind))?;
                self.note(&value);
                tags.push((name.into(), value.into()));
            }
        }
        attributes.extend(provisional.map(|value| (PROVISIONAL.into(), value.into())));
        let above = parents.iter().filter_map(|parent| self.store.get(parent)).flat_map(|parent| parent.entity.ancestors());
        let indirect = above.filter(|ancestor| !parents.contains(ancestor)).cloned().collect();
        let entity = Arc::new(Entity::new_with_attr_partial_value(uid, attributes, indirect, parents, tags));
        self.made.push(Arc::clone(&entity));
        Ok(entity)
    }

    /// Remembers what a value names, where the bundle could know more of it.
    fn note(&mut self, value: &Value) {
        if !self.store.is_empty() {
            self.names.extend(value.all_literal_uids());
        }
    }

    fn context(&mut self, input: &Input, slots: &[(String, Slot)]) -> Result<Context, QuestionError> {
        let mut pairs = Vec::with_capacity(slots.len());
        for (name, slot) in slots {
            if let Some(value) = self.fill(input, name, slot)? {
                self.note(&value);
                pairs.push((name.as_str().into(), value));
            }
        }
        Ok(Context::Value(Arc::new(pairs.into_iter().collect())))
    }

    fn fill(&mut self, input: &Input, name: &str, slot: &Slot) -> Result<Option<Value>, QuestionError> {
        const DAY: u64 = 86_400;
        let (tenant, audience) = (&self.shapes.tenant, &self.shapes.audience);
        let long = |number: u64| i64::try_from(number).map(Value::from).map_err(|_| QuestionError::Time);
        Ok(match slot {
            Slot::Tenant => Some(uid(tenant, &input.tenant).into()),
            Slot::CrossTenantFrom => {
                let fact = input.attributes.iter().find(|fact| fact.name == CROSS_TENANT_FROM);
                let from = fact.map(|fact| {
                    let text = serde_json::from_str::<String>(&fact.value);
                    text.map_err(|_| QuestionError::Fact { name: fact.name.clone(), expected: "String".to_owned() })
                });
                from.transpose()?.map(|from| uid(tenant, &from).into())
            }
            Slot::Audience => Some(Value::set(input.audience.iter().map(|name| uid(audience, name).into()), None)),
            Slot::SoleAudience => match input.audience.as_slice() {
                [one] => Some(uid(audience, one).into()),
                [] | [_, _, ..] => None,
            },
            Slot::Scope => Some(texts(&input.scope)),
            Slot::Ttl => Some(i64::from(input.ttl).into()),
            Slot::Chain => Some(texts(&input.chain)),
            Slot::Hops => Some(long(input.chain.len() as u64)?),
            Slot::Actor => input.chain.first().map(|actor| actor.as_str().into()),
            Slot::Step => input.step.as_deref().map(Value::from),
            Slot::Flow => Some(input.flow.as_str().into()),
            Slot::Now => Some(long(input.now)?),
            Slot::Hour => Some(long(input.now % DAY / 3600)?),
            // The epoch was a Thursday.
            Slot::Weekday => Some(long((input.now / DAY + 3) % 7 + 1)?),
            Slot::Edge => self.edge(input)?,
            Slot::Fact(kind) => match input.attributes.iter().find(|fact| fact.name == name) {
                None => None,
                Some(fact) => {
                    let value = serde_json::from_str(&fact.value).ok().and_then(|json| kind.value(&json));
                    let wrong = || QuestionError::Fact { name: fact.name.clone(), expected: kind.to_string() };
                    Some(value.ok_or_else(wrong)?)
                }
            },
        })
    }

    fn edge(&mut self, input: &Input) -> Result<Option<Value>, QuestionError> {
        let Some(shape) = &self.shapes.edge else { return Ok(None) };
        let facts = input.attributes.iter().filter_map(|fact| Some((fact.name.strip_prefix(EDGE)?, fact)));
        let entity = self.entity(shape, "edge", HashSet::new(), facts, None)?;
        Ok(Some(entity.uid().clone().into()))
    }
}
