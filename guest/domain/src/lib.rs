//! On-behalf-of logic: who may act for whom, where, with what scope and for how long. Pure: what it needs of the outside stands in
//! [`ports`]. The component puts its imports there; native programs may put anything.
//!
//! A request goes through [`pipeline`]: authenticate the caller ([`caller`]), find whom it acts for ([`target`]), ask the policy
//! and narrow ([`policy`]), mint ([`mint`]), record ([`audit`]), answer. [`endpoint`] puts HTTP in front of it; [`error`] maps every
//! failure to the wire. [`contract`] has the contract's values as plain types. [`chain`], [`claims`], [`facts`], [`flow`], [`id`], [`own`],
//! [`scope`], [`secret`] and [`tenant`] are leaf values, and hosts use them too.

pub mod audit;
pub mod caller;
pub mod chain;
pub mod claims;
pub mod contract;
pub mod endpoint;
pub mod error;
pub mod explain;
pub mod facts;
pub mod flow;
pub mod id;
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
