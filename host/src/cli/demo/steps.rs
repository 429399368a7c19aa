//! The steps of the demo, each asked for real and each held against what it should do.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use standin::audit::SealKey;
use standin::audit::verify::{VerifyOptions, verify};
use standin::config::Config;
use standin::keys::files;
use standin::types::{ClientSecret, Credential, Descriptor, IdType, Request, Subject};
use standin::{Decision, JWT_TYPE, Standin};
use tokio::net::TcpListener;

use super::gateway::{Gateway, Route, check_client};
use super::world::{API, DemoClient, ISSUER, LEDGER, World};
use super::{Shown, Unexpected};
use crate::cli::out::tell;

/// In the order they run.
pub(super) const ALL: [&str; 19] = [
    "mint-user",
    "mint-user-ambiguous-refused",
    "mint-user-with-account-id",
    "mint-user-with-csp-id",
    "mint-host-ophid",
    "mint-host-id",
    "mint-envoy-known",
    "mint-envoy-provisional",
    "mint-envoy-unknown-account-refused",
    "exchange",
    "exchange-narrowed",
    "exchange-escalation-refused",
    "exchange-two-hops",
    "cross-tenant-refused",
    "ttl-capped",
    "unknown-caller-refused",
    "expired-subject-refused",
    "gateway",
    "audit-verified",
];

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const SFDC: &str = "001A000001AcmeEU";

type Step = Result<Shown, Unexpected>;

/// Runs one step.
pub(super) async fn run(step: &str, world: &World) -> Step {
    match step {
        "mint-user" => {
            let done = obo_mint(world, &json!({ "id_type": "user", "id": "email.bob@example.com" })).await?;
            let done = done.minted("user:acme:u-bob", &[("obo_type", json!("user")), ("account_id", json!("acme-eu"))])?;
            three_steps(world, done).await
        }
        "mint-user-ambiguous-refused" => {
            let asked = json!({ "id_type": "user", "id": "email.alice@example.com" });
            obo_mint(world, &asked).await?.refused("target.ambiguous_account")
        }
        "mint-user-with-account-id" => {
            let asked = json!({ "id_type": "user", "id": "email.alice@example.com", "account_id": "acme-us" });
            obo_mint(world, &asked).await?.minted("user:acme:u-alice", &[("account_id", json!("acme-us"))])
        }
        "mint-user-with-csp-id" => {
            let asked = json!({ "id_type": "user", "id": "email.alice@example.com", "account_csp_id": 1001 });
            obo_mint(world, &asked).await?.minted("user:acme:u-alice", &[("csp_id", json!(1001))])
        }
        "mint-host-ophid" => host(world, "ophid.ddi-edge-7").await,
        "mint-host-id" => host(world, "host_id.0f8fad5b-d9cb-469f-a165-70867728950e").await,
        "mint-envoy-known" => {
            let asked = json!({ "id_type": "envoy", "id": "email.bob@example.com", "sfdc_account_id": SFDC });
            obo_mint(world, &asked)
                .await?
                .minted("user:acme:u-bob", &[("obo_type", json!("envoy")), ("sfdc_account_id", json!(SFDC))])
        }
        "mint-envoy-provisional" => {
            let asked = json!({ "id_type": "envoy", "id": "email.new@example.com", "sfdc_account_id": SFDC, "scope": "expenses:read expenses:write" });
            obo_mint(world, &asked)
                .await?
                .minted("provisional:acme:", &[("provisional", json!(true)), ("scope", json!("expenses:read"))])
        }
        "mint-envoy-unknown-account-refused" => {
            let asked = json!({ "id_type": "envoy", "id": "email.bob@example.com", "sfdc_account_id": "001A00000Nowhere" });
            obo_mint(world, &asked).await?.refused("target.not_found")
        }
        "exchange" => {
            let token = world.user_token(&json!({}))?;
            exchange(world, &world.router, &token, API, "expenses:read expenses:write")
                .await?
                .minted("ext:corp:alice", &[("tenant", json!("acme"))])
        }
        "exchange-narrowed" => {
            let token = world.user_token(&json!({ "scope": "expenses:read" }))?;
            let done = exchange(world, &world.router, &token, API, "expenses:read expenses:write").await?;
            done.minted("ext:corp:alice", &[("scope", json!("expenses:read"))])
        }
        "exchange-escalation-refused" => {
            let token = world.user_token(&json!({ "scope": "expenses:read" }))?;
            exchange(world, &world.router, &token, API, "expenses:write").await?.refused("scope.empty")
        }
        "exchange-two-hops" => two_hops(world).await,
        "cross-tenant-refused" => {
            let token = world.user_token(&json!({ "tenant": "globex" }))?;
            exchange(world, &world.router, &token, API, "").await?.refused("target.tenant")
        }
        "ttl-capped" => {
            let asked = json!({ "id_type": "user", "id": "email.bob@example.com", "ttl": 86400 });
            let done = obo_mint(world, &asked).await?;
            let life = done.answer.get("expires_in").cloned();
            let mut shown = done.minted("user:acme:u-bob", &[])?;
            shown.notes.push("asked for a day; the client's max_ttl is ten minutes".into());
            expect(life == Some(json!(600)), "the lifetime is not the client's ten minutes", shown)
        }
        "unknown-caller-refused" => {
            let body = json!({ "id_type": "user", "id": "email.bob@example.com" });
            let stranger = DemoClient { id: "svc-stranger", secret: world.router.secret.clone() };
            obo_mint_as(world, &stranger, &body).await?.refused("caller.invalid")
        }
        "expired-subject-refused" => {
            let token = world.user_token(&json!({ "exp": 1_700_000_000 }))?;
            exchange(world, &world.router, &token, API, "").await?.refused("subject.expired")
        }
        "gateway" => gateway(world).await,
        "audit-verified" => audit(world).await,
        other => Err(Unexpected { why: format!("there is no step {other}"), shown: Shown::default() }),
    }
}

/// An answer of the server.
struct Answer {
    asked: Value,
    answer: Value,
}

impl Answer {
    /// It should be a token for this subject with these claims.
    fn minted(self, sub: &str, claims: &[(&str, Value)]) -> Step {
        let said = self.answer.get("access_token").and_then(Value::as_str).and_then(decoded);
        let shown = Shown { asked: self.asked, answer: self.answer, claims: said.clone(), notes: Vec::new() };
        let Some(said) = said else { return Err(Unexpected { why: "no token came back".into(), shown }) };
        let named = said
            .get("sub")
            .and_then(Value::as_str)
            .is_some_and(|said| said == sub || (sub.ends_with(':') && said.starts_with(sub)));
        for (name, value) in claims {
            if said.get(name) != Some(value) {
                return Err(Unexpected { why: format!("the claim {name} is not {value}"), shown });
            }
        }
        expect(named && said.get("iss") == Some(&json!(ISSUER)), "the subject or the issuer is another one", shown)
    }

    /// It should be this refusal.
    fn refused(self, code: &str) -> Step {
        let said = self.answer.get("code").cloned();
        let shown = Shown { asked: self.asked, answer: self.answer, ..Shown::default() };
        expect(said == Some(json!(code)), &format!("the code is not {code}"), shown)
    }
}

fn expect(holds: bool, why: &str, shown: Shown) -> Step {
    if holds { Ok(shown) } else { Err(Unexpected { why: why.to_owned(), shown }) }
}

fn broken(error: impl std::fmt::Display) -> Unexpected {
    Unexpected { why: error.to_string(), shown: Shown::default() }
}

impl From<anyhow::Error> for Unexpected {
    fn from(error: anyhow::Error) -> Self {
        broken(format!("{error:#}"))
    }
}

/// The claims of a JWS, unverified: this only shows them.
fn decoded(token: &str) -> Option<Value> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

async fn obo_mint(world: &World, body: &Value) -> Result<Answer, Unexpected> {
    obo_mint_as(world, &world.router, body).await
}

async fn obo_mint_as(world: &World, client: &DemoClient, body: &Value) -> Result<Answer, Unexpected> {
    let url = format!("{}/v2/session/svc/obo_mint", world.url());
    let sent =
        world.http.post(url).basic_auth(client.id, Some(client.secret.as_str())).json(body).send().await.map_err(broken)?;
    Ok(Answer { asked: body.clone(), answer: sent.json().await.map_err(broken)? })
}

async fn exchange(world: &World, client: &DemoClient, token: &str, audience: &str, scope: &str) -> Result<Answer, Unexpected> {
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", JWT_TYPE),
        ("audience", audience),
        ("scope", scope),
    ];
    let body = form.iter().map(|(name, value)| format!("{name}={}", form_encoded(value))).collect::<Vec<_>>().join("&");
    let request = world.http.post(format!("{}/oauth2/token", world.url())).basic_auth(client.id, Some(client.secret.as_str()));
    let sent = request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.map_err(broken)?;
    let asked = json!({ "client": client.id, "subject_token": decoded(token), "audience": audience, "scope": scope });
    Ok(Answer { asked, answer: sent.json().await.map_err(broken)? })
}

fn form_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

async fn host(world: &World, id: &str) -> Step {
    let done = obo_mint(world, &json!({ "id_type": "host", "id": id })).await?;
    let machine = json!({ "id": "0f8fad5b-d9cb-469f-a165-70867728950e", "ophid": "ddi-edge-7" });
    done.minted("host:acme:0f8fad5b-d9cb-469f-a165-70867728950e", &[("obo_type", json!("host")), ("host", machine)])
}

/// The same through the embedding API, step by step.
async fn three_steps(world: &World, mut shown: Shown) -> Step {
    let request = Request {
        correlation_id: String::new(),
        caller: Credential::ClientSecret(ClientSecret {
            client_id: world.router.id.to_owned(),
            secret: world.router.secret.as_str().to_owned(),
        }),
        subject: Subject::Descriptor(Descriptor {
            id_type: IdType::User,
            id: "email.bob@example.com".to_owned(),
            account_id: None,
            account_csp_id: None,
            sfdc_account_id: None,
        }),
        actor: None,
        audience: vec![API.to_owned()],
        resource: Vec::new(),
        scope: vec!["expenses:read".to_owned()],
        requested_token_type: None,
        requested_ttl: None,
        step: None,
        dpop: None,
        attributes: Vec::new(),
    };
    let failed = |failure: standin::types::Failure| broken(failure.code);
    let mut target = world.standin.resolve_target(request).await.map_err(failed)?;
    let subject = target.subject().await.map_err(failed)?;
    let mut permit = match target.evaluate_policy().await.map_err(failed)? {
        Decision::Permit(permit) => permit,
        Decision::Deny(denial) => return Err(broken(denial.failure.code)),
    };
    let grant = permit.grant().await.map_err(failed)?;
    let minted = permit.mint().await.map_err(failed)?;
    let reasons: Vec<String> = grant.reasons.iter().map(|reason| format!("{}: {}", reason.rule, reason.text)).collect();
    shown.notes.push(format!(
        "embedding API: resolve-target {} -> evaluate-policy permit ({}) -> mint",
        subject.id,
        reasons.join("; ")
    ));
    let sub = decoded(&minted.token).and_then(|claims| claims.get("sub").cloned());
    expect(sub == Some(json!("user:acme:u-bob")), "the embedding API minted for another subject", shown)
}

/// The service a token was addressed to exchanges it onward; a thief cannot.
async fn two_hops(world: &World) -> Step {
    let user = world.user_token(&json!({}))?;
    let first = exchange(world, &world.router, &user, API, "expenses:read").await?;
    let Some(token) = first.answer.get("access_token").and_then(Value::as_str).map(str::to_owned) else {
        return first.minted("ext:corp:alice", &[]);
    };
    let stolen = exchange(world, &world.router, &token, API, "").await?.refused("subject.addressee")?;
    let act = json!({ "iss": ISSUER, "sub": "client:svc-ledger", "act": { "iss": ISSUER, "sub": "client:svc-router" } });
    let second = exchange(world, &world.ledger, &token, LEDGER, "expenses:read").await?;
    let mut shown = second.minted("ext:corp:alice", &[("act", act), ("aud", json!(LEDGER))])?;
    shown
        .notes
        .push(format!("in other hands the first token is refused: {}", stolen.answer.get("code").cloned().unwrap_or_default()));
    Ok(shown)
}

/// The gateway example's proxy around the component, loaded from a file, in front of an upstream that says what it was sent.
async fn gateway(world: &World) -> Step {
    let component = world.component();
    std::fs::write(&component, standin::COMPONENT).map_err(broken)?;
    let upstream = TcpListener::bind("127.0.0.1:0").await.map_err(broken)?;
    let upstream_address = upstream.local_addr().map_err(broken)?;
    let upstream = tokio::spawn(echo(upstream));
    let mut config = Config::read(&world.config()).map_err(broken)?;
    check_client(&config, "edge").map_err(broken)?;
    // A log has one writer: the gateway keeps its own.
    config.audit.path = config.audit.path.with_file_name("gateway.jsonl");
    let standin = Standin::builder().config(config).component_file(component).build().await.map_err(broken)?;
    let route: Route = format!("/expenses=http://{upstream_address},{API},expenses:read").parse()?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(broken)?;
    let url = format!("http://{}/expenses/7", listener.local_addr().map_err(broken)?);
    let gateway = tokio::spawn(Gateway::new(standin.clone(), "edge".to_owned(), vec![route])?.serve(listener));
    let inbound = world.user_token(&json!({}))?;
    let sent = world.http.get(&url).bearer_auth(&inbound).send().await.map_err(broken)?;
    let seen: Value = sent.json().await.map_err(broken)?;
    let expired = world.user_token(&json!({ "exp": 1_700_000_000 }))?;
    let refused = world.http.get(&url).bearer_auth(&expired).send().await.map_err(broken)?;
    let refused = (refused.status().as_u16(), refused.json::<Value>().await.map_err(broken)?);
    gateway.abort();
    upstream.abort();
    standin.close().await.map_err(broken)?;
    let forwarded = seen.get("authorization").and_then(Value::as_str).and_then(|value| value.strip_prefix("Bearer "));
    let claims = forwarded.and_then(decoded);
    let swapped = forwarded.is_some_and(|token| token != inbound);
    let shown = Shown {
        asked: json!({ "get": url, "bearer": decoded(&inbound) }),
        answer: json!({ "upstream_path": seen.get("path"), "swapped": swapped, "expired": { "status": refused.0, "code": refused.1.get("code") } }),
        claims: claims.clone(),
        notes: vec!["the inbound token was never forwarded; an expired one never reached the upstream".into()],
    };
    let addressed = claims
        .is_some_and(|claims| claims.get("aud") == Some(&json!(API)) && claims.get("scope") == Some(&json!("expenses:read")));
    let kept_out = refused.0 == 401 && refused.1.get("code") == Some(&json!("subject.expired"));
    expect(swapped && addressed && kept_out, "the gateway did not swap the token or let an expired one through", shown)
}

async fn echo(listener: TcpListener) {
    while let Ok((stream, _peer)) = listener.accept().await {
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                let authorization = request.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let seen = json!({ "path": request.uri().path(), "authorization": authorization });
                Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(Bytes::from(seen.to_string()))))
            });
            if let Err(error) = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await {
                tell!("demo upstream: {error}");
            }
        });
    }
}

/// Every line of the log, its chain and its head; and a changed copy must not pass.
async fn audit(world: &World) -> Step {
    let (path, keys) = (world.audit_log(), world.keys());
    let checked = tokio::task::spawn_blocking(move || {
        let seal = SealKey::new(*files::hmac_key(&keys, standin::AUDIT_SEAL)?.expose());
        let report = verify(&path, &VerifyOptions { seal: Some(&seal), ..VerifyOptions::default() })?;
        let changed = path.with_extension("changed");
        let text = std::fs::read_to_string(&path)?.replacen("svc-router", "svc-raider", 1);
        std::fs::write(&changed, text)?;
        let changed = verify(&changed, &VerifyOptions::default())?;
        Ok::<_, anyhow::Error>((report, changed))
    });
    let (report, changed) = checked.await.map_err(broken)??;
    let shown = Shown {
        asked: json!({ "file": "audit.jsonl" }),
        answer: json!({ "ok": report.ok, "lines": report.lines, "a_changed_copy_is_ok": changed.ok, "its_first_bad_line": changed.fault.as_ref().and_then(|fault| fault.line) }),
        claims: None,
        notes: Vec::new(),
    };
    expect(report.ok && !changed.ok, "the log does not verify, or a changed copy does", shown)
}
