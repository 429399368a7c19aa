//! `standin client`

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use serde_json::json;
use standin::clock::{Entropy as _, SystemEntropy};
use standin::config::secret_digest;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};
use zeroize::Zeroizing;

use super::edit::edit;
use super::out::{say, tell};
use super::{ConfigArg, print_json, term};

/// Registrations in standin.toml. A running server takes a change up on SIGHUP.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Register a client; its secret is shown once. With --attested it has none: the embedding program vouches for it.
    Add(Add),
    /// Give a client a new secret; the one before stays live until the next rotation.
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    #[command(flatten)]
    config: ConfigArg,
    /// The client's id.
    #[arg(value_name = "ID")]
    id: String,
    /// Tenants it may act in; repeatable.
    #[arg(long, value_name = "TENANT", required = true)]
    tenant: Vec<String>,
    /// Kinds of subject it may name: user, host, envoy, token; repeatable.
    #[arg(long, value_name = "KIND", required = true)]
    subject: Vec<String>,
    /// Audiences it may ask for; repeatable.
    #[arg(long, value_name = "AUDIENCE", required = true)]
    audience: Vec<String>,
    /// Scopes it may ask for; repeatable.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// No secret: the program that embeds Standin, such as a gateway, vouches for it (`attested = true`).
    #[arg(long)]
    attested: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    config: ConfigArg,
    /// The client's id.
    #[arg(value_name = "ID")]
    id: String,
    /// Also where it has no secret so far: it is attested, or shows a JWT.
    #[arg(long)]
    add_secret: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What each key of a client is made from.
const OPTIONS: [(&str, &str); 5] =
    [("id", "ID"), ("tenants", "--tenant"), ("subjects", "--subject"), ("audiences", "--audience"), ("scopes", "--scope")];

/// A fresh secret.
pub(crate) struct Secret {
    /// What the client shows: 256 random bits, base64url.
    pub(crate) shown: Zeroizing<String>,
    /// What standin.toml holds: lowercase hex SHA-256.
    pub(crate) digest: String,
}

pub(crate) fn new_secret() -> anyhow::Result<Secret> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    SystemEntropy.fill(&mut *bytes)?;
    let shown = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
    let digest = secret_digest(&shown);
    Ok(Secret { shown, digest })
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let (id, secret, as_json) = match command {
        Command::Add(args) => {
            let secret = if args.attested { None } else { Some(new_secret()?) };
            edit(&args.config.path(), &OPTIONS, |document| add(document, &args, secret.as_ref()))?;
            (args.id, secret, args.json)
        }
        Command::Rotate(args) => {
            let secret = new_secret()?;
            edit(&args.config.path(), &OPTIONS, |document| rotate(document, &args, &secret.digest))?;
            (args.id, Some(secret), args.json)
        }
    };
    if as_json {
        return print_json(&match &secret {
            Some(secret) => json!({ "client_id": id, "client_secret": secret.shown.as_str() }),
            None => json!({ "client_id": id }),
        });
    }
    let stream = term::Stream::Out;
    say!("client  {id}")?;
    match &secret {
        Some(secret) => say!("secret  {}   {}", secret.shown.as_str(), stream.dim("(shown once)"))?,
        None => say!("secret  none   {}", stream.dim("(attested: the embedding program vouches for it)"))?,
    }
    tell!("{}", term::Stream::Err.dim(super::ON_HANGUP));
    Ok(())
}

fn add(document: &mut DocumentMut, args: &Add, secret: Option<&Secret>) -> anyhow::Result<()> {
    let clients = document.entry("client").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let clients = clients.as_array_of_tables_mut().context("`client` is not a list of tables")?;
    if clients.iter().any(|client| client.get("id").and_then(Item::as_str) == Some(&args.id)) {
        bail!("there is a client {} already", args.id);
    }
    let list = |texts: &[String]| value(texts.iter().collect::<Array>());
    let mut client = Table::new();
    client.insert("id", value(args.id.as_str()));
    match secret {
        Some(secret) => client.insert("secret_sha256", value([secret.digest.as_str()].into_iter().collect::<Array>())),
        None => client.insert("attested", value(true)),
    };
    client.insert("tenants", list(&args.tenant));
    client.insert("subjects", list(&args.subject));
    client.insert("audiences", list(&args.audience));
    client.insert("scopes", list(&args.scope));
    clients.push(client);
    Ok(())
}

fn rotate(document: &mut DocumentMut, args: &Rotate, digest: &str) -> anyhow::Result<()> {
    let id = args.id.as_str();
    let clients = document.get_mut("client").and_then(Item::as_array_of_tables_mut);
    let client =
        clients.and_then(|clients| clients.iter_mut().find(|client| client.get("id").and_then(Item::as_str) == Some(id)));
    let client = client.with_context(|| format!("there is no client {id}"))?;
    let live =
        client.get("secret_sha256").and_then(Item::as_array).and_then(|digests| digests.iter().last()).and_then(Value::as_str);
    if live.is_none() && !args.add_secret {
        bail!("client {id} has no secret to rotate; --add-secret gives it one beside how it is known now");
    }
    let digests: Array = live.map(str::to_owned).into_iter().chain([digest.to_owned()]).collect();
    client.insert("secret_sha256", value(digests));
    Ok(())
}
