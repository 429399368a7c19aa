//! What both sides work on: a folder that serves, an issuer's key, and subject tokens of about 500 bytes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use standin::clock::{Clock as _, SystemClock, SystemEntropy};
use standin::config::Config;
use standin::keys::files;
use standin::sqlite::Database;
use standin::tape::TapeKey;
use standin::types::{ClientSecret, Credential, Request, Subject, Token};

/// Our issuer.
pub(crate) const ISSUER: &str = "https://obo.example.com";
/// The issuer of the subject tokens.
pub(crate) const IDP: &str = "https://idp.example.com";
/// The downstream.
pub(crate) const API: &str = "https://api.example.com";
/// The caller.
pub(crate) const CLIENT: &str = "svc-router";
/// Its secret.
pub(crate) const SECRET: &str = "bench-secret-bench-secret-bench-secret-benc";
/// What it asks for.
pub(crate) const SCOPE: &str = "expenses:read";
/// How many different subject tokens there are.
pub(crate) const TOKENS: usize = 256;

const KID: &str = "idp-1";

/// What one configuration differs in from another.
#[derive(Clone, Copy)]
pub(crate) struct Variant {
    /// `[runtime] isolation`.
    pub(crate) reuse: bool,
    /// `[runtime] remember_signatures`.
    pub(crate) remember: bool,
    /// `[audit] durability`.
    pub(crate) fsync: bool,
    /// Whether every request is recorded.
    pub(crate) record: bool,
    /// How many clients are registered.
    pub(crate) clients: usize,
}

impl Default for Variant {
    fn default() -> Self {
        Self { reuse: false, remember: false, fsync: false, record: false, clients: 1 }
    }
}

/// A folder that goes when the bench goes.
pub(crate) struct World {
    folder: tempfile::TempDir,
    issuer: EcdsaKeyPair,
}

impl World {
    /// Makes the folder with keys, databases, the issuer's key set, and the tokens.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let issuer = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow!("no key for the issuer"))?;
        let world = Self { folder, issuer };
        std::fs::write(world.path("idp.jwks.json"), json!({ "keys": [jwk(&world.issuer)?] }).to_string())?;
        let config = world.config(Variant::default())?;
        files::generate(&config.keys.dir, &config.keys.algorithms, &SystemClock::default(), &SystemEntropy)?;
        Database::create(&config.directory)?;
        TapeKey::create(&world.path("record.key"), &SystemEntropy)?;
        std::fs::write(world.path("tokens.txt"), world.tokens()?.join("\n"))?;
        Ok(world)
    }

    /// A file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A checked configuration.
    pub(crate) fn config(&self, variant: Variant) -> anyhow::Result<Config> {
        Ok(Config::parse(&text(variant)?, self.folder.path())?)
    }

    /// Writes a configuration file for the command.
    pub(crate) fn write_config(&self, name: &str, variant: Variant) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, text(variant)?).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// The subject tokens.
    pub(crate) fn tokens(&self) -> anyhow::Result<Vec<String>> {
        let now = SystemClock::default().now().as_secs();
        (0..TOKENS)
            .map(|number| {
                let claims = json!({
                    "iss": IDP, "sub": format!("user-{number:04}"), "aud": ISSUER, "iat": now, "exp": now + 7_200,
                    "jti": format!("{number:032x}"), "tenant": "acme", "scope": "expenses:read expenses:write",
                    "email": format!("user-{number:04}@example.com"), "auth_time": now,
                });
                sign(&self.issuer, &claims)
            })
            .collect()
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn sign(key: &EcdsaKeyPair, claims: &Value) -> anyhow::Result<String> {
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": KID });
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = key.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| anyhow!("cannot sign a subject token"))?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn jwk(key: &EcdsaKeyPair) -> anyhow::Result<Value> {
    // SEC 1 §2.3.3: 0x04, x, y.
    let (x, y) = key.public_key().as_ref().get(1..).and_then(|point| point.split_at_checked(32)).context("not a P-256 point")?;
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    Ok(json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KID, "x": x, "y": y }))
}

/// SHA-256 of the client's secret.
pub(crate) fn secret_digest() -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, SECRET.as_bytes()).as_ref());
    bytes
}

/// The same in hexadecimal digits.
pub(crate) fn secret_digest_hex() -> String {
    secret_digest().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who is who, for servers that are no part of this program.
pub(crate) fn names() -> String {
    json!({ "api": API, "client": CLIENT, "idp": IDP, "issuer": ISSUER }).to_string()
}

/// `Authorization` of the client.
pub(crate) fn basic() -> String {
    basic_of(CLIENT)
}

/// The same of another client.
pub(crate) fn basic_of(client: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client}:{SECRET}")))
}

/// The body of a token exchange (RFC 8693 §2.1), but for the subject token that ends it.
pub(crate) const FORM: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
    &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt\
    &audience=https%3A%2F%2Fapi.example.com&scope=expenses%3Aread&subject_token=";

/// The same as a request of the embedding API.
pub(crate) fn request(subject: Subject) -> Request {
    Request {
        correlation_id: String::new(),
        caller: Credential::ClientSecret(ClientSecret { client_id: CLIENT.to_owned(), secret: SECRET.to_owned() }),
        subject,
        actor: None,
        audience: vec![API.to_owned()],
        resource: Vec::new(),
        scope: vec![SCOPE.to_owned()],
        requested_token_type: None,
        requested_ttl: None,
        step: None,
        dpop: None,
        attributes: Vec::new(),
    }
}

/// A subject named by a token.
pub(crate) fn by_token(token: &str) -> Subject {
    Subject::Token(Token { value: token.to_owned(), token_type: standin::JWT_TYPE.to_owned() })
}

fn text(variant: Variant) -> anyhow::Result<String> {
    let Variant { reuse, remember, fsync, record, clients } = variant;
    let (isolation, durability) = (if reuse { "reuse" } else { "request" }, if fsync { "fsync" } else { "os" });
    let record = if record { "record = { dir = \"tapes\", key = \"record.key\" }" } else { "" };
    let mut text = format!(
        r#"
issuer = "{ISSUER}"
listen = "127.0.0.1:0"
keys = {{ dir = "keys", algorithms = ["EdDSA"] }}
directory = {{ url = "sqlite:directory.db" }}
store = {{ url = "sqlite:store.db" }}
audit = {{ path = "audit-{isolation}-{durability}-{remember}.jsonl", durability = "{durability}" }}
runtime = {{ isolation = "{isolation}", remember_signatures = {remember} }}
# All that is measured comes from one address.
server = {{ max_connections_per_peer = 1024 }}
{record}

[[trusted_issuer]]
name = "corp"
issuer = "{IDP}"
jwks_file = "idp.jwks.json"
role = "subject"
audiences = ["{ISSUER}"]
algorithms = ["ES256"]
tenants = ["acme"]
tenant_claim = "tenant"

[[audience]]
id = "{API}"
flow = "local"
scopes = ["expenses:read", "expenses:write"]
"#
    );
    let digest = secret_digest_hex();
    for number in 0..clients {
        let id = if number == 0 { CLIENT.to_owned() } else { format!("svc-{number:06}") };
        write!(
            text,
            r#"
[[client]]
id = "{id}"
secret_sha256 = ["{digest}"]
tenants = ["acme"]
subjects = ["user", "token"]
audiences = ["{API}"]
scopes = ["expenses:read", "expenses:write"]
default_scopes = ["expenses:read"]
"#
        )?;
    }
    Ok(text)
}
