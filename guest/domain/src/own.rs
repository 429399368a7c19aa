//! The claims of a token of ours at a further hop. Component and host both read them with this, as strictly as we write them.

use serde_json::{Map, Value};

use crate::claims::Malformed;
use crate::id;

/// What a subject is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A person whom the directory knows.
    User,
    /// An edge, named by its user.
    Envoy,
    /// A machine.
    Host,
    /// An edge that the directory does not know yet.
    Provisional,
    /// A client of ours, acting for itself.
    Client,
    /// Whoever its issuer alone knows.
    External,
}

impl Kind {
    /// Its name in a `party`.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Envoy => "envoy",
            Self::Host => "host",
            Self::Provisional => "provisional",
            Self::Client => "client",
            Self::External => "external",
        }
    }

    fn of(sub: &str, obo_type: &str) -> Self {
        match sub.split_once(':').map(|(kind, _)| kind) {
            Some("user") if obo_type == "envoy" => Self::Envoy,
            Some("user") => Self::User,
            Some("host") => Self::Host,
            Some("provisional") => Self::Provisional,
            Some("client") => Self::Client,
            Some(_) | None => Self::External,
        }
    }
}

/// What a token of ours says of its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own<'a> {
    /// The subject.
    pub sub: &'a str,
    /// What kind of name that is.
    pub kind: Kind,
    /// How the subject was named at the first hop.
    pub obo_type: &'a str,
    /// Whether the directory does not know the subject.
    pub provisional: bool,
    /// Canonical tenant.
    pub tenant: &'a str,
    /// The token's own name,
    pub jti: &'a str,
    /// and those of its ancestors, oldest first.
    pub ancestors: Vec<&'a str>,
    /// The account,
    pub account_id: Option<&'a str>,
    /// its number,
    pub csp_id: Option<i64>,
    /// and its name at Salesforce.
    pub sfdc_account_id: Option<&'a str>,
    /// The machine, where the subject is one: its id, and its opaque one.
    pub host: Option<(&'a str, Option<&'a str>)>,
}

/// Why these are no claims of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOurs {
    /// One is missing.
    Missing,
    /// One is not of its type, or contradicts another.
    Malformed,
}

impl From<Malformed> for NotOurs {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl<'a> Own<'a> {
    /// Reads them.
    ///
    /// # Errors
    /// Where we would have written them otherwise.
    pub fn read(claims: &'a Map<String, Value>) -> Result<Self, NotOurs> {
        let name = |claim: &str| name(claims.get(claim));
        let required = |claim: &str| name(claim)?.ok_or(NotOurs::Missing);
        let (sub, obo_type) = (required("sub")?, required("obo_type")?);
        let kind = Kind::of(sub, obo_type);
        let said = claims.get("provisional").map(|said| said.as_bool().ok_or(Malformed)).transpose()?;
        let (tenant, jti) = (required("tenant")?, required("jti")?);
        let host = claims.get("host").map(machine).transpose()?;
        let is_its_name = match host {
            Some((host, _)) => id::host(tenant, host) == sub,
            None => kind != Kind::Host,
        };
        if !is_its_name {
            return Err(NotOurs::Malformed);
        }
        Ok(Self {
            sub,
            kind,
            obo_type,
            tenant,
            jti,
            // Whatever such a name says, what was once marked stays so.
            provisional: said == Some(true) || kind == Kind::Provisional,
            ancestors: ancestors(claims)?,
            account_id: name("account_id")?,
            csp_id: claims.get("csp_id").map(|id| id.as_i64().ok_or(Malformed)).transpose()?,
            sfdc_account_id: name("sfdc_account_id")?,
            host,
        })
    }
}

/// A text that names something: not empty and not endless.
fn name(value: Option<&Value>) -> Result<Option<&str>, Malformed> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= id::MAX_NAME => Ok(Some(text)),
        Some(_) => Err(Malformed),
    }
}

/// Id and opaque id.
fn machine(host: &Value) -> Result<(&str, Option<&str>), Malformed> {
    let members = host.as_object().ok_or(Malformed)?;
    if members.keys().any(|member| member != "id" && member != "ophid") {
        return Err(Malformed);
    }
    Ok((name(members.get("id"))?.ok_or(Malformed)?, name(members.get("ophid"))?))
}

fn ancestors(claims: &Map<String, Value>) -> Result<Vec<&str>, Malformed> {
    match claims.get("lineage") {
        None => Ok(Vec::new()),
        Some(lineage) => lineage.as_array().ok_or(Malformed)?.iter().map(|jti| name(Some(jti))?.ok_or(Malformed)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(name: &str, value: Value) -> Map<String, Value> {
        let mut claims = json!({
            "sub": "host:acme:m-1", "obo_type": "host", "tenant": "acme", "jti": "j-2", "lineage": ["j-0", "j-1"],
            "account_id": "a-1", "csp_id": 7, "sfdc_account_id": "s-1", "host": { "id": "m-1", "ophid": "o-1" },
        });
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        claims.as_object().unwrap().clone()
    }

    #[test]
    fn reads_what_we_write() {
        let claims = with("more", json!(1));
        let own = Own::read(&claims).unwrap();
        assert_eq!((own.kind, own.ancestors.as_slice(), own.host), (Kind::Host, &["j-0", "j-1"][..], Some(("m-1", Some("o-1")))));
        assert_eq!((own.account_id, own.csp_id, own.sfdc_account_id), (Some("a-1"), Some(7), Some("s-1")));
        let least = json!({ "sub": "ext:corp:x", "obo_type": "token", "tenant": "acme", "jti": "j" });
        let own = Own::read(least.as_object().unwrap()).unwrap();
        assert_eq!((own.kind, own.provisional, own.host, own.ancestors.len()), (Kind::External, false, None, 0));
    }

    #[test]
    fn what_was_marked_stays_so() {
        for (sub, said, provisional) in [
            ("provisional:acme:a", json!(true), true),
            ("provisional:acme:a", json!(false), true),
            ("user:acme:a", json!(true), true),
            ("user:acme:a", json!(false), false),
        ] {
            let claims = json!({ "sub": sub, "obo_type": "envoy", "tenant": "acme", "jti": "j", "provisional": said });
            assert_eq!(Own::read(claims.as_object().unwrap()).unwrap().provisional, provisional, "{claims}");
        }
    }

    #[rstest::rstest]
    #[case("user:acme:a", "user", "user")]
    #[case("user:acme:a", "envoy", "envoy")]
    #[case("provisional:acme:a", "envoy", "provisional")]
    #[case("ext:corp:a", "token", "external")]
    #[case("client:a", "token", "client")]
    fn the_name_says_the_kind(#[case] sub: &str, #[case] obo_type: &str, #[case] kind: &str) {
        let claims = json!({ "sub": sub, "obo_type": obo_type, "tenant": "acme", "jti": "j" });
        assert_eq!(Own::read(claims.as_object().unwrap()).unwrap().kind.name(), kind);
    }

    #[rstest::rstest]
    #[case("sub", Value::Null, NotOurs::Missing)]
    #[case("obo_type", Value::Null, NotOurs::Missing)]
    #[case("tenant", Value::Null, NotOurs::Missing)]
    #[case("jti", Value::Null, NotOurs::Missing)]
    #[case("jti", json!(""), NotOurs::Malformed)]
    #[case("jti", json!("x".repeat(513)), NotOurs::Malformed)]
    #[case("obo_type", json!(1), NotOurs::Malformed)]
    #[case("lineage", json!("j-0"), NotOurs::Malformed)]
    #[case("lineage", json!([1]), NotOurs::Malformed)]
    #[case("lineage", json!(["j-0", ""]), NotOurs::Malformed)]
    #[case("host", json!({ "id": "m-1", "serial": "s" }), NotOurs::Malformed)]
    #[case("provisional", json!("no"), NotOurs::Malformed)]
    #[case("csp_id", json!("7"), NotOurs::Malformed)]
    #[case("account_id", json!(7), NotOurs::Malformed)]
    #[case("host", Value::Null, NotOurs::Malformed)]
    #[case("host", json!("m-1"), NotOurs::Malformed)]
    #[case("host", json!({ "id": "m-2" }), NotOurs::Malformed)]
    #[case("host", json!({ "id": "m-1", "ophid": 1 }), NotOurs::Malformed)]
    #[case("sub", json!("user:acme:m-1"), NotOurs::Malformed)]
    fn refuses_what_we_would_not_write(#[case] name: &str, #[case] value: Value, #[case] why: NotOurs) {
        assert_eq!(Own::read(&with(name, value)), Err(why));
    }
}
