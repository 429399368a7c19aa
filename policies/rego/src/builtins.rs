//! The builtins: which of them policies may call, and how it is made sure that they say what Open Policy Agent says.
//!
//! Each of regorus's is called through [`call`], which looks at the arguments first: what the two do not read alike, or what nobody has
//! compared, is an error, and an error denies. The tests hold every one of them against Open Policy Agent itself, and write the list of
//! `docs/rego.md`.

mod arguments;
mod globs;
mod kinds;
mod numbers;
mod ours;
mod printing;
mod regex;
mod table;

use regorus::unstable::{BUILTINS, Expr, Ref, Span};
use regorus::{Engine, Source, Value};

pub(crate) use arguments::literal;
use kinds::Kind;
pub(crate) use numbers::{exact, inexact};
pub(crate) use table::{REFUSED, TAKEN};

/// Why there is no value: the two could differ.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unlike {
    /// An argument of another type.
    #[error("argument {0} is not {1}")]
    Kind(usize, &'static str),
    /// An argument of which they read something otherwise.
    #[error("{0}")]
    Limit(&'static str),
    /// Not so many arguments, or not what was looked at.
    #[error("the arguments are not those that are taken")]
    Form,
    /// There is no value, and so there is none here.
    #[error("{0}")]
    Failed(String),
}

/// Who answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// regorus, whatever the arguments are.
    Theirs,
    /// regorus, where the arguments pass.
    Within(fn(&[Value]) -> Result<(), Unlike>),
    /// This crate.
    Ours(fn(&[Value]) -> Result<Value, Unlike>),
}

/// A builtin that policies may call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    takes: &'static [Kind],
    answer: Answer,
    /// What is taken, beyond the types; empty where that is all.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is what the page says, which the tests write"))]
    pub(crate) limits: &'static str,
}

impl Builtin {
    pub(crate) fn arguments(&self) -> usize {
        self.takes.len()
    }

    /// What it says of these arguments.
    pub(crate) fn call(&self, arguments: &[Value]) -> Result<Value, Unlike> {
        if arguments.len() != self.takes.len() {
            return Err(Unlike::Form);
        }
        let wrong = self.takes.iter().zip(arguments).zip(1..).find(|((kind, value), _)| !kind.is(value));
        if let Some(((kind, _), place)) = wrong {
            return Err(Unlike::Kind(place, kind.expected()));
        }
        let answer = match self.answer {
            Answer::Theirs => theirs(self.name, arguments),
            Answer::Within(passes) => passes(arguments).and_then(|()| theirs(self.name, arguments)),
            Answer::Ours(answer) => answer(arguments),
        }?;
        // What has no value would be negated without a word.
        if answer == Value::Undefined && !EMPTY.contains(&self.name) {
            return Err(Unlike::Failed("there is no value".to_owned()));
        }
        Ok(answer)
    }
}

/// The builtins that have no value of what is empty. Of any others there is one, or they fail.
pub(crate) const EMPTY: [&str; 2] = ["max", "min"];

/// The builtin of a name, where policies may call it.
pub(crate) fn taken(name: &str) -> Option<&'static Builtin> {
    TAKEN.iter().find(|builtin| builtin.name == name)
}

/// Whether it is the name of a builtin, taken or not.
pub(crate) fn is_name(name: &str) -> bool {
    name == "walk" || taken(name).is_some() || REFUSED.iter().any(|(known, _)| *known == name)
}

/// Whether names of builtins begin so: `time` of `time.clock`.
pub(crate) fn is_family(name: &str) -> bool {
    let within = |builtin: &str| builtin.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    TAKEN.iter().any(|builtin| within(builtin.name)) || REFUSED.iter().any(|(known, _)| within(known))
}

/// Puts each of them in the place of regorus's.
pub(crate) fn install(engine: &mut Engine) -> anyhow::Result<()> {
    for builtin in TAKEN {
        let arguments = u8::try_from(builtin.arguments())?;
        let call =
            move |arguments: Vec<Value>| builtin.call(&arguments).map_err(|why| anyhow::anyhow!("`{}`: {why}", builtin.name));
        engine.add_extension(builtin.name.to_owned(), arguments, Box::new(call))?;
    }
    Ok(())
}

/// What regorus says.
fn theirs(name: &str, arguments: &[Value]) -> Result<Value, Unlike> {
    let (builtin, _) = BUILTINS.get(name).ok_or(Unlike::Form)?;
    let failed = |why: anyhow::Error| Unlike::Failed(crate::fault::brief(&why));
    // They say where they fail; the place that counts is that of the call, which the interpreter adds.
    let source = Source::from_contents(String::new(), String::new()).map_err(failed)?;
    let span = Span { source, line: 1, col: 1, start: 0, end: 0 };
    let nothing = || Ref::new(Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 });
    let places: Vec<Ref<Expr>> = arguments.iter().map(|_| nothing()).collect();
    builtin(&span, &places, arguments, true).map_err(failed)
}
