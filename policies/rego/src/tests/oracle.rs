//! Open Policy Agent itself is asked what regorus is asked.

mod builtins;
mod calls;
mod chance;
mod opa;
mod policies;
mod pools;
mod term;
