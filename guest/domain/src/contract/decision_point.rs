//! Interface `decision-point`.

use super::causes;

/// Why there is no verdict. All of them deny.
#[derive(Clone)]
pub enum JudgeError {
    /// The module answered with an error.
    Module(String),
    /// It trapped.
    Trapped,
    /// It took too long.
    TimedOut,
    /// The answer exceeds the host's limits.
    TooLarge,
    /// The answer contradicts itself or is not well formed.
    Invalid,
    /// No module can be asked.
    Unavailable,
    /// What a later contract names.
    Other(Option<String>),
}

causes!(JudgeError { Trapped, TimedOut, TooLarge, Invalid, Unavailable; Module, Other });
