//! The engine as a whole.

mod facts;
mod loading;
mod peer;
mod suite;
mod verdicts;
