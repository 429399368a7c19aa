//! One client beside another that floods: the median of a single connection alone, and beside 600 connections of the other. The server
//! has one core, the two drivers share the other.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use standin::clock::{Clock as _, SystemClock};

use crate::http::{Server, script, start};
use crate::process::{DRIVER_CORE, Process};
use crate::table::{Bar, Table, median};
use crate::world::{FORM, Variant, World, basic_of};

/// The client whose requests are timed.
const VICTIM: &str = "svc-000001";
const FLOOD: &str = "600";
const RUNS: usize = 3;
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) fn measure(table: &mut Table, length: Duration) -> anyhow::Result<()> {
    let world = World::new()?;
    std::fs::write(world.path("load.lua"), script(&world))?;
    let (mut alone, mut beside, mut flooded) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let server = start(&world, Server::Standin(Variant { clients: 2, ..Variant::default() }))?;
        time(&world, &server, SETTLE)?;
        alone.push(time(&world, &server, length)?);
        let mut flood = Command::new("taskset");
        flood.args(["-c", DRIVER_CORE, "wrk", "-t", "1", "-c", FLOOD, "--latency", "--timeout", "30s"]);
        flood.arg("-d").arg(format!("{}s", (length + 2 * SETTLE).as_secs())).arg("-s").arg(world.path("load.lua"));
        flood.arg(format!("http://{}/oauth2/token", server.address));
        let flood = flood.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().context("cannot run wrk")?;
        std::thread::sleep(SETTLE);
        beside.push(time(&world, &server, length)?);
        let said = flood.wait_with_output()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let line = said.lines().find_map(|line| line.strip_prefix("LOAD ")).with_context(|| format!("wrk failed: {said}"))?;
        let load: serde_json::Value = serde_json::from_str(line)?;
        let failed = load.get("failed").and_then(serde_json::Value::as_u64).context("no count of failures of the flood")?;
        if failed > 0 {
            // What was refused did not keep the server from the other client.
            bail!("{failed} requests of the flood failed");
        }
        flooded.push(load.get("p50").and_then(serde_json::Value::as_f64).context("no median of the flood")?);
    }
    let note = format!("the other client's 600 connections: p50 {:.1} ms", median(flooded) / 1_000.0);
    table.add("fairness/alone", median(alone), "µs", None, None);
    table.add_beside("fairness/victim", median(beside), "µs", Some("fairness/alone"), Some(Bar::RatioAtMost(3.0)), note);
    Ok(())
}

/// The median of the victim's requests, in microseconds.
fn time(world: &World, server: &Process, length: Duration) -> anyhow::Result<f64> {
    let mut victim = Command::new("taskset");
    victim.args(["-c", DRIVER_CORE]).arg(std::env::current_exe()?).arg("victim");
    victim.arg(server.address.to_string()).arg(world.path("tokens.txt")).arg(length.as_secs().to_string());
    let output = victim.stderr(Stdio::inherit()).output().context("cannot run taskset")?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().with_context(|| format!("the victim failed: {said}"))
}

/// Asks over one connection, one request after the other; prints the median. Started as `standin-bench victim ADDRESS TOKENS SECONDS`.
pub(crate) fn victim(address: &str, tokens: &str, seconds: &str) -> anyhow::Result<()> {
    let (clock, length) = (SystemClock::default(), Duration::from_secs(seconds.parse()?));
    let tokens = std::fs::read_to_string(Path::new(tokens))?;
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut micros = Vec::new();
    for token in tokens.lines().cycle() {
        let body = format!("{FORM}{token}");
        let request = format!(
            "POST /oauth2/token HTTP/1.1\r\nhost: {address}\r\nauthorization: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            basic_of(VICTIM),
            body.len(),
        );
        let begun = clock.monotonic();
        writer.write_all(request.as_bytes())?;
        answered(&mut reader)?;
        micros.push(clock.monotonic().saturating_sub(begun).as_secs_f64() * 1e6);
        if clock.monotonic() >= length {
            break;
        }
    }
    println!("{}", median(micros));
    Ok(())
}

/// Reads one answer to its end; anything but a token ends the run.
fn answered(reader: &mut BufReader<TcpStream>) -> anyhow::Result<()> {
    let (mut status, mut length) = (String::new(), 0);
    reader.read_line(&mut status)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if !status.starts_with("HTTP/1.1 200") {
        bail!("{}: {}", status.trim_end(), String::from_utf8_lossy(&body));
    }
    Ok(())
}
