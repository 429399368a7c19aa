//! What host and component still have a type each of, carried over as it crosses the border of a sandbox.

use standin::bindings::{decision_point, endpoint};
use standin_domain::contract::{HttpRequest, JudgeError};

/// A request, as the component sees it.
pub(crate) fn request(request: endpoint::HttpRequest) -> HttpRequest {
    let endpoint::HttpRequest { method, scheme, authority, path, query, headers, body, peer, certificate, correlation_id } =
        request;
    HttpRequest { method, scheme, authority, path, query, headers, body, peer, certificate, correlation_id }
}

/// Why there is no verdict, as the component sees it.
pub(crate) fn no_verdict(error: decision_point::JudgeError) -> JudgeError {
    match error {
        decision_point::JudgeError::Module(why) => JudgeError::Module(why),
        decision_point::JudgeError::Trapped => JudgeError::Trapped,
        decision_point::JudgeError::TimedOut => JudgeError::TimedOut,
        decision_point::JudgeError::TooLarge => JudgeError::TooLarge,
        decision_point::JudgeError::Invalid => JudgeError::Invalid,
        decision_point::JudgeError::Unavailable => JudgeError::Unavailable,
        decision_point::JudgeError::Other(what) => JudgeError::Other(what),
    }
}
