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
