//! Standin mints on-behalf-of tokens at the edge.

pub mod approval;
pub mod audit;
pub mod bindings;
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
pub mod sqlite;
pub mod store;
