//! `[[trusted_issuer]]`: whose tokens are believed, and about which tenants.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use standin_core::registry::{Algorithm, ED25519, Issuer, IssuerKeys, IssuerRole, JwksSource, SubjectMapping};

use super::IssuerRegistration;
use super::fault::Problem;
use super::reader::{Found, Once, Section, values};
use super::value::{self, audience, choice, claim, duration, fetched, media_type, name, path, scope, tenant, tenant_claim, text};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// All trusted issuers.
pub(super) struct Issuers {
    pub(super) registered: Vec<IssuerRegistration>,
    /// Every issuer that stands there as one of callers, also one with faults: a reference to it is none.
    pub(super) callers: HashSet<String>,
}

/// What may stand once among all issuers.
#[derive(Default)]
struct Taken {
    issuers: Once<String>,
    names: Once<String>,
    /// Tenants whose subject names an issuer owns.
    owned: Once<String>,
}

/// `own` is this server's issuer, if that is known.
pub(super) fn read_all(sections: Vec<Section<'_>>, own: Option<&str>, base: &Path) -> Issuers {
    let is_caller = |section: &&Section<'_>| section.peek("role") == Some("caller");
    let callers = sections.iter().filter(is_caller).filter_map(|section| section.peek("issuer").map(str::to_owned)).collect();
    let mut taken = Taken::default();
    let registered = sections.into_iter().filter_map(|section| read(section, own, base, &mut taken)).collect();
    Issuers { registered, callers }
}

fn read(mut section: Section<'_>, own: Option<&str>, base: &Path, taken: &mut Taken) -> Option<IssuerRegistration> {
    let faults = section.faults;
    let name = section.required("name", text(name));
    let issuer = section.required("issuer", text(value::issuer));
    let role = section.required("role", choice(&[("subject", IssuerRole::Subject), ("caller", IssuerRole::Caller)]));
    if let Some(name) = &name {
        taken.names.add(name.value.clone(), &name.place, faults);
    }
    if let Some(issuer) = &issuer {
        taken.issuers.add(issuer.value.clone(), &issuer.place, faults);
        if Some(issuer.value.as_str()) == own {
            faults.report(&issuer.place, Problem::OwnIssuer);
        }
    }
    let caller = matches!(&role, Some(Found { value: IssuerRole::Caller, .. }));
    let source = source(&mut section, base);
    let known: Vec<_> =
        Algorithm::ALL.into_iter().map(|algorithm| (algorithm.name(), algorithm)).chain([(ED25519, Algorithm::EdDsa)]).collect();
    let algorithms = section.required_list("algorithms", choice(&known));
    let max_stale = section.optional("max_stale", duration(Duration::ZERO..=30 * 24 * HOUR));
    let audiences = audiences(&mut section, caller, own);
    let tenants = match caller {
        true => section.list_or_empty("tenants", text(tenant)),
        false => section.required_list("tenants", text(tenant)),
    };
    let types = section.filled("types", text(media_type)).map(|types| values(&types));
    let scopes = section.list("scopes", text(scope)).map(|scopes| values(&scopes));
    let scope_claims = section.list("scope_claims", text(claim)).map(|claims| values(&claims));
    let tenant_claim = section.optional("tenant_claim", text(tenant_claim)).map(|claim| claim.value);
    let mapping = mapping(&mut section);
    if caller {
        for key in
            ["subject", "subject_claim", "tenant_claim", "scopes", "scope_claims"].into_iter().filter(|key| section.has(key))
        {
            section.report(key, Problem::Useless { condition: "`role = \"subject\"`" });
        }
    } else {
        check_tenants(&section, &mapping, tenants.as_deref().unwrap_or_default(), taken);
    }
    section.finish();
    Some(IssuerRegistration {
        issuer: Issuer {
            issuer: issuer?.value,
            name: name?.value,
            role: role?.value,
            audiences,
            tenants: values(&tenants?),
            tenant_claim,
            mapping,
            scopes,
            scope_claims: scope_claims.unwrap_or_else(|| ["scope", "scp"].map(str::to_owned).to_vec()),
            types: types.unwrap_or_else(|| ["at+jwt", "jwt", ""].map(str::to_owned).to_vec()),
            attributes: Vec::new(),
        },
        keys: IssuerKeys {
            source: source?,
            algorithms: values(&algorithms?),
            max_stale: max_stale.map_or(24 * HOUR, |found| found.value),
        },
    })
}

fn source(section: &mut Section<'_>, base: &Path) -> Option<JwksSource> {
    let url = section.optional("jwks_uri", text(fetched)).map(|found| JwksSource::Url(found.value));
    let file = section.optional("jwks_file", path(base)).map(|found| JwksSource::File(found.value));
    match (section.has("jwks_uri"), section.has("jwks_file")) {
        (true, true) => section.report("jwks_file", Problem::Excludes { other: "jwks_uri" }),
        (false, false) => section.report("jwks_uri", Problem::NeedsOneOf { keys: "`jwks_uri`, `jwks_file`" }),
        (true, false) | (false, true) => {}
    }
    url.or(file)
}

/// RFC 7519 §4.1.3. A caller's JWT is addressed to this server and to nobody else.
fn audiences(section: &mut Section<'_>, caller: bool, own: Option<&str>) -> Vec<String> {
    let Some(found) = section.filled("audiences", text(audience)) else {
        return own.map(str::to_owned).into_iter().collect();
    };
    for audience in found.iter().filter(|audience| caller && own.is_some_and(|own| own != audience.value)) {
        section.faults.report(&audience.place, Problem::NotOneOf { allowed: "this server's `issuer`".to_owned() });
    }
    values(&found)
}

#[derive(Clone, Copy)]
enum Mapping {
    Namespaced,
    Directory,
    AsIs,
}

fn mapping(section: &mut Section<'_>) -> SubjectMapping {
    let mappings = [("namespaced", Mapping::Namespaced), ("directory", Mapping::Directory), ("as-is", Mapping::AsIs)];
    let chosen = section.optional("subject", choice(&mappings)).map(|found| found.value);
    let claim = section.optional("subject_claim", text(claim)).map(|found| found.value);
    let with_claim = section.has("subject_claim");
    match chosen {
        None if section.has("subject") => {}
        Some(Mapping::Directory) if !with_claim => {
            section.report("subject_claim", Problem::NeededWith { because: "`subject = \"directory\"`" });
        }
        None | Some(Mapping::Namespaced | Mapping::AsIs) if with_claim => {
            section.report("subject_claim", Problem::Useless { condition: "`subject = \"directory\"`" });
        }
        None | Some(Mapping::Namespaced | Mapping::Directory | Mapping::AsIs) => {}
    }
    match (chosen, claim) {
        (Some(Mapping::Directory), Some(claim)) => SubjectMapping::Directory(claim),
        (Some(Mapping::AsIs), _) => SubjectMapping::AsIs,
        // A directory mapping without a claim stands beside a fault.
        (None | Some(Mapping::Namespaced | Mapping::Directory), _) => SubjectMapping::Namespaced,
    }
}

/// Which tenant a token speaks for has to follow from the token, and one issuer at most owns a tenant's subject names.
fn check_tenants(section: &Section<'_>, mapping: &SubjectMapping, tenants: &[Found<String>], taken: &mut Taken) {
    let told = section.has("tenant_claim") || matches!(mapping, SubjectMapping::Directory(_));
    if tenants.len() > 1 && !told {
        section.report("tenant_claim", Problem::NeededWith { because: "more than one tenant" });
    }
    if section.peek("subject") == Some("as-is") {
        for tenant in tenants {
            if let Err(line) = taken.owned.first(tenant.value.clone(), &tenant.place, section.faults) {
                section.faults.report(&tenant.place, Problem::TwoOwners { tenant: tenant.value.clone(), line });
            }
        }
    }
}
