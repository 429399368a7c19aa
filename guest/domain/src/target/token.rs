//! A subject named by a token (RFC 8693 §2.1): a trusted issuer's JWT, or one of our own at a further hop.

use super::{AccountClaims, HostClaim, Resolved, account, ceiling, descriptor, hop};
use crate::caller::{Caller, accepts_type, directory_failed, keys_failed};
use crate::chain::{Actor, ChainError};
use crate::claims::{Claims, Malformed};
use crate::error::{Problem, SubjectError, TargetError};
use crate::facts::Authentication;
use crate::flow;
use crate::id;
use crate::own::{NotOurs, Own};
use crate::ports::{Issuer, IssuerRole, KeyError, KeySource, Ports, SubjectMapping, System, Token, User, UserKey, Verified};
use crate::scope;
use crate::tenant::{Aliases, Reach};

/// Finds the subject of a token; `asked` is the account that the request names, if it names one.
pub(super) fn resolve(
    ports: &impl Ports,
    settings: &System,
    now: u64,
    caller: &Caller,
    token: &Token,
    asked: &Aliases,
) -> Result<Resolved, Problem> {
    match token.token_type.as_str() {
        flow::ACCESS_TOKEN | flow::ID_TOKEN | flow::JWT => {}
        _ => return Err(Problem::at(SubjectError::TokenType, "subject_token_type")),
    }
    if token.value.len() > settings.max_token as usize {
        return Err(SubjectError::TooLarge.into());
    }
    let verified = ports.verify(&token.value, &KeySource::SubjectIssuer).map_err(not_verified)?;
    let claims = Claims::parse(&verified.claims, settings.max_depth)?;
    let reading = Reading { ports, settings, now, caller, claims: &claims, asked };
    let resolved = if verified.issuer == settings.issuer { reading.own(&verified)? } else { reading.foreign(&verified)? };
    if !Reach::of(caller.client()).contains(&resolved.tenant) {
        return Err(ceiling::out_of_reach());
    }
    Ok(resolved)
}

/// One verified token being read.
struct Reading<'a, P> {
    ports: &'a P,
    settings: &'a System,
    now: u64,
    caller: &'a Caller,
    claims: &'a Claims,
    asked: &'a Aliases,
}

impl<P: Ports> Reading<'_, P> {
    /// A token of a trusted issuer. It speaks only for the tenants of its registration.
    fn foreign(&self, verified: &Verified) -> Result<Resolved, Problem> {
        let issuer = self.ports.find_issuer(&verified.issuer).filter(|issuer| issuer.role == IssuerRole::Subject);
        let issuer = issuer.ok_or(SubjectError::UntrustedIssuer)?;
        if !accepts_type(&issuer.types, verified.typ.as_deref()) {
            return Err(SubjectError::Type.into());
        }
        let expires_at = self.check_times()?;
        let audience = self.claims.strings("aud")?;
        if !audience.iter().any(|aud| issuer.audiences.iter().any(|accepted| accepted == aud)) {
            return Err(SubjectError::Audience.into());
        }
        self.check_may_act()?;
        let sub = self.name("sub")?.ok_or(SubjectError::MissingClaim)?;
        let tenants = self.tenants(&issuer)?;
        if let [only] = tenants
            && !Reach::of(self.caller.client()).contains(only)
        {
            return Err(ceiling::out_of_reach());
        }
        let scopes = self.scopes(&issuer.scope_claims)?.or_else(|| issuer.scopes.clone()).unwrap_or_default();
        let chain = self.chain()?.map(|actor| actor.foreign(&issuer.issuer, &self.settings.issuer));
        let chain = chain.transpose().map_err(not_a_chain)?;
        let lineage = self.unrevoked(vec![verified.id.clone()])?;
        let token = Resolved {
            kind: "external",
            id: String::new(),
            obo_type: "token".into(),
            tenant: String::new(),
            scopes: Some(scopes),
            scopes_by: "subject",
            expires_at: Some(expires_at),
            actors: self.actors(chain.as_ref()),
            chain,
            lineage,
            account: None,
            host: None,
            provisional: false,
            authentication: self.authentication(),
            bound: self.claims.are_bound(),
        };
        match &issuer.mapping {
            SubjectMapping::Namespaced => self.unknown("external", only_tenant(tenants)?, id::external(&issuer.name, sub), token),
            SubjectMapping::AsIs => self.owned(sub, only_tenant(tenants)?, token),
            SubjectMapping::Directory(claim) => self.joined(&issuer, claim, tenants, token),
        }
    }

    /// A subject that its issuer alone knows: it is in no account.
    fn unknown(&self, kind: &'static str, tenant: &str, id: String, token: Resolved) -> Result<Resolved, Problem> {
        account::confirm(None, self.asked)?;
        Ok(Resolved { kind, id, tenant: tenant.to_owned(), ..token })
    }

    /// A user whose name the issuer owns. What the directory says of a user it knows counts all the same.
    fn owned(&self, sub: &str, tenant: &str, token: Resolved) -> Result<Resolved, Problem> {
        let user = self.ports.find_user(&UserKey::Id(sub.to_owned())).map_err(directory_failed)?;
        match user {
            Some(user) => self.known(&user, &[tenant.to_owned()], token),
            None => self.unknown("user", tenant, id::user(tenant, sub), token),
        }
    }

    /// Joins a token to the directory user its issuer means.
    fn joined(&self, issuer: &Issuer, claim: &str, tenants: &[String], token: Resolved) -> Result<Resolved, Problem> {
        let value = self.name(claim)?.ok_or(SubjectError::MissingClaim)?;
        let key = UserKey::External((issuer.name.clone(), value.to_owned()));
        let user = self.ports.find_user(&key).map_err(directory_failed)?;
        let user = user.ok_or_else(|| Problem::from(TargetError::NotFound).because("no user is joined to this token"))?;
        self.known(&user, tenants, token)
    }

    /// A user of the directory, in the one account that is meant, with no more scope than the directory gives it.
    fn known(&self, user: &User, tenants: &[String], token: Resolved) -> Result<Resolved, Problem> {
        let client = self.caller.client();
        let claimed = account::claimed(self.ports, self.claims, user, tenants)?;
        let aliases = self.asked.clone().and(claimed).map_err(|_| TargetError::ContradictoryAccount)?;
        let account = account::choose(client, user, Some(tenants), &aliases)?;
        descriptor::check_user(client, user)?;
        let scopes = match (&token.scopes, &user.scopes) {
            (Some(token), Some(user)) => Some(token.iter().filter(|scope| user.contains(scope)).cloned().collect()),
            (scopes, None) | (None, scopes) => scopes.clone(),
        };
        Ok(Resolved {
            kind: "user",
            id: id::user(&account.tenant, &user.id),
            tenant: account.tenant.clone(),
            scopes,
            account: Some(AccountClaims::from(account)),
            ..token
        })
    }

    /// A token of ours: good only in the hands of the service it was addressed to.
    fn own(&self, verified: &Verified) -> Result<Resolved, Problem> {
        if verified.typ.as_deref() != Some(flow::TYP_ACCESS_TOKEN) {
            return Err(SubjectError::Type.into());
        }
        let expires_at = self.check_times()?;
        let audience = self.claims.strings("aud")?;
        if !audience.iter().any(|aud| self.caller.client().is_audience.iter().any(|own| own == aud)) {
            return Err(SubjectError::Addressee.into());
        }
        self.check_may_act()?;
        let own = Own::read(self.claims.members())?;
        let lineage = own.ancestors.iter().chain([&own.jti]).map(|name| (*name).to_owned()).collect();
        let lineage = self.unrevoked(lineage)?;
        let account = AccountClaims {
            account_id: own.account_id.map(str::to_owned),
            csp_id: own.csp_id,
            sfdc_account_id: own.sfdc_account_id.map(str::to_owned),
        };
        account::confirm(Some(&account), self.asked)?;
        let chain = self.chain()?;
        let host = own.host.map(|(id, ophid)| HostClaim { id: id.to_owned(), ophid: ophid.map(str::to_owned) });
        let subject = Resolved {
            kind: own.kind.name(),
            id: own.sub.to_owned(),
            obo_type: own.obo_type.to_owned(),
            tenant: own.tenant.to_owned(),
            scopes: Some(self.scopes(&["scope".to_owned()])?.unwrap_or_default()),
            scopes_by: "subject",
            expires_at: Some(expires_at),
            actors: self.actors(chain.as_ref()),
            chain,
            lineage,
            account: Some(account),
            host,
            provisional: own.provisional,
            authentication: self.authentication(),
            bound: self.claims.are_bound(),
        };
        hop::still_live(self.ports, self.caller.client(), subject)
    }

    /// The token and its ancestors, none of which was revoked.
    fn unrevoked(&self, lineage: Vec<String>) -> Result<Vec<String>, Problem> {
        let revoked = self.ports.any_revoked(&lineage).map_err(|_| TargetError::StoreUnavailable)?;
        if revoked { Err(SubjectError::Revoked.into()) } else { Ok(lineage) }
    }

    fn authentication(&self) -> Authentication {
        Authentication::of(|name| self.claims.get(name))
    }

    /// `exp`, `nbf` and `iat` (RFC 7519 §4.1); answers `exp`, which has no leeway: a token of no life lends none.
    fn check_times(&self) -> Result<u64, Problem> {
        let leeway = u64::from(self.settings.leeway);
        let expires_at = self.claims.seconds("exp")?.ok_or(SubjectError::MissingClaim)?;
        if expires_at <= self.now {
            return Err(SubjectError::Expired.into());
        }
        for name in ["nbf", "iat"] {
            if self.claims.seconds(name)?.is_some_and(|from| from > self.now.saturating_add(leeway)) {
                return Err(SubjectError::NotYetValid.into());
            }
        }
        Ok(expires_at)
    }

    /// `may_act` (RFC 8693 §4.4), where present, names who may act.
    fn check_may_act(&self) -> Result<(), Problem> {
        let Some(may_act) = self.claims.get("may_act") else { return Ok(()) };
        let member = |name: &str| may_act.get(name).map(|value| value.as_str());
        let named = match member("sub") {
            Some(Some(sub)) => sub == self.caller.id() || sub == self.caller.client().id,
            Some(None) | None => false,
        };
        let ours = match member("iss") {
            Some(Some(iss)) => iss == self.settings.issuer,
            Some(None) => false,
            None => true,
        };
        if named && ours { Ok(()) } else { Err(SubjectError::MayAct.into()) }
    }

    /// The tenants the token may be about: the one its claim names, or its issuer's only one. Of several only a user's account can tell.
    fn tenants<'i>(&self, issuer: &'i Issuer) -> Result<&'i [String], Problem> {
        let named = match &issuer.tenant_claim {
            Some(claim) => Some(self.claims.tenant(claim)?.ok_or(SubjectError::Tenant)?),
            None => None,
        };
        let told_by_the_account = match issuer.mapping {
            SubjectMapping::Directory(_) => true,
            SubjectMapping::Namespaced | SubjectMapping::AsIs => false,
        };
        let tenants = match (named, issuer.tenants.as_slice()) {
            (Some(named), tenants) => tenants.iter().find(|tenant| *tenant == named).map(std::slice::from_ref),
            (None, [only]) => Some(std::slice::from_ref(only)),
            (None, several) => Some(several).filter(|_| told_by_the_account),
        };
        tenants.ok_or_else(|| SubjectError::Tenant.into())
    }

    /// The token's own scope (RFC 8693 §4.2), in the first of these claims that is there.
    fn scopes(&self, names: &[String]) -> Result<Option<Vec<String>>, Problem> {
        let claimed = names.iter().find(|name| self.claims.get(name).is_some());
        let Some(name) = claimed else { return Ok(None) };
        let listed = self.claims.strings(name)?;
        Ok(Some(listed.into_iter().flat_map(scope::split).collect()))
    }

    fn chain(&self) -> Result<Option<Actor>, Problem> {
        // One place is kept for the caller, who becomes the nearest actor.
        let max = usize::from(self.settings.max_chain).saturating_sub(1);
        self.claims.get("act").map(|act| Actor::parse(act, max)).transpose().map_err(not_a_chain)
    }

    fn actors(&self, chain: Option<&Actor>) -> Vec<String> {
        let name_of = |issuer: &str| self.ports.find_issuer(issuer).map(|issuer| issuer.name);
        chain.map(|actor| actor.names(&self.settings.issuer, name_of)).unwrap_or_default()
    }

    /// A string claim that names something: not empty and not endless.
    fn name(&self, claim: &str) -> Result<Option<&str>, Problem> {
        match self.claims.string(claim)? {
            Some(name) if name.is_empty() || name.len() > id::MAX_NAME => Err(SubjectError::Malformed.into()),
            name => Ok(name),
        }
    }
}

impl From<Malformed> for Problem {
    fn from(_: Malformed) -> Self {
        SubjectError::Malformed.into()
    }
}

impl From<NotOurs> for Problem {
    fn from(why: NotOurs) -> Self {
        match why {
            NotOurs::Missing => SubjectError::MissingClaim.into(),
            NotOurs::Malformed => SubjectError::Malformed.into(),
        }
    }
}

fn only_tenant(tenants: &[String]) -> Result<&str, Problem> {
    match tenants {
        [only] => Ok(only),
        [] | [_, _, ..] => Err(SubjectError::Tenant.into()),
    }
}

fn not_a_chain(error: ChainError) -> Problem {
    match error {
        ChainError::Malformed => SubjectError::Chain.into(),
        ChainError::TooLong => SubjectError::ChainTooLong.into(),
        ChainError::Ours => Problem::from(SubjectError::Chain).because("another issuer's token names an actor of ours"),
    }
}

fn not_verified(error: KeyError) -> Problem {
    let subject = match &error {
        KeyError::UnknownIssuer => SubjectError::UntrustedIssuer,
        KeyError::UnknownKey => SubjectError::UnknownKey,
        KeyError::BadSignature => SubjectError::Signature,
        KeyError::Malformed => SubjectError::Malformed,
        KeyError::Algorithm => SubjectError::Algorithm,
        KeyError::Unavailable => SubjectError::Unavailable,
        KeyError::Refused(_) | KeyError::AuditFailed | KeyError::Throttled(_) | KeyError::Other(_) => return keys_failed(error),
    };
    Problem::from(subject).because(format!("{error:?}"))
}
