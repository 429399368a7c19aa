//! The files of a bundle in one input: a line `=== NAME` begins a file. Without one it is all one policy.

use standin_policy_engine::{Attribute, Fault, Input, Party, PolicyEngine, Source, Verdict};

/// The files. A name stands for one file: the first of it.
pub(crate) fn of(data: &[u8], only: &str) -> Option<Vec<Source>> {
    let text = std::str::from_utf8(data).ok()?;
    if !text.starts_with("=== ") {
        return Some(vec![Source { name: only.to_owned(), content: text.to_owned() }]);
    }
    let mut sources: Vec<Source> = Vec::new();
    for line in text.split_inclusive('\n') {
        match (line.strip_prefix("=== "), sources.last_mut()) {
            (Some(name), _) => sources.push(Source { name: name.trim_end().to_owned(), content: String::new() }),
            (None, Some(source)) => source.content += line,
            (None, None) => {}
        }
    }
    let names: Vec<_> = sources.iter().map(|source| source.name.clone()).collect();
    let mut at = 0;
    sources.retain(|source| {
        at += 1;
        names.iter().position(|name| *name == source.name) == Some(at - 1)
    });
    Some(sources)
}

/// The bundle, if it is taken. What is refused is refused with faults at places that there are; what is taken is the same in any order
/// of its files, and is decided the same each time.
pub(crate) fn loaded<E: PolicyEngine>(sources: &[Source]) -> Option<E> {
    let engine = match E::load(sources) {
        Ok(engine) => engine,
        Err(faults) => {
            assert!(!faults.is_empty());
            faults.iter().for_each(|fault| has_a_place(fault, sources));
            return None;
        }
    };
    let mut turned = sources.to_vec();
    turned.reverse();
    let other = E::load(&turned).unwrap_or_else(|faults| panic!("taken in one order only: {faults:?}"));
    assert_eq!(engine.source_digest(), other.source_digest());
    let names = |engine: &E| {
        let mut names = engine.rule_names();
        names.sort();
        names
    };
    assert_eq!(names(&engine), names(&other));
    for question in questions() {
        let said = engine.evaluate(&question);
        assert_eq!(said, engine.evaluate(&question));
        assert_eq!(said.as_ref().ok(), other.evaluate(&question).as_ref().ok());
        if let Ok(Verdict { reasons, .. }) = said {
            assert!(!reasons.is_empty() && reasons.len() <= 64 && reasons.is_sorted(), "{reasons:?}");
        }
    }
    Some(engine)
}

fn has_a_place(fault: &Fault, sources: &[Source]) {
    assert!(fault.line >= 1 && fault.column >= 1 && !fault.message.is_empty(), "{fault:?}");
    // A fault of the bundle as a whole names no file of it.
    if let Some(source) = sources.iter().find(|source| source.name == fault.file) {
        let lines = source.content.split('\n').count();
        assert!(usize::try_from(fault.line).is_ok_and(|line| line <= lines), "{fault:?}");
    }
}

fn fact(name: &str, value: &str) -> Attribute {
    Attribute { name: name.to_owned(), value: value.to_owned() }
}

/// Requests that differ in everything a policy can see.
pub(crate) fn questions() -> [Input; 3] {
    let party = |kind: &str, id: &str, tenants: &[&str], provisional, attributes| Party {
        kind: kind.to_owned(),
        id: id.to_owned(),
        tenants: tenants.iter().map(|tenant| (*tenant).to_owned()).collect(),
        provisional,
        attributes,
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    [
        Input {
            caller: party("client", "client:router", &["acme", "globex"], false, vec![]),
            subject: party(
                "user",
                "user:acme:u-alice",
                &["acme"],
                false,
                vec![fact("acr", "\"mfa\""), fact("department", "\"finance\""), fact("protected", "false")],
            ),
            chain: texts(&["client:portal"]),
            tenant: "acme".into(),
            audience: texts(&["https://api.example.com"]),
            scope: texts(&["expenses:read", "expenses:write"]),
            ttl: 300,
            flow: "local".into(),
            step: Some("approve-expense".into()),
            now: 1_768_386_600,
            attributes: vec![fact("edge.country", "\"DE\""), fact("edge.risk", "2"), fact("cross_tenant.from", "\"globex\"")],
        },
        Input {
            caller: party("client", "client:ledger", &["globex"], false, vec![fact("tier", "[1,\"a\",null]")]),
            subject: party("provisional", "provisional:globex:x", &["globex"], true, vec![]),
            chain: vec![],
            tenant: "globex".into(),
            audience: texts(&["a", "b"]),
            scope: vec![],
            ttl: 1,
            flow: "none".into(),
            step: None,
            now: 0,
            attributes: vec![fact("edge.obj", "{\"a\":{\"b\":[false]}}"), fact("edge.n", "-1")],
        },
        Input::rehearsal(),
    ]
}
