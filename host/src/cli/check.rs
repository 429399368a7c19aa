//! `standin check`

use super::{ConfigArg, term};

/// Reads standin.toml whole and reports every fault with its line. Touches nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let read = args.config.read();
    if args.json {
        let faults: Vec<_> = match &read {
            Ok(_) => Vec::new(),
            Err(error) => error.0.faults().iter().map(fault).collect(),
        };
        super::print_json(&serde_json::json!({ "ok": read.is_ok(), "file": args.config.path(), "faults": faults }))?;
    }
    let config = read?;
    if !args.json {
        let stream = term::Stream::Out;
        println!("{} {}", stream.green("ok"), args.config.path().display());
        println!("   issuer     {}", config.issuer);
        println!("   clients    {}", config.clients.len());
        println!("   issuers    {}", config.issuers.len());
        println!("   audiences  {}", config.audiences.len());
    }
    Ok(())
}

fn fault(fault: &standin::config::Fault) -> serde_json::Value {
    serde_json::json!({ "line": fault.line, "column": fault.column, "key": fault.path, "problem": fault.problem.to_string() })
}
