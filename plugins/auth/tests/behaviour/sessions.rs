//! Access and refresh tokens, and what ends them.

use crate::world::{DAY, HERE, PASSWORD, SECOND, World, quick, secret};
use parlance_auth::AuthOptions;
use parlance_plugin_api::{
    event::Event,
    identity::{Accounts, AuthError, Authenticator, CredentialId, Principal},
    store::Table,
};
use parlance_schema::api;
use proptest::prelude::*;

async fn ended(world: &World, token: &api::Secret) -> Option<AuthError> {
    world.bearer(token).await.err()
}

async fn logout(world: &World, who: &Principal, everywhere: bool) -> Result<api::Done, AuthError> {
    world.auth.logout(who, api::LogoutRequest { everywhere }).await
}

#[tokio::test]
async fn an_access_token_serves_its_user_until_it_expires() {
    let world = World::new();
    let tokens = world.register("alice").await;
    world.register("bob").await;
    let who = world.bearer(&tokens.access_token).await.unwrap();
    assert_eq!((who.user, who.expires_ms), (tokens.user, Some(tokens.access_expires_ms)));
    assert!(who.credential.is_some() && who.bound_client_id.is_none());
    let token = &tokens.access_token.0;
    assert!(world.connect("alice", token, "any").await.is_ok());
    assert_eq!(world.connect("bob", token, "any").await.err(), Some(AuthError::BadCredentials));
    assert_eq!(world.connect("nobody", token, "any").await.err(), Some(AuthError::BadCredentials));
    world.clock.advance(15 * 60 * SECOND);
    assert_eq!(ended(&world, &tokens.access_token).await, Some(AuthError::TokenExpired));
}

#[tokio::test]
async fn tokens_of_another_broker_are_refused() {
    let (world, stranger) = (World::new(), World::new());
    world.register("alice").await;
    let tokens = stranger.register("alice").await;
    assert_eq!(ended(&world, &tokens.access_token).await, Some(AuthError::TokenInvalid));
    assert_eq!(ended(&world, &secret(&stranger.admin_token)).await, Some(AuthError::TokenInvalid));
}

#[tokio::test]
async fn a_bound_token_serves_one_client_id_and_http() {
    let world = World::new();
    world.register("alice").await;
    let tokens = world.login("alice", PASSWORD, Some("phone")).await.unwrap();
    let refreshed = world.refresh(&tokens.refresh_token).await.unwrap();
    for tokens in [tokens, refreshed] {
        let who = world.connect("alice", &tokens.access_token.0, "phone").await.unwrap();
        assert_eq!(who.bound_client_id.as_deref(), Some("phone"));
        let refused = world.connect("alice", &tokens.access_token.0, "laptop").await;
        assert_eq!(refused.err(), Some(AuthError::WrongDevice));
        assert!(world.bearer(&tokens.access_token).await.is_ok());
    }
    let long = "x".repeat(257);
    for client_id in ["", &long] {
        let refused = world.login("alice", PASSWORD, Some(client_id)).await;
        assert!(matches!(refused, Err(AuthError::Limit(_))));
    }
}

#[tokio::test]
async fn a_refresh_token_serves_once_and_again_ends_the_session() {
    let world = World::new();
    let first = world.register("alice").await;
    let second = world.refresh(&first.refresh_token).await.unwrap();
    assert!(world.bearer(&second.access_token).await.is_ok());
    let other = world.login("alice", PASSWORD, None).await.unwrap();
    let family = world.bearer(&second.access_token).await.unwrap().credential;
    world.ledger.take_events();

    assert_eq!(world.refresh(&first.refresh_token).await.err(), Some(AuthError::TokenReused));
    assert_eq!(
        world.ledger.take_events(),
        [Event::CredentialsEnded { user: first.user, credential: family }]
    );
    for tokens in [&first, &second] {
        assert_eq!(ended(&world, &tokens.access_token).await, Some(AuthError::Ended));
        assert_eq!(world.refresh(&tokens.refresh_token).await.err(), Some(AuthError::Ended));
    }
    assert!(world.bearer(&other.access_token).await.is_ok(), "another session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_refreshes_at_once_one_serves_and_the_session_ends() {
    let world = World::new();
    let tokens = world.register("alice").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (auth, refresh_token) = (world.auth.clone(), tokens.refresh_token.clone());
        tasks.spawn(async move { auth.refresh(api::RefreshRequest { refresh_token }, HERE).await });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(answers.iter().filter(|a| a.as_ref().err() == Some(&AuthError::TokenReused)).count(), 1);
    for tokens in answers.into_iter().flatten() {
        assert_eq!(ended(&world, &tokens.access_token).await, Some(AuthError::Ended));
    }
}

#[tokio::test]
async fn an_invented_refresh_token_ends_nothing() {
    let world = World::new();
    let tokens = world.register("alice").await;
    let mut forged = tokens.refresh_token.clone();
    let last = if forged.0.ends_with('A') { 'Q' } else { 'A' };
    forged.0.pop();
    forged.0.push(last);
    for forged in [forged, secret(""), secret("plr_"), tokens.access_token.clone()] {
        assert_eq!(world.refresh(&forged).await.err(), Some(AuthError::TokenInvalid));
    }
    assert!(world.refresh(&tokens.refresh_token).await.is_ok());
}

#[tokio::test]
async fn a_session_that_is_not_refreshed_expires_and_one_that_is_goes_on() {
    let world = World::new();
    let idle = world.register("alice").await;
    let mut used = world.login("alice", PASSWORD, None).await.unwrap();
    assert_eq!(idle.refresh_expires_ms, world.clock.now() + 60 * DAY);
    for _ in 0..3 {
        world.clock.advance(30 * DAY);
        used = world.refresh(&used.refresh_token).await.unwrap();
    }
    assert_eq!(world.refresh(&idle.refresh_token).await.err(), Some(AuthError::TokenExpired));
    assert_eq!(world.refresh(&idle.refresh_token).await.err(), Some(AuthError::Ended));
}

#[tokio::test]
async fn past_the_limit_the_session_that_was_refreshed_longest_ago_ends() {
    let world = World::with(AuthOptions { sessions_per_user_max: 3, ..quick() });
    let mut oldest = world.register("alice").await;
    let mut others = Vec::new();
    for _ in 0..2 {
        world.clock.advance(SECOND);
        others.push(world.login("alice", PASSWORD, None).await.unwrap());
    }
    world.clock.advance(SECOND);
    oldest = world.refresh(&oldest.refresh_token).await.unwrap();
    let newest = world.login("alice", PASSWORD, None).await.unwrap();
    assert_eq!(ended(&world, &others[0].access_token).await, Some(AuthError::Ended));
    for tokens in [&oldest, &others[1], &newest] {
        assert!(world.bearer(&tokens.access_token).await.is_ok());
    }
    assert_eq!(world.ledger.table(Table::TokenFamilies).len(), 3);
}

#[tokio::test]
async fn logout_ends_one_session_and_everywhere_ends_all() {
    let world = World::new();
    let tokens = [world.register("alice").await, world.login("alice", PASSWORD, None).await.unwrap()];
    let bob = world.register("bob").await;
    let minted = world.mint("alice", None, 3_600).await;
    let who = world.bearer(&tokens[0].access_token).await.unwrap();
    world.ledger.take_events();

    logout(&world, &who, false).await.unwrap();
    let user = who.user;
    assert_eq!(world.ledger.take_events(), [Event::CredentialsEnded { user, credential: who.credential }]);
    assert_eq!(ended(&world, &tokens[0].access_token).await, Some(AuthError::Ended));
    assert!(world.bearer(&tokens[1].access_token).await.is_ok());

    let who = world.bearer(&tokens[1].access_token).await.unwrap();
    logout(&world, &who, true).await.unwrap();
    assert_eq!(world.ledger.take_events(), [Event::CredentialsEnded { user, credential: None }]);
    for token in [&tokens[1].access_token, &minted] {
        assert_eq!(ended(&world, token).await, Some(AuthError::Ended));
    }
    assert_eq!(world.refresh(&tokens[1].refresh_token).await.err(), Some(AuthError::Ended));
    assert!(world.bearer(&bob.access_token).await.is_ok());
    assert!(world.bearer(&world.mint("alice", None, 60).await).await.is_ok(), "a new one serves");
}

#[tokio::test]
async fn logout_of_what_is_no_session_is_named_or_harmless() {
    let world = World::new();
    world.register("alice").await;
    let by_password = world.connect("alice", PASSWORD, "c").await.unwrap();
    assert!(logout(&world, &by_password, false).await.is_ok());
    let minted = world.mint("alice", None, 3_600).await;
    let who = world.bearer(&minted).await.unwrap();
    assert!(matches!(logout(&world, &who, false).await, Err(AuthError::WrongKind(_))));
    let stranger = Principal { credential: Some(CredentialId([0; 16])), ..who };
    assert!(logout(&world, &stranger, false).await.is_err());
    assert!(world.bearer(&minted).await.is_ok());
}

#[tokio::test]
async fn a_disabled_account_has_no_sessions_afterwards() {
    let world = World::new();
    let tokens = world.register("alice").await;
    let minted = world.mint("alice", None, 3_600).await;
    world.ledger.take_events();
    world.set_disabled("@alice", true).await;
    assert_eq!(world.ledger.take_events(), [Event::UserDisabled { user: tokens.user }]);
    for token in [&tokens.access_token, &minted] {
        assert_eq!(ended(&world, token).await, Some(AuthError::Disabled));
    }
    assert_eq!(world.refresh(&tokens.refresh_token).await.err(), Some(AuthError::Ended));
    world.set_disabled("@alice", false).await;
    for token in [&tokens.access_token, &minted] {
        assert_eq!(ended(&world, token).await, Some(AuthError::Ended));
    }
}

/// What may happen to one user's sessions, in any order.
#[derive(Debug, Clone)]
enum Step {
    Login,
    Refresh(usize),
    Reuse(usize),
    Logout(usize),
    Everywhere,
    Disable,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Login),
        4 => (0..8_usize).prop_map(Step::Refresh),
        1 => (0..8_usize).prop_map(Step::Reuse),
        2 => (0..8_usize).prop_map(Step::Logout),
        1 => Just(Step::Everywhere),
        1 => Just(Step::Disable),
    ]
}

/// A session as a client holds it, and whether it should live.
struct Held {
    tokens: api::Tokens,
    used: Option<api::Secret>,
    live: bool,
}

async fn take(world: &World, held: &mut Vec<Held>, step: Step) {
    let count = held.len();
    match step {
        Step::Login => {
            let tokens = world.login("alice", PASSWORD, None).await.unwrap();
            held.push(Held { tokens, used: None, live: true });
        }
        Step::Refresh(index) if count > 0 => {
            let one = &mut held[index % count];
            let answer = world.refresh(&one.tokens.refresh_token).await;
            assert_eq!(answer.is_ok(), one.live);
            if let Ok(tokens) = answer {
                one.used = Some(std::mem::replace(&mut one.tokens, tokens).refresh_token);
            }
        }
        Step::Reuse(index) if count > 0 => {
            let one = &mut held[index % count];
            let Some(used) = &one.used else { return };
            let expected = if one.live { AuthError::TokenReused } else { AuthError::Ended };
            assert_eq!(world.refresh(used).await.err(), Some(expected));
            one.live = false;
        }
        Step::Logout(index) if count > 0 => {
            let one = &mut held[index % count];
            let Ok(who) = world.bearer(&one.tokens.access_token).await else { return };
            logout(world, &who, false).await.unwrap();
            one.live = false;
        }
        Step::Everywhere => {
            let who = world.connect("alice", PASSWORD, "c").await.unwrap();
            logout(world, &who, true).await.unwrap();
            held.iter_mut().for_each(|one| one.live = false);
        }
        Step::Disable => {
            world.set_disabled("alice", true).await;
            world.set_disabled("alice", false).await;
            held.iter_mut().for_each(|one| one.live = false);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_session_lives_exactly_as_long_as_it_should(steps in prop::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            world.register("alice").await;
            let mut held = Vec::new();
            for step in steps {
                take(&world, &mut held, step).await;
                for one in &held {
                    assert_eq!(world.bearer(&one.tokens.access_token).await.is_ok(), one.live);
                }
            }
            let live = held.iter().filter(|one| one.live).count();
            let kept = world.ledger.table(Table::TokenFamilies).len();
            assert!(kept == live || kept == live + 1, "the registration's own may live, too");
        });
    }
}

/// A connection asks once more after it was registered: what ended in between must not live on in it.
#[tokio::test]
async fn what_was_established_is_asked_again() {
    // Whether a login by password, by an access token bound to the phone, and by a minted one bound to it outlive it.
    for (end, outlives) in [
        ("logout everywhere", [false, false, false]),
        ("disabled", [false, false, false]),
        ("new password", [false, false, false]),
        ("device removed", [true, false, false]),
    ] {
        let world = World::new();
        world.register("alice").await;
        let session = world.login("alice", PASSWORD, Some("phone")).await.unwrap().access_token;
        let minted = world.mint("alice", Some("phone"), 60).await;
        let mut logins = Vec::new();
        for secret in [PASSWORD, &session.0, &minted.0] {
            logins.push(world.connect("alice", secret, "phone").await.unwrap());
        }
        assert!(logins.iter().all(|who| world.auth.still_holds(who) == Ok(())), "{end}");
        let who = &logins[0];
        match end {
            "logout everywhere" => assert!(logout(&world, who, true).await.is_ok()),
            "disabled" => world.set_disabled("alice", true).await,
            "new password" => {
                let (old_password, new_password) = (secret(PASSWORD), secret("another password"));
                let request = api::ChangePasswordRequest { old_password, new_password };
                world.auth.change_password(who, request, HERE).await.unwrap();
            }
            _ => {
                let request = api::RemoveDeviceRequest { client_id: "phone".into() };
                world.auth.remove_device(who, request).await.unwrap();
            }
        }
        let after: Vec<bool> = logins.iter().map(|who| world.auth.still_holds(who).is_ok()).collect();
        assert_eq!(after, outlives, "{end}");
    }
}
