//! Time and randomness on their way to the component.

use std::sync::Arc;
use std::time::Duration;

use super::{Import, Tape};
use crate::clock::{Clock, Entropy, EntropyError};

/// A clock whose answers are recorded.
pub(crate) struct TapedClock {
    tape: Tape,
    clock: Arc<dyn Clock>,
}

impl TapedClock {
    pub(crate) fn new(tape: Tape, clock: Arc<dyn Clock>) -> Self {
        Self { tape, clock }
    }

    fn recorded(&self, import: Import, ask: impl FnOnce(&dyn Clock) -> Duration) -> Duration {
        self.tape.question(import, &());
        let now = ask(&*self.clock);
        self.tape.answer(&now);
        now
    }
}

impl Clock for TapedClock {
    fn now(&self) -> Duration {
        self.recorded(Import::WallClock, |clock| clock.now())
    }

    fn monotonic(&self) -> Duration {
        self.recorded(Import::MonotonicClock, |clock| clock.monotonic())
    }
}

/// Randomness that is recorded.
pub(crate) struct TapedEntropy {
    tape: Tape,
    entropy: Arc<dyn Entropy>,
}

impl TapedEntropy {
    pub(crate) fn new(tape: Tape, entropy: Arc<dyn Entropy>) -> Self {
        Self { tape, entropy }
    }
}

impl Entropy for TapedEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        self.tape.question(Import::Random, &bytes.len());
        let filled = self.entropy.fill(bytes);
        // The component gets none of it where the source failed.
        self.tape.answer(&filled.is_ok().then_some(&*bytes));
        filled
    }
}
