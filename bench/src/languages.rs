//! Policies in languages that bring a runtime of their own: `policies/examples`, built here with their own tools.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use standin::engine::Isolation;
use standin::policy::PolicyLimits;

use crate::policies::judgement;
use crate::table::Table;

/// A row, and the folder of its module.
const ROWS: [(&str, &str); 2] = [("policy/js", "javascript"), ("policy/python", "python")];

const TIMES: usize = 300;

/// One judgement in a fresh sandbox; a row says why where there is no module to measure.
pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    for (row, folder) in ROWS {
        match module(folder) {
            Ok(wasm) => {
                // These rows have no bar: one that is slow on a busy machine is shown as slow.
                let limits = PolicyLimits { deadline: Duration::from_secs(5), ..PolicyLimits::default() };
                let judged = |isolation| judgement(&wasm, isolation, limits, TIMES);
                let (fresh, reused) = (judged(Isolation::Request)?, judged(Isolation::Reuse(u32::MAX))?);
                let beside = format!("reused {reused:.0} µs  {} KiB", wasm.len() / 1024);
                table.add_beside(row, fresh, "µs", None, None, beside);
            }
            Err(why) => table.add_absent(row, "µs", format!("not measured: {why:#}")),
        }
    }
    Ok(())
}

fn module(folder: &str) -> anyhow::Result<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/examples").join(folder);
    let made =
        Command::new("make").arg("--directory").arg(&folder).arg("office-hours.wasm").output().context("there is no make")?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr).trim().replace('\n', "; ");
        bail!("the module does not build: {said}");
    }
    Ok(std::fs::read(folder.join("office-hours.wasm"))?)
}
