//! Shared subscriptions (5).

use super::{matching::filter_is_refused, prelude::*};

tests! {
    share_names: [] ["4.8.2-1" "4.8.2-2"];
    no_local_on_a_shared_subscription: [] ["3.8.3-4"];
    each_message_goes_to_one_member: [] ["4.8.2-1"];
    shared_delivery_has_the_granted_qos: [] ["4.8.2-3"];
    shared_delivery_is_completed: [] ["4.8.2-4"];
    shared_delivery_ends_with_its_session: [] ["4.8.2-5"];
    refused_shared_delivery_goes_to_nobody: [] ["4.8.2-6"];
}

/// The shared filter of a test, if the server has shared subscriptions.
async fn shared(cx: &Context, topic: &str) -> Outcome<String> {
    let (_, connack) = cx.accepted(cx.clean()).await?;
    if connack.properties.shared_subscription_available == Some(false) {
        unsupported!("no shared subscriptions");
    }
    Ok(format!("$share/group{}/{topic}", cx.random()))
}

async fn share_names(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    shared(cx, &topic).await?;
    for wrong in ["$share", "$share/", "$share/group", "$share/group/"] {
        filter_is_refused(cx, wrong.as_bytes(), 0).await?;
    }
    for wrong in ["$share//", "$share/a+/", "$share/+/", "$share/#/", "$share/a#b/"] {
        filter_is_refused(cx, format!("{wrong}{topic}").as_bytes(), 0).await?;
    }
    Ok(())
}

async fn no_local_on_a_shared_subscription(cx: &Context) -> Outcome {
    let filter = shared(cx, &cx.topic("t")).await?;
    let packet = wire::subscribe(cx.version, 0x82, 1, &[(filter.as_bytes(), 0x04)]);
    cx.rejects(&packet, PROTOCOL_ERROR).await
}

async fn each_message_goes_to_one_member(cx: &Context) -> Outcome {
    const MESSAGES: usize = 30;
    let topic = cx.topic("t");
    let filter = shared(cx, &cx.topic("+")).await?;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(cx.subscriber(&filter, AtLeastOnce).await?);
    }
    // Another group and a plain subscription each have their own copy.
    let mut other = cx.subscriber(&filter.replace("$share/group", "$share/other"), AtLeastOnce).await?;
    let mut plain = cx.subscriber(&topic, AtLeastOnce).await?;
    let mut publisher = cx.connect().await?;
    for n in 0..MESSAGES {
        publisher.publish(&topic, n.to_string(), AtLeastOnce).await?;
    }
    for client in [&mut other, &mut plain] {
        let came = client.receive_many(MESSAGES).await?;
        let expected: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
        ensure!(payloads(&came) == expected, "{:?} came", payloads(&came));
        client.silent().await?;
    }
    let mut came = Vec::new();
    for member in &mut members {
        member.ping().await?;
        while let Some(message) = member.stashed() {
            member.acknowledge(&message).await?;
            came.push(message);
        }
        while let Some(message) = member.receive_within(Duration::from_millis(500)).await? {
            came.push(message);
        }
    }
    let mut numbers: Vec<usize> = payloads(&came).iter().filter_map(|payload| payload.parse().ok()).collect();
    numbers.sort_unstable();
    ensure!(numbers == Vec::from_iter(0..MESSAGES), "the members got {numbers:?}");
    Ok(())
}

async fn shared_delivery_has_the_granted_qos(cx: &Context) -> Outcome {
    for granted in EVERY_QOS {
        let topic = cx.topic(&format!("t{}", granted as u8));
        let filter = shared(cx, &topic).await?;
        let mut member = cx.subscriber(&filter, granted).await?;
        for published in EVERY_QOS {
            cx.publish(&topic, "x", published).await?;
            let came = member.receive_payload("x").await?.qos;
            ensure!(
                came == published.min(granted),
                "QoS {} came of a publish with {} and a subscription to {}",
                came as u8,
                published as u8,
                granted as u8
            );
        }
    }
    Ok(())
}

/// A member that was sent a message and has not acknowledged it, and another that came later.
async fn one_holds(cx: &Context, qos: QoS) -> Outcome<(String, Client, Client, Publish)> {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let filter = shared(cx, &topic).await?;
    let mut first = cx.session(&client_id, false).await?;
    first.subscribe(&filter, ExactlyOnce).await?;
    cx.publish(&topic, "held", qos).await?;
    let message = first.delivery().await?;
    let second = cx.subscriber(&filter, ExactlyOnce).await?;
    Ok((client_id, first, second, message))
}

async fn shared_delivery_is_completed(cx: &Context) -> Outcome {
    let (client_id, first, mut second, message) = one_holds(cx, ExactlyOnce).await?;
    first.vanish();
    second.silent().await?;
    let mut first = cx.session(&client_id, true).await?;
    let again = first.receive_payload("held").await?;
    ensure!(again.packet_id == message.packet_id && again.dup, "not the same delivery again");
    first.disconnect().await?;
    second.silent().await
}

async fn shared_delivery_ends_with_its_session(cx: &Context) -> Outcome {
    let (client_id, first, mut second, _) = one_holds(cx, ExactlyOnce).await?;
    first.vanish();
    // A clean start ends the session.
    let connect = Connect { client_id: client_id.into(), ..cx.clean() };
    let (mut client, _) = cx.accepted(connect).await?;
    client.silent().await?;
    second.silent().await
}

async fn refused_shared_delivery_goes_to_nobody(cx: &Context) -> Outcome {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let (client_id, mut first, mut second, message) = one_holds(cx, qos).await?;
        let Some(packet_id) = message.packet_id else { violation!("no packet id") };
        let error = Ack { reason: ReasonCode::UnspecifiedError, ..Ack::success(packet_id) };
        let packet = if qos == AtLeastOnce { Packet::PubAck(error) } else { Packet::PubRec(error) };
        first.send(&packet).await?;
        first.silent().await?;
        second.silent().await?;
        first.vanish();
        let mut first = cx.session(&client_id, true).await?;
        first.silent().await?;
        second.silent().await?;
        first.unsubscribe(&[&format!("$share/group{}/{}", cx.random(), cx.topic("t"))]).await?;
        first.disconnect().await?;
    }
    Ok(())
}
