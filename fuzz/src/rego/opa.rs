//! Open Policy Agent itself, in a process that stays: it shares no code with ours.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::{Map, Value, json};

/// What a rule comes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// A value.
    Value(Value),
    /// None.
    Undefined,
    /// A failure.
    Failed(String),
}

struct Agent {
    _process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

static AGENT: LazyLock<Mutex<Agent>> = LazyLock::new(|| Mutex::new(Agent::start()));

/// What each of these rules of `package standin` comes to for each document; none where the policies are none for it, which nobody wrote
/// for it then.
pub(super) fn ask(modules: &Map<String, Value>, data: &Value, rules: &[&str], documents: &[Value]) -> Option<Vec<Vec<Outcome>>> {
    let queries: Vec<_> = rules.iter().map(|rule| format!("standin.{rule}")).collect();
    let inputs: Vec<_> = documents.iter().map(Value::to_string).collect();
    let question = json!([{ "modules": modules, "data": data.to_string(), "queries": queries, "inputs": inputs }]);
    let answer = AGENT.lock().unwrap_or_else(PoisonError::into_inner).ask(&question);
    let answers = answer.pointer("/0").and_then(Value::as_array).unwrap_or_else(|| panic!("no answer: {answer}"));
    let outcomes = |answers: &Value| answers.as_array().into_iter().flatten().map(outcome).collect::<Vec<_>>();
    let outcomes: Vec<_> = answers.iter().map(outcomes).collect();
    let is_no_policy = |outcome: &Outcome| matches!(outcome, Outcome::Failed(why) if why.contains("rego_"));
    (!outcomes.iter().flatten().any(is_no_policy)).then_some(outcomes)
}

fn outcome(answer: &Value) -> Outcome {
    match (answer.get("value"), answer.get("error")) {
        (Some(value), _) => Outcome::Value(value.clone()),
        (None, Some(error)) => Outcome::Failed(error.to_string()),
        (None, None) => Outcome::Undefined,
    }
}

impl Agent {
    fn start() -> Self {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers");
        let library = peers.join("python_modules/opa_bindings/libopabridge.so");
        assert!(library.is_file(), "the OPA of PyPI is not installed: run `make peers`");
        let mut python = Command::new("python3");
        let python = python.arg(peers.join("opa.py")).arg("--lines").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().expect("python3 starts");
        let (questions, answers) = child.stdin.take().zip(child.stdout.take()).expect("pipes");
        Self { _process: child, questions, answers: BufReader::new(answers) }
    }

    /// A line each.
    fn ask(&mut self, question: &Value) -> Value {
        let mut answer = String::new();
        self.questions.write_all(format!("{question}\n").as_bytes()).expect("it listens");
        self.answers.read_line(&mut answer).expect("it answers");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}
