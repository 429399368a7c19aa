//! The operator's file, `standin.toml`.

use std::path::Path;

use standin::config::Config;
use standin::registry::{Registrations, Registry as _};
use toml_edit::{DocumentMut, Key, Value};

/// A file is refused with every fault at a place that it has, or taken; and one that is taken means the same however it is written.
pub fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse(text) {
        Ok(config) => is_right(text, &config),
        Err(error) => {
            let faults = error.faults();
            assert!(!faults.is_empty());
            let lines = text.split('\n').count();
            let places: Vec<_> = faults.iter().map(|fault| (fault.line, fault.column)).collect();
            assert!(
                places.is_sorted() && places.iter().all(|(line, column)| (1..=lines).contains(line) && *column >= 1),
                "{error}"
            );
        }
    }
}

fn parse(text: &str) -> Result<Config, standin::config::ConfigError> {
    Config::parse(text, Path::new("/etc/standin"))
}

fn is_right(text: &str, config: &Config) {
    let printed = format!("{config:?}");
    for again in [format!("{text}\n# the end"), on_one_line_each(text)] {
        let again = parse(&again).unwrap_or_else(|error| panic!("{error}\n{again}"));
        assert_eq!(format!("{again:?}"), printed);
    }
    let limits = &config.limits;
    assert!(limits.default_ttl <= limits.max_ttl && !config.keys.algorithms.is_empty());
    let registrations = Registrations::from_config(config);
    for registered in &config.clients {
        let client = &registered.client;
        assert!(client.max_ttl <= limits.max_ttl && client.default_scopes.iter().all(|scope| client.scopes.contains(scope)));
        assert!(client.audiences.iter().all(|audience| registrations.find_audience(audience).is_some()));
        assert_eq!(registrations.find_client(&client.id).map(|found| found.id.clone()).as_ref(), Some(&client.id));
        for identity in &registered.identities {
            let found = registrations.find_client_by_identity(&identity.issuer, &identity.sub);
            assert_eq!(found.map(|found| found.id.clone()).as_ref(), Some(&client.id));
        }
    }
}

/// The same file with every table as an inline one, and without comments.
fn on_one_line_each(text: &str) -> String {
    let document: DocumentMut = text.parse().unwrap_or_else(|error| panic!("{error}"));
    let mut lines = String::new();
    for (name, item) in document.into_table() {
        if let Ok(mut value) = item.into_value() {
            unadorn(&mut value);
            lines += &format!("{} = {value}\n", Key::new(name.as_str()));
        }
    }
    lines
}

/// Takes out comments, line ends and spaces.
fn unadorn(value: &mut Value) {
    value.decor_mut().clear();
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(unadorn);
            items.set_trailing("");
            items.set_trailing_comma(false);
        }
        Value::InlineTable(members) => {
            members.set_dotted(false);
            for (mut name, member) in members.iter_mut() {
                name.leaf_decor_mut().clear();
                name.dotted_decor_mut().clear();
                unadorn(member);
            }
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}
