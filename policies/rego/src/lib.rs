//! The Rego engine for policies.
//!
//! [`Engine`] reads and checks a bundle once, when a module is packed, and answers each request from what was loaded and
//! from nothing else: no clock, no randomness, no network.
//!
//! | module | what it does |
//! |---|---|
//! | `bundle` | which source is what, and the data document |
//! | `fault` | where regorus's errors stand in a source |
//! | `check` | what is wrong with a policy that compiles |
//! | `arithmetic` | arithmetic and order that regorus has as OPA has it |
//! | `builtins` | which builtins policies may call, and how they are held to what OPA says |
//! | `packages` | packages that decide nothing |
//! | `misread` | what regorus would read otherwise than OPA does |
//! | `names` | what the names of a package stand for |
//! | `nesting` | brackets in brackets |
//! | `negation` | `not` of what is not there |
//! | `syntax` | references as they are written down |
//! | `visit` | everything that stands in a rule |
//! | `program` | policies as a program, and what runs it |
//! | `places` | computed parts of references |
//! | `plain` | what the virtual machine reads as the interpreter does |
//! | `machine` | regorus's virtual machine, for what cannot fail |
//! | `interpreter` | regorus's interpreter, for everything else |
//! | `document` | a question as the input document |
//! | `answer` | what the rules say as a verdict |
//! | `engine` | all of it together |
//! | `component` | the exports of the component, no logic |
//!
//! Natively it is there with the feature `native` only, for its unit tests: see `Cargo.toml`.

#![cfg(any(target_family = "wasm", feature = "native"))]

mod answer;
mod arithmetic;
mod builtins;
mod bundle;
mod check;
mod document;
mod engine;
mod fault;
mod interpreter;
mod machine;
mod misread;
mod names;
mod negation;
mod nesting;
mod packages;
mod places;
mod plain;
mod program;
mod syntax;
mod visit;

#[cfg(target_family = "wasm")]
mod component;

#[cfg(test)]
mod tests;

pub use engine::Engine;
