//! Interface `types`.

use super::enumerations;

/// Seconds since the Unix epoch.
pub type Timestamp = u64;

/// A duration in seconds.
pub type Seconds = u32;

/// A named fact whose value is JSON text. Names are unique in a list; names from an edge request carry the prefix `edge.`, so that nothing
/// a caller sends can pass for a verified fact.
#[derive(Debug, Clone)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// JSON text.
    pub value: String,
}

/// The kinds of identity a descriptor can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum IdType {
    /// A user.
    User,
    /// A host.
    Host,
    /// An envoy.
    Envoy,
}

enumerations!(IdType { User = 0, Host = 1; Envoy });

/// A subject named directly, without a token of its own.
#[derive(Debug, Clone)]
pub struct Descriptor {
    /// What it names.
    pub id_type: IdType,
    /// `email.<address>` (user, envoy), `ophid.<id>` or `host_id.<uuid>` (host).
    pub id: String,
    /// The account that is meant.
    pub account_id: Option<String>,
    /// The same by its id at the cloud service provider.
    pub account_csp_id: Option<i64>,
    /// The same by its id at Salesforce.
    pub sfdc_account_id: Option<String>,
}

/// A security token and its RFC 8693 §3 type URI.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token.
    pub value: String,
    /// The type URI.
    pub token_type: String,
}

/// On whose behalf.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Whom a token is of.
    Token(Token),
    /// Whom a descriptor names.
    Descriptor(Descriptor),
    /// A delegation that this user once granted at this provider.
    Delegation(StoredDelegation),
    /// The caller itself (client credentials, RFC 6749 §4.4).
    Caller,
}

/// Names a refresh token at rest.
#[derive(Debug, Clone)]
pub struct StoredDelegation {
    /// The user's id.
    pub user: String,
    /// The provider's name.
    pub provider: String,
}

/// How the caller proves who it is.
#[derive(Debug, Clone)]
pub enum Credential {
    /// RFC 6749 §2.3.1.
    ClientSecret(ClientSecret),
    /// RFC 7523 §2.2 (`private_key_jwt`), also a SPIFFE JWT-SVID.
    ClientAssertion(String),
    /// A JWT that a trusted issuer of *callers* gave this client. Never a subject token.
    Bearer(String),
    /// RFC 8705: what the TLS terminator verified.
    Certificate(Certificate),
    /// The embedding program vouches for this client. Only through the embedding API.
    Attested(String),
}

/// A client id and one of its live secrets.
#[derive(Debug, Clone)]
pub struct ClientSecret {
    /// The client's id.
    pub client_id: String,
    /// The secret.
    pub secret: String,
}

/// A client certificate that a TLS terminator verified (RFC 8705).
#[derive(Debug, Clone)]
pub struct Certificate {
    /// SHA-256 of its DER form, base64url.
    pub thumbprint_s256: String,
    /// Its subject's distinguished name.
    pub subject_dn: String,
    /// The URIs of its subject's alternative names.
    pub san_uris: Vec<String>,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// A DPoP proof (RFC 9449) with the method and URL it has to match.
#[derive(Debug, Clone)]
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
pub struct Request {
    /// 1 to 128 characters of `A-Z a-z 0-9 . _ : -`; empty to have one made.
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
    pub requested_token_type: Option<String>,
    /// For how long.
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
pub struct Reason {
    /// The rule's name.
    pub rule: String,
    /// What it says.
    pub text: String,
}

/// What a policy decided.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Leave, within these limits.
    Permit(Allowance),
    /// No.
    Deny,
    /// Deny until the user has authenticated more strongly; the value is an `acr`.
    StepUp(String),
}

/// A decision and why.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The decision.
    pub effect: Effect,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Facts.
    pub attributes: Vec<Attribute>,
}

/// A token and what RFC 8693 §2.2.1 says beside it.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The token.
    pub token: String,
    /// Its type URI.
    pub issued_token_type: String,
    /// `Bearer`, `DPoP` or `N_A`.
    pub token_type: String,
    /// Its life.
    pub expires_in: Seconds,
    /// Its scopes.
    pub scope: Vec<String>,
    /// The request's correlation id.
    pub correlation_id: String,
    /// `sub`, `tenant`, `obo_type`, `provisional`, and `dropped_scope` where something was dropped.
    pub attributes: Vec<Attribute>,
}

/// A failure as the caller may see it. Causes go to the audit record only.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Stable, documented code such as `subject.expired`.
    pub code: String,
    /// The OAuth error it maps to.
    pub oauth_error: String,
    /// The HTTP status it maps to.
    pub status: u16,
    /// The fixed text.
    pub message: String,
    /// The request's correlation id.
    pub correlation_id: String,
    /// When to try again.
    pub retry_after: Option<Seconds>,
    /// Facts.
    pub attributes: Vec<Attribute>,
}
