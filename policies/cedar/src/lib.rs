//! The Cedar engine for policies.
//!
//! [`Engine::load`] reads and checks a bundle once, when a module is packed; [`Engine::evaluate`] answers one request from what was
//! loaded and from nothing else: no clock, no randomness.
//!
//! | module | what it does |
//! |---|---|
//! | `fault` | why a bundle is not loaded, with file, line and column |
//! | `bundle` | which source is what |
//! | `schema` | the schema, and what of it a request has to fill |
//! | `value` | JSON facts as Cedar values, by the type the schema declares |
//! | `entities` | the bundle's own entities |
//! | `annotation` | limits and words on a policy |
//! | `rule` | policies, read and validated |
//! | `index` | which rules can match, by their scope |
//! | `request` | a question as Cedar's request and entities |
//! | `model` | question and verdict |
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
mod model;
mod request;
mod rule;
mod schema;
mod value;

#[cfg(target_family = "wasm")]
mod component;

#[cfg(test)]
mod tests;

pub use bundle::Source;
pub use engine::{Engine, Failure};
pub use fault::Fault;
pub use model::{Allowance, Attribute, Effect, Input, Party, Reason, Verdict};
pub use schema::BUILT_IN as BUILT_IN_SCHEMA;
