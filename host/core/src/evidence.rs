//! What the host itself has seen proven during one request. The component's word counts for nothing here: imports write into
//! this as they answer, and `approval` reads it.

mod stages;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use standin_domain::contract::{Account, Attribute, Input, Machine, User, UserKey, Verdict};
use standin_domain::id;

pub use self::stages::{Stage, Stages};
use crate::presented::Presented;

/// The most directory questions, verifications and digests one request may ask for.
pub const MAX_LOOKUPS: usize = 64;
/// The most decisions one request may ask for.
pub const MAX_DECISIONS: usize = 8;

/// The flows that ask a provider: none of this version.
const ASKING: [&str; 0] = [];

/// A request asked for more than [`MAX_LOOKUPS`] or [`MAX_DECISIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request asked the host too many questions")]
pub struct TooManyLookups;

/// Which role a verified token was verified in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRole {
    /// By a trusted issuer of subjects.
    Subject,
    /// By a trusted issuer of callers.
    Caller,
    /// Ours.
    Own,
}

/// A token whose signature the host has verified.
#[derive(Debug, Clone)]
pub struct SeenToken {
    /// In which role.
    pub role: TokenRole,
    /// The registered issuer.
    pub issuer: String,
    /// Its name in `lineage` and in the space `revocation`.
    pub id: String,
    /// `typ` of its header.
    pub typ: Option<String>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// A keyed digest the host has computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPseudonym {
    /// The domain it was computed in.
    pub domain: String,
    /// The value it hides.
    pub value: String,
    /// The digest.
    pub digest: String,
}

/// The last question put to the policy, as the host completed it, and what came of it.
#[derive(Debug, Clone)]
pub struct SeenDecision {
    /// What the policy was asked.
    pub input: Input,
    /// The facts that it was not told, for they are not of the type their name has.
    pub left_out: Vec<String>,
    /// Whether what it was asked takes nothing for granted that was not proven.
    pub proven: bool,
    /// Lowercase hex SHA-256 of the module; empty if it gave no verdict.
    pub module_digest: String,
    /// Its verdict; `None` if it gave none.
    pub verdict: Option<Verdict>,
    /// Where the tenant was reached by crossing: from where.
    pub origin: Option<SeenOrigin>,
    /// Why the host does not approve, if it does not.
    pub refusal: Option<String>,
}

/// The tenant that a crossing starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenOrigin {
    /// The tenant.
    pub tenant: String,
    /// Lowercase hex SHA-256 of the module that judged for it; empty if none was asked.
    pub module_digest: String,
}

/// Everything seen so far.
#[derive(Debug, Default)]
pub struct Evidence {
    /// What the request carries to prove something by; nothing else counts.
    pub presented: Presented,
    /// Whether this is a dry run, which has no signer.
    pub dry_run: bool,
    /// Ids of the clients whose secret was right.
    pub callers: Vec<String>,
    /// Ids of the clients that name the issuer and `sub` of a caller token that is verified, live and meant for us.
    pub identified: Vec<String>,
    /// The client whose secret was tried last and was wrong.
    pub tried: Option<String>,
    /// Ids of the clients for whom the embedding program vouched; counts only where their registration says so.
    pub attested: Vec<String>,
    /// Whether one of these is registered for it.
    vouched: bool,
    /// The facts that the edge itself gave with the request; the component cannot add to them.
    pub edge: Vec<Attribute>,
    /// The step that the embedding program's request names, or that it names none; not set for a request over HTTP.
    pub step: Option<Option<String>>,
    /// Verified tokens.
    pub tokens: Vec<SeenToken>,
    /// Accounts the directory has named.
    pub accounts: Vec<Account>,
    /// Users the directory has named.
    pub users: Vec<User>,
    /// Every question about a user, with or without answer.
    pub user_questions: Vec<UserKey>,
    /// Machines the directory has named.
    pub machines: Vec<Machine>,
    /// Keyed digests.
    pub pseudonyms: Vec<SeenPseudonym>,
    /// The last decision.
    pub decision: Option<Arc<SeenDecision>>,
    /// Those before it; an honest component asks once.
    pub earlier: Vec<Arc<SeenDecision>>,
    /// Why claims were not signed, once for every refusal; an honest component has none.
    pub refused: Vec<String>,
    /// For every question about a user, where its answer stands among `users`.
    user_answers: Vec<Option<usize>>,
    /// How long each stage took that has ended.
    pub stages: Stages,
    lookups: usize,
    decisions: usize,
}

impl Evidence {
    /// Nothing seen yet of a request that begins now.
    pub fn begun(now: Duration) -> Self {
        Self { stages: Stages::begun(now), ..Self::default() }
    }

    /// Counts one more question to the host.
    ///
    /// # Errors
    /// Where there were too many already.
    pub fn spend_lookup(&mut self) -> Result<(), TooManyLookups> {
        self.lookups += 1;
        if self.lookups > MAX_LOOKUPS { Err(TooManyLookups) } else { Ok(()) }
    }

    /// Counts one more question to the policy.
    ///
    /// # Errors
    /// Where there were too many already.
    pub fn spend_decision(&mut self) -> Result<(), TooManyLookups> {
        self.decisions += 1;
        if self.decisions > MAX_DECISIONS { Err(TooManyLookups) } else { Ok(()) }
    }

    /// A client has shown a secret of its own.
    pub fn saw_caller(&mut self, client: &str) {
        self.callers.push(client.to_owned());
    }

    /// A secret was wrong.
    pub fn saw_wrong_secret(&mut self, client: &str) {
        self.tried = Some(client).filter(|client| id::is_opaque(client)).map(str::to_owned);
    }

    /// A caller's token authenticates this client. Whether that was not known yet.
    pub fn saw_identity(&mut self, client: &str) -> bool {
        let new = !self.identified.iter().any(|known| known == client);
        if new {
            self.identified.push(client.to_owned());
        }
        new
    }

    /// The registered client that has shown who it is, or that was vouched for.
    pub fn requester(&self) -> Option<&str> {
        self.callers.last().or(self.identified.last()).or(self.attested.last()).map(String::as_str)
    }

    /// Whether somebody has shown who asks. A stranger is told nothing but what it takes to find that out.
    pub fn knows_caller(&self) -> bool {
        self.vouched || !self.callers.is_empty() || !self.identified.is_empty()
    }

    /// Whether it takes this client's registration to find out who asks: the embedding program vouches for it.
    pub fn is_attested(&self, client: &str) -> bool {
        self.attested.iter().any(|known| known == client)
    }

    /// Whether it takes this issuer's registration to find out who asks: it has signed a token of the caller's.
    pub fn vouches_for_callers(&self, issuer: &str) -> bool {
        self.tokens.iter().any(|token| token.role == TokenRole::Caller && token.issuer == issuer)
    }

    /// The registration of a client for whom the embedding program vouches lets it.
    pub fn saw_vouched(&mut self) {
        self.vouched = true;
    }

    /// Whether a flow that was permitted in this request asks a provider.
    pub fn asks_a_provider(&self) -> bool {
        let permitted = self.decision.as_ref().filter(|decision| decision.proven && decision.refusal.is_none());
        permitted.is_some_and(|decision| ASKING.contains(&decision.input.flow.as_str()))
    }

    /// The policy was asked.
    pub fn decided(&mut self, decision: Arc<SeenDecision>) {
        self.earlier.extend(self.decision.replace(decision));
    }

    /// Claims were not signed.
    pub fn refused(&mut self, why: String) {
        if self.refused.len() < MAX_DECISIONS {
            self.refused.push(why);
        }
    }

    /// The embedding program has vouched for a client.
    pub fn saw_attested(&mut self, client: &str) {
        self.attested.push(client.to_owned());
    }

    /// A signature was right.
    pub fn saw_token(&mut self, role: TokenRole, issuer: &str, id: &str, typ: Option<&str>, claims: Map<String, Value>) {
        self.tokens.push(SeenToken { role, issuer: issuer.to_owned(), id: id.to_owned(), typ: typ.map(str::to_owned), claims });
    }

    /// The directory has answered about an account.
    pub fn saw_account(&mut self, account: Option<&Account>) {
        self.accounts.extend(account.cloned());
    }

    /// The directory has answered about a user.
    pub fn saw_user(&mut self, question: UserKey, user: Option<&User>) {
        self.user_questions.push(question);
        self.user_answers.push(user.map(|_| self.users.len()));
        self.users.extend(user.cloned());
    }

    /// The user that the directory last gave as its answer to this very question.
    pub fn answer(&self, question: &UserKey) -> Option<&User> {
        let asked = self.user_questions.iter().zip(&self.user_answers).rev();
        let (_, answer) = asked.into_iter().find(|(known, _)| same_key(known, question))?;
        answer.and_then(|at| self.users.get(at))
    }

    /// Whether the directory was asked this very question.
    pub fn asked(&self, question: &UserKey) -> bool {
        self.user_questions.iter().any(|known| same_key(known, question))
    }

    /// The directory has answered about a machine.
    pub fn saw_machine(&mut self, machine: Option<&Machine>) {
        self.machines.extend(machine.cloned());
    }

    /// A digest was computed.
    pub fn saw_pseudonym(&mut self, domain: String, value: String, digest: &str) {
        self.pseudonyms.push(SeenPseudonym { domain, value, digest: digest.to_owned() });
    }
}

/// The contract's variants come without equality.
fn same_key(one: &UserKey, other: &UserKey) -> bool {
    match (one, other) {
        (UserKey::Id(one), UserKey::Id(other)) | (UserKey::Email(one), UserKey::Email(other)) => one == other,
        (UserKey::External(one), UserKey::External(other)) => one == other,
        (UserKey::Id(_) | UserKey::Email(_) | UserKey::External(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_bounded() {
        let mut evidence = Evidence::default();
        for _ in 0..MAX_LOOKUPS {
            evidence.spend_lookup().unwrap();
        }
        assert_eq!(evidence.spend_lookup(), Err(TooManyLookups));
        for _ in 0..MAX_DECISIONS {
            evidence.spend_decision().unwrap();
        }
        assert_eq!(evidence.spend_decision(), Err(TooManyLookups));
    }

    #[test]
    fn a_stranger_is_nobody_until_something_was_shown() {
        let (mut evidence, claims) = (Evidence::default(), Map::from_iter([("sub".to_owned(), Value::from("w"))]));
        evidence.saw_attested("edge");
        evidence.saw_token(TokenRole::Subject, "https://callers", "name", None, claims.clone());
        assert!(!evidence.knows_caller(), "the registration has to let the program vouch");
        assert!(evidence.is_attested("edge") && !evidence.is_attested("other"));
        assert!(!evidence.vouches_for_callers("https://callers"));
        evidence.saw_token(TokenRole::Caller, "https://callers", "name", None, claims);
        assert!(evidence.vouches_for_callers("https://callers") && !evidence.knows_caller());
        assert!(evidence.saw_identity("svc") && !evidence.saw_identity("svc"));
        assert!(evidence.knows_caller());
        let mut vouched = Evidence::default();
        vouched.saw_vouched();
        assert!(vouched.knows_caller());
    }

    #[test]
    fn an_answer_belongs_to_its_question() {
        let mut evidence = Evidence::default();
        let alice = User {
            id: "1".into(),
            email: "alice@example.com".into(),
            accounts: vec![],
            primary_account: None,
            state: standin_domain::contract::State::Active,
            protected: false,
            scopes: None,
            attributes: vec![],
        };
        evidence.saw_user(UserKey::Email("bob@example.com".into()), None);
        evidence.saw_user(UserKey::Id("1".into()), Some(&alice));
        assert_eq!(evidence.answer(&UserKey::Id("1".into())).unwrap().email, "alice@example.com");
        assert!(evidence.answer(&UserKey::Email("bob@example.com".into())).is_none());
        assert!(evidence.answer(&UserKey::External(("corp".into(), "1".into()))).is_none());
        assert!(evidence.asked(&UserKey::Email("bob@example.com".into())));
        assert!(!evidence.asked(&UserKey::Email("1".into())));
    }
}
