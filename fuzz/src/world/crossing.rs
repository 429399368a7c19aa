//! The contract's values, from the host's types of them to the component's and back, as they cross the border of a sandbox.

mod guest {
    pub(super) use standin_domain::contract::HttpRequest;
    pub(super) use standin_domain::ports::*;
}

mod host {
    pub(super) use standin::bindings::decision_point::JudgeError;
    pub(super) use standin::bindings::directory::{
        Account, AccountKey, ApiKey, DirectoryError, Machine, MachineKey, State, User, UserKey,
    };
    pub(super) use standin::bindings::endpoint::HttpRequest;
    pub(super) use standin::bindings::keys::{KeyError, KeySource, Purpose, Verified};
    pub(super) use standin::bindings::registry::{
        Audience, Client, Issuer, IssuerRole, ScopeMode, Step, SubjectKind, SubjectMapping, System,
    };
    pub(super) use standin::bindings::types::{Allowance, Attribute, Certificate, Effect, Input, Party, Reason, Verdict};
}

/// The same value on the other side.
pub(crate) trait Cross<T> {
    /// Carries it over.
    fn cross(self) -> T;
}

macro_rules! themselves {
    ($($name:ty),*) => {$(
        impl Cross<$name> for $name {
            fn cross(self) -> $name {
                self
            }
        }
    )*};
}

macro_rules! records {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Cross<guest::$name> for host::$name {
            fn cross(self) -> guest::$name {
                let Self { $($field),* } = self;
                guest::$name { $($field: $field.cross()),* }
            }
        }

        impl Cross<host::$name> for guest::$name {
            fn cross(self) -> host::$name {
                let Self { $($field),* } = self;
                host::$name { $($field: $field.cross()),* }
            }
        }
    )*};
}

macro_rules! variants {
    ($($name:ident { $($bare:ident),*; $($full:ident),* })*) => {$(
        impl Cross<guest::$name> for host::$name {
            fn cross(self) -> guest::$name {
                match self {
                    $(Self::$bare => guest::$name::$bare,)*
                    $(Self::$full(value) => guest::$name::$full(value.cross()),)*
                }
            }
        }

        impl Cross<host::$name> for guest::$name {
            fn cross(self) -> host::$name {
                match self {
                    $(Self::$bare => host::$name::$bare,)*
                    $(Self::$full(value) => host::$name::$full(value.cross()),)*
                }
            }
        }
    )*};
}

themselves!(String, bool, u8, u32, u64, i64);

impl<A: Cross<B>, B> Cross<Vec<B>> for Vec<A> {
    fn cross(self) -> Vec<B> {
        self.into_iter().map(Cross::cross).collect()
    }
}

impl<A: Cross<B>, B> Cross<Option<B>> for Option<A> {
    fn cross(self) -> Option<B> {
        self.map(Cross::cross)
    }
}

impl<A: Cross<B>, B, E: Cross<F>, F> Cross<Result<B, F>> for Result<A, E> {
    fn cross(self) -> Result<B, F> {
        self.map(Cross::cross).map_err(Cross::cross)
    }
}

impl<A: Cross<C>, B: Cross<D>, C, D> Cross<(C, D)> for (A, B) {
    fn cross(self) -> (C, D) {
        (self.0.cross(), self.1.cross())
    }
}

records! {
    Attribute { name, value }
    Party { kind, id, tenants, provisional, attributes }
    Input { caller, subject, chain, tenant, audience, scope, ttl, flow, step, now, attributes }
    Allowance { scope, audience, ttl }
    Reason { rule, text }
    Verdict { effect, reasons, attributes }
    Certificate { thumbprint_s256, subject_dn, san_uris, attributes }
    HttpRequest { method, scheme, authority, path, query, headers, body, peer, certificate, correlation_id }
    Verified { issuer, id, key_thumbprint, alg, typ, claims }
    Account { id, tenant, csp_id, sfdc_account_id, state, attributes }
    User { id, email, accounts, primary_account, state, protected, scopes, attributes }
    ApiKey { id, user, state }
    Machine { id, ophid, account, api_keys, state, attributes }
    Step { name, scopes, audiences }
    Client {
        id, tenants, subjects, audiences, scopes, default_scopes, max_ttl, scope_mode, is_audience, cross_tenant, provisional_scopes,
        protected, attested, steps, attributes
    }
    Issuer { issuer, name, role, audiences, tenants, tenant_claim, mapping, scopes, scope_claims, types, attributes }
    Audience { id, flow, provider, scopes, max_ttl, tenants, unbound, attributes }
    System { issuer, default_ttl, max_ttl, max_chain, leeway, permit_ttl, max_token, max_depth, max_body, attributes }
}

variants! {
    Effect { Deny; Permit, StepUp }
    State { Active, Disabled, Pending; }
    SubjectKind { User, Host, Envoy, Token, Delegation, Caller; }
    ScopeMode { Narrow, Strict; }
    IssuerRole { Subject, Caller; }
    SubjectMapping { Namespaced, AsIs; Directory }
    AccountKey { ; Id, CspId, Sfdc }
    UserKey { ; Id, Email, External }
    MachineKey { ; Id, Ophid }
    DirectoryError { Unavailable; Other }
    Purpose { AccessToken, TransactionToken, IdJag, Introspection; }
    KeySource { SubjectIssuer, CallerIssuer; Client, InlineJwk }
    KeyError { UnknownKey, UnknownIssuer, BadSignature, Malformed, Algorithm, AuditFailed, Unavailable; Refused, Throttled, Other }
    JudgeError { Trapped, TimedOut, TooLarge, Invalid, Unavailable; Module, Other }
}
