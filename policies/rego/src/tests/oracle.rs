//! Open Policy Agent itself is asked what regorus is asked.

mod builtins;
mod calls;
mod chance;
mod letters;
mod opa;
mod policies;
mod pools;
mod term;
