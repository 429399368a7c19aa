//! Judging: what is completed, what is approved, what is refused, and that all of it is remembered.

use std::collections::HashMap;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::approval::testing::{DIGEST, NOW, World, account, alice, texts};
use crate::bindings::decision_point::{Host as _, HostApproval as _};
use crate::bindings::directory::User;
use crate::bindings::types::{Allowance, Attribute, Reason};
use crate::evidence::MAX_DECISIONS;

const UNLIMITED: Allowance = Allowance { scope: None, audience: None, ttl: None };

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Duration {
        Duration::from_secs(NOW)
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// One answer a tenant; remembers what it was asked.
#[derive(Default)]
struct Policies {
    answers: HashMap<String, Result<Verdict, JudgeError>>,
    asked: Mutex<Vec<(String, Input)>>,
}

impl Policies {
    fn answering(tenant: &str, answer: Result<Verdict, JudgeError>) -> Self {
        Self::default().and(tenant, answer)
    }

    fn and(mut self, tenant: &str, answer: Result<Verdict, JudgeError>) -> Self {
        self.answers.insert(tenant.to_owned(), answer);
        self
    }

    fn tenants_asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(tenant, _)| tenant.clone()).collect()
    }
}

impl Judge for Policies {
    fn judge(&self, question: &Question<'_>) -> Result<Judgement, JudgeError> {
        let Question { tenant, input, .. } = *question;
        self.asked.lock().unwrap().push((tenant.to_owned(), input.clone()));
        let verdict = self.answers.get(tenant).cloned().unwrap_or(Err(JudgeError::Unavailable))?;
        let module_digest = if tenant == "acme" { DIGEST.to_owned() } else { format!("digest-of-{tenant}") };
        Ok(Judgement { verdict, module_digest })
    }
}

fn verdict(effect: Effect) -> Verdict {
    Verdict { effect, reasons: vec![Reason { rule: "r1".into(), text: "because".into() }], attributes: vec![] }
}

fn permit(allowance: Allowance) -> Result<Verdict, JudgeError> {
    Ok(verdict(Effect::Permit(allowance)))
}

/// Without a door nobody waits.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    match std::pin::pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it waits"),
    }
}

type Decided = Result<(Verdict, String, Option<Approval>), JudgeError>;

fn decide(world: World, policies: Policies) -> (Decided, Evidence, Arc<Policies>) {
    let World { book, mut evidence, input } = world;
    let policies = Arc::new(policies);
    let ctx = DecisionPointCtx::new(Arc::clone(&policies) as Arc<dyn Judge>, Arc::new(book), Arc::new(Fixed));
    let mut table = ResourceTable::new();
    let mut view = DecisionPointView { ctx: &ctx, evidence: &mut evidence, table: &mut table, correlation_id: "c-1" };
    let decided = at_once(view.decide(input));
    (decided, evidence, policies)
}

#[tokio::test]
async fn a_proven_and_permitted_question_is_approved_and_kept_until_dropped() {
    let World { book, mut evidence, input } = World::user();
    let policies = Policies::answering("acme", permit(UNLIMITED));
    let ctx = DecisionPointCtx::new(Arc::new(policies), Arc::new(book), Arc::new(Fixed));
    let mut table = ResourceTable::new();
    let mut view = DecisionPointView { ctx: &ctx, evidence: &mut evidence, table: &mut table, correlation_id: "c-1" };
    let judged = view.judge(input).await.unwrap().unwrap();
    assert_eq!(judged.module_digest, DIGEST);
    let approval = judged.approval.unwrap();
    view.drop(approval).unwrap();
    assert!(table.is_empty());
    let seen = evidence.decision.unwrap();
    assert_eq!((seen.input.now, seen.refusal.clone(), seen.origin.clone()), (NOW, None, None));
}

#[test]
fn the_policy_is_asked_what_the_host_knows() {
    let mut world = World::user();
    world.input.subject.attributes = vec![Attribute { name: "mfa".into(), value: "true".into() }];
    let (_, _, policies) = decide(world, Policies::answering("acme", permit(UNLIMITED)));
    let asked = policies.asked.lock().unwrap();
    let names: Vec<_> = asked[0].1.subject.attributes.iter().map(|fact| fact.name.as_str()).collect();
    assert_eq!(names, ["protected", "department"]);
    assert_eq!(asked[0].1.now, NOW);
}

#[rstest]
#[case(Effect::Deny)]
#[case(Effect::StepUp("urn:acr:mfa".into()))]
fn what_is_not_a_permit_is_not_approved(#[case] effect: Effect) {
    let (decided, evidence, _) = decide(World::user(), Policies::answering("acme", Ok(verdict(effect))));
    assert!(decided.unwrap().2.is_none());
    let seen = evidence.decision.unwrap();
    assert_eq!(seen.module_digest, DIGEST);
    assert!(seen.verdict.is_some() && seen.refusal.is_none());
}

#[test]
fn what_is_permitted_but_not_proven_is_not_approved() {
    let stranger = World::new("user", "user:acme:nobody".into());
    let (decided, evidence, _) = decide(stranger, Policies::answering("acme", permit(UNLIMITED)));
    assert!(decided.unwrap().2.is_none());
    assert_eq!(evidence.decision.unwrap().refusal.as_deref(), Some("no evidence names the subject"));
}

#[test]
fn a_permit_that_leaves_nothing_is_not_approved() {
    let policies = Policies::answering("acme", permit(Allowance { scope: Some(vec![]), ..UNLIMITED }));
    let (decided, evidence, _) = decide(World::user(), policies);
    assert!(decided.unwrap().2.is_none());
    assert_eq!(evidence.decision.unwrap().refusal.as_deref(), Some("the policy's allowance leaves nothing"));
}

#[rstest]
#[case(JudgeError::Module("x".repeat(5000)))]
#[case(JudgeError::Trapped)]
#[case(JudgeError::TimedOut)]
#[case(JudgeError::TooLarge)]
#[case(JudgeError::Invalid)]
#[case(JudgeError::Unavailable)]
#[case(JudgeError::Other(None))]
fn without_a_verdict_nothing_is_approved(#[case] why: JudgeError) {
    let (decided, evidence, _) = decide(World::user(), Policies::answering("acme", Err(why.clone())));
    assert_eq!(format!("{:?}", decided.unwrap_err()), format!("{why:?}"));
    let seen = evidence.decision.unwrap();
    let refusal = seen.refusal.clone().unwrap();
    assert!(seen.verdict.is_none() && refusal.starts_with("the policy") && refusal.len() < 1100, "{refusal}");
}

/// A user of globex, asked for by a client of acme.
fn crossing() -> World {
    let globex = User { accounts: vec![account("a-2", "globex")], ..alice() };
    let mut world = World::of_user(globex);
    world.input.tenant = "globex".into();
    world.input.subject.id = "user:globex:u-1".into();
    world.client().cross_tenant = vec![("acme".into(), "globex".into())];
    world
}

#[test]
fn a_crossing_needs_both_tenants() {
    let narrow = |scopes: &[&str], ttl| permit(Allowance { scope: Some(texts(scopes)), audience: None, ttl });
    let mut world = crossing();
    world.input.scope = texts(&["read", "write"]);
    let policies = Policies::answering("globex", narrow(&["read"], None)).and("acme", narrow(&["read", "write"], Some(60)));
    let (decided, evidence, policies) = decide(world, policies);
    let (verdict, digest, approval) = decided.unwrap();
    assert_eq!(digest, "digest-of-globex");
    assert!(approval.is_some());
    assert_eq!(policies.tenants_asked(), ["globex", "acme"]);
    match verdict.effect {
        Effect::Permit(Allowance { scope, audience, ttl }) => {
            assert_eq!((scope, audience, ttl), (Some(texts(&["read"])), None, Some(60)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(verdict.reasons.len(), 2);
    let origin = evidence.decision.unwrap().origin.clone().unwrap();
    assert_eq!((origin.tenant.as_str(), origin.module_digest.as_str()), ("acme", DIGEST));
}

#[test]
fn either_tenant_may_refuse_a_crossing() {
    let deny = || Ok(verdict(Effect::Deny));
    let (decided, ..) = decide(crossing(), Policies::answering("globex", permit(UNLIMITED)).and("acme", deny()));
    let (verdict, _, approval) = decided.unwrap();
    assert!(matches!(verdict.effect, Effect::Deny) && approval.is_none());
    let (decided, _, policies) = decide(crossing(), Policies::answering("globex", deny()).and("acme", permit(UNLIMITED)));
    let (verdict, _, approval) = decided.unwrap();
    assert!(matches!(verdict.effect, Effect::Deny) && approval.is_none());
    assert_eq!(policies.tenants_asked(), ["globex"]);
    let failing = Policies::answering("globex", permit(UNLIMITED)).and("acme", Err(JudgeError::Trapped));
    let (decided, evidence, _) = decide(crossing(), failing);
    assert!(matches!(decided, Err(JudgeError::Trapped)));
    assert_eq!(evidence.decision.unwrap().origin.clone().unwrap().tenant, "acme");
}

#[test]
fn two_verdicts_must_not_contradict_each_other() {
    let saying = |value: &str| {
        let attributes = vec![Attribute { name: "tier".into(), value: value.into() }];
        Ok(Verdict { attributes, ..verdict(Effect::Permit(UNLIMITED)) })
    };
    let (decided, ..) = decide(crossing(), Policies::answering("globex", saying("1")).and("acme", saying("2")));
    assert!(matches!(decided, Err(JudgeError::Invalid)));
    let (decided, ..) = decide(crossing(), Policies::answering("globex", saying("1")).and("acme", saying("1")));
    assert_eq!(decided.unwrap().0.attributes.len(), 1);
}

fn fact(name: &str, value: &str) -> Attribute {
    Attribute { name: name.into(), value: value.into() }
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("s{index}")).collect()
}

#[rstest]
#[case(|said: &mut Verdict| said.reasons = vec![Reason { rule: "r".into(), text: "t".into() }; 129], true)]
#[case(|said: &mut Verdict| said.reasons[0].text = "x".repeat(1025), true)]
#[case(|said: &mut Verdict| said.reasons[0].rule = "x".repeat(1025), true)]
#[case(|said: &mut Verdict| said.attributes = (0..129).map(|index| fact(&format!("a{index}"), "1")).collect(), true)]
#[case(|said: &mut Verdict| said.attributes = vec![fact("a", &format!("\"{}\"", "x".repeat(1024)))], true)]
#[case(|said: &mut Verdict| said.attributes = vec![fact("a", "1"), fact("a", "1")], false)]
#[case(|said: &mut Verdict| said.attributes = vec![fact("a", "no json")], false)]
#[case(|said: &mut Verdict| said.attributes = vec![fact("", "1")], false)]
#[case(|said: &mut Verdict| said.effect = Effect::Permit(Allowance { scope: Some(many(129)), ..UNLIMITED }), true)]
#[case(|said: &mut Verdict| said.effect = Effect::Permit(Allowance { audience: Some(many(129)), ..UNLIMITED }), true)]
#[case(|said: &mut Verdict| said.effect = Effect::Permit(Allowance { scope: Some(texts(&["a b"])), ..UNLIMITED }), false)]
#[case(|said: &mut Verdict| said.effect = Effect::Permit(Allowance { scope: Some(texts(&[""])), ..UNLIMITED }), false)]
#[case(|said: &mut Verdict| said.effect = Effect::Permit(Allowance { audience: Some(texts(&["a\n"])), ..UNLIMITED }), false)]
#[case(|said: &mut Verdict| said.effect = Effect::StepUp(String::new()), false)]
#[case(|said: &mut Verdict| said.effect = Effect::StepUp("x".repeat(1025)), true)]
fn verdicts_beyond_the_limits_deny(#[case] change: fn(&mut Verdict), #[case] too_large: bool) {
    let mut said = verdict(Effect::Permit(UNLIMITED));
    change(&mut said);
    let (decided, evidence, _) = decide(World::user(), Policies::answering("acme", Ok(said)));
    let why = decided.unwrap_err();
    assert_eq!(matches!(why, JudgeError::TooLarge), too_large);
    assert_eq!(matches!(why, JudgeError::Invalid), !too_large);
    assert!(evidence.decision.unwrap().verdict.is_none());
}

#[rstest]
#[case(|asked: &mut Input| asked.scope = many(129), true)]
#[case(|asked: &mut Input| asked.audience = vec!["x".repeat(1025)], true)]
#[case(|asked: &mut Input| asked.subject.id = "x".repeat(4097), true)]
#[case(|asked: &mut Input| asked.step = Some("x".repeat(4097)), true)]
#[case(|asked: &mut Input| asked.scope = vec!["x".repeat(1024); 17], true)]
#[case(|asked: &mut Input| asked.audience = vec!["x".repeat(1024); 17], true)]
#[case(|asked: &mut Input| asked.attributes = (0..65).map(|index| fact(&format!("edge.{index}"), "1")).collect(), true)]
#[case(|asked: &mut Input| asked.attributes = vec![fact("edge.a", "1"), fact("edge.a", "2")], false)]
#[case(|asked: &mut Input| asked.scope = texts(&["a\"b"]), false)]
#[case(|asked: &mut Input| asked.audience = texts(&["a b"]), false)]
fn questions_beyond_the_limits_reach_no_policy(#[case] change: fn(&mut Input), #[case] too_large: bool) {
    let mut world = World::user();
    change(&mut world.input);
    let (decided, _, policies) = decide(world, Policies::answering("acme", permit(UNLIMITED)));
    let why = decided.unwrap_err();
    assert_eq!(matches!(why, JudgeError::TooLarge), too_large);
    assert_eq!(matches!(why, JudgeError::Invalid), !too_large);
    assert!(policies.tenants_asked().is_empty());
}

#[rstest]
#[case((0..65).map(|index| fact(&format!("edge.{index}"), "1")).collect(), true)]
#[case(vec![fact("edge.a", &format!("\"{}\"", "x".repeat(8192)))], true)]
#[case(vec![fact("edge.a", "1"), fact("edge.a", "2")], false)]
fn what_the_edge_says_has_limits_too(#[case] edge: Vec<Attribute>, #[case] too_large: bool) {
    let mut world = World::user();
    world.evidence.edge = edge;
    let (decided, _, policies) = decide(world, Policies::answering("acme", permit(UNLIMITED)));
    let why = decided.unwrap_err();
    assert_eq!(matches!(why, JudgeError::TooLarge), too_large);
    assert_eq!(matches!(why, JudgeError::Invalid), !too_large);
    assert!(policies.tenants_asked().is_empty());
}

#[test]
fn facts_of_another_type_are_left_out_and_named() {
    let mut world = World::joined(
        User {
            attributes: vec![fact("groups", "null"), fact("roles", "\"admin\""), fact("level", "[1,null]"), fact("odd", "{")],
            ..alice()
        },
        |claims| {
            for (name, value) in [
                ("acr", json!(1)),
                ("amr", json!("pwd")),
                ("auth_time", json!("2020")),
                ("groups", json!(["staff"])),
                ("roles", json!({})),
            ] {
                claims[name] = value;
            }
        },
    );
    world.client().attributes = vec![fact("roles", "7"), fact("team", "\"edge\"")];
    world.evidence.edge = vec![fact("edge.country", "DE"), fact("edge.ip", "\"::1\"")];
    let (decided, evidence, _) = decide(world, Policies::answering("acme", permit(UNLIMITED)));
    decided.unwrap().2.unwrap();
    let seen = evidence.decision.unwrap();
    let told = |facts: &[Attribute]| facts.iter().map(|fact| format!("{}={}", fact.name, fact.value)).collect::<Vec<_>>();
    assert_eq!(told(&seen.input.caller.attributes), ["team=\"edge\""]);
    assert_eq!(told(&seen.input.attributes), ["edge.ip=\"::1\""]);
    // What the directory says in a type of its own is left out, and the token does not say it instead.
    let subject =
        ["issuer=\"https://sso.example.com\"", "protected=false", "roles=[\"admin\"]", "level=[1,null]", "amr=[\"pwd\"]"];
    assert_eq!(told(&seen.input.subject.attributes), subject);
    let left_out = ["caller.roles", "subject.groups", "subject.odd", "subject.acr", "subject.auth_time", "edge.country"];
    assert_eq!(seen.left_out, left_out);
}

#[test]
fn a_request_may_not_ask_for_ever() {
    let mut world = World::user();
    for _ in 0..MAX_DECISIONS {
        world.evidence.spend_decision().unwrap();
    }
    let (decided, _, policies) = decide(world, Policies::answering("acme", permit(UNLIMITED)));
    assert!(matches!(decided, Err(JudgeError::Other(Some(_)))));
    assert!(policies.tenants_asked().is_empty());
}
