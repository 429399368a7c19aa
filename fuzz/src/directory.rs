//! A document of `standin directory import`.

use serde_json::Value;
use standin::directory::import::ImportError;
use standin::directory::{AccountKey, Directory as _, MachineKey, MemoryDirectory, UserKey};

use crate::world::World;

/// A document is refused whole, with every fault at a row that it has, or everything in it is found as it stands there.
pub fn holds(data: &[u8]) {
    let world = World::get();
    let found = match MemoryDirectory::load(data) {
        Ok(directory) => directory,
        Err(ImportError::Rows(bad)) => return has_places(data, &bad.listed),
        Err(_) => return,
    };
    let document: Value = serde_json::from_slice(data).expect("what was read is JSON");
    let rows = |list: &str| document.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    for row in rows("accounts") {
        let (id, tenant) = (text(&row, "id"), text(&row, "tenant"));
        let mut keys = vec![AccountKey::Id(id.clone())];
        keys.extend(row.get("csp_id").and_then(Value::as_i64).map(AccountKey::CspId));
        keys.extend(row.get("sfdc_account_id").and_then(Value::as_str).map(|sfdc| AccountKey::Sfdc(sfdc.to_owned())));
        for key in keys {
            let account = world.wait(found.find_account(&key)).ok().flatten().unwrap_or_else(|| panic!("no {key:?}"));
            assert_eq!((account.id, account.tenant), (id.clone(), tenant.clone()));
        }
    }
    for row in rows("users") {
        let (id, email) = (text(&row, "id"), text(&row, "email"));
        for key in [UserKey::Id(id.clone()), UserKey::Email(email)] {
            let user = world.wait(found.find_user(&key)).ok().flatten().unwrap_or_else(|| panic!("no {key:?}"));
            assert_eq!(user.id, id);
            let members = row.get("accounts").and_then(Value::as_array).map_or(0, Vec::len);
            assert_eq!(user.accounts.len(), members);
            assert_eq!(user.protected, row.get("protected") == Some(&Value::from(true)));
        }
    }
    for row in rows("hosts") {
        let key = MachineKey::Id(text(&row, "id"));
        let machine = world.wait(found.find_machine(&key)).ok().flatten().unwrap_or_else(|| panic!("no {key:?}"));
        assert_eq!(machine.account.id, text(&row, "account"));
    }
}

fn has_places(data: &[u8], faults: &[standin::directory::import::BadRow]) {
    assert!(!faults.is_empty());
    // A bad row may have JSON that `Value` does not take: a number too large for f64, or nesting beyond serde_json's limit.
    let Ok(document) = serde_json::from_slice::<Value>(data) else { return };
    for fault in faults {
        let rows = document.get(fault.list.name()).and_then(Value::as_array).map_or(0, Vec::len);
        assert!(fault.index < rows as u64, "{fault}");
        assert!(!fault.to_string().contains('\n'), "{fault}");
    }
}
