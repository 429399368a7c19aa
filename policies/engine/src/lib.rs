//! What every policy engine is made of beside its language: sources and faults, question and verdict, words that limits are
//! written in, and the component's exports.
//!
//! | module | what it does |
//! |---|---|
//! | `source` | the files of a bundle, and their digest |
//! | `fault` | why a bundle is not loaded, with file, line and column |
//! | `model` | question and verdict |
//! | `word` | lifetimes, scopes, audiences and `acr`s as they are written |
//! | `testing` | the decision suite, for tests of engines |
//! | `holes` | what loading leaves in the memory of a component |
//! | `component` | an [`PolicyEngine`] as the exports of a component, no logic |

mod fault;
mod model;
mod source;
#[cfg(feature = "testing")]
pub mod testing;
mod word;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod component;
#[cfg(target_family = "wasm")]
mod holes;

pub use fault::Fault;
pub use model::{Allowance, Attribute, Effect, Failure, Input, Party, Reason, Verdict};
pub use source::{Source, digest};
pub use word::{is_scope_token, is_text, is_visible, seconds};

/// A bundle of policies that was loaded, in whatever language. `export_engine!` makes a component of it.
pub trait PolicyEngine: Sized {
    /// What the engine calls itself: `cedar`.
    const NAME: &'static str;

    /// The library inside, with its version.
    fn library() -> String;

    /// Reads and checks a bundle.
    ///
    /// # Errors
    /// Every fault that could be found, in the order of files and lines.
    fn load(sources: &[Source]) -> Result<Self, Vec<Fault>>;

    /// Lowercase hex SHA-256 of the sources.
    fn source_digest(&self) -> &str;

    /// The names of the rules, in the order of files and lines, as reasons name them.
    fn rule_names(&self) -> Vec<String>;

    /// Answers one request.
    ///
    /// # Errors
    /// Where there is no verdict, which denies.
    fn evaluate(&self, input: &Input) -> Result<Verdict, Failure>;
}
