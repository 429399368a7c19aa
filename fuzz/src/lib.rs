//! What strangers and operators hand in, and what has to hold of it whatever it is.
//!
//! A module an input. Its `holds` takes any bytes, and panics where a property is broken. `make fuzz` looks for such bytes; what it found,
//! and what it began with, lies in `seeds/` and is tried again by `tests/seeds.rs` in `make test`.
//!
//! | module | what it is | who reads it |
//! |---|---|---|
//! | `form` | the form of a token request | the component, and the URL standard's reader |
//! | `json` | the body of `obo_mint` | the component, and serde_json |
//! | `authorization` | `Basic` and `Bearer` | the component and the host |
//! | `descriptor` | a subject by name | the component and the host |
//! | `jws` | a compact JWS | the host and the component |
//! | `token` | the claims of one that is rightly signed | the component and the host |
//! | `jwks` | a JWK set | the host, and RFC 7638 spelled out |
//! | `toml` | `standin.toml` | the host, twice |
//! | `directory` | a document of `directory import` | the host, and serde_json |
//! | `audit` | a line of the audit log | the host, what it wrote itself |
//! | `tape` | a recorded request | the host, and the component that hears it |
//! | `cedar`, `rego` | the sources of a policy | the engines; Rego also Open Policy Agent |
//!
//! Where there are two readers, they have to agree. Component and host are both native here, without the sandbox between them: see
//! `world`. The engines have a build each (features `cedar` and `rego`).

#![expect(clippy::panic, reason = "a property that does not hold ends the run")]
#![cfg_attr(
    any(feature = "host", feature = "rego"),
    expect(clippy::expect_used, reason = "a world that cannot be set up ends the run")
)]

#[cfg(feature = "host")]
pub mod audit;
#[cfg(feature = "host")]
pub mod authorization;
#[cfg(feature = "cedar")]
pub mod cedar;
#[cfg(feature = "host")]
pub mod descriptor;
#[cfg(feature = "host")]
pub mod directory;
#[cfg(feature = "host")]
pub mod form;
#[cfg(feature = "host")]
pub mod json;
#[cfg(feature = "host")]
pub mod jwks;
#[cfg(feature = "host")]
pub mod jws;
#[cfg(feature = "rego")]
pub mod rego;
#[cfg(any(feature = "cedar", feature = "rego"))]
mod sources;
#[cfg(feature = "host")]
pub mod tape;
#[cfg(feature = "host")]
pub mod token;
#[cfg(feature = "host")]
pub mod toml;
#[cfg(feature = "host")]
mod world;

/// What is fuzzed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the module, of the file in `fuzz_targets/` and of the folder in `seeds/`.
    pub name: &'static str,
    /// What has to hold.
    pub holds: fn(&[u8]),
}

macro_rules! targets {
    ($($feature:literal: $($name:ident),*;)*) => {
        /// All that these features build.
        pub const TARGETS: &[Target] = &[
            $($(#[cfg(feature = $feature)] Target { name: stringify!($name), holds: $name::holds },)*)*
        ];
    };
}

targets! {
    "host": audit, authorization, descriptor, directory, form, json, jwks, jws, tape, token, toml;
    "cedar": cedar;
    "rego": rego;
}
