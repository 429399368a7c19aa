//! What the demo runs against: a folder, an issuer of user tokens, Standin's server, and its embedding API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use standin::Standin;
use standin::clock::{Clock as _, Entropy as _, SystemClock, SystemEntropy};
use standin::config::Config;
use standin::directory::import::{self, Mode};
use standin::keys::files;
use standin::server::{Server, ServerOptions};
use standin::sqlite::Database;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::issuer::Issuer;
use crate::cli::client;
use crate::cli::out::tell;

/// The issuer of every token here.
pub(super) const ISSUER: &str = "https://obo.example.com";
/// The issuer of user tokens.
pub(super) const IDP: &str = "https://idp.example.com";
/// The first downstream; `svc-ledger` receives tokens under this name.
pub(super) const API: &str = "https://api.example.com";
/// The second downstream.
pub(super) const LEDGER: &str = "https://ledger.example.com";

/// A client and its secret.
pub(super) struct DemoClient {
    pub(super) id: &'static str,
    pub(super) secret: Zeroizing<String>,
}

/// Everything the steps need.
pub(super) struct World {
    folder: Folder,
    pub(super) standin: Standin,
    pub(super) issuer: Issuer,
    pub(super) router: DemoClient,
    pub(super) ledger: DemoClient,
    pub(super) http: reqwest::Client,
    url: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<bool>,
}

impl World {
    /// Makes the folder, fills it, starts everything.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let issuer = Issuer::start().await?;
        let (router, router_digest) = demo_client("svc-router")?;
        let (ledger, ledger_digest) = demo_client("svc-ledger")?;
        let text = config(&issuer.jwks_uri(), &router_digest, &ledger_digest);
        std::fs::write(folder.0.join("standin.toml"), &text)?;
        let config = Config::read(&folder.0.join("standin.toml"))?;
        files::generate(&config.keys.dir, &config.keys.algorithms, &SystemClock::default(), &SystemEntropy)?;
        let database = Database::create(&config.directory)?;
        import::import(&database, directory().to_string().as_bytes(), Mode::Replace)?;
        let limits = &config.limits;
        let options = ServerOptions { server: config.server.clone(), max_body: limits.max_body, max_token: limits.max_token };
        let standin = Standin::builder().config(config).build().await?;
        let server = Server::bind(([127, 0, 0, 1], 0).into(), options, standin.clone(), None).await?;
        let url = format!("http://{}", server.address());
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server.serve(async move {
            // Dropping the sender stops it as well.
            let _ = stopped.await;
        }));
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { folder, standin, issuer, router, ledger, http, url, stop, server })
    }

    /// Where the server listens.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The folder.
    pub(super) fn folder(&self) -> &str {
        self.folder.0.to_str().unwrap_or_default()
    }

    /// The audit log.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.folder.0.join("audit.jsonl")
    }

    /// The key folder.
    pub(super) fn keys(&self) -> PathBuf {
        self.folder.0.join("keys")
    }

    /// The configuration file.
    pub(super) fn config(&self) -> PathBuf {
        self.folder.0.join("standin.toml")
    }

    /// Where a component file can be put.
    pub(super) fn component(&self) -> PathBuf {
        self.folder.0.join("standin.wasm")
    }

    /// A user token of the issuer's, with these claims changed.
    pub(super) fn user_token(&self, changes: &Value) -> anyhow::Result<String> {
        let now = SystemClock::default().now().as_secs();
        let mut claims = json!({
            "iss": IDP, "sub": "alice", "aud": ISSUER, "iat": now, "exp": now + 600, "jti": unique()?,
            "tenant": "acme", "scope": "expenses:read expenses:write",
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            if let Some(claims) = claims.as_object_mut() {
                claims.insert(name.clone(), value.clone());
            }
        }
        self.issuer.token(&claims)
    }

    /// Stops the server in order and closes the audit log.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let stopped = self.stop.send(());
        let finished = self.server.await?;
        self.standin.close().await?;
        if stopped.is_err() || !finished {
            return Err(anyhow!("the server did not stop in order"));
        }
        Ok(())
    }
}

/// A folder that goes when the demo goes.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = std::env::temp_dir().join(format!("standin-demo-{}", unique()?));
        std::fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tell!("cannot remove {}: {error}", Path::new(&self.0).display());
        }
    }
}

fn unique() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    SystemEntropy.fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

fn demo_client(id: &'static str) -> anyhow::Result<(DemoClient, String)> {
    let client::Secret { shown, digest } = client::new_secret()?;
    Ok((DemoClient { id, secret: shown }, digest))
}

fn config(jwks_uri: &str, router: &str, ledger: &str) -> String {
    format!(
        r#"
issuer = "{ISSUER}"
listen = "127.0.0.1:8080"
keys = {{ dir = "keys", algorithms = ["ES256", "EdDSA"] }}
directory = {{ url = "sqlite:standin.db" }}
store = {{ url = "sqlite:standin.db" }}
audit = {{ path = "audit.jsonl", durability = "fsync" }}

[[client]]
id = "svc-router"
secret_sha256 = ["{router}"]
tenants = ["acme"]
subjects = ["user", "host", "envoy", "token"]
audiences = ["{API}"]
scopes = ["expenses:read", "expenses:write"]
default_scopes = ["expenses:read"]
max_ttl = "10m"
scope_mode = "narrow"
provisional = true
provisional_scopes = ["expenses:read"]

[[client]]
id = "svc-ledger"
secret_sha256 = ["{ledger}"]
tenants = ["acme"]
subjects = ["token"]
audiences = ["{LEDGER}"]
scopes = ["expenses:read", "expenses:write"]
scope_mode = "strict"
is_audience = ["{API}"]

[[client]]
id = "edge"
attested = true
tenants = ["acme"]
subjects = ["token"]
audiences = ["{API}"]
scopes = ["expenses:read"]

[[trusted_issuer]]
name = "corp"
issuer = "{IDP}"
jwks_uri = "{jwks_uri}"
role = "subject"
audiences = ["{ISSUER}"]
algorithms = ["ES256"]
tenants = ["acme", "globex"]
tenant_claim = "tenant"

[[audience]]
id = "{API}"
flow = "local"
scopes = ["expenses:read", "expenses:write"]

[[audience]]
id = "{LEDGER}"
flow = "local"
scopes = ["expenses:read", "expenses:write"]
"#
    )
}

fn directory() -> Value {
    json!({
        "accounts": [
            { "id": "acme-eu", "tenant": "acme", "csp_id": 1001, "sfdc_account_id": "001A000001AcmeEU" },
            { "id": "acme-us", "tenant": "acme", "csp_id": 1002, "sfdc_account_id": "001A000001AcmeUS" },
            { "id": "globex", "tenant": "globex", "csp_id": 2001, "sfdc_account_id": "001A000001Globex" },
        ],
        "users": [
            { "id": "u-alice", "email": "alice@example.com", "accounts": ["acme-eu", "acme-us"], "primary_account": "acme-eu" },
            { "id": "u-bob", "email": "bob@example.com", "accounts": ["acme-eu"], "primary_account": "acme-eu" },
            { "id": "u-gina", "email": "gina@globex.example", "accounts": ["globex"], "primary_account": "globex" },
        ],
        "hosts": [{
            "id": "0f8fad5b-d9cb-469f-a165-70867728950e", "ophid": "ddi-edge-7", "account": "acme-eu",
            "api_keys": [{ "id": "k-1", "user": "u-bob" }],
        }],
    })
}
