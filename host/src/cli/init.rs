//! `standin init`

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use standin::clock::{SystemClock, SystemEntropy};
use standin::config::Config;
use standin::keys::files;
use standin::sqlite::Database;

use super::out::say;
use super::{Usage, client, term};

/// Makes a folder that serves: standin.toml, keys, an empty directory, and one client whose secret is shown once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Then:\n  cd DIR\n  standin directory import FILE.json\n  standin serve")]
pub(crate) struct Args {
    /// The folder; it must be empty or not exist.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The issuer: the URL under which this server is reached.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    issuer: String,
    /// The first client's id.
    #[arg(long, value_name = "ID", default_value = "svc-first")]
    client: String,
    /// The first client's tenant.
    #[arg(long, value_name = "TENANT", default_value = "acme")]
    tenant: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let dir = &args.dir;
    let secret = client::new_secret()?;
    let text = starter(args, &secret.digest);
    // Before anything is made.
    let options = [("issuer", "--issuer"), ("id", "--client"), ("tenants", "--tenant")];
    let config = Config::parse(&text, dir).map_err(|error| Usage::of_options(&error, &options))?;
    if dir.exists() && fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?.next().is_some() {
        bail!("{} is not empty", dir.display());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let made = fs::metadata(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    if made.uid() != rustix::process::geteuid().as_raw() || made.mode() & 0o022 != 0 {
        let (uid, mode) = (made.uid(), made.mode() & 0o7777);
        bail!(
            "{} belongs to user {uid} and has mode {mode:04o}: it has to be yours, and nobody else's to write (chmod go-w)",
            dir.display()
        );
    }
    files::generate(&config.keys.dir, &config.keys.algorithms, &SystemClock::default(), &SystemEntropy)?;
    Database::create(&config.directory)?;
    write_private(&dir.join("standin.toml"), &text)?;
    let stream = term::Stream::Out;
    say!("{} {}", stream.green("made"), dir.display())?;
    say!("   client  {}", args.client)?;
    say!("   secret  {}   {}", secret.shown.as_str(), stream.dim("(shown once; standin.toml holds its digest)"))?;
    say!("   next    cd {}", dir.display())?;
    say!("           standin directory import FILE.json   {}", stream.dim("(docs/directory.md has the format)"))?;
    Ok(say!("           standin serve")?)
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn starter(args: &Args, digest: &str) -> String {
    let quoted = |text: &str| toml_edit::Value::from(text).to_string().trim().to_owned();
    let (issuer, client, tenant) = (quoted(&args.issuer), quoted(&args.client), quoted(&args.tenant));
    format!(
        r#"# The issuer of every token, and where this server is reached.
issuer = {issuer}
# Plain HTTP is served on loopback only.
listen = "127.0.0.1:8080"
keys = {{ dir = "keys", algorithms = ["ES256", "EdDSA"] }}
directory = {{ url = "sqlite:standin.db" }}
store = {{ url = "sqlite:standin.db" }}
audit = {{ path = "audit.jsonl", durability = "fsync" }}
limits = {{ default_ttl = "5m", max_ttl = "15m", max_chain = 5 }}
runtime = {{ isolation = "request", memory = "32MiB", cpu = "50ms" }}

# What decides beside the registrations below.
[policy]
module = "builtin:baseline"
memory = "32MiB"
deadline = "50ms"

# Who may ask. Add more with `standin client add`.
[[client]]
id = {client}
secret_sha256 = ["{digest}"]
tenants = [{tenant}]
subjects = ["user", "host", "envoy", "token"]
audiences = ["https://api.example.com"]
scopes = ["expenses:read", "expenses:write"]
default_scopes = ["expenses:read"]
scope_mode = "narrow"

# For which downstreams.
[[audience]]
id = "https://api.example.com"
flow = "local"
scopes = ["expenses:read", "expenses:write"]

# Whose tokens may be exchanged, for example:
# [[trusted_issuer]]
# name = "corp"
# issuer = "https://idp.example.com"
# jwks_uri = "https://idp.example.com/jwks.json"
# role = "subject"
# audiences = [{issuer}]
# algorithms = ["ES256"]
# tenants = [{tenant}]
# tenant_claim = "tenant"
"#
    )
}
