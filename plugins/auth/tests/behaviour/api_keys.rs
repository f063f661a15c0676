//! API keys of service accounts, and the operator's token.

use crate::world::{HERE, World, secret};
use parlance_plugin_api::{
    ConversationId,
    event::Event,
    identity::{AccountKind, Accounts, Action, AuthError, Authenticator, Credential, Operators},
};
use parlance_schema::api;

async fn create(world: &World, user: &str, scopes: &[&str]) -> Result<api::ApiKey, AuthError> {
    let scopes = scopes.iter().map(ToString::to_string).collect();
    let request = api::CreateApiKeyRequest { user: user.into(), name: "ci".into(), scopes };
    world.auth.create_api_key(request).await
}

#[tokio::test]
async fn a_key_allows_what_its_scopes_say_and_nothing_else() {
    let world = World::new();
    let bot = world.add_service("bot").await;
    let (here, there) = (ConversationId::fresh_group(), ConversationId::fresh_group());
    let made = create(&world, "@bot", &["messages.read", &format!("messages.send:{here}")]).await.unwrap();
    let key = made.key.clone().unwrap();
    let who = world.bearer(&key).await.unwrap();
    assert_eq!((who.user, who.kind, who.expires_ms), (bot, AccountKind::Service, None));
    for (action, conversation, allowed) in [
        (Action::Read, Some(there), true),
        (Action::Send, Some(here), true),
        (Action::Send, Some(there), false),
        (Action::Send, None, false),
        (Action::ManageGroups, Some(here), false),
        (Action::ManageAccount, None, false),
        (Action::Administer, None, false),
    ] {
        assert_eq!(who.allows(action, conversation), allowed, "{action:?} {conversation:?}");
    }
    let request = api::RemoveDeviceRequest { client_id: "c".into() };
    assert!(matches!(world.auth.remove_device(&who, request).await, Err(AuthError::WrongKind(_))));
    assert!(world.connect("bot", &key.0, "c").await.is_ok());
    world.register("alice").await;
    assert_eq!(world.connect("alice", &key.0, "c").await.err(), Some(AuthError::BadCredentials));
}

#[tokio::test]
async fn a_revoked_or_altered_key_does_not_serve() {
    let world = World::new();
    let bot = world.add_service("bot").await;
    let made = create(&world, "bot", &["messages.read"]).await.unwrap();
    let key = made.key.clone().unwrap();
    assert!(key.0.starts_with(&format!("plk_{}_", made.id)));
    let other = create(&world, "bot", &["messages.read"]).await.unwrap();
    let crossed = other.key.unwrap().0.replace(&other.id, &made.id);
    assert_eq!(world.bearer(&secret(&crossed)).await.err(), Some(AuthError::TokenInvalid));
    world.ledger.take_events();

    let who = world.bearer(&key).await.unwrap();
    let revoke = || world.auth.revoke_api_key(api::RevokeApiKeyRequest { id: made.id.clone() });
    revoke().await.unwrap();
    let ended = Event::CredentialsEnded { user: bot, credential: who.credential };
    assert_eq!(world.ledger.take_events(), [ended]);
    assert_eq!(world.bearer(&key).await.err(), Some(AuthError::TokenInvalid));
    assert_eq!(revoke().await.err(), Some(AuthError::NotFound("API key")));
    let left = world.auth.api_keys(api::ApiKeysRequest { user: "bot".into() }).await.unwrap().keys;
    assert_eq!(left.iter().map(|key| &key.id).collect::<Vec<_>>(), [&other.id]);
    assert!(left[0].key.is_none(), "the secret is shown once");
}

#[tokio::test]
async fn the_keys_of_a_disabled_account_rest() {
    let world = World::new();
    world.add_service("bot").await;
    let key = create(&world, "bot", &["messages.read"]).await.unwrap().key.unwrap();
    world.set_disabled("bot", true).await;
    assert_eq!(world.bearer(&key).await.err(), Some(AuthError::Disabled));
    world.set_disabled("bot", false).await;
    assert!(world.bearer(&key).await.is_ok());
}

#[tokio::test]
async fn bad_keys_are_not_made() {
    let world = World::new();
    world.add_service("bot").await;
    world.register("alice").await;
    let bad = |scope: &str| Some(AuthError::BadScope(scope.into()));
    assert_eq!(create(&world, "bot", &["messages.write"]).await.err(), bad("messages.write"));
    assert_eq!(create(&world, "bot", &["administer"]).await.err(), bad("administer"));
    assert!(matches!(create(&world, "bot", &[]).await, Err(AuthError::Limit(_))));
    assert!(matches!(create(&world, "alice", &["messages.read"]).await, Err(AuthError::WrongKind(_))));
    let unknown = Some(AuthError::NotFound("account"));
    assert_eq!(create(&world, "nobody", &["messages.read"]).await.err(), unknown);
    for _ in 0..100 {
        create(&world, "bot", &["messages.read"]).await.unwrap();
    }
    assert!(matches!(create(&world, "bot", &["messages.read"]).await, Err(AuthError::Limit(_))));
}

#[tokio::test]
async fn the_operators_token_serves_http_and_mqtt() {
    let world = World::new();
    let token = Credential::Token(world.admin_token.as_bytes());
    let who = world.auth.authenticate(token, None, HERE).await.unwrap();
    assert_eq!((who.kind, who.handle.as_str()), (AccountKind::Admin, "admin"));
    assert!(who.allows(Action::Administer, None));
    let over_mqtt = world.auth.authenticate(token, Some("c"), HERE).await.unwrap();
    assert_eq!((over_mqtt.kind, over_mqtt.user), (AccountKind::Admin, who.user));
    assert_eq!(world.connect("admin", &world.admin_token, "c").await.unwrap().kind, AccountKind::Admin);
    world.register("alice").await;
    for other in ["alice", "@admin", "nobody"] {
        let refused = world.connect(other, &world.admin_token, "c").await;
        assert_eq!(refused.err(), Some(AuthError::BadCredentials), "{other}");
    }
    // Whoever has the handle gains nothing by it.
    world.register("admin").await;
    let person = world.connect("admin", crate::world::PASSWORD, "c").await.unwrap();
    assert_eq!((person.kind, person.allows(Action::Administer, None)), (AccountKind::Person, false));
    for wrong in ["pladm_", &world.admin_token[..20], &format!("{}x", world.admin_token)] {
        assert_eq!(world.bearer(&secret(wrong)).await.err(), Some(AuthError::TokenInvalid));
    }
}

#[tokio::test]
async fn a_certificate_serves_the_service_account_that_it_names() {
    let world = World::new();
    let bot = world.add_service("bot").await;
    world.register("alice").await;
    let show = async |name: &str| {
        let certificate = Credential::Certificate { name, fingerprint: [7; 32] };
        world.auth.authenticate(certificate, Some("c"), HERE).await
    };
    let who = show("bot").await.unwrap();
    assert_eq!((who.user, who.kind), (bot, AccountKind::Service));
    assert!(who.allows(Action::Send, None) && !who.allows(Action::ManageAccount, None));
    assert_eq!(show("@bot").await.unwrap().user, bot);
    assert!(matches!(show("alice").await.err(), Some(AuthError::WrongKind(_))), "people prove themselves");
    for nobody in ["", "nobody", "urn:uuid:1", "admin"] {
        assert_eq!(show(nobody).await.err(), Some(AuthError::BadCredentials), "{nobody}");
    }
    assert_eq!(world.auth.still_holds(&who), Ok(()));
    world.set_disabled("bot", true).await;
    assert_eq!(show("bot").await.err(), Some(AuthError::Disabled));
    assert_eq!(world.auth.still_holds(&who), Err(AuthError::Disabled));
}
