//! The embedding API: a request in, a token or a failure out.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use standin_domain::error::{RuntimeError, UNRECORDED};

use crate::audit::{self, AuditError, AuditLog, Rotated};
use crate::bindings::endpoint::{HttpRequest, HttpResponse};
use crate::bindings::types::{Attribute, Credential, Failure, Minted, Request};
use crate::builder::{Builder, Loader};
use crate::call::{Call, Target};
use crate::claimed;
use crate::clock::Clock;
use crate::door::{Crowded, Door, Origin, Place};
use crate::engine::{Sandbox, SandboxError, Supply};
use crate::evidence::Evidence;
use crate::guessing::Asker;
use crate::json;
use crate::peer::Peer;
use crate::shared::{Shared, Snapshot};
use crate::state::RequestState;
use crate::tape::{self, Recorder, Tape, TapedClock, TapedEntropy};

/// How long a log that closes waits for what is still to be said of requests that were given up.
const SETTLE: Duration = Duration::from_secs(2);
/// How long a part may take to say whether it can serve.
const READY: Duration = Duration::from_secs(2);
/// What a request has at least, however long it waited for its place.
const AT_LEAST: Duration = Duration::from_millis(10);

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) supply: Supply<RequestState>,
    pub(crate) door: Door,
    pub(crate) loader: Loader,
    pub(crate) log: Option<Arc<AuditLog>>,
    pub(crate) recorder: Option<Arc<Recorder>>,
}

/// A request that has its place and has not begun.
struct Asked {
    place: Place,
    since: Duration,
    correlation_id: String,
}

/// The component in its host. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Standin {
    pub(crate) inner: Arc<Inner>,
}

/// Which part cannot serve now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// `directory`, `store`, `audit` or `keys`.
    pub part: &'static str,
    /// Why, for the operator.
    pub cause: String,
}

impl Standin {
    /// Begins with the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The three steps in one call.
    ///
    /// # Errors
    /// The failure as the caller may see it; its cause is in the audit log.
    pub async fn mint_on_behalf(&self, request: Request) -> Result<Minted, Failure> {
        let work = async |mut call: Call, request: Request| {
            let answer = call
                .bounded(tape::Call::MintOnBehalf(Cow::Borrowed(&request)), async |sandbox| {
                    sandbox.obo(async |obo, store| obo.call_mint_on_behalf(store, &request).await).await
                })
                .await?;
            call.end(answer).await
        };
        self.asked(request, work).await
    }

    /// Everything but the signature, as a JSON object (docs/explain.md).
    ///
    /// # Errors
    /// The failure, only where the caller could not be authenticated or the sandbox failed.
    pub async fn explain(&self, request: Request) -> Result<String, Failure> {
        let work = async |mut call: Call, request: Request| {
            call.runs_dry();
            let answer = call
                .bounded(tape::Call::Explain(Cow::Borrowed(&request)), async |sandbox| {
                    sandbox.obo(async |obo, store| obo.call_explain(store, &request).await).await
                })
                .await?;
            // A dry run answers also where it could not be recorded, and says so; whoever hid it is recorded here.
            if answer.is_ok()
                && let Some(evidence) = call.unrecorded()
            {
                call.record(&evidence, UNRECORDED).await;
                call.release();
                return answer;
            }
            call.end(answer).await
        };
        self.asked(request, work).await
    }

    /// Step 1: authenticates the caller and finds the subject.
    ///
    /// # Errors
    /// The failure as the caller may see it; its cause is in the audit log.
    pub async fn resolve_target(&self, request: Request) -> Result<Target, Failure> {
        let work = async |mut call: Call, request: Request| {
            let answer = call
                .bounded(tape::Call::ResolveTarget(Cow::Borrowed(&request)), async |sandbox| {
                    sandbox.obo(async |obo, store| obo.call_resolve_target(store, &request).await).await
                })
                .await?;
            match answer {
                Ok(handle) => Ok(Target { call, handle }),
                Err(failure) => call.end(Err(failure)).await,
            }
        };
        self.asked(request, work).await
    }

    /// Answers one HTTP request through the component's protocol faces. Every failure is an answer. A correlation id that is not
    /// 1 to 128 characters of `A-Z a-z 0-9 . _ : -` is replaced.
    pub async fn handle(&self, request: HttpRequest) -> HttpResponse {
        self.line_up(self.clock().monotonic(), request).await
    }

    /// The same of a request that came then: its time has been running since. It has its place in the order from this call on, wherever
    /// the answer is worked out.
    pub(crate) fn line_up(&self, came: Duration, mut request: HttpRequest) -> impl Future<Output = HttpResponse> + Send + use<> {
        request.correlation_id = self.correlation_id(&request.correlation_id);
        let peer = Peer::named(&request.peer);
        let claim = claimed::by_http(&request.headers, &request.body);
        let place = self.inner.door.place(Origin::Stranger { peer, claim: claim.as_deref() });
        let asked = Asked { place, since: came, correlation_id: request.correlation_id.clone() };
        // What is public is nobody's secret, and anybody may ask for it as often as they like.
        let taped = !is_public(&request);
        let standin = self.clone();
        async move {
            let carried = async |mut call: Call| {
                call.carries(&request);
                Ok(answer(call, &request).await)
            };
            let answered = standin.through(asked, peer, taped, carried).await;
            answered.unwrap_or_else(|failure| error_response(&failure))
        }
    }

    /// How many requests compute at once, at most.
    pub(crate) fn computing_at_once(&self) -> usize {
        self.inner.door.computing_at_once()
    }

    /// Where the time comes from.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.shared.clock)
    }

    /// Puts another snapshot in place, whole. Requests in flight end on the one they began with.
    pub fn replace(&self, snapshot: Snapshot) {
        self.inner.shared.snapshot.store(Arc::new(snapshot));
    }

    /// What new requests see.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.shared.snapshot.load_full()
    }

    /// Whether every part can serve now; one entry for each that cannot.
    pub async fn not_ready(&self) -> Vec<NotReady> {
        let shared = &self.inner.shared;
        let parts = tokio::join!(
            asked("directory", async { shared.directory.ready().await.map_err(|error| format!("{error:?}")) }),
            asked("store", async { shared.store.ready().await.map_err(|error| format!("{error:?}")) }),
            asked("audit", async { shared.audit.ready().await.map_err(|error| error.to_string()) }),
        );
        let keys = (!self.keys_are_fresh())
            .then(|| NotReady { part: "keys", cause: "the key folder was not seen as it was read for too long".to_owned() });
        [parts.0, parts.1, parts.2, keys].into_iter().flatten().collect()
    }

    /// The names of the trusted issuers whose key set, as it was last fetched, has no key that verifies anything.
    pub fn issuers_without_keys(&self) -> Vec<String> {
        self.inner.shared.verifier.issuers().without_keys()
    }

    /// Closes the file of the audit log that is written, with a signed checkpoint, and goes on in a new one.
    ///
    /// # Errors
    /// Where that cannot be done, or the log is the embedding program's own. Whoever asked may be gone: it is done to its end.
    pub async fn rotate_audit(&self) -> Result<Rotated, AuditError> {
        let log = Arc::clone(self.inner.log.as_ref().ok_or(AuditError::NotOurs)?);
        tokio::spawn(async move { log.rotate().await }).await.map_err(|_| AuditError::Closed)?
    }

    /// Deletes what has expired from the store; answers how many entries that were.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    pub async fn sweep(&self) -> Result<u64, crate::store::StoreError> {
        self.inner.shared.store.sweep().await
    }

    /// Waits for the tapes of what was answered, then closes the audit log with a checkpoint. Nothing is minted afterwards.
    ///
    /// # Errors
    /// Where the log could not be closed in order.
    pub async fn close(&self) -> Result<(), AuditError> {
        if let Some(recorder) = &self.inner.recorder {
            let recorder = Arc::clone(recorder);
            // A tape is never worth a failure; what is missing stands in the log.
            let flushed = tokio::task::spawn_blocking(move || recorder.flush()).await;
            if let Err(error) = flushed {
                tracing::error!(%error, "tapes");
            }
        }
        self.inner.shared.record_failures(true).await;
        audit::settled(SETTLE).await;
        self.inner.shared.audit.close().await
    }

    /// A request of the embedding program.
    async fn asked<T>(
        &self,
        mut request: Request,
        work: impl AsyncFnOnce(Call, Request) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        request.correlation_id = self.correlation_id(&request.correlation_id);
        let claim = claimed::by_credential(&request.caller);
        let place = self.inner.door.place(self.origin(&request, claim.as_deref()));
        let asked = Asked { place, since: self.clock().monotonic(), correlation_id: request.correlation_id.clone() };
        let vouched = async |mut call: Call| {
            call.vouch(&request);
            work(call, request).await
        };
        self.through(asked, None, true, vouched).await
    }

    /// The embedding program's word counts for clients that are registered so.
    fn origin<'a>(&self, request: &'a Request, claim: Option<&'a str>) -> Origin<'a> {
        let stranger = Origin::Stranger { peer: None, claim };
        let Credential::Attested(client) = &request.caller else { return stranger };
        match self.inner.shared.snapshot.load().registry.find_client(client) {
            Some(registered) if registered.attested => Origin::Vouched(client),
            registered => {
                self.inner.shared.guessing.failed(client, registered.is_some(), None);
                stranger
            }
        }
    }

    /// Lets a request in when it is its turn, and works on it.
    async fn through<T>(
        &self,
        asked: Asked,
        peer: Option<Peer>,
        taped: bool,
        work: impl AsyncFnOnce(Call) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let shared = &self.inner.shared;
        let (turn, correlation_id, patience) = (asked.place.turn(), asked.correlation_id.clone(), self.left(asked.since));
        // Some kilobytes, and moved more than once on the way to the thread that works on them.
        let begun = Box::pin(async { work(self.begin(asked, peer, taped).await?).await });
        match turn.work(patience, begun).await {
            Ok(answer) => answer,
            Err(Crowded) => Err(shared.failed(&Evidence::default(), &correlation_id, RuntimeError::Overloaded).await),
        }
    }

    /// What is left of the time of a request that came then.
    fn left(&self, came: Duration) -> Duration {
        let Shared { clock, limits, .. } = &*self.inner.shared;
        limits.request.saturating_sub(clock.monotonic().saturating_sub(came)).max(AT_LEAST)
    }

    async fn begin(&self, asked: Asked, peer: Option<Peer>, taped: bool) -> Result<Call, Failure> {
        let inner = &self.inner;
        let Asked { place, since, correlation_id } = asked;
        self.follow_keys().await;
        let snapshot = inner.shared.snapshot.load_full();
        let recorder = inner.recorder.as_ref().filter(|_| taped);
        let tape = recorder.map(|recorder| recorder.tape(&correlation_id)).unwrap_or_default();
        let taken = if tape.is_on() { self.taped(&snapshot, &tape).await } else { inner.supply.take().await };
        let mut sandbox = match taken {
            Ok(sandbox) => sandbox,
            Err(error) => return Err(inner.shared.sandbox_failed(&Evidence::default(), &correlation_id, &error).await),
        };
        let asker = Asker { turn: place.turn(), peer, guessing: Some(Arc::clone(&inner.shared.guessing)) };
        let contexts = inner.shared.contexts(&snapshot, correlation_id.clone(), asker);
        sandbox.state().begin(contexts, tape.clone(), inner.shared.clock.monotonic());
        let left = self.left(since);
        Ok(Call::new(Arc::clone(&inner.shared), inner.supply.clone(), correlation_id, sandbox, tape, place, left))
    }

    /// A sandbox that is recorded from before its first instruction, so that a new one draws the same when it is replayed.
    async fn taped(&self, snapshot: &Snapshot, tape: &Tape) -> Result<Sandbox<RequestState>, SandboxError> {
        let shared = &self.inner.shared;
        let clock = Arc::new(TapedClock::new(tape.clone(), Arc::clone(&shared.clock)));
        let entropy = Arc::new(TapedEntropy::new(tape.clone(), Arc::clone(&shared.entropy)));
        let parts = self.inner.loader.runtime().parts(clock, entropy);
        self.inner.supply.fresh(RequestState::new(parts, shared.contexts(snapshot, String::new(), Asker::default()))).await
    }

    /// `given` if it is well formed, otherwise one of our own.
    pub(crate) fn correlation_id(&self, given: &str) -> String {
        if standin_domain::id::is_opaque(given) {
            return given.to_owned();
        }
        let mut bits = [0; 16];
        match self.inner.shared.entropy.fill(&mut bits) {
            Ok(()) => format!("{:032x}", u128::from_be_bytes(bits)),
            // Without randomness nothing is minted; the answer still names a moment.
            Err(_) => format!("t{}", self.inner.shared.clock.now().as_nanos()),
        }
    }
}

/// One answer of the component's protocol faces.
async fn answer(mut call: Call, request: &HttpRequest) -> HttpResponse {
    let mut answer =
        call.bounded(tape::Call::Handle(Cow::Borrowed(request)), async |sandbox| sandbox.handle(request).await).await;
    // What is public is fetched with GET by nobody in particular; whoever has shown who it is makes an attempt, however it asks.
    let attempt = request.method == "POST" || call.knows_requester();
    if attempt && answer.as_ref().is_ok_and(|answer| answer.status < 400) {
        answer = call.settle(answer).await;
    } else if attempt
        && answer.is_ok()
        && let Some(evidence) = call.unrecorded()
    {
        // A refusal may go out, but not without a record either.
        call.record(&evidence, UNRECORDED).await;
    }
    call.release();
    answer.unwrap_or_else(|failure| error_response(&failure))
}

/// Whether a request only reads, and shows nothing of who asks.
fn is_public(request: &HttpRequest) -> bool {
    let reads = matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
    reads && !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
}

/// What a part answers, in time; none if it can serve.
async fn asked(part: &'static str, ready: impl Future<Output = Result<(), String>>) -> Option<NotReady> {
    let answer = tokio::time::timeout(READY, ready).await.unwrap_or_else(|_elapsed| Err("no answer in time".to_owned()));
    answer.err().map(|cause| NotReady { part, cause })
}

/// An error response (RFC 6749 §5.2) for a request that the component did not answer.
pub(crate) fn error_response(failure: &Failure) -> HttpResponse {
    let body = json!({
        "error": failure.oauth_error, "error_description": failure.message, "code": failure.code,
        "correlation_id": failure.correlation_id,
    });
    let mut headers = vec![
        ("content-type".to_owned(), b"application/json".to_vec()),
        ("cache-control".to_owned(), b"no-store".to_vec()),
        ("pragma".to_owned(), b"no-cache".to_vec()),
        ("x-correlation-id".to_owned(), failure.correlation_id.clone().into_bytes()),
    ];
    if let Some(seconds) = failure.retry_after {
        headers.push(("retry-after".to_owned(), seconds.to_string().into_bytes()));
    }
    HttpResponse { status: failure.status, headers, body: body.to_string().into_bytes() }
}

/// The facts that name the account of a subject token's user, for [`Request::attributes`]; a descriptor has fields of its own.
pub fn account_of_token(account_id: Option<&str>, account_csp_id: Option<i64>, sfdc_account_id: Option<&str>) -> Vec<Attribute> {
    let facts = [
        ("account_id", account_id.map(Value::from)),
        ("account_csp_id", account_csp_id.map(Value::from)),
        ("sfdc_account_id", sfdc_account_id.map(Value::from)),
    ];
    let given = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    given.map(|(name, value)| Attribute { name: name.to_owned(), value: value.to_string() }).collect()
}

/// The JSON value of a named attribute.
pub fn attribute(attributes: &[Attribute], name: &str) -> Option<Value> {
    let found = attributes.iter().find(|attribute| attribute.name == name)?;
    json::value(&found.value).ok()
}

/// What a failure tells, as members of a JSON object: `field` and `acr` only where there is one.
pub fn failure_members(failure: &Failure) -> Map<String, Value> {
    let Failure { code, oauth_error, status, message, correlation_id: _, retry_after: _, attributes } = failure;
    let fixed = [("code", json!(code)), ("error", json!(oauth_error)), ("status", json!(status)), ("message", json!(message))];
    let found = ["field", "acr"].into_iter().filter_map(|name| Some((name, attribute(attributes, name)?)));
    fixed.into_iter().chain(found).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The page of [`Standin::explain`] for a failure, which has none of its own.
pub fn explained_failure(failure: &Failure) -> Value {
    let outcome = if failure.status >= 500 { "fail" } else { "deny" };
    json!({ "outcome": outcome, "correlation_id": failure.correlation_id, "failure": failure_members(failure) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_its_field_and_its_acr_where_it_has_them() {
        let attribute = |name: &str, value: &str| Attribute { name: name.into(), value: json!(value).to_string() };
        let mut failure = Failure {
            code: "policy.step_up".into(),
            oauth_error: "insufficient_user_authentication".into(),
            status: 400,
            message: "stronger".into(),
            correlation_id: "c".into(),
            retry_after: None,
            attributes: vec![attribute("acr", "high"), attribute("other", "x")],
        };
        let page = json!({
            "code": "policy.step_up", "error": "insufficient_user_authentication", "status": 400, "message": "stronger",
        });
        let mut expected = page.clone();
        expected["acr"] = json!("high");
        assert_eq!(Value::from(failure_members(&failure)), expected);
        failure.attributes = vec![attribute("field", "scope")];
        expected = page.clone();
        expected["field"] = json!("scope");
        assert_eq!(Value::from(failure_members(&failure)), expected);
        failure.attributes.clear();
        assert_eq!(Value::from(failure_members(&failure)), page);
        assert_eq!(explained_failure(&failure), json!({ "outcome": "deny", "correlation_id": "c", "failure": page }));
        failure.status = 503;
        assert_eq!(explained_failure(&failure)["outcome"], "fail");
    }
}
