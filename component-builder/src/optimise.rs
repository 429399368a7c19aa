//! What `wasm-opt` of Binaryen makes of a component's code where it is installed: less of it, and faster.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sections::{CORE_MODULE, Section, join, split};
use crate::watch;

const TOOL: &str = "wasm-opt";

/// Its passes, and what code for `wasm32-wasip2` may use: a module whose own word for that was stripped counts as one of the first version.
const ARGUMENTS: [&str; 8] = [
    "-O3",
    "--enable-bulk-memory",
    "--enable-extended-const",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Why a component stays as the compiler made it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOptimised {
    /// The tool is not there.
    #[error(
        "without {TOOL} (package binaryen) it is a quarter larger, and slower by some percent; once that is there: `touch host/build.rs`"
    )]
    Missing,
    /// It failed.
    #[error("{TOOL} failed: {0}")]
    Failed(String),
    /// It could not be run, or its files not be written or read.
    #[error("{TOOL} could not be run: {0}")]
    Io(#[from] io::Error),
    /// There is no code in it.
    #[error("it holds no core module")]
    NoModule,
}

/// Where the tool is: another version makes another component.
pub(crate) fn tool() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(TOOL)).find(|tool| tool.is_file())
}

/// The component with the largest of its core modules, which is the program, made better; the others only join it to the rest. `scratch` is a
/// folder for files in between.
///
/// # Errors
/// Where that cannot be done: the component is as good without.
pub(crate) fn optimise(component: &[u8], scratch: &Path, what: &str) -> Result<Vec<u8>, NotOptimised> {
    let (preamble, mut sections) = split(component).ok_or(NotOptimised::NoModule)?;
    let modules = sections.iter_mut().filter(|section| section.id == CORE_MODULE);
    let Section { body, .. } = modules.max_by_key(|section| section.body.len()).ok_or(NotOptimised::NoModule)?;
    let [before, after] = ["before.wasm", "after.wasm"].map(|name| scratch.join(name));
    fs::write(&before, &*body)?;
    let mut tool = Command::new(TOOL);
    tool.args(ARGUMENTS).arg(&before).arg("--output").arg(&after);
    let output = watch::output(tool, &format!("{what}: {TOOL}")).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => NotOptimised::Missing,
        _ => NotOptimised::Io(error),
    })?;
    if !output.status.success() {
        return Err(NotOptimised::Failed(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")));
    }
    *body = fs::read(&after)?.into();
    Ok(join(preamble, sections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_code_is_left_alone() {
        for component in [&b""[..], b"\0asm\x0d\0\x01\0"] {
            let error = optimise(component, Path::new("/nonexistent"), "a test").unwrap_err();
            assert!(matches!(error, NotOptimised::NoModule), "{error}");
        }
    }

    #[test]
    fn no_place_for_files_is_said() {
        let component = join(b"\0asm\x0d\0\x01\0", [Section { id: CORE_MODULE, body: b"\0asm\x01\0\0\0"[..].into() }]);
        let error = optimise(&component, Path::new("/nonexistent"), "a test").unwrap_err();
        assert!(matches!(error, NotOptimised::Io(_)), "{error}");
    }

    #[test]
    fn only_the_program_is_touched_and_it_gets_no_larger() {
        let scratch = std::env::temp_dir().join(format!("standin-optimise-{}", std::process::id()));
        fs::create_dir_all(&scratch).unwrap();
        // (module (func (export "f") (result i32) (i32.add (i32.const 1) (i32.const 2))))
        let program = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x07\x05\x01\x01f\0\0\x0a\x09\x01\x07\0\x41\x01\x41\x02\x6a\x0b";
        let small = b"\0asm\x01\0\0\0";
        let section = |body: &'static [u8]| Section { id: CORE_MODULE, body: body.into() };
        let made = optimise(&join(b"\0asm\x0d\0\x01\0", [section(small), section(program)]), &scratch, "a test");
        fs::remove_dir_all(&scratch).unwrap();
        match made {
            Ok(component) => {
                let (_, sections) = split(&component).unwrap();
                assert_eq!(sections[0], section(small));
                assert!(sections[1].body.len() < program.len(), "1 + 2 is 3: {:?}", sections[1]);
            }
            // The word that a build without it gives.
            Err(error) => assert!(matches!(error, NotOptimised::Missing), "{error}"),
        }
    }
}
