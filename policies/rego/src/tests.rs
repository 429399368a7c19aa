//! The engine as a whole.

mod facts;
mod loading;
mod machine;
mod oracle;
mod peer;
mod places;
mod suite;
mod verdicts;
