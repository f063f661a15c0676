//! Wills are publishes: checked when they are made, and no last word of who may speak no more.

use super::{
    rows::WILLS,
    way::WAYS,
    world::{Who, World},
};
use parlance_tests::{Broker, Device, PATIENCE, User, eventually, mqtt::ReasonCode};
use serde_json::json;

/// Comes back as the same device: the server has then finished with the connection before, its will included.
async fn finished(broker: &Broker, device: &Device, user: &User) {
    device.clone().connect(broker, user).await.disconnect().await;
}

#[tokio::test]
async fn a_will_reaches_nobody_whom_its_user_may_not_reach() {
    let mut world = World::new().await;
    for topic in WILLS {
        for way in WAYS {
            let mallory = world.user(Who::Mallory);
            let plain = way.device("with-a-will");
            plain.clone().will(&world.fill(topic), "1").connect(&world.server, mallory).await.vanish();
            finished(&world.server, &plain, mallory).await;
        }
        world.unchanged(&format!("a will for {topic}")).await;
    }
}

#[tokio::test]
async fn a_will_that_is_allowed_is_a_message() {
    let world = World::new().await;
    for way in WAYS {
        let device = way.device("with-a-will");
        device.clone().will("user/@alice/text", "gone").connect(&world.server, &world.bob).await.vanish();
        finished(&world.server, &device, &world.bob).await;
    }
    let history = world.server.history(&world.alice.token, "@bob").await;
    assert_eq!(history.iter().filter(|message| message["text"] == "gone").count(), WAYS.len());
}

/// The account was disabled, the credential revoked: the connection ends, and the will with it.
#[tokio::test]
async fn a_will_is_no_last_word_of_an_account_that_ended() {
    let mut world = World::new().await;
    for (number, way) in WAYS.into_iter().enumerate() {
        let doomed = world.server.user(&format!("doomed{number}")).await;
        let device = way.device("phone").will("user/@alice/text", "my last word");
        let mut phone = device.connect(&world.server, &doomed).await;
        world.server.admin("setDisabled", json!({"user": doomed.id, "disabled": true})).await;
        phone.closed().await;
        let logged_out = world.server.user(&format!("out{number}")).await;
        let mut phone = device.connect(&world.server, &logged_out).await;
        world.server.call(&logged_out.token, "logout", json!({"everywhere": true})).await;
        let closed = phone.closed().await;
        assert!(matches!(closed.reason(), None | Some(ReasonCode::NotAuthorized)), "{closed:?}");
    }
    // Both have left when nobody but the witnesses and the clock is connected.
    eventually(PATIENCE, "they have left", async || {
        (world.server.metric("parlance_connections").await <= 3.0).then_some(())
    })
    .await;
    world.unchanged("wills of accounts that ended").await;
}
