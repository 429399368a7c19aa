//! What stands on a tape.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Bytes;
use crate::bindings::decision_point::JudgeError;
use crate::bindings::endpoint::HttpRequest;
use crate::bindings::types::{Input, Request, Verdict};

/// Everything the component can ask the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Import {
    Judge,
    Sign,
    Verify,
    CheckSecret,
    Pseudonym,
    Jwks,
    FindAccount,
    FindUser,
    FindMachine,
    Settings,
    FindClient,
    FindClientByIdentity,
    FindIssuer,
    FindAudience,
    Send,
    GetMany,
    CompareAndSwap,
    Delete,
    Append,
    WallClock,
    MonotonicClock,
    Random,
}

impl Import {
    /// Its name in the contract, or in WASI.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Judge => "decision-point.judge",
            Self::Sign => "keys.sign",
            Self::Verify => "keys.verify",
            Self::CheckSecret => "keys.check-secret",
            Self::Pseudonym => "keys.pseudonym",
            Self::Jwks => "keys.jwks",
            Self::FindAccount => "directory.find-account",
            Self::FindUser => "directory.find-user",
            Self::FindMachine => "directory.find-machine",
            Self::Settings => "registry.settings",
            Self::FindClient => "registry.find-client",
            Self::FindClientByIdentity => "registry.find-client-by-identity",
            Self::FindIssuer => "registry.find-issuer",
            Self::FindAudience => "registry.find-audience",
            Self::Send => "http.send",
            Self::GetMany => "store.get-many",
            Self::CompareAndSwap => "store.compare-and-swap",
            Self::Delete => "store.delete",
            Self::Append => "audit.append",
            Self::WallClock => "wall-clock.now",
            Self::MonotonicClock => "monotonic-clock.now",
            Self::Random => "random",
        }
    }

    /// Whether its questions carry credentials, tokens, or values that are only kept as digests.
    pub(crate) fn asks_with_secrets(self) -> bool {
        match self {
            Self::Verify
            | Self::CheckSecret
            | Self::Pseudonym
            | Self::Send
            | Self::GetMany
            | Self::CompareAndSwap
            | Self::Delete => true,
            Self::Judge
            | Self::Sign
            | Self::Jwks
            | Self::FindAccount
            | Self::FindUser
            | Self::FindMachine
            | Self::Settings
            | Self::FindClient
            | Self::FindClientByIdentity
            | Self::FindIssuer
            | Self::FindAudience
            | Self::Append
            | Self::WallClock
            | Self::MonotonicClock
            | Self::Random => false,
        }
    }
}

/// What a piece of a tape is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A [`Call`].
    Called,
    /// What the component asked. The next piece is its answer, unless none was given.
    Question(Import),
    /// What it was answered.
    Answer,
    /// A [`Completed`], behind an answer of `decision-point.judge`.
    Completed,
    /// An [`Outcome`].
    Ended,
    /// The code of the failure that the host gave instead of that outcome.
    Replaced,
}

/// One piece. Each has a buffer of exactly its length: one that grows would leave copies of secrets behind.
pub(crate) struct Piece {
    pub(crate) kind: Kind,
    pub(crate) bytes: Bytes,
}

impl Piece {
    /// What a piece takes beside its bytes, at most.
    pub(crate) const OVERHEAD: usize = 16;
}

/// A call of one of the component's exports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Call<'a> {
    /// `obo.mint-on-behalf`
    MintOnBehalf(Cow<'a, Request>),
    /// `obo.explain`
    Explain(Cow<'a, Request>),
    /// `obo.resolve-target`
    ResolveTarget(Cow<'a, Request>),
    /// `target.caller`
    Caller,
    /// `target.subject`
    Subject,
    /// `target.tenant`
    Tenant,
    /// `target.ceiling`
    Ceiling,
    /// `obo.evaluate-policy`
    EvaluatePolicy,
    /// `permit.grant`
    Grant,
    /// `obo.mint`
    Mint,
    /// `endpoint.handle`
    Handle(Cow<'a, HttpRequest>),
}

impl Call<'_> {
    /// Its name in the contract.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MintOnBehalf(_) => "mint-on-behalf",
            Self::Explain(_) => "explain",
            Self::ResolveTarget(_) => "resolve-target",
            Self::Caller => "target.caller",
            Self::Subject => "target.subject",
            Self::Tenant => "target.tenant",
            Self::Ceiling => "target.ceiling",
            Self::EvaluatePolicy => "evaluate-policy",
            Self::Grant => "permit.grant",
            Self::Mint => "mint",
            Self::Handle(_) => "handle",
        }
    }
}

/// How a call ended.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// With this answer, as JSON text.
    Answered(String),
    /// The sandbox failed, and this is why.
    Failed(String),
}

/// What the policy was really asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Completed {
    /// The question as the host completed it.
    pub input: Input,
    /// Where the tenant was reached by crossing: from where.
    pub origin: Option<String>,
    /// Whether the host saw proven what the question takes for granted.
    pub proven: bool,
}

/// What `decision-point.judge` answered; an approval is the number of its handle.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum JudgeAnswer {
    Judged { verdict: Verdict, module_digest: String, approval: Option<u32> },
    Nothing(#[serde(with = "RemoteJudgeError")] JudgeError),
}

/// [`JudgeError`] for serde: the interface it belongs to has a resource too, which nothing can write down.
#[derive(Serialize, Deserialize)]
#[serde(remote = "JudgeError")]
enum RemoteJudgeError {
    Module(String),
    Trapped,
    TimedOut,
    TooLarge,
    Invalid,
    Unavailable,
    Other(Option<String>),
}

/// The value in a buffer of exactly its length, if that is not over `most`.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, most: usize) -> Option<Bytes> {
    let length = postcard::experimental::serialized_size(value).ok()?;
    if length.saturating_add(Piece::OVERHEAD) > most {
        return None;
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    postcard::to_slice(value, &mut bytes).ok()?;
    Some(bytes)
}

/// The value of these bytes, all of them.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(value)
}
