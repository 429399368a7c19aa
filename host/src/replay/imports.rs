//! The component's imports, linked to a tape.

use wasmtime::component::{HasData, Linker, Resource};

use super::player::Player;
use super::run::PlayState;
use crate::approval::Approval;
use crate::bindings::audit::AuditError;
use crate::bindings::decision_point::{JudgeError, Judged};
use crate::bindings::directory::{Account, AccountKey, DirectoryError, Machine, MachineKey, User, UserKey};
use crate::bindings::http::{HttpError, Request, Response};
use crate::bindings::keys::{KeyError, KeySource, Purpose, Verified};
use crate::bindings::registry::{Audience, Client, Issuer, System};
use crate::bindings::store::{Entry, StoreError, Swap};
use crate::bindings::types::Input;
use crate::bindings::{audit, decision_point, directory, http, keys, registry, store};
use crate::tape::Import;

struct Tapes;

impl HasData for Tapes {
    type Data<'a> = &'a mut Player;
}

/// Links every import of the world `standin`.
pub(super) fn link(linker: &mut Linker<PlayState>) -> wasmtime::Result<()> {
    decision_point::add_to_linker::<PlayState, Tapes>(linker, PlayState::player)?;
    keys::add_to_linker::<PlayState, Tapes>(linker, PlayState::player)?;
    directory::add_to_linker::<PlayState, Tapes>(linker, PlayState::player)?;
    registry::add_to_linker::<PlayState, Tapes>(linker, PlayState::player)?;
    http::add_to_linker::<PlayState, Tapes>(linker, PlayState::player)?;
    store::add_to_linker::<PlayState, Tapes>(linker, PlayState::player)?;
    audit::add_to_linker::<PlayState, Tapes>(linker, PlayState::player)
}

impl decision_point::Host for Player {
    async fn judge(&mut self, input: Input) -> wasmtime::Result<Result<Judged, JudgeError>> {
        Player::judge(self, input)
    }
}

impl decision_point::HostApproval for Player {
    fn drop(&mut self, _approval: Resource<Approval>) -> wasmtime::Result<()> {
        // A handle here is only a number.
        Ok(())
    }
}

impl keys::Host for Player {
    async fn sign(
        &mut self,
        approval: Resource<Approval>,
        purpose: Purpose,
        claims: String,
        event: String,
    ) -> wasmtime::Result<Result<String, KeyError>> {
        let question = (approval.rep(), purpose, claims, event);
        Player::sign(self, &question, &question.2)
    }

    async fn verify(&mut self, jws: String, source: KeySource) -> Result<Verified, KeyError> {
        self.ask(Import::Verify, &(jws, source)).unwrap_or(Err(KeyError::Unavailable))
    }

    async fn check_secret(&mut self, client_id: String, secret: String) -> Result<bool, KeyError> {
        self.ask(Import::CheckSecret, &(client_id, secret)).unwrap_or(Err(KeyError::Unavailable))
    }

    fn pseudonym(&mut self, domain: String, value: String) -> Result<String, KeyError> {
        self.ask(Import::Pseudonym, &(domain, value)).unwrap_or(Err(KeyError::Unavailable))
    }

    fn jwks(&mut self) -> String {
        self.ask(Import::Jwks, &()).unwrap_or_default()
    }
}

impl directory::Host for Player {
    async fn find_account(&mut self, key: AccountKey) -> Result<Option<Account>, DirectoryError> {
        self.ask(Import::FindAccount, &(key,)).unwrap_or(Err(DirectoryError::Unavailable))
    }

    async fn find_user(&mut self, key: UserKey) -> Result<Option<User>, DirectoryError> {
        self.ask(Import::FindUser, &(key,)).unwrap_or(Err(DirectoryError::Unavailable))
    }

    async fn find_machine(&mut self, key: MachineKey) -> Result<Option<Machine>, DirectoryError> {
        self.ask(Import::FindMachine, &(key,)).unwrap_or(Err(DirectoryError::Unavailable))
    }
}

impl registry::Host for Player {
    fn settings(&mut self) -> System {
        self.ask(Import::Settings, &()).unwrap_or_else(nothing)
    }

    fn find_client(&mut self, id: String) -> Option<Client> {
        self.ask(Import::FindClient, &(id,)).flatten()
    }

    fn find_client_by_identity(&mut self, issuer: String, sub: String) -> Option<Client> {
        self.ask(Import::FindClientByIdentity, &(issuer, sub)).flatten()
    }

    fn find_issuer(&mut self, issuer: String) -> Option<Issuer> {
        self.ask(Import::FindIssuer, &(issuer,)).flatten()
    }

    fn find_audience(&mut self, id: String) -> Option<Audience> {
        self.ask(Import::FindAudience, &(id,)).flatten()
    }
}

/// Settings under which nothing is allowed, for a component that is answered nothing more.
fn nothing() -> System {
    System {
        issuer: String::new(),
        default_ttl: 0,
        max_ttl: 0,
        max_chain: 0,
        leeway: 0,
        permit_ttl: 0,
        max_token: 0,
        max_depth: 0,
        max_body: 0,
        attributes: Vec::new(),
    }
}

impl http::Host for Player {
    async fn send(&mut self, request: Request) -> Result<Response, HttpError> {
        self.ask(Import::Send, &(request,)).unwrap_or(Err(HttpError::Timeout))
    }
}

impl store::Host for Player {
    async fn get_many(&mut self, space: String, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Entry>>, StoreError> {
        self.ask(Import::GetMany, &(space, keys)).unwrap_or(Err(StoreError::Unavailable))
    }

    async fn compare_and_swap(
        &mut self,
        space: String,
        key: Vec<u8>,
        expected: Option<u64>,
        value: Vec<u8>,
        expires_at: u64,
    ) -> Result<Swap, StoreError> {
        let question = (space, key, expected, value, expires_at);
        self.ask(Import::CompareAndSwap, &question).unwrap_or(Err(StoreError::Unavailable))
    }

    async fn delete(&mut self, space: String, key: Vec<u8>, expected: Option<u64>) -> Result<bool, StoreError> {
        self.ask(Import::Delete, &(space, key, expected)).unwrap_or(Err(StoreError::Unavailable))
    }
}

impl audit::Host for Player {
    async fn append(&mut self, event: String) -> Result<(), AuditError> {
        Player::append(self, &(event,), Ok(())).unwrap_or(Err(AuditError::Unavailable))
    }
}
