//! What stands still: time, randomness, the network, and a policy that permits.

use std::time::Duration;

use async_trait::async_trait;
use standin::bindings::decision_point::JudgeError;
use standin::clock::{Clock, Entropy, EntropyError};
use standin::decision_point::{Judge, Judgement, Question};
use standin::http::{Http, HttpError, Inbound, Outbound};
use standin::types::{Allowance, Effect, Reason, Verdict};

/// Unix seconds, always.
pub(crate) const NOW: u64 = 1_800_000_000;

/// Time and randomness.
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Duration {
        Duration::from_secs(NOW)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(60)
    }
}

impl Entropy for Still {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.fill(7);
        Ok(())
    }
}

/// A network in which every URL has this document.
pub(crate) struct Published(pub(crate) String);

#[async_trait]
impl Http for Published {
    async fn send(&self, _request: Outbound) -> Result<Inbound, HttpError> {
        Ok(Inbound { status: 200, headers: Vec::new(), body: self.0.clone().into_bytes() })
    }
}

/// Whatever is asked, yes: what is refused is refused by the component or by the host.
pub(crate) struct Permits;

impl Judge for Permits {
    fn judge(&self, _question: &Question<'_>) -> Result<Judgement, JudgeError> {
        let reasons = vec![Reason { rule: "yes".into(), text: "always".into() }];
        let effect = Effect::Permit(Allowance { scope: None, audience: None, ttl: None });
        Ok(Judgement { verdict: Verdict { effect, reasons, attributes: Vec::new() }, module_digest: "0".repeat(64) })
    }
}
