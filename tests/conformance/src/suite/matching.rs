//! Topic names and filters (4.7).

use super::prelude::*;

tests! {
    multi_level_wildcard_is_last: ["4.7.1-2"] ["4.7.1-1"];
    single_level_wildcard_is_a_level: ["4.7.1-3"] ["4.7.1-2"];
    matching: ["4.7.1-2" "4.7.1-3"] ["4.7.1-1" "4.7.1-2"];
    wildcards_do_not_match_dollar: ["4.7.2-1"] ["4.7.2-1"];
    topics_are_not_empty: ["4.7.3-1"] ["4.7.3-1"];
    long_topics: ["4.7.3-3"] ["4.7.3-3"];
    topics_are_not_normalised: ["4.7.3-4"] ["4.7.3-4"];
}

/// SUBACK with an error, or the end of the connection.
pub(super) async fn filter_is_refused(cx: &Context, filter: &[u8], options: u8) -> Outcome {
    let reasons = [ReasonCode::TopicFilterInvalid, ReasonCode::MalformedPacket, ReasonCode::ProtocolError];
    let mut client = cx.connect().await?;
    client.raw(&wire::subscribe(cx.version, 0x82, 5, &[(filter, options)])).await?;
    match client.answer().await? {
        Some(Packet::SubAck(suback)) if suback.packet_id == id(5) => {
            let code = suback.codes[0];
            ensure!(code.is_error(), "the filter {:?} gets {code}", crate::client::text(filter));
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

async fn multi_level_wildcard_is_last(cx: &Context) -> Outcome {
    for filter in ["a/#/b", "a#", "a/b#", "#/a", "a/##", "#a"] {
        filter_is_refused(cx, cx.topic(filter).as_bytes(), 0).await?;
    }
    Ok(())
}

async fn single_level_wildcard_is_a_level(cx: &Context) -> Outcome {
    for filter in ["a+", "+a", "a/b+", "a/+b/c", "++", "a/+#"] {
        filter_is_refused(cx, cx.topic(filter).as_bytes(), 0).await?;
    }
    Ok(())
}

async fn matching(cx: &Context) -> Outcome {
    let random = cx.random();
    let topics = ["a", "a/b", "a/b/c", "a/", "/a", "/", "//", "a//b", "b", "a b", "A"];
    // Each filter with the topics, out of those, that it matches.
    let cases: [(String, &[&str]); 14] = [
        (cx.topic("#"), &topics),
        (cx.topic("a"), &["a"]),
        (cx.topic("+"), &["a", "b", "a b", "A"]),
        (cx.topic("a/#"), &["a", "a/b", "a/b/c", "a/", "a//b"]),
        (cx.topic("a/+"), &["a/b", "a/"]),
        (cx.topic("+/+"), &["a/b", "a/", "/a", "/"]),
        (cx.topic("/+"), &["/a", "/"]),
        (cx.topic("+/b/#"), &["a/b", "a/b/c"]),
        (cx.topic("+/+/+"), &["a/b/c", "//", "a//b"]),
        (cx.topic("a/+/b"), &["a//b"]),
        (cx.topic("+/#"), &topics),
        (cx.topic("//#"), &["/", "//"]),
        (format!("+/{random}/a"), &["a"]),
        (format!("conformance/+/{random}/#"), &[]),
    ];
    let mut subscribers = Vec::new();
    for (filter, _) in &cases {
        subscribers.push(cx.subscriber(filter, AtLeastOnce).await?);
    }
    let mut publisher = cx.connect().await?;
    for topic in topics {
        publisher.publish(&cx.topic(topic), topic, AtLeastOnce).await?;
    }
    for (mut subscriber, (filter, expected)) in subscribers.into_iter().zip(cases) {
        let came = payloads(&subscriber.receive_many(expected.len()).await?);
        let (came, expected): (BTreeSet<&str>, BTreeSet<&str>) =
            (came.iter().map(String::as_str).collect(), expected.iter().copied().collect());
        ensure!(came == expected, "{filter} got {came:?}, {expected:?} match");
        let silent = subscriber.silent().await;
        silent.map_err(|failure| super::data::context(failure, &filter))?;
    }
    Ok(())
}

async fn wildcards_do_not_match_dollar(cx: &Context) -> Outcome {
    let topic = format!("$conformance/{}", cx.random());
    let mut wild = cx.connect().await?;
    for filter in ["#", "+/#", "+/+", &format!("+/{}", cx.random())] {
        wild.subscribe(filter, AtMostOnce).await?;
    }
    // Whether there is such a topic at all is the server's affair.
    let mut named = cx.connect().await?;
    let suback = named
        .try_subscribe(vec![subscription(&topic, AtMostOnce), subscription("$SYS/#", AtMostOnce)], None)
        .await?;
    let mut publisher = cx.connect().await?;
    publisher.raw(&wire::publish(cx.version, 2, &topic, Some(1), &[], b"hidden")).await?;
    let _ = publisher.next().await?;
    let mut exists = !suback.codes[0].is_error();
    if exists {
        exists = named.silent().await.is_err();
    }
    let marker = cx.topic("marker");
    cx.publish(&marker, "marker", AtMostOnce).await?;
    loop {
        let message = wild.receive().await?;
        let topic = message.topic.as_ref().map_or("", |topic| topic.as_str());
        ensure!(!topic.starts_with('$'), "{topic} matches a filter that begins with a wildcard");
        if topic == marker {
            break;
        }
    }
    if !exists && suback.codes[1].is_error() {
        unsupported!("the server has no topics that begin with $");
    }
    Ok(())
}

async fn topics_are_not_empty(cx: &Context) -> Outcome {
    let v = cx.version;
    let reasons = [ReasonCode::ProtocolError, ReasonCode::MalformedPacket, ReasonCode::TopicNameInvalid];
    super::publish::is_refused(cx, &wire::publish(v, 2, "", Some(1), &[], b"x"), &reasons).await?;
    filter_is_refused(cx, b"", 0).await?;
    let will = wire::RawConnect::new(v, cx.client_id()).will("", b"w");
    let reasons = [ReasonCode::MalformedPacket, ReasonCode::TopicNameInvalid, ReasonCode::ProtocolError];
    if let Some(connack) = cx.refused(&will.bytes()).await? {
        ensure!(!cx.is_v5() || reasons.contains(&connack.reason), "CONNACK {}", connack.reason);
    }
    Ok(())
}

/// A topic of 65,535 bytes, the most that can be written. A server may have a limit of its own; then it says so.
async fn long_topics(cx: &Context) -> Outcome {
    let topic = cx.topic("");
    let topic = format!("{topic}{}", "x".repeat(65_535 - topic.len()));
    let mut client = cx.connect().await?;
    client
        .send(&Packet::Subscribe(parlance_mqtt::Subscribe {
            packet_id: id(1),
            filters: vec![subscription(&topic, AtLeastOnce)],
            subscription_id: None,
            user_properties: Vec::new(),
        }))
        .await?;
    match client.answer().await? {
        Some(Packet::SubAck(suback)) if !suback.codes[0].is_error() => {}
        Some(Packet::SubAck(_) | Packet::Disconnect(_)) | None => unsupported!("no topic of 65,535 bytes"),
        other => violation!("SUBACK expected, {}", seen(other.as_ref())),
    }
    client.publish(&topic, "x", AtLeastOnce).await?;
    let message = client.receive_payload("x").await?;
    ensure!(message.topic == Some(topic_name(&topic)), "another topic came");
    Ok(())
}

async fn topics_are_not_normalised(cx: &Context) -> Outcome {
    // Composed and decomposed, case, empty levels, dots, percent signs, white space, private use characters.
    let topics = [
        "é",
        "e\u{301}",
        "Ä",
        "ä",
        "a/b",
        "a//b",
        "/a/b",
        "a/b/",
        "a/./b",
        "a/../b",
        "a%2Fb",
        "a\\b",
        " a/b",
        "a/b ",
        "\u{FEFF}a/b",
        "\u{E000}",
        "\u{10FFFD}",
        "ﬁ",
        "fi",
        "İ",
        "i̇",
    ];
    let mut subscribers = Vec::new();
    for topic in topics {
        subscribers.push(cx.subscriber(&cx.topic(topic), AtLeastOnce).await?);
    }
    let mut publisher = cx.connect().await?;
    for topic in topics {
        publisher.publish(&cx.topic(topic), topic, AtLeastOnce).await?;
    }
    for (mut subscriber, topic) in subscribers.into_iter().zip(topics) {
        let message = subscriber.receive_payload(topic).await?;
        ensure!(message.topic == Some(topic_name(&cx.topic(topic))), "{topic:?} came as {:?}", message.topic);
        let silent = subscriber.silent().await;
        silent.map_err(|failure| super::data::context(failure, &format!("{topic:?}")))?;
    }
    Ok(())
}
