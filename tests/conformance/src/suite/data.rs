//! How data is written (chapters 1 and 2 of both versions).

use super::prelude::*;

tests! {
    ill_formed_utf8: ["1.5.3-1" "3.3.2-1" "3.8.3-1" "3.10.3-1"] ["1.5.4-1" "3.3.2-1" "3.8.3-1" "3.10.3-1"];
    null_character: ["1.5.3-2" "4.7.3-2"] ["1.5.4-2" "4.7.3-2"];
    byte_order_mark_is_a_character: ["1.5.3-3"] ["1.5.4-3"];
    shortest_lengths: [] ["1.5.5-1"];
    user_property_is_utf8: [] ["1.5.7-1"];
    reserved_header_flags: ["2.2.2-1" "2.2.2-2"] ["2.1.3-1"];
    packet_id_is_not_0: ["2.3.1-1"] ["2.2.1-3"];
    qos_0_has_no_packet_id: ["2.3.1-5"] ["2.2.1-2"];
    server_assigns_unused_ids: ["2.3.1-4" "4.3.2-1" "4.3.3-1"] ["2.2.1-4" "4.3.2-1" "4.3.2-2" "4.3.3-1" "4.3.3-2"];
    acknowledgements_carry_the_id: ["2.3.1-6"] ["2.2.1-5"];
    suback_and_unsuback_carry_the_id: ["2.3.1-7" "3.8.4-2"] ["2.2.1-6" "3.8.4-2"];
    no_properties_is_a_length_of_0: [] ["2.2.2-1"];
    topic_is_the_first_field: ["3.3.2-1"] ["3.3.2-1"];
}

/// A surrogate, an overlong form, a sequence that is cut off, a byte that is none of UTF-8, a code point that is none.
const ILL_FORMED: [&[u8]; 5] = [b"\xED\xA0\x80", b"\xC0\xAF", b"\xE2\x82", b"\xFF", b"\xF4\x90\x80\x80"];

async fn ill_formed_utf8(cx: &Context) -> Outcome {
    let v = cx.version;
    let name_invalid = [ReasonCode::MalformedPacket, ReasonCode::TopicNameInvalid];
    let filter_invalid = [ReasonCode::MalformedPacket, ReasonCode::TopicFilterInvalid];
    for bad in ILL_FORMED {
        let topic = [cx.topic("").as_bytes(), bad].concat();
        cx.rejects(&wire::publish(v, 0, &topic, None, &[], b"x"), &name_invalid).await?;
        cx.rejects(&wire::subscribe(v, 0x82, 1, &[(&topic, 0)]), &filter_invalid).await?;
        cx.rejects(&wire::unsubscribe(v, 0xA2, 1, &[&topic]), &filter_invalid).await?;
    }
    Ok(())
}

async fn null_character(cx: &Context) -> Outcome {
    let v = cx.version;
    let topic = [cx.topic("a").as_bytes(), b"\0", b"b"].concat();
    let name_invalid = [ReasonCode::MalformedPacket, ReasonCode::TopicNameInvalid];
    let filter_invalid = [ReasonCode::MalformedPacket, ReasonCode::TopicFilterInvalid];
    cx.rejects(&wire::publish(v, 0, &topic, None, &[], b"x"), &name_invalid).await?;
    cx.rejects(&wire::publish(v, 2, &topic, Some(1), &[], b"x"), &name_invalid).await?;
    cx.rejects(&wire::subscribe(v, 0x82, 1, &[(&topic, 0)]), &filter_invalid).await?;
    cx.rejects(&wire::unsubscribe(v, 0xA2, 1, &[&topic]), &filter_invalid).await?;
    if cx.is_v5() {
        let property = wire::user_property("na\0me", "value");
        cx.rejects(&wire::publish(v, 0, cx.topic("t"), None, &property, b"x"), MALFORMED).await?;
    }
    Ok(())
}

async fn byte_order_mark_is_a_character(cx: &Context) -> Outcome {
    let marked = cx.topic("\u{FEFF}x\u{FEFF}");
    let mut subscriber = cx.subscriber(&marked, AtLeastOnce).await?;
    cx.publish(&cx.topic("x"), "without", AtLeastOnce).await?;
    cx.publish(&cx.topic("\u{FEFF}x"), "half", AtLeastOnce).await?;
    cx.publish(&marked, "with", AtLeastOnce).await?;
    let message = subscriber.receive_payload("with").await?;
    ensure!(message.topic == Some(topic_name(&marked)), "the topic came as {:?}", message.topic);
    subscriber.silent().await
}

/// Remaining Lengths on both sides of each border. The client refuses one that is not in its shortest form.
async fn shortest_lengths(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, AtMostOnce).await?;
    let mut publisher = cx.connect().await?;
    let around = 2 + topic.len() + 1;
    for remaining in [127, 128, 16_383, 16_384] {
        let payload = vec![b'x'; remaining - around];
        publisher.publish(&topic, payload.clone(), AtMostOnce).await?;
        subscriber.receive_payload(payload).await?;
        let header = if remaining < 128 {
            2
        } else if remaining < 16_384 {
            3
        } else {
            4
        };
        let length = subscriber.last_frame().len();
        ensure!(length == header + remaining, "{length} bytes for a Remaining Length of {remaining}");
    }
    // A fifth byte is never right.
    cx.rejects(
        &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
        &[ReasonCode::MalformedPacket, ReasonCode::PacketTooLarge],
    )
    .await
}

async fn user_property_is_utf8(cx: &Context) -> Outcome {
    for property in [wire::user_property(b"\xC3\x28", "v"), wire::user_property("n", b"\xED\xA0\x80")] {
        cx.rejects(&wire::publish(cx.version, 0, cx.topic("t"), None, &property, b"x"), MALFORMED).await?;
        let connect = wire::RawConnect::new(cx.version, cx.client_id()).properties(&property);
        cx.malformed(&connect.bytes(), MALFORMED).await?;
    }
    Ok(())
}

async fn reserved_header_flags(cx: &Context) -> Outcome {
    let v = cx.version;
    let topic = cx.topic("t");
    let mut wrong = vec![
        wire::packet(0xC1, &[]),
        wire::packet(0xE1, &[]),
        wire::packet(0x41, &[0, 1]),
        wire::packet(0x51, &[0, 1]),
        wire::packet(0x60, &[0, 1]),
        wire::packet(0x71, &[0, 1]),
        wire::subscribe(v, 0x80, 1, &[(topic.as_bytes(), 0)]),
        wire::unsubscribe(v, 0xA0, 1, &[topic.as_bytes()]),
    ];
    if cx.is_v5() {
        wrong.push(wire::packet(0xF1, &[]));
    }
    for packet in wrong {
        let outcome = cx.rejects(&packet, MALFORMED).await;
        outcome.map_err(|failure| context(failure, &format!("first byte 0x{:02X}", packet[0])))?;
    }
    let mut connect = wire::RawConnect::new(v, cx.client_id());
    connect.first = 0x11;
    cx.malformed(&connect.bytes(), MALFORMED).await
}

/// Says at which of several cases a test failed.
pub(super) fn context(failure: crate::Failure, case: &str) -> crate::Failure {
    match failure {
        crate::Failure::Violation(text) => crate::Failure::Violation(format!("{case}: {text}")),
        unsupported => unsupported,
    }
}

async fn packet_id_is_not_0(cx: &Context) -> Outcome {
    let (v, topic) = (cx.version, cx.topic("t"));
    let wrong = [
        wire::publish(v, 0x2, &topic, Some(0), &[], b"x"),
        wire::publish(v, 0x4, &topic, Some(0), &[], b"x"),
        wire::subscribe(v, 0x82, 0, &[(topic.as_bytes(), 0)]),
        wire::unsubscribe(v, 0xA2, 0, &[topic.as_bytes()]),
    ];
    for packet in wrong {
        let outcome = cx.rejects(&packet, PROTOCOL_ERROR).await;
        outcome.map_err(|failure| context(failure, &format!("first byte 0x{:02X}", packet[0])))?;
    }
    Ok(())
}

async fn qos_0_has_no_packet_id(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, AtMostOnce).await?;
    for qos in EVERY_QOS {
        cx.publish(&topic, "payload", qos).await?;
        subscriber.receive_payload("payload").await?;
        let properties = usize::from(cx.is_v5());
        let length = 2 + 2 + topic.len() + properties + "payload".len();
        let came = subscriber.last_frame().len();
        ensure!(came == length, "a PUBLISH of QoS 0 has {came} bytes, {length} without a packet id");
    }
    Ok(())
}

async fn server_assigns_unused_ids(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    let mut publisher = cx.connect().await?;
    let mut unacknowledged = Vec::new();
    for round in 0..4 {
        for qos in [AtLeastOnce, ExactlyOnce, AtLeastOnce] {
            publisher.publish(&topic, "x", qos).await?;
            let message = subscriber.delivery().await?;
            ensure!(!message.dup, "DUP in a first delivery");
            ensure!(message.qos == qos, "QoS {} came, {} was published", message.qos as u8, qos as u8);
            let id = message.packet_id;
            ensure!(
                unacknowledged.iter().all(|other: &Publish| other.packet_id != id),
                "packet id {id:?} is given to two messages at once"
            );
            unacknowledged.push(message);
        }
        // Some are acknowledged, the oldest not: a counter that wraps or restarts would meet its id.
        if round % 2 == 1 {
            let message = unacknowledged.remove(1);
            subscriber.acknowledge(&message).await?;
        }
    }
    Ok(())
}

async fn acknowledgements_carry_the_id(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut client = cx.connect().await?;
    for packet_id in [1, 255, 256, 32_768, 65_535].map(id) {
        for qos in [AtLeastOnce, ExactlyOnce] {
            let publish = Publish { packet_id: Some(packet_id), ..message(&topic, "x", qos) };
            client.publish_message(publish).await?;
        }
    }
    // The server as the sender: its PUBREL has the id of its PUBLISH.
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    client.publish(&topic, "x", ExactlyOnce).await?;
    subscriber.receive_payload("x").await?;
    Ok(())
}

async fn suback_and_unsuback_carry_the_id(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut client = cx.connect().await?;
    for number in [1, 255, 256, 32_768, 65_535] {
        client.raw(&wire::subscribe(cx.version, 0x82, number, &[(topic.as_bytes(), 0)])).await?;
        client.suback(id(number)).await?;
        client.raw(&wire::unsubscribe(cx.version, 0xA2, number, &[topic.as_bytes()])).await?;
        client.unsuback(id(number)).await?;
    }
    Ok(())
}

async fn no_properties_is_a_length_of_0(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, AtMostOnce).await?;
    cx.publish(&topic, "payload", AtMostOnce).await?;
    subscriber.receive_payload("payload").await?;
    let frame = subscriber.last_frame();
    let at = 2 + 2 + topic.len();
    ensure!(frame.get(at) == Some(&0), "no Property Length of 0 in {frame:02X?}");
    // A CONNECT that ends where its Property Length should be.
    let mut connect = wire::RawConnect::new(cx.version, "");
    connect.properties = Vec::new();
    connect.payload = Vec::new();
    cx.malformed(&connect.bytes(), MALFORMED).await
}

async fn topic_is_the_first_field(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    for qos in [AtMostOnce, AtLeastOnce] {
        cx.publish(&topic, "payload", qos).await?;
        subscriber.receive_payload("payload").await?;
        let frame = subscriber.last_frame();
        ensure!(frame[2..].starts_with(&wire::field(&topic)), "the topic is not first in {frame:02X?}");
    }
    Ok(())
}
