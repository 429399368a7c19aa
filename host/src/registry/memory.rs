//! The operator's registrations in memory. Looking one up costs the same however many there are.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Audience, Client, Issuer, IssuerKeys, Registry, System};
use crate::config::Config;

/// Clocks may differ by this much, in seconds.
const LEEWAY: u32 = 30;
/// A permit lives this long, in seconds.
const PERMIT_TTL: u32 = 30;

/// One configuration's registrations.
#[derive(Debug)]
pub struct Registrations {
    system: System,
    clients: HashMap<String, Registered>,
    /// By issuer, then by `sub`: a question needs no owned key.
    identities: HashMap<String, HashMap<String, Arc<Client>>>,
    issuers: HashMap<String, Trusted>,
    audiences: HashMap<String, Arc<Audience>>,
}

#[derive(Debug)]
struct Registered {
    client: Arc<Client>,
    secret_digests: Vec<[u8; 32]>,
}

#[derive(Debug)]
struct Trusted {
    issuer: Arc<Issuer>,
    keys: Arc<IssuerKeys>,
}

impl Registrations {
    /// Those of a configuration.
    pub fn from_config(config: &Config) -> Self {
        let mut clients = HashMap::with_capacity(config.clients.len());
        let mut identities: HashMap<String, HashMap<String, Arc<Client>>> = HashMap::new();
        for registration in &config.clients {
            let client = Arc::new(registration.client.clone());
            for identity in &registration.identities {
                let of_issuer = identities.entry(identity.issuer.clone()).or_default();
                of_issuer.insert(identity.sub.clone(), Arc::clone(&client));
            }
            let secret_digests = registration.secret_digests.clone();
            clients.insert(client.id.clone(), Registered { client, secret_digests });
        }
        let issuers = config.issuers.iter().map(|registration| {
            let trusted = Trusted { issuer: Arc::new(registration.issuer.clone()), keys: Arc::new(registration.keys.clone()) };
            (registration.issuer.issuer.clone(), trusted)
        });
        let audiences = config.audiences.iter().map(|audience| (audience.id.clone(), Arc::new(audience.clone())));
        Self { system: system(config), clients, identities, issuers: issuers.collect(), audiences: audiences.collect() }
    }
}

fn system(config: &Config) -> System {
    let limits = &config.limits;
    System {
        issuer: config.issuer.clone(),
        default_ttl: limits.default_ttl,
        max_ttl: limits.max_ttl,
        max_chain: limits.max_chain,
        leeway: LEEWAY,
        permit_ttl: PERMIT_TTL,
        max_token: limits.max_token,
        max_depth: limits.max_depth,
        max_body: limits.max_body,
        attributes: Vec::new(),
    }
}

impl Registry for Registrations {
    fn settings(&self) -> &System {
        &self.system
    }

    fn find_client(&self, id: &str) -> Option<Arc<Client>> {
        self.clients.get(id).map(|registered| Arc::clone(&registered.client))
    }

    fn find_client_by_identity(&self, issuer: &str, sub: &str) -> Option<Arc<Client>> {
        self.identities.get(issuer)?.get(sub).cloned()
    }

    fn find_issuer(&self, issuer: &str) -> Option<Arc<Issuer>> {
        self.issuers.get(issuer).map(|trusted| Arc::clone(&trusted.issuer))
    }

    fn find_audience(&self, id: &str) -> Option<Arc<Audience>> {
        self.audiences.get(id).cloned()
    }

    fn secret_digests(&self, client: &str) -> Vec<[u8; 32]> {
        self.clients.get(client).map(|registered| registered.secret_digests.clone()).unwrap_or_default()
    }

    fn issuer_keys(&self, issuer: &str) -> Option<Arc<IssuerKeys>> {
        self.issuers.get(issuer).map(|trusted| Arc::clone(&trusted.keys))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::registry::{IssuerRole, JwksSource, ScopeMode, SubjectKind, SubjectMapping};

    fn registrations(text: &str) -> Registrations {
        let config = Config::parse(text, Path::new("/etc/standin")).unwrap_or_else(|error| panic!("{error}"));
        Registrations::from_config(&config)
    }

    #[test]
    fn registrations_are_found() {
        let registrations = registrations(include_str!("../config/tests/full.toml"));
        let system = registrations.settings();
        assert_eq!((system.default_ttl, system.max_ttl, system.max_chain), (120, 720, 4));
        assert_eq!((system.leeway, system.permit_ttl), (30, 30));
        assert_eq!((system.max_token, system.max_depth, system.max_body), (8 << 10, 12, 32 << 10));

        let router = registrations.find_client("svc-router").unwrap();
        assert_eq!(router.scope_mode, ScopeMode::Narrow);
        assert_eq!(router.subjects, [SubjectKind::User, SubjectKind::Host, SubjectKind::Envoy, SubjectKind::Token]);
        assert_eq!(registrations.secret_digests("svc-router").len(), 2);
        assert!(registrations.find_client("svc-router ").is_none() && registrations.secret_digests("nobody").is_empty());

        let mesh = "https://mesh.example.com";
        let reports = registrations.find_client_by_identity(mesh, "spiffe://example.com/reports").unwrap();
        assert_eq!((reports.id.as_str(), reports.scope_mode), ("svc-reports", ScopeMode::Strict));
        assert!(registrations.find_client_by_identity(mesh, "spiffe://example.com/report").is_none());
        assert!(registrations.find_client_by_identity("https://idp.example.com", "spiffe://example.com/reports").is_none());

        let corp = registrations.find_issuer("https://idp.example.com").unwrap();
        assert!(matches!(&corp.mapping, SubjectMapping::Directory(claim) if claim == "employee"));
        let caller = registrations.find_issuer(mesh).unwrap();
        assert_eq!(caller.role, IssuerRole::Caller);
        assert_eq!(
            (&caller.audiences[..], &caller.types[..]),
            (&["https://obo.example.com".to_owned()][..], &["at+jwt", "jwt", ""].map(str::to_owned)[..])
        );
        let keys = registrations.issuer_keys("https://ids.acme.example").unwrap();
        assert_eq!(keys.source, JwksSource::File("/etc/standin/acme.jwks.json".into()));
        assert!(registrations.find_issuer("https://idp.example.com/").is_none() && registrations.issuer_keys("a").is_none());

        assert_eq!(registrations.find_audience("https://api.example.com").unwrap().max_ttl, Some(300));
        assert!(registrations.find_audience("https://api.example.com/").is_none());
    }

    #[test]
    fn ten_thousand_clients_are_read() {
        let client = |number: usize| {
            format!(
                "[[client]]\nid = \"c{number}\"\nattested = true\ntenants = [\"t\"]\nsubjects = [\"user\"]\naudiences = [\"a\"]\n"
            )
        };
        let clients: String = (0..10_000).map(client).collect();
        let registrations = registrations(&format!("issuer = \"https://a.example\"\n[[audience]]\nid = \"a\"\n{clients}"));
        assert_eq!(registrations.find_client("c9999").unwrap().id, "c9999");
    }
}
