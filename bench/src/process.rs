//! Servers as processes, pinned to a core, and what the system knows of them.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

/// The core of the server.
pub(crate) const SERVER_CORE: &str = "0";
/// The core of the driver.
pub(crate) const DRIVER_CORE: &str = "1";

/// A server; it is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts a program on the server's core and waits until it says where it serves.
    pub(crate) fn start(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", SERVER_CORE]).arg(program).args(arguments).envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot run taskset")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        let address = loop {
            let Some(line) = lines.next().transpose()? else { bail!("{} did not serve: {said}", program.display()) };
            if let Some(address) = line.strip_prefix("serving ").and_then(|rest| rest.split(' ').next()) {
                break address.parse().context("not an address")?;
            }
            said = line;
        };
        // What it says from now on must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("  {line}")));
        Ok(Self { child, address })
    }

    /// CPU time so far, in microseconds.
    pub(crate) fn cpu_micros(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // proc(5): utime and stime are fields 14 and 15; the command's name, field 2, may contain blanks and ends with `)`.
        let fields: Vec<&str> = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok());
        let (user, system) = ticks(14).zip(ticks(15)).context("cannot read /proc/PID/stat")?;
        // USER_HZ is 100 on every Linux architecture we build for.
        Ok((user + system) * 10_000.0)
    }

    /// Resident memory, in MiB.
    pub(crate) fn resident(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("cannot read /proc/PID/status")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(|_| ())) {
            eprintln!("cannot stop a server: {error}");
        }
    }
}

/// The release binary beside this one.
pub(crate) fn standin() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.with_file_name("standin");
    if !program.is_file() {
        bail!("there is no {}: use `make bench`, which builds it", program.display());
    }
    Ok(program)
}
