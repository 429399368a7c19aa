//! `standin policy status`

use http::Method;
use serde_json::Value;

use super::super::admin::AdminArgs;
use super::super::{ConfigArg, print_json, term};
use crate::cli::out::{plain, say};

/// Shows which modules are live in the running server, what a rollback would bring back, and why the last change was refused.
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
    let asked = args.admin.ask(&config, Method::GET, "/v2/status", &Value::Null).await?;
    if !asked.ok {
        anyhow::bail!("the admin endpoint refused: {}", asked.said());
    }
    if args.json {
        return print_json(&asked.body);
    }
    print(&asked.body)
}

/// The status as people read it.
pub(super) fn print(status: &Value) -> anyhow::Result<()> {
    let stream = term::Stream::Out;
    let policy = &status["policy"];
    let text = |value: &Value| plain(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    for (slot, live) in policy["slots"].as_object().into_iter().flatten() {
        let breaker = match live["breaker"].as_str() {
            Some("closed") => stream.green("closed"),
            other => stream.red(&plain(other.unwrap_or_default())),
        };
        say!(
            "{} {} version {} ({})",
            stream.bold(&plain(slot)),
            text(&live["name"]),
            text(&live["version"]),
            text(&live["engine"])
        )?;
        say!("  digest    {}", text(&live["digest"]))?;
        say!("  breaker   {breaker}")?;
        if let Some(shadow) = live.get("shadow") {
            let title = format!("{} version {}", text(&shadow["name"]), text(&shadow["version"]));
            let counts = ["same", "differs", "dropped"].map(|name| format!("{name} {}", shadow[name])).join(", ");
            say!("  shadow    {title} ({counts})")?;
        }
        if let Some(previous) = policy["previous"].get(slot) {
            say!("  previous  {} version {}", text(&previous["name"]), text(&previous["version"]))?;
        }
        if let Some(held) = policy["rolled_back"].get(slot) {
            say!("  rolled back from {}", text(held))?;
        }
    }
    for (slot, refused) in policy["refused"].as_object().into_iter().flatten() {
        say!("{} {slot} ({}): {}", stream.red("refused"), text(&refused["code"]), text(&refused["cause"]))?;
    }
    Ok(())
}
