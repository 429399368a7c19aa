//! `standin check`

use anyhow::Error;
use serde_json::{Map, Value, json};
use standin::config::Config;
use standin::server::check_tls;

use super::out::{say, tell};
use super::{BadConfig, ConfigArg, Refused, out, term};

/// Reads standin.toml whole and reports every fault with its line; then opens what it names (policy module, keys, key files of issuers,
/// TLS files, secrets of providers, databases) and reports what a server could not use. Changes nothing.
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
    let unusable = read.as_ref().map(unusable).unwrap_or_default();
    if args.json {
        super::print_json(&page(args, read.as_ref().err(), &unusable))?;
    }
    let config = read?;
    if !unusable.is_empty() {
        for (key, why) in &unusable {
            let file = args.config.path();
            let file = file.display();
            tell!("{} {file}: {key}: {why}", term::Stream::Err.red("error:"));
        }
        return Err(Refused.into());
    }
    if !args.json {
        let stream = term::Stream::Out;
        say!("{} {}", stream.green("ok"), args.config.path().display())?;
        say!("   issuer     {}", config.issuer)?;
        say!("   clients    {}", config.clients.len())?;
        say!("   issuers    {}", config.issuers.len())?;
        say!("   audiences  {}", config.audiences.len())?;
    }
    Ok(())
}

/// What the file names and a server could not use: by which key, and why.
fn unusable(config: &Config) -> Vec<(String, String)> {
    let named = standin::inspect(config).into_iter().map(|unusable| (unusable.key, out::told(&unusable.error.into())));
    let tls = check_tls(&config.server).err().map(|error| ("server.tls".to_owned(), out::told(&Error::new(error))));
    named.chain(tls).collect()
}

fn page(args: &Args, error: Option<&BadConfig>, unusable: &[(String, String)]) -> Value {
    let faults = error.map(|error| error.0.faults()).unwrap_or_default();
    let in_file = faults.iter().map(
        |fault| json!({ "line": fault.line, "column": fault.column, "key": fault.path, "problem": fault.problem.to_string() }),
    );
    let named = unusable.iter().map(|(key, why)| json!({ "line": null, "column": null, "key": key, "problem": why }));
    let listed: Vec<Value> = in_file.chain(named).collect();
    let mut page = Map::new();
    page.insert("ok".to_owned(), json!(error.is_none() && unusable.is_empty()));
    page.insert("file".to_owned(), json!(args.config.path()));
    // A file that cannot be read has no faults to list.
    if let Some(error) = error.filter(|_| listed.is_empty()) {
        page.insert("error".to_owned(), json!(error.to_string()));
    }
    page.insert("faults".to_owned(), json!(listed));
    Value::Object(page)
}
