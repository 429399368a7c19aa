//! The Cedar engine for policies.
//!
//! [`Engine`] reads and checks a bundle once, when a module is packed, and answers each request from what was
//! loaded and from nothing else: no clock, no randomness.
//!
//! | module | what it does |
//! |---|---|
//! | `fault` | where Cedar's errors stand in a source |
//! | `bundle` | which source is what |
//! | `schema` | the schema, and what of it a request has to fill |
//! | `value` | JSON facts as Cedar values, by the type the schema declares |
//! | `entities` | the bundle's own entities |
//! | `annotation` | limits and words on a policy |
//! | `rule` | policies, read and validated |
//! | `index` | which rules can match, by their scope |
//! | `request` | a question as Cedar's request and entities |
//! | `engine` | all of it together |
//! | `component` | the exports of the component, no logic |
//!
//! Natively it is there with the feature `native` only, for its unit tests: see `Cargo.toml`.

#![cfg(any(target_family = "wasm", feature = "native"))]

mod annotation;
mod bundle;
mod engine;
mod entities;
mod fault;
mod index;
mod request;
mod rule;
mod schema;
mod value;

#[cfg(target_family = "wasm")]
mod component;

#[cfg(test)]
mod tests;

pub use engine::Engine;
pub use schema::BUILT_IN as BUILT_IN_SCHEMA;
