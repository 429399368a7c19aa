//! Who is who: actors of others, users whose names an issuer owns, and the account that is meant.

use rstest::rstest;
use serde_json::{Value, json};
use standin_domain::contract::{State, User, UserKey};

use crate::approval::testing::{IDP, NOW, OURS, SSO, World, account, alice, texts};
use crate::approval::{Purpose, Refusal, Unproven};

fn sign(world: &mut World, change: impl FnOnce(&mut Value)) -> Result<(), Refusal> {
    let mut claims = world.claims();
    change(&mut claims);
    world.approve().cover(Purpose::AccessToken, &claims.to_string(), NOW, "hosts-own-jti-AAAAAAAA").map(|_covered| ())
}

#[rstest]
#[case(json!({ "iss": OURS, "sub": "client:svc-adm" }))]
#[case(json!({ "sub": "portal", "act": { "iss": OURS, "sub": "client:svc-adm" } }))]
#[case(json!({ "iss": SSO, "sub": "portal", "act": { "sub": "x", "act": { "iss": OURS, "sub": "y" } } }))]
fn another_issuer_does_not_name_our_actors(#[case] act: Value) {
    assert_eq!(World::foreign(|claims| claims["act"] = act.clone()).examine(), Err(Unproven::ActorOurs));
    assert_eq!(World::joined(alice(), |claims| claims["act"] = act.clone()).examine(), Err(Unproven::ActorOurs));
    assert_eq!(World::owned(None, |claims| claims["act"] = act).examine(), Err(Unproven::ActorOurs));
}

#[test]
fn foreign_actors_are_shown_as_such_and_keep_their_issuer() {
    let act = json!({ "sub": "client:svc-adm", "act": { "iss": SSO, "sub": "b", "act": { "iss": "https://gone.example.com", "sub": "c" } } });
    let mut world = World::foreign(|claims| claims["act"] = act);
    world.examine().unwrap();
    assert_eq!(world.input.chain, ["ext:corp:client%3Asvc-adm", "ext:sso:b", "ext:https%3A%2F%2Fgone.example.com:c"]);
    let gone = json!({ "iss": "https://gone.example.com", "sub": "c" });
    let kept = json!({ "iss": IDP, "sub": "client:svc-adm", "act": { "iss": SSO, "sub": "b", "act": gone } });
    let bare = json!({ "sub": "client:svc-adm", "act": { "iss": SSO, "sub": "b", "act": gone } });
    for (before, outcome) in [(kept, Ok(())), (bare, Err(Refusal::Actor))] {
        let signed = sign(&mut world, |claims| {
            claims["act"]["act"] = before;
            claims["obo_type"] = json!("token");
            claims["lineage"] = json!(["name-of-the-foreign-one"]);
        });
        assert_eq!(signed, outcome);
    }
}

#[test]
fn an_actor_that_is_foreign_stays_so_at_the_next_hop() {
    let before = json!({ "iss": IDP, "sub": "client:svc-adm", "act": { "sub": "nobody's" } });
    let mut world = World::own(|claims| claims["act"]["act"] = before);
    world.examine().unwrap();
    assert_eq!(world.input.chain, ["client:first", "ext:corp:client%3Asvc-adm", "ext::nobody%27s"]);
}

#[test]
fn the_directory_has_to_be_asked_for_a_user_whose_name_an_issuer_owns() {
    let mut world = World::owned(None, |_| {});
    world.examine().unwrap();
    world.evidence.user_questions.clear();
    assert_eq!(world.examine(), Err(Unproven::UserUnasked));
    // For this very user, by this very name.
    world.evidence.saw_user(UserKey::Id("u-2".into()), None);
    world.evidence.saw_user(UserKey::Email("u-1".into()), None);
    assert_eq!(world.examine(), Err(Unproven::UserUnasked));
    // What it says under another name of the user counts too.
    world.evidence.saw_user(UserKey::Email("alice@example.com".into()), Some(&User { state: State::Disabled, ..alice() }));
    assert_eq!(world.examine(), Err(Unproven::UserNotActive));
}

/// A token of ours for a user that its issuer alone knew.
fn hop(user: Option<User>) -> World {
    let mut world = World::own(|claims| {
        claims.as_object_mut().unwrap().remove("account_id");
        claims["obo_type"] = json!("token");
    });
    world.evidence.users.clear();
    world.evidence.user_questions.clear();
    world.evidence.saw_user(UserKey::Id("u-1".into()), user.as_ref());
    world
}

#[test]
fn the_directory_is_asked_again_at_the_next_hop() {
    hop(None).examine().unwrap();
    let mut unasked = hop(None);
    unasked.evidence.user_questions.clear();
    assert_eq!(unasked.examine(), Err(Unproven::UserUnasked));
    let mut known = hop(Some(alice()));
    known.examine().unwrap();
    assert!(known.input.subject.attributes.iter().any(|fact| fact.name == "department"), "{:?}", known.input.subject);
    let disqualified = [
        (User { state: State::Pending, ..alice() }, Unproven::UserNotActive),
        (User { protected: true, ..alice() }, Unproven::Protected),
        (User { accounts: vec![account("a-9", "globex")], ..alice() }, Unproven::NotAMember),
        (User { scopes: Some(texts(&["write"])), ..alice() }, Unproven::SubjectScope),
    ];
    for (user, why) in disqualified {
        assert_eq!(hop(Some(user)).examine(), Err(why));
    }
}

#[test]
fn a_token_of_a_known_user_names_one_of_its_accounts() {
    let two = User { accounts: vec![account("a-1", "acme"), account("a-2", "acme"), account("a-3", "globex")], ..alice() };
    let worlds: [fn(User) -> World; 2] = [|user| World::joined(user, |_| {}), |user| World::owned(Some(user), |_| {})];
    for world in worlds {
        for (id, outcome) in [
            (json!("a-1"), Ok(())),
            (json!("a-2"), Ok(())),
            (json!("a-3"), Err(Refusal::Account)),
            (Value::Null, Err(Refusal::Account)),
        ] {
            let mut world = world(two.clone());
            world.examine().unwrap();
            let signed = sign(&mut world, |claims| {
                claims["obo_type"] = json!("token");
                claims["lineage"] = json!(["name-of-the-foreign-one"]);
                claims["account_id"] = id.clone();
            });
            assert_eq!(signed, outcome, "{id}");
        }
    }
}

#[rstest]
#[case(json!({ "account_id": "a-2" }), "a-2")]
#[case(json!({ "csp_id": 8 }), "a-2")]
#[case(json!({ "sfdc_account_id": "001A" }), "a-1")]
fn the_account_that_a_token_names_is_the_one(#[case] claimed: Value, #[case] meant: &str) {
    let mut other = account("a-2", "acme");
    (other.csp_id, other.sfdc_account_id) = (Some(8), None);
    let two = User { accounts: vec![account("a-1", "acme"), other], ..alice() };
    for id in ["a-1", "a-2"] {
        let mut world = World::joined(two.clone(), |claims| {
            claims.as_object_mut().unwrap().extend(claimed.as_object().unwrap().clone());
        });
        world.examine().unwrap();
        let signed = sign(&mut world, |claims| {
            claims["obo_type"] = json!("token");
            claims["lineage"] = json!(["name-of-the-foreign-one"]);
            claims["account_id"] = json!(id);
        });
        assert_eq!(signed.is_ok(), id == meant, "{id}");
    }
}

#[test]
fn of_several_tenants_a_joined_users_account_tells() {
    let unclaimed = |tenant: &str| {
        let mut world = World::joined(User { accounts: vec![account("a-3", tenant)], ..alice() }, |claims| {
            claims.as_object_mut().unwrap().remove("tenant");
        });
        world.book.issuers[1].tenant_claim = None;
        world
    };
    unclaimed("acme").examine().unwrap();
    assert_eq!(unclaimed("globex").examine(), Err(Unproven::NotAMember));
    let mut beyond = unclaimed("acme");
    beyond.book.issuers[1].tenants = texts(&["globex", "initech"]);
    assert_eq!(beyond.examine(), Err(Unproven::TokenTenant));
    // Nobody else's account tells.
    let mut foreign = World::foreign(|_| {});
    foreign.book.issuers[0].tenant_claim = None;
    assert_eq!(foreign.examine(), Err(Unproven::TokenTenant));
}
