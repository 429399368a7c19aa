//! A whole Standin in memory, natively: the component's own code over the host's own imports, with a directory, two issuers' keys and
//! a policy that permits. A request takes microseconds, and a fuzzer sees which ways it took through both.

mod answer;
mod crossing;
mod native;
mod signer;
mod still;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use standin::clock::Clock;
use standin::config::{Config, secret_digest};
use standin::decision_point::Judge;
use standin::directory::{Directory, MemoryDirectory};
use standin::endpoint::HttpRequest;
use standin::http::Http;
use standin::keys::{IssuerKeySets, Keys as _, Verifier};
use standin::registry::{Registrations, Registry as _};
use standin::store::{MemoryStore, Store};
use tokio::runtime::{Builder, Runtime};

pub(crate) use self::answer::Answer;
use self::signer::Signer;
use self::still::{NOW, Permits, Published, Still};

/// Our issuer.
pub(crate) const ISSUER: &str = "https://obo.example.com";
/// A downstream of every client.
pub(crate) const API: &str = "https://api.example.com";
/// Another one.
const LEDGER: &str = "https://ledger.example.com";
/// The issuer of callers.
pub(crate) const CALLERS: &str = "https://callers.example.com";
/// The secret of every client that has one.
pub(crate) const SECRET: &str = "test-secret-test-secret-test-secret-test-se";
/// The registrations of the end-to-end tests; every issuer signs with the one key here.
const CONFIG: &str = include_str!("../../tests/src/world.toml");
const DIRECTORY: &str = include_str!("world/directory.json");

/// All of it.
pub(crate) struct World {
    runtime: Runtime,
    registry: Arc<Registrations>,
    directory: Arc<dyn Directory>,
    store: Arc<dyn Store>,
    judge: Arc<dyn Judge>,
    verifier: Arc<Verifier>,
    /// Our own key.
    pub(crate) own: Arc<Signer>,
    /// The key of every trusted issuer.
    pub(crate) theirs: Signer,
}

impl World {
    /// The one that there is.
    pub(crate) fn get() -> &'static Self {
        static WORLD: LazyLock<World> = LazyLock::new(World::new);
        &WORLD
    }

    fn new() -> Self {
        let secret = secret_digest(SECRET);
        let filled_in = [
            ("$ISSUER", ISSUER),
            ("$API", API),
            ("$LEDGER", LEDGER),
            ("$SECRET_SHA256", secret.as_str()),
            ("$JWKS_URI", "https://keys.example.com/jwks.json"),
            ("ES256", "EdDSA"),
        ];
        let text = filled_in.into_iter().fold(CONFIG.to_owned(), |text, (name, value)| text.replace(name, value));
        let config = Config::parse(&text, Path::new("/")).unwrap_or_else(|error| panic!("{error}"));
        let directory = MemoryDirectory::load(DIRECTORY.as_bytes()).expect("a directory");
        let theirs = Signer::new(2, "theirs");
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let network: Arc<dyn Http> = Arc::new(Published(theirs.jwks().to_string()));
        let issuers = Arc::new(IssuerKeySets::new(network, Arc::clone(&clock)));
        Self {
            runtime: Builder::new_current_thread().enable_time().build().expect("a runtime"),
            registry: Arc::new(Registrations::from_config(&config)),
            directory: Arc::new(directory),
            store: Arc::new(MemoryStore::new(Arc::clone(&clock))),
            judge: Arc::new(Permits),
            verifier: Arc::new(Verifier::new(false, issuers, clock)),
            own: Arc::new(Signer::new(1, "ours")),
            theirs,
        }
    }

    /// A live token of a trusted issuer.
    pub(crate) fn subject_token(&self) -> String {
        let claims = serde_json::json!({
            "iss": "https://idp.example.com", "sub": "alice", "aud": ISSUER, "iat": NOW, "exp": NOW + 300, "jti": "j-1",
            "tenant": "acme", "scope": "expenses:read expenses:write",
        });
        self.theirs.token("JWT", claims.to_string().as_bytes())
    }

    /// How deep claims may nest.
    pub(crate) fn max_depth(&self) -> u8 {
        self.registry.settings().max_depth
    }

    /// Waits for what is never long in coming.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Answers a POST, and looks at everything that has to hold of any answer.
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Answer<'_> {
        Answer::of(
            self,
            HttpRequest {
                method: "POST".into(),
                scheme: "https".into(),
                authority: "obo.example.com".into(),
                path: path.into(),
                query: String::new(),
                headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
                body: body.to_vec(),
                peer: String::new(),
                certificate: None,
                correlation_id: "c-1".into(),
            },
        )
    }

    /// The same of a form at the token endpoint.
    pub(crate) fn exchange(&self, client: &str, body: &[u8]) -> Answer<'_> {
        let authorization = basic(client);
        let headers = [("authorization", authorization.as_bytes()), ("content-type", FORM)];
        self.post("/oauth2/token", &headers, body)
    }

    /// The same of a descriptor.
    pub(crate) fn mint(&self, client: &str, body: &[u8]) -> Answer<'_> {
        let authorization = basic(client);
        let headers = [("authorization", authorization.as_bytes()), ("content-type", JSON)];
        self.post("/v2/session/svc/obo_mint", &headers, body)
    }
}

/// The media type of a form.
pub(crate) const FORM: &[u8] = b"application/x-www-form-urlencoded";
/// The media type of a JSON body.
pub(crate) const JSON: &[u8] = b"application/json";

/// The header of a client that shows its secret.
fn basic(client: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{client}:{SECRET}")))
}
