//! What the domain needs of the outside, as small traits. The component implements them over its imports; the records are those of
//! the contract.

pub use crate::contract::{
    Account, AccountKey, Allowance, ApiKey, Attribute, Audience, Certificate, Client, ClientSecret, Credential, Descriptor,
    DirectoryError, Effect, Failure, IdType, Input, Issuer, IssuerRole, JudgeError, KeyError, KeySource, Machine, MachineKey,
    Minted, Party, Purpose, Reason, Request, ScopeMode, State, Step, Subject, SubjectKind, SubjectMapping, System, Token, User,
    UserKey, Verdict, Verified,
};

/// Time.
pub trait Clock {
    /// Seconds since the Unix epoch.
    fn now(&self) -> u64;
}

/// Randomness.
pub trait Random {
    /// 128 random bits, or nothing where the source fails.
    fn bits128(&self) -> Option<[u8; 16]>;
}

/// Verification; the keys themselves are the host's.
pub trait Verifier {
    /// Verifies a compact JWS.
    fn verify(&self, jws: &str, source: &KeySource) -> Result<Verified, KeyError>;
    /// Whether this is a live secret of this client.
    fn check_secret(&self, client: &str, secret: &str) -> Result<bool, KeyError>;
    /// Keyed digest of a value.
    fn pseudonym(&self, domain: &str, value: &str) -> Result<String, KeyError>;
    /// Our public keys.
    fn jwks(&self) -> String;
}

/// Who exists.
pub trait Directory {
    /// Finds an account.
    fn find_account(&self, key: &AccountKey) -> Result<Option<Account>, DirectoryError>;
    /// Finds a user.
    fn find_user(&self, key: &UserKey) -> Result<Option<User>, DirectoryError>;
    /// Finds a machine.
    fn find_machine(&self, key: &MachineKey) -> Result<Option<Machine>, DirectoryError>;
}

/// Who may ask for what.
pub trait Registry {
    /// What holds for every request.
    fn settings(&self) -> System;
    /// Finds a client.
    fn find_client(&self, id: &str) -> Option<Client>;
    /// Finds the client with this identity at a caller-issuer.
    fn find_client_by_identity(&self, issuer: &str, sub: &str) -> Option<Client>;
    /// Finds a trusted issuer.
    fn find_issuer(&self, issuer: &str) -> Option<Issuer>;
    /// Finds an audience.
    fn find_audience(&self, id: &str) -> Option<Audience>;
}

/// The store could not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreDown;

/// Which tokens were revoked.
pub trait Revocations {
    /// Whether one of these was, as `lineage` names them.
    fn any_revoked(&self, names: &[String]) -> Result<bool, StoreDown>;
}

/// What the decision point says.
#[derive(Debug)]
pub struct Judged<A> {
    /// The policy's verdict.
    pub verdict: Verdict,
    /// Digest of the module that gave it.
    pub module_digest: String,
    /// The host's memory of the permit, if it approves.
    pub approval: Option<A>,
}

/// The policy, and the signature that only its permit unlocks.
pub trait DecisionPoint {
    /// The host's memory of a permit.
    type Approval;
    /// Asks the live policy.
    fn judge(&self, input: &Input) -> Result<Judged<Self::Approval>, JudgeError>;
    /// Signs `claims` if the approval covers them, after `event` was recorded.
    fn sign(&self, approval: Self::Approval, purpose: Purpose, claims: &str, event: &str) -> Result<String, KeyError>;
}

/// The event was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditDown;

/// The audit log.
pub trait AuditLog {
    /// Records a denial, a failure or a dry run.
    fn append(&self, event: &str) -> Result<(), AuditDown>;
}

/// All of them.
pub trait Ports: Clock + Random + Verifier + Directory + Registry + Revocations + DecisionPoint + AuditLog {}

impl<P: Clock + Random + Verifier + Directory + Registry + Revocations + DecisionPoint + AuditLog> Ports for P {}
