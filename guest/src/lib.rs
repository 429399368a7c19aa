//! The Standin component: on-behalf-of logic behind a WIT contract.
//!
//! A request goes through [`pipeline`]: authenticate the caller ([`caller`]), find whom it acts for ([`target`]), ask the policy
//! and narrow ([`policy`]), mint ([`mint`]), record ([`audit`]), answer. [`endpoint`] puts HTTP in front of it; [`error`] maps every
//! failure to the wire. What it needs of the outside stands in [`ports`]; only inside a component are they the real imports.
//! [`chain`], [`claims`], [`facts`], [`id`], [`own`], [`scope`], [`secret`] and [`tenant`] are leaf values, and native programs may use
//! them too.

pub mod audit;
pub mod bindings;
pub mod caller;
pub mod chain;
pub mod claims;
#[cfg(target_family = "wasm")]
mod component;
pub mod endpoint;
pub mod error;
pub mod explain;
pub mod facts;
#[cfg(target_family = "wasm")]
mod heap;
pub mod id;
#[cfg(target_family = "wasm")]
mod imports;
pub mod mint;
pub mod own;
mod percent;
pub mod pipeline;
pub mod policy;
pub mod ports;
pub mod scope;
pub mod secret;
pub mod target;
pub mod tenant;
