//! `standin policy keygen`

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use standin::policy::signature::{TrustedKeys, generate};

use super::super::{print_json, term};
use crate::cli::out::say;

/// Makes an Ed25519 key pair: NAME.key.pem (mode 0600), which signs, and NAME.pub.pem, which servers trust.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  standin policy keygen acme
  standin policy sign acme.policy.wasm --key acme.key.pem")]
pub(crate) struct Args {
    /// Where to write them, without `.key.pem` and `.pub.pem`. What is there already stays.
    #[arg(value_name = "NAME")]
    name: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let file = |suffix: &str| {
        let mut name = args.name.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    let (secret_file, public_file) = (file(".key.pem"), file(".pub.pem"));
    let (secret, public) = generate();
    let id = TrustedKeys::default().add(&public)?;
    // The secret first: where there is one already, nothing is written at all.
    create(&secret_file, 0o600, &secret)?;
    create(&public_file, 0o644, &public)?;
    if args.json {
        return print_json(&json!({ "key_id": id, "secret_key": secret_file, "public_key": public_file }));
    }
    say!("{} key {id}", term::Stream::Out.green("made"))?;
    say!("  {} signs: keep it secret", secret_file.display())?;
    say!("  {} verifies: name it in `trusted_keys` of standin.toml", public_file.display())?;
    Ok(())
}

fn create(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.with_context(|| format!("cannot write {}", path.display()))
}
