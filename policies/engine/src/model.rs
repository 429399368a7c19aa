//! Question and verdict, as `wit/types.wit` has them.

/// The most reasons of one verdict: the host takes no more.
const MAX_REASONS: usize = 64;
/// The longest text of a failure, in bytes.
const MAX_TEXT: usize = 1024;
/// The rule named where no policy permits.
const DEFAULT_RULE: &str = "default";

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
    /// Its name.
    pub rule: String,
    /// What it says of itself, or where it stands.
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

impl Input {
    /// A request as any other: whatever an engine builds lazily is built on it, and is in the snapshot.
    pub fn rehearsal() -> Self {
        let fact = |name: &str, value: &str| Attribute { name: name.to_owned(), value: value.to_owned() };
        let party = |kind: &str, id: &str| Party {
            kind: kind.to_owned(),
            id: id.to_owned(),
            tenants: vec!["tenant".to_owned()],
            provisional: false,
            attributes: vec![fact("protected", "false")],
        };
        Self {
            caller: party("client", "client:rehearsal"),
            subject: party("user", "user:tenant:rehearsal"),
            chain: Vec::new(),
            tenant: "tenant".to_owned(),
            audience: vec!["audience".to_owned()],
            scope: vec!["scope".to_owned()],
            ttl: 1,
            flow: "local".to_owned(),
            step: None,
            now: 0,
            attributes: vec![fact("edge.rehearsal", "\"\"")],
        }
    }
}

impl Party {
    /// The `acr` of the authentication behind the subject's token, as the host says it.
    pub fn acr(&self) -> Option<String> {
        let fact = self.attributes.iter().find(|fact| fact.name == "acr")?;
        serde_json::from_str(&fact.value).ok()
    }
}

impl Reason {
    /// Whether this is a name that stands for the absence of any rule.
    pub fn is_default(rule: &str) -> bool {
        rule == DEFAULT_RULE
    }

    /// Sorted; where there are too many, how many more.
    pub fn bounded(reasons: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_unstable();
        if reasons.len() > MAX_REASONS {
            let more = reasons.len() - (MAX_REASONS - 1);
            reasons.truncate(MAX_REASONS - 1);
            reasons.push(Self { rule: "more".to_owned(), text: format!("and {more} more policies") });
        }
        reasons
    }
}

impl Verdict {
    /// What it is where nothing permits.
    pub fn default_deny() -> Self {
        let reason = Reason { rule: DEFAULT_RULE.to_owned(), text: "no policy permits it".to_owned() };
        Self { effect: Effect::Deny, reasons: vec![reason] }
    }
}

/// Why there is no verdict, which denies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// With this text, cut where it is too long.
    pub fn new(mut text: String) -> Self {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_reasons_are_no_more_than_the_host_takes() {
        assert_eq!(Failure::new("ä".repeat(1000)).to_string().len(), MAX_TEXT);
        let reasons = |count: usize| {
            let reasons = (0..count).rev().map(|rule| Reason { rule: format!("{rule:03}"), text: String::new() });
            Reason::bounded(reasons)
        };
        assert_eq!(reasons(64).last().unwrap().rule, "063");
        assert_eq!((reasons(65).len(), reasons(65).last().unwrap().text.as_str()), (64, "and 2 more policies"));
    }
}
