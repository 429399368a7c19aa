//! Import `directory`: who exists. The port, and its link to the component.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wasmtime::component::{HasData, Linker};

pub use crate::bindings::directory::{Account, AccountKey, ApiKey, DirectoryError, Machine, MachineKey, State, User, UserKey};
use crate::evidence::Evidence;
use crate::tape::Taped;

mod document;
pub mod import;
pub mod lookup;
mod memory;
mod sqlite;
mod value;

pub use self::memory::MemoryDirectory;
pub use self::sqlite::SqliteDirectory;

/// The most accounts a user and the most API keys a machine may have. More is an error and not an answer cut short, from which
/// a wrong conclusion could be drawn.
pub const MAX_RELATED: usize = 64;

/// Where accounts, users and machines are looked up.
///
/// Every method answers `Ok(None)` for what does not exist and an error only where that could not be found out.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// Finds an account.
    ///
    /// # Errors
    /// Where the directory cannot be asked.
    async fn find_account(&self, key: &AccountKey) -> Result<Option<Account>, DirectoryError>;
    /// Finds a user with all its accounts; an `email` key is normalised.
    ///
    /// # Errors
    /// Where the directory cannot be asked.
    async fn find_user(&self, key: &UserKey) -> Result<Option<User>, DirectoryError>;
    /// Finds a machine with its account and API keys.
    ///
    /// # Errors
    /// Where the directory cannot be asked.
    async fn find_machine(&self, key: &MachineKey) -> Result<Option<Machine>, DirectoryError>;
    /// Whether it can be asked now; for `/readyz`.
    ///
    /// # Errors
    /// Where it cannot.
    async fn ready(&self) -> Result<(), DirectoryError>;
}

/// What the import needs of one request.
pub struct DirectoryCtx {
    source: Arc<dyn Directory>,
    timeout: Duration,
}

impl DirectoryCtx {
    /// Asks `source`, each question for at most `timeout`.
    pub fn new(source: Arc<dyn Directory>, timeout: Duration) -> Self {
        Self { source, timeout }
    }
}

/// The context with what it shares with the other imports.
pub struct DirectoryView<'a> {
    /// The import's own context.
    pub ctx: &'a DirectoryCtx,
    /// What the host has seen proven in this request.
    pub evidence: &'a mut Evidence,
}

impl DirectoryView<'_> {
    async fn ask<T>(
        &mut self,
        question: impl Future<Output = Result<Option<T>, DirectoryError>>,
    ) -> Result<Option<T>, DirectoryError> {
        self.evidence.spend_lookup().map_err(|_| DirectoryError::Other(Some("too many questions".into())))?;
        // Nobody's question: what it would say is nobody's to know yet.
        if !self.evidence.knows_caller() {
            return Err(DirectoryError::Other(Some("nobody has shown who asks".into())));
        }
        match tokio::time::timeout(self.ctx.timeout, question).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(DirectoryError::Unavailable),
        }
    }
}

impl crate::bindings::directory::Host for DirectoryView<'_> {
    async fn find_account(&mut self, key: AccountKey) -> Result<Option<Account>, DirectoryError> {
        let source = Arc::clone(&self.ctx.source);
        let answer = self.ask(source.find_account(&key)).await?;
        self.evidence.saw_account(answer.as_ref());
        Ok(answer)
    }

    async fn find_user(&mut self, key: UserKey) -> Result<Option<User>, DirectoryError> {
        let source = Arc::clone(&self.ctx.source);
        // Asked for, and remembered, in the form in which it can be found.
        let key = match key {
            UserKey::Email(email) => UserKey::Email(value::normalised(&email)),
            UserKey::Id(_) | UserKey::External(_) => key,
        };
        let answer = self.ask(source.find_user(&key)).await?;
        self.evidence.saw_user(key, answer.as_ref());
        Ok(answer)
    }

    async fn find_machine(&mut self, key: MachineKey) -> Result<Option<Machine>, DirectoryError> {
        let source = Arc::clone(&self.ctx.source);
        let answer = self.ask(source.find_machine(&key)).await?;
        self.evidence.saw_machine(answer.as_ref());
        Ok(answer)
    }
}

struct Import;

impl HasData for Import {
    type Data<'a> = Taped<DirectoryView<'a>>;
}

/// Links the import into a component's linker.
///
/// # Errors
/// Where the linker already has it.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> Taped<DirectoryView<'_>>,
) -> wasmtime::Result<()> {
    crate::bindings::directory::add_to_linker::<T, Import>(linker, view)
}

#[cfg(test)]
mod tests;
