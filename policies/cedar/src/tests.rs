//! The engine as a whole.

mod facts;
mod loading;
mod picking;
mod suite;
mod verdicts;

use standin_policy_engine::{Attribute, Input, Party, PolicyEngine as _, Source, Verdict};

use crate::Engine;

fn source(name: &str, content: &str) -> Source {
    Source { name: name.to_owned(), content: content.to_owned() }
}

/// An engine with these policies and no entities.
fn engine(policies: &str) -> Engine {
    load(&[("p.cedar", policies)])
}

fn load(sources: &[(&str, &str)]) -> Engine {
    let sources: Vec<_> = sources.iter().map(|(name, content)| source(name, content)).collect();
    Engine::load(&sources).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    })
}

fn fact(name: &str, value: impl Into<serde_json::Value>) -> Attribute {
    Attribute { name: name.to_owned(), value: value.into().to_string() }
}

/// The router asks for alice of acme.
fn input() -> Input {
    let party = |kind: &str, id: &str| Party {
        kind: kind.to_owned(),
        id: id.to_owned(),
        tenants: vec!["acme".to_owned()],
        provisional: false,
        attributes: Vec::new(),
    };
    Input {
        caller: party("client", "client:router"),
        subject: party("user", "user:acme:alice"),
        chain: Vec::new(),
        tenant: "acme".to_owned(),
        audience: vec!["https://api.example.com".to_owned()],
        scope: vec!["expenses:read".to_owned(), "expenses:write".to_owned()],
        ttl: 300,
        flow: "local".to_owned(),
        step: None,
        // Wednesday, 2026-01-14, 10:30:00 UTC.
        now: 1_768_386_600,
        attributes: Vec::new(),
    }
}

fn with(edit: impl FnOnce(&mut Input)) -> Input {
    let mut input = input();
    edit(&mut input);
    input
}

fn rules(verdict: &Verdict) -> Vec<&str> {
    verdict.reasons.iter().map(|reason| reason.rule.as_str()).collect()
}
