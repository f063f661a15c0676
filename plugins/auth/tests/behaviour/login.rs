//! Passwords and the throttle in front of them.

use crate::world::{HERE, PASSWORD, SECOND, World, quick, secret};
use parlance_auth::AuthOptions;
use parlance_plugin_api::{
    identity::{AccountKind, Accounts, AuthError, Authenticator, Credential, Scopes},
    ledger::LedgerError,
};
use parlance_schema::api;
use std::net::IpAddr;

#[tokio::test]
async fn a_registered_person_logs_in_by_password_over_mqtt() {
    let world = World::new();
    let tokens = world.register("@Alice").await;
    assert_eq!(tokens.handle, "alice");
    for name in ["alice", "@alice", "ALICE", &tokens.user.to_string()] {
        let who = world.connect(name, PASSWORD, "phone").await.unwrap();
        assert_eq!((who.user, who.handle.as_str(), who.kind), (tokens.user, "alice", AccountKind::Person));
        assert_eq!((who.scopes, who.credential, who.expires_ms), (Scopes::Everything, None, None));
    }
}

#[tokio::test]
async fn an_unknown_handle_and_a_wrong_password_are_one_answer() {
    let world = World::new();
    world.register("alice").await;
    world.add_service("bot").await;
    for (name, password) in [
        ("alice", "wrong password"),
        ("nobody", PASSWORD),
        ("bot", PASSWORD),
        ("bot", ""),
        ("", PASSWORD),
        ("not a handle", PASSWORD),
        ("alice", ""),
        ("alice", &"x".repeat(100_000)),
    ] {
        assert_eq!(world.connect(name, password, "c").await.err(), Some(AuthError::BadCredentials), "{name}");
        assert_eq!(world.login(name, password, None).await.err(), Some(AuthError::BadCredentials), "{name}");
    }
}

#[tokio::test]
async fn a_password_that_looks_a_little_like_a_token_is_a_password() {
    let world = World::new();
    for (handle, password) in
        [("dots", "one.two.three"), ("key", "plk_ is my prefix"), ("admin", "pladm_12345")]
    {
        let request = api::RegisterRequest { handle: handle.into(), password: secret(password) };
        world.auth.register(request, HERE).await.unwrap();
        assert!(world.connect(handle, password, "c").await.is_ok(), "{handle}");
    }
}

#[tokio::test]
async fn bad_registrations_are_named() {
    let world = World::new();
    world.register("alice").await;
    for (handle, password, expected) in [
        ("alice", PASSWORD, AuthError::HandleTaken),
        ("@ALICE", PASSWORD, AuthError::HandleTaken),
        ("a b", PASSWORD, AuthError::HandleInvalid(parlance_schema::HandleError)),
        ("bob", "1234567", AuthError::PasswordLength { min: 8, max: 256 }),
        ("bob", &"x".repeat(257), AuthError::PasswordLength { min: 8, max: 256 }),
    ] {
        let request = api::RegisterRequest { handle: handle.into(), password: secret(password) };
        assert_eq!(world.auth.register(request, HERE).await.err(), Some(expected));
    }
    world.ledger.fail_with(Some(LedgerError::Full));
    let request = api::RegisterRequest { handle: "bob".into(), password: secret(PASSWORD) };
    let refused = world.auth.register(request, HERE).await;
    assert_eq!(refused.err(), Some(AuthError::Ledger(LedgerError::Full)));
    world.ledger.fail_with(None);
    world.register("bob").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_who_want_a_handle_at_once_gets_it() {
    let world = World::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let auth = world.auth.clone();
        tasks.spawn(async move {
            let request = api::RegisterRequest { handle: "alice".into(), password: secret(PASSWORD) };
            auth.register(request, HERE).await.map(|tokens| tokens.user)
        });
    }
    let answers = tasks.join_all().await;
    let won: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    assert!(answers.iter().all(|a| matches!(a, Ok(_) | Err(AuthError::HandleTaken))), "{answers:?}");
    assert_eq!(world.connect("alice", PASSWORD, "c").await.unwrap().user, *won[0]);
}

#[tokio::test]
async fn guessing_at_an_account_waits_and_the_right_password_waits_too() {
    let world = World::new();
    world.register("alice").await;
    world.register("bob").await;
    for _ in 0..6 {
        assert_eq!(world.connect("alice", "wrong", "c").await.err(), Some(AuthError::BadCredentials));
    }
    let throttled = Some(AuthError::Throttled { retry_after_s: 1 });
    for name in ["alice", "@alice"] {
        assert_eq!(world.connect(name, PASSWORD, "c").await.err(), throttled, "however it is written");
    }
    assert_eq!(world.login("alice", PASSWORD, None).await.err(), throttled);
    assert!(world.connect("bob", PASSWORD, "c").await.is_ok(), "another account");
    world.clock.advance(SECOND);
    assert!(world.connect("alice", PASSWORD, "c").await.is_ok());
    assert_eq!(world.connect("alice", "wrong", "c").await.err(), Some(AuthError::BadCredentials), "forgiven");
    assert!(world.connect("alice", PASSWORD, "c").await.is_ok());
}

#[tokio::test]
async fn an_unknown_handle_is_throttled_like_a_known_one() {
    let world = World::new();
    for _ in 0..6 {
        assert_eq!(world.connect("nobody", "wrong", "c").await.err(), Some(AuthError::BadCredentials));
    }
    let refused = world.connect("nobody", "wrong", "c").await;
    assert_eq!(refused.err(), Some(AuthError::Throttled { retry_after_s: 1 }));
}

#[tokio::test]
async fn spraying_passwords_from_one_address_waits_and_other_addresses_do_not() {
    let world = World::new();
    world.register("alice").await;
    for number in 0..51 {
        let refused = world.connect(&format!("user{number}"), "wrong", "c").await;
        assert_eq!(refused.err(), Some(AuthError::BadCredentials));
    }
    let refused = world.connect("alice", PASSWORD, "c").await;
    assert_eq!(refused.err(), Some(AuthError::Throttled { retry_after_s: 1 }));
    let elsewhere: IpAddr = "192.0.2.1".parse().unwrap();
    let credential = Credential::NameAndSecret { name: "alice", secret: PASSWORD.as_bytes() };
    assert!(world.auth.authenticate(credential, Some("c"), elsewhere).await.is_ok());
}

#[tokio::test]
async fn hundreds_register_and_log_in_from_one_address() {
    let world = World::new();
    for number in 0..400 {
        world.register(&format!("user{number}")).await;
        assert!(world.connect(&format!("user{number}"), PASSWORD, "c").await.is_ok());
    }
}

#[tokio::test]
async fn registrations_are_limited_by_address() {
    let world = World::with(AuthOptions { registrations_per_minute: 2, ..quick() });
    world.register("alice").await;
    world.register("bob").await;
    let request = api::RegisterRequest { handle: "carol".into(), password: secret(PASSWORD) };
    let refused = world.auth.register(request, HERE).await;
    assert_eq!(refused.err(), Some(AuthError::Throttled { retry_after_s: 30 }));
    world.clock.advance(30 * SECOND);
    world.register("carol").await;
}

#[tokio::test]
async fn a_disabled_account_is_named_only_to_who_knows_its_password() {
    let world = World::new();
    world.register("alice").await;
    world.set_disabled("alice", true).await;
    assert_eq!(world.connect("alice", PASSWORD, "c").await.err(), Some(AuthError::Disabled));
    assert_eq!(world.login("alice", PASSWORD, None).await.err(), Some(AuthError::Disabled));
    assert_eq!(world.connect("alice", "wrong", "c").await.err(), Some(AuthError::BadCredentials));
    world.set_disabled("alice", false).await;
    assert!(world.connect("alice", PASSWORD, "c").await.is_ok());
}

#[tokio::test]
async fn secrets_are_in_no_debug_output() {
    let world = World::new();
    let request = api::RegisterRequest { handle: "alice".into(), password: secret(PASSWORD) };
    assert!(!format!("{request:?}").contains(PASSWORD));
    let tokens = world.auth.register(request, HERE).await.unwrap();
    let shown = format!("{tokens:?} {:?}", world.bearer(&tokens.access_token).await.unwrap());
    for secret in [&tokens.access_token.0, &tokens.refresh_token.0] {
        assert!(!shown.contains(secret.as_str()));
    }
}

#[tokio::test]
async fn the_ledger_holds_no_secret_in_plain() {
    let world = World::new();
    let tokens = world.register("alice").await;
    let secrets = [PASSWORD, &tokens.access_token.0, &tokens.refresh_token.0[4..]];
    for table in parlance_plugin_api::store::Table::ALL {
        for (key, value) in world.ledger.table(table) {
            for secret in secrets {
                let held = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
                assert!(!held(&key) && !held(&value), "{table}");
            }
        }
    }
}
