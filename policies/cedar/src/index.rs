//! Which rules can match, by their scope: found by name, so that what cannot match costs nothing.
//!
//! The scope of a policy is five kinds of constraint on the principal, five on the resource, and actions. The index has a level
//! for the principal, under each of its entries one for the resource, and one index for each action. A lookup asks each level
//! for the entity, its type and its ancestors. What is found this way is exactly what Cedar's evaluation of the scopes would find, so
//! that only the conditions are left to evaluate.

use std::collections::HashMap;

use cedar_policy_core::ast::{
    ActionConstraint, Entity, EntityReference, EntityType, EntityUID, Policy, PrincipalOrResourceConstraint,
};

use crate::schema::{Action, PerAction, Shapes};

/// One value for every constraint that was seen.
#[derive(Debug)]
struct Level<T> {
    any: Option<Box<T>>,
    is: HashMap<EntityType, T>,
    equal: HashMap<EntityUID, T>,
    within: HashMap<EntityUID, T>,
    is_within: HashMap<EntityType, HashMap<EntityUID, T>>,
}

impl<T> Default for Level<T> {
    fn default() -> Self {
        Self { any: None, is: HashMap::new(), equal: HashMap::new(), within: HashMap::new(), is_within: HashMap::new() }
    }
}

impl<T: Default> Level<T> {
    /// The value of this constraint; `None` for a slot of a template, which no rule has.
    fn entry(&mut self, constraint: &PrincipalOrResourceConstraint) -> Option<&mut T> {
        use PrincipalOrResourceConstraint::{Any, Eq, In, Is, IsIn};
        Some(match constraint {
            Any => self.any.get_or_insert_default(),
            Is(entity_type) => self.is.entry((**entity_type).clone()).or_default(),
            Eq(reference) => self.equal.entry(named(reference)?).or_default(),
            In(reference) => self.within.entry(named(reference)?).or_default(),
            IsIn(entity_type, reference) => {
                self.is_within.entry((**entity_type).clone()).or_default().entry(named(reference)?).or_default()
            }
        })
    }

    /// Every value whose constraint this entity meets.
    fn each<'a>(&'a self, entity: &Entity, mut visit: impl FnMut(&'a T)) {
        let uid = entity.uid();
        if let Some(any) = &self.any {
            visit(any);
        }
        if !self.is.is_empty() {
            self.is.get(uid.entity_type()).into_iter().for_each(&mut visit);
        }
        if !self.equal.is_empty() {
            self.equal.get(uid).into_iter().for_each(&mut visit);
        }
        let is_within = if self.is_within.is_empty() { None } else { self.is_within.get(uid.entity_type()) };
        for within in [Some(&self.within), is_within].into_iter().flatten().filter(|within| !within.is_empty()) {
            // Whatever is, is in itself.
            within.get(uid).into_iter().for_each(&mut visit);
            entity.ancestors().filter_map(|ancestor| within.get(ancestor)).for_each(&mut visit);
        }
    }
}

fn named(reference: &EntityReference) -> Option<EntityUID> {
    match reference {
        EntityReference::EUID(uid) => Some((**uid).clone()),
        EntityReference::Slot(_) => None,
    }
}

/// Rules by their scope; a rule is its place in the list.
#[derive(Debug, Default)]
pub(crate) struct Index {
    actions: PerAction<Level<Level<Vec<usize>>>>,
}

impl Index {
    /// Of all policies, in the order of their rules.
    pub(crate) fn of(policies: &[Policy], shapes: &Shapes) -> Self {
        let mut index = Self::default();
        for (place, policy) in policies.iter().enumerate() {
            let (principal, resource) = (policy.principal_constraint(), policy.resource_constraint());
            for action in Action::ALL {
                if !covers(policy.action_constraint(), &shapes.actions.get(action).entity) {
                    continue;
                }
                let level = index.actions.get_mut(action).entry(principal.as_inner());
                if let Some(places) = level.and_then(|level| level.entry(resource.as_inner())) {
                    places.push(place);
                }
            }
        }
        index
    }

    /// The rules whose scope covers this request, in their order.
    pub(crate) fn pick(&self, action: Action, principal: &Entity, resource: &Entity) -> Vec<usize> {
        let mut picked = Vec::new();
        self.actions.get(action).each(principal, |level| level.each(resource, |places| picked.extend_from_slice(places)));
        picked.sort_unstable();
        picked
    }
}

fn covers(constraint: &ActionConstraint, action: &Entity) -> bool {
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => **uid == *action.uid(),
        ActionConstraint::In(uids) => uids.iter().any(|uid| **uid == *action.uid() || action.is_descendant_of(uid)),
    }
}
