//! AUTH: a connection gets a new token before the old one expires.

use parlance_tests::{
    Client, Device, Server, User,
    mqtt::{Auth, Packet, ReasonCode},
};
use serde_json::json;
use std::time::Duration;

async fn token(server: &Server, user: &User, ttl_s: u64) -> String {
    let items = json!([{"user": format!("@{}", user.handle)}]);
    let minted = server.admin("mintTokens", json!({"items": items, "ttlS": ttl_s})).await;
    minted["tokens"][0]["token"].as_str().expect("a token").to_owned()
}

async fn renew(client: &mut Client, method: &str, token: &str) {
    let auth = Auth {
        reason: ReasonCode::ReAuthenticate,
        method: Some(method.to_owned().into()),
        data: Some(token.to_owned().into()),
        reason_string: None,
        user_properties: Vec::new(),
    };
    client.send_packet(&Packet::Auth(auth)).await;
}

#[tokio::test]
async fn a_connection_lives_on_with_a_new_token() {
    let server = Server::start(Server::options()).await;
    let alice = server.user("alice").await;
    let short = token(&server, &alice, 3).await;
    let mut client = Device::new("phone").token("token", &short).connect(&server, &alice).await;
    assert_eq!(client.connack().properties.authentication_method.as_deref(), Some(&b"token"[..]));
    client.subscribe("me/json/inbox/#").await;
    let long = token(&server, &alice, 600).await;
    renew(&mut client, "token", &long).await;
    let auth = client.next_auth().await.expect("it goes on");
    assert_eq!((auth.reason, auth.method.as_deref()), (ReasonCode::Success, Some(&b"token"[..])));
    tokio::time::sleep(Duration::from_secs(4)).await;
    client.publish("user/@alice/text", "still here").await;
    client.ping().await;
    // A short one again: now the connection ends with it.
    renew(&mut client, "token", &token(&server, &alice, 2).await).await;
    client.next_auth().await.expect("it goes on");
    assert_eq!(client.closed().await.reason(), Some(ReasonCode::NotAuthorized));
}

#[tokio::test]
async fn only_the_same_users_token_will_do() {
    let server = Server::start(Server::options()).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    for wrong in [bob.token.as_str(), "nonsense", ""] {
        let mut client = Device::new("phone").token("token", &alice.token).connect(&server, &alice).await;
        renew(&mut client, "token", wrong).await;
        let closed = client.next_auth().await.expect_err("the connection ends");
        assert_eq!(closed.reason(), Some(ReasonCode::NotAuthorized), "{wrong}");
    }
}

#[tokio::test]
async fn the_new_tokens_end_is_the_connections() {
    let server = Server::start(Server::options()).await;
    let alice = server.user("alice").await;
    let mut client = Device::new("phone").token("token", &alice.token).connect(&server, &alice).await;
    renew(&mut client, "token", &token(&server, &alice, 600).await).await;
    client.next_auth().await.expect("it goes on");
    server.admin("setDisabled", json!({"user": alice.id, "disabled": true})).await;
    assert_eq!(client.closed().await.reason(), Some(ReasonCode::NotAuthorized));
}

#[tokio::test]
async fn another_method_is_not_known() {
    let server = Server::start(Server::options()).await;
    let alice = server.user("alice").await;
    let refused =
        Device::new("phone").token("SCRAM-SHA-256", &alice.token).try_connect(&server, &alice).await;
    let reason = refused.err().and_then(|closed| closed.reason());
    assert_eq!(reason, Some(ReasonCode::BadAuthenticationMethod));
    // MQTT-4.12.0-6 and MQTT-4.12.0-7: not without a method at CONNECT, not with another one.
    let mut plain = Device::new("phone").connect(&server, &alice).await;
    renew(&mut plain, "token", &alice.token).await;
    assert_eq!(plain.closed().await.reason(), Some(ReasonCode::ProtocolError));
    let mut client = Device::new("phone").token("token", &alice.token).connect(&server, &alice).await;
    renew(&mut client, "other", &alice.token).await;
    let reason = client.closed().await.reason();
    assert!(
        matches!(reason, Some(ReasonCode::ProtocolError | ReasonCode::BadAuthenticationMethod)),
        "{reason:?}"
    );
}
