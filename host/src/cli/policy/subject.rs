//! What is tested or compared: a module's file, a folder of policies, packed first, or what is built in.

use std::path::Path;
use std::time::Duration;

use standin::engine::{Isolation, Runtime, RuntimeOptions};
use standin::policy::{BASELINE, PolicyLimits, PolicyModule};

use super::sources::{Bundle, SourceArgs};
use super::{MAX_MODULE, cache, read};
use crate::cli::progress::Progress;

/// The sandbox that it runs in.
#[derive(Debug, clap::Args)]
pub(super) struct SandboxArgs {
    /// The most memory of one evaluation, in MiB, as `policy.memory` of standin.toml has it.
    #[arg(long, value_name = "MIB", default_value = "32", value_parser = clap::value_parser!(u16).range(1..=1024))]
    memory: u16,
}

impl SandboxArgs {
    /// A module in the sandbox that serves.
    pub(super) fn load(&self, wasm: &[u8], json: bool) -> anyhow::Result<PolicyModule> {
        // A rule that takes too long for a busy server still answers here: what is tested is what it says.
        let memory = usize::from(self.memory) << 20;
        let limits = PolicyLimits { memory, deadline: Duration::from_secs(5), ..PolicyLimits::default() };
        let options = RuntimeOptions { slots: 1, ahead: 0, isolation: Isolation::Request, ..RuntimeOptions::default() };
        let progress = Progress::new(json);
        progress.begin("compiling the module");
        Ok(PolicyModule::load(&Runtime::new(options)?, cache::open(json).as_ref(), wasm, limits)?)
    }
}

/// What standin.toml calls the module that is built in.
const BUILT_IN: &str = "builtin:baseline";

/// The module's bytes. A folder of cases within the folder of policies, and `cases`, do not belong to them.
pub(super) fn wasm(subject: &Path, sources: &SourceArgs, cases: Option<&Path>, json: bool) -> anyhow::Result<Vec<u8>> {
    if subject.as_os_str() == BUILT_IN {
        return Ok(BASELINE.to_vec());
    }
    if !subject.is_dir() {
        return read(subject, MAX_MODULE);
    }
    let inside = subject.join("cases");
    let cases = cases.or_else(|| inside.is_dir().then_some(inside.as_path()));
    Ok(Bundle::read(subject, sources, cases)?.pack("test", 1, None, json)?.wasm)
}
