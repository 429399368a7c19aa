//! On whose behalf: what is known of a subject, and the proof of those that a directory answer of this request named.

use serde_json::{Value, json};
use standin_domain::chain::Actor;
use standin_domain::contract::{Account, Attribute, Machine, State, User, UserKey};
use standin_domain::facts::Authentication;
use standin_domain::id;
pub(super) use standin_domain::own::Kind;

use super::proof::{Question, Unproven};
use super::token;
use crate::address::Address;
use crate::registry::{Client, SubjectKind};

/// The `obo_type` of a subject that came by a foreign token.
pub(super) const BY_TOKEN: &str = "token";

/// The names of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AccountIds {
    pub(super) account_id: Option<String>,
    pub(super) csp_id: Option<i64>,
    pub(super) sfdc_account_id: Option<String>,
}

impl AccountIds {
    fn of(account: &Account) -> Self {
        Self { account_id: Some(account.id.clone()), csp_id: account.csp_id, sfdc_account_id: account.sfdc_account_id.clone() }
    }

    /// Whether everything `claimed` names is this account.
    pub(super) fn bears_out(&self, claimed: &Self) -> bool {
        (claimed.account_id.is_none() || claimed.account_id == self.account_id)
            && (claimed.csp_id.is_none() || claimed.csp_id == self.csp_id)
            && (claimed.sfdc_account_id.is_none() || claimed.sfdc_account_id == self.sfdc_account_id)
    }
}

/// Which accounts the claims may name.
#[derive(Debug, Clone)]
pub(super) enum Accounts {
    /// One of these, by its id at least.
    OneOf(Vec<AccountIds>),
    /// One of these or none.
    AtMostOneOf(Vec<AccountIds>),
    /// Those of the subject token.
    Exactly(AccountIds),
}

impl Accounts {
    pub(super) fn cover(&self, claimed: &AccountIds) -> bool {
        match self {
            Self::OneOf(accounts) => claimed.account_id.is_some() && accounts.iter().any(|account| account.bears_out(claimed)),
            Self::AtMostOneOf(accounts) => {
                *claimed == AccountIds::default() || accounts.iter().any(|account| account.bears_out(claimed))
            }
            Self::Exactly(account) => account == claimed,
        }
    }
}

/// A subject that was proven, and all that follows from the proof.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) kind: Kind,
    pub(super) provisional: bool,
    pub(super) obo_type: String,
    /// Each limits the scope.
    pub(super) terms: Vec<Vec<String>>,
    /// When the subject token expires.
    pub(super) expires_at: Option<u64>,
    /// `act` of the subject token.
    pub(super) act: Option<Actor>,
    /// The names of every ancestor.
    pub(super) lineage: Vec<String>,
    pub(super) accounts: Accounts,
    pub(super) host: Option<Value>,
    /// What the subject token says of the authentication behind it.
    pub(super) authentication: Authentication,
    /// Whether the subject token is bound to a key.
    pub(super) bound: bool,
    /// What is known of it; of several facts of one name the first that is of its type counts.
    pub(super) attributes: Vec<Attribute>,
}

/// Proves the subject. Where a verified token names it, the token's limits hold, whatever else names it too.
pub(super) fn prove(question: &Question<'_>) -> Result<Subject, Unproven> {
    if let Some(proven) = token::prove(question) {
        return proven;
    }
    let evidence = question.evidence;
    let is = |name: String| name == question.subject.id;
    if let Some(user) = evidence.users.iter().rfind(|user| is(id::user(question.tenant, &user.id))) {
        return by_user(question, user);
    }
    if let Some(machine) = evidence.machines.iter().rfind(|machine| is(id::host(question.tenant, &machine.id))) {
        return by_machine(question, machine);
    }
    let domain = id::provisional_domain(question.tenant);
    let digests = evidence.pseudonyms.iter().filter(|seen| seen.domain == domain);
    match digests.into_iter().find(|seen| is(id::provisional(question.tenant, &seen.digest))) {
        Some(seen) => by_address(question, &seen.value),
        None => Err(Unproven::Subject),
    }
}

/// Whether the client may name subjects of this kind.
pub(super) fn allow(client: &Client, kind: SubjectKind) -> Result<(), Unproven> {
    if client.subjects.contains(&kind) { Ok(()) } else { Err(Unproven::SubjectKind) }
}

/// A live user's live accounts in the tenant.
pub(super) fn memberships(question: &Question<'_>, user: &User) -> Result<Vec<AccountIds>, Unproven> {
    if !is_active(user.state) {
        return Err(Unproven::UserNotActive);
    }
    if user.protected && !question.client.protected {
        return Err(Unproven::Protected);
    }
    let live = user.accounts.iter().filter(|account| account.tenant == question.tenant && is_active(account.state));
    let accounts: Vec<_> = live.map(AccountIds::of).collect();
    if accounts.is_empty() { Err(Unproven::NotAMember) } else { Ok(accounts) }
}

fn by_user(question: &Question<'_>, user: &User) -> Result<Subject, Unproven> {
    let (kind, registered) = match question.subject.kind.as_str() {
        "envoy" => (Kind::Envoy, SubjectKind::Envoy),
        "user" => (Kind::User, SubjectKind::User),
        _ => return Err(Unproven::SubjectKind),
    };
    allow(question.client, registered)?;
    let accounts = memberships(question, user)?;
    Ok(Subject {
        terms: user.scopes.iter().cloned().collect(),
        attributes: described(user.protected, &user.attributes),
        ..described_by(kind, kind.name(), Accounts::OneOf(accounts))
    })
}

/// A machine acts through a live API key as that key's user, whose primary account is the machine's.
fn by_machine(question: &Question<'_>, machine: &Machine) -> Result<Subject, Unproven> {
    allow(question.client, SubjectKind::Host)?;
    let user = live_user_of(question, machine)?;
    Ok(Subject {
        terms: user.scopes.iter().cloned().collect(),
        host: Some(self::machine(&machine.id, machine.ophid.as_deref())),
        attributes: described(user.protected, &machine.attributes),
        ..described_by(Kind::Host, Kind::Host.name(), Accounts::OneOf(vec![AccountIds::of(&machine.account)]))
    })
}

/// The claim `host`.
pub(super) fn machine(id: &str, ophid: Option<&str>) -> Value {
    match ophid {
        Some(ophid) => json!({ "id": id, "ophid": ophid }),
        None => json!({ "id": id }),
    }
}

/// The live user of a live machine's live keys.
pub(super) fn live_user_of<'a>(question: &Question<'a>, machine: &Machine) -> Result<&'a User, Unproven> {
    if !is_active(machine.state) {
        return Err(Unproven::HostNotActive);
    }
    if machine.account.tenant != question.tenant || !is_active(machine.account.state) {
        return Err(Unproven::HostAccount);
    }
    // All live keys have to be of one user, or the component could choose among them.
    let mut owners = machine.api_keys.iter().filter(|key| is_active(key.state)).map(|key| &key.user);
    let owner = owners.next().ok_or(Unproven::HostKey)?;
    if owners.any(|other| other != owner) {
        return Err(Unproven::HostKey);
    }
    let user = question.evidence.users.iter().rfind(|user| user.id == *owner);
    let user = user
        .filter(|user| is_active(user.state) && user.primary_account.as_ref() == Some(&machine.account.id))
        .ok_or(Unproven::HostKey)?;
    if user.protected && !question.client.protected {
        return Err(Unproven::Protected);
    }
    Ok(user)
}

/// Somebody whom the directory was asked for and does not know in this tenant.
fn by_address(question: &Question<'_>, address: &str) -> Result<Subject, Unproven> {
    allow(question.client, SubjectKind::Envoy)?;
    let scopes = question.client.provisional_scopes.clone().ok_or(Unproven::ProvisionalNotRegistered)?;
    let evidence = question.evidence;
    // Another spelling of a known address would be another, unknown person.
    let normalised = Address::parse(address).is_some_and(|normal| normal.as_str() == address);
    if !normalised || !evidence.asked(&UserKey::Email(address.to_owned())) {
        return Err(Unproven::ProvisionalUnasked);
    }
    // Another directory than ours may show addresses as they were written.
    let same = |email: &str| Address::parse(email).map_or(email == address, |normal| normal.as_str() == address);
    let mut known = evidence.users.iter().filter(|user| same(&user.email));
    if known.any(|user| blocks(question, user)) {
        return Err(Unproven::ProvisionalKnown);
    }
    let live = evidence.accounts.iter().filter(|account| account.tenant == question.tenant && is_active(account.state));
    let accounts: Vec<_> = live.map(AccountIds::of).collect();
    if accounts.is_empty() {
        return Err(Unproven::ProvisionalAccount);
    }
    Ok(Subject {
        provisional: true,
        terms: vec![scopes],
        ..described_by(Kind::Provisional, Kind::Envoy.name(), Accounts::OneOf(accounts))
    })
}

/// Whether this user's address can be nobody else's: a member of the tenant has a name there, and one that is not active acts nowhere,
/// whatever it is a member of.
fn blocks(question: &Question<'_>, user: &User) -> bool {
    !is_active(user.state) || user.accounts.iter().any(|account| account.tenant == question.tenant)
}

/// A subject without a token: nothing is inherited.
fn described_by(kind: Kind, obo_type: &str, accounts: Accounts) -> Subject {
    Subject {
        kind,
        provisional: false,
        obo_type: obo_type.to_owned(),
        terms: Vec::new(),
        expires_at: None,
        act: None,
        lineage: Vec::new(),
        accounts,
        host: None,
        authentication: Authentication::default(),
        bound: false,
        attributes: Vec::new(),
    }
}

/// What the host itself says comes first; the directory cannot overwrite it.
pub(super) fn described(protected: bool, attributes: &[Attribute]) -> Vec<Attribute> {
    let mut facts = vec![Attribute { name: "protected".to_owned(), value: protected.to_string() }];
    facts.extend_from_slice(attributes);
    facts
}

/// Disabled and pending entries mint nothing.
pub(super) fn is_active(state: State) -> bool {
    match state {
        State::Active => true,
        State::Disabled | State::Pending => false,
    }
}
