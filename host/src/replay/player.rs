//! The other end of the component's imports: answers come from a tape, as long as the questions are the recorded ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::component::Resource;

use super::difference::{self, Difference};
use crate::approval::Grant;
use crate::bindings::decision_point::{JudgeError, Judged};
use crate::bindings::types::{Effect, Input};
use crate::clock::{Clock, Entropy, EntropyError};
use crate::decision_point::{self, Judge};
use crate::tape::file::Question;
use crate::tape::{Completed, Import, JudgeAnswer, decode, encode};

/// What randomness is where the tape has no more of it.
const NO_MORE: u8 = 0x5a;
/// The longest question; the component may hand over no more at a time.
const QUESTION: usize = 16 << 20;

/// The first question that was another than the recorded one.
#[derive(Debug, Clone, Serialize)]
pub struct Divergence {
    /// Which question it is, from 1.
    pub at: usize,
    /// What was asked when it was recorded; none if nothing more was.
    pub expected: Option<&'static str>,
    /// What was asked now; none if nothing more was.
    pub asked: Option<&'static str>,
    /// Where the questions differ, if they are to the same import.
    pub differences: Vec<Difference>,
}

/// Why no more questions are answered.
pub(super) enum Stop {
    /// The component asked something else.
    Diverged(Divergence),
    /// The recording has no answer either: there the sandbox was thrown away, waiting for it.
    Unanswered,
    /// These claims would be signed now.
    Signing(String),
}

/// What a policy made of the question, and the module's digest.
pub(super) type Verdict = Result<(crate::bindings::types::Verdict, String), JudgeError>;

/// The replay has come to where it stops; nothing behind this matters.
#[derive(Debug, thiserror::Error)]
#[error("the replay has stopped")]
pub(super) struct Stopped;

/// Answers from a tape. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub(super) struct Player(Arc<Mutex<Deck>>);

struct Deck {
    questions: Arc<Vec<Question>>,
    /// Which question comes next.
    at: usize,
    stop: Option<Stop>,
    /// Another policy to ask.
    judge: Option<Arc<dyn Judge>>,
    /// What it said last. From then on the component may ask otherwise than it did.
    judged: Option<Verdict>,
    /// What was used up since, by import.
    used: HashMap<&'static str, usize>,
}

impl Player {
    pub(super) fn new(questions: Arc<Vec<Question>>, judge: Option<Arc<dyn Judge>>) -> Self {
        Self(Arc::new(Mutex::new(Deck { questions, at: 0, stop: None, judge, judged: None, used: HashMap::new() })))
    }

    fn deck(&self) -> MutexGuard<'_, Deck> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recorded answer; none where there is none, and then there never is one again.
    pub(super) fn ask<Q, A>(&self, import: Import, question: &Q) -> Option<A>
    where
        Q: Serialize + DeserializeOwned,
        A: DeserializeOwned,
    {
        let mut deck = self.deck();
        let at = deck.find(import, question)?;
        deck.answer(at)
    }

    /// What the recorded policy said, or what the other one says to the recorded question.
    pub(super) fn judge(&self, input: Input) -> wasmtime::Result<Result<Judged, JudgeError>> {
        let question = (input,);
        let (recorded, another) = {
            let mut deck = self.deck();
            let at = deck.find(Import::Judge, &question).ok_or(Stopped)?;
            let recorded: JudgeAnswer = deck.answer(at).ok_or(Stopped)?;
            let completed = deck.questions.get(at).and_then(|question| question.completed.clone());
            // A question that never came to a policy comes to no other one either.
            (recorded, deck.judge.clone().zip(completed))
        };
        let Some((judge, completed)) = another else { return Ok(judged(recorded)) };
        let verdict = decision_point::ask(&*judge, "replay", &completed.input, completed.origin.as_deref());
        let verdict = verdict.map(|(judgement, _origin)| (judgement.verdict, judgement.module_digest));
        self.deck().judged = Some(verdict.clone());
        Ok(verdict.map(|(verdict, module_digest)| {
            let approval = approves(&completed, &verdict.effect).then(|| Resource::new_own(0));
            Judged { verdict, module_digest, approval }
        }))
    }

    /// A signature from the tape; with another policy the end.
    pub(super) fn sign<Q, A>(&self, question: &Q, claims: &str) -> wasmtime::Result<A>
    where
        Q: Serialize + DeserializeOwned,
        A: DeserializeOwned,
    {
        let mut deck = self.deck();
        if deck.judge.is_some() && deck.stop.is_none() {
            deck.stop = Some(Stop::Signing(claims.to_owned()));
        }
        drop(deck);
        Ok(self.ask(Import::Sign, question).ok_or(Stopped)?)
    }

    /// An event is written nowhere. What another policy decided makes another event.
    pub(super) fn append<A: DeserializeOwned>(&self, question: &(String,), written: A) -> Option<A> {
        let deck = self.deck();
        if deck.judged.is_some() {
            return deck.stop.is_none().then_some(written);
        }
        drop(deck);
        self.ask(Import::Append, question)
    }

    /// A call has ended; the questions of the next one begin at `next`.
    pub(super) fn called(&self, next: usize) {
        let mut deck = self.deck();
        let at = deck.at;
        if deck.stop.is_some() || deck.judged.is_some() || at >= next {
            return;
        }
        let expected = deck.questions.get(at).map(|question| question.import.name());
        deck.stop = Some(Stop::Diverged(Divergence { at: at + 1, expected, asked: None, differences: Vec::new() }));
    }

    /// Whether no more questions are answered.
    pub(super) fn has_stopped(&self) -> bool {
        self.deck().stop.is_some()
    }

    /// What the other policy said.
    pub(super) fn judged(&self) -> Option<Verdict> {
        self.deck().judged.clone()
    }

    /// How many questions were answered, and why no more are.
    pub(super) fn end(&self) -> (usize, Option<Stop>) {
        let mut deck = self.deck();
        (deck.at, deck.stop.take())
    }
}

impl Deck {
    /// Where the answer to this question is.
    fn find<Q: Serialize + DeserializeOwned>(&mut self, import: Import, question: &Q) -> Option<usize> {
        if self.stop.is_some() {
            return None;
        }
        let asked = encode(question, QUESTION);
        let is_asked =
            |recorded: &Question| recorded.import == import && asked.as_ref().is_some_and(|asked| **asked == *recorded.question);
        let found = if self.judged.is_some() {
            // Whatever was known when it was recorded is known now.
            let from = self.used.get(import.name()).copied().unwrap_or(self.at);
            let mut later = self.questions.iter().enumerate().skip(from);
            let found = later.find(|(_, recorded)| is_asked(recorded)).map(|(at, _)| at);
            found.or_else(|| self.questions.iter().rposition(is_asked))
        } else {
            self.questions.get(self.at).filter(|recorded| is_asked(recorded)).map(|_| self.at)
        };
        match found {
            Some(at) if self.judged.is_some() => drop(self.used.insert(import.name(), at + 1)),
            Some(at) => self.at = at + 1,
            None => self.stop = Some(Stop::Diverged(self.divergence(import, question))),
        }
        found
    }

    fn divergence<Q: Serialize + DeserializeOwned>(&self, import: Import, question: &Q) -> Divergence {
        // Behind another policy's decision there is no place at which it should have been asked.
        let recorded = self.questions.get(self.at).filter(|_| self.judged.is_none());
        let same = recorded.filter(|recorded| recorded.import == import);
        let differences = same.and_then(|recorded| {
            let expected = decode::<Q>(&recorded.question)?;
            Some(difference::of_questions(import, &expected, question))
        });
        Divergence {
            at: self.at + 1,
            expected: recorded.map(|recorded| recorded.import.name()),
            asked: Some(import.name()),
            differences: differences.unwrap_or_default(),
        }
    }

    fn answer<A: DeserializeOwned>(&mut self, at: usize) -> Option<A> {
        let answer = self.questions.get(at).and_then(|question| decode(question.answer.as_ref()?));
        if answer.is_none() {
            self.stop = Some(Stop::Unanswered);
        }
        answer
    }
}

/// The recorded answer, with a handle for its approval.
fn judged(recorded: JudgeAnswer) -> Result<Judged, JudgeError> {
    match recorded {
        JudgeAnswer::Judged { verdict, module_digest, approval } => {
            Ok(Judged { verdict, module_digest, approval: approval.map(Resource::new_own) })
        }
        JudgeAnswer::Nothing(why) => Err(why),
    }
}

/// Whether the host would have kept an approval: of what is proven, permitted, and not narrowed to nothing.
fn approves(completed: &Completed, effect: &Effect) -> bool {
    match effect {
        Effect::Permit(allowance) => completed.proven && Grant::narrow(&completed.input, allowance).is_ok(),
        Effect::Deny | Effect::StepUp(_) => false,
    }
}

impl Clock for Player {
    fn now(&self) -> Duration {
        self.time(Import::WallClock)
    }

    fn monotonic(&self) -> Duration {
        self.time(Import::MonotonicClock)
    }
}

impl Player {
    fn time(&self, import: Import) -> Duration {
        // A component that is answered nothing more gets nowhere; what time it is then does not matter.
        self.ask(import, &()).unwrap_or_default()
    }
}

impl Entropy for Player {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let wanted = bytes.len();
        let mut deck = self.deck();
        // Another policy may permit what was denied: then an identifier is drawn that never was.
        let free = deck.judged.is_some() && deck.stop.is_none();
        let later = deck.used.get(Import::Random.name()).copied().unwrap_or(deck.at);
        let is_drawn = |question: &Question| question.import == Import::Random && decode(&question.question) == Some(wanted);
        if free && !deck.questions.iter().skip(later).any(is_drawn) {
            bytes.fill(NO_MORE);
            return Ok(());
        }
        let at = deck.find(Import::Random, &wanted).ok_or(EntropyError)?;
        let drawn: Option<Vec<u8>> = deck.answer(at).ok_or(EntropyError)?;
        let drawn = drawn.filter(|drawn| drawn.len() == wanted).ok_or(EntropyError)?;
        bytes.copy_from_slice(&drawn);
        Ok(())
    }
}
