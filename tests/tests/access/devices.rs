//! A session belongs to a user and a client id: nobody takes a stranger's, and a removed device is forgotten.

use super::{
    way::WAYS,
    world::{Who, World, send},
};
use parlance_tests::{Client, Closed, Device, PATIENCE, Server, eventually, mqtt::ReasonCode};
use serde_json::json;

#[tokio::test]
async fn the_client_id_of_somebody_else_is_another_session() {
    let mut world = World::new().await;
    for way in WAYS {
        for who in [Who::Mallory, Who::Removed, Who::Narrow] {
            // Alice's and Bob's own devices are called so.
            let mut client = way.device("witness").connect(&world.server, world.user(who)).await;
            assert!(!client.session_present(), "{who:?} over {way:?}");
            client.subscribe("me/json/events/#").await;
        }
        world.unchanged(&format!("others as \"witness\" over {way:?}")).await;
    }
    let mallory = world.user(Who::Mallory).token.clone();
    world.server.call(&mallory, "removeDevice", json!({"clientId": "witness"})).await;
    world.unchanged("mallory removes a device of that name").await;
    let devices = world.server.call(&mallory, "devices", json!({})).await;
    assert_eq!(devices["devices"], json!([]), "one sees one's own only");
    let devices = world.server.call(&world.alice.token, "devices", json!({})).await;
    assert_eq!(devices["devices"][0]["clientId"], "witness");
    assert_eq!(devices["devices"][0]["online"], true);
}

#[tokio::test]
async fn a_removed_device_is_forgotten_connected_or_not() {
    let server = Server::start(Server::options()).await;
    let users = server.users(&["alice", "bob"]).await;
    let (alice, bob) = (&users[0], &users[1]);
    for connected in [true, false] {
        for way in WAYS {
            let device = Device::new("lost").version(way.version);
            let mut lost = device.connect(&server, bob).await;
            assert!(!lost.session_present(), "{way:?}");
            lost.subscribe("me/json/inbox/#").await;
            send(&server, alice, "@bob", "hello").await;
            lost.next().await;
            let lost: Option<Client> = if connected {
                Some(lost)
            } else {
                lost.disconnect().await;
                None
            };
            server.call(&bob.token, "removeDevice", json!({"clientId": "lost"})).await;
            if let Some(mut lost) = lost {
                let closed = lost.closed().await;
                assert!(
                    matches!(closed.reason(), None | Some(ReasonCode::AdministrativeAction)),
                    "{closed:?}"
                );
            }
            // The call is answered when it is forgotten for good: nothing brings it back.
            let devices = server.call(&bob.token, "devices", json!({})).await;
            assert_eq!(devices["devices"], json!([]), "{way:?}, connected: {connected}");
        }
    }
    // Its positions are forgotten with it: it comes back as a device that has never been here.
    let mut back = Device::new("lost").connect(&server, bob).await;
    assert!(!back.session_present());
    back.subscribe("me/json/inbox/#").await;
    send(&server, alice, "@bob", "news").await;
    assert_eq!(back.next().await.json()["text"], "news");
}

/// A device that connects again and again while it is removed: after the call is answered it is either gone or has come
/// back as a new device; never with the session it had.
#[tokio::test]
async fn a_device_that_reconnects_while_it_is_removed_comes_back_new() {
    let server = Server::start(Server::options()).await;
    let bob = server.user("bob").await;
    for _ in 0..20 {
        let device = Device::new("stubborn");
        device.connect(&server, &bob).await.disconnect().await;
        let reconnecting = {
            let (broker, bob) = ((*server).clone(), bob.clone());
            tokio::spawn(async move { Device::new("stubborn").try_connect(&broker, &bob).await })
        };
        server.call(&bob.token, "removeDevice", json!({"clientId": "stubborn"})).await;
        drop(reconnecting.await.expect("no panic"));
        // Whatever came of that: now it is removed once more, with nobody in between.
        server.call(&bob.token, "removeDevice", json!({"clientId": "stubborn"})).await;
        let back = device.connect(&server, &bob).await;
        assert!(!back.session_present());
        back.disconnect().await;
        server.call(&bob.token, "removeDevice", json!({"clientId": "stubborn"})).await;
    }
}

/// An account is disabled, or logged out everywhere, while a device of it connects: the device is refused, or closed.
/// In no order of the two does it stay.
#[tokio::test]
async fn nobody_slips_in_while_its_account_ends() {
    const ROUNDS: usize = 24;
    let server = Server::start(Server::options()).await;
    for round in 0..ROUNDS {
        let user = if round % 3 == 0 {
            let user = server.register(&format!("password{round}")).await;
            let password = user.password.clone().expect("registered");
            parlance_tests::User { token: password, ..user }
        } else {
            server.user(&format!("token{round}")).await
        };
        let connecting = {
            let (broker, user) = ((*server).clone(), user.clone());
            tokio::spawn(async move { Device::new("phone").try_connect(&broker, &user).await })
        };
        server.admin("setDisabled", json!({"user": user.id, "disabled": true})).await;
        let outcome = connecting.await.expect("no panic");
        let closed = match outcome {
            Ok(mut client) => client.closed().await,
            Err(refused) => refused,
        };
        let expected = Some(ReasonCode::NotAuthorized);
        assert!(closed == Closed::Ended || closed.reason() == expected, "round {round}: {closed:?}");
    }
    eventually(PATIENCE, "nobody is connected", async || {
        (server.metric("parlance_connections").await == 0.0).then_some(())
    })
    .await;
}
