//! `standin audit rotate`

use std::sync::Arc;

use anyhow::Context as _;
use http::Method;
use serde_json::{Value, json};
use standin::audit::{Audit as _, AuditLog, OpenError, SealKey};
use standin::clock::{Clock, SystemClock};
use standin::config::Config;
use standin::keys::Keys;
use standin::keys::files::{self, FileKeys};

use super::super::admin::{AdminArgs, NoServer};
use super::super::{ConfigArg, print_json, term};
use crate::cli::out::say;

/// Closes the file of the audit log that is written, with a signed checkpoint, and goes on in a new one that begins with its hash. The
/// closed file is numbered: audit.jsonl.000001. A running server does it through its admin endpoint; where none runs, it is done here.
///
/// A log that something else renamed within its folder just now, such as logrotate, gets its name back first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
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
    let asked = match &config.admin {
        Some(_) => match args.admin.ask(&config, Method::POST, "/v2/audit/rotate", &json!({})).await {
            Ok(asked) => Some(asked),
            Err(error) if error.is::<NoServer>() => None,
            Err(error) => return Err(error),
        },
        None => None,
    };
    let done = match asked {
        Some(asked) if !asked.ok => anyhow::bail!("the server did not rotate the audit log: {}", asked.said()),
        Some(asked) => asked.body,
        None => here(&config).await?,
    };
    if args.json {
        return print_json(&done);
    }
    let told = |name: &str| done.get(name).cloned().unwrap_or_default();
    let file = told("file");
    let (file, first, last) = (file.as_str().unwrap_or_default(), told("first"), told("last"));
    say!("{} {file} has lines {first} to {last}", term::Stream::Out.green("closed:"))?;
    for removed in told("removed").as_array().into_iter().flatten().filter_map(Value::as_str) {
        say!("removed: {removed}")?;
    }
    Ok(())
}

async fn here(config: &Config) -> anyhow::Result<Value> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let keys = FileKeys::open(standin::key_folder(config), Arc::clone(&clock))?;
    let seal = SealKey::new(*files::hmac_key(&config.keys.dir, standin::AUDIT_SEAL)?.expose());
    let options = standin::log_options(config);
    let log = match AuditLog::open(&config.audit.path, &seal, Arc::new(keys) as Arc<dyn Keys>, clock, options) {
        Err(error @ OpenError::Locked) => {
            return Err(error).context("a running server rotates it through its admin endpoint: see `[admin]` of standin.toml");
        }
        opened => opened?,
    };
    let rotated = log.rotate().await;
    log.close().await?;
    Ok(serde_json::to_value(rotated?)?)
}
