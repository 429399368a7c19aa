//! What any host of Standin has to know and to check, whatever it runs on: natively below wasmtime, or compiled to WebAssembly beside the
//! component. Nothing here waits, opens files or talks to anybody; time, randomness and the registrations are ports ([`clock`], [`registry`]).
//!
//! A host's imports note in [`evidence`] what they have seen proven of what a request carries ([`presented`]). [`approval`] believes that
//! alone: it examines the question to the policy, keeps what is left of a permit, and compares the claims with it. [`record`] is what the
//! audit log says of all that. Questions and verdicts have [`limits`].

pub mod address;
pub mod approval;
pub mod claimed;
pub mod clock;
pub mod evidence;
pub mod hex;
pub mod json;
pub mod limits;
pub mod peer;
pub mod presented;
pub mod record;
pub mod registry;
