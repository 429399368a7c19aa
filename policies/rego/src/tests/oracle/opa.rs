//! The oracle: Open Policy Agent itself, as a shared library from PyPI.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// A program, and what it is asked.
pub(super) struct Bundle {
    /// Policies by name.
    pub(super) modules: Vec<(String, String)>,
    /// The data document, as JSON.
    pub(super) data: String,
    /// Below `data`.
    pub(super) queries: Vec<String>,
    /// As JSON, each of them asked for every query.
    pub(super) inputs: Vec<String>,
}

/// What a query comes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// A value, as JSON.
    Value(Value),
    /// None.
    Undefined,
    /// A failure, or a program that does not compile.
    Error(String),
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers")
}

/// Where the library is.
pub(super) fn library() -> PathBuf {
    let library = peers().join("python_modules/opa_bindings/libopabridge.so");
    assert!(library.is_file(), "the OPA of PyPI is not installed: run `make peers`");
    library
}

/// For each bundle and each of its inputs what each query comes to.
pub(super) fn ask(bundles: &[Bundle]) -> Vec<Vec<Vec<Outcome>>> {
    library();
    let bundle = |bundle: &Bundle| {
        let modules: serde_json::Map<_, _> =
            bundle.modules.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
        json!({ "modules": modules, "data": bundle.data, "queries": bundle.queries, "inputs": bundle.inputs })
    };
    let question: Vec<Value> = bundles.iter().map(bundle).collect();
    let mut python = Command::new("python3");
    python.arg(peers().join("opa.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = python.spawn().unwrap();
    child.stdin.take().unwrap().write_all(json!(question).to_string().as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let answers: Vec<Vec<Vec<Value>>> = serde_json::from_slice(&stdout).unwrap();
    let outcome = |mut answer: Value| match (answer.get_mut("value").map(Value::take), answer.get("error")) {
        (Some(value), _) => Outcome::Value(value),
        (None, Some(error)) => Outcome::Error(error.to_string()),
        (None, None) => Outcome::Undefined,
    };
    let outcomes = |answers: Vec<Value>| answers.into_iter().map(outcome).collect();
    answers.into_iter().map(|inputs| inputs.into_iter().map(outcomes).collect()).collect()
}
