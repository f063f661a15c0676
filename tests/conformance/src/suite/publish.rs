//! PUBLISH: its flags, its topic, and the properties that travel with it.

use super::prelude::*;

tests! {
    qos_0_has_no_dup: ["3.3.1-2" "4.3.1-1"] ["3.3.1-2" "4.3.1-1"];
    dup_is_not_passed_on: ["3.3.1-3"] ["3.3.1-3"];
    both_qos_bits: ["3.3.1-4"] ["3.3.1-4"];
    wildcards_in_a_topic_name: ["3.3.2-2" "4.7.1-1"] ["3.3.2-2" "4.7.0-1"];
    delivered_topics_match: ["3.3.2-3"] ["3.3.2-3"];
    properties_are_carried: [] ["3.3.2-4" "3.3.2-15" "3.3.2-16" "3.3.2-17" "3.3.2-18" "3.3.2-20"];
    properties_are_stored: [] ["3.3.2-4" "3.3.2-15" "3.3.2-16" "3.3.2-17" "3.3.2-18" "3.3.2-20"];
    response_topic_is_utf8: [] ["3.3.2-13"];
    response_topic_has_no_wildcard: [] ["3.3.2-14"];
    content_type_is_utf8: [] ["3.3.2-19"];
    subscription_identifier_from_a_client: [] ["3.3.4-6"];
    answers_to_each_qos: ["3.3.4-1"] ["3.3.4-1"];
    publish_without_permission: ["3.3.5-2"] [];
    reason_codes_of_acknowledgements: [] ["3.4.2-1" "3.5.2-1" "3.6.2-1" "3.7.2-1"];
}

async fn qos_0_has_no_dup(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, AtMostOnce).await?;
    for qos in EVERY_QOS {
        for dup in [false, qos != AtMostOnce] {
            cx.publish_message(Publish { dup, ..message(&topic, "x", qos) }).await?;
            let came = subscriber.delivery().await?;
            ensure!(came.qos == AtMostOnce, "QoS {} to a subscription to QoS 0", came.qos as u8);
            ensure!(!came.dup, "DUP in a delivery of QoS 0");
        }
    }
    subscriber.silent().await
}

async fn dup_is_not_passed_on(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    for qos in [AtLeastOnce, ExactlyOnce] {
        cx.publish_message(Publish { dup: true, ..message(&topic, "x", qos) }).await?;
        let came = subscriber.receive_payload("x").await?;
        ensure!(!came.dup, "the publisher's DUP is passed on");
    }
    Ok(())
}

async fn both_qos_bits(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    for flags in [0x6, 0xE] {
        cx.rejects(&wire::publish(cx.version, flags, &topic, Some(1), &[], b"x"), MALFORMED).await?;
    }
    subscriber.silent().await
}

/// The server closes, or acknowledges with an error; in either case nobody gets the message.
pub(super) async fn is_refused(cx: &Context, qos_1_publish: &[u8], reasons: &[ReasonCode]) -> Outcome {
    let mut client = cx.connect().await?;
    client.raw(qos_1_publish).await?;
    match client.next().await? {
        Some(Packet::PubAck(ack)) if cx.is_v5() => {
            ensure!(reasons.contains(&ack.reason), "PUBACK {}, {reasons:?} expected", ack.reason);
            Ok(())
        }
        Some(Packet::Disconnect(disconnect)) => {
            ensure!(reasons.contains(&disconnect.reason), "DISCONNECT {}", disconnect.reason);
            client.closed().await?;
            Ok(())
        }
        None => Ok(()),
        other => violation!("a refusal expected, {}", seen(other.as_ref())),
    }
}

async fn wildcards_in_a_topic_name(cx: &Context) -> Outcome {
    let mut subscriber = cx.subscriber(&cx.topic("#"), AtLeastOnce).await?;
    let reasons = [ReasonCode::TopicNameInvalid, ReasonCode::MalformedPacket, ReasonCode::ProtocolError];
    for wrong in ["a/+", "a/#", "a+b", "+/a", "#"] {
        let publish = wire::publish(cx.version, 2, cx.topic(wrong), Some(1), &[], b"x");
        is_refused(cx, &publish, &reasons).await?;
    }
    subscriber.silent().await
}

async fn delivered_topics_match(cx: &Context) -> Outcome {
    let filters = ["a/+/c", "b/#", "d"].map(|filter| cx.topic(filter));
    let mut subscribers = Vec::new();
    for filter in &filters {
        subscribers.push(cx.subscriber(filter, AtLeastOnce).await?);
    }
    let mut publisher = cx.connect().await?;
    for topic in ["a/b/c", "a/c", "a/b/d", "b", "b/c", "b/c/d", "bb", "d", "d/e", "D", "a//c"] {
        publisher.publish(&cx.topic(topic), topic, AtLeastOnce).await?;
    }
    let expected: [&[&str]; 3] = [&["a/b/c", "a//c"], &["b", "b/c", "b/c/d"], &["d"]];
    for ((mut subscriber, expected), filter) in subscribers.into_iter().zip(expected).zip(filters) {
        let mut came = Vec::new();
        for message in subscriber.receive_many(expected.len()).await? {
            let topic = message.topic.as_ref().map_or("", |topic| topic.as_str());
            let payload = crate::client::text(&message.payload);
            ensure!(topic == cx.topic(&payload), "{payload:?} came on {topic:?}");
            came.push(payload);
        }
        came.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        ensure!(came == expected, "{came:?} came on {filter}, {expected:?} match");
        subscriber.silent().await?;
    }
    Ok(())
}

/// Everything that travels with a message, with values that a careless copy would change.
fn all_properties(cx: &Context) -> PublishProperties {
    let pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("a", "ä\u{FEFF}"), ("z", "3")];
    PublishProperties {
        payload_is_utf8: Some(true),
        response_topic: Some(cx.topic("answers/ä").into()),
        correlation_data: Some(Bytes::from_static(b"\0\x01\xFF\xFE")),
        content_type: Some("text/plain; charset=utf-8".into()),
        user_properties: pairs.map(|(name, value)| (name.into(), value.into())).to_vec(),
        ..PublishProperties::default()
    }
}

fn same_properties(came: &Publish, sent: &PublishProperties) -> Outcome {
    let came = &came.properties;
    ensure!(
        came.payload_is_utf8 == sent.payload_is_utf8,
        "Payload Format Indicator {:?}",
        came.payload_is_utf8
    );
    ensure!(came.response_topic == sent.response_topic, "Response Topic {:?}", came.response_topic);
    ensure!(came.correlation_data == sent.correlation_data, "Correlation Data {:?}", came.correlation_data);
    ensure!(came.content_type == sent.content_type, "Content Type {:?}", came.content_type);
    ensure!(came.user_properties == sent.user_properties, "User Properties {:?}", came.user_properties);
    Ok(())
}

async fn properties_are_carried(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut one = cx.subscriber(&topic, ExactlyOnce).await?;
    let mut two = cx.subscriber(&cx.topic("#"), AtMostOnce).await?;
    let empty = PublishProperties::default();
    let zero = PublishProperties { payload_is_utf8: Some(false), ..PublishProperties::default() };
    for properties in [all_properties(cx), zero, empty] {
        for qos in EVERY_QOS {
            let publish = Publish { properties: properties.clone(), ..message(&topic, "text", qos) };
            cx.publish_message(publish).await?;
            same_properties(&one.receive_payload("text").await?, &properties)?;
            same_properties(&two.receive_payload("text").await?, &properties)?;
        }
    }
    Ok(())
}

/// In a session that is offline, and in a retained message.
async fn properties_are_stored(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    cx.leave_session(&client_id, &topic, AtLeastOnce).await?;
    let properties = all_properties(cx);
    cx.retain_message(Publish { properties: properties.clone(), ..retained(&topic, "text", AtLeastOnce) })
        .await?;
    let mut client = cx.session(&client_id, true).await?;
    same_properties(&client.receive_payload("text").await?, &properties)?;
    client.disconnect().await?;
    let found = cx.retained_on(&topic).await?;
    ensure!(found.len() == 1, "{} retained messages", found.len());
    same_properties(&found[0], &properties)
}

async fn response_topic_is_utf8(cx: &Context) -> Outcome {
    let property = [&[0x08][..], &wire::field(b"a\xED\xA0\x80")].concat();
    let reasons = [ReasonCode::MalformedPacket, ReasonCode::TopicNameInvalid];
    cx.rejects(&wire::publish(cx.version, 0, cx.topic("t"), None, &property, b"x"), &reasons).await
}

async fn response_topic_has_no_wildcard(cx: &Context) -> Outcome {
    let mut subscriber = cx.subscriber(&cx.topic("#"), AtLeastOnce).await?;
    let reasons = [ReasonCode::ProtocolError, ReasonCode::TopicNameInvalid, ReasonCode::MalformedPacket];
    for wrong in ["a/+", "#"] {
        let property = [&[0x08][..], &wire::field(cx.topic(wrong))].concat();
        let publish = wire::publish(cx.version, 2, cx.topic("t"), Some(1), &property, b"x");
        is_refused(cx, &publish, &reasons).await?;
    }
    subscriber.silent().await
}

async fn content_type_is_utf8(cx: &Context) -> Outcome {
    let property = [&[0x03][..], &wire::field(b"text/\xFF")].concat();
    cx.rejects(&wire::publish(cx.version, 0, cx.topic("t"), None, &property, b"x"), MALFORMED).await
}

async fn subscription_identifier_from_a_client(cx: &Context) -> Outcome {
    let mut subscriber = cx.subscriber(&cx.topic("t"), AtLeastOnce).await?;
    let publish = wire::publish(cx.version, 2, cx.topic("t"), Some(1), &[0x0B, 7], b"x");
    cx.rejects(&publish, PROTOCOL_ERROR).await?;
    subscriber.silent().await
}

async fn answers_to_each_qos(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut client = cx.connect().await?;
    client.publish(&topic, "x", AtMostOnce).await?;
    client.silent().await?;
    client.publish(&topic, "x", AtLeastOnce).await?;
    client.publish(&topic, "x", ExactlyOnce).await?;
    client.silent().await
}

/// In 3.1.1 a refusal cannot be told: the answer is a PUBACK, or the end of the connection.
async fn publish_without_permission(cx: &Context) -> Outcome {
    let mut client = cx.connect().await?;
    client.raw(&wire::publish(cx.version, 2, "$SYS/conformance", Some(7), &[], b"x")).await?;
    match client.next().await? {
        Some(Packet::PubAck(ack)) if ack.packet_id == id(7) => client.ping().await,
        None => Ok(()),
        other => violation!("PUBACK or the end expected, {}", seen(other.as_ref())),
    }
}

/// The client refuses codes that the packet does not have; here each is provoked in several ways.
async fn reason_codes_of_acknowledgements(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut client = cx.connect().await?;
    for round in 0..2 {
        for qos in [AtLeastOnce, ExactlyOnce] {
            let reason = client.try_publish(message(&topic, "x", qos)).await?;
            let fits = matches!(reason, ReasonCode::Success | ReasonCode::NoMatchingSubscribers);
            ensure!(fits, "a publish gets {reason}");
            let lonely = reason == ReasonCode::NoMatchingSubscribers;
            ensure!(!(round == 1 && lonely), "no matching subscribers, but there is one");
        }
        if round == 0 {
            client.subscribe(&topic, AtMostOnce).await?;
        }
    }
    // Exchanges that do not exist.
    client.send(&Packet::PubRel(Ack::success(id(4_000)))).await?;
    client.pubcomp(id(4_000)).await?;
    client.send(&Packet::PubRec(Ack::success(id(4_001)))).await?;
    client.pubrel(id(4_001)).await?;
    client.ping().await
}
