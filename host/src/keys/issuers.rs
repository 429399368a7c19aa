//! The public keys of trusted issuers: fetched when first needed, kept, and refreshed without anybody waiting longer than needed.
//!
//! Lives longer than a configuration: a reload neither forgets keys nor lets them be fetched again at once.

mod freshness;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use standin_core::registry::{Algorithm, IssuerKeys, JwksSource};
use tokio::sync::watch;

use super::VerifyingKey;
use super::jwk::{JwkError, KeySet, MAX_SET_BYTES, Picked};
use crate::bounded;
use crate::clock::Clock;
use crate::guard::{self, GuardError};
use crate::http::{Http, HttpError, Outbound, USER_AGENT};

/// The most sources kept.
const MAX_SOURCES: usize = 4_096;
/// For one fetch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A fetched set older than this is refreshed in the background, unless its source says how long it is fresh.
const REFRESH_URL: Duration = Duration::from_secs(600);
/// A read file older than this is read again in the background.
const REFRESH_FILE: Duration = Duration::from_secs(60);
/// Between two refreshes because a key did not serve, and between two in the background.
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
    File(#[from] GuardError),
    /// It answers in an encoding that it was not asked for.
    #[error("the jwks url answers in a content encoding that was not asked for")]
    Encoded,
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

/// A set that was fetched.
struct Held {
    keys: Arc<KeySet>,
    /// When, by the monotonic clock.
    at: Duration,
    /// For how long nobody asks for its successor.
    fresh: Duration,
}

#[derive(Default)]
struct State {
    /// The last set.
    set: Option<Held>,
    /// When a fetch was last begun.
    tried: Option<Duration>,
    /// When a fetch was last begun because a key did not serve: nobody knew it, or a signature was wrong. Whoever sends us tokens can
    /// bring that about.
    doubted: Option<Duration>,
    /// How the last fetch failed, if it did.
    failed: Option<FetchError>,
    /// The fetch under way: alive as long as its sender.
    flight: Option<Flight>,
    /// How many requests wait for it.
    waiting: usize,
    /// How often the set was put here by somebody else than a fetch: what was read before that is older.
    generation: u64,
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

/// Where an issuer's keys come from, as registered.
pub struct Registered {
    /// The issuer's name.
    pub name: String,
    /// The source.
    pub source: JwksSource,
    /// The algorithms that count.
    pub algorithms: Vec<Algorithm>,
    /// What is in it, where it is a file and was just read.
    pub set: Option<KeySet>,
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    kid: Option<&'a str>,
    algorithm: Algorithm,
    /// The thumbprint of a key of this name under which a signature was wrong.
    wrong: Option<&'a str>,
}

/// The name of an issuer, with the algorithms that count.
type Issuer = (String, Vec<Algorithm>);

/// The key sets of all issuers.
pub struct IssuerKeySets {
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    sources: Mutex<HashMap<JwksSource, Arc<Mutex<State>>>>,
    /// The issuers of each source.
    names: Mutex<HashMap<JwksSource, Vec<Issuer>>>,
}

impl IssuerKeySets {
    /// Fetches through `http`.
    pub fn new(http: Arc<dyn Http>, clock: Arc<dyn Clock>) -> Self {
        Self { http, clock, sources: Mutex::default(), names: Mutex::default() }
    }

    /// Takes in the issuers of a configuration: the files among their sources as they are now, and every other source is forgotten.
    pub fn register(&self, issuers: Vec<Registered>) {
        let mut names: HashMap<JwksSource, Vec<_>> = HashMap::new();
        for Registered { name, source, algorithms, set } in issuers {
            if let Some(set) = set {
                report(&source, &[(name.clone(), algorithms.clone())], None, &set);
                if let Ok(state) = self.state(&source) {
                    let mut state = lock(&state);
                    state.set = Some(Held { keys: Arc::new(set), at: self.clock.monotonic(), fresh: REFRESH_FILE });
                    state.failed = None;
                    state.generation = state.generation.wrapping_add(1);
                }
            }
            names.entry(source).or_default().push((name, algorithms));
        }
        lock(&self.sources).retain(|source, _| names.contains_key(source));
        *lock(&self.names) = names;
    }

    /// The issuers whose set, as it was last fetched, has no key that verifies anything of theirs.
    pub fn without_keys(&self) -> Vec<String> {
        let sources: Vec<_> = lock(&self.sources).iter().map(|(source, state)| (source.clone(), Arc::clone(state))).collect();
        let mut without = Vec::new();
        for (source, state) in sources {
            let Some(keys) = lock(&state).set.as_ref().map(|held| Arc::clone(&held.keys)) else { continue };
            let names = lock(&self.names);
            let of_it = names.get(&source).into_iter().flatten().filter(|(_, algorithms)| !keys.serves(algorithms));
            without.extend(of_it.map(|(name, _)| name.clone()));
        }
        without.sort_unstable();
        without
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
        self.ask(issuer, Wanted { kid, algorithm, wrong: None }).await
    }

    /// The key for one header, after a signature was wrong under the one with this thumbprint: its source is asked again, as seldom as
    /// for an unknown key. Issuers that restart with new keys under old names exist.
    ///
    /// # Errors
    /// Where there is none, and where it is still the same.
    pub async fn find_another(
        &self,
        issuer: &IssuerKeys,
        kid: Option<&str>,
        algorithm: Algorithm,
        wrong: &str,
    ) -> Result<Arc<dyn VerifyingKey>, IssuerKeyError> {
        let found = self.ask(issuer, Wanted { kid, algorithm, wrong: Some(wrong) }).await?;
        if found.thumbprint() == wrong { Err(IssuerKeyError::Unknown) } else { Ok(found) }
    }

    async fn ask(&self, issuer: &IssuerKeys, wanted: Wanted<'_>) -> Result<Arc<dyn VerifyingKey>, IssuerKeyError> {
        let state = self.state(&issuer.source)?;
        let mut flight = match self.next(issuer, &state, wanted) {
            Next::Answer(answer) => return answer,
            Next::Wait(flight) => flight,
        };
        // The fetch has its own time limit; where a set may serve meanwhile, nobody waits that long for a source that hangs, and where too
        // many wait, nobody waits at all.
        let serving = self.serving(issuer, &lock(&state));
        let _waiter = match (Waiter::enter(&state), &serving) {
            (Ok(waiter), _) => waiter,
            (Err(_crowded), Some((set, ..))) => return answer(set, wanted),
            (Err(crowded), None) => return Err(crowded),
        };
        let may_serve = serving.is_some();
        let limit = if may_serve { PATIENCE } else { 2 * TIMEOUT };
        let fetched = match tokio::time::timeout(limit, flight.wait_for(Option::is_some)).await {
            Ok(Ok(fetched)) => fetched.clone().unwrap_or(Err(FetchError::GivenUp)),
            Ok(Err(_given_up)) => Err(FetchError::GivenUp),
            Err(_elapsed) => Err(FetchError::Http(HttpError::Timeout)),
        };
        match fetched {
            Ok(set) => answer(&set, wanted),
            // A set that may still serve does not have the key: that is known, whatever the source's state.
            Err(error) => match self.serving(issuer, &lock(&state)) {
                Some((set, ..)) => answer(&set, wanted),
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

    /// The set that may serve, its age, and how long it is fresh.
    fn serving(&self, issuer: &IssuerKeys, state: &State) -> Option<(Arc<KeySet>, Duration, Duration)> {
        let Held { keys, at, fresh } = state.set.as_ref()?;
        let age = self.clock.monotonic().saturating_sub(*at);
        (age <= issuer.max_stale.max(*fresh)).then(|| (Arc::clone(keys), age, *fresh))
    }

    fn next(&self, issuer: &IssuerKeys, shared: &Arc<Mutex<State>>, wanted: Wanted<'_>) -> Next {
        let mut state = lock(shared);
        let now = self.clock.monotonic();
        let is_due = |last: Option<Duration>, pause: Duration| last.is_none_or(|last| now.saturating_sub(last) >= pause);
        let Some((set, age, fresh)) = self.serving(issuer, &state) else {
            if let Some(flight) = state.under_way() {
                return Next::Wait(flight);
            }
            // A source that is down is not asked again for every request.
            return match &state.failed {
                Some(error) if !is_due(state.tried, RETRY) => Next::Answer(Err(error.clone().into())),
                _ => Next::Wait(self.fetch(&issuer.source, shared, &mut state)),
            };
        };
        let is_refreshable = is_due(state.tried, PAUSE.min(fresh));
        // A set that was not looked at for long may hold keys that were withdrawn: it serves again only after its source was asked.
        if age >= 2 * fresh {
            if let Some(flight) = state.under_way() {
                return Next::Wait(flight);
            }
            if is_refreshable {
                return Next::Wait(self.fetch(&issuer.source, shared, &mut state));
            }
        }
        let found = answer(&set, wanted);
        let is_doubtful = match &found {
            Ok(key) => wanted.wrong == Some(key.thumbprint()),
            Err(_) => true,
        };
        if is_doubtful {
            if let Some(flight) = state.under_way() {
                return Next::Wait(flight);
            }
            if is_due(state.doubted, PAUSE) {
                state.doubted = Some(now);
                return Next::Wait(self.fetch(&issuer.source, shared, &mut state));
            }
        }
        if age >= fresh && is_refreshable && state.under_way().is_none() {
            self.fetch(&issuer.source, shared, &mut state);
        }
        Next::Answer(found)
    }

    /// Begins a fetch. It goes on whoever gives up waiting for it.
    fn fetch(&self, source: &JwksSource, shared: &Arc<Mutex<State>>, state: &mut State) -> Flight {
        let (sender, flight) = watch::channel(None);
        state.tried = Some(self.clock.monotonic());
        state.flight = Some(flight.clone());
        let generation = state.generation;
        let issuers = lock(&self.names).get(source).cloned().unwrap_or_default();
        let (http, clock, source, shared) = (Arc::clone(&self.http), Arc::clone(&self.clock), source.clone(), Arc::clone(shared));
        tokio::spawn(async move {
            let fetched = read(&*http, &source).await;
            let mut state = lock(&shared);
            let fetched = match fetched {
                // Somebody has read it since, after this was begun.
                _ if state.generation != generation => {
                    state.set.as_ref().map(|held| Arc::clone(&held.keys)).ok_or(FetchError::GivenUp)
                }
                Ok((keys, fresh)) => {
                    report(&source, &issuers, state.set.as_ref().map(|held| &*held.keys), &keys);
                    let keys = Arc::new(keys);
                    state.set = Some(Held { keys: Arc::clone(&keys), at: clock.monotonic(), fresh });
                    state.failed = None;
                    Ok(keys)
                }
                Err(error) => {
                    tracing::warn!(?source, %error, "jwks");
                    state.failed = Some(error.clone());
                    state.tried = Some(clock.monotonic());
                    Err(error)
                }
            };
            sender.send_replace(Some(fetched));
        });
        flight
    }
}

/// Says what of a set cannot be used, and of one that is as before only that none can.
fn report(source: &JwksSource, issuers: &[(String, Vec<Algorithm>)], before: Option<&KeySet>, set: &KeySet) {
    let left_out = || set.left_out().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let without: Vec<&str> =
        issuers.iter().filter(|(_, algorithms)| !set.serves(algorithms)).map(|(name, _)| name.as_str()).collect();
    if set.is_empty() || !without.is_empty() {
        tracing::error!(
            ?source,
            issuers = without.join(", "),
            left_out = left_out(),
            others = set.len(),
            "the key set has no usable key: nothing of its issuer verifies"
        );
    } else if !set.left_out().is_empty() && before.is_none_or(|before| before.left_out() != set.left_out()) {
        tracing::info!(?source, left_out = left_out(), usable = set.len(), "keys of the key set were left out");
    }
}

fn answer(set: &KeySet, wanted: Wanted<'_>) -> Result<Arc<dyn VerifyingKey>, IssuerKeyError> {
    match set.pick(wanted.kid, wanted.algorithm) {
        Picked::Key(key) => Ok(key),
        Picked::Misfit => Err(IssuerKeyError::Misfit),
        Picked::None => Err(IssuerKeyError::Unknown),
    }
}

/// The set, and how long it is fresh.
async fn read(http: &dyn Http, source: &JwksSource) -> Result<(KeySet, Duration), FetchError> {
    let reading = async {
        match source {
            JwksSource::Url(url) => read_url(http, url).await,
            JwksSource::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                read.map_err(|_| FetchError::GivenUp)?.map(|set| (set, REFRESH_FILE))
            }
        }
    };
    tokio::time::timeout(TIMEOUT, reading).await.map_err(|_elapsed| HttpError::Timeout)?
}

async fn read_url(http: &dyn Http, url: &str) -> Result<(KeySet, Duration), FetchError> {
    // Checked here too: the port may be the embedding program's own.
    let url = crate::http::allowed(url)?.into();
    let headers = [
        ("accept", "application/jwk-set+json, application/json"),
        // There are servers and caches that compress what nobody asked to be compressed, unless they are told.
        ("accept-encoding", "identity"),
        ("user-agent", USER_AGENT),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let request =
        Outbound { method: "GET".to_owned(), url, headers, body: Vec::new(), timeout: TIMEOUT, max_body: MAX_SET_BYTES };
    let answer = http.send(request).await?;
    if answer.status != 200 {
        return Err(FetchError::Status(answer.status));
    }
    if freshness::is_encoded(&answer.headers) {
        return Err(FetchError::Encoded);
    }
    Ok((KeySet::parse(&answer.body)?, freshness::of(&answer.headers).unwrap_or(REFRESH_URL)))
}

/// Reads a set from a file, which nobody else may write: who writes it makes tokens of its issuer. It is read whether it has changed or
/// not: a time stamp can miss a change, and this happens once a minute.
///
/// # Errors
/// Where it cannot be read, others can write it, or it holds no set.
pub fn read_file(path: &Path) -> Result<KeySet, FetchError> {
    let file = guard::open(path)?;
    let bytes = bounded::read(file, MAX_SET_BYTES as u64).map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => FetchError::Set(JwkError::TooLong),
        _ => FetchError::File(error.into()),
    })?;
    Ok(KeySet::parse(&bytes)?)
}

/// No code panics while it holds one of these locks; were it to, the state would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
