//! `standin explain`

use serde_json::Value;

use super::request::{RequestArgs, told};
use super::{Refused, print_json, term};

/// Does everything but sign, and shows every check, ceiling and reason. The attempt is recorded as a dry run.
/// Opens the audit log as its one writer: stop the server on this configuration first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    request: RequestArgs,
    /// Print one JSON object (docs/explain.md).
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let request = args.request.request()?;
    let standin = args.request.standin().await?;
    let explained = standin.explain(request).await;
    standin.close().await?;
    let page: Value = match explained {
        Ok(page) => serde_json::from_str(&page)?,
        Err(failure) => serde_json::json!({
            "outcome": if failure.status >= 500 { "fail" } else { "deny" }, "correlation_id": failure.correlation_id,
            "failure": told(&failure),
        }),
    };
    if args.json {
        print_json(&page)?
    } else {
        print_page(&page)
    }
    if page.get("outcome").and_then(Value::as_str) == Some("permit") { Ok(()) } else { Err(Refused.into()) }
}

fn print_page(page: &Value) {
    let stream = term::Stream::Out;
    for section in
        ["correlation_id", "caller", "subject", "tenant", "ceilings", "granted", "dropped", "rules", "claims", "failure"]
    {
        let Some(value) = page.get(section) else { continue };
        println!("{}", stream.bold(section));
        print_value(value, 1);
    }
    let outcome = page.get("outcome").and_then(Value::as_str).unwrap_or_default();
    println!("{} {}", stream.bold("outcome"), if outcome == "permit" { stream.green(outcome) } else { stream.red(outcome) });
}

/// Objects a member a line, everything else on one.
fn print_value(value: &Value, indent: usize) {
    let margin = "  ".repeat(indent);
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(_, member)| !member.is_null()) {
                let nested = member.as_array().is_some_and(|items| items.iter().any(Value::is_object));
                if nested {
                    println!("{margin}{name}");
                    print_value(member, indent + 1);
                } else {
                    println!("{margin}{name:<16} {member}");
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| println!("{margin}{item}")),
        other => println!("{margin}{other}"),
    }
}
