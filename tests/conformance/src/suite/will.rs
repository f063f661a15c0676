//! Wills.

use super::prelude::*;
use tokio::time::{Instant, sleep};

tests! {
    will_when_the_connection_is_lost: ["3.1.2-8" "3.1.2-9" "3.1.2-14"] ["3.1.2-7" "3.1.2-8" "3.1.2-9" "3.1.2-12"];
    will_after_a_protocol_error: ["3.1.2-8"] ["3.1.2-8"];
    will_after_a_takeover: ["3.1.2-8"] ["3.1.2-8"];
    no_will_after_disconnect: ["3.1.2-10" "3.14.4-3"] ["3.1.2-10" "3.14.4-3"];
    will_is_published_once: ["3.1.2-10"] ["3.1.2-10"];
    no_will_without_will_flag: ["3.1.2-12"] [];
    will_is_not_retained: ["3.1.2-16"] ["3.1.2-14"];
    will_is_retained: ["3.1.2-17"] ["3.1.2-15"];
    will_after_disconnect_with_will: [] ["3.1.2-8" "3.14.4-3"];
    will_delay: [] ["3.1.2-8"];
    will_delay_ends_with_the_session: [] ["3.1.2-8"];
    no_will_delay_without_a_session: [] ["3.1.2-8"];
    will_delay_ends_with_a_new_connection: [] ["3.1.3-9" "3.1.2-8"];
    will_properties: [] ["3.1.3-10"];
}

async fn will_when_the_connection_is_lost(cx: &Context) -> Outcome {
    let topic = cx.topic("w");
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    for qos in EVERY_QOS {
        let payload = format!("QoS {}", qos as u8);
        let connect = Connect { will: Some(will(&topic, &payload, qos)), ..cx.clean() };
        let (mut client, _) = cx.accepted(connect).await?;
        client.ping().await?;
        subscriber.silent().await?;
        client.vanish();
        let message = subscriber.receive_payload(payload).await?;
        ensure!(message.qos == qos, "a will of QoS {} comes with QoS {}", qos as u8, message.qos as u8);
        ensure!(!message.retain, "RETAIN in a will that is not retained");
    }
    subscriber.silent().await
}

async fn will_after_a_protocol_error(cx: &Context) -> Outcome {
    let topic = cx.topic("w");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let connect = Connect { will: Some(will(&topic, "w", AtLeastOnce)), ..cx.clean() };
    let (mut client, _) = cx.accepted(connect).await?;
    // A packet type that does not exist.
    client.raw(&wire::packet(0x00, &[])).await?;
    client.closed_with(MALFORMED).await?;
    subscriber.receive_payload("w").await?;
    subscriber.silent().await
}

async fn will_after_a_takeover(cx: &Context) -> Outcome {
    let topic = cx.topic("w");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let connect = Connect { will: Some(will(&topic, "first", AtLeastOnce)), ..cx.clean() };
    let (mut first, _) = cx.accepted(connect.clone()).await?;
    let (second, _) = cx.accepted(Connect { will: None, ..connect }).await?;
    first.closed_with(&[ReasonCode::SessionTakenOver]).await?;
    subscriber.receive_payload("first").await?;
    second.vanish();
    subscriber.silent().await
}

async fn no_will_after_disconnect(cx: &Context) -> Outcome {
    let topic = cx.topic("w");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    for qos in EVERY_QOS {
        let connect = Connect { will: Some(will(&topic, "w", qos)), ..cx.clean() };
        cx.accepted(connect).await?.0.disconnect().await?;
    }
    subscriber.silent().await
}

async fn will_is_published_once(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("w"));
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let connect = Connect { will: Some(will(&topic, "w", AtLeastOnce)), ..cx.lasting(&client_id) };
    cx.accepted(connect).await?.0.vanish();
    subscriber.receive_payload("w").await?;
    // The session goes on, without a will.
    cx.session(&client_id, true).await?.vanish();
    subscriber.silent().await
}

async fn no_will_without_will_flag(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("w"));
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let connect = Connect { will: Some(will(&topic, "w", AtLeastOnce)), ..cx.lasting(&client_id) };
    cx.accepted(connect).await?.0.disconnect().await?;
    cx.session(&client_id, true).await?.vanish();
    subscriber.silent().await
}

async fn will_is_not_retained(cx: &Context) -> Outcome {
    let topic = cx.topic("w");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let connect = Connect { will: Some(will(&topic, "w", AtLeastOnce)), ..cx.clean() };
    cx.accepted(connect).await?.0.vanish();
    subscriber.receive_payload("w").await?;
    let found = payloads(&cx.retained_on(&topic).await?);
    ensure!(found.is_empty(), "{found:?} is retained");
    Ok(())
}

async fn will_is_retained(cx: &Context) -> Outcome {
    let topic = cx.topic("w");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    cx.will_be_retained(&topic);
    let mut retained = will(&topic, "w", AtLeastOnce);
    retained.retain = true;
    cx.accepted(Connect { will: Some(retained), ..cx.clean() }).await?.0.vanish();
    subscriber.receive_payload("w").await?;
    let found = cx.retained_on(&topic).await?;
    ensure!(payloads(&found) == ["w"], "{:?} is retained", payloads(&found));
    ensure!(found[0].retain, "the will comes to a new subscriber without RETAIN");
    Ok(())
}

async fn will_after_disconnect_with_will(cx: &Context) -> Outcome {
    let topic = cx.topic("w");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let connect = Connect { will: Some(will(&topic, "w", AtLeastOnce)), ..cx.clean() };
    let (client, _) = cx.accepted(connect).await?;
    client.disconnect_with(Disconnect::with(ReasonCode::DisconnectWithWill)).await?;
    subscriber.receive_payload("w").await?;
    Ok(())
}

async fn will_delay(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("w"));
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let mut delayed = will(&topic, "w", AtLeastOnce);
    delayed.delay_s = Some(2);
    let (client, _) = cx.accepted(Connect { will: Some(delayed), ..cx.lasting(&client_id) }).await?;
    let lost = Instant::now();
    client.vanish();
    subscriber.receive_payload("w").await?;
    // Servers count in whole seconds, so one of two may be short by nearly one.
    let passed = lost.elapsed();
    ensure!(passed > Duration::from_millis(950), "a will with a delay of 2 s comes after {passed:?}");
    Ok(())
}

async fn will_delay_ends_with_the_session(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("w"));
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let mut delayed = will(&topic, "w", AtLeastOnce);
    delayed.delay_s = Some(120);
    let connect = Connect { session_expiry_s: Some(1), will: Some(delayed), ..cx.lasting(&client_id) };
    cx.accepted(connect).await?.0.vanish();
    subscriber.receive_payload("w").await?;
    Ok(())
}

/// A session that ends with its connection leaves no delay at all.
async fn no_will_delay_without_a_session(cx: &Context) -> Outcome {
    let topic = cx.topic("w");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let mut delayed = will(&topic, "w", AtLeastOnce);
    delayed.delay_s = Some(120);
    cx.accepted(Connect { will: Some(delayed), ..cx.clean() }).await?.0.vanish();
    subscriber.receive_payload("w").await?;
    Ok(())
}

async fn will_delay_ends_with_a_new_connection(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("w"));
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let mut delayed = will(&topic, "w", AtLeastOnce);
    delayed.delay_s = Some(2);
    cx.accepted(Connect { will: Some(delayed), ..cx.lasting(&client_id) }).await?.0.vanish();
    let client = cx.session(&client_id, true).await?;
    sleep(Duration::from_millis(3_500)).await;
    subscriber.silent().await?;
    client.disconnect().await
}

async fn will_properties(cx: &Context) -> Outcome {
    let topic = cx.topic("w");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let names = ["b", "a", "b", "c", "a"];
    let properties = PublishProperties {
        payload_is_utf8: Some(true),
        response_topic: Some(cx.topic("answer").into()),
        correlation_data: Some(Bytes::from_static(b"\0\xFF")),
        content_type: Some("text/plain".into()),
        user_properties: names
            .iter()
            .enumerate()
            .map(|(n, name)| ((*name).into(), n.to_string().into()))
            .collect(),
        ..PublishProperties::default()
    };
    let mut with_properties = will(&topic, "w", AtLeastOnce);
    with_properties.properties = properties.clone();
    cx.accepted(Connect { will: Some(with_properties), ..cx.clean() }).await?.0.vanish();
    let message = subscriber.receive_payload("w").await?;
    ensure!(message.properties == properties, "{:?} came, {properties:?} was the will's", message.properties);
    Ok(())
}
