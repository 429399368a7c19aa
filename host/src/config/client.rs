//! `[[client]]`: who may ask, and for what at most.

use std::collections::HashSet;

use standin_core::registry::{Client, ScopeMode, Step, SubjectKind};
use toml_edit::Value;

use super::fault::Problem;
use super::reader::{Found, Once, Section, values};
use super::value::{self, audience, boolean, choice, digest, lifetime, name, scope, step, sub, tenant, text};
use super::{ClientRegistration, Identity};

/// Secrets that may be live at once: the old and the new one of a rotation.
pub(super) const MAX_SECRETS: usize = 2;
/// The most steps of one client; all of them are handed to the component with each request.
const MAX_STEPS: usize = 64;

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
    check_within(&section, &default_scopes, scopes.as_deref(), "`scopes`");
    let steps = steps(&mut section, scopes.as_deref(), audiences.as_deref());
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
            steps,
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

/// Everything has to be on the client's own list, if that could be read.
fn check_within(section: &Section<'_>, inner: &[Found<String>], own: Option<&[Found<String>]>, list: &'static str) {
    let Some(own) = own else { return };
    for found in inner.iter().filter(|found| !own.iter().any(|own| own.value == found.value)) {
        section.faults.report(&found.place, Problem::Outside { list });
    }
}

/// What each step may ask for: of the client's own, never more.
fn steps(section: &mut Section<'_>, scopes: Option<&[Found<String>]>, audiences: Option<&[Found<String>]>) -> Vec<Step> {
    let entries = section.sections("step");
    if entries.len() > MAX_STEPS {
        section.report("step", Problem::TooMany { limit: MAX_STEPS });
    }
    let mut names = Once::default();
    let mut steps = Vec::new();
    for mut entry in entries {
        let name = entry.required("name", text(step));
        if let Some(name) = &name {
            names.add(name.value.clone(), &name.place, entry.faults);
        }
        // A step without scopes is one that says so.
        if !entry.has("scopes") {
            entry.report("scopes", Problem::Missing);
        }
        let own_scopes = entry.list("scopes", text(scope)).unwrap_or_default();
        check_within(&entry, &own_scopes, scopes, "the client's `scopes`");
        let own_audiences = entry.filled("audiences", text(audience));
        check_within(&entry, own_audiences.as_deref().unwrap_or_default(), audiences, "the client's `audiences`");
        entry.finish();
        let audiences = own_audiences.map(|audiences| values(&audiences));
        steps.extend(name.map(|name| Step { name: name.value, scopes: values(&own_scopes), audiences }));
    }
    steps
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
    check_within(section, granted.as_deref().unwrap_or_default(), scopes, "`scopes`");
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
