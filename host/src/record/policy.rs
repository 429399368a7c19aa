//! Events that are no attempts: what a candidate would have decided otherwise, and which module became live.

use serde::Serialize;

use super::json::{Asked, Judged};
use super::{Event, RecordError, encode};
use crate::bindings::types::Input;

/// A candidate and the live module do not decide the same.
pub(crate) struct Difference<'a> {
    /// The request's.
    pub(crate) correlation_id: &'a str,
    /// Where the candidate waits.
    pub(crate) slot: &'a str,
    /// Whose policy was asked.
    pub(crate) tenant: &'a str,
    /// What decided.
    pub(crate) live: Judged<'a>,
    /// What did not.
    pub(crate) candidate: Judged<'a>,
    /// What both were asked.
    pub(crate) input: &'a Input,
}

impl Difference<'_> {
    /// The event.
    pub(crate) fn event(&self) -> Result<Event, RecordError> {
        #[derive(Serialize)]
        struct Row<'a> {
            event: &'static str,
            correlation_id: &'a str,
            slot: &'a str,
            tenant: &'a str,
            live: &'a Judged<'a>,
            candidate: &'a Judged<'a>,
            asked: Asked<'a>,
        }
        let Self { correlation_id, slot, tenant, live, candidate, input } = self;
        let row = Row { event: "shadow", correlation_id, slot, tenant, live, candidate, asked: Asked(input) };
        Ok(Event { json: encode(&row)?, anonymous: None })
    }
}

/// A slot gets another module.
#[derive(Debug, Serialize)]
pub(crate) struct SlotChange<'a> {
    /// The slot.
    pub(crate) slot: &'a str,
    /// Digest of the module that was live.
    pub(crate) from: Option<&'a str>,
    /// Digest of the one that is from now on; `None` where the slot is no more.
    pub(crate) to: Option<&'a str>,
    /// What that one is called.
    pub(crate) name: Option<String>,
    /// Its version.
    pub(crate) version: Option<String>,
}

/// The event of modules that become live. `because` is `start`, `reload`, `file` or `rollback`, and `not-taken` where the event
/// before it says so and it did not come to that.
pub(crate) fn policy_change(because: &str, changes: &[SlotChange<'_>]) -> Result<Event, RecordError> {
    #[derive(Serialize)]
    struct Row<'a> {
        event: &'static str,
        because: &'a str,
        changes: &'a [SlotChange<'a>],
    }
    Ok(Event { json: encode(&Row { event: "policy", because, changes })?, anonymous: None })
}
