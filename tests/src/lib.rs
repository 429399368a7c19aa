//! What the end-to-end tests share: a world in a temporary folder, an issuer of tokens, ports that stand still or fail.
//!
//! Every test runs the real component under wasmtime, with the real policy module, SQLite, key files and audit log, unless its
//! name says otherwise.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot set its world up ends")]

pub mod cedar;
pub mod hostile;
pub mod idp;
pub mod peer;
pub mod ports;
pub mod process;
pub mod requests;
pub mod tapes;
pub mod world;
pub mod zoo;

/// A component of the world `standin` that misbehaves as the request tells it; see `tests/guests/hostile`.
pub const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));
/// A policy module that misbehaves as the request tells it; see `tests/guests/policy-zoo`.
pub const ZOO: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/zoo.wasm"));
