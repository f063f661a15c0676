//! The operator over MQTT: calls and nothing else. And what the configuration closes.

use super::way::WAYS;
use parlance_tests::{Client, Device, Server, mqtt::ReasonCode};
use serde_json::{Value, json};

async fn call(client: &mut Client, method: &str, request: Value) -> Value {
    let ack = client.publish(&format!("rpc/{method}"), request.to_string()).await;
    assert!(!ack.reason().is_error(), "{method}: {}", ack.reason());
    client.next().await.json()
}

#[tokio::test]
async fn the_operator_does_over_mqtt_what_it_does_over_http() {
    let server = Server::start(Server::options()).await;
    let alice = server.user("alice").await;
    for (number, way) in WAYS.into_iter().enumerate() {
        // MQTT 5 needs no user name; 3.1.1 has one before it has a password.
        let device = way.device("console").login(Some("admin"), Some(server.admin_token()));
        let mut console = device.connect(&server, &alice).await;
        console.subscribe("me/json/reply/#").await;
        let handle = format!("made{number}");
        let made = call(&mut console, "admin.addUsers", json!({"users": [{"handle": handle}]})).await;
        let user = made["outcomes"][0]["user"].clone();
        assert!(user.is_string(), "{made}");
        let minted = json!({"items": [{"user": user}], "ttlS": 60});
        let minted = call(&mut console, "admin.mintTokens", minted).await;
        let token = minted["tokens"][0]["token"].as_str().expect("a token");
        assert_eq!(server.call(token, "me", json!({})).await["user"], user);
        let group = json!({"name": "Made by the operator", "members": [user]});
        assert_eq!(call(&mut console, "createGroup", group).await["members"], 1);
        assert_eq!(call(&mut console, "me", json!({})).await["kind"], "admin");
        assert_eq!(call(&mut console, "devices", json!({})).await["devices"], json!([]));
        assert_eq!(call(&mut console, "conversations", json!({})).await["conversations"], json!([]));
        let disabled = call(&mut console, "admin.setDisabled", json!({"user": user, "disabled": true})).await;
        assert_eq!(disabled, json!({}));
        assert_eq!(
            server.try_call(token, "me", json!({})).await.expect_err("disabled").code,
            "account_disabled"
        );
    }
}

/// The operator is no user: nothing of its connections stays, and a user of the same name and client id is another.
#[tokio::test]
async fn the_operator_leaves_no_session_and_meets_nobody() {
    let server = Server::start(Server::options()).await;
    let user = server.register("admin").await;
    let token = server.admin_token().to_owned();
    for name in [None, Some("admin")] {
        let device = Device::new("same").login(name, Some(&token));
        let mut phone = Device::new("same").connect(&server, &user).await;
        let mut console = device.connect(&server, &user).await;
        assert!(!console.session_present());
        assert_eq!(console.connack().properties.session_expiry_s, Some(0), "it is told that nothing is kept");
        console.subscribe("me/json/inbox/#").await;
        console.disconnect().await;
        let console = device.connect(&server, &user).await;
        assert!(!console.session_present(), "nothing was kept");
        console.disconnect().await;
        phone.ping().await;
        phone.disconnect().await;
    }
    let devices = server.call(&user.token, "devices", json!({})).await;
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1));
    for wrong in [Some("alice"), Some("@admin"), Some("ADMIN")] {
        let refused = Device::new("x").login(wrong, Some(&token)).try_connect(&server, &user).await;
        assert_eq!(
            refused.expect_err("refused").reason(),
            Some(ReasonCode::BadUserNameOrPassword),
            "{wrong:?}"
        );
    }
}

#[tokio::test]
async fn nobody_registers_where_registration_is_closed() {
    let server = Server::start(Server::options().set("AUTH__REGISTRATION", "closed")).await;
    let request = json!({"handle": "stranger", "password": "correct horse"});
    let problem = server.try_call("", "register", request.clone()).await.expect_err("closed");
    assert_eq!((&*problem.code, problem.status), ("registration_closed", 403));
    let alice = server.user("alice").await;
    for way in WAYS {
        let mut client = way.device("phone").connect(&server, &alice).await;
        client.subscribe("me/json/reply/#").await;
        assert_eq!(call(&mut client, "register", request.clone()).await["code"], "registration_closed");
    }
    let users = server.admin("users", json!({})).await;
    assert_eq!(users["users"].as_array().map(Vec::len), Some(1), "only whom the operator made");
}
