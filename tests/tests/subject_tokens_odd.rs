//! Generated tokens of trusted issuers, with claims as nobody should send them: what the component takes the host approves, what it refuses
//! the host refuses too, and no such token is a fault of ours.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on ends")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use standin::Standin;
use standin::types::Request;
use standin_tests::hostile::{hostile, order};
use standin_tests::idp::{Idp, KID, claims_of, now};
use standin_tests::requests::{request, token};
use standin_tests::world::{API, ISSUER, LEDGER, PATIENT, World};

/// Claims that mean something to us.
const NAMES: [&str; 31] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "tenant",
    "scope",
    "scp",
    "act",
    "may_act",
    "acr",
    "amr",
    "auth_time",
    "groups",
    "roles",
    "cnf",
    "typ",
    "token_type",
    "employee",
    "email",
    "client_id",
    "lineage",
    "provisional",
    "obo_type",
    "host",
    "account_id",
    "csp_id",
    "step",
    "policy",
];

/// Any JSON, not too deep.
fn anything() -> impl Strategy<Value = Value> {
    let texts = prop_oneof![
        Just(String::new()),
        Just(" ".to_owned()),
        Just("\u{1}\u{7f}\"\\".to_owned()),
        Just("ä".repeat(400)),
        Just("x".repeat(513)),
        Just("client:svc-router".to_owned()),
        Just("user:acme:u-alice".to_owned()),
        Just("2020-01-01T00:00:00Z".to_owned()),
        "\\PC{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        select(vec![0.0, -0.0, 0.5, -1.5, 1e16, 1e300, 1.8e9]).prop_map(Value::from),
        texts.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(select(vec!["sub", "iss", "act", "id", "jkt", "x"]), inner, 0..3).prop_map(
                |members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
            ),
        ]
    })
}

/// What almost fits its name.
fn plausible(name: &'static str) -> BoxedStrategy<Value> {
    let second = || (-40_i64..40).prop_map(|off| Value::from(now().saturating_add_signed(off)));
    match name {
        "exp" | "iat" | "nbf" => prop_oneof![second(), second().prop_map(|at| json!(at.as_f64().unwrap() + 0.5))].boxed(),
        "aud" => prop_oneof![Just(json!([ISSUER, "x"])), Just(json!([[ISSUER]])), Just(json!(format!("{ISSUER}/")))].boxed(),
        "iss" => select(vec![json!("https://owner.example.com"), json!("https://joined.example.com"), json!(ISSUER)]).boxed(),
        "act" => anything()
            .prop_map(
                |odd| json!({ "sub": "portal", "iss": "https://idp.example.com", "act": { "sub": "ä".repeat(200), "x": odd } }),
            )
            .boxed(),
        "may_act" => select(vec![json!({ "sub": "svc-router" }), json!({ "sub": "client:svc-router", "iss": ISSUER })]).boxed(),
        "scope" | "scp" => select(vec![
            json!("expenses:read"),
            json!(["expenses:read", "expenses:write other"]),
            json!("expenses:read\u{a0}x \"quoted\""),
            json!(vec!["expenses:read"; 300]),
            json!((0..300).map(|at| format!("s{at}")).collect::<Vec<_>>().join(" ")),
        ])
        .boxed(),
        "tenant" => select(vec![json!("acme"), json!("globex"), json!("Acme"), json!(["acme"])]).boxed(),
        "employee" => select(vec![json!("E-1"), json!("E-9"), json!(1)]).boxed(),
        "amr" | "groups" | "roles" => {
            select(vec![json!("otp"), json!(["pwd", "otp"]), json!(["ä".repeat(200)]), json!(["a", 1])]).boxed()
        }
        "typ" | "token_type" => select(vec![json!("Bearer"), json!("DPoP"), json!("at+jwt")]).boxed(),
        _ => anything().boxed(),
    }
}

/// Changes to good claims.
fn changes() -> impl Strategy<Value = BTreeMap<&'static str, Option<Value>>> {
    let change = select(NAMES.to_vec()).prop_flat_map(|name| {
        prop_oneof![4 => plausible(name).prop_map(Some), 3 => anything().prop_map(Some), 1 => Just(None)]
            .prop_map(move |value| (name, value))
    });
    proptest::collection::vec(change, 0..4).prop_map(|changes| changes.into_iter().collect())
}

#[derive(Debug, Clone)]
struct Case {
    changes: BTreeMap<&'static str, Option<Value>>,
    typ: Option<&'static str>,
    scope: Vec<String>,
    audience: &'static str,
}

fn case() -> impl Strategy<Value = Case> {
    let typ = select(vec![Some("JWT"), Some("at+jwt"), None, Some("dpop+jwt")]);
    let scope = select(vec![vec![], vec!["expenses:read"], vec!["expenses:write", "expenses:read"]]);
    (changes(), typ, scope, select(vec![API, LEDGER])).prop_map(|(changes, typ, scope, audience)| Case {
        changes,
        typ,
        scope: scope.into_iter().map(str::to_owned).collect(),
        audience,
    })
}

struct Both {
    world: World,
    honest: Standin,
    /// Asks the host about whatever the token says, without a look of its own.
    blind: Standin,
    _other: World,
}

impl Both {
    fn token(&self, case: &Case) -> (Value, String) {
        let mut claims = Idp::claims(json!({}));
        let members = claims.as_object_mut().unwrap();
        for (name, value) in &case.changes {
            match value {
                Some(value) => drop(members.insert((*name).to_owned(), value.clone())),
                None => drop(members.remove(*name)),
            }
        }
        let mut header = json!({ "alg": "ES256", "kid": KID });
        if let Some(typ) = case.typ {
            header["typ"] = json!(typ);
        }
        let token = self.world.idp.sign(&header, &claims);
        (claims, token)
    }

    async fn hold(&self, case: &Case) -> String {
        let (claims, subject_token) = self.token(case);
        let asked = Request {
            scope: case.scope.clone(),
            audience: vec![case.audience.to_owned()],
            ..request("svc-router", token(&*subject_token))
        };
        match self.honest.mint_on_behalf(asked).await {
            Ok(minted) => {
                let first = claims_of(&minted.token);
                for name in ["acr", "amr", "auth_time"] {
                    let kept = standin_domain::facts::read(name, &claims[name]).filter(|_| claims.get(name).is_some());
                    assert_eq!(first.get(name), kept.as_ref(), "{name} of {claims}");
                }
                assert!(first.get("cnf").is_none() && claims.get("cnf").is_none(), "{claims}");
                assert!(first["exp"].as_u64() <= claims["exp"].as_f64().map(|exp| exp as u64), "{claims}");
                if case.audience == API {
                    let second = Request { audience: vec![LEDGER.to_owned()], ..request("svc-ledger", token(minted.token)) };
                    if let Err(failure) = self.honest.mint_on_behalf(second).await {
                        fault(&failure.code, failure.status, &claims);
                    }
                }
                "minted".to_owned()
            }
            Err(failure) => {
                fault(&failure.code, failure.status, &claims);
                if failure.code.starts_with("subject.") {
                    self.refused_by_the_host_too(&claims, &subject_token, &failure.code).await;
                }
                failure.code
            }
        }
    }

    /// A component that looks at nothing asks on: about the subject that the token names, for no scope, for a second.
    async fn refused_by_the_host_too(&self, claims: &Value, subject_token: &str, code: &str) {
        // What the component reads and the host does not, for nothing of it is signed.
        const HARMLESS: [&str; 1] = ["subject.too_large"];
        let sub = claims["sub"].as_str().unwrap_or_default();
        let (kind, subject) = match claims["iss"].as_str() {
            Some("https://owner.example.com") => ("user", standin_domain::id::user("acme", sub)),
            Some("https://joined.example.com") => ("user", "user:acme:u-alice".to_owned()),
            _ => ("external", standin_domain::id::external("corp", sub)),
        };
        let asked = order(
            "mint",
            &json!({
                "evidence": [["authenticate"], ["subject-token", subject_token]],
                "question": { "subject": subject, "kind": kind, "scope": [], "ttl": 1 },
            }),
        );
        let refused = self.blind.mint_on_behalf(asked).await.map(|minted| minted.token).unwrap_err();
        let is_refused = refused.code == "hostile.unapproved" || HARMLESS.contains(&code);
        assert!(is_refused, "{code} here, {}: {} there: {claims}", refused.code, refused.message);
    }
}

/// A token may be refused for whatever it says; it is never our fault.
fn fault(code: &str, status: u16, claims: &Value) {
    let ours = status >= 500 || code.starts_with("policy.") || code.starts_with("runtime.") || code == "permit.expired";
    assert!(!ours, "{code} for {claims}");
}

#[test]
fn component_and_host_agree_on_whatever_a_trusted_issuer_sends() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let both = runtime.block_on(async {
        let world = World::patient().await;
        let honest = world.standin().await;
        // An audit log has one writer; the issuer is the same.
        let issuer = format!("jwks_uri = \"{}\"", world.idp.jwks_uri());
        let same = |line: &str| if line.starts_with("jwks_uri") { issuer.clone() } else { line.to_owned() };
        let change = |config: &mut String| *config = config.lines().map(same).collect::<Vec<_>>().join("\n") + PATIENT;
        let other = World::with(change, |_| {}).await;
        let blind = hostile(&other).await;
        Both { world, honest, blind, _other: other }
    });
    let seen = Arc::new(std::sync::Mutex::new(BTreeMap::new()));
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&case(), |case| {
        let code = runtime.block_on(both.hold(&case));
        *seen.lock().unwrap().entry(code).or_insert(0_u32) += 1;
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let seen = seen.lock().unwrap();
    assert!(seen.get("minted").is_some_and(|minted| *minted > 20) && seen.len() > 8, "{seen:?}");
}
