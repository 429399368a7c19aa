//! Standin mints on-behalf-of tokens at the edge.

pub mod approval;
pub mod audit;
pub mod bindings;
pub mod clock;
pub mod directory;
pub mod evidence;
pub mod http;
pub mod keys;
pub mod record;
pub mod registry;
pub mod store;
