//! Flow control: Receive Maximum both ways (5).

use super::prelude::*;

tests! {
    receive_maximum_of_the_client: [] ["3.3.4-9" "4.9.0-1" "4.9.0-2"];
    qos_2_keeps_its_place_until_pubcomp: [] ["4.9.0-2"];
    error_gives_the_place_back: [] ["4.9.0-2"];
    other_packets_do_not_wait: [] ["3.3.4-10" "4.9.0-3"];
    receive_maximum_outlives_a_reconnect: [] ["3.3.4-9"];
    receive_maximum_of_the_server: [] ["3.3.4-7"];
}

async fn limited(cx: &Context, maximum: u16, topic: &str) -> Outcome<Client> {
    let (mut client, _) = cx.accepted(Connect { receive_maximum: Some(maximum), ..cx.clean() }).await?;
    client.subscribe(topic, ExactlyOnce).await?;
    Ok(client)
}

async fn receive_maximum_of_the_client(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut client = limited(cx, 3, &topic).await?;
    let mut publisher = cx.connect().await?;
    for n in 0..8 {
        publisher.publish(&topic, n.to_string(), AtLeastOnce).await?;
    }
    let mut waiting = Vec::new();
    for n in 0..8 {
        // Full: three in flight, and the next comes only for an acknowledgement.
        while waiting.len() < 3.min(8 - n) {
            waiting.push(client.delivery().await?);
        }
        client.silent().await?;
        let message = waiting.remove(0);
        ensure!(message.payload == n.to_string(), "{:?} came in the place of {n}", message.payload);
        client.acknowledge(&message).await?;
    }
    client.silent().await
}

async fn qos_2_keeps_its_place_until_pubcomp(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut client = limited(cx, 1, &topic).await?;
    for payload in ["one", "two"] {
        cx.publish(&topic, payload, ExactlyOnce).await?;
    }
    let Some(packet_id) = client.delivery().await?.packet_id else { violation!("no packet id") };
    client.send(&Packet::PubRec(Ack::success(packet_id))).await?;
    client.pubrel(packet_id).await?;
    client.silent().await?;
    client.send(&Packet::PubComp(Ack::success(packet_id))).await?;
    client.receive_payload("two").await?;
    Ok(())
}

async fn error_gives_the_place_back(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut client = limited(cx, 1, &topic).await?;
    for payload in ["one", "two"] {
        cx.publish(&topic, payload, ExactlyOnce).await?;
    }
    let Some(packet_id) = client.delivery().await?.packet_id else { violation!("no packet id") };
    client.silent().await?;
    let error = Ack { reason: ReasonCode::UnspecifiedError, ..Ack::success(packet_id) };
    client.send(&Packet::PubRec(error)).await?;
    client.receive_payload("two").await?;
    Ok(())
}

async fn other_packets_do_not_wait(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut client = limited(cx, 1, &topic).await?;
    for payload in ["one", "two"] {
        cx.publish(&topic, payload, AtLeastOnce).await?;
    }
    let held = client.delivery().await?;
    client.ping().await?;
    client.subscribe(&cx.topic("other"), AtMostOnce).await?;
    client.unsubscribe(&[&cx.topic("other")]).await?;
    client.publish(&cx.topic("elsewhere"), "x", AtLeastOnce).await?;
    client.publish(&cx.topic("elsewhere"), "x", ExactlyOnce).await?;
    client.silent().await?;
    client.acknowledge(&held).await?;
    client.receive_payload("two").await?;
    Ok(())
}

/// A resumed session, with another limit: no more than that is in flight.
async fn receive_maximum_outlives_a_reconnect(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let mut client = cx.session(&client_id, false).await?;
    client.subscribe(&topic, AtLeastOnce).await?;
    for n in 0..5 {
        cx.publish(&topic, n.to_string(), AtLeastOnce).await?;
        client.delivery().await?;
    }
    client.vanish();
    let connect = Connect { receive_maximum: Some(2), ..cx.lasting(&client_id) };
    let (mut client, _) = cx.accepted(connect).await?;
    let held = [client.delivery().await?, client.delivery().await?];
    client.silent().await?;
    for message in &held {
        client.acknowledge(message).await?;
    }
    let rest = payloads(&client.receive_many(3).await?);
    ensure!(rest == ["2", "3", "4"], "{rest:?} came");
    client.disconnect().await
}

/// More QoS 2 publishes than the server takes, none of them released.
async fn receive_maximum_of_the_server(cx: &Context) -> Outcome {
    const TRIED_MAX: u16 = 10_000;
    let (mut client, connack) = cx.accepted(cx.clean()).await?;
    let Some(maximum) = connack.properties.receive_maximum.filter(|maximum| *maximum <= TRIED_MAX) else {
        unsupported!("no Receive Maximum, or one above {TRIED_MAX}");
    };
    for number in 1..=maximum {
        let publish = Publish { packet_id: Some(id(number)), ..message(&cx.topic("t"), "x", ExactlyOnce) };
        client.send(&Packet::Publish(publish)).await?;
        client.pubrec(id(number)).await?;
    }
    let publish = Publish { packet_id: Some(id(maximum + 1)), ..message(&cx.topic("t"), "x", ExactlyOnce) };
    client.send(&Packet::Publish(publish)).await?;
    if !cx.target.strict {
        // The specification has DISCONNECT 0x93 for it, without a MUST: a refusal of this one publish does as well.
        return match client.next().await? {
            Some(Packet::PubRec(ack)) if ack.packet_id == id(maximum + 1) && ack.reason.is_error() => Ok(()),
            Some(Packet::Disconnect(disconnect)) => {
                let exceeded = disconnect.reason == ReasonCode::ReceiveMaximumExceeded;
                ensure!(exceeded, "DISCONNECT {}", disconnect.reason);
                client.closed().await.map(drop)
            }
            None => Ok(()),
            other => violation!("a refusal expected, {}", seen(other.as_ref())),
        };
    }
    client.closed_with(&[ReasonCode::ReceiveMaximumExceeded]).await
}
