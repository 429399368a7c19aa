//! Events that are no attempts: what a candidate would have decided otherwise, and which module became live.

use serde::Serialize;
use standin_domain::contract::Input;

use super::json::{Asked, Judged};
use super::{Event, RecordError, encode};

/// A candidate and the live module do not decide the same.
pub struct Difference<'a> {
    /// The request's.
    pub correlation_id: &'a str,
    /// Where the candidate waits.
    pub slot: &'a str,
    /// Whose policy was asked.
    pub tenant: &'a str,
    /// What decided.
    pub live: Judged<'a>,
    /// What did not.
    pub candidate: Judged<'a>,
    /// What both were asked.
    pub input: &'a Input,
}

impl Difference<'_> {
    /// The event.
    pub fn event(&self) -> Result<Event, RecordError> {
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
pub struct SlotChange<'a> {
    /// The slot.
    pub slot: &'a str,
    /// Digest of the module that was live.
    pub from: Option<&'a str>,
    /// Digest of the one that is from now on; `None` where the slot is no more.
    pub to: Option<&'a str>,
    /// What that one is called.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
}

/// The event of modules that become live. `because` is `start`, `reload`, `file` or `rollback`, and `not-taken` where the event
/// before it says so and it did not come to that.
pub fn policy_change(because: &str, changes: &[SlotChange<'_>]) -> Result<Event, RecordError> {
    #[derive(Serialize)]
    struct Row<'a> {
        event: &'static str,
        because: &'a str,
        changes: &'a [SlotChange<'a>],
    }
    Ok(Event { json: encode(&Row { event: "policy", because, changes })?, anonymous: None })
}
