//! `standin keys`

use anyhow::bail;
use clap::Subcommand;
use standin::clock::{SystemClock, SystemEntropy};
use standin::config::Config;
use standin::keys::files::{self, KeyFileError, KeyInfo, KeyState, Rotation};
use standin::registry::Algorithm;

use super::out::{say, tell};
use super::{ConfigArg, print_json, term};

/// Signing keys, of every algorithm in `keys.algorithms`. A running server takes a change up within half a minute, and on SIGHUP.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make what is missing: the key folder, an active key and a next one of each algorithm, and the host's own secrets.
    Generate(Args),
    /// The next key becomes active, the active one retires, a new next one is made. Retired keys stay published while tokens live.
    /// Keys of algorithms that are no longer configured retire.
    Rotate(RotateArgs),
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

#[derive(Debug, clap::Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    args: Args,
    /// Only the keys of this algorithm, one of `keys.algorithms`.
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<String>,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let (clock, entropy) = (SystemClock::default(), SystemEntropy);
    match command {
        Command::Generate(args) => {
            let config = args.config.read()?;
            let keys = match files::generate(&config.keys.dir, &config.keys.algorithms, &clock, &entropy) {
                Err(KeyFileError::Exists(_)) => {
                    tell!("nothing is missing; `standin keys rotate` makes new ones");
                    files::list(&config.keys.dir)?
                }
                made => made?,
            };
            print(&keys, &config, args.json)
        }
        Command::Rotate(RotateArgs { args, algorithm }) => {
            let config = args.config.read()?;
            let one = algorithm.map(|name| configured(&config, &name)).transpose()?;
            let rotation = Rotation {
                rotated: one.as_ref().map_or(&config.keys.algorithms, std::slice::from_ref),
                signing: &config.keys.algorithms,
                retention: standin::key_retention(&config),
            };
            let keys = files::rotate(&config.keys.dir, rotation, &clock, &entropy)?;
            print(&keys, &config, args.json)?;
            tell!("{}", term::Stream::Err.dim("a running server takes it up within half a minute, and at once on SIGHUP"));
            Ok(())
        }
        Command::List(args) => {
            let config = args.config.read()?;
            print(&files::list(&config.keys.dir)?, &config, args.json)
        }
    }
}

fn configured(config: &Config, name: &str) -> anyhow::Result<Algorithm> {
    match Algorithm::named(name).filter(|algorithm| config.keys.algorithms.contains(algorithm)) {
        Some(algorithm) => Ok(algorithm),
        None => bail!("--algorithm: {name} is not among keys.algorithms"),
    }
}

fn print(keys: &[KeyInfo], config: &Config, json: bool) -> anyhow::Result<()> {
    let signs = |key: &KeyInfo| key.state == KeyState::Active && config.keys.algorithms.contains(&key.algorithm);
    let is_default = |key: &KeyInfo| signs(key) && config.keys.algorithms.first() == Some(&key.algorithm);
    if json {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| {
                serde_json::json!({
                    "kid": key.kid, "algorithm": key.algorithm.name(), "state": key.state, "created": key.created,
                    "retired": key.retired, "signs": signs(key), "default": is_default(key),
                })
            })
            .collect();
        return print_json(&keys);
    }
    for key in keys {
        let state = format!("{:<8}", format!("{:?}", key.state).to_lowercase());
        let note = match (key.state, signs(key)) {
            (_, true) if is_default(key) => "  the default",
            (KeyState::Active, false) => "  signs nothing: not among keys.algorithms",
            (KeyState::Active | KeyState::Next | KeyState::Retired, _) => "",
        };
        let stream = term::Stream::Out;
        say!("{}  {:<6}  {}{}", stream.bold(&state), key.algorithm.name(), key.kid, stream.dim(note))?;
    }
    Ok(())
}
