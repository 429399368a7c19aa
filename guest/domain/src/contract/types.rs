//! Interface `types`.

#[cfg(feature = "wasmtime")]
use serde::{Deserialize, Serialize};
#[cfg(feature = "wasmtime")]
use wasmtime::component::{ComponentType, Lift, Lower};

use super::enumerations;

/// Seconds since the Unix epoch.
pub type Timestamp = u64;

/// A duration in seconds.
pub type Seconds = u32;

/// A named fact whose value is JSON text. Names are unique in a list; names from an edge request carry the prefix `edge.`, so that nothing
/// a caller sends can pass for a verified fact.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// JSON text.
    pub value: String,
}

/// The kinds of identity a descriptor can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(enum))]
#[repr(u8)]
pub enum IdType {
    /// A user.
    #[cfg_attr(feature = "wasmtime", component(name = "user"))]
    User,
    /// A host.
    #[cfg_attr(feature = "wasmtime", component(name = "host"))]
    Host,
    /// An envoy.
    #[cfg_attr(feature = "wasmtime", component(name = "envoy"))]
    Envoy,
}

enumerations!(IdType { User = 0, Host = 1; Envoy });

/// A subject named directly, without a token of its own.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Descriptor {
    /// What it names.
    #[cfg_attr(feature = "wasmtime", component(name = "id-type"))]
    pub id_type: IdType,
    /// `email.<address>` (user, envoy), `ophid.<id>` or `host_id.<uuid>` (host).
    pub id: String,
    /// The account that is meant.
    #[cfg_attr(feature = "wasmtime", component(name = "account-id"))]
    pub account_id: Option<String>,
    /// The same by its id at the cloud service provider.
    #[cfg_attr(feature = "wasmtime", component(name = "account-csp-id"))]
    pub account_csp_id: Option<i64>,
    /// The same by its id at Salesforce.
    #[cfg_attr(feature = "wasmtime", component(name = "sfdc-account-id"))]
    pub sfdc_account_id: Option<String>,
}

/// A security token and its RFC 8693 §3 type URI.
#[derive(Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Token {
    /// The token.
    pub value: String,
    /// The type URI.
    #[cfg_attr(feature = "wasmtime", component(name = "token-type"))]
    pub token_type: String,
}

/// On whose behalf.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(variant))]
pub enum Subject {
    /// Whom a token is of.
    #[cfg_attr(feature = "wasmtime", component(name = "token"))]
    Token(Token),
    /// Whom a descriptor names.
    #[cfg_attr(feature = "wasmtime", component(name = "descriptor"))]
    Descriptor(Descriptor),
    /// A delegation that this user once granted at this provider.
    #[cfg_attr(feature = "wasmtime", component(name = "delegation"))]
    Delegation(StoredDelegation),
    /// The caller itself (client credentials, RFC 6749 §4.4).
    #[cfg_attr(feature = "wasmtime", component(name = "caller"))]
    Caller,
}

/// Names a refresh token at rest.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct StoredDelegation {
    /// The user's id.
    pub user: String,
    /// The provider's name.
    pub provider: String,
}

/// How the caller proves who it is.
#[derive(Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(variant))]
pub enum Credential {
    /// RFC 6749 §2.3.1.
    #[cfg_attr(feature = "wasmtime", component(name = "client-secret"))]
    ClientSecret(ClientSecret),
    /// RFC 7523 §2.2 (`private_key_jwt`), also a SPIFFE JWT-SVID.
    #[cfg_attr(feature = "wasmtime", component(name = "client-assertion"))]
    ClientAssertion(String),
    /// A JWT that a trusted issuer of *callers* gave this client. Never a subject token.
    #[cfg_attr(feature = "wasmtime", component(name = "bearer"))]
    Bearer(String),
    /// RFC 8705: what the TLS terminator verified.
    #[cfg_attr(feature = "wasmtime", component(name = "certificate"))]
    Certificate(Certificate),
    /// The embedding program vouches for this client. Only through the embedding API.
    #[cfg_attr(feature = "wasmtime", component(name = "attested"))]
    Attested(String),
}

/// A client id and one of its live secrets.
#[derive(Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct ClientSecret {
    /// The client's id.
    #[cfg_attr(feature = "wasmtime", component(name = "client-id"))]
    pub client_id: String,
    /// The secret.
    pub secret: String,
}

/// A client certificate that a TLS terminator verified (RFC 8705).
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Certificate {
    /// SHA-256 of its DER form, base64url.
    #[cfg_attr(feature = "wasmtime", component(name = "thumbprint-s256"))]
    pub thumbprint_s256: String,
    /// Its subject's distinguished name.
    #[cfg_attr(feature = "wasmtime", component(name = "subject-dn"))]
    pub subject_dn: String,
    /// The URIs of its subject's alternative names.
    #[cfg_attr(feature = "wasmtime", component(name = "san-uris"))]
    pub san_uris: Vec<String>,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// A DPoP proof (RFC 9449) with the method and URL it has to match.
#[derive(Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct DpopProof {
    /// The proof.
    pub proof: String,
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
}

/// One on-behalf-of request, whatever protocol it came by.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Request {
    /// 1 to 128 characters of `A-Z a-z 0-9 . _ : -`; empty to have one made.
    #[cfg_attr(feature = "wasmtime", component(name = "correlation-id"))]
    pub correlation_id: String,
    /// Who asks.
    pub caller: Credential,
    /// On whose behalf.
    pub subject: Subject,
    /// RFC 8693 §2.1 `actor_token`.
    pub actor: Option<Token>,
    /// For which downstreams.
    pub audience: Vec<String>,
    /// Absolute URIs without fragment (RFC 8707); each is an audience.
    pub resource: Vec<String>,
    /// With which scopes.
    pub scope: Vec<String>,
    /// What kind of token.
    #[cfg_attr(feature = "wasmtime", component(name = "requested-token-type"))]
    pub requested_token_type: Option<String>,
    /// For how long.
    #[cfg_attr(feature = "wasmtime", component(name = "requested-ttl"))]
    pub requested_ttl: Option<Seconds>,
    /// A step that the client is registered with, for per-step scoping; spelled as a correlation id.
    pub step: Option<String>,
    /// Proof of a key that the token is to be bound to.
    pub dpop: Option<DpopProof>,
    /// Facts of the edge (`edge.…`), and which account of a joined user is meant: `account_id`, `account_csp_id` or `sfdc_account_id`.
    pub attributes: Vec<Attribute>,
}

/// Who is who in a decision.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Party {
    /// `client`, `user`, `host`, `envoy`, `provisional` or `external`.
    pub kind: String,
    /// What `sub` will say.
    pub id: String,
    /// Its tenants.
    pub tenants: Vec<String>,
    /// Whether the directory does not know it.
    pub provisional: bool,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// What a policy is asked.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Input {
    /// Who asks.
    pub caller: Party,
    /// On whose behalf.
    pub subject: Party,
    /// Actors so far, nearest first: ours by their id (`client:<id>`), those of other issuers as `ext:<issuer name>:<sub>`.
    pub chain: Vec<String>,
    /// The canonical tenant.
    pub tenant: String,
    /// For which downstreams.
    pub audience: Vec<String>,
    /// With which scopes.
    pub scope: Vec<String>,
    /// For how long.
    pub ttl: Seconds,
    /// By which flow.
    pub flow: String,
    /// The workflow step that the request names, one of the caller's registration.
    pub step: Option<String>,
    /// When.
    pub now: Timestamp,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// Limits a policy sets; none is no opinion, an empty list is nothing at all.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Allowance {
    /// At most these scopes.
    pub scope: Option<Vec<String>>,
    /// At most these audiences.
    pub audience: Option<Vec<String>>,
    /// At most so long.
    pub ttl: Option<Seconds>,
}

/// Why a rule, a ceiling or a check said what it said.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Reason {
    /// The rule's name.
    pub rule: String,
    /// What it says.
    pub text: String,
}

/// What a policy decided.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(variant))]
pub enum Effect {
    /// Leave, within these limits.
    #[cfg_attr(feature = "wasmtime", component(name = "permit"))]
    Permit(Allowance),
    /// No.
    #[cfg_attr(feature = "wasmtime", component(name = "deny"))]
    Deny,
    /// Deny until the user has authenticated more strongly; the value is an `acr`.
    #[cfg_attr(feature = "wasmtime", component(name = "step-up"))]
    StepUp(String),
}

/// A decision and why.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Verdict {
    /// The decision.
    pub effect: Effect,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// A token and what RFC 8693 §2.2.1 says beside it.
#[derive(Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Minted {
    /// The token.
    pub token: String,
    /// Its type URI.
    #[cfg_attr(feature = "wasmtime", component(name = "issued-token-type"))]
    pub issued_token_type: String,
    /// `Bearer`, `DPoP` or `N_A`.
    #[cfg_attr(feature = "wasmtime", component(name = "token-type"))]
    pub token_type: String,
    /// Its life.
    #[cfg_attr(feature = "wasmtime", component(name = "expires-in"))]
    pub expires_in: Seconds,
    /// Its scopes.
    pub scope: Vec<String>,
    /// The request's correlation id.
    #[cfg_attr(feature = "wasmtime", component(name = "correlation-id"))]
    pub correlation_id: String,
    /// `sub`, `tenant`, `obo_type`, `provisional`, and `dropped_scope` where something was dropped.
    pub attributes: Vec<Attribute>,
}

/// A failure as the caller may see it. Causes go to the audit record only.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(record))]
pub struct Failure {
    /// Stable, documented code such as `subject.expired`.
    pub code: String,
    /// The OAuth error it maps to.
    #[cfg_attr(feature = "wasmtime", component(name = "oauth-error"))]
    pub oauth_error: String,
    /// The HTTP status it maps to.
    pub status: u16,
    /// The fixed text.
    pub message: String,
    /// The request's correlation id.
    #[cfg_attr(feature = "wasmtime", component(name = "correlation-id"))]
    pub correlation_id: String,
    /// When to try again.
    #[cfg_attr(feature = "wasmtime", component(name = "retry-after"))]
    pub retry_after: Option<Seconds>,
    /// Facts.
    pub attributes: Vec<Attribute>,
}
