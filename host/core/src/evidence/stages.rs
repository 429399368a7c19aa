//! How long the stages of a request took, by the host's own clock: the component need not ask for the time.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// A stage of the pipeline, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Until a client has shown who it is.
    Authenticate,
    /// Until the policy is asked.
    Resolve,
    /// Until the policy has answered.
    Policy,
    /// Until the claims are compared, and the token is about to be recorded and signed.
    Mint,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Authenticate, Self::Resolve, Self::Policy, Self::Mint];

    fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Resolve => "resolve",
            Self::Policy => "policy",
            Self::Mint => "mint",
        }
    }
}

/// How long each stage took that has ended. In JSON: whole microseconds by its name.
#[derive(Debug, Default)]
pub struct Stages {
    last: Duration,
    took: [Option<Duration>; Stage::ALL.len()],
}

impl Stages {
    /// The first begins now, by the monotonic clock.
    pub fn begun(now: Duration) -> Self {
        Self { last: now, ..Self::default() }
    }

    /// This one ends now, and the next begins. What a component does a second time counts for the stage it does it in.
    pub fn end(&mut self, stage: Stage, now: Duration) {
        let slots = Stage::ALL.into_iter().zip(&mut self.took);
        if let Some((_, slot @ None)) = slots.into_iter().find(|(known, _)| *known == stage) {
            *slot = Some(now.saturating_sub(self.last));
            self.last = now;
        }
    }

    /// Whether none has ended.
    pub fn is_empty(&self) -> bool {
        self.took.iter().all(Option::is_none)
    }
}

impl Serialize for Stages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ended = Stage::ALL.into_iter().zip(self.took).filter_map(|(stage, took)| Some((stage.name(), took?)));
        serializer.collect_map(ended.map(|(name, took)| (name, u64::try_from(took.as_micros()).unwrap_or(u64::MAX))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_what_passed_since_the_one_before() {
        let at = Duration::from_micros;
        let mut stages = Stages::begun(at(1_000));
        assert!(stages.is_empty());
        stages.end(Stage::Authenticate, at(1_010));
        stages.end(Stage::Authenticate, at(1_020));
        stages.end(Stage::Policy, at(1_040));
        stages.end(Stage::Mint, at(900));
        assert!(!stages.is_empty());
        let json = serde_json::to_string(&stages).unwrap();
        assert_eq!(json, r#"{"authenticate":10,"policy":30,"mint":0}"#);
    }
}
