//! What the end-to-end tests share: a world in a temporary folder, an issuer of tokens, ports that stand still or fail.
//!
//! Every test runs the real component under wasmtime, with the real policy module, SQLite, key files and audit log, unless its
//! name says otherwise.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot set its world up ends")]

pub mod idp;
pub mod ports;
pub mod requests;
pub mod world;
