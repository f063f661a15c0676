//! Who is let in, and for how long.

use crate::{VERSIONS, pair};
use parlance_tests::{Closed, Device, Server, User, mqtt::ReasonCode, mqtt::Version};
use serde_json::json;

/// How a refused CONNECT is told. The reason is the same in both versions as far as 3.1.1 has words for it.
async fn refused(device: &Device, server: &Server, user: &User) -> ReasonCode {
    match device.try_connect(server, user).await {
        Err(Closed::Refused(connack)) => connack.reason,
        other => panic!("expected a CONNACK that refuses, got {other:?}"),
    }
}

#[tokio::test]
async fn logins_that_work_and_that_do_not() {
    let server = Server::start(Server::options()).await;
    let alice = server.register("alice").await;
    let password = alice.password.clone().expect("registered");
    for version in VERSIONS {
        let device = Device::new("phone").version(version);
        for (name, secret) in [("alice", &password), ("alice", &alice.token), ("@alice", &password)] {
            device.clone().login(Some(name), Some(secret)).connect(&server, &alice).await.disconnect().await;
        }
        let nobody = refused(&device.clone().login(None, None), &server, &alice).await;
        assert_eq!(nobody, ReasonCode::NotAuthorized, "{version:?}");
        let mut forged = alice.token.clone();
        let last = forged.pop().expect("not empty");
        forged.push(if last == 'A' { 'B' } else { 'A' });
        for secret in [forged.as_str(), "eyJhbGciOiJub25lIn0.e30."] {
            let device = device.clone().login(Some("alice"), Some(secret));
            let reason = refused(&device, &server, &alice).await;
            let known = [ReasonCode::NotAuthorized, ReasonCode::BadUserNameOrPassword];
            assert!(known.contains(&reason), "{version:?}: {reason}");
        }
    }
    // A token needs no name.
    Device::new("bare").login(None, Some(&alice.token)).connect(&server, &alice).await;
    let wrong = Device::new("phone").login(Some("alice"), Some("wrong horse"));
    assert_eq!(refused(&wrong, &server, &alice).await, ReasonCode::BadUserNameOrPassword);
}

/// MQTT 5 has no words for a name that belongs to somebody else's token: it is not authorised.
#[tokio::test]
async fn a_token_serves_its_user_and_its_device() {
    let (server, alice, bob) = pair().await;
    let device = Device::new("phone").login(Some("alice"), Some(&bob.token));
    assert!(refused(&device, &server, &alice).await.is_error());

    let items = json!({"items": [{"user": "@alice", "clientId": "sensor"}], "ttlS": 60});
    let minted = server.admin("mintTokens", items).await;
    let token = minted["tokens"][0]["token"].as_str().expect("a token");
    let bound = |client_id: &str| Device::new(client_id).login(Some("alice"), Some(token));
    bound("sensor").connect(&server, &alice).await;
    assert_eq!(refused(&bound("phone"), &server, &alice).await, ReasonCode::NotAuthorized);
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let server = Server::start(Server::options().set("AUTH__ACCESS_TTL_S", 2)).await;
    let alice = server.register("alice").await;
    for version in VERSIONS {
        let password = alice.password.as_deref().expect("registered");
        let login = json!({"handle": "alice", "password": password});
        let tokens = server.call("", "login", login).await;
        let token = tokens["accessToken"].as_str().expect("a token");
        let device = Device::new("phone").version(version).login(Some("alice"), Some(token));
        let mut client = device.connect(&server, &alice).await;
        let told = client.closed().await;
        match version {
            Version::V5 => assert_eq!(told.reason(), Some(ReasonCode::NotAuthorized)),
            Version::V3 => assert_eq!(told, Closed::Ended),
        }
        assert_eq!(refused(&device, &server, &alice).await, ReasonCode::NotAuthorized);
        // A connection by password has no end.
        Device::new("tablet")
            .login(Some("alice"), Some(password))
            .connect(&server, &alice)
            .await
            .ping()
            .await;
    }
}

#[tokio::test]
async fn a_disabled_account_is_disconnected_and_stays_out() {
    let (server, alice, bob) = pair().await;
    let mut phone = Device::new("phone").connect(&server, &alice).await;
    let mut witness = Device::new("phone").connect(&server, &bob).await;
    server.admin("setDisabled", json!({"user": "@alice", "disabled": true})).await;
    assert_eq!(phone.closed().await.reason(), Some(ReasonCode::NotAuthorized));
    assert_eq!(refused(&Device::new("phone"), &server, &alice).await, ReasonCode::NotAuthorized);
    let problem = server.try_call(&alice.token, "me", json!({})).await.expect_err("disabled");
    assert!([401, 403].contains(&problem.status), "{problem:?}");
    let acked = witness.publish("user/@alice/text", "x").await;
    assert_eq!(acked.code(), Some("unknown_recipient"));
    server.admin("setDisabled", json!({"user": "@alice", "disabled": false})).await;
    // What was issued before stays ended.
    assert_eq!(refused(&Device::new("phone"), &server, &alice).await, ReasonCode::NotAuthorized);
    let minted = server.admin("mintTokens", json!({"items": [{"user": "@alice"}], "ttlS": 60})).await;
    let alice = User { token: minted["tokens"][0]["token"].as_str().expect("a token").to_owned(), ..alice };
    Device::new("phone").connect(&server, &alice).await.ping().await;
}

#[tokio::test]
async fn logout_everywhere_ends_every_connection() {
    let server = Server::start(Server::options()).await;
    let alice = server.register("alice").await;
    let mut phone = Device::new("phone").connect(&server, &alice).await;
    server.call(&alice.token, "logout", json!({"everywhere": true})).await;
    assert_eq!(phone.closed().await.reason(), Some(ReasonCode::NotAuthorized));
    assert_eq!(refused(&Device::new("phone"), &server, &alice).await, ReasonCode::NotAuthorized);
}

/// A removed device is disconnected, and forgotten: it comes back as a new one.
#[tokio::test]
async fn a_removed_device_is_disconnected() {
    let (server, alice, _) = pair().await;
    let mut phone = Device::new("phone").connect(&server, &alice).await;
    server.call(&alice.token, "removeDevice", json!({"clientId": "phone"})).await;
    assert!(phone.closed().await.reason().is_some_and(ReasonCode::is_error));
    let devices = server.call(&alice.token, "devices", json!({})).await;
    assert_eq!(devices["devices"], json!([]));
}

#[tokio::test]
async fn a_revoked_key_is_disconnected() {
    let (server, alice, _) = pair().await;
    server.admin("addUsers", json!({"users": [{"handle": "bot", "service": true}]})).await;
    let scopes = json!({"user": "@bot", "name": "test", "scopes": ["messages.send"]});
    let key = server.admin("createApiKey", scopes).await;
    let secret = key["key"].as_str().expect("shown once");
    let device = Device::new("bot").login(Some("bot"), Some(secret));
    let mut bot = device.connect(&server, &alice).await;
    assert_eq!(bot.publish("user/@alice/text", "beep").await.seq(), 1);
    server.admin("revokeApiKey", json!({"id": key["id"]})).await;
    assert_eq!(bot.closed().await.reason(), Some(ReasonCode::NotAuthorized));
    assert_eq!(refused(&device, &server, &alice).await, ReasonCode::NotAuthorized);
}
