//! What an audit event says. Facts the host knows itself stand at the top; what the component adds stands under `detail`.

use crate::approval::{Approval, Covered};
use crate::evidence::Evidence;

/// One audit event: a JSON object on one line, without the `seq`, `time` and `prev` that the log adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The JSON text, `{…}`.
    pub json: String,
    /// Set for an attempt whose caller was not authenticated: the code under which repetitions are counted.
    pub anonymous: Option<String>,
}

/// What the component handed in cannot stand in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not a JSON object, or too long.
    #[error("the component's event is not a JSON object within the limits")]
    Malformed,
}

/// The event of an attempt that ended without a token.
///
/// # Errors
/// Where `detail` is not a JSON object within the limits.
pub fn attempt(_correlation_id: &str, _evidence: &Evidence, _detail: &str) -> Result<Event, RecordError> {
    Err(RecordError::Malformed)
}

/// The event of a token about to be signed. To be recorded before the signature leaves.
///
/// # Errors
/// Where `detail` is not a JSON object within the limits.
pub fn minted(_correlation_id: &str, _approval: &Approval, _covered: &Covered, _detail: &str) -> Result<Event, RecordError> {
    Err(RecordError::Malformed)
}

/// The event of an attempt that the host ended: a trap, a time-out, a shed request.
pub fn host_failure(_correlation_id: &str, _evidence: &Evidence, _code: &str) -> Event {
    Event { json: String::new(), anonymous: None }
}
