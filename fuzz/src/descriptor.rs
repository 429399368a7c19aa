//! A subject named by a descriptor. A line each: `id_type`, `id`, `account_id`, `account_csp_id`, `sfdc_account_id`; an empty one is left
//! out.

use serde_json::{Map, Value};
use standin_domain::id::{self, Email};

use crate::world::{API, World};

/// Names are in one form, every answer is a right one, and a token says whom the descriptor named.
pub fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut members = Map::new();
    for name in ["id_type", "id", "account_id", "account_csp_id", "sfdc_account_id"] {
        let line = lines.next().unwrap_or_default();
        let number = line.parse::<i64>().ok().filter(|_| name == "account_csp_id").map(Value::from);
        if !line.is_empty() {
            members.insert(name.to_owned(), number.unwrap_or_else(|| line.into()));
        }
    }
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (id_type, id) = (text("id_type"), text("id"));
    has_one_form(&id);
    members.insert("audience".into(), API.into());
    let world = World::get();
    let body = Value::Object(members).to_string();
    for client in ["svc-router", "svc-other"] {
        let answer = world.mint(client, body.as_bytes());
        let Some(claims) = answer.claims() else { continue };
        assert_eq!(claims.get("obo_type"), Some(&Value::from(id_type.as_str())), "{claims}");
        let tenant = if client == "svc-router" { "acme" } else { "globex" };
        assert_eq!(claims.get("tenant"), Some(&Value::from(tenant)), "{claims}");
        let sub = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        let kind = sub.split(':').next().unwrap_or_default();
        let provisional = claims.get("provisional") == Some(&Value::from(true));
        match id_type.as_str() {
            "envoy" => assert_eq!(kind, if provisional { "provisional" } else { "user" }, "{claims}"),
            other => assert!(kind == other && !provisional, "{claims}"),
        }
    }
}

/// What is read once reads as itself.
fn has_one_form(text: &str) {
    let address = text.strip_prefix("email.").unwrap_or(text);
    if let Some(email) = Email::parse(address) {
        assert_eq!(Email::parse(email.as_str()).map(Email::into_string).as_deref(), Some(email.as_str()));
    }
    let uuid = text.strip_prefix("host_id.").unwrap_or(text);
    if let Some(uuid) = id::parse_uuid(uuid) {
        assert_eq!(id::parse_uuid(&uuid), Some(uuid));
    }
    // No two names collide, whatever is in them.
    assert_eq!(id::user_id(&id::user("acme", text), "acme").as_deref(), Some(text));
}
