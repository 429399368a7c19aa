//! A Standin in a temporary folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use standin::clock::{SystemClock, SystemEntropy};
use standin::config::{Config, secret_digest};
use standin::directory::import::{self, Mode};
use standin::keys::files;
use standin::server::{Server, ServerOptions};
use standin::sqlite::Database;
use standin::{Builder, Standin};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::idp::Idp;
use crate::process;

/// The issuer under test.
pub const ISSUER: &str = "https://obo.example.com";
/// A downstream of every client.
pub const API: &str = "https://api.example.com";
/// Another one, whose tokens `svc-ledger` may exchange no further.
pub const LEDGER: &str = "https://ledger.example.com";
/// Wide limits on time.
pub const PATIENT: &str = "\n[policy]\ndeadline = \"5s\"\n[runtime]\ncpu = \"2s\"\n";
/// The secret of every client here.
pub const SECRET: &str = "test-secret-test-secret-test-secret-test-se";

/// A folder with configuration, keys and directory, and an issuer of tokens.
pub struct World {
    folder: tempfile::TempDir,
    /// The issuer of user tokens (`https://idp.example.com`) and, with another key, of callers (`https://callers.example.com`).
    pub idp: Idp,
    config: String,
}

impl World {
    /// The usual world: [`config`] and [`directory`].
    pub async fn new() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    /// The usual world with wide limits on time, so that a busy machine is not taken for a component that misbehaves.
    pub async fn patient() -> Self {
        Self::with(|config| config.push_str(PATIENT), |_| {}).await
    }

    /// The usual world with its configuration text and its directory document changed.
    pub async fn with(change_config: impl FnOnce(&mut String), change_directory: impl FnOnce(&mut Value)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let idp = Idp::start().await;
        let mut text = config(&idp.jwks_uri());
        change_config(&mut text);
        let mut document = directory();
        change_directory(&mut document);
        let world = Self { folder, idp, config: text };
        std::fs::write(world.path("standin.toml"), &world.config).expect("standin.toml");
        let config = world.config();
        files::generate(&config.keys.dir, &config.keys.algorithms, &SystemClock::default(), &SystemEntropy).expect("keys");
        let database = Database::create(&config.directory).expect("a database");
        import::import(&database, document.to_string().as_bytes(), Mode::Replace).expect("a directory");
        world
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The checked configuration.
    pub fn config(&self) -> Config {
        Config::read(&self.path("standin.toml")).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The configuration's text.
    pub fn config_text(&self) -> &str {
        &self.config
    }

    /// A builder with the configuration.
    pub fn builder(&self) -> Builder {
        Standin::builder().config(self.config())
    }

    /// The host with everything as configured.
    pub async fn standin(&self) -> Standin {
        self.builder().build().await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The HTTP server in front of `standin`, on loopback.
    pub async fn serve(&self, standin: &Standin) -> Running {
        let config = self.config();
        let limits = &config.limits;
        let options = ServerOptions { server: config.server.clone(), max_body: limits.max_body, max_token: limits.max_token };
        let server = Server::bind(([127, 0, 0, 1], 0).into(), options, standin.clone(), None).await.expect("a server");
        let (address, health) = (server.address(), server.health_address());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(async move {
            let _ = stopped.await;
        }));
        Running { address, health, stop: Some(stop), task }
    }

    /// The lines of the audit log, whole ones only.
    pub fn audit_lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        // The log may be written while it is read: what stands after the last newline is not a line yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _unfinished)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Nothing is wrong with the log; checked by the command, with the keys of the configuration.
    pub fn verify_audit(&self) {
        let mut command = process::command();
        let command = command.args(["audit", "verify", "--config"]).arg(self.path("standin.toml")).arg(self.path("audit.jsonl"));
        let output = command.output().expect("the command runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    /// The audit events of one attempt.
    pub fn audit_of(&self, correlation_id: &str) -> Vec<Value> {
        self.audit_lines().into_iter().filter(|line| line["correlation_id"] == correlation_id).collect()
    }
}

/// A running server; it stops when this goes.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the operator's pages are, where they have a listener of their own.
    pub health: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<bool>,
}

impl Running {
    /// A URL on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Tells it to stop, and waits for nothing.
    pub fn begin_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops it; whether everything in flight was finished.
    pub async fn stop(mut self) -> bool {
        self.begin_to_stop();
        tokio::time::timeout(Duration::from_secs(60), &mut self.task).await.expect("the server stops").expect("the server ran")
    }
}

/// The usual configuration. Clients: `svc-router` (everything in acme, two steps), `svc-strict` (the same, strict), `svc-ledger` (receives
/// tokens as [`API`]), `svc-bearer` (authenticates by caller JWT), `edge` (attested), `svc-crosser` (acme into globex),
/// `svc-admin` (protected users), `svc-other` (tenant globex).
pub fn config(jwks_uri: &str) -> String {
    let secret = secret_digest(SECRET);
    let filled_in =
        [("$ISSUER", ISSUER), ("$API", API), ("$LEDGER", LEDGER), ("$SECRET_SHA256", secret.as_str()), ("$JWKS_URI", jwks_uri)];
    filled_in.into_iter().fold(include_str!("world.toml").to_owned(), |text, (name, value)| text.replace(name, value))
}

/// The usual directory.
pub fn directory() -> Value {
    json!({
        "accounts": [
            { "id": "acme-eu", "tenant": "acme", "csp_id": 1001, "sfdc_account_id": "001AcmeEU" },
            { "id": "acme-us", "tenant": "acme", "csp_id": 1002, "sfdc_account_id": "001AcmeUS" },
            { "id": "acme-old", "tenant": "acme", "csp_id": 1003, "sfdc_account_id": "001AcmeOld", "state": "disabled" },
            { "id": "globex", "tenant": "globex", "csp_id": 2001, "sfdc_account_id": "001Globex" },
        ],
        "users": [
            { "id": "u-alice", "email": "alice@example.com", "accounts": ["acme-eu", "acme-us"], "primary_account": "acme-eu",
              "external": [{ "issuer": "joined", "value": "E-1" }] },
            { "id": "u-bob", "email": "bob@example.com", "accounts": ["acme-eu"], "primary_account": "acme-eu", "scopes": ["expenses:read"],
              "external": [{ "issuer": "joined", "value": "E-2" }] },
            { "id": "u-carl", "email": "carl@example.com", "accounts": ["acme-eu"], "primary_account": "acme-eu", "state": "disabled" },
            { "id": "u-dora", "email": "dora@example.com", "accounts": ["acme-old"], "primary_account": "acme-old" },
            { "id": "u-root", "email": "root@example.com", "accounts": ["acme-eu"], "primary_account": "acme-eu", "protected": true },
            { "id": "u-gina", "email": "gina@globex.example", "accounts": ["globex"], "primary_account": "globex" },
            { "id": "u-both", "email": "both@example.com", "accounts": ["acme-eu", "globex"], "primary_account": "acme-eu" },
        ],
        "hosts": [
            { "id": "0f8fad5b-d9cb-469f-a165-70867728950e", "ophid": "edge-7", "account": "acme-eu",
              "api_keys": [{ "id": "k-1", "user": "u-bob" }] },
            { "id": "1f8fad5b-d9cb-469f-a165-70867728950e", "ophid": "edge-off", "account": "acme-eu", "state": "disabled",
              "api_keys": [{ "id": "k-2", "user": "u-bob" }] },
            { "id": "2f8fad5b-d9cb-469f-a165-70867728950e", "ophid": "edge-keyless", "account": "acme-eu",
              "api_keys": [{ "id": "k-3", "user": "u-bob", "state": "disabled" }] },
            { "id": "3f8fad5b-d9cb-469f-a165-70867728950e", "ophid": "edge-foreign", "account": "acme-us",
              "api_keys": [{ "id": "k-4", "user": "u-bob" }] },
            { "id": "4f8fad5b-d9cb-469f-a165-70867728950e", "ophid": "edge-two", "account": "acme-eu",
              "api_keys": [{ "id": "k-5", "user": "u-bob" }, { "id": "k-6", "user": "u-alice" }] },
            { "id": "5f8fad5b-d9cb-469f-a165-70867728950e", "ophid": "edge-globex", "account": "globex",
              "api_keys": [{ "id": "k-7", "user": "u-gina" }] },
        ],
    })
}
