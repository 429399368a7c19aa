//! Rows, their bars, the table and the JSON file.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

/// What a row has to reach.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    /// A ratio of at most this.
    RatioAtMost(f64),
    /// A ratio of at least this.
    RatioAtLeast(f64),
    /// A value of at most this.
    ValueAtMost(f64),
}

/// One row of `target/bench.json`.
#[derive(Clone, Serialize)]
struct Row {
    name: String,
    /// `None` where it could not be measured.
    value: Option<f64>,
    unit: &'static str,
    ratio: Option<f64>,
    of: Option<&'static str>,
    #[serde(skip)]
    shown: Option<Shown>,
}

/// How a row stands in the table; rows without stand only in the file.
#[derive(Clone)]
struct Shown {
    bar: Option<Bar>,
    beside: String,
}

/// All rows.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a row; its ratio is to the value of the row `of`, which has to stand there already.
    pub(crate) fn add(&mut self, name: &str, value: f64, unit: &'static str, of: Option<&'static str>, bar: Option<Bar>) {
        self.add_beside(name, value, unit, of, bar, String::new());
    }

    /// The same with something beside it.
    pub(crate) fn add_beside(
        &mut self,
        name: &str,
        value: f64,
        unit: &'static str,
        of: Option<&'static str>,
        bar: Option<Bar>,
        beside: String,
    ) {
        let base = of.and_then(|of| self.rows.iter().find(|row| row.name == of));
        let ratio = base.and_then(|base| base.value).map(|base| value / base);
        self.rows.push(Row { name: name.to_owned(), value: Some(value), unit, ratio, of, shown: Some(Shown { bar, beside }) });
    }

    /// Adds a row that could not be measured, and why.
    pub(crate) fn add_absent(&mut self, name: &str, unit: &'static str, why: String) {
        let shown = Some(Shown { bar: None, beside: why });
        self.rows.push(Row { name: name.to_owned(), value: None, unit, ratio: None, of: None, shown });
    }

    /// Adds a row to the file only.
    pub(crate) fn add_detail(&mut self, name: String, value: f64, unit: &'static str) {
        self.rows.push(Row { name, value: Some(value), unit, ratio: None, of: None, shown: None });
    }

    /// Prints the table, and below it why a missed bar was missed.
    pub(crate) fn print(&self) {
        println!("{:<24} {:>12} {:<6} {:>7}  {:<12} beside", "row", "median", "unit", "ratio", "bar");
        for row in &self.rows {
            let Some(shown) = &row.shown else { continue };
            let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let bar = shown.bar.map(|bar| describe(bar, row)).unwrap_or_default();
            let value = row.value.map_or_else(|| "-".to_owned(), number);
            let line = format!("{:<24} {value:>12} {:<6} {ratio:>7}  {bar:<12} {}", row.name, row.unit, shown.beside);
            println!("{}", line.trim_end());
        }
        for row in &self.rows {
            if row.shown.as_ref().and_then(|shown| shown.bar).is_some_and(|bar| !is_met(bar, row)) {
                println!("\n{} misses its bar: {}", row.name, reason(&row.name));
            }
        }
    }

    /// Writes `target/bench.json`, beside the build.
    pub(crate) fn write(&self) -> anyhow::Result<PathBuf> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().context("the bench has no workspace")?.to_owned();
        let folder = root.join("target");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join("bench.json");
        let text = serde_json::to_string_pretty(&self.rows)?;
        std::fs::write(&file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
        Ok(PathBuf::from("target/bench.json"))
    }
}

/// Why a row misses its bar, as `perf record --call-graph dwarf` of the release build shows it; the rows `parts/` are measured in
/// the same run.
fn reason(row: &str) -> &'static str {
    match row.split_once('/').map(|(section, _)| section) {
        Some("pipeline") => {
            "of what a request costs beside the two signatures, which are the floor, a quarter is the component's own code, as much \
             values copied into and out of it, a third the host's check of what it is to sign and the audit event, the rest the \
             policy's evaluation; none of it in one place: no function has more than a fiftieth. A fresh sandbox adds what \
             `parts/core-sandbox`, and `parts/policy-fresh` over `parts/policy-reused`, show: half of it making instances, half clearing \
             them"
        }
        Some("http") => {
            "as in pipeline/, and beside it: every request is handed to a thread that computes and back (two wake-ups), so that whoever \
             asks next is seen meanwhile, and is not cut off by a hang-up; what was revoked is looked up twice in SQLite, by the \
             component and by the host, which does not take its word; the audit line is hashed and written (with fsync by a thread of \
             its own, two wake-ups a batch); headers and body are copied into the component and parsed there. The rows with \
             remembered signatures skip one verification, and nothing else"
        }
        Some("policy") => {
            "a fresh judgement is what the same row `-reused` has, and beside it making an instance and restoring the pages that it \
             wrote to; of a reused one about half is what `policy/cedar-native` has, the rest the same code as WebAssembly and the \
             question and the verdict copied across"
        }
        Some("fairness") => {
            "the victim waits for the request of the flood that computes as it comes, has the server's core together with the thread \
             that reads 600 sockets, and the driver's together with the flood's driver"
        }
        Some(_) | None if row == "swap-under-load" => {
            "while a module is swapped in, the cores that serve read it, compile it or map its image from the cache, make its first \
             instance and write the record of the change"
        }
        Some(_) | None => "no share of it was measured",
    }
}

fn is_met(bar: Bar, row: &Row) -> bool {
    match bar {
        Bar::RatioAtMost(most) => row.ratio.is_some_and(|ratio| ratio <= most),
        Bar::RatioAtLeast(least) => row.ratio.is_some_and(|ratio| ratio >= least),
        Bar::ValueAtMost(most) => row.value.is_some_and(|value| value <= most),
    }
}

fn describe(bar: Bar, row: &Row) -> String {
    let met = if is_met(bar, row) { "met" } else { "MISSED" };
    match bar {
        Bar::RatioAtMost(most) => format!("≤ {most} {met}"),
        Bar::RatioAtLeast(least) => format!("≥ {least} {met}"),
        Bar::ValueAtMost(most) => format!("≤ {most} {met}"),
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
