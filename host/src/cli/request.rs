//! What `mint` and `explain` ask for, as arguments.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use standin::types::{ClientSecret, Credential, Descriptor, IdType, Request, Subject, Token};
use standin::{BuildError, Standin};

use super::ConfigArg;

/// The longest secret or token file, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// Who asks, on whose behalf, for what.
#[derive(Debug, clap::Args)]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The calling client's id.
    #[arg(long, value_name = "ID")]
    client: String,
    /// File with the client's secret, `-` for standard input; otherwise the environment's STANDIN_CLIENT_SECRET.
    #[arg(long, value_name = "FILE", conflicts_with = "attested")]
    secret_file: Option<PathBuf>,
    /// Vouch for the client instead; only for clients registered with `attested = true`.
    #[arg(long)]
    attested: bool,
    /// On behalf of this user: `alice@example.com`.
    #[arg(long, value_name = "EMAIL", group = "subject")]
    user: Option<String>,
    /// On behalf of this host: `ophid.<id>` or `host_id.<uuid>`.
    #[arg(long, value_name = "ID", group = "subject")]
    host: Option<String>,
    /// On behalf of this edge identity: an address, with --sfdc-account-id.
    #[arg(long, value_name = "EMAIL", group = "subject", requires = "sfdc_account_id")]
    envoy: Option<String>,
    /// On behalf of the subject of the JWT in this file, `-` for standard input.
    #[arg(long, value_name = "FILE", group = "subject")]
    subject_token_file: Option<PathBuf>,
    /// The account meant.
    #[arg(long, value_name = "ID")]
    account_id: Option<String>,
    /// The account meant, by its CSP id.
    #[arg(long, value_name = "N")]
    csp_id: Option<i64>,
    /// The account meant, by its Salesforce id.
    #[arg(long, value_name = "ID")]
    sfdc_account_id: Option<String>,
    /// For which downstream; repeatable.
    #[arg(long, value_name = "AUDIENCE")]
    audience: Vec<String>,
    /// Scopes, separated by spaces.
    #[arg(long, value_name = "SCOPES", default_value = "")]
    scope: String,
    /// Lifetime in seconds.
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u32>,
}

impl RequestArgs {
    /// The host, as configured.
    pub(crate) async fn standin(&self) -> anyhow::Result<Standin> {
        let config = self.config.read()?;
        match Standin::builder().config(config).build().await {
            Ok(standin) => Ok(standin),
            Err(error @ BuildError::Audit(_)) => {
                Err(error).context("cannot open the audit log; if a server is running on this configuration, ask that one")
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The request.
    pub(crate) fn request(&self) -> anyhow::Result<Request> {
        Ok(Request {
            correlation_id: String::new(),
            caller: self.credential()?,
            subject: self.subject()?,
            actor: None,
            audience: self.audience.clone(),
            resource: Vec::new(),
            scope: self.scope.split_whitespace().map(str::to_owned).collect(),
            requested_token_type: None,
            requested_ttl: self.ttl,
            step: None,
            dpop: None,
            attributes: Vec::new(),
        })
    }

    fn credential(&self) -> anyhow::Result<Credential> {
        if self.attested {
            return Ok(Credential::Attested(self.client.clone()));
        }
        let secret = match &self.secret_file {
            Some(file) => read(file)?,
            None => std::env::var("STANDIN_CLIENT_SECRET").context("give --secret-file, STANDIN_CLIENT_SECRET or --attested")?,
        };
        Ok(Credential::ClientSecret(ClientSecret { client_id: self.client.clone(), secret }))
    }

    fn subject(&self) -> anyhow::Result<Subject> {
        let (id_type, id) = match (&self.user, &self.host, &self.envoy, &self.subject_token_file) {
            (Some(email), None, None, None) => (IdType::User, format!("email.{email}")),
            (None, Some(id), None, None) => (IdType::Host, id.clone()),
            (None, None, Some(email), None) => (IdType::Envoy, format!("email.{email}")),
            (None, None, None, Some(file)) => {
                let token_type = standin::JWT_TYPE.to_owned();
                return Ok(Subject::Token(Token { value: read(file)?, token_type }));
            }
            _ => bail!("name one subject: --user, --host, --envoy or --subject-token-file"),
        };
        Ok(Subject::Descriptor(Descriptor {
            id_type,
            id,
            account_id: self.account_id.clone(),
            account_csp_id: self.csp_id,
            sfdc_account_id: self.sfdc_account_id.clone(),
        }))
    }
}

fn read(file: &PathBuf) -> anyhow::Result<String> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().take(MAX_FILE).read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        opened.take(MAX_FILE).read_to_string(&mut text).with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(text.trim().to_owned())
}
