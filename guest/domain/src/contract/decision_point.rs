//! Interface `decision-point`.

#[cfg(feature = "wasmtime")]
use serde::{Deserialize, Serialize};
#[cfg(feature = "wasmtime")]
use wasmtime::component::{ComponentType, Lift, Lower};

use super::causes;

/// Why there is no verdict. All of them deny.
#[derive(Clone)]
#[cfg_attr(feature = "wasmtime", derive(ComponentType, Lift, Lower, Serialize, Deserialize), component(variant))]
pub enum JudgeError {
    /// The module answered with an error.
    #[cfg_attr(feature = "wasmtime", component(name = "module"))]
    Module(String),
    /// It trapped.
    #[cfg_attr(feature = "wasmtime", component(name = "trapped"))]
    Trapped,
    /// It took too long.
    #[cfg_attr(feature = "wasmtime", component(name = "timed-out"))]
    TimedOut,
    /// The answer exceeds the host's limits.
    #[cfg_attr(feature = "wasmtime", component(name = "too-large"))]
    TooLarge,
    /// The answer contradicts itself or is not well formed.
    #[cfg_attr(feature = "wasmtime", component(name = "invalid"))]
    Invalid,
    /// No module can be asked.
    #[cfg_attr(feature = "wasmtime", component(name = "unavailable"))]
    Unavailable,
    /// What a later contract names.
    #[cfg_attr(feature = "wasmtime", component(name = "other"))]
    Other(Option<String>),
}

causes!(JudgeError { Trapped, TimedOut, TooLarge, Invalid, Unavailable; Module, Other });
