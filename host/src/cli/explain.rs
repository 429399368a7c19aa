//! `standin explain`

use http::Method;
use serde_json::Value;
use standin::config::Config;
use standin::types::Request;

use super::admin::AdminArgs;
use super::out::say;
use super::request::{RequestArgs, as_json, told};
use super::{Refused, print_json, term};

/// Does everything but sign, and shows every check, ceiling and reason. The attempt is recorded as a dry run.
///
/// The audit log has one writer: while a server runs on this configuration, --running asks that server through its admin endpoint.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    request: RequestArgs,
    /// Ask the server that runs on this configuration ([admin] in standin.toml).
    #[arg(long)]
    running: bool,
    #[command(flatten)]
    admin: AdminArgs,
    /// Print one JSON object (docs/explain.md).
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let request = args.request.request()?;
    let config = args.request.config.read()?;
    let page = if args.running {
        let asked = args.admin.ask(&config, Method::POST, "/v2/explain", &as_json(&request)).await?;
        if asked.body.get("outcome").is_none() {
            anyhow::bail!("the admin endpoint refused: {}", asked.said());
        }
        asked.body
    } else {
        here(config, request).await?
    };
    if args.json {
        print_json(&page)?;
    } else {
        print_page(&page)?;
    }
    if page.get("outcome").and_then(Value::as_str) == Some("permit") { Ok(()) } else { Err(Refused.into()) }
}

async fn here(config: Config, request: Request) -> anyhow::Result<Value> {
    let standin = super::build(config).await?;
    let explained = standin.explain(request).await;
    standin.close().await?;
    Ok(match explained {
        Ok(page) => serde_json::from_str(&page)?,
        Err(failure) => serde_json::json!({
            "outcome": if failure.status >= 500 { "fail" } else { "deny" }, "correlation_id": failure.correlation_id,
            "failure": told(&failure),
        }),
    })
}

fn print_page(page: &Value) -> anyhow::Result<()> {
    let stream = term::Stream::Out;
    for section in
        ["correlation_id", "caller", "subject", "tenant", "ceilings", "granted", "dropped", "rules", "claims", "failure"]
    {
        let Some(value) = page.get(section).filter(|value| !value.as_array().is_some_and(Vec::is_empty)) else { continue };
        say!("{}", stream.bold(section))?;
        print_value(value, 1)?;
    }
    let outcome = page.get("outcome").and_then(Value::as_str).unwrap_or_default();
    let outcome = if outcome == "permit" { stream.green(outcome) } else { stream.red(outcome) };
    Ok(say!("{} {outcome}", stream.bold("outcome"))?)
}

/// Objects a member a line, everything else on one.
fn print_value(value: &Value, indent: usize) -> anyhow::Result<()> {
    let margin = "  ".repeat(indent);
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(_, member)| !member.is_null()) {
                let nested = member.as_array().is_some_and(|items| items.iter().any(Value::is_object));
                if nested {
                    say!("{margin}{name}")?;
                    print_value(member, indent + 1)?;
                } else {
                    say!("{margin}{name:<16} {member}")?;
                }
            }
        }
        Value::Array(items) => items.iter().try_for_each(|item| say!("{margin}{item}"))?,
        other => say!("{margin}{other}")?,
    }
    Ok(())
}
