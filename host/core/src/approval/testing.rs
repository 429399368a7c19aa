//! A small world for tests: one registry, one directory answer of every kind, one question. For hosts' tests too.

#![expect(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "read in tests alone, where what cannot go on ends"
)]

use std::sync::Arc;

use serde_json::{Value, json};
use standin_domain::contract::{
    Account, Allowance, ApiKey, Attribute, Effect, Input, Machine, Party, Reason, State, User, UserKey, Verdict,
};
use standin_domain::id;

use super::{Approval, Grant, Unproven, examine};
use crate::evidence::{Evidence, SeenDecision, TokenRole};
use crate::registry::{
    Audience, Client, Issuer, IssuerKeys, IssuerRole, Registry, ScopeMode, Step, SubjectKind, SubjectMapping, System,
};

pub const NOW: u64 = 1_800_000_000;
pub const OURS: &str = "https://obo.example.com";
pub const IDP: &str = "https://idp.example.com";
pub const SSO: &str = "https://sso.example.com";
pub const OWNER: &str = "https://owner.example.com";
pub const API: &str = "https://api.example.com";
pub const DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub const PSEUDONYM: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

pub fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

/// Registrations as plain lists.
pub struct Book {
    pub settings: System,
    pub clients: Vec<Client>,
    pub identities: Vec<(String, String, String)>,
    pub issuers: Vec<Issuer>,
    pub audiences: Vec<Audience>,
}

impl Registry for Book {
    fn settings(&self) -> &System {
        &self.settings
    }
    fn find_client(&self, id: &str) -> Option<Arc<Client>> {
        self.clients.iter().find(|client| client.id == id).cloned().map(Arc::new)
    }
    fn find_client_by_identity(&self, issuer: &str, sub: &str) -> Option<Arc<Client>> {
        let (_, _, id) = self.identities.iter().find(|known| (known.0.as_str(), known.1.as_str()) == (issuer, sub))?;
        self.find_client(id)
    }
    fn find_issuer(&self, issuer: &str) -> Option<Arc<Issuer>> {
        self.issuers.iter().find(|known| known.issuer == issuer).cloned().map(Arc::new)
    }
    fn find_audience(&self, id: &str) -> Option<Arc<Audience>> {
        self.audiences.iter().find(|audience| audience.id == id).cloned().map(Arc::new)
    }
    fn secret_digests(&self, _client: &str) -> Vec<[u8; 32]> {
        Vec::new()
    }
    fn issuer_keys(&self, _issuer: &str) -> Option<Arc<IssuerKeys>> {
        None
    }
}

pub fn issuer(name: &str, url: &str, role: IssuerRole, mapping: SubjectMapping) -> Issuer {
    Issuer {
        issuer: url.into(),
        name: name.into(),
        role,
        audiences: texts(&[OURS]),
        tenants: texts(&["acme", "globex"]),
        tenant_claim: Some("tenant".into()),
        mapping,
        scopes: None,
        scope_claims: texts(&["scope", "scp"]),
        types: texts(&["jwt"]),
        attributes: vec![],
    }
}

pub fn book() -> Book {
    let router = Client {
        id: "svc-router".into(),
        tenants: texts(&["acme"]),
        subjects: vec![SubjectKind::User, SubjectKind::Host, SubjectKind::Envoy, SubjectKind::Token],
        audiences: texts(&[API, "https://other.example.com"]),
        scopes: texts(&["read", "write", "admin"]),
        default_scopes: texts(&["read"]),
        max_ttl: 600,
        scope_mode: ScopeMode::Narrow,
        is_audience: texts(&["https://router.example.com"]),
        cross_tenant: vec![],
        provisional_scopes: Some(texts(&["read"])),
        protected: false,
        attested: false,
        steps: vec![
            Step { name: "look".into(), scopes: texts(&["read"]), audiences: None },
            Step { name: "approve".into(), scopes: texts(&["write"]), audiences: Some(texts(&[API])) },
        ],
        attributes: vec![Attribute { name: "team".into(), value: "\"edge\"".into() }],
    };
    let audience = |id: &str| Audience {
        id: id.into(),
        flow: "local".into(),
        provider: None,
        scopes: Some(texts(&["read", "write"])),
        max_ttl: Some(500),
        tenants: Some(texts(&["acme", "globex"])),
        unbound: false,
        attributes: vec![],
    };
    Book {
        settings: System {
            issuer: OURS.into(),
            default_ttl: 300,
            max_ttl: 900,
            max_chain: 5,
            leeway: 30,
            permit_ttl: 30,
            max_token: 16384,
            max_depth: 16,
            max_body: 65536,
            attributes: vec![],
        },
        clients: vec![router],
        identities: vec![("https://callers.example.com".into(), "router".into(), "svc-router".into())],
        issuers: vec![
            issuer("corp", IDP, IssuerRole::Subject, SubjectMapping::Namespaced),
            issuer("sso", SSO, IssuerRole::Subject, SubjectMapping::Directory("email".into())),
            issuer("callers", "https://callers.example.com", IssuerRole::Caller, SubjectMapping::Namespaced),
            issuer("owner", OWNER, IssuerRole::Subject, SubjectMapping::AsIs),
        ],
        audiences: vec![audience(API), audience("https://other.example.com"), audience("https://third.example.com")],
    }
}

pub fn account(id: &str, tenant: &str) -> Account {
    Account {
        id: id.into(),
        tenant: tenant.into(),
        csp_id: Some(7),
        sfdc_account_id: Some("001A".into()),
        state: State::Active,
        attributes: vec![],
    }
}

pub fn alice() -> User {
    User {
        id: "u-1".into(),
        email: "alice@example.com".into(),
        accounts: vec![account("a-1", "acme")],
        primary_account: Some("a-1".into()),
        state: State::Active,
        protected: false,
        scopes: None,
        attributes: vec![Attribute { name: "department".into(), value: "\"sales\"".into() }],
    }
}

pub fn machine() -> Machine {
    Machine {
        id: "m-1".into(),
        ophid: Some("op-1".into()),
        account: account("a-1", "acme"),
        api_keys: vec![ApiKey { id: "k-1".into(), user: "u-1".into(), state: State::Active }],
        state: State::Active,
        attributes: vec![],
    }
}

/// Everything a test may turn.
pub struct World {
    pub book: Book,
    pub evidence: Evidence,
    pub input: Input,
}

impl World {
    /// The router has shown its secret; nothing else is known.
    pub fn new(kind: &str, subject: String) -> Self {
        let party =
            |kind: &str, id: String| Party { kind: kind.into(), id, tenants: vec![], provisional: false, attributes: vec![] };
        let input = Input {
            caller: party("client", "client:svc-router".into()),
            subject: party(kind, subject),
            chain: vec![],
            tenant: "acme".into(),
            audience: texts(&[API]),
            scope: texts(&["read"]),
            ttl: 300,
            flow: "local".into(),
            step: None,
            now: 1,
            attributes: vec![],
        };
        let mut evidence = Evidence::default();
        evidence.saw_caller("svc-router");
        Self { book: book(), evidence, input }
    }

    pub fn user() -> Self {
        Self::of_user(alice())
    }

    pub fn of_user(user: User) -> Self {
        let mut world = Self::new("user", id::user("acme", &user.id));
        world.evidence.saw_user(UserKey::Email(user.email.clone()), Some(&user));
        world
    }

    pub fn host() -> Self {
        Self::of_host(machine(), alice())
    }

    pub fn of_host(machine: Machine, user: User) -> Self {
        let mut world = Self::new("host", id::host("acme", &machine.id));
        world.evidence.saw_machine(Some(&machine));
        world.evidence.saw_user(UserKey::Id(user.id.clone()), Some(&user));
        world
    }

    pub fn stranger() -> Self {
        let mut world = Self::new("envoy", id::provisional("acme", PSEUDONYM));
        world.evidence.saw_user(UserKey::Email("new@example.com".into()), None);
        world.evidence.saw_pseudonym("provisional:acme".into(), "new@example.com".into(), PSEUDONYM);
        world.evidence.saw_account(Some(&account("a-1", "acme")));
        world
    }

    pub fn foreign(change: impl FnOnce(&mut Value)) -> Self {
        let mut claims = json!({
            "iss": IDP, "sub": "alice", "aud": OURS, "exp": NOW + 3600, "iat": NOW, "jti": "foreign-1", "tenant": "acme",
            "scope": "read write", "acr": "high",
        });
        change(&mut claims);
        let mut world = Self::new("external", id::external("corp", "alice"));
        world.evidence.saw_token(
            TokenRole::Subject,
            IDP,
            "name-of-the-foreign-one",
            Some("jwt"),
            claims.as_object().unwrap().clone(),
        );
        world
    }

    pub fn joined(user: User, change: impl FnOnce(&mut Value)) -> Self {
        let mut claims = json!({
            "iss": SSO, "sub": "x", "email": "alice@example.com", "aud": [OURS, "x"], "exp": NOW + 3600, "tenant": "acme",
            "scp": ["read", "write"],
        });
        change(&mut claims);
        let mut world = Self::new("user", id::user("acme", &user.id));
        world.evidence.saw_token(
            TokenRole::Subject,
            SSO,
            "name-of-the-foreign-one",
            Some("jwt"),
            claims.as_object().unwrap().clone(),
        );
        world.evidence.saw_user(UserKey::External(("sso".into(), "alice@example.com".into())), Some(&user));
        world
    }

    /// A subject whose name the issuer owns; what the directory answers about it.
    pub fn owned(user: Option<User>, change: impl FnOnce(&mut Value)) -> Self {
        let mut claims =
            json!({ "iss": OWNER, "sub": "u-1", "aud": OURS, "exp": NOW + 3600, "tenant": "acme", "scope": "read write" });
        change(&mut claims);
        let mut world = Self::new("user", id::user("acme", "u-1"));
        world.evidence.saw_token(
            TokenRole::Subject,
            OWNER,
            "name-of-the-foreign-one",
            Some("jwt"),
            claims.as_object().unwrap().clone(),
        );
        world.evidence.saw_user(UserKey::Id("u-1".into()), user.as_ref());
        world
    }

    pub fn own(change: impl FnOnce(&mut Value)) -> Self {
        let mut claims = json!({
            "iss": OURS, "sub": "user:acme:u-1", "aud": "https://router.example.com", "exp": NOW + 200, "iat": NOW,
            "jti": "own-token-own-token-own", "tenant": "acme", "scope": "read", "obo_type": "user", "account_id": "a-1",
            "act": { "iss": OURS, "sub": "client:first" }, "lineage": ["foreign-1"], "client_id": "first",
        });
        change(&mut claims);
        let mut world = Self::new("user", "user:acme:u-1".into());
        world.input.ttl = 100;
        world.evidence.saw_user(UserKey::Id("u-1".into()), Some(&alice()));
        world.evidence.saw_token(
            TokenRole::Own,
            OURS,
            "own-token-own-token-own",
            Some("at+jwt"),
            claims.as_object().unwrap().clone(),
        );
        world
    }

    pub fn client(&mut self) -> &mut Client {
        &mut self.book.clients[0]
    }

    /// Whether the question is proven; completes it.
    pub fn examine(&mut self) -> Result<(), Unproven> {
        examine(&mut self.input, &self.evidence, &self.book, NOW).map(|_proof| ())
    }

    /// The approval of a policy that allows this.
    pub fn approve_within(&mut self, allowance: Allowance) -> Result<Approval, Unproven> {
        let proof = examine(&mut self.input, &self.evidence, &self.book, NOW)?;
        let grant = Grant::narrow(&self.input, &allowance)?;
        let verdict = Verdict {
            effect: Effect::Permit(allowance),
            reasons: vec![Reason { rule: "r1".into(), text: "registered".into() }],
            attributes: vec![],
        };
        let decision = SeenDecision {
            input: self.input.clone(),
            left_out: proof.left_out.clone(),
            proven: true,
            module_digest: DIGEST.into(),
            verdict: Some(verdict),
            origin: None,
            refusal: None,
        };
        Ok(Approval::new(proof, grant, Arc::new(decision)))
    }

    pub fn approve(&mut self) -> Approval {
        self.approve_within(Allowance { scope: None, audience: None, ttl: None }).unwrap()
    }

    /// Claims that the approval covers.
    pub fn claims(&self) -> Value {
        let mut claims = json!({
            "iss": OURS, "sub": self.input.subject.id, "aud": API, "exp": NOW + u64::from(self.input.ttl), "iat": NOW,
            "jti": "abcdefghijklmnopqrstuv", "client_id": "svc-router", "scope": "read",
            "act": { "iss": OURS, "sub": "client:svc-router" }, "tenant": "acme", "policy": DIGEST,
            "obo_type": self.input.subject.kind,
        });
        // Of the subject's authentication they say what its token says.
        for token in &self.evidence.tokens {
            for name in ["acr", "amr", "auth_time"] {
                if let Some(said) = token.claims.get(name) {
                    claims[name] = said.clone();
                }
            }
        }
        claims
    }
}
