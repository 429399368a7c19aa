//! The public keys of trusted issuers: fetched when first needed, kept, and refreshed without anybody waiting longer than needed.
//!
//! Lives longer than a configuration: a reload neither forgets keys nor lets them be fetched again at once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use super::VerifyingKey;
use super::jwk::{JwkError, KeySet, MAX_SET_BYTES, Picked};
use crate::clock::Clock;
use crate::http::{Http, HttpError, Outbound};
use crate::registry::{Algorithm, IssuerKeys, JwksSource};

/// The most sources kept.
const MAX_SOURCES: usize = 4_096;
/// For one fetch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A fetched set older than this is refreshed in the background.
const REFRESH_URL: Duration = Duration::from_secs(600);
/// A read file older than this is read again in the background.
const REFRESH_FILE: Duration = Duration::from_secs(60);
/// Between two refreshes for an unknown `kid`, and between two in the background.
const PAUSE: Duration = Duration::from_secs(60);
/// Between the end of one attempt and the next while there is no set that could serve.
const RETRY: Duration = Duration::from_secs(5);
/// The most requests that wait for one source; for others there are no keys then.
const WAITERS: usize = 128;
/// How long a set that may still serve waits for its successor.
const PATIENCE: Duration = Duration::from_millis(500);

/// Why a set could not be had. Shared by everybody who waited for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The URL does not answer, or may not be asked.
    #[error("the jwks url does not answer: {0}")]
    Http(#[from] HttpError),
    /// It answers something else than 200; a redirect is not followed.
    #[error("the jwks url answers with status {0}")]
    Status(u16),
    /// The file cannot be read.
    #[error("the jwks file cannot be read: {0}")]
    File(std::io::ErrorKind),
    /// What is there is no key set.
    #[error(transparent)]
    Set(#[from] JwkError),
    /// The fetch ended without a result.
    #[error("the fetch was given up")]
    GivenUp,
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerKeyError {
    /// No live key of this `kid`.
    #[error("the issuer has no such key")]
    Unknown,
    /// The key of this `kid` is not for this algorithm.
    #[error("the key is not for this algorithm")]
    Misfit,
    /// There is no set, or only one that is too old.
    #[error("the issuer's keys are unavailable: {0}")]
    Unavailable(#[from] FetchError),
    /// There are too many sources already.
    #[error("too many key sources")]
    TooMany,
    /// Too many wait for this source already.
    #[error("too many requests wait for the issuer's keys")]
    Crowded,
}

type Fetched = Result<Arc<KeySet>, FetchError>;
type Flight = watch::Receiver<Option<Fetched>>;

#[derive(Default)]
struct State {
    /// The last set and when it was fetched.
    set: Option<(Arc<KeySet>, Duration)>,
    /// When a fetch was last begun.
    tried: Option<Duration>,
    /// When a fetch was last begun for an unknown `kid`.
    tried_unknown: Option<Duration>,
    /// How the last fetch failed, if it did.
    failed: Option<FetchError>,
    /// The fetch under way: alive as long as its sender.
    flight: Option<Flight>,
    /// How many requests wait for it.
    waiting: usize,
}

/// A request that waits for a source.
struct Waiter<'a>(&'a Mutex<State>);

impl<'a> Waiter<'a> {
    fn enter(state: &'a Mutex<State>) -> Result<Self, IssuerKeyError> {
        let mut entered = lock(state);
        if entered.waiting >= WAITERS {
            return Err(IssuerKeyError::Crowded);
        }
        entered.waiting += 1;
        Ok(Self(state))
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        lock(self.0).waiting -= 1;
    }
}

impl State {
    fn under_way(&self) -> Option<Flight> {
        self.flight.clone().filter(|flight| flight.has_changed().is_ok())
    }
}

/// What is to be done for one question.
enum Next {
    /// This is the answer.
    Answer(Result<Arc<dyn VerifyingKey>, IssuerKeyError>),
    /// Wait for this fetch; then the answer is final.
    Wait(Flight),
}

/// The key sets of all issuers.
pub struct IssuerKeySets {
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    sources: Mutex<HashMap<JwksSource, Arc<Mutex<State>>>>,
}

impl IssuerKeySets {
    /// Fetches through `http`.
    pub fn new(http: Arc<dyn Http>, clock: Arc<dyn Clock>) -> Self {
        Self { http, clock, sources: Mutex::default() }
    }

    /// Forgets every source that is not among these.
    pub fn retain<'a>(&self, live: impl IntoIterator<Item = &'a JwksSource>) {
        let live: std::collections::HashSet<_> = live.into_iter().collect();
        lock(&self.sources).retain(|source, _| live.contains(source));
    }

    /// The key for one header.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn find(
        &self,
        issuer: &IssuerKeys,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<dyn VerifyingKey>, IssuerKeyError> {
        let state = self.state(&issuer.source)?;
        let mut flight = match self.next(issuer, &state, kid, algorithm) {
            Next::Answer(answer) => return answer,
            Next::Wait(flight) => flight,
        };
        let _waiter = Waiter::enter(&state)?;
        // The fetch has its own time limit; where a set may serve meanwhile, nobody waits that long for a source that hangs.
        let may_serve = self.serving(issuer, &lock(&state)).is_some();
        let limit = if may_serve { PATIENCE } else { 2 * TIMEOUT };
        let fetched = match tokio::time::timeout(limit, flight.wait_for(Option::is_some)).await {
            Ok(Ok(fetched)) => fetched.clone().unwrap_or(Err(FetchError::GivenUp)),
            Ok(Err(_given_up)) => Err(FetchError::GivenUp),
            Err(_elapsed) => Err(FetchError::Http(HttpError::Timeout)),
        };
        match fetched {
            Ok(set) => answer(&set, kid, algorithm),
            // A set that may still serve does not have the key: that is known, whatever the source's state.
            Err(error) => match self.serving(issuer, &lock(&state)) {
                Some((set, _)) => answer(&set, kid, algorithm),
                None => Err(error.into()),
            },
        }
    }

    fn state(&self, source: &JwksSource) -> Result<Arc<Mutex<State>>, IssuerKeyError> {
        let mut sources = lock(&self.sources);
        if let Some(state) = sources.get(source) {
            return Ok(Arc::clone(state));
        }
        if sources.len() >= MAX_SOURCES {
            return Err(IssuerKeyError::TooMany);
        }
        Ok(Arc::clone(sources.entry(source.clone()).or_default()))
    }

    /// The set that may serve, and its age.
    fn serving(&self, issuer: &IssuerKeys, state: &State) -> Option<(Arc<KeySet>, Duration)> {
        let (set, fetched) = state.set.as_ref()?;
        let age = self.clock.monotonic().saturating_sub(*fetched);
        (age <= issuer.max_stale.max(refresh_after(&issuer.source))).then(|| (Arc::clone(set), age))
    }

    fn next(&self, issuer: &IssuerKeys, shared: &Arc<Mutex<State>>, kid: Option<&str>, algorithm: Algorithm) -> Next {
        let mut state = lock(shared);
        let now = self.clock.monotonic();
        let is_due = |last: Option<Duration>, pause: Duration| last.is_none_or(|last| now.saturating_sub(last) >= pause);
        let Some((set, age)) = self.serving(issuer, &state) else {
            if let Some(flight) = state.under_way() {
                return Next::Wait(flight);
            }
            // A source that is down is not asked again for every request.
            return match &state.failed {
                Some(error) if !is_due(state.tried, RETRY) => Next::Answer(Err(error.clone().into())),
                _ => Next::Wait(self.fetch(&issuer.source, shared, &mut state)),
            };
        };
        // A set that was not looked at for long may hold keys that were withdrawn: it serves again only after its source was asked.
        if age >= 2 * refresh_after(&issuer.source) {
            if let Some(flight) = state.under_way() {
                return Next::Wait(flight);
            }
            if is_due(state.tried, PAUSE) {
                return Next::Wait(self.fetch(&issuer.source, shared, &mut state));
            }
        }
        let found = answer(&set, kid, algorithm);
        if kid.is_some() && matches!(found, Err(IssuerKeyError::Unknown)) {
            if let Some(flight) = state.under_way() {
                return Next::Wait(flight);
            }
            if is_due(state.tried_unknown, PAUSE) {
                state.tried_unknown = Some(now);
                return Next::Wait(self.fetch(&issuer.source, shared, &mut state));
            }
        } else if age >= refresh_after(&issuer.source) && is_due(state.tried, PAUSE) && state.under_way().is_none() {
            self.fetch(&issuer.source, shared, &mut state);
        }
        Next::Answer(found)
    }

    /// Begins a fetch. It goes on whoever gives up waiting for it.
    fn fetch(&self, source: &JwksSource, shared: &Arc<Mutex<State>>, state: &mut State) -> Flight {
        let (sender, flight) = watch::channel(None);
        state.tried = Some(self.clock.monotonic());
        state.flight = Some(flight.clone());
        let (http, clock, source, shared) = (Arc::clone(&self.http), Arc::clone(&self.clock), source.clone(), Arc::clone(shared));
        tokio::spawn(async move {
            let fetched = read(&*http, &source).await.map(Arc::new);
            let mut state = lock(&shared);
            match &fetched {
                Ok(set) => {
                    state.set = Some((Arc::clone(set), clock.monotonic()));
                    state.failed = None;
                }
                Err(error) => {
                    tracing::warn!(?source, %error, "jwks");
                    state.failed = Some(error.clone());
                    state.tried = Some(clock.monotonic());
                }
            }
            sender.send_replace(Some(fetched));
        });
        flight
    }
}

fn refresh_after(source: &JwksSource) -> Duration {
    match source {
        JwksSource::Url(_) => REFRESH_URL,
        JwksSource::File(_) => REFRESH_FILE,
    }
}

fn answer(set: &KeySet, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<dyn VerifyingKey>, IssuerKeyError> {
    match set.pick(kid, algorithm) {
        Picked::Key(key) => Ok(key),
        Picked::Misfit => Err(IssuerKeyError::Misfit),
        Picked::None => Err(IssuerKeyError::Unknown),
    }
}

async fn read(http: &dyn Http, source: &JwksSource) -> Result<KeySet, FetchError> {
    let reading = async {
        match source {
            JwksSource::Url(url) => read_url(http, url).await,
            JwksSource::File(path) => read_file(path).await,
        }
    };
    let bytes = tokio::time::timeout(TIMEOUT, reading).await.map_err(|_elapsed| HttpError::Timeout)??;
    Ok(KeySet::parse(&bytes)?)
}

async fn read_url(http: &dyn Http, url: &str) -> Result<Vec<u8>, FetchError> {
    // Checked here too: the port may be the embedding program's own.
    let url = crate::http::allowed(url)?.into();
    let headers = vec![("accept".to_owned(), "application/jwk-set+json, application/json".to_owned())];
    let request =
        Outbound { method: "GET".to_owned(), url, headers, body: Vec::new(), timeout: TIMEOUT, max_body: MAX_SET_BYTES };
    let answer = http.send(request).await?;
    if answer.status == 200 { Ok(answer.body) } else { Err(FetchError::Status(answer.status)) }
}

/// Reads the file whether it has changed or not: a time stamp can miss a change, and this happens once a minute.
async fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let failed = |error: std::io::Error| FetchError::File(error.kind());
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    // One more than allowed, so that a longer file is noticed.
    file.take(MAX_SET_BYTES as u64 + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    Ok(bytes)
}

/// No code panics while it holds one of these locks; were it to, the state would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
