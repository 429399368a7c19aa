//! Credential -> caller. Runs before anything else is looked up, so that a stranger learns nothing.

use crate::claims::Claims;
use crate::error::{CallerError, MintError, Problem, TargetError};
use crate::id;
use crate::ports::{Client, ClientSecret, Credential, IssuerRole, KeyError, KeySource, Party, Ports, System};
use crate::secret::Secret;

/// An authenticated client.
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    id: String,
    /// When its JWT ends, if it came with one.
    until: Option<u64>,
}

impl Caller {
    /// Its registration.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// `client:<id>`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// As a policy sees it.
    pub fn party(&self) -> Party {
        Party { tenants: self.client.tenants.clone(), attributes: self.client.attributes.clone(), ..self.named() }
    }

    /// A caller JWT may expire while its request is served.
    pub(crate) fn check(&self, now: u64) -> Result<(), Problem> {
        match self.until {
            Some(until) if until <= now => {
                Err(Problem::from(CallerError::Invalid).because("the caller JWT has expired meanwhile"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Its name alone, for the host to complete.
    pub(crate) fn named(&self) -> Party {
        Party { kind: "client".into(), id: self.id.clone(), tenants: Vec::new(), provisional: false, attributes: Vec::new() }
    }
}

/// Authenticates the caller. Whatever is wrong with a credential, the answer is the same.
///
/// # Errors
/// [`CallerError`], or that the keys are unavailable.
pub fn authenticate(ports: &impl Ports, settings: &System, now: u64, credential: Credential) -> Result<Caller, Problem> {
    let (client, until) = match credential {
        Credential::ClientSecret(ClientSecret { client_id, secret }) => {
            (by_secret(ports, &client_id, &Secret::new(secret))?, None)
        }
        Credential::Bearer(jws) => {
            by_bearer(ports, settings, now, &Secret::new(jws)).map(|(client, until)| (client, Some(until)))?
        }
        Credential::Attested(client_id) => (by_attestation(ports, &client_id)?, None),
        Credential::ClientAssertion(_) | Credential::Certificate(_) => return Err(CallerError::Method.into()),
    };
    Ok(Caller { id: id::client(&client.id), client, until })
}

/// RFC 6749 §2.3.1.
fn by_secret(ports: &impl Ports, client_id: &str, secret: &Secret) -> Result<Client, Problem> {
    let right = ports.check_secret(client_id, secret.expose()).map_err(keys_failed)?;
    if !right {
        return Err(Problem::from(CallerError::Invalid).because("no such client, or not one of its live secrets"));
    }
    ports.find_client(client_id).ok_or_else(|| Problem::from(CallerError::Invalid).because("the client is gone"))
}

/// A JWT of an issuer of callers, and when it ends. A subject token never gets this far: its issuer has the other role.
fn by_bearer(ports: &impl Ports, settings: &System, now: u64, jws: &Secret) -> Result<(Client, u64), Problem> {
    let invalid = |cause: &str| Problem::from(CallerError::Invalid).because(cause);
    if jws.expose().len() > settings.max_token as usize {
        return Err(invalid("the caller JWT is too large"));
    }
    let verified = ports.verify(jws.expose(), &KeySource::CallerIssuer).map_err(|error| match error {
        KeyError::Unavailable | KeyError::Throttled(_) => keys_failed(error),
        other => invalid(&format!("the caller JWT was not verified: {other:?}")),
    })?;
    let issuer = ports.find_issuer(&verified.issuer).filter(|issuer| issuer.role == IssuerRole::Caller);
    let issuer = issuer.ok_or_else(|| invalid("the caller JWT's issuer is not registered for callers"))?;
    if !accepts_type(&issuer.types, verified.typ.as_deref()) {
        return Err(invalid("the caller JWT's typ is not accepted"));
    }
    let claims = Claims::parse(&verified.claims, settings.max_depth).map_err(|_| invalid("the caller JWT has no claims"))?;
    if claims.are_bound() {
        return Err(invalid("the caller JWT is bound to a key, whose proof is not taken here"));
    }
    let malformed = |_| invalid("a claim of the caller JWT is malformed");
    let audience = claims.strings("aud").map_err(malformed)?;
    if !audience.contains(&settings.issuer.as_str()) {
        return Err(invalid("the caller JWT's aud is not this issuer"));
    }
    let leeway = u64::from(settings.leeway);
    let expires = claims.seconds("exp").map_err(malformed)?.ok_or_else(|| invalid("the caller JWT has no exp"))?;
    let until = expires.saturating_add(leeway);
    if until <= now {
        return Err(invalid("the caller JWT has expired"));
    }
    for name in ["nbf", "iat"] {
        if claims.seconds(name).map_err(malformed)?.is_some_and(|from| from > now.saturating_add(leeway)) {
            return Err(invalid("the caller JWT is not valid yet"));
        }
    }
    let sub = claims.string("sub").map_err(malformed)?.ok_or_else(|| invalid("the caller JWT has no sub"))?;
    let client = ports.find_client_by_identity(&verified.issuer, sub);
    client.map(|client| (client, until)).ok_or_else(|| invalid("no client names this issuer and sub"))
}

/// The host has made sure that the embedding program itself said so.
fn by_attestation(ports: &impl Ports, client_id: &str) -> Result<Client, Problem> {
    let client = ports.find_client(client_id).filter(|client| client.attested);
    client.ok_or_else(|| Problem::from(CallerError::Invalid).because("the client is not registered as attested"))
}

/// Whether a token may have this `typ` where these are accepted (RFC 7515 §4.1.9: case-insensitive, `application/` may be left out).
pub fn accepts_type(accepted: &[String], typ: Option<&str>) -> bool {
    let typ = typ.unwrap_or_default().to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    accepted.iter().any(|accepted| accepted == typ)
}

/// A failure of the host rather than of a credential or token.
pub(crate) fn keys_failed(error: KeyError) -> Problem {
    if let KeyError::Throttled(seconds) = error {
        return Problem::from(CallerError::Throttled)
            .after(seconds)
            .because("too many failures of this client from this address");
    }
    Problem::from(MintError::KeysUnavailable).because(format!("{error:?}"))
}

/// A failure of the directory.
pub(crate) fn directory_failed(error: crate::ports::DirectoryError) -> Problem {
    Problem::from(TargetError::DirectoryUnavailable).because(format!("{error:?}"))
}
