//! `standin replay FOLDER`: every tape of it, and the sum.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use standin::decision_point::Judge;
use standin::replay::{Decided, Replayer};
use standin::tape::TapeKey;
use standin::tape::file::Opened;

use crate::cli::out::{plain, say};
use crate::cli::{print_json, term};

/// The most tapes of one folder: as many as a server may keep, of callers and of strangers.
const MAX_TAPES: usize = 200_000;

/// What became of one tape.
enum Told {
    /// Everything as it was.
    Same,
    /// No policy was asked, then as now.
    Unasked,
    /// Another outcome: what was decided, and what would have been.
    Changed(String, String),
    /// The component asked otherwise, or answered otherwise.
    Differs(String),
    /// It could not be run.
    Failed(String),
}

impl Told {
    /// Whether nothing would have come out otherwise.
    fn is_same(&self) -> bool {
        matches!(self, Self::Same | Self::Unasked)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Unasked => "unasked",
            Self::Changed(..) => "changed",
            Self::Differs(_) => "differs",
            Self::Failed(_) => "failed",
        }
    }
}

/// The sum.
#[derive(Default)]
struct Sum {
    tapes: usize,
    counts: BTreeMap<&'static str, usize>,
    changes: BTreeMap<(String, String), usize>,
    others: usize,
    /// Of each tape that is not the same, for JSON.
    details: Vec<Value>,
}

/// Runs every tape; answers whether all of it was, or would have been, the same.
pub(super) async fn replay(
    folder: &Path,
    key: &TapeKey,
    replayer: &Replayer,
    judge: Option<Arc<dyn Judge>>,
    as_json: bool,
) -> anyhow::Result<bool> {
    let tapes = tapes(folder)?;
    if tapes.is_empty() {
        bail!("{} holds no tapes", folder.display());
    }
    let mut sum = Sum::default();
    let mut same = true;
    for path in &tapes {
        let told = match Opened::read(path, key) {
            Ok(tape) => {
                sum.others += usize::from(tape.header().component != replayer.component());
                one(&tape, replayer, judge.clone()).await
            }
            Err(error) => Told::Failed(error.to_string()),
        };
        same &= told.is_same();
        sum.add(path, told, as_json)?;
    }
    sum.show(as_json, replayer.component())?;
    Ok(same)
}

async fn one(tape: &Opened, replayer: &Replayer, judge: Option<Arc<dyn Judge>>) -> Told {
    let Some(judge) = judge else {
        return match replayer.replay(tape).await {
            Ok(replayed) if replayed.same => Told::Same,
            Ok(replayed) => match replayed.divergence {
                Some(divergence) => Told::Differs(format!("at question {} of {}", divergence.at, replayed.questions)),
                None => Told::Differs("another outcome".to_owned()),
            },
            Err(error) => Told::Failed(error.to_string()),
        };
    };
    match replayer.what_if(tape, judge).await {
        Ok(what_if) => match (&what_if.divergence, &what_if.would) {
            (Some(divergence), _) => Told::Differs(format!("at question {}", divergence.at)),
            (None, Some(would)) if what_if.changed => Told::Changed(outcome(&what_if.decided), outcome(would)),
            (None, Some(_) | None) if what_if.asked => Told::Same,
            (None, Some(_) | None) => Told::Unasked,
        },
        Err(error) => Told::Failed(error.to_string()),
    }
}

/// In a word or two: `permit`, `deny policy.denied`.
fn outcome(decided: &Decided) -> String {
    let code = decided.failure.as_ref().and_then(|failure| failure.get("code")).and_then(Value::as_str);
    code.map_or_else(|| decided.outcome.to_owned(), |code| format!("{} {code}", decided.outcome))
}

impl Sum {
    fn add(&mut self, path: &Path, told: Told, as_json: bool) -> anyhow::Result<()> {
        self.tapes += 1;
        *self.counts.entry(told.name()).or_default() += 1;
        let what = match &told {
            Told::Same | Told::Unasked => return Ok(()),
            Told::Changed(from, to) => {
                *self.changes.entry((from.clone(), to.clone())).or_default() += 1;
                format!("{from} -> {to}")
            }
            Told::Differs(what) | Told::Failed(what) => what.clone(),
        };
        if as_json {
            self.details.push(json!({ "file": path, "result": told.name(), "what": what }));
            return Ok(());
        }
        let name = term::Stream::Out.red(&format!("{:<8}", told.name()));
        Ok(say!("{name} {}: {}", plain(&path.display().to_string()), plain(&what))?)
    }

    fn show(&self, as_json: bool, component: &str) -> anyhow::Result<()> {
        if as_json {
            let changes = self.changes.iter().map(|((from, to), tapes)| json!({ "from": from, "to": to, "tapes": tapes }));
            let count = |name| self.counts.get(name).copied().unwrap_or_default();
            return print_json(&json!({
                "component": component, "tapes": self.tapes, "other_component": self.others, "same": count("same"),
                "unasked": count("unasked"), "changed": count("changed"), "differs": count("differs"), "failed": count("failed"),
                "changes": changes.collect::<Vec<_>>(), "details": self.details,
            }));
        }
        let noun = if self.tapes == 1 { "tape" } else { "tapes" };
        let counts: Vec<String> = self.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        say!("{} {noun}: {}", term::Stream::Out.bold(&self.tapes.to_string()), counts.join(", "))?;
        for ((from, to), count) in &self.changes {
            say!("  {count} {from} -> {to}")?;
        }
        if self.others > 0 {
            say!("  {} recorded with another component", self.others)?;
        }
        Ok(())
    }
}

/// The tapes, the oldest first: their names begin with the time.
fn tapes(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read the folder {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "tape") {
            found.push(path);
        }
        if found.len() > MAX_TAPES {
            bail!("{} holds more than {MAX_TAPES} tapes", folder.display());
        }
    }
    found.sort();
    Ok(found)
}
