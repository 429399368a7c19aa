//! Builds the workspace's WebAssembly components from build scripts.
//!
//! Every component is built by a cargo of its own with the `component` profile into a fixed directory beside the outer build, below
//! `<target>/components`, so that its cache survives and the outer build's lock is never waited for.

mod names;
mod optimise;
mod sections;
mod watch;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target every component is built for.
pub const TARGET: &str = "wasm32-wasip2";

/// A component's stack stands at the beginning of its memory, and all of it belongs to what is put in order again after every
/// request: 256 KiB instead of the linker's 1 MiB. An overflow traps either way.
const STACK: &str = "target.wasm32-wasip2.rustflags=['-Clink-arg=-zstack-size=262144']";

/// Why a component could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The build script runs outside cargo.
    #[error("the environment variable {0} is missing: this runs only inside a build script")]
    Environment(&'static str),
    /// cargo could not be started.
    #[error("cannot run cargo for component {package}: {source}")]
    Spawn {
        /// The package.
        package: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A thread that built one ended without an answer.
    #[error("the build of a component ended without an answer")]
    Ended,
    /// cargo failed; most often the target is missing.
    #[error("component {package} did not build; is the target there? `rustup target add {TARGET}`\n{stderr}")]
    Failed {
        /// The package.
        package: String,
        /// What cargo printed.
        stderr: String,
    },
    /// The artifact could not be copied.
    #[error("cannot copy {path}: {source}")]
    Copy {
        /// The artifact.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// A component of the workspace.
#[derive(Debug, Clone, Copy)]
pub struct Component<'a> {
    /// Its package.
    pub package: &'a str,
    /// What whoever waits for it is told that it is for.
    pub purpose: &'a str,
    /// What it is called in `OUT_DIR`.
    pub file: &'a str,
    /// Files and folders, relative to the workspace root, whose change asks for a rebuild.
    pub inputs: &'a [&'a str],
    /// Where it is built, below `<target>/components`. Those of one folder share their dependencies and wait for each other; large ones that
    /// have little in common are built side by side in folders of their own.
    pub folder: &'a str,
    /// Whether its code is on the way of every request: then [`wasm-opt`](https://github.com/WebAssembly/binaryen) goes over it where that is
    /// installed, and where not the build says so.
    pub hot: bool,
}

/// Builds a component and copies it to `OUT_DIR/<file>`; returns that path.
///
/// # Errors
/// Where cargo cannot be run, the build fails or the artifact cannot be copied.
pub fn build(component: Component<'_>) -> Result<PathBuf, BuildError> {
    let Component { package, purpose, file, inputs, folder, hot } = component;
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let root = workspace_root(&PathBuf::from(variable("CARGO_MANIFEST_DIR")?));
    for input in inputs.iter().chain(&["Cargo.toml", "Cargo.lock", "wit"]) {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let target_dir = target_dir(&out_dir).join("components").join(folder);
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(&root)
        .args(["build", "--quiet", "--profile", "component", "--target", TARGET, "--package", package, "--config", STACK])
        .arg("--target-dir")
        .arg(&target_dir)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CLIPPY_ARGS")
        .env_remove("CARGO_BUILD_TARGET");
    let output = watch::output(cargo, &format!("{package}: {purpose}"));
    let output = output.map_err(|source| BuildError::Spawn { package: package.into(), source })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(BuildError::Failed { package: package.into(), stderr });
    }
    let artifact = target_dir.join(TARGET).join("component").join(format!("{}.wasm", package.replace('-', "_")));
    let copy = out_dir.join(file);
    let failed = |source| BuildError::Copy { path: artifact.clone(), source };
    let mut component = names::strip(fs::read(&artifact).map_err(failed)?);
    if hot {
        match optimise::optimise(&component, &out_dir, package) {
            Ok(optimised) => {
                component = optimised;
                if let Some(tool) = optimise::tool() {
                    println!("cargo::rerun-if-changed={}", tool.display());
                }
            }
            Err(why) => println!("cargo::warning={package} is as the compiler made it: {why}"),
        }
    }
    fs::write(&copy, component).map_err(failed)?;
    Ok(copy)
}

fn variable(name: &'static str) -> Result<std::ffi::OsString, BuildError> {
    env::var_os(name).ok_or(BuildError::Environment(name))
}

/// The nearest folder above that holds `Cargo.lock` or, before there is one, a `wit` folder.
fn workspace_root(manifest_dir: &Path) -> PathBuf {
    let root = manifest_dir.ancestors().find(|dir| dir.join("wit").is_dir() && dir.join("Cargo.toml").is_file());
    root.unwrap_or(manifest_dir).to_path_buf()
}

/// `OUT_DIR` is `<target>/[<triple>/]<profile>/build/<package>/out`.
fn target_dir(out_dir: &Path) -> PathBuf {
    let build = out_dir.ancestors().find(|dir| dir.file_name() == Some(OsStr::new("build")));
    let profile = build.and_then(Path::parent);
    let above = profile.and_then(Path::parent);
    let tagged = above.and_then(|dir| dir.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file()));
    tagged.or(above).unwrap_or(out_dir).to_path_buf()
}
