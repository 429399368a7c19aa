//! `standin explain`

mod page;

use http::Method;
use serde_json::Value;
use standin::config::Config;
use standin::types::Request;

use super::admin::AdminArgs;
use super::out::say;
use super::request::{RequestArgs, as_json};
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
        say!("{}", page::page(&page, term::Stream::Out).trim_end())?;
    }
    if page.get("outcome").and_then(Value::as_str) == Some("permit") { Ok(()) } else { Err(Refused.into()) }
}

async fn here(config: Config, request: Request) -> anyhow::Result<Value> {
    let standin = super::build(config).await?;
    let explained = standin.explain(request).await;
    standin.close().await?;
    Ok(match explained {
        Ok(page) => serde_json::from_str(&page)?,
        Err(failure) => standin::explained_failure(&failure),
    })
}
