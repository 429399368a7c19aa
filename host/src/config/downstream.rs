//! `[[audience]]` and `[[provider]]`: what tokens are for, and who else issues them.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use standin_core::registry::{ALGORITHM, Algorithm, Audience};

use super::fault::Problem;
use super::reader::{Once, Section, values};
use super::value::{audience, boolean, choice, duration, lifetime, name, origin, path, scope, size, tenant, text};
use super::{Provider, ProviderCredential};
use crate::bindings::types::Attribute;

const MAX_PROVIDER_BODY: u32 = 16 * 1024 * 1024;

/// All audiences.
pub(super) struct Audiences {
    pub(super) registered: Vec<Audience>,
    /// Every id that stands there, also of one with faults: a reference to it is none.
    pub(super) ids: HashSet<String>,
}

/// Every `[[audience]]`.
pub(super) fn audiences(sections: Vec<Section<'_>>, signing: &[Algorithm], max_ttl: u32) -> Audiences {
    let ids = sections.iter().filter_map(|section| section.peek("id").map(str::to_owned)).collect();
    let mut once = Once::default();
    let registered = sections.into_iter().filter_map(|section| read_audience(section, signing, max_ttl, &mut once)).collect();
    Audiences { registered, ids }
}

fn read_audience(mut section: Section<'_>, signing: &[Algorithm], max_ttl: u32, once: &mut Once<String>) -> Option<Audience> {
    let id = section.required("id", text(audience));
    if let Some(id) = &id {
        once.add(id.value.clone(), &id.place, section.faults);
    }
    let local = text(|text| if text == "local" { Ok(text.to_owned()) } else { Err(Problem::NoSuchFlow) });
    let flow = section.or("flow", local, "local".to_owned());
    let scopes = section.list("scopes", text(scope)).map(|scopes| values(&scopes));
    let max_ttl = section.optional("max_ttl", lifetime(max_ttl)).map(|found| found.value);
    let tenants = section.filled("tenants", text(tenant)).map(|tenants| values(&tenants));
    let unbound = section.or("unbound", boolean, false);
    let known: Vec<_> = signing.iter().map(|algorithm| (algorithm.name(), *algorithm)).collect();
    let algorithm = section.optional("algorithm", choice(&known)).map(|found| found.value).or_else(|| signing.first().copied());
    section.finish();
    let attributes = algorithm.map(signed_with).into_iter().collect();
    Some(Audience { id: id?.value, flow, provider: None, scopes, max_ttl, tenants, unbound, attributes })
}

/// Also the default is said: who asks for several audiences at once learns whether one signature can serve all.
fn signed_with(algorithm: Algorithm) -> Attribute {
    Attribute { name: ALGORITHM.to_owned(), value: serde_json::Value::from(algorithm.name()).to_string() }
}

/// Every `[[provider]]`.
pub(super) fn providers(sections: Vec<Section<'_>>, base: &Path, timeout: Duration) -> Vec<Provider> {
    let mut once = Once::default();
    sections.into_iter().filter_map(|section| read_provider(section, base, timeout, &mut once)).collect()
}

fn read_provider(mut section: Section<'_>, base: &Path, default_timeout: Duration, once: &mut Once<String>) -> Option<Provider> {
    let name = section.required("name", text(name));
    if let Some(name) = &name {
        once.add(name.value.clone(), &name.place, section.faults);
    }
    let origin = section.required("origin", text(origin));
    let client_id = section.optional("client_id", text(client_id));
    let secret_file = section.optional("client_secret_file", path(base));
    match (section.has("client_id"), section.has("client_secret_file")) {
        (true, false) => section.report("client_secret_file", Problem::NeededWith { because: "`client_id`" }),
        (false, true) => section.report("client_id", Problem::NeededWith { because: "`client_secret_file`" }),
        (true, true) | (false, false) => {}
    }
    let limit = duration(Duration::from_millis(1)..=Duration::from_secs(60));
    let timeout = section.or("timeout", limit, default_timeout);
    let max_body = section.or("max_body", size(1024..=MAX_PROVIDER_BODY), 1024 * 1024);
    section.finish();
    let credential =
        client_id.zip(secret_file).map(|(id, file)| ProviderCredential { client_id: id.value, secret_file: file.value });
    Some(Provider { name: name?.value, origin: origin?.value, credential, timeout, max_body })
}

/// Our id at somebody else's server: any `VSCHAR` (RFC 6749 appendix A.1).
fn client_id(text: &str) -> Result<String, Problem> {
    let right = (1..=256).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    if right { Ok(text.to_owned()) } else { Err(Problem::Malformed { expected: "1 to 256 printable ASCII characters" }) }
}
