//! Over HTTP: `wrk` with 16 connections on one core, a server on the other, 256 subject tokens in turn, three interleaved runs. Beside
//! the floor and Standin the same job in hand-written Node, where there is one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::process::{self, DRIVER_CORE, Process};
use crate::table::{Bar, Table, median};
use crate::world::{self, FORM, Variant, World, basic};

const CONNECTIONS: &str = "16";
const RUNS: usize = 3;
/// What Node serves of what a fresh sandbox for each request does, which is to be 1.05 of it.
const NODE_AT_MOST: f64 = 0.952;
const WARM_UP: Duration = Duration::from_secs(1);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The job in Node.
const NODE: &str = include_str!("node.mjs");

/// Who serves.
#[derive(Clone, Copy)]
pub(crate) enum Server {
    Floor,
    Node,
    Standin(Variant),
}

/// One side.
struct Side {
    name: &'static str,
    server: Server,
    base: Option<&'static str>,
    bar: Option<Bar>,
    runs: Vec<Run>,
}

/// One run of one side.
struct Run {
    load: Load,
    cpu: f64,
    resident: f64,
}

/// What the driver says.
#[derive(Deserialize)]
struct Load {
    requests: f64,
    micros: f64,
    p50: f64,
    p99: f64,
    failed: f64,
}

fn sides() -> Vec<Side> {
    let side =
        |name, variant, bar| Side { name, server: Server::Standin(variant), base: Some("http/floor"), bar, runs: Vec::new() };
    let fresh = Variant::default();
    let at_least = |ratio| Some(Bar::RatioAtLeast(ratio));
    let mut sides = vec![
        Side { name: "http/floor", server: Server::Floor, base: None, bar: None, runs: Vec::new() },
        side("http/fresh", fresh, at_least(0.55)),
        side("http/reuse", Variant { reuse: true, ..fresh }, at_least(0.65)),
        side("http/reuse-repeat", Variant { reuse: true, remember: true, ..fresh }, at_least(0.9)),
        side("http/fresh-repeat", Variant { remember: true, ..fresh }, at_least(0.75)),
        side("http/fresh-fsync", Variant { fsync: true, ..fresh }, None),
    ];
    if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        let bar = Some(Bar::RatioAtMost(NODE_AT_MOST));
        sides.push(Side { name: "http/node", server: Server::Node, base: Some("http/fresh"), bar, runs: Vec::new() });
    } else {
        eprintln!("http/node is left out: there is no node");
    }
    sides
}

pub(crate) fn measure(table: &mut Table, length: Duration) -> anyhow::Result<()> {
    let world = World::new()?;
    std::fs::write(world.path("load.lua"), script(&world))?;
    let mut sides = sides();
    for _ in 0..RUNS {
        for side in &mut sides {
            let server = start(&world, side.server)?;
            drive(&world, &server, WARM_UP)?;
            let before = server.cpu_micros()?;
            let (load, resident) = drive(&world, &server, length)?;
            if load.failed > 0.0 || load.requests == 0.0 {
                bail!("{}: {} of {} requests were not answered with 200", side.name, load.failed, load.requests);
            }
            let cpu = (server.cpu_micros()? - before) / load.requests;
            side.runs.push(Run { load, cpu, resident });
        }
    }
    let of = |values: fn(&Run) -> f64, side: &Side| median(side.runs.iter().map(values).collect());
    for side in &sides {
        let rate = of(|run| run.load.requests / run.load.micros * 1e6, side);
        let (p50, p99) = (of(|run| run.load.p50, side), of(|run| run.load.p99, side));
        let (cpu, resident) = (of(|run| run.cpu, side), of(|run| run.resident, side));
        let beside = format!("p50 {p50:.0} µs  p99 {p99:.0} µs  cpu {cpu:.0} µs/req  {resident:.1} MiB");
        table.add_beside(side.name, rate, "req/s", side.base, side.bar, beside);
        for (what, value, unit) in [("p50", p50, "µs"), ("p99", p99, "µs"), ("cpu", cpu, "µs/req"), ("resident", resident, "MiB")]
        {
            table.add_detail(format!("{}/{what}", side.name), value, unit);
        }
    }
    let ours = sides.iter().filter(|side| matches!(side.server, Server::Standin(_)));
    let resident = ours.map(|side| of(|run| run.resident, side));
    table.add("resident-memory", resident.fold(0.0, f64::max), "MiB", None, Some(Bar::ValueAtMost(64.0)));
    Ok(())
}

/// Starts a server.
pub(crate) fn start(world: &World, server: Server) -> anyhow::Result<Process> {
    let folder = world.folder().to_str().context("the folder's name is not text")?.to_owned();
    match server {
        Server::Floor => Process::start(&std::env::current_exe()?, &["floor", &folder], &[]),
        Server::Node => {
            let program = world.path("node.mjs");
            std::fs::write(&program, NODE)?;
            std::fs::write(world.path("names.json"), world::names())?;
            let program = program.to_str().context("the folder's name is not text")?;
            Process::start(Path::new("node"), &[program, &folder, &world::secret_digest_hex()], &[])
        }
        Server::Standin(variant) => {
            let config = world.write_config("standin.toml", variant)?;
            let config = config.to_str().context("the folder's name is not text")?;
            Process::start(&process::standin()?, &["serve", "--config", config], &[("STANDIN_LOG", "warn")])
        }
    }
}

/// Loads a server; answers what the driver saw, and the most resident memory on the way.
fn drive(world: &World, server: &Process, length: Duration) -> anyhow::Result<(Load, f64)> {
    let mut command = Command::new("taskset");
    command.args(["-c", DRIVER_CORE, "wrk", "-t", "1", "-c", CONNECTIONS, "--latency", "--timeout", "10s"]);
    command.arg("-d").arg(format!("{}s", length.as_secs())).arg("-s").arg(world.path("load.lua"));
    command.arg(format!("http://{}/oauth2/token", server.address));
    let mut driver = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().context("cannot run wrk")?;
    let mut resident: f64 = 0.0;
    while driver.try_wait()?.is_none() {
        resident = resident.max(server.resident()?);
        std::thread::sleep(LOOK);
    }
    let output = driver.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|line| line.strip_prefix("LOAD ")).with_context(|| format!("wrk failed: {said}"))?;
    Ok((serde_json::from_str(line)?, resident))
}

pub(crate) fn script(world: &World) -> String {
    let tokens = world.path("tokens.txt");
    format!(
        r#"
local requests, next = {{}}, 0
function init(_)
  local headers = {{ ["Authorization"] = "{basic}", ["Content-Type"] = "application/x-www-form-urlencoded" }}
  for token in io.lines("{tokens}") do
    requests[#requests + 1] = wrk.format("POST", nil, headers, "{FORM}" .. token)
  end
end
function request()
  next = next % #requests + 1
  return requests[next]
end
function done(summary, latency, _)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('LOAD {{"requests":%d,"micros":%d,"p50":%d,"p99":%d,"failed":%d}}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
"#,
        basic = basic(),
        tokens = tokens.display(),
    )
}
