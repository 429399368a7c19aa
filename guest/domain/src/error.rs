//! Every way a request can fail: one enum a stage, a variant a cause, and one total mapping to the wire.
//!
//! The tables below are the mapping: code, OAuth error, HTTP status, whether to retry, the fixed text a caller sees, and what to
//! do about it. `docs/errors.md` is made from them ([`markdown`]).

use std::fmt::Write as _;

/// The OAuth error a code maps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OAuthError {
    /// RFC 6749 §5.2; also what policy does not accept (RFC 8693 §2.2.2).
    InvalidRequest,
    /// RFC 6749 §5.2.
    InvalidClient,
    /// RFC 6749 §5.2.
    UnauthorizedClient,
    /// RFC 6749 §5.2.
    UnsupportedGrantType,
    /// RFC 6749 §5.2.
    InvalidScope,
    /// RFC 8693 §2.2.2, RFC 8707 §2.
    InvalidTarget,
    /// RFC 9470 §3, for what needs the user.
    InsufficientUserAuthentication,
    /// RFC 6749 §4.1.2.1.
    ServerError,
    /// RFC 6749 §4.1.2.1.
    TemporarilyUnavailable,
}

impl OAuthError {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

/// Whether the same request may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not unchanged.
    Never,
    /// After this many seconds.
    After(u32),
}

/// One row of the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Stable code.
    pub code: &'static str,
    /// The OAuth error.
    pub oauth: OAuthError,
    /// The HTTP status.
    pub status: u16,
    /// Whether to retry.
    pub retry: Retry,
    /// What the caller reads.
    pub text: &'static str,
    /// What to do about it; empty inside the component, where nobody reads it.
    pub action: &'static str,
}

macro_rules! stages {
    ($($(#[$doc:meta])* $stage:ident { $($variant:ident: $code:literal, $oauth:ident, $status:literal, $retry:expr, $text:literal, $action:literal;)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum $stage { $(#[doc = $action] $variant,)* }

            impl $stage {
                /// Every variant.
                pub const ALL: &[Self] = &[$(Self::$variant,)*];

                /// Its row of the mapping.
                pub const fn entry(self) -> Entry {
                    match self {
                        $(Self::$variant => Entry {
                            code: $code, oauth: OAuthError::$oauth, status: $status, retry: $retry, text: $text, action: if cfg!(target_family = "wasm") { "" } else { $action },
                        },)*
                    }
                }
            }

            impl From<$stage> for Error {
                fn from(error: $stage) -> Self { Self::$stage(error) }
            }
        )*

        /// Every error of every stage.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Error { $($(#[$doc])* $stage($stage),)* }

        impl Error {
            /// Its row of the mapping.
            pub const fn entry(self) -> Entry {
                match self { $(Self::$stage(error) => error.entry(),)* }
            }

            /// All of them, in the order of the stages.
            pub fn all() -> Vec<Self> {
                let mut all = Vec::new();
                $(all.extend($stage::ALL.iter().copied().map(Self::$stage));)*
                all
            }
        }
    };
}

use Retry::{After, Never};

stages! {
    /// The request itself is not well formed.
    RequestError {
        NotFound: "request.not_found", InvalidRequest, 404, Never, "there is nothing at this path", "Ask the metadata document for the endpoints.";
        Method: "request.method", InvalidRequest, 405, Never, "this path does not answer that method", "Use the method that the Allow header names.";
        MediaType: "request.media_type", InvalidRequest, 415, Never, "the content type is not the one this path takes", "Send a form to the token endpoint and JSON to obo_mint.";
        TooLarge: "request.too_large", InvalidRequest, 413, Never, "the request is too large", "Send a smaller request; the limits are in standin.toml.";
        Empty: "request.empty", InvalidRequest, 400, Never, "the request has no body", "Send the parameters in the body.";
        NotUtf8: "request.not_utf8", InvalidRequest, 400, Never, "the request is not valid UTF-8", "Encode the body as UTF-8.";
        Malformed: "request.malformed", InvalidRequest, 400, Never, "the request cannot be parsed", "Check the encoding of the form or the JSON.";
        TooDeep: "request.too_deep", InvalidRequest, 400, Never, "the JSON is nested too deeply", "Send flat JSON.";
        DuplicateField: "request.duplicate_field", InvalidRequest, 400, Never, "a parameter is given more than once", "Send each parameter once; only audience and resource repeat.";
        UnknownField: "request.unknown_field", InvalidRequest, 400, Never, "a parameter is not known here", "Send only the documented parameters.";
        MissingField: "request.missing_field", InvalidRequest, 400, Never, "a required parameter is missing", "Send the parameter that `field` names.";
        InvalidField: "request.invalid_field", InvalidRequest, 400, Never, "a parameter is not valid", "Correct the parameter that `field` names.";
        GrantType: "request.grant_type", UnsupportedGrantType, 400, Never, "this grant type is not supported", "Use urn:ietf:params:oauth:grant-type:token-exchange.";
        ActorToken: "request.actor_token", InvalidRequest, 400, Never, "an actor token is not taken here", "The authenticated caller is the actor; leave actor_token out.";
        Unsupported: "request.unsupported", InvalidRequest, 400, Never, "this kind of request is not supported", "Ask for an access token for a token or a descriptor subject.";
    }
    /// The caller is not who it should be.
    CallerError {
        Missing: "caller.missing", InvalidClient, 401, Never, "client authentication is required", "Authenticate with a client secret or a caller JWT.";
        Invalid: "caller.invalid", InvalidClient, 401, Never, "client authentication failed", "Check client id, secret or caller JWT; the audit record has the cause.";
        Several: "caller.several", InvalidRequest, 400, Never, "more than one client or client authentication method is named", "Use exactly one method (RFC 6749 section 2.3); a client_id beside it names the same client.";
        Method: "caller.method", InvalidClient, 401, Never, "this client authentication method is not supported", "Use client_secret_basic, client_secret_post or a caller JWT.";
        Throttled: "caller.throttled", TemporarilyUnavailable, 429, After(1), "client authentication failed too often from this address", "Wait as long as Retry-After says; other addresses are not affected. Give whoever still uses an old secret the new one.";
        SubjectKind: "caller.subject_kind", UnauthorizedClient, 400, Never, "the client may not name this kind of subject", "Add the kind to `subjects` of the client's registration.";
    }
    /// The subject token cannot be accepted.
    SubjectError {
        TokenType: "subject.token_type", InvalidRequest, 400, Never, "this subject token type is not supported", "Send a JWT as access_token, id_token or jwt.";
        TooLarge: "subject.too_large", InvalidRequest, 400, Never, "the subject token is too large", "Send a smaller token.";
        Malformed: "subject.malformed", InvalidRequest, 400, Never, "the subject token is not a well-formed JWT", "Send a compact JWS with JSON claims.";
        UntrustedIssuer: "subject.untrusted_issuer", InvalidRequest, 400, Never, "the subject token's issuer is not trusted", "Register the issuer with role subject.";
        UnknownKey: "subject.unknown_key", InvalidRequest, 400, Never, "the subject token's key is not known", "Check the issuer's JWK set and the token's kid.";
        Algorithm: "subject.algorithm", InvalidRequest, 400, Never, "the subject token's algorithm is not accepted", "Sign with an algorithm registered for the issuer.";
        Signature: "subject.signature", InvalidRequest, 400, Never, "the subject token's signature is wrong", "Send the token unchanged.";
        Type: "subject.type", InvalidRequest, 400, Never, "the subject token's typ is not accepted", "Register the issuer's typ under `types`.";
        MissingClaim: "subject.missing_claim", InvalidRequest, 400, Never, "the subject token lacks a required claim", "Have the issuer send iss, sub, aud and exp.";
        Expired: "subject.expired", InvalidRequest, 400, Never, "the subject token has expired", "Get a fresh subject token.";
        NotYetValid: "subject.not_yet_valid", InvalidRequest, 400, Never, "the subject token is not valid yet", "Check the clocks.";
        Audience: "subject.audience", InvalidRequest, 400, Never, "the subject token is not addressed here", "Use a token whose aud is registered for its issuer.";
        Addressee: "subject.addressee", InvalidRequest, 400, Never, "the subject token was not addressed to this client", "Only the service a token was addressed to may exchange it.";
        Tenant: "subject.tenant", InvalidRequest, 400, Never, "the subject token's tenant is not acceptable", "The issuer must be registered for the tenant.";
        MayAct: "subject.may_act", InvalidRequest, 400, Never, "the subject token does not let this client act", "may_act must name the client.";
        Chain: "subject.chain", InvalidRequest, 400, Never, "the subject token's actor chain is malformed", "Send a token whose act claim follows RFC 8693 section 4.1 and, from another issuer, names no actor of ours.";
        ChainTooLong: "subject.chain_too_long", InvalidRequest, 400, Never, "the actor chain is too long", "Use fewer hops or raise max_chain.";
        Bound: "subject.bound", InvalidRequest, 400, Never, "the subject token is bound to a key, and what is asked for is not", "Send a bearer token, or register every audience that is asked for with unbound = true.";
        Revoked: "subject.revoked", InvalidRequest, 400, Never, "the subject token was revoked", "Get a fresh subject token.";
        Unavailable: "subject.unavailable", TemporarilyUnavailable, 503, After(5), "the subject token's issuer cannot be reached", "Check the issuer's jwks_uri.";
    }
    /// The subject, its account or its tenant cannot be used.
    TargetError {
        NotFound: "target.not_found", InvalidRequest, 400, Never, "there is no such subject for this client", "Check the descriptor and the client's tenants.";
        AmbiguousAccount: "target.ambiguous_account", InvalidRequest, 400, Never, "the subject is in several accounts", "Add account_id, account_csp_id or sfdc_account_id.";
        ContradictoryAccount: "target.contradictory_account", InvalidRequest, 400, Never, "the account ids contradict each other", "Send ids of one account.";
        Inactive: "target.inactive", InvalidRequest, 400, Never, "the subject or its account is not active", "Enable it in the directory.";
        Protected: "target.protected", InvalidRequest, 400, Never, "the subject is protected", "Register the client with protected = true.";
        NoLiveKey: "target.no_live_key", InvalidRequest, 400, Never, "the host has no live API key", "Give the host an API key.";
        AmbiguousUser: "target.ambiguous_user", InvalidRequest, 400, Never, "the host's live API keys belong to different users", "Keep one user for a host's keys.";
        HostAccount: "target.host_account", InvalidRequest, 400, Never, "the host's user belongs to another account", "The user's primary account must be the host's.";
        Tenant: "target.tenant", InvalidRequest, 400, Never, "the client may not act in this tenant", "Add the tenant to the client's registration.";
        DirectoryUnavailable: "directory.unavailable", TemporarilyUnavailable, 503, After(5), "the directory cannot be asked", "Check the directory; /readyz says more.";
        StoreUnavailable: "store.unavailable", TemporarilyUnavailable, 503, After(5), "the store cannot be asked", "Check the store; /readyz says more.";
    }
    /// What is asked for may not be granted.
    GrantError {
        AudienceMissing: "audience.missing", InvalidTarget, 400, Never, "an audience is required", "Send audience or resource.";
        AudienceInvalid: "audience.invalid", InvalidTarget, 400, Never, "the audience or resource is not valid", "A resource is an absolute URI without fragment (RFC 8707).";
        AudienceNotAllowed: "audience.not_allowed", InvalidTarget, 400, Never, "this client may not ask for this audience", "Add the audience to the registration of the client, and of the step if one is named.";
        FlowUnsupported: "audience.flow", InvalidTarget, 400, Never, "the audience's flow is not supported", "Register the audience with flow = \"local\".";
        AudienceAlgorithms: "audience.algorithms", InvalidTarget, 400, Never, "tokens for these audiences are signed with different algorithms", "Ask for each audience by itself, or register them with one algorithm.";
        ScopeInvalid: "scope.invalid", InvalidScope, 400, Never, "the scope is not valid", "Send scope tokens of RFC 6749 section 3.3.";
        ScopeNotAllowed: "scope.not_allowed", InvalidScope, 400, Never, "a requested scope may not be granted", "Ask for less; the client's scope_mode is strict.";
        ScopeEmpty: "scope.empty", InvalidScope, 400, Never, "none of the requested scopes may be granted", "Ask for scopes that client, step, audience and subject share.";
        StepUnknown: "step.unknown", InvalidRequest, 400, Never, "the client has no such workflow step", "Name a step of the client's registration, or none.";
        NoLifetime: "ttl.none", InvalidRequest, 400, Never, "no lifetime is left to grant", "Get a fresh subject token or ask for at least a second.";
    }
    /// The policy did not permit.
    PolicyError {
        Denied: "policy.denied", InvalidRequest, 400, Never, "the policy denies this request", "The audit record names the rules.";
        StepUp: "policy.step_up", InsufficientUserAuthentication, 400, Never, "the user has to authenticate more strongly", "Authenticate with the acr that `acr` names and ask again.";
        Failed: "policy.error", InvalidRequest, 400, Never, "the policy could not decide", "The policy module answered with an error; the audit record has it.";
        Trapped: "policy.trapped", InvalidRequest, 400, Never, "the policy could not decide", "The policy module trapped or ran out of memory.";
        TimedOut: "policy.timed_out", InvalidRequest, 400, Never, "the policy could not decide", "The policy module exceeded its deadline.";
        TooLarge: "policy.too_large", InvalidRequest, 400, Never, "the policy could not decide", "The policy module's answer exceeds the limits.";
        Invalid: "policy.invalid", InvalidRequest, 400, Never, "the policy could not decide", "The policy module's answer is not valid.";
        Unavailable: "policy.unavailable", TemporarilyUnavailable, 503, After(5), "the policy cannot be asked", "Check the policy module; /readyz says more.";
    }
    /// Nothing was minted although it was permitted.
    MintError {
        PermitExpired: "permit.expired", InvalidRequest, 400, Never, "the permit has expired", "Ask again; a permit lives 30 seconds.";
        Refused: "mint.refused", ServerError, 500, Never, "the host refused to sign", "The audit record says what the host's own check found.";
        KeysUnavailable: "keys.unavailable", TemporarilyUnavailable, 503, After(5), "the signing key cannot be used", "Check the keys; /readyz says more.";
        AuditUnavailable: "audit.unavailable", TemporarilyUnavailable, 503, After(5), "the audit record cannot be written", "Check the audit log's disk; /readyz says more.";
    }
    /// The sandbox failed; the host answers.
    RuntimeError {
        Trapped: "runtime.trapped", ServerError, 500, Never, "the request could not be served", "The component trapped; the audit record has the cause.";
        TimedOut: "runtime.timed_out", TemporarilyUnavailable, 503, After(1), "the request took too long", "Raise [runtime] cpu if this is a normal request.";
        Overloaded: "runtime.overloaded", TemporarilyUnavailable, 503, After(1), "too many requests are in flight", "Slow down or raise max_in_flight.";
    }
}

/// A failure with what only an operator may know.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What went wrong.
    pub error: Error,
    /// The request's field it is about.
    pub field: Option<&'static str>,
    /// Why, for the audit record. Never a token or secret.
    pub cause: Option<String>,
    /// The `acr` a step-up asks for.
    pub acr: Option<String>,
    /// Rules that spoke.
    pub reasons: Vec<crate::ports::Reason>,
    /// After how many seconds to retry, where that is not as in the mapping.
    pub retry_after: Option<u32>,
}

impl<E: Into<Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self { error: error.into(), field: None, cause: None, acr: None, reasons: Vec::new(), retry_after: None }
    }
}

impl Problem {
    /// A problem with one field of the request.
    pub fn at(error: impl Into<Error>, field: &'static str) -> Self {
        Self { field: Some(field), ..Self::from(error.into()) }
    }

    /// Adds the cause for the audit record.
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Says when to retry.
    pub fn after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// Of an attempt that the component answered without recording it; only the host writes it.
pub const UNRECORDED: &str = "runtime.unrecorded";
/// Of a token that was recorded and then not signed; only the host writes it.
pub const NOT_RELEASED: &str = "mint.not_released";

/// Whether only the host gives this code: what the sandbox did, and what it did not record itself.
pub fn is_hosts_own(code: &str) -> bool {
    matches!(code, UNRECORDED | NOT_RELEASED) || RuntimeError::ALL.iter().any(|error| error.entry().code == code)
}

/// `docs/errors.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Errors\n\nEvery failure carries one of these codes. The text is fixed; what went wrong in detail stands in the audit record \
         under the answer's `correlation_id`. This page is made from the mapping in `guest/domain/src/error.rs`.\n\n\
         | code | OAuth error | status | retry | text | what to do |\n|---|---|---|---|---|---|\n",
    );
    for error in Error::all() {
        let Entry { code, oauth, status, retry, text, action } = error.entry();
        let retry = match retry {
            Never => "no".to_owned(),
            After(seconds) => format!("after {seconds} s"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{code}` | `{}` | {status} | {retry} | {text} | {action} |", oauth.name());
    }
    page.push_str(
        "\n`invalid_client` is answered 400 where the credential stood in the form, and 401 with a challenge otherwise (RFC 6749 section \
         5.2).\n",
    );
    let _ = write!(
        page,
        "\nTwo codes stand in the audit log only:\n\n| code | what it means |\n|---|---|\n\
         | `{UNRECORDED}` | the component answered an HTTP request or a dry run without recording it; the host did |\n\
         | `{NOT_RELEASED}` | cancels the earlier event of the same `jti` that announced a token: none was released |\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_texts_are_fixed_lowercase() {
        let mut seen = HashSet::new();
        for error in Error::all() {
            let entry = error.entry();
            assert!(seen.insert(entry.code), "{} stands twice", entry.code);
            assert!(entry.text.starts_with(|c: char| c.is_lowercase()) && !entry.text.ends_with('.'), "{}", entry.text);
            assert_eq!(matches!(entry.status, 429 | 503), matches!(entry.retry, After(_)), "{}", entry.code);
            // RFC 6749 §5.2: 400, but for a failed authentication, for what HTTP itself refuses and for what is our own fault.
            let ours = matches!(entry.oauth, OAuthError::ServerError | OAuthError::TemporarilyUnavailable);
            let http = matches!(entry.status, 404 | 405 | 413 | 415) && entry.code.starts_with("request.");
            let unproven = entry.oauth == OAuthError::InvalidClient && entry.status == 401;
            assert!(entry.status == 400 || ours || http || unproven, "{}: {}", entry.code, entry.status);
        }
    }

    #[test]
    fn the_page_is_the_mapping() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md")).unwrap_or_default();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md"), markdown()).unwrap();
        } else {
            assert!(page == markdown(), "docs/errors.md is stale: run `UPDATE_DOCS=1 cargo test -p standin-domain`");
        }
    }
}
