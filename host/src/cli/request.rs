//! What `mint` and `explain` ask for, as arguments.

use std::env::VarError;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use standin::types::{ClientSecret, Credential, Descriptor, IdType, Request, Subject, Token};
use standin::{account_of_token, bounded};

use super::{ConfigArg, Usage};

/// The longest secret or token file, in bytes: the longest token, a byte-order mark before it and an end of its line.
const MAX_FILE: u64 = 64 * 1024 + 3 + 2;

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
    /// On behalf of this user: `alice@example.com`, or as in a request: `email.alice@example.com`.
    #[arg(long, value_name = "EMAIL", group = "subject")]
    user: Option<String>,
    /// On behalf of this host: `ophid.<id>` or `host_id.<uuid>`; what has neither prefix is an ophid.
    #[arg(long, value_name = "ID", group = "subject")]
    host: Option<String>,
    /// On behalf of this edge identity: an address, with or without `email.`, and --sfdc-account-id.
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
    /// A step of the client's registration, whose scopes and audiences hold then.
    #[arg(long, value_name = "NAME")]
    step: Option<String>,
}

impl RequestArgs {
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
            step: self.step.clone(),
            dpop: None,
            attributes: match &self.subject_token_file {
                Some(_) => account_of_token(self.account_id.as_deref(), self.csp_id, self.sfdc_account_id.as_deref()),
                None => Vec::new(),
            },
        })
    }

    fn credential(&self) -> anyhow::Result<Credential> {
        if self.attested {
            return Ok(Credential::Attested(self.client.clone()));
        }
        let secret = secret(self.secret_file.as_ref(), "STANDIN_CLIENT_SECRET", "give --secret-file or --attested")?;
        Ok(Credential::ClientSecret(ClientSecret { client_id: self.client.clone(), secret }))
    }

    fn subject(&self) -> anyhow::Result<Subject> {
        let (id_type, id) = match (&self.user, &self.host, &self.envoy, &self.subject_token_file) {
            (Some(email), None, None, None) => (IdType::User, with_prefix(email, &["email."])),
            (None, Some(id), None, None) => (IdType::Host, with_prefix(id, &["ophid.", "host_id."])),
            (None, None, Some(email), None) => (IdType::Envoy, with_prefix(email, &["email."])),
            (None, None, None, Some(file)) => {
                let token_type = standin::JWT_TYPE.to_owned();
                return Ok(Subject::Token(Token { value: read(file)?, token_type }));
            }
            _ => return Err(Usage("name one subject: --user, --host, --envoy or --subject-token-file".to_owned()).into()),
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

/// The id with its prefix: its own, or the first.
fn with_prefix(id: &str, prefixes: &[&str]) -> String {
    match prefixes.first() {
        Some(first) if !prefixes.iter().any(|prefix| id.starts_with(prefix)) => format!("{first}{id}"),
        _ => id.to_owned(),
    }
}

/// A secret: from the file, or else from the environment; `otherwise` says what else can be done.
pub(crate) fn secret(file: Option<&PathBuf>, variable: &str, otherwise: &str) -> anyhow::Result<String> {
    let Some(file) = file else {
        let found = match std::env::var(variable) {
            // As `export SECRET="$(cat file)"` and what mounts files as variables leave it.
            Ok(found) => found.trim().to_owned(),
            Err(VarError::NotPresent) => String::new(),
            Err(VarError::NotUnicode(_)) => return Err(Usage(format!("{variable} is not UTF-8")).into()),
        };
        return if found.is_empty() {
            Err(Usage(format!("the secret is missing: set {variable}, or {otherwise}")).into())
        } else {
            Ok(found)
        };
    };
    read(file)
}

/// The request as `POST /v2/explain` of the admin endpoint takes it.
pub(crate) fn as_json(request: &Request) -> Value {
    let Request { caller, subject, audience, scope, requested_ttl, step, attributes, .. } = request;
    let caller = match caller {
        Credential::ClientSecret(ClientSecret { client_id, secret }) => {
            vec![("client_id", json!(client_id)), ("client_secret", json!(secret))]
        }
        Credential::Attested(client_id) => vec![("client_id", json!(client_id))],
        // The command line has no others.
        Credential::ClientAssertion(_) | Credential::Bearer(_) | Credential::Certificate(_) => Vec::new(),
    };
    let subject = match subject {
        Subject::Descriptor(Descriptor { id_type, id, account_id, account_csp_id, sfdc_account_id }) => {
            let kind = match id_type {
                IdType::User => "user",
                IdType::Host => "host",
                IdType::Envoy => "envoy",
            };
            let accounts = [json!(account_id), json!(account_csp_id), json!(sfdc_account_id)];
            let accounts = ["account_id", "account_csp_id", "sfdc_account_id"].into_iter().zip(accounts);
            [("id_type", json!(kind)), ("id", json!(id))].into_iter().chain(accounts).collect()
        }
        Subject::Token(token) => {
            let given = ["account_id", "account_csp_id", "sfdc_account_id"].into_iter();
            let accounts = given.filter_map(|name| Some((name, standin::attribute(attributes, name)?)));
            [("subject_token", json!(token.value))].into_iter().chain(accounts).collect()
        }
        Subject::Delegation(_) | Subject::Caller => Vec::new(),
    };
    let rest =
        [("audience", json!(audience)), ("scope", json!(scope.join(" "))), ("ttl", json!(requested_ttl)), ("step", json!(step))];
    caller.into_iter().chain(subject).chain(rest).map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
}

fn read(file: &Path) -> anyhow::Result<String> {
    let text = match file.as_os_str() == "-" {
        true => bounded::text(std::io::stdin(), MAX_FILE).context("cannot read standard input")?,
        false => super::read_text(file, MAX_FILE)?,
    };
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_prefix_or_gets_one() {
        assert_eq!(with_prefix("alice@example.com", &["email."]), "email.alice@example.com");
        assert_eq!(with_prefix("email.alice@example.com", &["email."]), "email.alice@example.com");
        assert_eq!(with_prefix("edge-7", &["ophid.", "host_id."]), "ophid.edge-7");
        assert_eq!(with_prefix("host_id.7", &["ophid.", "host_id."]), "host_id.7");
    }
}
