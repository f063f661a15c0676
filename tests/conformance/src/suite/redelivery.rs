//! What is sent again after a reconnect, and what is not.

use super::prelude::*;

tests! {
    unacknowledged_is_sent_again: ["3.3.1-1" "4.4.0-1" "4.6.0-1"] ["3.3.1-1" "4.3.2-3" "4.3.3-3" "4.4.0-1"];
    pubrel_is_sent_again: ["4.3.3-1" "4.4.0-1"] ["4.3.3-5" "4.3.3-6" "4.4.0-1"];
    acknowledged_is_not_sent_again: ["4.4.0-1"] ["4.4.0-1"];
    nothing_is_sent_again_while_connected: [] ["4.4.0-1"];
    error_ends_a_delivery: [] ["4.4.0-2"];
}

async fn unacknowledged_is_sent_again(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let mut client = cx.session(&client_id, false).await?;
    client.subscribe(&topic, ExactlyOnce).await?;
    let mut publisher = cx.connect().await?;
    let mut first = Vec::new();
    for n in 0..6 {
        let qos = if n % 2 == 0 { AtLeastOnce } else { ExactlyOnce };
        publisher.publish(&topic, n.to_string(), qos).await?;
        first.push(client.delivery().await?);
    }
    client.vanish();
    let mut client = cx.session(&client_id, true).await?;
    let mut again = Vec::new();
    while again.len() < first.len() {
        let message = client.delivery().await?;
        ensure!(message.dup, "a message is sent again without DUP");
        again.push(message);
    }
    for message in &again {
        client.acknowledge(message).await?;
    }
    // Only messages of the same QoS have an order.
    for qos in [AtLeastOnce, ExactlyOnce] {
        let of = |messages: &[Publish]| -> Vec<(u16, Bytes)> {
            let of_qos = messages.iter().filter(|message| message.qos == qos);
            of_qos.map(|m| (m.packet_id.map_or(0, PacketId::get), m.payload.clone())).collect()
        };
        let (first, again) = (of(&first), of(&again));
        ensure!(first == again, "{again:?} is sent again in the place of {first:?}");
    }
    client.silent().await?;
    client.disconnect().await
}

async fn pubrel_is_sent_again(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let mut client = cx.session(&client_id, false).await?;
    client.subscribe(&topic, ExactlyOnce).await?;
    cx.publish(&topic, "x", ExactlyOnce).await?;
    let Some(packet_id) = client.delivery().await?.packet_id else { violation!("no packet id") };
    client.send(&Packet::PubRec(Ack::success(packet_id))).await?;
    client.pubrel(packet_id).await?;
    client.vanish();
    for _ in 0..2 {
        client = cx.session(&client_id, true).await?;
        match client.next().await? {
            Some(Packet::PubRel(ack)) if ack.packet_id == packet_id => {}
            other => violation!("PUBREL {packet_id} expected, {}", seen(other.as_ref())),
        }
        client.silent().await?;
        client.vanish();
    }
    let mut client = cx.session(&client_id, true).await?;
    client.pubrel(packet_id).await?;
    client.send(&Packet::PubComp(Ack::success(packet_id))).await?;
    client.silent().await?;
    client.disconnect().await?;
    let mut client = cx.session(&client_id, true).await?;
    client.silent().await?;
    client.disconnect().await
}

async fn acknowledged_is_not_sent_again(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let mut client = cx.session(&client_id, false).await?;
    client.subscribe(&topic, ExactlyOnce).await?;
    for qos in EVERY_QOS {
        cx.publish(&topic, "x", qos).await?;
        client.receive_payload("x").await?;
    }
    client.ping().await?;
    client.vanish();
    let mut client = cx.session(&client_id, true).await?;
    client.silent().await?;
    client.disconnect().await
}

async fn nothing_is_sent_again_while_connected(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut client = cx.subscriber(&topic, ExactlyOnce).await?;
    let mut publisher = cx.connect().await?;
    for qos in [AtLeastOnce, ExactlyOnce] {
        publisher.publish(&topic, "x", qos).await?;
        client.delivery().await?;
    }
    publisher.publish(&topic, "y", ExactlyOnce).await?;
    let Some(packet_id) = client.delivery().await?.packet_id else { violation!("no packet id") };
    client.send(&Packet::PubRec(Ack::success(packet_id))).await?;
    client.pubrel(packet_id).await?;
    client.silent_for(Duration::from_secs(12)).await
}

/// PUBACK or PUBREC with an error: the message is done with.
async fn error_ends_a_delivery(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let mut client = cx.session(&client_id, false).await?;
    client.subscribe(&topic, ExactlyOnce).await?;
    for qos in [AtLeastOnce, ExactlyOnce] {
        cx.publish(&topic, "x", qos).await?;
        let Some(packet_id) = client.delivery().await?.packet_id else { violation!("no packet id") };
        let error = Ack { reason: ReasonCode::ImplementationSpecificError, ..Ack::success(packet_id) };
        let packet = if qos == AtLeastOnce { Packet::PubAck(error) } else { Packet::PubRec(error) };
        client.send(&packet).await?;
        client.silent().await?;
    }
    client.vanish();
    let mut client = cx.session(&client_id, true).await?;
    client.silent().await?;
    cx.publish(&topic, "next", ExactlyOnce).await?;
    client.receive_payload("next").await?;
    client.disconnect().await
}
