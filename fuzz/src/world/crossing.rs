//! What host and component still have a type each of, carried over as it crosses the border of a sandbox.

use standin::bindings::endpoint;
use standin_domain::contract::HttpRequest;

/// A request, as the component sees it.
pub(crate) fn request(request: endpoint::HttpRequest) -> HttpRequest {
    let endpoint::HttpRequest { method, scheme, authority, path, query, headers, body, peer, certificate, correlation_id } =
        request;
    HttpRequest { method, scheme, authority, path, query, headers, body, peer, certificate, correlation_id }
}
