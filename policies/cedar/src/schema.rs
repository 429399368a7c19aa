//! The schema, and what of it a request has to fill.
//!
//! A bundle may bring a schema of its own. It has to type the requests that Standin makes: what it declares as always there has to
//! be what is always there, under its name and of its type; everything else may be declared as optional, of any type that
//! JSON has.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{Schema, SchemaFragment};
use cedar_policy_core::ast::{Eid, Entity, EntityType, EntityUID};
use cedar_policy_core::validator::ValidatorSchema;
use cedar_policy_core::validator::types::{Attributes, Type};
use standin_policy_engine::{Fault, Source};

use crate::fault;
use crate::value::Kind;

/// The schema of a bundle that brings none.
pub const BUILT_IN: &str = include_str!("../schema.cedarschema");

/// What would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Mint,
    Exchange,
    Delegate,
}

impl Action {
    pub(crate) const ALL: [Self; 3] = [Self::Mint, Self::Exchange, Self::Delegate];

    /// What a flow does. A dry run asks what a signature would ask.
    pub(crate) fn of_flow(flow: &str) -> Option<Self> {
        match flow {
            "local" | "none" => Some(Self::Mint),
            "exchange" | "client-credentials" => Some(Self::Exchange),
            "delegation" => Some(Self::Delegate),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mint => "mint",
            Self::Exchange => "exchange",
            Self::Delegate => "delegate",
        }
    }
}

/// One value for each action.
#[derive(Debug, Clone, Default)]
pub(crate) struct PerAction<T> {
    pub(crate) mint: T,
    pub(crate) exchange: T,
    pub(crate) delegate: T,
}

impl<T> PerAction<T> {
    pub(crate) fn get(&self, action: Action) -> &T {
        match action {
            Action::Mint => &self.mint,
            Action::Exchange => &self.exchange,
            Action::Delegate => &self.delegate,
        }
    }

    pub(crate) fn get_mut(&mut self, action: Action) -> &mut T {
        match action {
            Action::Mint => &mut self.mint,
            Action::Exchange => &mut self.exchange,
            Action::Delegate => &mut self.delegate,
        }
    }
}

/// The type of a party, by the kind the contract names.
const PARTIES: [(&str, &str); 6] = [
    ("client", "Client"),
    ("user", "User"),
    ("host", "Host"),
    ("envoy", "Envoy"),
    ("provisional", "Provisional"),
    ("external", "External"),
];
/// The one attribute of a party that is always there.
pub(crate) const PROVISIONAL: &str = "provisional";

/// An entity made for a request.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) entity_type: EntityType,
    pub(crate) declared: BTreeMap<String, Kind>,
    /// Of tags, which take every attribute that is not declared.
    pub(crate) tags: Option<Kind>,
}

/// What fills an attribute of the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    Tenant,
    CrossTenantFrom,
    Audience,
    SoleAudience,
    Scope,
    Ttl,
    Chain,
    Hops,
    Actor,
    Step,
    Flow,
    Now,
    Hour,
    Weekday,
    Edge,
    /// An attribute of the request, by its own name.
    Fact(Kind),
}

/// One action of the schema.
#[derive(Debug)]
pub(crate) struct ActionShape {
    pub(crate) uid: EntityUID,
    /// The groups it is in.
    pub(crate) entity: Arc<Entity>,
    pub(crate) context: Vec<(String, Slot)>,
    /// Kinds of subjects it applies to.
    subjects: Vec<&'static str>,
}

impl ActionShape {
    pub(crate) fn applies_to(&self, kind: &str) -> bool {
        self.subjects.contains(&kind)
    }
}

/// All that a request has to fill.
#[derive(Debug)]
pub(crate) struct Shapes {
    parties: BTreeMap<&'static str, Shape>,
    pub(crate) edge: Option<Shape>,
    pub(crate) tenant: EntityType,
    pub(crate) audience: EntityType,
    pub(crate) actions: PerAction<ActionShape>,
}

impl Shapes {
    pub(crate) fn party(&self, kind: &str) -> Option<&Shape> {
        self.parties.get(kind)
    }
}

/// A schema that types the request.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) schema: Schema,
    /// The same, but what only a request knows may be missing: for the bundle's own entities.
    pub(crate) of_entities: Schema,
    pub(crate) shapes: Shapes,
}

/// The bundle's schema, or the built-in one.
pub(crate) fn load(source: Option<&Source>) -> Result<Checked, Vec<Fault>> {
    let (name, content) = source.map_or(("schema.cedarschema", BUILT_IN), |source| (&source.name, &source.content));
    let fault = |diagnostic: &dyn miette::Diagnostic| vec![fault::from_diagnostic(name, content, diagnostic)];
    let (fragment, warnings) = SchemaFragment::from_cedarschema_str(content).map_err(|why| fault(&why))?;
    // Nothing warns and carries on.
    let warnings: Vec<_> = warnings.map(|warning| fault::from_diagnostic(name, content, &warning)).collect();
    if !warnings.is_empty() {
        return Err(warnings);
    }
    let schema = Schema::from_schema_fragments([fragment.clone()]).map_err(|why| fault(&why))?;
    let mut reader = Reader { schema: schema.as_ref(), name, content, faults: Vec::new() };
    let shapes = reader.shapes();
    let faults = reader.faults;
    let (Some(shapes), true) = (shapes, faults.is_empty()) else { return Err(faults) };
    let of_entities = without_required(fragment).map_err(|why| fault(&*why))?;
    Ok(Checked { schema, of_entities, shapes })
}

/// The schema with `provisional` optional: only a request knows it.
fn without_required(fragment: SchemaFragment) -> Result<Schema, Box<cedar_policy::SchemaError>> {
    let mut json = fragment.to_json_value()?;
    for (_, name) in PARTIES {
        // The namespace is the one without a name.
        let pointer = format!("//entityTypes/{name}/shape/attributes/{PROVISIONAL}");
        if let Some(attribute) = json.pointer_mut(&pointer).and_then(serde_json::Value::as_object_mut) {
            attribute.insert("required".to_owned(), false.into());
        }
    }
    Ok(Schema::from_json_value(json)?)
}

/// Holds a schema against what requests are made of, and collects every fault.
struct Reader<'a> {
    schema: &'a ValidatorSchema,
    name: &'a str,
    content: &'a str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn shapes(&mut self) -> Option<Shapes> {
        let mut parties = BTreeMap::new();
        for (kind, name) in PARTIES {
            if let Some(shape) = self.shape(name, &[PROVISIONAL]) {
                parties.insert(kind, shape);
            }
        }
        let tenant = self.entity_type("Tenant");
        let audience = self.entity_type("Audience");
        let mint = self.action(Action::Mint);
        let exchange = self.action(Action::Exchange);
        let delegate = self.action(Action::Delegate);
        let edge = self.find_type("Edge").is_some().then(|| self.shape("Edge", &[])).flatten();
        let actions = PerAction { mint: mint?, exchange: exchange?, delegate: delegate? };
        Some(Shapes { parties, edge, tenant: tenant?, audience: audience?, actions })
    }

    fn fault(&mut self, word: &str, message: String) {
        self.faults.push(fault::at_word(self.name, self.content, word, message));
    }

    fn find_type(&self, name: &str) -> Option<EntityType> {
        let entity_type: EntityType = name.parse().ok()?;
        self.schema.get_entity_type(&entity_type).map(|_found| entity_type)
    }

    fn entity_type(&mut self, name: &str) -> Option<EntityType> {
        let found = self.find_type(name);
        if found.is_none() {
            self.fault(name, format!("the schema has to declare the entity type `{name}`: requests are made of it"));
        }
        found
    }

    /// An entity of which only the attributes named are always there.
    fn shape(&mut self, name: &str, always: &[&str]) -> Option<Shape> {
        let entity_type = self.entity_type(name)?;
        let found = self.schema.get_entity_type(&entity_type)?;
        let attributes = found.attributes().clone();
        let tags = found.tag_type().cloned();
        let mut declared = BTreeMap::new();
        for (attribute, kind, required) in self.kinds(&attributes) {
            if attribute == PROVISIONAL && always.contains(&PROVISIONAL) && kind != Kind::Bool {
                self.fault(&attribute, format!("`{attribute}` of `{name}` has to be of type Bool"));
            } else if required && !always.contains(&attribute.as_str()) {
                self.fault(&attribute, format!("`{attribute}` of `{name}` has to be optional: not every request has it"));
            }
            declared.insert(attribute, kind);
        }
        let tags = match tags.map(|tags| Kind::of(&tags)) {
            None => None,
            Some(Some(kind)) => Some(kind),
            Some(None) => {
                self.fault(name, format!("the tags of `{name}` have to be of a type that JSON has"));
                None
            }
        };
        Some(Shape { entity_type, declared, tags })
    }

    /// Attributes by the kinds of their types.
    fn kinds(&mut self, attributes: &Attributes) -> Vec<(String, Kind, bool)> {
        let mut kinds = Vec::new();
        for (attribute, declared) in attributes.iter() {
            match Kind::of(&declared.attr_type) {
                Some(kind) => kinds.push((attribute.to_string(), kind, declared.is_required)),
                None => self.fault(attribute, format!("`{attribute}` has to be of a type that JSON has")),
            }
        }
        kinds
    }

    fn action(&mut self, action: Action) -> Option<ActionShape> {
        let name = action.name();
        let action_type: EntityType = "Action".parse().ok()?;
        let uid = EntityUID::from_components(action_type, Eid::new(name), None);
        let Some(found) = self.schema.get_action_id(&uid) else {
            self.fault(name, format!("the schema has to declare the action `{name}`: requests are made of it"));
            return None;
        };
        let applies = |name: &str| name.parse().is_ok_and(|party| found.is_applicable_resource_type(&party));
        let subjects = PARTIES.into_iter().filter(|(_, name)| applies(name)).map(|(kind, _)| kind).collect();
        if !"Client".parse().is_ok_and(|client| found.is_applicable_principal_type(&client)) {
            self.fault(name, format!("the action `{name}` has to apply to principals of type `Client`"));
        }
        let groups = self.schema.action_ids().filter(|group| group.descendants().any(|member| *member == uid));
        let groups = groups.map(|group| group.name().clone()).collect();
        let entity = Entity::new_with_attr_partial_value(uid.clone(), [], Default::default(), groups, []);
        let attributes = match self.schema.context_type(&uid) {
            Some(Type::Record { attrs, .. }) => attrs.clone(),
            Some(_) | None => Attributes::with_required_attributes([]),
        };
        let mut context = Vec::new();
        for (attribute, kind, required) in self.kinds(&attributes) {
            context.extend(self.slot(&attribute, kind, required).map(|slot| (attribute, slot)));
        }
        Some(ActionShape { uid, entity: Arc::new(entity), context, subjects })
    }

    /// What fills an attribute of the context.
    fn slot(&mut self, attribute: &str, kind: Kind, required: bool) -> Option<Slot> {
        let entity = |name: &str| name.parse().ok().map(Kind::Entity);
        let texts = || Kind::Set(Box::new(Kind::String));
        let (slot, expected, always) = match attribute {
            "tenant" => (Slot::Tenant, entity("Tenant")?, true),
            "cross_tenant_from" => (Slot::CrossTenantFrom, entity("Tenant")?, false),
            "audience" => (Slot::Audience, Kind::Set(Box::new(entity("Audience")?)), true),
            "sole_audience" => (Slot::SoleAudience, entity("Audience")?, false),
            "scope" => (Slot::Scope, texts(), true),
            "ttl" => (Slot::Ttl, Kind::Long, true),
            "chain" => (Slot::Chain, texts(), true),
            "hops" => (Slot::Hops, Kind::Long, true),
            "actor" => (Slot::Actor, Kind::String, false),
            "step" => (Slot::Step, Kind::String, false),
            "flow" => (Slot::Flow, Kind::String, true),
            "now" => (Slot::Now, Kind::Long, true),
            "hour" => (Slot::Hour, Kind::Long, true),
            "weekday" => (Slot::Weekday, Kind::Long, true),
            "edge" => (Slot::Edge, entity("Edge")?, true),
            _ => (Slot::Fact(kind.clone()), kind.clone(), false),
        };
        if kind != expected {
            self.fault(attribute, format!("`{attribute}` of the context has to be of type {expected}"));
        } else if required && !always {
            self.fault(attribute, format!("`{attribute}` of the context has to be optional: not every request has it"));
        }
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(edit: impl Fn(&str) -> String) -> Vec<(u32, String)> {
        let source = Source { name: "s.cedarschema".into(), content: edit(BUILT_IN) };
        let faults = load(Some(&source)).err().unwrap_or_default();
        faults.into_iter().map(|fault| (fault.line, fault.message)).collect()
    }

    #[test]
    fn the_built_in_schema_types_the_request() {
        let checked = load(None).unwrap();
        assert!(PARTIES.iter().all(|(kind, _)| checked.shapes.party(kind).is_some()));
        for action in Action::ALL {
            assert_eq!(checked.shapes.actions.get(action).context.len(), 15);
            assert_eq!(checked.shapes.actions.get(action).subjects.len(), 6);
        }
    }

    #[test]
    fn a_schema_that_does_not_type_the_request_is_refused() {
        let rows: [(&str, &str, &str); 11] = [
            ("entity Tenant in [Group] tags String;", "type Tenant = String;", "entity type"),
            ("action mint appliesTo", "action sign appliesTo", "`mint`"),
            ("provisional: Bool", "provisional: String", "has to be of type Bool"),
            ("acr?: String", "acr: String", "`acr` of `User` has to be optional"),
            ("step?: String", "step: String", "`step` of the context has to be optional"),
            ("ttl: Long", "ttl: String", "`ttl` of the context has to be of type Long"),
            ("hops: Long", "hops: Long, risk: Long", "`risk` of the context has to be optional"),
            ("principal: [Client]", "principal: [User]", "principals of type `Client`"),
            ("audience: Set<Audience>", "audience: Set<String>", "has to be of type Set<Audience>"),
            ("audience: Set<Audience>,", "audience: Set<Audience>", "unexpected"),
            ("tenant: Tenant,", "tenant: Tenent,", "Tenent"),
        ];
        for (from, to, says) in rows {
            let faults = faults(|schema| schema.replace(from, to));
            assert!(faults.iter().any(|(_, message)| message.contains(says)), "{to}: {faults:?}");
            // What is missing has no place.
            assert!(faults.iter().all(|(line, message)| *line > 1 || message.contains("has to declare")), "{to}: {faults:?}");
        }
    }

    #[test]
    fn a_schema_may_declare_less_and_more() {
        let less = |schema: &str| schema.replace("  weekday: Long,\n", "").replace("  amr?: Set<String>,\n", "");
        assert_eq!(faults(less), []);
        let more = |schema: &str| {
            let party = schema.replace("  acr?: String,", "  acr?: String,\n  device?: { managed: Bool, owner?: User },");
            party.replace("  edge: Edge,", "  edge: Edge,\n  \"risk.score\"?: Long,")
        };
        assert_eq!(faults(more), []);
    }
}
