//! The ports, implemented over the component's imports.

use std::cell::OnceCell;
use std::time::{SystemTime, UNIX_EPOCH};

use standin_domain::ports::{
    Account, AccountKey, Audience, AuditDown, AuditLog, Client, Clock, DecisionPoint, Directory, DirectoryError, Input, Issuer,
    JudgeError, Judged, KeyError, KeySource, Machine, MachineKey, Purpose, Random, Registry, Revocations, StoreDown, System,
    User, UserKey, Verified, Verifier,
};

use crate::bindings::standin::obo::{audit, decision_point, directory, keys, registry, store};

/// The space of the store that holds the names of revoked tokens.
const REVOCATION: &str = "revocation";

/// Everything outside the component, for one call into it.
#[derive(Default)]
pub(crate) struct Imports {
    /// They are the same from its beginning to its end.
    settings: OnceCell<System>,
}

impl Clock for Imports {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock port: the host supplies the WASI clock")]
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

impl Random for Imports {
    #[expect(clippy::disallowed_methods, reason = "this is the Random port: the host supplies the WASI random source")]
    fn bits128(&self) -> Option<[u8; 16]> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).ok().map(|()| bits)
    }
}

impl Verifier for Imports {
    fn verify(&self, jws: &str, source: &KeySource) -> Result<Verified, KeyError> {
        keys::verify(jws, source)
    }

    fn check_secret(&self, client: &str, secret: &str) -> Result<bool, KeyError> {
        keys::check_secret(client, secret)
    }

    fn pseudonym(&self, domain: &str, value: &str) -> Result<String, KeyError> {
        keys::pseudonym(domain, value)
    }

    fn jwks(&self) -> String {
        keys::jwks()
    }
}

impl Directory for Imports {
    fn find_account(&self, key: &AccountKey) -> Result<Option<Account>, DirectoryError> {
        directory::find_account(key)
    }

    fn find_user(&self, key: &UserKey) -> Result<Option<User>, DirectoryError> {
        directory::find_user(key)
    }

    fn find_machine(&self, key: &MachineKey) -> Result<Option<Machine>, DirectoryError> {
        directory::find_machine(key)
    }
}

impl Registry for Imports {
    fn settings(&self) -> System {
        self.settings.get_or_init(registry::settings).clone()
    }

    fn find_client(&self, id: &str) -> Option<Client> {
        registry::find_client(id)
    }

    fn find_client_by_identity(&self, issuer: &str, sub: &str) -> Option<Client> {
        registry::find_client_by_identity(issuer, sub)
    }

    fn find_issuer(&self, issuer: &str) -> Option<Issuer> {
        registry::find_issuer(issuer)
    }

    fn find_audience(&self, id: &str) -> Option<Audience> {
        registry::find_audience(id)
    }
}

impl Revocations for Imports {
    fn any_revoked(&self, names: &[String]) -> Result<bool, StoreDown> {
        let keys: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let entries = store::get_many(REVOCATION, &keys).map_err(|_| StoreDown)?;
        Ok(entries.iter().any(Option::is_some))
    }
}

impl DecisionPoint for Imports {
    type Approval = decision_point::Approval;

    fn judge(&self, input: &Input) -> Result<Judged<Self::Approval>, JudgeError> {
        let decision_point::Judged { verdict, module_digest, approval } = decision_point::judge(input)?;
        Ok(Judged { verdict, module_digest, approval })
    }

    fn sign(&self, approval: Self::Approval, purpose: Purpose, claims: &str, event: &str) -> Result<String, KeyError> {
        keys::sign(approval, purpose, claims, event)
    }
}

impl AuditLog for Imports {
    fn append(&self, event: &str) -> Result<(), AuditDown> {
        audit::append(event).map_err(|_| AuditDown)
    }
}
