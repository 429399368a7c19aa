//! `standin policy rollback`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use http::Method;
use serde_json::json;
use standin::config::Config;
use standin::policy::trust::Floor;
use standin::policy::{PLATFORM, tenant_slot};
use standin::sqlite::Database;

use super::super::admin::AdminArgs;
use super::super::{ConfigArg, Usage, print_json, term};
use super::{MAX_MODULE, read, status};
use crate::cli::out::say;

/// Puts back the module that was live before the last change, or allows an older one.
///
/// Without a file, the running server (through its admin endpoint) puts the module back that was live before, at once; it does not
/// take up the file it rolled back from until that is another one. With a file, that file's version and later ones may be live
/// again: name it in standin.toml; nothing changes before that.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  standin policy rollback                      # now, in the running server
  standin policy rollback acme-7.policy.wasm   # let version 7 be live again, then put it in place:
  cp acme-7.policy.wasm acme.policy.wasm")]
pub(crate) struct Args {
    /// The older module; it has to be one that the configuration trusts.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The tenant whose own module is meant, instead of the platform's.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    admin: AdminArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.config.read()?;
    match &args.file {
        Some(file) => allow(&args, &config, file),
        None => put_back(&args, &config).await,
    }
}

fn slot(args: &Args) -> String {
    args.tenant.as_deref().map_or_else(|| PLATFORM.to_owned(), tenant_slot)
}

async fn put_back(args: &Args, config: &Config) -> anyhow::Result<()> {
    let asked = args.admin.ask(config, Method::POST, "/v2/policy/rollback", &json!({ "slot": slot(args) })).await?;
    if !asked.ok {
        anyhow::bail!("the server did not roll back: {}", asked.said());
    }
    if args.json {
        return print_json(&asked.body);
    }
    say!("{} put the older file in place as well: a restart loads what lies there", term::Stream::Out.green("rolled back;"))?;
    status::print(&asked.body)
}

fn allow(args: &Args, config: &Config, file: &Path) -> anyhow::Result<()> {
    let own = |name: &String| config.policy.tenants.iter().find(|tenant| tenant.tenant == *name).map(|tenant| &tenant.module);
    let module = match &args.tenant {
        None => &config.policy.platform,
        Some(name) => own(name).ok_or_else(|| Usage(format!("--tenant: standin.toml has no module of tenant {name}")))?,
    };
    // `digest` pins the module that serves now, and may well be another.
    let mut trust = standin::policy_trust(module)?;
    trust.digest = None;
    let manifest = trust.check(&read(file, MAX_MODULE)?)?;
    let version = manifest.context("the module has no version: it was not packed by `standin policy pack`")?.version;
    let before = Floor::new(&Database::create(&config.store)?, &slot(args)).roll_back(version)?;
    if args.json {
        return print_json(&json!({ "version": version, "before": before }));
    }
    let before = before.map_or_else(String::new, |before| format!(" (it was {before})"));
    Ok(say!("{} version {version} and later may be live{before}", term::Stream::Out.green("done:"))?)
}
