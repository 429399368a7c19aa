//! The operator's file, `standin.toml`: raw, then checked.
//!
//! The file is read once and whole. Every fault is reported at once, with its line, column and key; a key that means nothing is
//! a fault too. What comes out is right: the rest of the host does not look at it twice.

mod client;
mod downstream;
mod fault;
mod host;
mod issuer;
mod policy;
mod reader;
mod restart;
#[cfg(test)]
mod tests;
mod value;

use std::fs::File;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use standin_core::registry::{Algorithm, Audience, Client, Issuer, IssuerKeys};
use toml_edit::Document;

pub use self::fault::{ConfigError, Fault, Problem, Report};
use self::reader::{Faults, Repeated, Section};
use crate::bounded;
use crate::guard::{self, GuardError};
use crate::hex;

/// The longest file, in bytes: room for tens of thousands of clients.
const MAX_FILE: u64 = 32 * 1024 * 1024;
/// How many repeated keys are looked past before the file counts as unreadable.
const MAX_REPEATED: usize = 64;

/// The name of a file that was never one, in messages about [`Config::parse`].
const DEFAULT_NAME: &str = "standin.toml";

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our issuer: `iss` of what we mint, `aud` of caller JWTs.
    pub issuer: String,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Our signing keys.
    pub keys: SigningKeys,
    /// The SQLite file of the directory.
    pub directory: PathBuf,
    /// The SQLite file of the store.
    pub store: PathBuf,
    /// The audit log.
    pub audit: AuditLog,
    /// What holds for every request.
    pub limits: Limits,
    /// The policy modules.
    pub policy: Policy,
    /// The endpoint for whoever operates this server; without it there is none.
    pub admin: Option<Admin>,
    /// Which requests are recorded; none without it.
    pub record: Option<Record>,
    /// The component's sandbox.
    pub runtime: Runtime,
    /// The HTTP server.
    pub server: Server,
    /// How long the host's own calls may take.
    pub timeouts: Timeouts,
    /// Registered callers; ids and identities are unique.
    pub clients: Vec<ClientRegistration>,
    /// Trusted issuers; issuers and names are unique.
    pub issuers: Vec<IssuerRegistration>,
    /// Downstreams; ids are unique.
    pub audiences: Vec<Audience>,
    /// Remote authorization servers; names are unique.
    pub providers: Vec<Provider>,
}

/// `[keys]`.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    /// The folder of the PEM files.
    pub dir: PathBuf,
    /// What is signed with, at least one: of EdDSA, ES256 and RS256. The first is what audiences have for default.
    pub algorithms: Vec<Algorithm>,
}

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLog {
    /// The file.
    pub path: PathBuf,
    /// What a written event survives.
    pub durability: Durability,
    /// Events between two signed checkpoints.
    pub checkpoint_every: u64,
    /// The longest time between two signed checkpoints while events are written.
    pub checkpoint_interval: Duration,
    /// A file of this many bytes is closed, and the next one begun.
    pub max_size: u64,
    /// How many closed files stay; all of them without it.
    pub keep: Option<u32>,
}

/// What a written event survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A crash of the machine.
    Fsync,
    /// A crash of the process.
    Os,
}

/// `limits.caller_failures`, where it is not given.
pub(crate) const FAILURES: u32 = 10;

/// `[limits]`. Lifetimes are in seconds, sizes in bytes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Where nothing else is asked.
    pub default_ttl: u32,
    /// The longest lifetime of any token.
    pub max_ttl: u32,
    /// The longest chain of actors.
    pub max_chain: u8,
    /// Requests being served at once; more wait.
    pub max_in_flight: u32,
    /// After so many failures of one client from one peer the two are slowed; after 0, never.
    pub caller_failures: u32,
    /// The longest token taken in.
    pub max_token: u32,
    /// The deepest nesting of its claims.
    pub max_depth: u8,
    /// The longest request body.
    pub max_body: u32,
}

/// `[policy]`.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The platform's module: it is asked whatever the tenant.
    pub platform: PolicyModule,
    /// Tenants' own modules, ANDed with the platform's; tenants are unique.
    pub tenants: Vec<TenantPolicy>,
    /// When a module that keeps failing is no longer asked.
    pub breaker: Breaker,
    /// How often the files are looked at for a change; zero for never.
    pub watch: Duration,
}

/// `[[policy.tenant]]`.
#[derive(Debug, Clone)]
pub struct TenantPolicy {
    /// The tenant.
    pub tenant: String,
    /// Its module, always a file.
    pub module: PolicyModule,
}

/// A policy module and what is asked of it.
#[derive(Debug, Clone)]
pub struct PolicyModule {
    /// Which module.
    pub source: PolicySource,
    /// The most memory of one evaluation, in bytes.
    pub memory: u32,
    /// The most time of one evaluation.
    pub deadline: Duration,
    /// Files of public keys, one of which has to have signed the module; without any, nobody has to.
    pub trusted_keys: Vec<PathBuf>,
    /// The SHA-256 the module has to have.
    pub digest: Option<[u8; 32]>,
    /// The file of a candidate, which is asked the same and decides nothing.
    pub shadow: Option<PathBuf>,
}

/// `breaker` of `[policy]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// So many failures
    pub failures: u32,
    /// within this time open it;
    pub window: Duration,
    /// after this time one request may try again.
    pub rest: Duration,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listener: AdminListener,
    /// SHA-256 digests of its live secrets, one or two.
    pub secret_digests: Vec<[u8; 32]>,
}

/// Where the admin endpoint listens: never off this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminListener {
    /// A loopback address.
    Tcp(SocketAddr),
    /// A Unix socket (0600).
    Unix(PathBuf),
}

/// Where a policy module comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicySource {
    /// The one that is built in: it permits what the registrations allow.
    Baseline,
    /// A component file.
    File(PathBuf),
}

/// `record`: tapes of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The folder of tapes.
    pub dir: PathBuf,
    /// The file of the key that seals them.
    pub key: PathBuf,
    /// Which share of the requests, 0 to 1.
    pub sample: f64,
    /// Tapes that are kept; the oldest go.
    pub max_tapes: u32,
    /// How long they are kept.
    pub max_age: Duration,
    /// The longest tape, in bytes.
    pub max_tape: u32,
}

/// `[runtime]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// How long a sandbox lives.
    pub isolation: Isolation,
    /// The most memory of one sandbox, in bytes.
    pub memory: u32,
    /// The most time the component itself may compute for one request.
    pub cpu: Duration,
    /// The folder of compiled images.
    pub cache: PathBuf,
    /// Whether a signature that was right once is believed for a while, or verified every time.
    pub remember_signatures: bool,
}

/// How long a sandbox lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// For one request.
    Request,
    /// For this many requests.
    Reuse(u32),
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The most header fields of a request.
    pub max_headers: u32,
    /// The longest time until a request's headers are there.
    pub header_timeout: Duration,
    /// How long a connection may stay without a request.
    pub idle_timeout: Duration,
    /// The longest time a whole request may take.
    pub request_timeout: Duration,
    /// How long a stopping server waits for what is in flight.
    pub grace: Duration,
    /// Connections open at once.
    pub max_connections: u32,
    /// Of them those of one peer.
    pub max_connections_per_peer: u32,
    /// Where the operator's pages are served, if not where everything is.
    pub health_listen: Option<SocketAddr>,
    /// TLS; without it the server speaks plain HTTP.
    pub tls: Option<Tls>,
    /// Plain HTTP off loopback, behind a TLS terminator.
    pub dangerous_plain_http: bool,
}

/// `tls` of `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// `[timeouts]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// One question to the directory.
    pub directory: Duration,
    /// One question to the store.
    pub store: Duration,
    /// One audit event.
    pub audit: Duration,
    /// One exchange with a provider.
    pub http: Duration,
    /// One signature, or one verification with its fetch.
    pub keys: Duration,
}

/// `[[client]]`.
#[derive(Debug, Clone)]
pub struct ClientRegistration {
    /// What the component learns of it.
    pub client: Client,
    /// SHA-256 digests of its live secrets, at most two.
    pub secret_digests: Vec<[u8; 32]>,
    /// The pairs of a caller-issuer and its `sub` that are this client.
    pub identities: Vec<Identity>,
}

/// A caller-issuer and its `sub`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// A trusted issuer with `role = "caller"`.
    pub issuer: String,
    /// Its `sub`, exactly.
    pub sub: String,
}

/// `[[trusted_issuer]]`.
#[derive(Debug, Clone)]
pub struct IssuerRegistration {
    /// What the component learns of it.
    pub issuer: Issuer,
    /// How its signatures are checked.
    pub keys: IssuerKeys,
}

/// `[[provider]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// `https`, or `http` on loopback; no path.
    pub origin: String,
    /// How we are known there, and the file of the secret.
    pub credential: Option<ProviderCredential>,
    /// For one exchange.
    pub timeout: Duration,
    /// The longest answer body, in bytes.
    pub max_body: u32,
}

/// How we are known at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderCredential {
    /// Our client id there.
    pub client_id: String,
    /// The file of our secret there; mode 0600 is for its reader to enforce.
    pub secret_file: PathBuf,
}

/// What `secret_sha256` holds of a secret.
pub fn secret_digest(secret: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes()).as_ref())
}

impl Config {
    /// Reads and checks a file. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// Where it cannot be read, somebody else can write it, or it has any fault; all its faults are in the error.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::read_from(path, guard::open(path))
    }

    /// The same for whoever edits the file for its owner, as root may.
    ///
    /// # Errors
    /// As [`Config::read`], but for the owner.
    pub fn read_for_its_owner(path: &Path) -> Result<Self, ConfigError> {
        Self::read_from(path, guard::open_for_its_owner(path))
    }

    fn read_from(path: &Path, opened: Result<File, GuardError>) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { file: path.to_owned(), source };
        let file = opened.map_err(|error| match error {
            GuardError::Io(errno) => unreadable(errno.into()),
            source => ConfigError::Unguarded { file: path.to_owned(), source },
        })?;
        let text = bounded::text(file, MAX_FILE).map_err(|error| match error.kind() {
            ErrorKind::FileTooLarge => ConfigError::TooLong { file: path.to_owned(), limit: MAX_FILE },
            _ => unreadable(error),
        })?;
        Self::check(&text, path, path.parent().unwrap_or(Path::new("")))
    }

    /// Checks a text. Relative paths in it start at `base_dir`.
    ///
    /// # Errors
    /// Where it has any fault; all of them are in the error.
    pub fn parse(text: &str, base_dir: &Path) -> Result<Self, ConfigError> {
        Self::check(text, Path::new(DEFAULT_NAME), base_dir)
    }

    fn check(text: &str, file: &Path, base: &Path) -> Result<Self, ConfigError> {
        Self::checked(text, base).map_err(|faults| ConfigError::Faulty(Report { file: file.to_owned(), faults }))
    }

    fn checked(text: &str, base: &Path) -> Result<Self, Vec<Fault>> {
        let (document, repeated) = parse_past_repeated_keys(text)?;
        let faults = Faults::new(text, repeated);
        let config = Self::from_root(Section::root(document.as_table(), &faults), base);
        match config {
            Some(config) if faults.none() => Ok(config),
            Some(_) | None => Err(faults.into_sorted()),
        }
    }

    /// One section after the other; references go from the later to the earlier ones. `None` only beside a fault.
    fn from_root(mut root: Section<'_>, base: &Path) -> Option<Self> {
        let issuer = root.required("issuer", value::text(value::issuer));
        let listen = host::listen(&mut root);
        let keys = host::keys(root.section("keys"), base);
        let directory = host::database(root.section("directory"), base);
        let store = host::database(root.section("store"), base);
        let audit = host::audit(root.section("audit"), base);
        let limits = host::limits(root.section("limits"));
        let (policy, tenants) = policy::policy(root.section("policy"), base);
        let admin = policy::admin(&mut root, base);
        let record = host::record(root.section("record"), base);
        let runtime = host::runtime(root.section("runtime"), base);
        let server = host::server(root.section("server"), &listen, base);
        let timeouts = host::timeouts(root.section("timeouts"));
        let own = issuer.as_ref().map(|issuer| issuer.value.as_str());
        let issuers = issuer::read_all(root.sections("trusted_issuer"), own, base);
        let audiences = downstream::audiences(root.sections("audience"), &keys.algorithms, limits.max_ttl);
        let providers = downstream::providers(root.sections("provider"), base, timeouts.http);
        let context = client::Context { audiences: &audiences.ids, caller_issuers: &issuers.callers, max_ttl: limits.max_ttl };
        let clients = client::read_all(root.sections("client"), &context);
        policy::check_tenants(&tenants, &clients, root.faults);
        root.finish();
        Some(Self {
            issuer: issuer?.value,
            listen: listen.value,
            keys,
            directory,
            store,
            audit,
            limits,
            policy,
            admin,
            record,
            runtime,
            server,
            timeouts,
            clients,
            issuers: issuers.registered,
            audiences: audiences.registered,
            providers,
        })
    }
}

/// Parses the text. TOML ends at the first repeated key; so that the rest is judged too, such a key is given another name of
/// the same length in a copy, and the offsets stay right.
fn parse_past_repeated_keys(text: &str) -> Result<(Document<String>, Vec<Repeated>), Vec<Fault>> {
    let mut copy = text.to_owned();
    let mut repeated: Vec<Repeated> = Vec::new();
    loop {
        let error = match Document::parse(copy.clone()) {
            Ok(document) => return Ok((document, repeated)),
            Err(error) => error,
        };
        let span = error.span().unwrap_or_default();
        let key = text.get(span.clone()).filter(|key| !key.is_empty());
        let seen = repeated.iter().any(|(at, _)| *at == span.start);
        match key {
            Some(key) if error.message() == "duplicate key" && !seen && repeated.len() < MAX_REPEATED => {
                copy.replace_range(span.clone(), &format!("{:_>1$}", repeated.len(), key.len()));
                repeated.push((span.start, key.to_owned()));
            }
            Some(_) | None => {
                let faults = Faults::new(text, repeated);
                faults.push(span.start, String::new(), Problem::Syntax(error.message().to_owned()));
                return Err(faults.into_sorted());
            }
        }
    }
}
