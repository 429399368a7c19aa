//! A candidate that is asked what the live module is asked, beside it, and decides nothing. Where it would have decided otherwise,
//! the audit log says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;

use super::{PolicyModule, diff};
use crate::audit::Audit;
use crate::bindings::decision_point::JudgeError;
use crate::bindings::types::{Input, Verdict};
use crate::decision_point::{self, Question};
use crate::record::{Difference, Judged};

/// Questions that wait for the candidate; more are dropped.
const WAITING: usize = 128;

/// What came of the candidate's answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ShadowCounts {
    /// It would have decided the same.
    pub same: u64,
    /// It would have decided otherwise.
    pub differs: u64,
    /// There was no room for the question.
    pub dropped: u64,
}

#[derive(Default)]
struct Counters {
    same: AtomicU64,
    differs: AtomicU64,
    dropped: AtomicU64,
}

/// Questions on their way to candidates: one lane for all of them, so that together they take no more than one processor.
#[derive(Clone)]
pub struct ShadowLane(mpsc::Sender<Job>);

struct Job {
    slot: String,
    correlation_id: String,
    tenant: String,
    input: Input,
    live: Answered,
    candidate: Arc<PolicyModule>,
    counters: Arc<Counters>,
}

/// What a module answered.
struct Answered {
    digest: String,
    answer: Result<Verdict, JudgeError>,
}

impl Answered {
    fn told(&self) -> Judged<'_> {
        Judged::of(&self.digest, self.answer.as_ref().map_err(decision_point::describe))
    }
}

/// A candidate beside a live module.
pub struct Shadow {
    candidate: Arc<PolicyModule>,
    lane: ShadowLane,
    counters: Arc<Counters>,
}

impl ShadowLane {
    /// Starts the lane; it ends with the last shadow and the last lane. Runs within a tokio runtime. `patience` is how long one
    /// event may take to be recorded.
    pub fn start(audit: Arc<dyn Audit>, patience: Duration) -> Self {
        let (sender, mut jobs) = mpsc::channel::<Job>(WAITING);
        tokio::spawn(async move {
            while let Some(job) = jobs.recv().await {
                judge(job, &*audit, patience).await;
            }
        });
        Self(sender)
    }
}

impl Shadow {
    /// The candidate, asked over this lane.
    pub fn new(candidate: Arc<PolicyModule>, lane: ShadowLane) -> Self {
        Self { candidate, lane, counters: Arc::default() }
    }

    /// The candidate.
    pub(crate) fn candidate(&self) -> &Arc<PolicyModule> {
        &self.candidate
    }

    /// What came of it so far.
    pub fn counts(&self) -> ShadowCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { same, differs, dropped } = &*self.counters;
        ShadowCounts { same: read(same), differs: read(differs), dropped: read(dropped) }
    }

    /// Asks the candidate the same, later, if there is room. Never waits.
    pub(super) fn offer(&self, slot: &str, digest: &str, question: &Question<'_>, live: &Result<Verdict, JudgeError>) {
        let Ok(room) = self.lane.0.try_reserve() else {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            return count(slot, "dropped");
        };
        room.send(Job {
            slot: slot.to_owned(),
            correlation_id: question.correlation_id.to_owned(),
            tenant: question.tenant.to_owned(),
            input: question.input.clone(),
            live: Answered { digest: digest.to_owned(), answer: live.clone() },
            candidate: Arc::clone(&self.candidate),
            counters: Arc::clone(&self.counters),
        });
    }
}

fn count(slot: &str, outcome: &'static str) {
    metrics::counter!("standin_policy_shadow_total", "slot" => slot.to_owned(), "outcome" => outcome).increment(1);
}

async fn judge(job: Job, audit: &dyn Audit, patience: Duration) {
    let Job { slot, correlation_id, tenant, input, live, candidate, counters } = job;
    // An evaluation may take its whole deadline: not on a thread that answers requests.
    let judged = tokio::task::spawn_blocking(move || {
        let answer = candidate.evaluate(&input);
        (input, Answered { digest: candidate.digest().to_owned(), answer })
    });
    let Ok((input, shadow)) = judged.await else {
        return tracing::error!(%correlation_id, slot, "the candidate's evaluation died");
    };
    if diff::decide_alike(&live.answer, &shadow.answer) {
        counters.same.fetch_add(1, Ordering::Relaxed);
        return count(&slot, "same");
    }
    counters.differs.fetch_add(1, Ordering::Relaxed);
    count(&slot, "differs");
    let (live, candidate) = (live.told(), shadow.told());
    let difference = Difference { correlation_id: &correlation_id, slot: &slot, tenant: &tenant, live, candidate, input: &input };
    let written = match difference.event() {
        Ok(event) => tokio::time::timeout(patience, audit.append(event)).await,
        Err(error) => return tracing::error!(%correlation_id, slot, %error, "shadow"),
    };
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%correlation_id, slot, %error, "shadow"),
        Err(_elapsed) => tracing::error!(%correlation_id, slot, "the difference was not recorded in time"),
    }
}
