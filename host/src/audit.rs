//! Import `audit`: the durable record of every attempt. The port, and its link to the component.
//!
//! [`AuditLog`] is the log on disk, [`MemoryAudit`] the one for tests and benches, [`verify`] reads a log back.

mod announced;
mod anonymous;
mod file;
mod head;
mod line;
mod log;
mod memory;
mod open;
pub mod past;
mod rotate;
mod series;
mod tail;
#[cfg(test)]
mod testing;
pub mod verify;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wasmtime::component::{HasData, Linker};

use crate::bindings::audit::AuditError as WireError;
use crate::evidence::Evidence;
use crate::keys::KeysError;
use crate::record::{self, Event};
use crate::tape::Taped;

pub use announced::Announced;
pub(crate) use announced::settled;
pub use file::{Displaced, UnsafePlace};
pub use head::SealKey;
pub use line::time;
pub use log::{AuditLog, CHECKPOINT_TYP, Durability, LogOptions, Rotated};
pub use memory::MemoryAudit;
pub use open::{Accepted, OpenError, accept_damage, check_place};
pub use series::{NoLog, files};

/// The most events the component may append in one request; an honest one needs one.
pub const MAX_EVENTS: u32 = 8;

/// Why an event was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It could not be written.
    #[error("the audit record could not be written: {0}")]
    Write(#[from] std::io::Error),
    /// The log's file is not as it was left: it was moved, removed, replaced, cut off or added to, and nothing is written to it.
    #[error("the audit log's file is not as it was left: {0}")]
    Displaced(#[from] Displaced),
    /// The log was closed or its writer died.
    #[error("the audit log is closed")]
    Closed,
    /// The log is not one of [`AuditLog`].
    #[error("the audit log is the embedding program's own")]
    NotOurs,
    /// It took too long; it may still be written.
    #[error("the audit record was not written in time")]
    TimedOut,
    /// It is not a JSON object on one line of at most 1 MiB.
    #[error("the audit event is not one line of json within the limits")]
    Malformed,
    /// The closing checkpoint could not be signed.
    #[error("the audit checkpoint could not be signed: {0}")]
    Checkpoint(#[from] KeysError),
}

/// Where events go. An `Ok` means that the event survives a crash, as far as the configured durability promises.
#[async_trait]
pub trait Audit: Send + Sync + 'static {
    /// Records one event.
    ///
    /// # Errors
    /// Where it was not recorded; nothing is minted then.
    async fn append(&self, event: Event) -> Result<(), AuditError>;
    /// Whether events can be recorded now; for `/readyz`.
    ///
    /// # Errors
    /// Where they cannot.
    async fn ready(&self) -> Result<(), AuditError>;
    /// Writes what is only counted so far and a closing checkpoint.
    ///
    /// # Errors
    /// Where that could not be written.
    async fn close(&self) -> Result<(), AuditError>;
}

/// What the import needs of one request.
pub struct AuditCtx {
    log: Arc<dyn Audit>,
    timeout: Duration,
    correlation_id: String,
    written: u32,
    attributed: u32,
}

impl AuditCtx {
    /// Records the events of the request with this correlation id, each for at most `timeout`.
    pub fn new(log: Arc<dyn Audit>, timeout: Duration, correlation_id: String) -> Self {
        Self { log, timeout, correlation_id, written: 0, attributed: 0 }
    }

    /// The request's correlation id.
    pub fn correlation_id(&self) -> &str {
        &self.correlation_id
    }

    /// How many events this request has written.
    pub fn written(&self) -> u32 {
        self.written
    }

    /// How many of them name who asked.
    pub fn attributed(&self) -> u32 {
        self.attributed
    }

    /// Records one event, within the time limit.
    ///
    /// # Errors
    /// Where it was not recorded.
    pub async fn append(&mut self, event: Event) -> Result<(), AuditError> {
        let attributed = event.anonymous.is_none();
        match tokio::time::timeout(self.timeout, self.log.append(event)).await {
            Ok(written) => written?,
            Err(_elapsed) => return Err(AuditError::TimedOut),
        }
        self.count(attributed);
        Ok(())
    }

    /// Records an event about what is about to be done, within the time limit; `otherwise` follows it if it is not.
    ///
    /// # Errors
    /// Where it was not recorded in time.
    pub async fn announce(&mut self, event: Event, otherwise: Event) -> Result<Announced, AuditError> {
        let attributed = event.anonymous.is_none();
        let announced = Announced::record(&self.log, event, otherwise, self.timeout).await?;
        self.count(attributed);
        Ok(announced)
    }

    fn count(&mut self, attributed: bool) {
        self.written = self.written.saturating_add(1);
        self.attributed = self.attributed.saturating_add(u32::from(attributed));
    }
}

/// The context with what it shares with the other imports.
pub struct AuditView<'a> {
    /// The import's own context.
    pub ctx: &'a mut AuditCtx,
    /// What the host has seen proven in this request.
    pub evidence: &'a Evidence,
}

impl crate::bindings::audit::Host for AuditView<'_> {
    async fn append(&mut self, event: String) -> Result<(), WireError> {
        if self.ctx.written >= MAX_EVENTS {
            return Err(WireError::Other(Some("the request recorded too many events".to_owned())));
        }
        let event = record::attempt(&self.ctx.correlation_id, self.evidence, &event)
            .map_err(|why| WireError::Other(Some(why.to_string())))?;
        self.ctx.append(event).await.map_err(|error| {
            tracing::error!(correlation_id = %self.ctx.correlation_id, %error, "audit");
            WireError::Unavailable
        })
    }
}

struct Import;

impl HasData for Import {
    type Data<'a> = Taped<AuditView<'a>>;
}

/// Links the import into a component's linker.
///
/// # Errors
/// Where the linker already has it.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> Taped<AuditView<'_>>,
) -> wasmtime::Result<()> {
    crate::bindings::audit::add_to_linker::<T, Import>(linker, view)
}
