//! The policy module of `tests/guests/policy-zoo` in the real host, and how it is told what to do.

use serde_json::Value;
use standin::Standin;
use standin::types::{Attribute, Request};

use crate::ZOO;
use crate::requests::{request, unique, user_of};
use crate::world::World;

/// A world whose policy module is the zoo: room for an answer of 100 MB, time enough on a busy machine, and no end to the breaker's
/// patience.
pub async fn zoo() -> (World, Standin) {
    zoo_with("").await
}

/// The same with these lines in the configuration's last section, `[runtime]`.
pub async fn zoo_with(runtime: &str) -> (World, Standin) {
    let limits = format!(
        "\n[policy]\nmodule = \"zoo.wasm\"\nmemory = \"512MiB\"\ndeadline = \"2s\"\nbreaker = {{ failures = 10000 }}\n\
         [runtime]\ncpu = \"2s\"\n{runtime}\n"
    );
    let world = World::with(|config| config.push_str(&limits), |_| {}).await;
    std::fs::write(world.path("zoo.wasm"), ZOO).expect("zoo.wasm");
    let standin = world.standin().await;
    (world, standin)
}

/// A request that orders this of the module: the name of a behaviour, or `{"allow": …}`.
pub fn order(order: &Value) -> Request {
    Request {
        correlation_id: format!("c-{}", unique()),
        scope: vec!["expenses:read".into(), "expenses:write".into()],
        attributes: vec![Attribute { name: "edge.zoo".into(), value: order.to_string() }],
        ..request("svc-router", user_of("acme-eu", "alice@example.com"))
    }
}
