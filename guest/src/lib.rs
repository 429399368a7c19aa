//! The Standin component: on-behalf-of logic behind a WIT contract.

pub mod bindings;
