//! `standin directory`

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;
use standin::bounded;
use standin::directory::SqliteDirectory;
use standin::directory::import::{self, Counts, ImportError, Mode};
use standin::directory::lookup::lookup;
use standin::sqlite::Database;

use super::out::{say, tell};
use super::{ConfigArg, Refused, print_json, term};

/// Accounts, users, hosts and their API keys (docs/directory.md has the format).
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Insert or update everything in a JSON file, in one transaction; nothing is written if any row is bad.
    Import(Import),
    /// Print what the directory knows under a key.
    Lookup(Lookup),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    #[command(flatten)]
    config: ConfigArg,
    /// The document.
    #[arg(value_name = "FILE.json")]
    file: PathBuf,
    /// Delete what the file does not name.
    #[arg(long)]
    replace: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Lookup {
    #[command(flatten)]
    config: ConfigArg,
    /// `email.alice@example.com`, `user_id.u1`, `ophid.…`, `host_id.…`, `account_id.…`, `csp_id.…` or `sfdc.…`
    #[arg(value_name = "KEY")]
    key: String,
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Import(args) => import(&args),
        Command::Lookup(args) => find(&args).await,
    }
}

fn import(args: &Import) -> anyhow::Result<()> {
    let config = args.config.read()?;
    let file = File::open(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let database = Database::create(&config.directory).with_context(|| format!("cannot open {}", config.directory.display()))?;
    let mode = if args.replace { Mode::Replace } else { Mode::Upsert };
    let document = bounded::past_mark(file).with_context(|| format!("cannot read {}", args.file.display()))?;
    match import::import(&database, document, mode) {
        Ok(imported) => {
            let lists = [("accounts", imported.accounts), ("users", imported.users), ("hosts", imported.hosts)];
            if args.json {
                let lists: serde_json::Map<_, _> =
                    lists.into_iter().map(|(name, counts)| (name.to_owned(), json(counts))).collect();
                return print_json(&serde_json::json!({ "ok": true, "imported": lists }));
            }
            for (name, Counts { inserted, updated, deleted }) in lists {
                say!("{name:<9} {inserted} inserted, {updated} updated, {deleted} deleted")?;
            }
            Ok(())
        }
        Err(ImportError::Rows(rows)) => {
            if args.json {
                let listed: Vec<_> = rows
                    .listed
                    .iter()
                    .map(|row| serde_json::json!({ "path": row.path(), "id": row.id, "problem": row.problem.to_string() }))
                    .collect();
                print_json(&serde_json::json!({ "ok": false, "bad_rows": listed, "unlisted": rows.unlisted }))?;
            } else {
                for row in &rows.listed {
                    tell!("{} {row}", term::Stream::Err.red("bad row"));
                }
                tell!("nothing was written: {} bad rows", rows.listed.len() as u64 + rows.unlisted);
            }
            Err(Refused.into())
        }
        Err(error @ ImportError::Database(_)) => {
            Err(error).with_context(|| format!("cannot write {}", config.directory.display()))
        }
        Err(error @ (ImportError::Malformed(_) | ImportError::Read(_) | ImportError::TooLarge | ImportError::MissingList(_))) => {
            Err(error).with_context(|| format!("cannot import {}", args.file.display()))
        }
    }
}

fn json(counts: Counts) -> serde_json::Value {
    serde_json::json!({ "inserted": counts.inserted, "updated": counts.updated, "deleted": counts.deleted })
}

async fn find(args: &Lookup) -> anyhow::Result<()> {
    let config = args.config.read()?;
    let database = Database::open(&config.directory).with_context(|| format!("cannot open {}", config.directory.display()))?;
    let directory = SqliteDirectory::new(Arc::new(database));
    let found = lookup(&directory, &args.key).await;
    match found.with_context(|| format!("cannot look up {} in {}", args.key, config.directory.display()))? {
        Some(found) => print_json(&found),
        None => {
            tell!("nothing is known under {}", args.key);
            Err(Refused.into())
        }
    }
}
