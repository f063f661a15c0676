//! Session state: when it is there, what is in it, and when it ends.

use super::prelude::*;
use tokio::time::sleep;

tests! {
    clean_start_discards_the_session: ["3.1.2-6" "3.1.4-3" "3.2.2-1"] ["3.1.2-4" "3.1.4-4" "3.2.2-2"];
    session_is_resumed: ["3.1.2-4" "3.1.2-5" "3.2.2-2" "4.1.0-1"] ["3.1.2-5" "3.1.2-23" "3.2.2-3"];
    session_is_created: ["3.1.2-4" "3.2.2-3"] ["3.1.2-6" "3.2.2-3"];
    session_survives_a_lost_connection: ["3.1.2-4" "4.1.0-1"] ["3.1.2-23"];
    clean_session_ends_with_its_connection: ["3.1.2-6"] ["4.1.0-2"];
    retained_messages_are_not_of_the_session: ["3.1.2-7"] [];
    session_lasts_while_connected: ["4.1.0-2"] ["4.1.0-1"];
    session_expires: [] ["4.1.0-2" "3.1.2-23"];
    disconnect_changes_the_expiry: [] ["4.1.0-2" "3.1.2-23"];
    disconnect_cannot_start_an_expiry: [] ["4.13.1-1"];
    messages_reach_every_session: ["4.5.0-1"] ["4.5.0-1"];
    exactly_once_outlives_the_connection: ["4.1.0-1"] ["3.1.2-23"];
}

async fn clean_start_discards_the_session(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    cx.leave_session(&client_id, &topic, AtLeastOnce).await?;
    cx.publish(&topic, "queued", AtLeastOnce).await?;
    let clean = Connect { client_id: client_id.clone().into(), ..cx.clean() };
    let (mut client, connack) = cx.accepted(clean).await?;
    ensure!(!connack.session_present, "Session Present after a clean start");
    cx.publish(&topic, "live", AtLeastOnce).await?;
    client.silent().await?;
    client.disconnect().await?;
    // And what was clean is not there later.
    let mut client = cx.session(&client_id, false).await?;
    client.silent().await?;
    client.disconnect().await
}

async fn session_is_resumed(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    cx.leave_session(&client_id, &cx.topic("+"), ExactlyOnce).await?;
    cx.publish(&topic, "one", AtLeastOnce).await?;
    cx.publish(&topic, "two", ExactlyOnce).await?;
    let mut client = cx.session(&client_id, true).await?;
    let mut came = payloads(&client.receive_many(2).await?);
    // Only messages of the same QoS have an order.
    came.sort();
    ensure!(came == ["one", "two"], "{came:?} came from the session");
    cx.publish(&topic, "live", AtLeastOnce).await?;
    client.receive_payload("live").await?;
    client.silent().await?;
    client.disconnect().await
}

async fn session_is_created(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let mut client = cx.session(&client_id, false).await?;
    client.subscribe(&topic, AtLeastOnce).await?;
    client.publish(&topic, "x", AtLeastOnce).await?;
    client.receive_payload("x").await?;
    client.disconnect().await?;
    cx.session(&client_id, true).await?.disconnect().await
}

async fn session_survives_a_lost_connection(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let mut client = cx.session(&client_id, false).await?;
    client.subscribe(&topic, AtLeastOnce).await?;
    client.vanish();
    cx.publish(&topic, "x", AtLeastOnce).await?;
    let mut client = cx.session(&client_id, true).await?;
    client.receive_payload("x").await?;
    client.disconnect().await
}

async fn clean_session_ends_with_its_connection(cx: &Context) -> Outcome {
    for vanish in [false, true] {
        let (client_id, topic) = (cx.client_id(), cx.topic("t"));
        let connect = Connect { client_id: client_id.clone().into(), ..cx.clean() };
        let (mut client, _) = cx.accepted(connect).await?;
        client.subscribe(&topic, AtLeastOnce).await?;
        if vanish {
            client.vanish();
        } else {
            client.disconnect().await?;
        }
        cx.publish(&topic, "x", AtLeastOnce).await?;
        let mut client = cx.session(&client_id, false).await?;
        client.silent().await?;
        client.disconnect().await?;
    }
    Ok(())
}

async fn retained_messages_are_not_of_the_session(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    cx.will_be_retained(&topic);
    let (mut client, _) = cx.accepted(cx.clean()).await?;
    client.publish_message(retained(&topic, "kept", AtLeastOnce)).await?;
    client.disconnect().await?;
    let found = payloads(&cx.retained_on(&topic).await?);
    ensure!(found == ["kept"], "{found:?} is retained after the session has ended");
    Ok(())
}

/// A Session Expiry Interval of one second does not run while the client is there.
async fn session_lasts_while_connected(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let connect = Connect { session_expiry_s: cx.is_v5().then_some(1), ..cx.lasting(&client_id) };
    let (mut client, _) = cx.accepted(connect).await?;
    client.subscribe(&topic, AtLeastOnce).await?;
    client.silent_for(Duration::from_millis(2_500)).await?;
    client.publish(&topic, "x", AtLeastOnce).await?;
    client.receive_payload("x").await?;
    client.vanish();
    cx.session(&client_id, true).await?.disconnect().await
}

async fn session_expires(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let connect = Connect { session_expiry_s: Some(2), ..cx.lasting(&client_id) };
    let (mut client, connack) = cx.accepted(connect.clone()).await?;
    if let Some(other) = connack.properties.session_expiry_s.filter(|seconds| *seconds != 2) {
        unsupported!("the server sets the Session Expiry Interval to {other} s");
    }
    client.subscribe(&topic, AtLeastOnce).await?;
    client.disconnect().await?;
    // Before the interval has passed it is there, and the interval begins anew.
    let (client, connack) = cx.accepted(connect).await?;
    ensure!(connack.session_present, "the session is gone before its interval has passed");
    client.vanish();
    sleep(Duration::from_millis(4_500)).await;
    cx.publish(&topic, "x", AtLeastOnce).await?;
    let mut client = cx.session(&client_id, false).await?;
    client.silent().await?;
    client.disconnect().await
}

async fn disconnect_changes_the_expiry(cx: &Context) -> Outcome {
    let ends =
        |seconds| Disconnect { session_expiry_s: Some(seconds), ..Disconnect::with(ReasonCode::Success) };
    // To 0: the session ends at once.
    let client_id = cx.client_id();
    cx.session(&client_id, false).await?.disconnect_with(ends(0)).await?;
    cx.session(&client_id, false).await?.disconnect().await?;
    // From a second to a minute: it is there after two.
    let client_id = cx.client_id();
    let connect = Connect { session_expiry_s: Some(1), ..cx.lasting(&client_id) };
    cx.accepted(connect).await?.0.disconnect_with(ends(60)).await?;
    sleep(Duration::from_millis(2_500)).await;
    cx.session(&client_id, true).await?.disconnect().await
}

/// 0 in CONNECT and something else in DISCONNECT is a Protocol Error (3.14.2.2.2).
async fn disconnect_cannot_start_an_expiry(cx: &Context) -> Outcome {
    let (mut client, _) = cx.accepted(cx.clean()).await?;
    let disconnect = Disconnect { session_expiry_s: Some(60), ..Disconnect::with(ReasonCode::Success) };
    client.send(&Packet::Disconnect(disconnect)).await?;
    if let Some(disconnect) = client.closed().await? {
        ensure!(disconnect.reason == ReasonCode::ProtocolError, "DISCONNECT {}", disconnect.reason);
    }
    Ok(())
}

async fn messages_reach_every_session(cx: &Context) -> Outcome {
    let topic = cx.topic("a/b");
    let filters = [topic.clone(), cx.topic("#"), cx.topic("a/+"), cx.topic("+/b")];
    let mut online = Vec::new();
    let mut offline = Vec::new();
    for filter in &filters {
        online.push(cx.subscriber(filter, AtLeastOnce).await?);
        let client_id = cx.client_id();
        cx.leave_session(&client_id, filter, AtLeastOnce).await?;
        offline.push(client_id);
    }
    for payload in ["one", "two", "three"] {
        cx.publish(&topic, payload, AtLeastOnce).await?;
    }
    for client_id in offline {
        online.push(cx.session(&client_id, true).await?);
    }
    for mut client in online {
        let came = payloads(&client.receive_many(3).await?);
        ensure!(came == ["one", "two", "three"], "{came:?} came");
        client.silent().await?;
        client.disconnect().await?;
    }
    Ok(())
}

/// What the server has of a QoS 2 exchange with a sender is part of the session.
async fn exactly_once_outlives_the_connection(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    let mut sender = cx.session(&client_id, false).await?;
    let publish = Publish { packet_id: Some(id(77)), ..message(&topic, "once", ExactlyOnce) };
    sender.send(&Packet::Publish(publish.clone())).await?;
    sender.pubrec(id(77)).await?;
    sender.vanish();
    let mut sender = cx.session(&client_id, true).await?;
    sender.send(&Packet::Publish(Publish { dup: true, ..publish })).await?;
    let again = sender.pubrec(id(77)).await?;
    ensure!(!again.reason.is_error(), "the repeated PUBLISH is refused: {}", again.reason);
    sender.send(&Packet::PubRel(Ack::success(id(77)))).await?;
    sender.pubcomp(id(77)).await?;
    subscriber.receive_payload("once").await?;
    subscriber.silent().await?;
    sender.disconnect().await
}
