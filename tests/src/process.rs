//! `standin serve` in a process of its own: for what signals, limits of the system and sudden death do to it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::world::World;

/// The longest a line of its log is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running `standin serve`; it is killed when this goes.
pub struct Process {
    child: Child,
    address: String,
    said: Arc<Said>,
    read: usize,
}

/// What it wrote to standard error, and whether that is all.
#[derive(Default)]
struct Said {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Process {
    /// Serves the world's configuration on a port of loopback.
    pub fn start(world: &World) -> Self {
        Self::under("", world)
    }

    /// The same, after these commands of the shell that becomes the process: `ulimit …;`.
    pub fn under(limits: &str, world: &World) -> Self {
        Self::of(shell(limits), &world.path("standin.toml"))
    }

    /// The same of another configuration, by this command.
    pub fn of(command: Command, config: &Path) -> Self {
        let mut process = Self::starting(command, config);
        let line = process.wait_for("serving ");
        process.address = line.split_whitespace().nth(1).expect("an address").to_owned();
        process
    }

    /// The same as soon as there is a process: it may never serve.
    pub fn starting(mut command: Command, config: &Path) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(config);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process");
        let said = Arc::new(Said::default());
        let lines = BufReader::new(child.stderr.take().expect("standard error")).lines();
        std::thread::spawn({
            let said = Arc::clone(&said);
            move || said.listen(lines.map_while(Result::ok))
        });
        Self { child, address: String::new(), said, read: 0 }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A plain URL on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next line of its log with this in it, behind the last one that was waited for.
    pub fn wait_for(&mut self, text: &str) -> String {
        let from = self.read;
        let sought =
            |lines: &[String]| lines.iter().enumerate().skip(from).find(|(_, line)| line.contains(text)).map(|(at, _)| at);
        let lines = self.said.lines.lock().expect("unpoisoned");
        let waiting = |(lines, ended): &mut (Vec<String>, bool)| sought(lines).is_none() && !*ended;
        let (lines, _) = self.said.more.wait_timeout_while(lines, PATIENCE, waiting).expect("unpoisoned");
        let Some(at) = sought(&lines.0) else { panic!("it does not say {text:?}: {:?}", lines.0) };
        self.read = at + 1;
        lines.0.get(at).cloned().unwrap_or_default()
    }

    /// What it has written to its log so far.
    pub fn log(&self) -> Vec<String> {
        self.said.lines.lock().expect("unpoisoned").0.clone()
    }

    /// Sends a signal: `HUP`, `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success(), "{name} was not delivered");
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM: it finishes what is in flight and closes the log.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().expect("it ends")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone, mostly.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    /// Whatever it says is read, so that it never waits for a reader.
    fn listen(&self, lines: impl Iterator<Item = String>) {
        for line in lines {
            self.lines.lock().expect("unpoisoned").0.push(line);
            self.more.notify_all();
        }
        self.lines.lock().expect("unpoisoned").1 = true;
        self.more.notify_all();
    }
}

/// The command, begun by a shell that sets these limits first; without its environment's own settings.
pub fn shell(limits: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{limits} exec \"$0\" \"$@\""))
        .arg(binary())
        .env_remove("STANDIN_LOG")
        .env_remove("STANDIN_CONFIG");
    command
}

/// The command, which keeps what it compiles beside itself and not in the home of whoever runs the tests.
pub fn command() -> Command {
    let binary = binary();
    let mut command = Command::new(&binary);
    command.env("XDG_CACHE_HOME", binary.with_file_name("caches"));
    command
}

/// The command beside this test's own program, `<target>/<profile>/standin`; `make test` builds it before it runs any test.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a program");
    let profile = test.ancestors().find(|folder| folder.join("deps").is_dir()).expect("a target folder");
    let binary = profile.join("standin");
    assert!(binary.is_file(), "there is no {}: cargo build --workspace --all-targets makes it", binary.display());
    binary
}
