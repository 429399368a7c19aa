//! `[policy]`: the modules that decide, and `[admin]`: who may look at them and change them while they serve.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use standin_core::registry::Client;

use super::client::MAX_SECRETS;
use super::fault::Problem;
use super::reader::{Faults, Found, Once, Section, values};
use super::value::{digest, duration, integer, path, size, tenant, text};
use super::{Admin, AdminListener, Breaker, ClientRegistration, Policy, PolicyModule, PolicySource, TenantPolicy};

const MIB: u32 = 1024 * 1024;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// `[policy]`, and the tenants it names.
pub(super) fn policy(mut section: Section<'_>, base: &Path) -> (Policy, Vec<Found<String>>) {
    let file = path(base);
    let source = |value: &toml_edit::Value| match value.as_str().and_then(|text| text.strip_prefix("builtin:")) {
        Some("baseline") => Ok(PolicySource::Baseline),
        Some(_) => Err(Problem::NotOneOf { allowed: "\"builtin:baseline\", a path".to_owned() }),
        None => file(value).map(PolicySource::File),
    };
    // The built-in one is part of this program: nobody signs it, and pinning it would pin the program.
    for key in ["trusted_keys", "digest"] {
        if section.has(key) && matches!(section.peek("module"), None | Some("builtin:baseline")) && !section.has("shadow") {
            section.report(key, Problem::Useless { condition: "`module` naming a file" });
        }
    }
    let source = section.or("module", source, PolicySource::Baseline);
    let platform = module(&mut section, base, source);
    let watch = section.or("watch", duration(Duration::ZERO..=HOUR), 2 * SECOND);
    let breaker = breaker(section.section("breaker"));
    let mut taken = Once::default();
    let entries = section.sections("tenant").into_iter();
    let tenants: Vec<_> = entries.filter_map(|entry| tenant_policy(entry, base, &mut taken)).collect();
    section.finish();
    let (named, tenants) =
        tenants.into_iter().map(|(name, module)| (name.clone(), TenantPolicy { tenant: name.value, module })).unzip();
    (Policy { platform, tenants, breaker, watch }, named)
}

/// A tenant that no client acts in is a slip of the pen, and its module would never be asked.
pub(super) fn check_tenants(named: &[Found<String>], clients: &[ClientRegistration], faults: &Faults<'_>) {
    let known = |tenant: &String| {
        let reaches = |client: &Client| client.tenants.contains(tenant) || client.cross_tenant.iter().any(|(_, to)| to == tenant);
        clients.iter().any(|registered| reaches(&registered.client))
    };
    // Without any client the embedding program may have registrations of its own.
    for tenant in named.iter().filter(|tenant| !clients.is_empty() && !known(&tenant.value)) {
        faults.report(&tenant.place, Problem::Dangling { what: "tenant of a client" });
    }
}

/// `[[policy.tenant]]`. The built-in module would add nothing to the platform's.
fn tenant_policy(mut section: Section<'_>, base: &Path, taken: &mut Once<String>) -> Option<(Found<String>, PolicyModule)> {
    let name = section.required("tenant", text(tenant));
    if let Some(name) = &name {
        taken.add(name.value.clone(), &name.place, section.faults);
    }
    let file = section.required("module", path(base));
    let module = file.map(|file| module(&mut section, base, PolicySource::File(file.value)));
    section.finish();
    Some((name?, module?))
}

/// What every module has.
fn module(section: &mut Section<'_>, base: &Path, source: PolicySource) -> PolicyModule {
    PolicyModule {
        source,
        trusted_keys: values(&section.filled("trusted_keys", path(base)).unwrap_or_default()),
        digest: section.optional("digest", text(digest)).map(|digest| digest.value),
        memory: section.or("memory", size(MIB..=1024 * MIB), 32 * MIB),
        deadline: section.or("deadline", duration(MILLISECOND..=10 * SECOND), 50 * MILLISECOND),
        shadow: section.optional("shadow", path(base)).map(|shadow| shadow.value),
    }
}

fn breaker(mut section: Section<'_>) -> Breaker {
    let breaker = Breaker {
        failures: section.or("failures", integer(1..=10_000), 10),
        window: section.or("window", duration(100 * MILLISECOND..=HOUR), 10 * SECOND),
        rest: section.or("rest", duration(100 * MILLISECOND..=HOUR), 5 * SECOND),
    };
    section.finish();
    breaker
}

/// `[admin]`; `None` also beside a fault.
pub(super) fn admin(root: &mut Section<'_>, base: &Path) -> Option<Admin> {
    let present = root.has("admin");
    let mut section = root.section("admin");
    if !present {
        return None;
    }
    let loopback = text(|text| match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) | Err(_) => {
            Err(Problem::Malformed { expected: "an address of this machine alone and a port such as \"127.0.0.1:8081\"" })
        }
    });
    let (listen, socket) = (section.optional("listen", loopback), section.optional("socket", path(base)));
    match (section.has("listen"), section.has("socket")) {
        (true, true) => section.report("socket", Problem::Excludes { other: "listen" }),
        (false, false) => section.report("listen", Problem::NeedsOneOf { keys: "`listen`, `socket`" }),
        (true, false) | (false, true) => {}
    }
    let secrets = section.required_list("secret_sha256", text(digest)).unwrap_or_default();
    if secrets.len() > MAX_SECRETS {
        section.report("secret_sha256", Problem::TooMany { limit: MAX_SECRETS });
    }
    section.finish();
    let listener = match (listen, socket) {
        (Some(listen), _) => AdminListener::Tcp(listen.value),
        (None, socket) => AdminListener::Unix(socket?.value),
    };
    Some(Admin { listener, secret_digests: values(&secrets) })
}
