//! What builds and tests show of themselves, and that they end as what they run did.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rstest::rstest;

/// One of the scripts in `.ci`, without a terminal.
fn script(name: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci").join(name));
    command.stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A program of this name in the folder.
fn program(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

/// cargo's own words, at 120 columns as it writes them to what is no terminal.
const BUILDS: &str = r"
say() { printf '%s' '    Building [=====>          ] '; printf '%-70s\r' '12/345: cranelift-codegen, standin(build.rs)'; }
echo '   Compiling cfg-if v1.0.5' >&2
say >&2
sleep 6
say >&2
echo 'warning: from the script' >&2
say >&2
printf 'error[E0425]: cannot find value `y` in this scope\n --> src/main.rs:1:62\n  |\n' >&2
printf 'error: the last line has no end' >&2
exit 101";

#[test]
fn a_build_says_what_it_is_busy_with_and_ends_as_it_ended() {
    let output = script("building").args(["sh", "-c", BUILDS]).output().unwrap();
    assert_eq!(output.status.code(), Some(101));
    let said = said(&output);
    let lines: Vec<&str> = said.lines().collect();
    // Every five seconds, and so more than once on a machine that has much else to do.
    let (busy, rest): (Vec<&str>, Vec<&str>) = lines.iter().partition(|line| line.contains("12/345: "));
    assert!(!busy.is_empty() && busy.iter().all(|line| line.starts_with("  ")), "{said}");
    let end = " 12/345: cranelift-codegen, standin(build.rs) (makes components into machine code)";
    assert!(busy.iter().all(|line| line.ends_with(end)), "{said}");
    let errors = [
        "warning: from the script",
        "error[E0425]: cannot find value `y` in this scope",
        " --> src/main.rs:1:62",
        "  |",
        "error: the last line has no end",
    ];
    assert_eq!(rest, errors, "{said}");
    assert!(script("building").arg("true").output().unwrap().status.success());
    assert!(!script("building").arg("/nonexistent/cargo").output().unwrap().status.success());
}

/// What `make test` shows: a part that ends as it should, and tests that pass or fail.
const TESTS: &str = r#"
.ci/part fmt true || exit
.ci/part 'native tests' sh -c '
  echo "     Running tests/oracle.rs (target/debug/deps/oracle-0123456789abcdef)" >&2
  echo "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 5.00s"' || exit
.ci/part tests sh -c '
  echo "     Running tests/serving.rs (target/debug/deps/serving-0123456789abcdef)" >&2
  echo "test result: $1. 12 passed; $2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 63.71s"
  exit $2' sh ${SAYS:?}"#;

#[rstest]
#[case::passed("ok 0", true, " tests\n")]
#[case::failed("FAILED 1", false, " tests FAILED\n")]
fn all_tests_end_with_their_times_and_as_they_ended(#[case] says: &str, #[case] passes: bool, #[case] part: &str) {
    let tools = tempfile::tempdir().unwrap();
    for tool in ["npm", "curl", "python3", "cc", "cmake", "jq", "wasm-opt", "logrotate", "apt-get"] {
        program(tools.path(), tool, "exit 0");
    }
    program(tools.path(), "make", TESTS);
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let output = script("run").env("PATH", path).env("SAYS", says).env("TMPDIR", temporary.path()).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.success(), passes, "{said}");
    let (_, times) = said.split_once("\nhow long it took\n").unwrap_or_else(|| panic!("{said}"));
    for line in [
        "  0:00 fmt\n",
        " native tests\n  0:05   tests in oracle\n",
        &format!("{part}  1:04   tests in serving\n"),
        " everything else: tools and peers that were missing\n",
        " in all\n",
    ] {
        assert!(times.contains(line), "{line}{said}");
    }
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "what it noted is left behind");
}
