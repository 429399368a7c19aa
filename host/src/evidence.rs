//! What the host itself has seen proven during one request. The component's word counts for nothing here: imports write into
//! this as they answer, and `approval` reads it.

use crate::bindings::directory::{Account, Machine, User, UserKey};
use crate::bindings::types::{Input, Verdict};

/// The most directory questions, verifications and digests one request may ask for.
pub const MAX_LOOKUPS: usize = 64;

/// A request asked for more than [`MAX_LOOKUPS`].
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
    /// The claims, a JSON object.
    pub claims: String,
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
    /// Lowercase hex SHA-256 of the module.
    pub module_digest: String,
    /// Its verdict; `None` if it gave none.
    pub verdict: Option<Verdict>,
    /// Why the host does not approve, if it does not.
    pub refusal: Option<String>,
}

/// Everything seen so far.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Ids of the clients whose secret was right or for whom the embedding program vouched.
    pub callers: Vec<String>,
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
    pub decision: Option<SeenDecision>,
    lookups: usize,
}

impl Evidence {
    /// Counts one more question to the host.
    ///
    /// # Errors
    /// Where there were too many already.
    pub fn spend_lookup(&mut self) -> Result<(), TooManyLookups> {
        self.lookups += 1;
        if self.lookups > MAX_LOOKUPS { Err(TooManyLookups) } else { Ok(()) }
    }

    /// A client has proven itself.
    pub fn saw_caller(&mut self, client: &str) {
        self.callers.push(client.to_owned());
    }

    /// A signature was right.
    pub fn saw_token(&mut self, role: TokenRole, issuer: &str, claims: &str) {
        self.tokens.push(SeenToken { role, issuer: issuer.to_owned(), claims: claims.to_owned() });
    }

    /// The directory has answered about an account.
    pub fn saw_account(&mut self, account: Option<&Account>) {
        self.accounts.extend(account.cloned());
    }

    /// The directory has answered about a user.
    pub fn saw_user(&mut self, question: UserKey, user: Option<&User>) {
        self.user_questions.push(question);
        self.users.extend(user.cloned());
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
