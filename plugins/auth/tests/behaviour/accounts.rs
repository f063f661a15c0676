//! Changing a password, removing a device, and the directory.

use crate::world::{HERE, PASSWORD, SECOND, World, secret};
use parlance_plugin_api::{
    UserId,
    event::Event,
    identity::{AccountKind, Accounts, AuthError, Directory, Named, Principal},
    ledger::LedgerError,
};
use parlance_schema::api;

const OTHER: &str = "battery staple";

async fn change(world: &World, who: &Principal, old: &str, new: &str) -> Result<api::Done, AuthError> {
    let request = api::ChangePasswordRequest { old_password: secret(old), new_password: secret(new) };
    world.auth.change_password(who, request, HERE).await
}

async fn remove(world: &World, who: &Principal, client_id: &str) -> Result<api::Done, AuthError> {
    world.auth.remove_device(who, api::RemoveDeviceRequest { client_id: client_id.into() }).await
}

#[tokio::test]
async fn a_changed_password_ends_all_other_sessions() {
    let world = World::new();
    let mine = world.register("alice").await;
    let other = world.login("alice", PASSWORD, None).await.unwrap();
    let minted = world.mint("alice", None, 3_600).await;
    let who = world.bearer(&mine.access_token).await.unwrap();
    world.ledger.take_events();

    change(&world, &who, PASSWORD, OTHER).await.unwrap();
    assert_eq!(world.ledger.take_events(), [Event::CredentialsEnded { user: who.user, credential: None }]);
    assert!(world.bearer(&mine.access_token).await.is_ok());
    assert!(world.refresh(&mine.refresh_token).await.is_ok());
    for token in [&other.access_token, &minted] {
        assert_eq!(world.bearer(token).await.err(), Some(AuthError::Ended));
    }
    assert_eq!(world.connect("alice", PASSWORD, "c").await.err(), Some(AuthError::BadCredentials));
    assert!(world.connect("alice", OTHER, "c").await.is_ok());
}

#[tokio::test]
async fn a_password_is_changed_only_by_who_knows_it() {
    let world = World::new();
    let tokens = world.register("alice").await;
    let who = world.bearer(&tokens.access_token).await.unwrap();
    let short = Some(AuthError::PasswordLength { min: 8, max: 256 });
    assert_eq!(change(&world, &who, PASSWORD, "short").await.err(), short);
    for _ in 0..6 {
        assert_eq!(change(&world, &who, "wrong", OTHER).await.err(), Some(AuthError::BadCredentials));
    }
    let throttled = Some(AuthError::Throttled { retry_after_s: 1 });
    assert_eq!(change(&world, &who, PASSWORD, OTHER).await.err(), throttled);
    world.clock.advance(SECOND);
    world.ledger.fail_with(Some(LedgerError::Busy));
    let busy = Some(AuthError::Ledger(LedgerError::Busy));
    assert_eq!(change(&world, &who, PASSWORD, OTHER).await.err(), busy);
    world.ledger.fail_with(None);
    assert!(world.connect("alice", PASSWORD, "c").await.is_ok(), "nothing was changed");
}

#[tokio::test]
async fn a_removed_device_loses_what_is_bound_to_it_and_no_other_does() {
    let world = World::new();
    let unbound = world.register("alice").await;
    let phone = world.login("alice", PASSWORD, Some("phone")).await.unwrap();
    let laptop = world.login("alice", PASSWORD, Some("laptop")).await.unwrap();
    let minted = world.mint("alice", Some("phone"), 3_600).await;
    let minted_laptop = world.mint("alice", Some("laptop"), 3_600).await;
    let who = world.bearer(&unbound.access_token).await.unwrap();
    let family = world.bearer(&phone.access_token).await.unwrap().credential;
    world.ledger.take_events();

    remove(&world, &who, "phone").await.unwrap();
    let user = who.user;
    assert_eq!(
        world.ledger.take_events(),
        [
            Event::CredentialsEnded { user, credential: family },
            Event::DeviceRemoved { user, client_id: "phone".into() }
        ]
    );
    for token in [&phone.access_token, &minted] {
        assert_eq!(world.bearer(token).await.err(), Some(AuthError::Ended));
    }
    for token in [&unbound.access_token, &laptop.access_token, &minted_laptop] {
        assert!(world.bearer(token).await.is_ok());
    }
    world.clock.advance(1);
    assert!(world.bearer(&world.mint("alice", Some("phone"), 60).await).await.is_ok(), "minted afterwards");
}

#[tokio::test]
async fn marks_of_removed_devices_are_bounded_and_nothing_that_ended_comes_back() {
    let world = World::new();
    let tokens = world.register("alice").await;
    let who = world.bearer(&tokens.access_token).await.unwrap();
    let minted = world.mint("alice", Some("stolen"), 3_600).await;
    remove(&world, &who, "stolen").await.unwrap();
    for number in 0..600 {
        remove(&world, &who, &format!("device{number}")).await.unwrap();
        assert!(world.bearer(&minted).await.is_err(), "after {number}");
    }
    let kept = world.ledger.table(parlance_plugin_api::store::Table::UserIndex).len();
    assert!(kept <= 258, "{kept}");
    assert!(world.bearer(&tokens.access_token).await.is_ok());
}

#[tokio::test]
async fn the_operator_has_no_account_of_its_own() {
    let world = World::new();
    let who = world.bearer(&secret(&world.admin_token)).await.unwrap();
    assert_eq!(who.kind, AccountKind::Admin);
    assert!(matches!(change(&world, &who, PASSWORD, OTHER).await, Err(AuthError::WrongKind(_))));
    assert!(matches!(remove(&world, &who, "c").await, Err(AuthError::WrongKind(_))));
    let everywhere = api::LogoutRequest { everywhere: true };
    assert!(matches!(world.auth.logout(&who, everywhere).await, Err(AuthError::WrongKind(_))));
}

#[tokio::test]
async fn the_directory_follows_what_is_changed() {
    let world = World::new();
    let unknown = "alice".parse().unwrap();
    assert_eq!(world.auth.resolve(&unknown), None, "and this answer is not remembered");
    let user = world.register("alice").await.user;
    assert_eq!(world.auth.resolve(&unknown), Some(Named::User(user)));
    assert_eq!(world.auth.profile(UserId([1; 16])), None);
    let profile = world.auth.profile(user).unwrap();
    assert_eq!(
        (profile.handle.as_str(), profile.kind, profile.disabled),
        ("alice", AccountKind::Person, false)
    );
    for disabled in [true, false, true] {
        world.set_disabled("alice", disabled).await;
        assert_eq!(world.auth.profile(user).unwrap().disabled, disabled);
    }
    let bot = world.add_service("bot").await;
    assert_eq!(world.auth.profile(bot).unwrap().kind, AccountKind::Service);
}
