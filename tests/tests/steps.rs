//! Steps of a workflow: what a client's registration says of each is all that a token for it can hold, and everybody is told which.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use serde_json::{Value, json};
use standin::policy::pack::{CEDAR, Package, Source, pack};
use standin::types::{Request, Subject};
use standin::{Standin, attribute};
use standin_tests::idp::claims_of;
use standin_tests::requests::{basic, body, http, request, token, user};
use standin_tests::world::{API, LEDGER, World};

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

/// On behalf of a subject that nothing narrows, in a step.
fn within(world: &World, step: &str) -> Request {
    Request { step: Some(step.into()), ..request("svc-router", unlimited(world)) }
}

fn unlimited(world: &World) -> Subject {
    token(world.idp.token(json!({ "scope": "expenses:read expenses:write" })))
}

async fn claims(standin: &Standin, request: Request) -> Value {
    claims_of(&standin.mint_on_behalf(request).await.unwrap_or_else(|failure| panic!("{failure:?}")).token)
}

async fn code(standin: &Standin, request: Request) -> String {
    standin.mint_on_behalf(request).await.map(|minted| minted.token).unwrap_err().code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steps_set_takes_the_place_of_the_clients() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let asked_nothing = claims(&standin, within(&world, "approve-expense")).await;
    assert_eq!((&asked_nothing["scope"], &asked_nothing["step"]), (&json!("expenses:write"), &json!("approve-expense")));
    // Without a step the client's own sets hold, and no claim tells of one.
    let no_step = claims(&standin, Request { step: None, ..within(&world, "") }).await;
    assert_eq!((&no_step["scope"], &no_step["step"]), (&json!("expenses:read"), &Value::Null));

    let both = texts(&["expenses:read", "expenses:write"]);
    let narrowed = Request { scope: both.clone(), correlation_id: "narrowed".into(), ..within(&world, "approve-expense") };
    let minted = standin.mint_on_behalf(narrowed).await.unwrap();
    assert_eq!(minted.scope, ["expenses:write"]);
    let dropped = attribute(&minted.attributes, "dropped_scope").unwrap();
    assert_eq!(dropped, json!([{ "scope": "expenses:read", "by": "step" }]));
    let [event] = world.audit_of("narrowed").try_into().unwrap();
    assert_eq!((&event["step"], &event["asked"]["step"]), (&json!("approve-expense"), &json!("approve-expense")));
    assert_eq!((&event["detail"]["asked"]["step"], &event["detail"]["dropped"]), (&json!("approve-expense"), &dropped));
    assert_eq!(
        claims(&standin, Request { scope: both, ..within(&world, "review") }).await["scope"],
        "expenses:read expenses:write"
    );
    let empty = Request { scope: texts(&["expenses:read"]), ..within(&world, "approve-expense") };
    assert_eq!(code(&standin, empty).await, "scope.empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_has_audiences_of_its_own_or_the_clients() {
    let world = World::patient().await;
    let standin = world.standin().await;
    // The client has two, the step one: it need not be named.
    assert_eq!(claims(&standin, Request { audience: vec![], ..within(&world, "approve-expense") }).await["aud"], API);
    assert_eq!(code(&standin, Request { audience: vec![], ..within(&world, "review") }).await, "audience.missing");
    let ledger = |step| Request { audience: texts(&[LEDGER]), correlation_id: format!("c-{step}"), ..within(&world, step) };
    assert_eq!(claims(&standin, ledger("review")).await["aud"], LEDGER);
    assert_eq!(code(&standin, ledger("approve-expense")).await, "audience.not_allowed");
    let [event] = world.audit_of("c-approve-expense").try_into().unwrap();
    assert_eq!(event["detail"]["cause"], "not an audience of this step");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_step_is_refused_and_recorded() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let long = "s".repeat(129);
    let rows = [
        ("svc-router", "pay", "step.unknown"),
        ("svc-router", "Review", "step.unknown"),
        // One of another client, by a client that has none.
        ("svc-strict", "review", "step.unknown"),
        ("svc-router", "", "request.invalid_field"),
        ("svc-router", "pay out", "request.invalid_field"),
        ("svc-router", long.as_str(), "request.invalid_field"),
    ];
    for (at, (client, step, code)) in rows.into_iter().enumerate() {
        let id = format!("row-{at}");
        let asked = Request { step: Some(step.into()), correlation_id: id.clone(), ..request(client, unlimited(&world)) };
        let failure = standin.mint_on_behalf(asked).await.unwrap_err();
        assert_eq!((failure.code.as_str(), attribute(&failure.attributes, "field")), (code, Some(json!("step"))), "{step}");
        if code == "step.unknown" {
            let [event] = world.audit_of(&id).try_into().unwrap();
            assert_eq!((&event["code"], &event["detail"]["asked"]["step"]), (&json!(code), &json!(step)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_names_the_step_among_the_terms() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let asked = Request { scope: texts(&["expenses:read", "expenses:write"]), ..within(&world, "approve-expense") };
    let page: Value = serde_json::from_str(&standin.explain(asked).await.unwrap()).unwrap();
    let terms = page["ceilings"]["scope"]["terms"].as_array().unwrap();
    assert!(terms.contains(&json!({ "by": "step", "allows": ["expenses:write"] })), "{page}");
    assert_eq!(page["dropped"], json!([{ "scope": "expenses:read", "by": "step" }]));
    assert_eq!((&page["granted"]["step"], &page["claims"]["step"]), (&json!("approve-expense"), &json!("approve-expense")));
    let unknown: Value = serde_json::from_str(&standin.explain(within(&world, "pay")).await.unwrap()).unwrap();
    assert_eq!((&unknown["failure"]["code"], &unknown["failure"]["field"]), (&json!("step.unknown"), &json!("step")));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_faces_take_a_step() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let authorization = basic("svc-router");
    let mint = async |step: &str| {
        let page =
            json!({ "id_type": "user", "id": "email.alice@example.com", "account_id": "acme-eu", "audience": API, "step": step });
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        body(&standin.handle(http("POST", "/v2/session/svc/obo_mint", &headers, page.to_string().as_bytes())).await)
    };
    let exchange = async |step: &str| {
        let subject = world.idp.token(json!({ "scope": "expenses:read expenses:write" }));
        let form = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&audience={API}&step={step}\
             &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&subject_token={subject}"
        );
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        body(&standin.handle(http("POST", "/oauth2/token", &headers, form.as_bytes())).await)
    };
    for answer in [mint("approve-expense").await, exchange("approve-expense").await] {
        let claims = claims_of(answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")));
        assert_eq!((&claims["step"], &claims["scope"]), (&json!("approve-expense"), &json!("expenses:write")));
    }
    for answer in [mint("pay").await, exchange("pay").await] {
        assert_eq!((&answer["code"], &answer["field"]), (&json!("step.unknown"), &json!("step")));
    }
    // As everywhere: what is empty is absent in a form, and wrong in JSON.
    assert_eq!(claims_of(exchange("").await["access_token"].as_str().unwrap())["step"], Value::Null);
    assert_eq!(mint("").await["code"], "request.invalid_field");
    assert_eq!(exchange("pay&step=pay").await["code"], "request.duplicate_field");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_not_handed_on_to_the_next_hop() {
    let world = World::patient().await;
    let standin = world.standin().await;
    let first = standin.mint_on_behalf(within(&world, "approve-expense")).await.unwrap();
    let next = Request { scope: texts(&["expenses:write"]), ..request("svc-ledger", token(&*first.token)) };
    let second = claims(&standin, next).await;
    // The scope was narrowed for good; the step was the first request's own.
    assert_eq!((&second["scope"], &second["step"]), (&json!("expenses:write"), &Value::Null));
    let named = Request { step: Some("approve-expense".into()), ..request("svc-ledger", token(first.token)) };
    assert_eq!(code(&standin, named).await, "step.unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_sees_the_step() {
    let rules = r#"
        @id("mint") permit (principal, action, resource);
        @id("writes") forbid (principal, action, resource)
        when { context.scope.contains("expenses:write") && !(context has step && context.step == "approve-expense") };
    "#;
    let sources = vec![Source { name: "steps.cedar".into(), content: rules.into() }];
    let packed = pack(CEDAR, &Package { name: "steps".into(), version: 1, sources, cases: None }).unwrap();
    let policy = "\n[policy]\nmodule = \"steps.policy.wasm\"\ndeadline = \"5s\"\n[runtime]\ncpu = \"2s\"\n";
    let world = World::with(|config| config.push_str(policy), |_| {}).await;
    std::fs::write(world.path("steps.policy.wasm"), packed.wasm).unwrap();
    let standin = world.standin().await;
    let writing = |step: &str| Request { scope: texts(&["expenses:write"]), ..within(&world, step) };
    assert_eq!(claims(&standin, writing("approve-expense")).await["step"], "approve-expense");
    assert_eq!(code(&standin, writing("review")).await, "policy.denied");
    assert_eq!(code(&standin, Request { step: None, ..writing("") }).await, "policy.denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_steps_up() {
    let world = World::patient().await;
    let standin = world.standin().await;
    assert_eq!(code(&standin, within(&world, "pay")).await, "step.unknown");
    let changed = world.config_text().replacen("name = \"approve-expense\"", "name = \"pay\"", 1);
    std::fs::write(world.path("standin.toml"), changed).unwrap();
    standin.reload(world.config()).await.unwrap();
    assert_eq!(claims(&standin, within(&world, "pay")).await["step"], "pay");
    assert_eq!(code(&standin, within(&world, "approve-expense")).await, "step.unknown");
    // Over HTTP a subject of the directory is bound to its own scopes too.
    let bob = Request { step: Some("pay".into()), ..request("svc-router", user("bob@example.com")) };
    assert_eq!(claims(&standin, bob).await["scope"], Value::Null);
}
