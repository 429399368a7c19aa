//! What may stand in an event, and what counts only once it was recorded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use standin::audit::{Audit, AuditError};
use standin::policy::trust::Floor;
use standin::record::Event;
use standin::sqlite::Database;
use standin_tests::requests::{request, user};
use tokio::sync::Notify;

use super::*;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_host_may_say_is_refused_from_the_component(
    #[values("mint.not_released", "runtime.unrecorded", "runtime.trapped", "runtime.overloaded", "runtime.timed_out")] code: &str,
) {
    let world = World::patient().await;
    let standin = hostile(&world).await;
    // In an event of its own,
    let event = json!({ "outcome": "fail", "code": code }).to_string();
    let (failure, recorded) = refused(&world, &standin, order("event", &json!({ "event": event }))).await;
    assert!(failure.message.contains("Err("), "{failure:?}");
    assert_eq!(recorded["code"], "hostile.audit");
    // and in an answer that it did not record: the host says what it is.
    let (failure, recorded) = refused(&world, &standin, order("fail-with-code", &json!({ "code": code }))).await;
    assert_eq!((failure.code.as_str(), &recorded["code"]), ("runtime.trapped", &json!("runtime.trapped")));
    let (failure, recorded) = refused(&world, &standin, order("fail-with-code", &json!({ "code": "policy.denied" }))).await;
    assert_eq!((failure.code.as_str(), &recorded["code"]), ("policy.denied", &json!("policy.denied")));
}

/// A log in memory that takes as long as it is told.
#[derive(Default)]
struct SlowAudit {
    written: Mutex<Vec<Value>>,
    let_go: Notify,
    waits: AtomicBool,
    refuses: AtomicBool,
}

impl SlowAudit {
    fn set(&self, waits: bool) {
        self.waits.store(waits, Ordering::SeqCst);
        if !waits {
            self.let_go.notify_waiters();
        }
    }

    fn written(&self) -> Vec<Value> {
        self.written.lock().unwrap().clone()
    }
}

#[async_trait]
impl Audit for SlowAudit {
    async fn append(&self, event: Event) -> Result<(), AuditError> {
        let let_go = self.let_go.notified();
        if self.waits.load(Ordering::SeqCst) {
            let_go.await;
        }
        if self.refuses.load(Ordering::SeqCst) {
            return Err(AuditError::Closed);
        }
        self.written.lock().unwrap().push(serde_json::from_str(&event.json).unwrap());
        Ok(())
    }

    async fn ready(&self) -> Result<(), AuditError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), AuditError> {
        Ok(())
    }
}

#[rstest]
#[case::the_append_times_out("\n[timeouts]\naudit = \"100ms\"\n")]
#[case::the_request_times_out("\n[timeouts]\naudit = \"4s\"\n[server]\nrequest_timeout = \"3s\"\n")]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_recorded_too_late_is_recorded_as_not_released(#[case] limits: &str) {
    let world = World::with(|config| config.push_str(&format!("{PATIENT}{limits}")), |_| {}).await;
    let audit = Arc::new(SlowAudit::default());
    let standin = world.builder().audit(Arc::clone(&audit) as Arc<dyn Audit>).build().await.unwrap();
    standin.mint_on_behalf(request("svc-router", user("bob@example.com"))).await.unwrap();
    assert_eq!(audit.written().len(), 1, "what was released is not taken back");
    audit.set(true);
    let asked = request("svc-router", user("bob@example.com"));
    let failure = standin.mint_on_behalf(asked).await.unwrap_err();
    assert_eq!(failure.status, 503, "{failure:?}");
    audit.set(false);
    let of = |code: &str| audit.written().into_iter().position(|event| event["code"] == code);
    until("it is taken back", async || of("mint.not_released").is_some()).await;
    let written = audit.written();
    let minted = written.iter().rposition(|event| event["outcome"] == "permit").unwrap();
    let back = of("mint.not_released").unwrap();
    assert!(minted >= 1 && minted < back, "{written:#?}");
    assert_eq!(written[minted]["correlation_id"], written[back]["correlation_id"]);
    assert_eq!((&written[back]["requester"], &written[back]["outcome"]), (&json!("svc-router"), &json!("fail")));
}

/// A world that serves a packed module.
async fn with_module(wasm: &[u8]) -> World {
    let policy = "\n[runtime]\ncpu = \"2s\"\n[timeouts]\naudit = \"300ms\"\n[policy]\nmodule = \"acme.policy.wasm\"\ndeadline = \"5s\"\nwatch = \"0s\"\n";
    let world = World::with(|config| config.push_str(policy), |_| {}).await;
    std::fs::write(world.path("acme.policy.wasm"), wasm).unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_counts_only_after_its_change_was_recorded() {
    let version = |number| standin_tests::cedar::module("@id(\"all\") permit (principal, action, resource);", number);
    let world = with_module(&version(1)).await;
    let floor = || Floor::new(&Database::create(&world.config().store).unwrap(), "platform").get().unwrap();
    // A start that cannot be recorded raises nothing,
    let audit = Arc::new(SlowAudit::default());
    audit.refuses.store(true, Ordering::SeqCst);
    let built = world.builder().audit(Arc::clone(&audit) as Arc<dyn Audit>).build().await;
    assert!(matches!(built.err(), Some(standin::BuildError::Unrecorded(_))));
    assert_eq!(floor(), None);
    // one that can does, and says so first.
    audit.refuses.store(false, Ordering::SeqCst);
    let standin = world.builder().audit(Arc::clone(&audit) as Arc<dyn Audit>).build().await.unwrap();
    assert_eq!((floor(), &audit.written()[0]["because"]), (Some(1), &json!("start")));
    // The same for a file that changes.
    std::fs::write(world.path("acme.policy.wasm"), version(2)).unwrap();
    audit.refuses.store(true, Ordering::SeqCst);
    assert!(standin.reload_policy().await.is_err());
    assert_eq!(floor(), Some(1));
    // Where it may still be recorded, it is taken back behind that.
    audit.refuses.store(false, Ordering::SeqCst);
    audit.set(true);
    assert!(standin.reload_policy().await.is_err());
    assert_eq!(floor(), Some(1));
    audit.set(false);
    until("it is taken back", async || audit.written().len() == 3).await;
    let written = audit.written();
    assert_eq!((&written[1]["because"], &written[2]["because"]), (&json!("file"), &json!("not-taken")));
    assert_eq!(written[1]["changes"][0]["to"], written[2]["changes"][0]["from"]);
    standin.reload_policy().await.unwrap();
    assert_eq!((floor(), &audit.written()[3]["because"]), (Some(2), &json!("file")));
    // A start with what was live is no change.
    drop(standin);
    let standin = world.builder().audit(Arc::clone(&audit) as Arc<dyn Audit>).build().await.unwrap();
    assert_eq!(audit.written().len(), 4);
    standin.close().await.unwrap();
}
