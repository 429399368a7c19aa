//! Measures Standin against the floor: the same job as one native function, and as a bare hyper server around that function.
//!
//! One run measures both sides, turn by turn, prints a table and writes `target/bench.json`. A bar that is missed stays in the
//! table, with its figure.

mod cold;
mod fairness;
mod floor;
mod growth;
mod http;
mod languages;
mod native;
mod parts;
mod pipeline;
mod policies;
mod process;
mod swap;
mod table;
mod world;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use standin::clock::{Clock as _, SystemClock};

use crate::table::Table;

/// The product's: both sides have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Which sections, and how long a load takes.
struct Options {
    sections: Vec<String>,
    seconds: u64,
}

const SECTIONS: [&str; 9] = ["pipeline", "parts", "policies", "languages", "swap", "http", "fairness", "cold", "growth"];
const USAGE: &str = "usage: standin-bench [--only SECTION]... [--seconds N]   (sections: pipeline, parts, policies, languages,\n       swap, http, fairness, cold, growth)";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options { sections: Vec::new(), seconds: 5 };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().context(USAGE);
        match argument.as_str() {
            "floor" => return floor::serve(Path::new(&value()?)),
            "victim" => return fairness::victim(&value()?, &value()?, &value()?),
            "--only" => options.sections.push(value()?),
            "--seconds" => options.seconds = value()?.parse().context(USAGE)?,
            _ => bail!(USAGE),
        }
    }
    if options.sections.iter().any(|section| !SECTIONS.contains(&section.as_str())) {
        bail!(USAGE);
    }
    measure(&options)
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let wanted = |section: &str| options.sections.is_empty() || options.sections.iter().any(|wanted| wanted == section);
    let clock = SystemClock::default();
    let mut table = Table::default();
    if wanted("pipeline") {
        pipeline::measure(&mut table)?;
    }
    if wanted("parts") {
        parts::measure(&mut table)?;
    }
    if wanted("policies") {
        policies::measure(&mut table)?;
    }
    if wanted("languages") {
        languages::measure(&mut table)?;
    }
    if wanted("swap") {
        swap::measure(&mut table)?;
    }
    if wanted("growth") {
        growth::measure(&mut table)?;
    }
    if wanted("http") {
        http::measure(&mut table, Duration::from_secs(options.seconds))?;
    }
    if wanted("fairness") {
        fairness::measure(&mut table, Duration::from_secs(options.seconds))?;
    }
    if wanted("cold") {
        cold::measure(&mut table)?;
    }
    table.print();
    let file = table.write()?;
    println!("\n{} written in {:.0} s", file.display(), clock.monotonic().as_secs_f64());
    Ok(())
}
