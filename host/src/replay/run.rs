//! The calls of a tape, in a fresh sandbox.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceAny;

use super::player::Player;
use crate::bindings::obo::Decision;
use crate::engine::{CoreTemplate, Limits, MAX_MEMORY, Runtime, Sandbox, SandboxError, SandboxParts, Sandboxed};
use crate::tape::file::{Header, Opened, RecordedCall};
use crate::tape::{Answered, Call, Outcome};

/// The most that a component may compute, whatever a tape says.
const CPU: u64 = 10_000;

/// The state of a sandbox that hears a tape.
pub(super) struct PlayState {
    parts: SandboxParts,
    player: Player,
}

impl PlayState {
    pub(super) fn player(&mut self) -> &mut Player {
        &mut self.player
    }
}

impl Sandboxed for PlayState {
    fn parts(&mut self) -> &mut SandboxParts {
        &mut self.parts
    }
}

/// What came of it.
pub(super) struct Run {
    pub(super) player: Player,
    /// How each call ended that came to its end, without regard to the tape.
    pub(super) outcomes: Vec<Outcome>,
}

/// The handles that the calls so far yielded.
#[derive(Default)]
struct Handles {
    target: Option<ResourceAny>,
    permit: Option<ResourceAny>,
}

impl Run {
    /// Makes every call of the tape, until one fails or the player stops.
    pub(super) async fn of(runtime: &Runtime, template: &CoreTemplate<PlayState>, tape: &Opened, player: Player) -> Self {
        let parts = runtime.limited_parts(limits(&tape.header), Arc::new(player.clone()), Arc::new(player.clone()));
        let mut outcomes = Vec::new();
        let mut sandbox = match template.instantiate(PlayState { parts, player: player.clone() }).await {
            Ok(sandbox) => sandbox,
            Err(error) => {
                outcomes.push(Outcome::Failed(error.to_string()));
                return Self { player, outcomes };
            }
        };
        sandbox.begin();
        let mut handles = Handles::default();
        let ends = tape.calls.iter().skip(1).map(|next| next.first).chain([tape.questions.len()]);
        for (recorded, end) in tape.calls.iter().zip(ends) {
            // Without the proof of the step before there is no next one.
            let Some(outcome) = call(&mut sandbox, &mut handles, &recorded.call).await else { break };
            player.called(end);
            if player.has_stopped() {
                break;
            }
            let goes_on = matches!(outcome, Outcome::Answered(_));
            outcomes.push(outcome);
            if !goes_on {
                break;
            }
        }
        // What was denied ended there. Another policy's permit shows in the claims, and signing them is where the player stops.
        let ended = tape.calls.last().filter(|_| player.judged().is_some() && outcomes.len() == tape.calls.len());
        if let Some(RecordedCall { call: Call::EvaluatePolicy, outcome, .. }) = ended
            && outcome.as_ref() != outcomes.last()
        {
            outcomes.extend(call(&mut sandbox, &mut handles, &Call::Mint).await);
        }
        Self { player, outcomes }
    }
}

/// Those the recording ran under, as far as there are sandboxes with them.
fn limits(header: &Header) -> Limits {
    let memory = usize::try_from(header.memory).unwrap_or(usize::MAX).min(MAX_MEMORY);
    Limits { memory, cpu: Duration::from_millis(header.cpu.min(CPU)) }
}

/// How a call ends; none where there is no handle to make it with.
async fn call(sandbox: &mut Sandbox<PlayState>, handles: &mut Handles, call: &Call<'_>) -> Option<Outcome> {
    let ended = match call {
        Call::MintOnBehalf(request) => {
            outcome(sandbox.obo(async |obo, store| obo.call_mint_on_behalf(store, request).await).await)
        }
        Call::Explain(request) => outcome(sandbox.obo(async |obo, store| obo.call_explain(store, request).await).await),
        Call::ResolveTarget(request) => {
            let answer = sandbox.obo(async |obo, store| obo.call_resolve_target(store, request).await).await;
            handles.target = answer.as_ref().ok().and_then(|answer| answer.as_ref().ok()).copied();
            outcome(answer)
        }
        Call::Caller => {
            let handle = handles.target?;
            outcome(sandbox.obo(async |obo, store| obo.target().call_caller(store, handle).await).await)
        }
        Call::Subject => {
            let handle = handles.target?;
            outcome(sandbox.obo(async |obo, store| obo.target().call_subject(store, handle).await).await)
        }
        Call::Tenant => {
            let handle = handles.target?;
            outcome(sandbox.obo(async |obo, store| obo.target().call_tenant(store, handle).await).await)
        }
        Call::Ceiling => {
            let handle = handles.target?;
            outcome(sandbox.obo(async |obo, store| obo.target().call_ceiling(store, handle).await).await)
        }
        Call::EvaluatePolicy => {
            let handle = handles.target.take()?;
            let answer = sandbox.obo(async |obo, store| obo.call_evaluate_policy(store, handle).await).await;
            handles.permit = match &answer {
                Ok(Ok(Decision::Permit(handle))) => Some(*handle),
                Ok(Ok(Decision::Deny(_)) | Err(_)) | Err(_) => None,
            };
            outcome(answer)
        }
        Call::Grant => {
            let handle = handles.permit?;
            outcome(sandbox.obo(async |obo, store| obo.permit().call_grant(store, handle).await).await)
        }
        Call::Mint => {
            let handle = handles.permit.take()?;
            outcome(sandbox.obo(async |obo, store| obo.call_mint(store, handle).await).await)
        }
        Call::Handle(request) => outcome(sandbox.handle(request).await),
    };
    Some(ended)
}

fn outcome<T: Answered>(answer: Result<T, SandboxError>) -> Outcome {
    answer.map_or_else(|error| Outcome::Failed(error.to_string()), |answer| answer.outcome())
}
