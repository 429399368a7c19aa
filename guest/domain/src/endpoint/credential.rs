//! How the caller proves itself over HTTP (RFC 6749 §2.3, RFC 6750 §2.1). Exactly one method.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{form, single_header};
use crate::contract::HttpRequest;
use crate::error::{CallerError, Problem};
use crate::ports::{ClientSecret, Credential};

/// By which way a client tried to prove itself.
pub(super) enum Tried {
    Basic,
    Bearer,
    Form,
    OtherOrNothing,
}

/// The way, as far as it can be told; whoever used the header too is answered by it.
pub(super) fn tried(request: &HttpRequest) -> Tried {
    if let Some((_, value)) = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
        let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
        return if scheme.eq_ignore_ascii_case(b"basic") {
            Tried::Basic
        } else if scheme.eq_ignore_ascii_case(b"bearer") {
            Tried::Bearer
        } else {
            Tried::OtherOrNothing
        };
    }
    let form = form::parse(&request.body).unwrap_or_default();
    let in_form = form.iter().any(|(name, _)| matches!(name.as_str(), "client_secret" | "client_assertion"));
    if in_form { Tried::Form } else { Tried::OtherOrNothing }
}

/// What the form carries of a credential.
#[derive(Default)]
pub(super) struct InForm {
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) client_assertion: Option<String>,
}

/// The credential of a request.
pub(super) fn of(request: &HttpRequest, form: InForm) -> Result<Credential, Problem> {
    let header = single_header(request, "authorization")?.map(authorization).transpose()?;
    let InForm { client_id, client_secret, client_assertion } = form;
    match (header, client_secret, client_assertion) {
        (Some(Credential::ClientSecret(basic)), None, None) => match client_id {
            // The form may repeat the id (RFC 6749 §3.2.1), not contradict it.
            Some(repeated) if repeated != basic.client_id => Err(Problem::at(CallerError::Several, "client_id")),
            Some(_) | None => Ok(Credential::ClientSecret(basic)),
        },
        (Some(credential), None, None) => Ok(credential),
        (None, Some(secret), None) => {
            let client_id = client_id.ok_or_else(|| Problem::at(CallerError::Missing, "client_id"))?;
            Ok(Credential::ClientSecret(ClientSecret { client_id, secret }))
        }
        (None, None, Some(assertion)) => Ok(Credential::ClientAssertion(assertion)),
        (None, None, None) => Err(CallerError::Missing.into()),
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => Err(CallerError::Several.into()),
    }
}

/// The credential in an `authorization` field.
///
/// # Errors
/// Where it is malformed, or of no scheme that proves anything here.
pub fn authorization(value: &str) -> Result<Credential, Problem> {
    let invalid = |cause: &str| Problem::from(CallerError::Invalid).because(cause);
    let (scheme, rest) = value.split_once(' ').ok_or_else(|| invalid("the authorization header has no credential"))?;
    let rest = rest.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Credential::Bearer(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(CallerError::Method.into());
    }
    let decoded = STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(|| invalid("the basic credential is not base64 of UTF-8"))?;
    let (id, secret) = decoded.split_once(':').ok_or_else(|| invalid("the basic credential has no colon"))?;
    // Both are form-encoded first (RFC 6749 §2.3.1).
    let decode = |text: &str| form::decode(text).map_err(|_| invalid("the basic credential is not form-encoded"));
    Ok(Credential::ClientSecret(ClientSecret { client_id: decode(id)?, secret: decode(secret)? }))
}
