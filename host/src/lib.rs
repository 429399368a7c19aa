//! Standin mints on-behalf-of tokens at the edge: this crate hosts the component and gives it keys, directory, registry, HTTP,
//! store and audit log.
//!
//! [`Standin::builder`] puts one together; [`Standin::mint_on_behalf`] mints, [`Standin::handle`] answers HTTP requests, and
//! [`Standin::resolve_target`] begins the three steps one by one.
//!
//! The host does not trust the component. The imports write what they have seen proven into [`evidence`]; [`decision_point`] runs
//! the policy and keeps an [`approval`] only of what that evidence bears out; [`keys`] compares the claims with the approval,
//! has the [`record`] written to the [`audit`] log, and only then signs.

pub mod approval;
pub mod audit;
pub mod bindings;
mod builder;
pub mod clock;
pub mod config;
pub mod decision_point;
pub mod directory;
pub mod engine;
pub mod evidence;
pub mod http;
pub mod image;
pub mod keys;
pub mod policy;
pub mod record;
pub mod registry;
pub mod server;
pub mod sqlite;
mod standin;
mod state;
pub mod store;

pub use standin_guest::mint::JWT as JWT_TYPE;

pub use crate::bindings::{endpoint, obo, types};
pub use crate::builder::{AUDIT_SEAL, BuildError, Builder, COMPONENT, key_retention};
pub use crate::standin::{Decision, NotReady, Permit, Snapshot, Standin, Target, attribute};
