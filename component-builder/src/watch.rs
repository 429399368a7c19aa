//! A word for whoever waits: cargo shows nothing of what a build script prints before it has ended, and some components take minutes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::process::parent_id;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// Runs a command to its end. Where cargo itself shows on a terminal what it is doing, it is told there every few seconds what is being built.
pub(crate) fn output(mut command: Command, what: &str) -> io::Result<Output> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (sender, ended) = channel();
    thread::Builder::new().spawn(move || sender.send(child.wait_with_output()).ok())?;
    let mut terminal = terminal();
    for waited in 0_u64.. {
        match ended.recv_timeout(EVERY) {
            Ok(output) => return output,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => tell(terminal.as_mut(), what, (waited + 1) * EVERY.as_secs()),
        }
    }
    Err(io::Error::other("its end was not seen"))
}

/// Where cargo shows its progress. Not simply the terminal that this runs under: an editor that has a build checked draws its own screen on it.
fn terminal() -> Option<File> {
    let path = fs::read_link(format!("/proc/{}/fd/2", parent_id())).ok()?;
    // What else stands there, such as a pipe, could hold up whoever opens it.
    let terminal = path.starts_with("/dev/").then(|| OpenOptions::new().write(true).open(path).ok())??;
    terminal.is_terminal().then_some(terminal)
}

fn tell(terminal: Option<&mut File>, what: &str, seconds: u64) {
    if let Some(terminal) = terminal {
        // Over cargo's own line, which it draws again below. Where that fails there is nobody to be told.
        let _ = writeln!(terminal, "\r\x1b[K   Component {what} ({seconds} s)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commands_end_and_what_it_said_come_back() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let output = output(command, "a test").unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        assert!(super::output(Command::new("/nonexistent/command"), "a test").is_err());
    }
}
