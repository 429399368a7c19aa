//! `[[client]]`: who may ask, and for what at most.

use std::collections::HashSet;

use toml_edit::Value;

use super::fault::Problem;
use super::reader::{Found, Once, Section, values};
use super::value::{self, audience, boolean, choice, digest, lifetime, name, scope, sub, tenant, text};
use super::{ClientRegistration, Identity};
use crate::registry::{Client, ScopeMode, SubjectKind};

/// Secrets that may be live at once: the old and the new one of a rotation.
const MAX_SECRETS: usize = 2;

const SUBJECTS: [(&str, SubjectKind); 4] =
    [("user", SubjectKind::User), ("host", SubjectKind::Host), ("envoy", SubjectKind::Envoy), ("token", SubjectKind::Token)];

/// What clients refer to.
pub(super) struct Context<'a> {
    pub(super) audiences: &'a HashSet<String>,
    pub(super) caller_issuers: &'a HashSet<String>,
    pub(super) max_ttl: u32,
}

/// What may stand once among all clients.
#[derive(Default)]
struct Taken {
    ids: Once<String>,
    identities: Once<Identity>,
}

/// Every `[[client]]`.
pub(super) fn read_all(sections: Vec<Section<'_>>, context: &Context<'_>) -> Vec<ClientRegistration> {
    let mut taken = Taken::default();
    sections.into_iter().filter_map(|section| read(section, context, &mut taken)).collect()
}

fn read(mut section: Section<'_>, context: &Context<'_>, taken: &mut Taken) -> Option<ClientRegistration> {
    let id = section.required("id", text(name));
    if let Some(id) = &id {
        taken.ids.add(id.value.clone(), &id.place, section.faults);
    }
    let secrets = section.filled("secret_sha256", text(digest)).unwrap_or_default();
    if secrets.len() > MAX_SECRETS {
        section.report("secret_sha256", Problem::TooMany { limit: MAX_SECRETS });
    }
    let identities = identities(&mut section, context, taken);
    let attested = section.or("attested", boolean, false);
    if !attested && !["secret_sha256", "identities"].iter().any(|key| section.has(key)) {
        section.report("secret_sha256", Problem::NeedsOneOf { keys: "`secret_sha256`, `identities`, `attested = true`" });
    }
    let tenants = section.required_list("tenants", text(tenant));
    let subjects = section.required_list("subjects", subject);
    let audiences = section.required_list("audiences", text(audience));
    for audience in audiences.iter().flatten().filter(|audience| !context.audiences.contains(&audience.value)) {
        section.faults.report(&audience.place, Problem::Dangling { what: "audience" });
    }
    let scopes = section.list_or_empty("scopes", text(scope));
    let default_scopes = section.list("default_scopes", text(scope)).unwrap_or_default();
    check_within_scopes(&section, &default_scopes, scopes.as_deref());
    let envoys = subjects.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| kind.value == SubjectKind::Envoy));
    let provisional_scopes = provisional(&mut section, envoys, scopes.as_deref());
    let cross_tenant = crossings(&mut section, tenants.as_deref());
    let modes = [("narrow", ScopeMode::Narrow), ("strict", ScopeMode::Strict)];
    let scope_mode = section.or("scope_mode", choice(&modes), ScopeMode::Strict);
    let max_ttl = section.or("max_ttl", lifetime(context.max_ttl), context.max_ttl);
    let is_audience = section.list("is_audience", text(audience)).unwrap_or_default();
    let protected = section.or("protected", boolean, false);
    section.finish();
    Some(ClientRegistration {
        client: Client {
            id: id?.value,
            tenants: values(&tenants?),
            subjects: values(&subjects?),
            audiences: values(&audiences?),
            scopes: values(&scopes?),
            default_scopes: values(&default_scopes),
            max_ttl,
            scope_mode,
            is_audience: values(&is_audience),
            cross_tenant,
            provisional_scopes,
            protected,
            attested,
            attributes: Vec::new(),
        },
        secret_digests: values(&secrets),
        identities,
    })
}

/// The contract knows more kinds of subject than this version has flows for.
fn subject(value: &Value) -> Result<SubjectKind, Problem> {
    match value.as_str() {
        Some("delegation" | "caller") => Err(Problem::NoSuchSubject),
        Some(_) | None => choice(&SUBJECTS)(value),
    }
}

/// Everything has to be among the client's scopes, if those could be read.
fn check_within_scopes(section: &Section<'_>, inner: &[Found<String>], scopes: Option<&[Found<String>]>) {
    let Some(scopes) = scopes else { return };
    for found in inner.iter().filter(|found| !scopes.iter().any(|scope| scope.value == found.value)) {
        section.faults.report(&found.place, Problem::Outside { list: "`scopes`" });
    }
}

/// Callers that show a JWT: the pair is this client's alone, and its issuer is one of callers.
fn identities(section: &mut Section<'_>, context: &Context<'_>, taken: &mut Taken) -> Vec<Identity> {
    let entries = section.sections("identities");
    if entries.is_empty() && section.has("identities") {
        section.report("identities", Problem::Empty);
    }
    let mut identities = Vec::new();
    for mut entry in entries {
        let (issuer, sub) = (entry.required("issuer", text(value::issuer)), entry.required("sub", text(sub)));
        if let Some(issuer) = issuer.as_ref().filter(|issuer| !context.caller_issuers.contains(&issuer.value)) {
            entry.faults.report(&issuer.place, Problem::Dangling { what: "trusted issuer with `role = \"caller\"`" });
        }
        if let (Some(issuer), Some(sub)) = (issuer, sub) {
            let identity = Identity { issuer: issuer.value, sub: sub.value };
            taken.identities.add(identity.clone(), &entry.place, entry.faults);
            identities.push(identity);
        }
        entry.finish();
    }
    identities
}

/// Users the directory does not know: only when asked for, only as envoys, only for scopes named here.
fn provisional(section: &mut Section<'_>, envoys: bool, scopes: Option<&[Found<String>]>) -> Option<Vec<String>> {
    let provisional = section.or("provisional", boolean, false);
    let granted = section.list("provisional_scopes", text(scope));
    check_within_scopes(section, granted.as_deref().unwrap_or_default(), scopes);
    match (provisional, section.has("provisional_scopes")) {
        (true, false) => section.report("provisional_scopes", Problem::NeededWith { because: "`provisional = true`" }),
        (false, true) => section.report("provisional_scopes", Problem::Useless { condition: "`provisional = true`" }),
        (true, true) | (false, false) => {}
    }
    if provisional && !envoys {
        section.report("provisional", Problem::Useless { condition: "`envoy` among `subjects`" });
    }
    granted.filter(|_| provisional).map(|granted| values(&granted))
}

/// Directed pairs: from a tenant of the client's own to any.
fn crossings(section: &mut Section<'_>, tenants: Option<&[Found<String>]>) -> Vec<(String, String)> {
    let pairs = section.list("cross_tenant", pair).unwrap_or_default();
    for Found { value: (from, to), place } in &pairs {
        if from == to {
            section.faults.report(place, Problem::CrossesToItself);
        }
        let own = |side: &String| tenants.is_none_or(|tenants| tenants.iter().any(|tenant| tenant.value == *side));
        // Where it leads is not its own: that is what makes it a crossing.
        if !own(from) {
            section.faults.report(place, Problem::Outside { list: "the client's `tenants`" });
        }
    }
    values(&pairs)
}

fn pair(value: &Value) -> Result<(String, String), Problem> {
    let expected = "a pair of tenants such as [\"acme\", \"globex\"]";
    let sides = value.as_array().ok_or(Problem::WrongType { expected, found: value.type_name() })?;
    match (sides.get(0), sides.get(1), sides.len()) {
        (Some(from), Some(to), 2) => Ok((text(tenant)(from)?, text(tenant)(to)?)),
        _ => Err(Problem::Malformed { expected }),
    }
}
