//! Maximum Packet Size both ways, and what may be left out to keep it (5).

use super::prelude::*;
use parlance_mqtt::encoded_len;

tests! {
    maximum_packet_size_of_the_client: [] ["3.1.2-24" "3.1.2-25"];
    maximum_packet_size_of_the_server: [] ["3.2.2-15"];
    small_connack: [] ["3.2.2-19" "3.2.2-20"];
    small_acknowledgements: [] ["3.4.2-2" "3.4.2-3" "3.5.2-2" "3.5.2-3" "3.6.2-2" "3.6.2-3" "3.7.2-2" "3.7.2-3"];
    small_suback_and_unsuback: [] ["3.9.2-1" "3.9.2-2" "3.11.2-1" "3.11.2-2"];
    small_disconnect: [] ["3.14.2-3" "3.14.2-4"];
    no_problem_information: [] ["3.1.2-29"];
}

/// A packet without any property that a server may leave out is not larger than this. The client refuses what is.
const SMALL: u32 = 16;

/// Connects with the smallest Maximum Packet Size that leaves room for this server's CONNACK.
async fn connect_small(cx: &Context) -> Outcome<(Client, u32)> {
    let (_, connack) = cx.accepted(cx.clean()).await?;
    let mut bare = connack;
    bare.properties.reason_string = None;
    bare.properties.user_properties.clear();
    let needed = encoded_len(&Packet::ConnAck(Box::new(bare)), cx.version)
        .map_err(|error| crate::Failure::Violation(error.to_string()))?;
    let limit = u32::try_from(needed).unwrap_or(u32::MAX).max(SMALL);
    let (client, _) = cx.accepted(Connect { maximum_packet_size: Some(limit), ..cx.clean() }).await?;
    Ok((client, limit))
}

async fn maximum_packet_size_of_the_client(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    // One message in flight: were a discarded one still counted, the next would never come.
    let connect = Connect { maximum_packet_size: Some(200), receive_maximum: Some(1), ..cx.clean() };
    let (mut small, _) = cx.accepted(connect).await?;
    small.subscribe(&topic, ExactlyOnce).await?;
    let mut large = cx.subscriber(&topic, ExactlyOnce).await?;
    // With its fixed header, topic, packet id and Property Length exactly 200 bytes.
    let exact = "e".repeat(200 - 3 - 2 - topic.len() - 2 - 1);
    let above = format!("{exact}e");
    for qos in [AtLeastOnce, ExactlyOnce] {
        for payload in [above.as_str(), &"a".repeat(5_000), &exact] {
            cx.publish(&topic, payload.to_owned(), qos).await?;
            large.receive_payload(payload).await?;
        }
        small.receive_payload(&exact).await?;
    }
    cx.publish(&topic, "a".repeat(5_000), AtMostOnce).await?;
    cx.publish(&topic, "small", AtMostOnce).await?;
    small.receive_payload("small").await?;
    small.silent().await
}

async fn maximum_packet_size_of_the_server(cx: &Context) -> Outcome {
    const TRIED_BYTES_MAX: u32 = 32 << 20;
    let topic = cx.topic("t");
    let (mut client, connack) = cx.accepted(cx.clean()).await?;
    let Some(limit) = connack.properties.maximum_packet_size.filter(|limit| *limit <= TRIED_BYTES_MAX) else {
        unsupported!("no Maximum Packet Size, or one above 32 MiB");
    };
    // The header alone says it; the server need not wait for the rest.
    let mut header = vec![0x30];
    wire::varint(&mut header, limit as usize);
    header.extend(wire::field(topic));
    client.raw(&header).await?;
    client.closed_with(&[ReasonCode::PacketTooLarge]).await
}

async fn small_connack(cx: &Context) -> Outcome {
    connect_small(cx).await?.0.ping().await?;
    // A refusal, too.
    let mut client = cx.open().await?;
    let connect = Connect {
        maximum_packet_size: Some(SMALL),
        authentication_method: Some("no such method".into()),
        ..cx.clean()
    };
    client.send(&Packet::Connect(Box::new(connect))).await?;
    let answer = client.any_bytes().await?;
    ensure!(answer.len() <= SMALL as usize, "a refusal of {} bytes, {SMALL} are allowed", answer.len());
    Ok(())
}

async fn small_acknowledgements(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let (mut client, _) = connect_small(cx).await?;
    for qos in [AtLeastOnce, ExactlyOnce] {
        // Nobody subscribes, which is a reason that could be explained; neither may this topic be written.
        client.try_publish(message(&topic, "x", qos)).await?;
        client.try_publish(message("$SYS/conformance", "x", qos)).await?;
    }
    client.send(&Packet::PubRel(Ack::success(id(999)))).await?;
    client.pubcomp(id(999)).await?;
    client.send(&Packet::PubRec(Ack::success(id(998)))).await?;
    client.pubrel(id(998)).await?;
    client.ping().await
}

async fn small_suback_and_unsuback(cx: &Context) -> Outcome {
    let (mut client, _) = connect_small(cx).await?;
    let filters = ["$SYS/#", "#", "$share/g/t"].map(|filter| subscription(filter, AtMostOnce));
    for filter in filters {
        client.try_subscribe(vec![filter], None).await?;
    }
    client.unsubscribe(&[&cx.topic("never subscribed")]).await?;
    Ok(())
}

async fn small_disconnect(cx: &Context) -> Outcome {
    let wrong = [
        wire::packet(0x00, &[]),
        wire::packet(0x36, &[0, 1, b't', 0, 1, 0]),
        wire::subscribe(cx.version, 0x82, 1, &[]),
    ];
    for packet in wrong {
        let (mut client, _) = connect_small(cx).await?;
        client.raw(&packet).await?;
        client.closed().await?;
    }
    Ok(())
}

/// Neither a Reason String nor a User Property in acknowledgements.
async fn no_problem_information(cx: &Context) -> Outcome {
    let connect = Connect { request_problem_information: Some(false), ..cx.clean() };
    let (mut client, _) = cx.accepted(connect).await?;
    let topic = cx.topic("t");
    for (number, topic) in [(1, topic.as_str()), (3, "$SYS/conformance")] {
        for (number, qos) in [(number, AtLeastOnce), (number + 1, ExactlyOnce)] {
            let publish = Publish { packet_id: Some(id(number)), ..message(topic, "x", qos) };
            client.send(&Packet::Publish(publish)).await?;
            let ack = match qos {
                AtLeastOnce => client.puback(id(number)).await?,
                _ => client.pubrec(id(number)).await?,
            };
            bare(ack.reason_string.as_ref(), ack.user_properties.len())?;
        }
    }
    client.send(&Packet::PubRel(Ack::success(id(999)))).await?;
    let pubcomp = client.pubcomp(id(999)).await?;
    bare(pubcomp.reason_string.as_ref(), pubcomp.user_properties.len())?;
    let filters = vec![subscription(&topic, AtLeastOnce), subscription("$SYS/#", AtMostOnce)];
    let suback = client.try_subscribe(filters, None).await?;
    bare(suback.reason_string.as_ref(), suback.user_properties.len())?;
    let unsuback = client.unsubscribe(&[&cx.topic("never subscribed"), "$SYS/#"]).await?;
    bare(unsuback.reason_string.as_ref(), unsuback.user_properties.len())
}

fn bare(reason_string: Option<&Bytes>, user_properties: usize) -> Outcome {
    ensure!(reason_string.is_none(), "the Reason String {reason_string:?} that nobody wants");
    ensure!(user_properties == 0, "{user_properties} User Properties that nobody wants");
    Ok(())
}
