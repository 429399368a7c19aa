//! `standin mint`

use serde_json::{Map, Value, json};

use super::out::{say, tell};
use super::request::RequestArgs;
use super::{Refused, print_json, term};

/// Mints one token through the embedding API. The token goes to standard output, everything else to standard error.
/// Opens the audit log as its one writer: stop the server on this configuration first.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  STANDIN_CLIENT_SECRET=… standin mint --client svc-first --user alice@example.com --scope expenses:read"
)]
pub(crate) struct Args {
    #[command(flatten)]
    request: RequestArgs,
    /// Print the whole answer as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let request = args.request.request()?;
    let standin = super::build(args.request.config.read()?).await?;
    let minted = standin.mint_on_behalf(request).await;
    standin.close().await?;
    match minted {
        Ok(minted) if args.json => {
            let attributes: Map<String, Value> = minted
                .attributes
                .iter()
                .map(|attribute| (attribute.name.clone(), serde_json::from_str(&attribute.value).unwrap_or(Value::Null)))
                .collect();
            let mut page = json!({
                "ok": true, "access_token": minted.token, "issued_token_type": minted.issued_token_type,
                "token_type": minted.token_type, "expires_in": minted.expires_in,
                "correlation_id": minted.correlation_id, "attributes": attributes,
            });
            // As over HTTP: no scope is none (RFC 6749 §3.3), not an empty one.
            if let (false, Some(members)) = (minted.scope.is_empty(), page.as_object_mut()) {
                members.insert("scope".to_owned(), minted.scope.join(" ").into());
            }
            print_json(&page)
        }
        Ok(minted) => {
            say!("{}", minted.token)?;
            let stream = term::Stream::Err;
            tell!(
                "{} scope \"{}\", {} s, correlation id {}",
                stream.green("minted"),
                minted.scope.join(" "),
                minted.expires_in,
                minted.correlation_id
            );
            Ok(())
        }
        Err(failure) => {
            if args.json {
                let mut page = standin::failure_members(&failure);
                page.insert("ok".to_owned(), json!(false));
                page.insert("correlation_id".to_owned(), json!(failure.correlation_id));
                print_json(&page)?;
            } else {
                let stream = term::Stream::Err;
                tell!(
                    "{} {} ({}), correlation id {}",
                    stream.red("refused"),
                    failure.message,
                    failure.code,
                    failure.correlation_id
                );
            }
            Err(Refused.into())
        }
    }
}
