//! An import whose questions and answers are recorded on their way. Where there is no tape, nothing is done here.

use wasmtime::component::Resource;

use super::{Completed, Import, JudgeAnswer, Tape};
use crate::approval::Approval;
use crate::bindings::audit::AuditError;
use crate::bindings::decision_point::{JudgeError, Judged};
use crate::bindings::directory::{Account, AccountKey, DirectoryError, Machine, MachineKey, User, UserKey};
use crate::bindings::http::{HttpError, Request as HttpRequest, Response as HttpResponse};
use crate::bindings::keys::{KeyError, KeySource, Purpose, Verified};
use crate::bindings::registry::{Audience, Client, Issuer, System};
use crate::bindings::store::{Entry, StoreError, Swap};
use crate::bindings::types::Input;
use crate::bindings::{audit, decision_point, directory, http, keys, registry, store};

/// An import and the tape of the request.
pub struct Taped<V> {
    tape: Tape,
    view: V,
}

impl<V> Taped<V> {
    /// Records what `view` is asked and answers.
    pub fn new(tape: &Tape, view: V) -> Self {
        Self { tape: tape.clone(), view }
    }
}

/// A decision point that can say what it made of a question.
pub trait Completes {
    /// How many questions came to the policy so far.
    fn decisions(&self) -> usize;
    /// The last of them.
    fn completed(&self) -> Option<Completed>;
}

/// Records the question, asks, records the answer.
macro_rules! taped {
    ($self:ident, $import:ident($($argument:ident),*), $answer:expr) => {{
        $self.tape.question(Import::$import, &($(&$argument,)*));
        let answer = $answer;
        $self.tape.answer(&answer);
        answer
    }};
}

impl<V: decision_point::Host + Completes + Send> decision_point::Host for Taped<V> {
    async fn judge(&mut self, input: Input) -> wasmtime::Result<Result<Judged, JudgeError>> {
        if !self.tape.is_on() {
            return self.view.judge(input).await;
        }
        self.tape.question(Import::Judge, &(&input,));
        let before = self.view.decisions();
        let answer = self.view.judge(input).await?;
        self.tape.answer(&match &answer {
            Ok(Judged { verdict, module_digest, approval }) => JudgeAnswer::Judged {
                verdict: verdict.clone(),
                module_digest: module_digest.clone(),
                approval: approval.as_ref().map(Resource::rep),
            },
            Err(why) => JudgeAnswer::Nothing(why.clone()),
        });
        if self.view.decisions() > before
            && let Some(completed) = self.view.completed()
        {
            self.tape.completed(&completed);
        }
        Ok(answer)
    }
}

impl<V: decision_point::HostApproval> decision_point::HostApproval for Taped<V> {
    fn drop(&mut self, approval: Resource<Approval>) -> wasmtime::Result<()> {
        self.view.drop(approval)
    }
}

impl<V: keys::Host + Send> keys::Host for Taped<V> {
    async fn sign(
        &mut self,
        approval: Resource<Approval>,
        purpose: Purpose,
        claims: String,
        event: String,
    ) -> wasmtime::Result<Result<String, KeyError>> {
        self.tape.question(Import::Sign, &(approval.rep(), &purpose, &claims, &event));
        let answer = self.view.sign(approval, purpose, claims, event).await?;
        self.tape.answer(&answer);
        Ok(answer)
    }

    async fn verify(&mut self, jws: String, source: KeySource) -> Result<Verified, KeyError> {
        taped!(self, Verify(jws, source), self.view.verify(jws, source).await)
    }

    async fn check_secret(&mut self, client_id: String, secret: String) -> Result<bool, KeyError> {
        taped!(self, CheckSecret(client_id, secret), self.view.check_secret(client_id, secret).await)
    }

    fn pseudonym(&mut self, domain: String, value: String) -> Result<String, KeyError> {
        taped!(self, Pseudonym(domain, value), self.view.pseudonym(domain, value))
    }

    fn jwks(&mut self) -> String {
        taped!(self, Jwks(), self.view.jwks())
    }
}

impl<V: directory::Host + Send> directory::Host for Taped<V> {
    async fn find_account(&mut self, key: AccountKey) -> Result<Option<Account>, DirectoryError> {
        taped!(self, FindAccount(key), self.view.find_account(key).await)
    }

    async fn find_user(&mut self, key: UserKey) -> Result<Option<User>, DirectoryError> {
        taped!(self, FindUser(key), self.view.find_user(key).await)
    }

    async fn find_machine(&mut self, key: MachineKey) -> Result<Option<Machine>, DirectoryError> {
        taped!(self, FindMachine(key), self.view.find_machine(key).await)
    }
}

impl<V: registry::Host> registry::Host for Taped<V> {
    fn settings(&mut self) -> System {
        taped!(self, Settings(), self.view.settings())
    }

    fn find_client(&mut self, id: String) -> Option<Client> {
        taped!(self, FindClient(id), self.view.find_client(id))
    }

    fn find_client_by_identity(&mut self, issuer: String, sub: String) -> Option<Client> {
        taped!(self, FindClientByIdentity(issuer, sub), self.view.find_client_by_identity(issuer, sub))
    }

    fn find_issuer(&mut self, issuer: String) -> Option<Issuer> {
        taped!(self, FindIssuer(issuer), self.view.find_issuer(issuer))
    }

    fn find_audience(&mut self, id: String) -> Option<Audience> {
        taped!(self, FindAudience(id), self.view.find_audience(id))
    }
}

impl<V: http::Host + Send> http::Host for Taped<V> {
    async fn send(&mut self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        taped!(self, Send(request), self.view.send(request).await)
    }
}

impl<V: store::Host + Send> store::Host for Taped<V> {
    async fn get_many(&mut self, space: String, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Entry>>, StoreError> {
        taped!(self, GetMany(space, keys), self.view.get_many(space, keys).await)
    }

    async fn compare_and_swap(
        &mut self,
        space: String,
        key: Vec<u8>,
        expected: Option<u64>,
        value: Vec<u8>,
        expires_at: u64,
    ) -> Result<Swap, StoreError> {
        taped!(
            self,
            CompareAndSwap(space, key, expected, value, expires_at),
            self.view.compare_and_swap(space, key, expected, value, expires_at).await
        )
    }

    async fn delete(&mut self, space: String, key: Vec<u8>, expected: Option<u64>) -> Result<bool, StoreError> {
        taped!(self, Delete(space, key, expected), self.view.delete(space, key, expected).await)
    }
}

impl<V: audit::Host + Send> audit::Host for Taped<V> {
    async fn append(&mut self, event: String) -> Result<(), AuditError> {
        taped!(self, Append(event), self.view.append(event).await)
    }
}
