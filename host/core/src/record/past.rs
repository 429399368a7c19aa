//! Events read back: what a policy was asked, exactly as it was asked then.

use serde::Deserialize;
use standin_domain::contract::{Attribute, Input, Party};

use crate::json;

/// A question that was put to a policy, and who answered it.
#[derive(Debug, Clone)]
pub struct PastDecision {
    /// What the policy was asked, as the host had completed it.
    pub input: Input,
    /// Lowercase hex SHA-256 of the module that answered, of several with `+` between them; empty where none did.
    pub policy: String,
    /// The attempt it belongs to.
    pub correlation_id: String,
    /// When, as the log spells it.
    pub time: String,
}

/// A line is no event of an audit log, or what it says was asked is no question.
#[derive(Debug, thiserror::Error)]
#[error("no event of an audit log: {0}")]
pub struct Unreadable(#[from] serde_json::Error);

/// The decisions of one line of a log, in the order they were made. An attempt that ended before a policy was asked has none, and so
/// has what is no attempt.
///
/// # Errors
/// Where the line cannot be read.
pub fn decisions(line: &[u8]) -> Result<Vec<PastDecision>, Unreadable> {
    let Line { event, time, correlation_id, policy, asked, decision, earlier_decisions } = json::from_slice(line)?;
    if event != "attempt" {
        return Ok(Vec::new());
    }
    let last = asked.map(|asked| Decided { policy, asked }).or(decision);
    let past = |Decided { policy, asked }| PastDecision {
        input: asked.into(),
        policy,
        correlation_id: correlation_id.clone(),
        time: time.clone(),
    };
    Ok(earlier_decisions.into_iter().chain(last).map(past).collect())
}

/// What is read of an event; a token's has the question at its top, every other one under `decision`.
#[derive(Deserialize)]
struct Line {
    event: String,
    #[serde(default)]
    time: String,
    #[serde(default)]
    correlation_id: String,
    #[serde(default)]
    policy: String,
    asked: Option<Asked>,
    decision: Option<Decided>,
    #[serde(default)]
    earlier_decisions: Vec<Decided>,
}

#[derive(Deserialize)]
struct Decided {
    policy: String,
    asked: Asked,
}

/// The contract's `input` as events spell it. What is missing, or more than there should be, would be another question.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    caller: Who,
    subject: Who,
    chain: Vec<String>,
    tenant: String,
    audience: Vec<String>,
    scope: Vec<String>,
    ttl: u32,
    flow: String,
    step: Option<String>,
    now: u64,
    attributes: Vec<Fact>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Who {
    kind: String,
    id: String,
    tenants: Vec<String>,
    provisional: bool,
    attributes: Vec<Fact>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fact {
    name: String,
    value: String,
}

impl From<Asked> for Input {
    fn from(asked: Asked) -> Self {
        let Asked { caller, subject, chain, tenant, audience, scope, ttl, flow, step, now, attributes } = asked;
        let (caller, subject) = (caller.into(), subject.into());
        Self { caller, subject, chain, tenant, audience, scope, ttl, flow, step, now, attributes: facts(attributes) }
    }
}

impl From<Who> for Party {
    fn from(who: Who) -> Self {
        let Who { kind, id, tenants, provisional, attributes } = who;
        Self { kind, id, tenants, provisional, attributes: facts(attributes) }
    }
}

fn facts(facts: Vec<Fact>) -> Vec<Attribute> {
    facts.into_iter().map(|Fact { name, value }| Attribute { name, value }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::evidence::{Evidence, SeenDecision};
    use crate::record::{attempt, host_failure};
    use standin_domain::contract::{Effect, Verdict};

    fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
        vec((any::<String>(), any::<String>()).prop_map(|(name, value)| Attribute { name, value }), 0..4)
    }

    fn party() -> impl Strategy<Value = Party> {
        let parts = (any::<String>(), any::<String>(), vec(any::<String>(), 0..3), any::<bool>(), attributes());
        parts.prop_map(|(kind, id, tenants, provisional, attributes)| Party { kind, id, tenants, provisional, attributes })
    }

    fn input() -> impl Strategy<Value = Input> {
        let texts = || vec(any::<String>(), 0..4);
        let who = (party(), party(), texts(), any::<String>());
        let what = (texts(), texts(), any::<u32>(), any::<String>(), any::<Option<String>>(), any::<u64>(), attributes());
        (who, what).prop_map(|((caller, subject, chain, tenant), (audience, scope, ttl, flow, step, now, attributes))| Input {
            caller,
            subject,
            chain,
            tenant,
            audience,
            scope,
            ttl,
            flow,
            step,
            now,
            attributes,
        })
    }

    fn seen(input: Input) -> Arc<SeenDecision> {
        let verdict = Some(Verdict { effect: Effect::Deny, reasons: vec![], attributes: vec![] });
        Arc::new(SeenDecision {
            input,
            left_out: vec![],
            proven: true,
            module_digest: "d1".into(),
            verdict,
            origin: None,
            refusal: None,
        })
    }

    /// As the log writes it.
    fn line(event: &str) -> Vec<u8> {
        format!("{{\"seq\":7,\"time\":\"2026-01-01T00:00:00Z\",\"prev\":\"x\",{}", event.strip_prefix('{').unwrap()).into_bytes()
    }

    proptest! {
        #[test]
        fn a_question_comes_back_as_it_was_asked(asked in input(), earlier in input()) {
            let mut evidence = Evidence::default();
            evidence.decided(seen(earlier.clone()));
            evidence.decided(seen(asked.clone()));
            let event = attempt("c-1", &evidence, r#"{"outcome":"deny","code":"policy.denied"}"#).unwrap();
            let found = decisions(&line(&event.json)).unwrap();
            // The contract's records come without equality.
            let inputs: Vec<_> = found.iter().map(|past| format!("{:?}", past.input)).collect();
            prop_assert_eq!(inputs, [format!("{earlier:?}"), format!("{asked:?}")]);
            prop_assert!(found.iter().all(|past| past.policy == "d1" && past.correlation_id == "c-1"));
            prop_assert!(found.iter().all(|past| past.time == "2026-01-01T00:00:00Z"));
        }
    }

    #[test]
    fn the_question_behind_a_token_comes_back_too() {
        let mut world = crate::approval::testing::World::user();
        world.input.step = Some("look".into());
        let mut approval = world.approve();
        let mut claims = world.claims();
        claims["account_id"] = json!("a-1");
        claims["step"] = json!("look");
        let covered = approval.cover(
            crate::approval::Purpose::AccessToken,
            &claims.to_string(),
            crate::approval::testing::NOW,
            "abcdefghijklmnopqrstuv",
        );
        let event = crate::record::minted("c-2", &world.evidence, &approval, &covered.unwrap(), "{}").unwrap();
        let [past] = <[PastDecision; 1]>::try_from(decisions(&line(&event.json)).unwrap()).unwrap();
        assert_eq!(format!("{:?}", past.input), format!("{:?}", world.input));
        assert_eq!((past.policy.as_str(), past.correlation_id.as_str()), (crate::approval::testing::DIGEST, "c-2"));
        assert_eq!(past.input.step.as_deref(), Some("look"));
    }

    #[test]
    fn what_holds_no_question_is_told_from_what_cannot_be_read() {
        let shed = host_failure("c-3", &Evidence::default(), "runtime.overloaded").unwrap();
        for nothing in [shed.json.as_str(), r#"{"event":"checkpoint"}"#, r#"{"event":"anonymous_failures","count":3}"#] {
            assert!(decisions(nothing.as_bytes()).unwrap().is_empty(), "{nothing}");
        }
        let whole = attempt("c-4", &evidence_of_one(), r#"{"outcome":"deny","code":"policy.denied"}"#).unwrap().json;
        assert_eq!(decisions(whole.as_bytes()).unwrap().len(), 1);
        let without = whole.replacen("\"chain\":[],", "", 1);
        let with_more = whole.replacen("\"chain\":[],", "\"chain\":[],\"weather\":\"fine\",", 1);
        let twice = whole.replacen("\"chain\":[],", "\"chain\":[],\"chain\":[],", 1);
        let list = r#"["checkpoint","","","",null,null,[]]"#;
        for broken in ["", "{", "[]", "{}", "null", "\u{7f}", list, without.as_str(), with_more.as_str(), twice.as_str()] {
            assert!(decisions(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(decisions(b"\xff").is_err());
    }

    fn evidence_of_one() -> Evidence {
        let mut world = crate::approval::testing::World::user();
        world.examine().unwrap();
        world.evidence.decided(seen(world.input));
        world.evidence
    }
}
