//! A line of an audit log, as whoever could write the file might have written it.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use standin::audit::past::{Held, PastDecisions};
use standin::audit::verify::{VerifyOptions, verify};
use standin::evidence::{Evidence, SeenDecision};
use standin::record::{self, past};
use standin::types::{Effect, Verdict};

/// What is read back of a line can be written and reads the same; a log of lines that follow each other is in order whatever the
/// events say; and one byte that is another is found.
pub fn holds(data: &[u8]) {
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let decisions = past::decisions(line);
    let whole = [line, b"\n"].concat();
    let mut log = PastDecisions::new(whole.as_slice());
    if let Ok(Some((1, held))) = log.next_line() {
        assert_eq!(decisions.is_ok(), matches!(held, Held::Decisions(_)));
    }
    for decision in decisions.unwrap_or_default() {
        reads_as_written(&decision);
    }
    let file = Scratch::new();
    file.write(data);
    let _report = verify(&file.0, &VerifyOptions::default());
    if let Ok(Value::Object(event)) = serde_json::from_slice(line) {
        is_in_order(&file, &event);
    }
}

fn reads_as_written(decision: &past::PastDecision) {
    let seen = SeenDecision {
        input: decision.input.clone(),
        left_out: Vec::new(),
        proven: true,
        module_digest: decision.policy.clone(),
        verdict: Some(Verdict { effect: Effect::Deny, reasons: Vec::new(), attributes: Vec::new() }),
        origin: None,
        refusal: None,
    };
    let mut evidence = Evidence::default();
    evidence.decided(Arc::new(seen));
    let event = record::attempt(&decision.correlation_id, &evidence, r#"{"outcome":"deny","code":"policy.denied"}"#);
    let written = event.expect("an event").json;
    let again = past::decisions(written.as_bytes()).expect("what was written reads");
    let said = |decision: &past::PastDecision| format!("{:?} {} {}", decision.input, decision.policy, decision.correlation_id);
    assert_eq!(again.iter().map(said).collect::<Vec<_>>(), [said(decision)]);
}

/// What the log itself says of a line, and lines that are something else than an event.
const OWN: [&str; 3] = ["seq", "time", "prev"];
const KINDS: [&str; 4] = ["checkpoint", "continued", "removed", "damage_accepted"];

fn is_in_order(file: &Scratch, event: &serde_json::Map<String, Value>) {
    let is_own = event.get("event").and_then(Value::as_str).is_some_and(|kind| KINDS.contains(&kind));
    if is_own || OWN.iter().any(|name| event.contains_key(*name)) || event.contains_key("file") {
        return;
    }
    let members = Value::Object(event.clone()).to_string();
    let members = members.strip_prefix('{').unwrap_or_default();
    let comma = if event.is_empty() { "" } else { "," };
    let (mut log, mut prev) = (String::new(), "0".repeat(64));
    for seq in 1..=2 {
        let line = format!("{{\"seq\":{seq},\"time\":\"2026-01-01T00:00:00.000000Z\",\"prev\":\"{prev}\"{comma}{members}");
        prev = digest(&SHA256, line.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        log += &line;
        log.push('\n');
    }
    file.write(log.as_bytes());
    let report = verify(&file.0, &VerifyOptions::default()).expect("a log that can be read");
    assert_eq!((report.lines, report.fault.as_ref()), (2, None), "{report}\n{log}");
    let mut bytes = log.into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'2').expect("a year");
    if let Some(byte) = bytes.get_mut(at) {
        *byte = b'1';
    }
    file.write(&bytes);
    let report = verify(&file.0, &VerifyOptions::default()).expect("a log that can be read");
    assert!(report.fault.is_some(), "{report}");
}

/// A file of this run alone.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        thread_local! {
            static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a temporary folder");
        }
        Self(FOLDER.with(|folder| folder.path().join("audit.jsonl")))
    }

    fn write(&self, bytes: &[u8]) {
        std::fs::write(&self.0, bytes).expect("a file");
    }
}
