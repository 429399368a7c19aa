//! Subjects that a verified token of this request names: foreign ones and our own.

use serde_json::Value;
use standin_domain::caller::accepts_type;
use standin_domain::chain::{Actor, ChainError};
use standin_domain::contract::{Attribute, User, UserKey};
use standin_domain::facts::{Authentication, OF_TOKENS};
use standin_domain::flow::TYP_ACCESS_TOKEN;
use standin_domain::id;
use standin_domain::own::{NotOurs, Own};

use super::claims::{Claims, Malformed, TimeFault};
use super::proof::{Question, Unproven};
use super::subject::{self, AccountIds, Accounts, BY_TOKEN, Kind, Subject};
use crate::evidence::{SeenToken, TokenRole};
use crate::registry::{Issuer, IssuerRole, SubjectKind, SubjectMapping};

impl From<NotOurs> for Unproven {
    fn from(why: NotOurs) -> Self {
        match why {
            NotOurs::Missing | NotOurs::Malformed => Self::TokenMalformed,
        }
    }
}

impl From<Malformed> for Unproven {
    fn from(Malformed: Malformed) -> Self {
        Self::TokenMalformed
    }
}

/// Proves the subject by a token; `None` where no verified token names it.
pub(super) fn prove(question: &Question<'_>) -> Option<Result<Subject, Unproven>> {
    let mut outcome = None;
    for token in &question.evidence.tokens {
        let proven = match token.role {
            TokenRole::Caller => None,
            TokenRole::Own => own(question, token),
            TokenRole::Subject => foreign(question, token),
        };
        match proven {
            Some(Ok(subject)) => return Some(Ok(subject)),
            Some(Err(why)) => outcome = outcome.or(Some(Err(why))),
            None => {}
        }
    }
    outcome
}

/// A token we minted: a subject token only for the service it was addressed to.
fn own(question: &Question<'_>, token: &SeenToken) -> Option<Result<Subject, Unproven>> {
    let claims = Claims(&token.claims);
    let sub = claims.text("sub").ok()??;
    (sub == question.subject.id).then(|| examine_own(question, token, claims))
}

fn examine_own(question: &Question<'_>, token: &SeenToken, claims: Claims<'_>) -> Result<Subject, Unproven> {
    subject::allow(question.client, SubjectKind::Token)?;
    let settings = question.registry.settings();
    if token.issuer != settings.issuer || claims.text("iss")? != Some(settings.issuer.as_str()) {
        return Err(Unproven::TokenIssuer);
    }
    if token.typ.as_deref() != Some(TYP_ACCESS_TOKEN) {
        return Err(Unproven::TokenType);
    }
    let addressed = claims.audience()?;
    if !question.client.is_audience.iter().any(|own| addressed.contains(&own.as_str())) {
        return Err(Unproven::TokenAudience);
    }
    let own = Own::read(&token.claims)?;
    if own.tenant != question.tenant {
        return Err(Unproven::TokenTenant);
    }
    let lineage = own.ancestors.iter().chain([&own.jti]).map(|name| (*name).to_owned()).collect();
    let account = AccountIds {
        account_id: own.account_id.map(str::to_owned),
        csp_id: own.csp_id,
        sfdc_account_id: own.sfdc_account_id.map(str::to_owned),
    };
    let mut inherited = inherit(question, claims, &["scope".to_owned()], Some(Vec::new()))?;
    inherited.act = chain(question, claims)?;
    let kind = own.kind;
    let known = still_live(question, kind, own.sub, account.account_id.as_deref())?;
    inherited.terms.extend(known.and_then(|user| user.scopes.clone()));
    let known = known.map(|user| subject::described(user.protected, &user.attributes)).unwrap_or_default();
    Ok(Subject {
        kind,
        provisional: own.provisional,
        obo_type: own.obo_type.to_owned(),
        lineage,
        accounts: Accounts::Exactly(account),
        host: own.host.map(|(id, ophid)| subject::machine(id, ophid)),
        attributes: told(&token.issuer, claims, &known),
        ..inherited
    })
}

/// What the directory said when the token was minted has to hold still: the user behind the subject, if it is somebody known.
fn still_live<'a>(question: &Question<'a>, kind: Kind, sub: &str, account: Option<&str>) -> Result<Option<&'a User>, Unproven> {
    let evidence = question.evidence;
    match (kind, account) {
        (Kind::User | Kind::Envoy, _) => {
            let id = id::user_id(sub, question.tenant).ok_or(Unproven::Subject)?;
            let Some(user) = known(question, &id)? else {
                // Its issuer alone knew it when the token was minted, and knows it alone still.
                return if account.is_some() { Err(Unproven::Subject) } else { Ok(None) };
            };
            let accounts = subject::memberships(question, user)?;
            let is_meant = |ids: &AccountIds| account.is_none() || ids.account_id.as_deref() == account;
            if accounts.iter().any(is_meant) { Ok(Some(user)) } else { Err(Unproven::NotAMember) }
        }
        (Kind::Host, Some(account)) => {
            let machine = evidence.machines.iter().rfind(|machine| id::host(question.tenant, &machine.id) == sub);
            let machine = machine.filter(|machine| machine.account.id == account).ok_or(Unproven::Subject)?;
            subject::live_user_of(question, machine).map(Some)
        }
        (Kind::Provisional, Some(account)) => {
            let mut accounts = evidence.accounts.iter().rev();
            let found = accounts.find(|found| found.id == account).ok_or(Unproven::ProvisionalAccount)?;
            let live = found.tenant == question.tenant && subject::is_active(found.state);
            if live { Ok(None) } else { Err(Unproven::ProvisionalAccount) }
        }
        // A foreign issuer named it outside the directory's names; there is nothing to look up.
        (Kind::External | Kind::Client, None) => Ok(None),
        // Only a directory's subject has an account, and none is without.
        (Kind::External | Kind::Client, Some(_)) | (Kind::Host | Kind::Provisional, None) => Err(Unproven::Subject),
    }
}

/// The directory's user of this id, if it knows one; that it does not, it has to have said itself.
fn known<'a>(question: &Question<'a>, id: &str) -> Result<Option<&'a User>, Unproven> {
    let evidence = question.evidence;
    match evidence.users.iter().rfind(|user| user.id == id) {
        Some(user) => Ok(Some(user)),
        None if evidence.asked(&UserKey::Id(id.to_owned())) => Ok(None),
        None => Err(Unproven::UserUnasked),
    }
}

/// A token of a trusted issuer.
fn foreign(question: &Question<'_>, token: &SeenToken) -> Option<Result<Subject, Unproven>> {
    let issuer = question.registry.find_issuer(&token.issuer)?;
    let claims = Claims(&token.claims);
    let (named, user) = match &issuer.mapping {
        SubjectMapping::Namespaced => (id::external(&issuer.name, claims.text("sub").ok()??), Ok(None)),
        // This issuer owns the names of its tenants' users; what the directory says of those it knows counts all the same.
        SubjectMapping::AsIs => {
            let sub = claims.text("sub").ok()??;
            (id::user(question.tenant, sub), known(question, sub))
        }
        SubjectMapping::Directory(claim) => {
            let value = claims.text(claim).ok()??;
            let found = question.evidence.answer(&UserKey::External((issuer.name.clone(), value.to_owned())))?;
            (id::user(question.tenant, &found.id), Ok(Some(found)))
        }
    };
    (named == question.subject.id).then(|| examine_foreign(question, &issuer, token, user?))
}

/// What a token names is named: neither with nothing nor without end.
fn check_names(issuer: &Issuer, claims: Claims<'_>) -> Result<(), Unproven> {
    let joining = match &issuer.mapping {
        SubjectMapping::Directory(claim) => Some(claim.as_str()),
        SubjectMapping::Namespaced | SubjectMapping::AsIs => None,
    };
    for claim in ["sub"].into_iter().chain(joining) {
        let name = claims.text(claim)?.ok_or(Unproven::TokenMalformed)?;
        if name.is_empty() || name.len() > id::MAX_NAME {
            return Err(Unproven::TokenMalformed);
        }
    }
    Ok(())
}

fn examine_foreign(
    question: &Question<'_>,
    issuer: &Issuer,
    token: &SeenToken,
    user: Option<&User>,
) -> Result<Subject, Unproven> {
    let claims = Claims(&token.claims);
    let settings = question.registry.settings();
    subject::allow(question.client, SubjectKind::Token)?;
    let is_subject_issuer = match issuer.role {
        IssuerRole::Subject => true,
        IssuerRole::Caller => false,
    };
    if !is_subject_issuer || claims.text("iss")? != Some(issuer.issuer.as_str()) {
        return Err(Unproven::TokenIssuer);
    }
    if !accepts_type(&issuer.types, token.typ.as_deref()) {
        return Err(Unproven::TokenType);
    }
    check_tenant(question, issuer, claims)?;
    let addressed = claims.audience()?;
    if !issuer.audiences.iter().any(|audience| addressed.contains(&audience.as_str())) {
        return Err(Unproven::TokenAudience);
    }
    check_names(issuer, claims)?;
    let mut inherited = inherit(question, claims, &issuer.scope_claims, issuer.scopes.clone())?;
    inherited.act =
        chain(question, claims)?.map(|actor| actor.foreign(&issuer.issuer, &settings.issuer)).transpose().map_err(not_a_chain)?;
    let accounts = match user {
        Some(user) => Accounts::OneOf(meant(subject::memberships(question, user)?, claims)),
        None => Accounts::AtMostOneOf(Vec::new()),
    };
    inherited.terms.extend(user.and_then(|user| user.scopes.clone()));
    let known = user.map(|user| subject::described(user.protected, &user.attributes)).unwrap_or_default();
    Ok(Subject {
        kind: match issuer.mapping {
            SubjectMapping::Namespaced => Kind::External,
            SubjectMapping::Directory(_) | SubjectMapping::AsIs => Kind::User,
        },
        lineage: vec![token.id.clone()],
        accounts,
        attributes: told(&issuer.issuer, claims, &known),
        ..inherited
    })
}

/// A foreign token speaks for a tenant that its issuer is registered for: the one it names, or the only one. Of several the account of a
/// user of the directory may tell, which the question's tenant has to have.
fn check_tenant(question: &Question<'_>, issuer: &Issuer, claims: Claims<'_>) -> Result<(), Unproven> {
    let told_by_the_account = match issuer.mapping {
        SubjectMapping::Directory(_) => true,
        SubjectMapping::Namespaced | SubjectMapping::AsIs => false,
    };
    let named = match (&issuer.tenant_claim, issuer.tenants.as_slice()) {
        (Some(claim), _) => {
            standin_domain::claims::tenant(claims.0, claim).map_err(|_| Malformed)?.ok_or(Unproven::TokenTenant)?
        }
        (None, [only]) => only,
        (None, _) if told_by_the_account => question.tenant,
        (None, _) => return Err(Unproven::TokenTenant),
    };
    let speaks = named == question.tenant && issuer.tenants.iter().any(|tenant| tenant == named);
    if speaks { Ok(()) } else { Err(Unproven::TokenTenant) }
}

/// Those of a user's accounts that the token itself means; claims that name none of them mean something else to its issuer.
fn meant(accounts: Vec<AccountIds>, claims: Claims<'_>) -> Vec<AccountIds> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let only = [
        AccountIds { account_id: text("account_id"), ..AccountIds::default() },
        AccountIds { csp_id: claims.get("csp_id").and_then(Value::as_i64), ..AccountIds::default() },
        AccountIds { sfdc_account_id: text("sfdc_account_id"), ..AccountIds::default() },
    ];
    only.iter().fold(accounts, |accounts, claimed| {
        let meant: Vec<_> = accounts.iter().filter(|account| account.bears_out(claimed)).cloned().collect();
        if meant.is_empty() { accounts } else { meant }
    })
}

/// What holds for every subject token: time, `may_act`, the scope it carries in `scope_claims` (else `scopes`, else none).
fn inherit(
    question: &Question<'_>,
    claims: Claims<'_>,
    scope_claims: &[String],
    scopes: Option<Vec<String>>,
) -> Result<Subject, Unproven> {
    let settings = question.registry.settings();
    let remaining = claims.remaining(question.now, u64::from(settings.leeway)).map_err(|why| match why {
        TimeFault::Malformed => Unproven::TokenMalformed,
        TimeFault::Expired => Unproven::TokenExpired,
        TimeFault::NotYet => Unproven::TokenNotYet,
    })?;
    if remaining == 0 {
        // No leeway here: a token of no life lends none.
        return Err(Unproven::TokenExpired);
    }
    may_act(question, claims)?;
    Ok(Subject {
        kind: Kind::External,
        provisional: false,
        obo_type: BY_TOKEN.to_owned(),
        terms: vec![claims.scope(scope_claims)?.or(scopes).unwrap_or_default()],
        expires_at: Some(question.now.saturating_add(remaining)),
        act: None,
        lineage: Vec::new(),
        accounts: Accounts::AtMostOneOf(Vec::new()),
        host: None,
        authentication: Authentication::of(|name| claims.get(name)),
        bound: claims.are_bound(),
        attributes: Vec::new(),
    })
}

/// Who acted before, as the token says.
fn chain(question: &Question<'_>, claims: Claims<'_>) -> Result<Option<Actor>, Unproven> {
    // One place is kept for the caller, who becomes the nearest actor.
    let room = usize::from(question.registry.settings().max_chain).checked_sub(1).ok_or(Unproven::ChainTooLong)?;
    claims.get("act").map(|act| Actor::parse(act, room)).transpose().map_err(not_a_chain)
}

fn not_a_chain(why: ChainError) -> Unproven {
    match why {
        ChainError::Malformed => Unproven::ChainMalformed,
        ChainError::TooLong => Unproven::ChainTooLong,
        ChainError::Ours => Unproven::ActorOurs,
    }
}

/// `may_act` names who may act (RFC 8693 §4.4).
fn may_act(question: &Question<'_>, claims: Claims<'_>) -> Result<(), Unproven> {
    let Some(allowed) = claims.get("may_act") else { return Ok(()) };
    let sub = allowed.get("sub").and_then(Value::as_str).ok_or(Unproven::MayAct)?;
    let is_ours = match allowed.get("iss") {
        None => true,
        Some(iss) => iss.as_str() == Some(question.registry.settings().issuer.as_str()),
    };
    let is_caller = sub == question.client.id || sub == id::client(&question.client.id);
    if is_ours && is_caller { Ok(()) } else { Err(Unproven::MayAct) }
}

/// What a policy is told of the token, beside what the directory knows.
fn told(issuer: &str, claims: Claims<'_>, known: &[Attribute]) -> Vec<Attribute> {
    let mut facts = vec![Attribute { name: "issuer".to_owned(), value: Value::from(issuer).to_string() }];
    facts.extend_from_slice(known);
    let said = OF_TOKENS.iter().filter_map(|name| Some((*name, claims.get(name)?)));
    facts.extend(said.map(|(name, value)| Attribute { name: name.to_owned(), value: value.to_string() }));
    facts
}
