//! Import, list and minting.

use crate::world::{PASSWORD, SECOND, World, secret};
use parlance_plugin_api::identity::{AuthError, Operators};
use parlance_schema::api;

fn new_user(handle: &str, password: Option<&str>, service: bool) -> api::NewUser {
    api::NewUser { handle: handle.into(), password: password.map(secret), service }
}

#[tokio::test]
async fn an_import_answers_for_each_account() {
    let world = World::new();
    world.register("taken").await;
    let users = vec![
        new_user("alice", Some(PASSWORD), false),
        new_user("taken", Some(PASSWORD), false),
        new_user("no good", Some(PASSWORD), false),
        new_user("short", Some("short"), false),
        new_user("bot", None, true),
        new_user("robot", Some(PASSWORD), true),
        new_user("device", None, false),
        new_user("@ALICE", Some("another password"), false),
    ];
    let outcomes = world.auth.add_users(api::AddUsersRequest { users }).await.unwrap().outcomes;
    let worked: Vec<_> = outcomes.iter().map(|o| (o.handle.as_str(), o.user.is_some())).collect();
    assert_eq!(
        worked,
        [
            ("alice", true),
            ("taken", false),
            ("no good", false),
            ("short", false),
            ("bot", true),
            ("robot", false),
            ("device", true),
            ("@ALICE", false),
        ]
    );
    assert!(outcomes.iter().all(|outcome| outcome.user.is_some() != outcome.error.is_some()));
    assert_eq!(world.connect("alice", PASSWORD, "c").await.unwrap().user, outcomes[0].user.unwrap());
    assert_eq!(world.connect("device", PASSWORD, "c").await.err(), Some(AuthError::BadCredentials));
    assert!(world.bearer(&world.mint("device", Some("c"), 60).await).await.is_ok());
}

#[tokio::test]
async fn a_full_import_is_listed_page_by_page() {
    let world = World::new();
    let users: Vec<_> =
        (0..500).map(|number| new_user(&format!("user{number}"), Some(PASSWORD), false)).collect();
    let outcomes = world.auth.add_users(api::AddUsersRequest { users }).await.unwrap().outcomes;
    assert!(outcomes.iter().all(|outcome| outcome.error.is_none()));
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = world.auth.users(api::UsersRequest { after, limit: Some(64) }).await.unwrap();
        assert!(page.users.len() <= 64);
        listed.extend(page.users.into_iter().map(|user| user.user));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut added: Vec<_> = outcomes.into_iter().filter_map(|outcome| outcome.user).collect();
    added.sort_unstable();
    assert_eq!(listed, added);
    let too_many = vec![new_user("x", None, false); 501];
    let refused = world.auth.add_users(api::AddUsersRequest { users: too_many }).await;
    assert!(matches!(refused, Err(AuthError::Limit(_))));
}

#[tokio::test]
async fn two_thousand_tokens_are_minted_at_once_and_bad_items_are_named() {
    let world = World::new();
    world.register("alice").await;
    world.add_service("bot").await;
    let item = |user: &str, client_id: Option<String>| api::MintItem { user: user.into(), client_id };
    let mut items: Vec<_> =
        (0..1_998).map(|number| item("@alice", Some(format!("device{number}")))).collect();
    items.push(item("nobody", None));
    items.push(item("bot", None));
    let request = api::MintTokensRequest { items: items.clone(), ttl_s: 86_400 };
    let minted = world.auth.mint_tokens(request).await.unwrap();
    let (good, bad) = minted.tokens.split_at(1_998);
    let first = good[0].token.clone().unwrap();
    assert!(good.iter().all(|minted| minted.token.is_some()));
    assert!(bad.iter().all(|minted| minted.token.is_none() && minted.error.is_some()));
    let who = world.connect("alice", &first.0, "device0").await.unwrap();
    assert_eq!(who.expires_ms, Some(minted.expires_ms));
    assert_eq!(world.connect("alice", &first.0, "device1").await.err(), Some(AuthError::WrongDevice));
    world.clock.advance(86_400 * SECOND);
    assert_eq!(world.bearer(&first).await.err(), Some(AuthError::TokenExpired));

    items.push(item("alice", None));
    for (items, ttl_s) in [(items, 60), (Vec::new(), 0), (Vec::new(), u64::MAX)] {
        let refused = world.auth.mint_tokens(api::MintTokensRequest { items, ttl_s }).await;
        assert!(matches!(refused, Err(AuthError::Limit(_))));
    }
}
