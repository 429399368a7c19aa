//! Question and verdict, as `wit/types.wit` has them.

/// A named fact; the value is JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// JSON text.
    pub value: String,
}

/// Who is who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// `client`, `user`, `host`, `envoy`, `provisional` or `external`.
    pub kind: String,
    /// What `sub` says.
    pub id: String,
    /// Canonical names.
    pub tenants: Vec<String>,
    /// Whether the directory does not know it.
    pub provisional: bool,
    /// What is known of it.
    pub attributes: Vec<Attribute>,
}

/// What a policy is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Who asks.
    pub caller: Party,
    /// On whose behalf.
    pub subject: Party,
    /// Actors so far, nearest first.
    pub chain: Vec<String>,
    /// The tenant the token will be for.
    pub tenant: String,
    /// The audiences asked for.
    pub audience: Vec<String>,
    /// What could be granted.
    pub scope: Vec<String>,
    /// Seconds.
    pub ttl: u32,
    /// How the token would be made.
    pub flow: String,
    /// The step of the workflow.
    pub step: Option<String>,
    /// Seconds since the epoch.
    pub now: u64,
    /// Facts of the request, those of the edge under `edge.`.
    pub attributes: Vec<Attribute>,
}

/// Limits; `None` is no opinion, an empty list is nothing at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Scopes, sorted.
    pub scope: Option<Vec<String>>,
    /// Audiences, sorted.
    pub audience: Option<Vec<String>>,
    /// Seconds.
    pub ttl: Option<u32>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Within these limits.
    Permit(Allowance),
    /// No.
    Deny,
    /// Not until the user has authenticated with this `acr`.
    StepUp(String),
}

/// Which rule, and its words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// The policy's id.
    pub rule: String,
    /// Its `@reason`, or where it stands.
    pub text: String,
}

/// A decision and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was decided.
    pub effect: Effect,
    /// Sorted, at most 64.
    pub reasons: Vec<Reason>,
}
