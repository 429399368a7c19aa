//! `standin keys`

use clap::Subcommand;
use standin::clock::{SystemClock, SystemEntropy};
use standin::keys::files::{self, KeyInfo};

use super::{ConfigArg, print_json, term};

/// Signing keys. A running server takes a change up on SIGHUP.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the key folder: an active key, a next one, and the host's own secrets.
    Generate(Args),
    /// The next key becomes active, the active one retires, a new next one is made. Retired keys stay published while tokens live.
    Rotate(Args),
    /// List the keys.
    List(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let (clock, entropy) = (SystemClock::default(), SystemEntropy);
    let (args, keys) = match command {
        Command::Generate(args) => {
            let config = args.config.read()?;
            (args, files::generate(&config.keys.dir, config.keys.algorithm, &clock, &entropy)?)
        }
        Command::Rotate(args) => {
            let config = args.config.read()?;
            let keys =
                files::rotate(&config.keys.dir, Some(config.keys.algorithm), standin::key_retention(&config), &clock, &entropy)?;
            (args, keys)
        }
        Command::List(args) => {
            let config = args.config.read()?;
            (args, files::list(&config.keys.dir)?)
        }
    };
    print(&keys, args.json)
}

fn print(keys: &[KeyInfo], json: bool) -> anyhow::Result<()> {
    if json {
        let keys: Vec<_> = keys.iter().map(|key| {
            serde_json::json!({
                "kid": key.kid, "algorithm": key.algorithm.name(), "state": key.state, "created": key.created, "retired": key.retired,
            })
        }).collect();
        return print_json(&keys);
    }
    for key in keys {
        let state = format!("{:<8}", format!("{:?}", key.state).to_lowercase());
        println!("{}  {:<6}  {}", term::Stream::Out.bold(&state), key.algorithm.name(), key.kid);
    }
    Ok(())
}
