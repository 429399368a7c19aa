//! Interface `registry`.

#[cfg(feature = "wasmtime")]
use serde::{Deserialize, Serialize};
#[cfg(feature = "wasmtime")]
use wasmtime::component::{ComponentType, Lift, Lower};

use super::{Attribute, Seconds, enumerations};

/// The kinds of subject a client may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(enum))]
#[repr(u8)]
pub enum SubjectKind {
    /// A user by a descriptor.
    #[cfg_attr(feature = "wasmtime", component(name = "user"))]
    User,
    /// A host by a descriptor.
    #[cfg_attr(feature = "wasmtime", component(name = "host"))]
    Host,
    /// An envoy by a descriptor.
    #[cfg_attr(feature = "wasmtime", component(name = "envoy"))]
    Envoy,
    /// Whom a token is of.
    #[cfg_attr(feature = "wasmtime", component(name = "token"))]
    Token,
    /// Whom a stored delegation is of.
    #[cfg_attr(feature = "wasmtime", component(name = "delegation"))]
    Delegation,
    /// The client itself.
    #[cfg_attr(feature = "wasmtime", component(name = "caller"))]
    Caller,
}

/// What happens to a scope that was asked for and may not be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(enum))]
#[repr(u8)]
pub enum ScopeMode {
    /// Grant the intersection.
    #[cfg_attr(feature = "wasmtime", component(name = "narrow"))]
    Narrow,
    /// Refuse.
    #[cfg_attr(feature = "wasmtime", component(name = "strict"))]
    Strict,
}

/// What one step of a client's workflow may ask for; never more than the client.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Its scopes; also what it gets when it asks for nothing.
    pub scopes: Vec<String>,
    /// Its audiences; none are the client's.
    pub audiences: Option<Vec<String>>,
}

/// A registered caller.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Client {
    /// Its id.
    pub id: String,
    /// The tenants it acts in.
    pub tenants: Vec<String>,
    /// The kinds of subject it may name.
    pub subjects: Vec<SubjectKind>,
    /// The audiences it may ask for.
    pub audiences: Vec<String>,
    /// The scopes it may ask for.
    pub scopes: Vec<String>,
    /// What it gets when it asks for nothing.
    #[cfg_attr(feature = "wasmtime", component(name = "default-scopes"))]
    pub default_scopes: Vec<String>,
    /// The longest life of its tokens.
    #[cfg_attr(feature = "wasmtime", component(name = "max-ttl"))]
    pub max_ttl: Seconds,
    /// What happens to a scope that it may not have.
    #[cfg_attr(feature = "wasmtime", component(name = "scope-mode"))]
    pub scope_mode: ScopeMode,
    /// Audiences under which this client receives tokens: a token of ours is its subject token only if addressed to one of them.
    #[cfg_attr(feature = "wasmtime", component(name = "is-audience"))]
    pub is_audience: Vec<String>,
    /// Directed pairs of tenants it may cross.
    #[cfg_attr(feature = "wasmtime", component(name = "cross-tenant"))]
    pub cross_tenant: Vec<(String, String)>,
    /// Scopes for users the directory does not know; none refuses such users.
    #[cfg_attr(feature = "wasmtime", component(name = "provisional-scopes"))]
    pub provisional_scopes: Option<Vec<String>>,
    /// Whether it may act for users marked `protected`.
    pub protected: bool,
    /// Whether the embedding program may vouch for it.
    pub attested: bool,
    /// The steps of its workflows, each name once. A request that names none has the client's own sets.
    pub steps: Vec<Step>,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// What a trusted issuer's tokens may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(enum))]
#[repr(u8)]
pub enum IssuerRole {
    /// As subject tokens.
    #[cfg_attr(feature = "wasmtime", component(name = "subject"))]
    Subject,
    /// As credentials of callers.
    #[cfg_attr(feature = "wasmtime", component(name = "caller"))]
    Caller,
}

/// How an issuer's subjects become ours.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(variant))]
pub enum SubjectMapping {
    /// `ext:<issuer name>:<sub>`.
    #[cfg_attr(feature = "wasmtime", component(name = "namespaced"))]
    Namespaced,
    /// Joined by this claim to a directory user.
    #[cfg_attr(feature = "wasmtime", component(name = "directory"))]
    Directory(String),
    /// The issuer owns the subject names of its tenants.
    #[cfg_attr(feature = "wasmtime", component(name = "as-is"))]
    AsIs,
}

/// A trusted issuer.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Issuer {
    /// Its `iss`.
    pub issuer: String,
    /// Its registered name.
    pub name: String,
    /// What its tokens may be used for.
    pub role: IssuerRole,
    /// What its tokens have to be addressed to.
    pub audiences: Vec<String>,
    /// The tenants it speaks for.
    pub tenants: Vec<String>,
    /// The claim that names a token's tenant.
    #[cfg_attr(feature = "wasmtime", component(name = "tenant-claim"))]
    pub tenant_claim: Option<String>,
    /// How its subjects become ours.
    pub mapping: SubjectMapping,
    /// What a token without a scope of its own has.
    pub scopes: Option<Vec<String>>,
    /// The claims that hold a token's scope; the first that is there counts.
    #[cfg_attr(feature = "wasmtime", component(name = "scope-claims"))]
    pub scope_claims: Vec<String>,
    /// The accepted `typ` header values in lower case without `application/`, `""` for none at all.
    pub types: Vec<String>,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// A downstream.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Audience {
    /// Its id.
    pub id: String,
    /// The flow that its tokens come about by.
    pub flow: String,
    /// The provider of the flow, where it has one.
    pub provider: Option<String>,
    /// Its scopes; none does not limit them.
    pub scopes: Option<Vec<String>>,
    /// The longest life of its tokens.
    #[cfg_attr(feature = "wasmtime", component(name = "max-ttl"))]
    pub max_ttl: Option<Seconds>,
    /// The tenants it serves; none serves every tenant.
    pub tenants: Option<Vec<String>>,
    /// Whether a token which is bound to a key (RFC 7800) may become a bearer token for it.
    pub unbound: bool,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// What holds for every request.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct System {
    /// Our own issuer.
    pub issuer: String,
    /// The life of a token that nothing was said of.
    #[cfg_attr(feature = "wasmtime", component(name = "default-ttl"))]
    pub default_ttl: Seconds,
    /// The longest life of a token.
    #[cfg_attr(feature = "wasmtime", component(name = "max-ttl"))]
    pub max_ttl: Seconds,
    /// The most actors.
    #[cfg_attr(feature = "wasmtime", component(name = "max-chain"))]
    pub max_chain: u8,
    /// How far clocks may differ.
    pub leeway: Seconds,
    /// How long a permit lives.
    #[cfg_attr(feature = "wasmtime", component(name = "permit-ttl"))]
    pub permit_ttl: Seconds,
    /// The longest token, in bytes.
    #[cfg_attr(feature = "wasmtime", component(name = "max-token"))]
    pub max_token: u32,
    /// The deepest claims.
    #[cfg_attr(feature = "wasmtime", component(name = "max-depth"))]
    pub max_depth: u8,
    /// The longest body, in bytes.
    #[cfg_attr(feature = "wasmtime", component(name = "max-body"))]
    pub max_body: u32,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

enumerations! {
    SubjectKind { User = 0, Host = 1, Envoy = 2, Token = 3, Delegation = 4; Caller }
    ScopeMode { Narrow = 0; Strict }
    IssuerRole { Subject = 0; Caller }
}
