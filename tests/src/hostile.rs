//! The component of `tests/guests/hostile` in the real host, and how it is told what to do.

use serde_json::Value;
use standin::Standin;
use standin::types::{Attribute, ClientSecret, Credential, Failure, Request};

use crate::requests::{request, token, unique, user};
use crate::world::World;
use crate::{HOSTILE, peer};

/// A request that orders `trick`, with these further orders.
pub fn order(trick: &str, orders: &Value) -> Request {
    let carried = carrying(request("svc-router", user("alice@example.com")), orders);
    let orders = orders.as_object().into_iter().flatten();
    let order = |name: &str, value: &Value| Attribute { name: name.to_owned(), value: value.to_string() };
    let trick = order("trick", &Value::from(trick));
    Request {
        correlation_id: format!("c-{}", unique()),
        attributes: std::iter::once(trick).chain(orders.map(|(name, value)| order(name, value))).collect(),
        ..carried
    }
}

/// The request with what the orders have the component show: the host believes only what a request carries.
fn carrying(mut request: Request, orders: &Value) -> Request {
    for shown in orders["evidence"].as_array().into_iter().flatten() {
        let argument = |at: usize| shown[at].as_str().unwrap_or_default().to_owned();
        match argument(0).as_str() {
            "secret" => {
                let secret = ClientSecret { client_id: argument(1), secret: argument(2) };
                request.caller = Credential::ClientSecret(secret);
            }
            "caller-token" => request.caller = Credential::Bearer(argument(1)),
            "subject-token" => request.subject = token(argument(1)),
            _ => {}
        }
    }
    request
}

/// The host with a component that does as it is told.
pub async fn hostile(world: &World) -> Standin {
    world.builder().component_bytes(HOSTILE.to_vec()).build().await.unwrap_or_else(|error| panic!("{error}"))
}

/// What was refused, and the one event that says so.
pub async fn refused(world: &World, standin: &Standin, request: Request) -> (Failure, Value) {
    let id = request.correlation_id.clone();
    let failure = standin.mint_on_behalf(request).await.map(|minted| minted.token).expect_err("it is refused");
    let events = world.audit_of(&id);
    assert_eq!(events.len(), 1, "{id}: {failure:?}: {events:?}");
    (failure, events.into_iter().next().unwrap_or_default())
}

/// Whether the host's published keys verify this token.
pub fn verifies(standin: &Standin, token: &str) -> bool {
    peer::verify(token, &peer::jwks(standin), Default::default()).is_ok()
}
