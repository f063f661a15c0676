//! Message expiry (5).

use super::prelude::*;
use tokio::time::sleep;

tests! {
    expired_message_is_deleted: [] ["3.3.2-5"];
    expired_retained_message_is_deleted: [] ["3.3.2-5"];
    expiry_counts_down: [] ["3.3.2-6"];
    expiry_does_not_end_a_delivery: [] ["4.3.3-7"];
    expiry_does_not_end_an_exchange: [] ["4.3.3-13"];
}

fn expiring(topic: &str, payload: &str, qos: QoS, seconds: u32) -> Publish {
    let properties = PublishProperties { message_expiry_s: Some(seconds), ..PublishProperties::default() };
    Publish { properties, ..message(topic, payload.to_owned(), qos) }
}

async fn expired_message_is_deleted(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    cx.leave_session(&client_id, &topic, ExactlyOnce).await?;
    for qos in [AtLeastOnce, ExactlyOnce] {
        cx.publish_message(expiring(&topic, "gone", qos, 1)).await?;
        cx.publish(&topic, "stays", qos).await?;
    }
    sleep(Duration::from_millis(2_500)).await;
    let mut client = cx.session(&client_id, true).await?;
    let came = payloads(&client.receive_many(2).await?);
    ensure!(came == ["stays", "stays"], "{came:?} came after one had expired");
    client.silent().await?;
    client.disconnect().await
}

async fn expired_retained_message_is_deleted(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    cx.retain_message(Publish { retain: true, ..expiring(&topic, "gone", AtLeastOnce, 1) }).await?;
    let found = payloads(&cx.retained_on(&topic).await?);
    ensure!(found == ["gone"], "{found:?} is retained before it expires");
    sleep(Duration::from_millis(2_500)).await;
    let found = payloads(&cx.retained_on(&topic).await?);
    ensure!(found.is_empty(), "{found:?} is retained after it has expired");
    Ok(())
}

async fn expiry_counts_down(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    cx.leave_session(&client_id, &topic, AtLeastOnce).await?;
    let mut live = cx.subscriber(&topic, AtLeastOnce).await?;
    cx.retain_message(Publish { retain: true, ..expiring(&topic, "x", AtLeastOnce, 60) }).await?;
    let expiry = live.receive_payload("x").await?.properties.message_expiry_s;
    ensure!(matches!(expiry, Some(59 | 60)), "Message Expiry Interval {expiry:?} of 60 at once");
    sleep(Duration::from_millis(2_500)).await;
    let mut client = cx.session(&client_id, true).await?;
    let expiry = client.receive_payload("x").await?.properties.message_expiry_s;
    ensure!(matches!(expiry, Some(56..=58)), "Message Expiry Interval {expiry:?} of 60 after 2.5 s offline");
    client.disconnect().await?;
    let found = cx.retained_on(&topic).await?;
    let expiry = found.first().and_then(|message| message.properties.message_expiry_s);
    ensure!(matches!(expiry, Some(54..=58)), "Message Expiry Interval {expiry:?} of 60 after 2.5 s retained");
    Ok(())
}

/// A message that was sent once is sent again after a reconnect, however late.
async fn expiry_does_not_end_a_delivery(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let mut client = cx.session(&client_id, false).await?;
    client.subscribe(&topic, ExactlyOnce).await?;
    cx.publish_message(expiring(&topic, "sent", ExactlyOnce, 1)).await?;
    let first = client.delivery().await?;
    client.vanish();
    sleep(Duration::from_millis(2_500)).await;
    let mut client = cx.session(&client_id, true).await?;
    let again = client.receive_payload("sent").await?;
    ensure!(again.dup && again.packet_id == first.packet_id, "not the same delivery again");
    client.disconnect().await
}

/// The receiver of a QoS 2 message that expires before its PUBREL still answers with PUBCOMP.
async fn expiry_does_not_end_an_exchange(cx: &Context) -> Outcome {
    let mut client = cx.connect().await?;
    let publish = Publish { packet_id: Some(id(9)), ..expiring(&cx.topic("t"), "x", ExactlyOnce, 1) };
    client.send(&Packet::Publish(publish)).await?;
    client.pubrec(id(9)).await?;
    client.silent_for(Duration::from_millis(2_200)).await?;
    client.send(&Packet::PubRel(Ack::success(id(9)))).await?;
    let pubcomp = client.pubcomp(id(9)).await?;
    ensure!(
        pubcomp.reason == ReasonCode::Success,
        "PUBCOMP {} after the message has expired",
        pubcomp.reason
    );
    Ok(())
}
