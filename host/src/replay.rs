//! Hears a tape again: the component runs in a fresh sandbox under the limits of the tape, and every question it asks is answered
//! from there. It needs no configuration, no keys and no network, and it writes nothing.
//!
//! [`Replayer::replay`] says whether everything comes out the same. [`Replayer::what_if`] lets another policy decide, and stops before
//! anything would be signed.

mod decided;
mod difference;
mod imports;
mod player;
mod run;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;

pub use self::decided::{Decided, Told};
pub use self::difference::Difference;
pub use self::player::Divergence;
use self::player::{Player, Stop};
use self::run::{PlayState, Run};
use crate::decision_point::{Judge, JudgeError, Judgement, Question};
use crate::engine::{CoreTemplate, EngineError, Isolation, Runtime, RuntimeOptions};
use crate::hex;
use crate::image::{self, ImageError};
use crate::policy::{PolicyError, PolicyLimits, PolicyModule};
use crate::tape::Outcome;
use crate::tape::file::Opened;

/// How long one replay may take, unless told otherwise: answers from a tape do not wait, and the component's time is bounded as it was.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a policy that is tried out may take for one decision: what it says is wanted, not how fast it is.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why nothing can be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The engine, or the component in it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The component does not compile.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The policy module cannot be used.
    #[error("policy: {0}")]
    Policy(#[from] PolicyError),
    /// It took too long.
    #[error("the replay did not end in time")]
    TimedOut,
}

/// A component, ready to hear tapes.
pub struct Replayer {
    runtime: Runtime,
    template: CoreTemplate<PlayState>,
    component: String,
    longest: Duration,
}

/// How one call ended, then and now.
#[derive(Debug, Clone, Serialize)]
pub struct Ended {
    /// The call, as the contract names it.
    pub call: &'static str,
    /// Whether both are the same byte for byte.
    pub same: bool,
    /// How it ended when it was recorded, without tokens; none where the caller had given up.
    pub recorded: Option<Value>,
    /// How it ended now, without tokens; none where the replay stopped before.
    pub replayed: Option<Value>,
    /// Where they differ.
    pub differences: Vec<Difference>,
}

/// What came of a replay.
#[derive(Debug, Clone, Serialize)]
pub struct Replayed {
    /// Whether every question and every outcome was the same byte for byte.
    pub same: bool,
    /// Questions on the tape.
    pub questions: usize,
    /// How many of them were asked again.
    pub asked: usize,
    /// The first question that was another.
    pub divergence: Option<Divergence>,
    /// Every call.
    pub calls: Vec<Ended>,
    /// The code of the failure that the host gave in place of the component's answer when it was recorded.
    pub replaced: Option<String>,
}

/// What another policy would have made of a request.
#[derive(Debug, Clone, Serialize)]
pub struct WhatIf {
    /// Whether a policy was asked at all; without a question another policy changes nothing.
    pub asked: bool,
    /// Whether the other policy would have changed the outcome.
    pub changed: bool,
    /// The decision on the tape.
    pub decided: Decided,
    /// The decision of the other policy; none where the component asked otherwise before it came to that.
    pub would: Option<Decided>,
    /// Where the component asked otherwise.
    pub divergence: Option<Divergence>,
}

/// A module that is tried out: for every tenant, and without a breaker.
struct Candidate(PolicyModule);

impl Judge for Candidate {
    fn judge(&self, question: &Question<'_>) -> Result<Judgement, JudgeError> {
        let verdict = self.0.evaluate(question.input)?;
        Ok(Judgement { verdict, module_digest: self.0.digest().to_owned() })
    }
}

impl Replayer {
    /// Compiles a component.
    ///
    /// # Errors
    /// Where it does not compile or does not fit its world.
    pub fn new(wasm: &[u8]) -> Result<Self, ReplayError> {
        let options = RuntimeOptions { slots: 1, ahead: 0, isolation: Isolation::Request, ..RuntimeOptions::default() };
        let runtime = Runtime::new(options)?;
        let component = image::load(runtime.engine(), None, wasm)?;
        let template = CoreTemplate::new(&runtime, &component, imports::link)?;
        Ok(Self { runtime, template, component: hex::encode(digest(&SHA256, wasm).as_ref()), longest: LONGEST })
    }

    /// The same, with another limit on the time of one replay.
    #[must_use]
    pub fn within(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// Lowercase hex SHA-256 of the component.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// A policy module to try out, under the limits of `standin policy test`.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub fn policy(&self, wasm: &[u8], memory: usize) -> Result<Arc<dyn Judge>, ReplayError> {
        let limits = PolicyLimits { memory, deadline: DEADLINE, ..PolicyLimits::default() };
        let module = PolicyModule::load(&self.runtime, None, wasm, limits)?;
        Ok(Arc::new(Candidate(module)))
    }

    /// Runs a tape again.
    ///
    /// # Errors
    /// Where it does not come to an end.
    pub async fn replay(&self, tape: &Opened) -> Result<Replayed, ReplayError> {
        let Run { player, outcomes } = self.run(tape, Player::new(Arc::clone(&tape.questions), None)).await?;
        let (asked, stop) = player.end();
        // What was never answered when it was recorded is where this ends too, and as far as it goes it is the same.
        let unanswered = matches!(stop, Some(Stop::Unanswered));
        let divergence = match stop {
            Some(Stop::Diverged(divergence)) => Some(divergence),
            Some(Stop::Unanswered | Stop::Signing(_)) | None => None,
        };
        let calls: Vec<Ended> = tape
            .calls
            .iter()
            .enumerate()
            .map(|(at, recorded)| {
                let replayed = outcomes.get(at);
                let same = match (&recorded.outcome, replayed) {
                    (Some(recorded), Some(replayed)) => recorded == replayed,
                    (Some(Outcome::Failed(_)) | None, None) => unanswered,
                    (Some(Outcome::Answered(_)), None) | (None, Some(_)) => false,
                };
                Ended {
                    call: recorded.call.name(),
                    same,
                    differences: difference::of_outcomes(recorded.outcome.as_ref(), replayed),
                    recorded: recorded.outcome.as_ref().map(difference::shown),
                    replayed: replayed.map(difference::shown),
                }
            })
            .collect();
        let same = divergence.is_none() && calls.iter().all(|call| call.same);
        Ok(Replayed { same, questions: tape.questions.len(), asked, divergence, calls, replaced: tape.replaced.clone() })
    }

    /// Runs a tape again with another policy, up to where something would be signed.
    ///
    /// # Errors
    /// Where it does not come to an end.
    pub async fn what_if(&self, tape: &Opened, judge: Arc<dyn Judge>) -> Result<WhatIf, ReplayError> {
        let Run { player, outcomes } = self.run(tape, Player::new(Arc::clone(&tape.questions), Some(judge))).await?;
        let decided = Decided::of_tape(tape);
        let judged = player.judged();
        let (_, stop) = player.end();
        let asked = judged.is_some();
        let (claims, divergence) = match stop {
            Some(Stop::Diverged(divergence)) => (None, Some(divergence)),
            Some(Stop::Signing(claims)) => (Some(claims), None),
            Some(Stop::Unanswered) | None => (None, None),
        };
        let would = match divergence {
            Some(_) => None,
            None if asked => Some(Decided::new(judged, claims, outcomes.last())),
            None => Some(decided.clone()),
        };
        let changed = would.as_ref().is_none_or(|would| !would.is_like(&decided));
        Ok(WhatIf { asked, changed, decided, would, divergence })
    }

    async fn run(&self, tape: &Opened, player: Player) -> Result<Run, ReplayError> {
        let running = Run::of(&self.runtime, &self.template, tape, player);
        tokio::time::timeout(self.longest, running).await.map_err(|_elapsed| ReplayError::TimedOut)
    }
}
