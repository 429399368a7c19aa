//! A loaded bundle, and its answer to one request.

use standin_policy_engine::{Failure, Fault, Input, PolicyEngine, Source, Verdict, digest};

use crate::answer::{Answer, AnswerError};
use crate::bundle::Bundle;
use crate::document::{self, DocumentError};
use crate::program::{self, Program};
use crate::{check, fault};

impl From<DocumentError> for Failure {
    fn from(why: DocumentError) -> Self {
        Self::new(why.to_string())
    }
}

impl From<AnswerError> for Failure {
    fn from(why: AnswerError) -> Self {
        Self::new(why.to_string())
    }
}

/// A bundle, read, checked and ready.
#[derive(Debug)]
pub struct Engine {
    program: Program,
    /// The rules that are asked, in the order of their answers.
    asked: Vec<&'static str>,
    rules: Vec<String>,
    digest: String,
}

impl PolicyEngine for Engine {
    const NAME: &'static str = "rego";

    fn library() -> String {
        format!("regorus {REGORUS}")
    }

    /// Reads a bundle: `*.rego` and `data.json`.
    fn load(sources: &[Source]) -> Result<Self, Vec<Fault>> {
        let bundle = Bundle::of(sources)?;
        let policies = &bundle.policies;
        let parsed = program::parse(policies)?;
        let one = |why: &dyn std::fmt::Display| vec![fault::of(policies, why)];
        let checked = check::check(&parsed.modules, policies, &bundle.data)?;
        let program = Program::of(parsed, &checked.declared, bundle.data).map_err(|why| one(&why))?;
        let engine = Self { program, asked: checked.declared, rules: checked.rules, digest: digest(sources) };
        // Whatever is built lazily is built now, and is in the snapshot.
        let _verdict = engine.evaluate(&Input::rehearsal());
        Ok(engine)
    }

    fn source_digest(&self) -> &str {
        &self.digest
    }

    fn rule_names(&self) -> Vec<String> {
        self.rules.clone()
    }

    /// It fails where the question is none, a fact is not of its type, any rule fails or says what is not of its type.
    fn evaluate(&self, input: &Input) -> Result<Verdict, Failure> {
        let values = self.program.run(document::of(input)?, self.asked.len())?;
        Ok(Answer::of(&self.asked, &values).verdict(input)?)
    }
}

/// The version of regorus that is built in; a test holds it against the lock file.
const REGORUS: &str = "0.14.1";
