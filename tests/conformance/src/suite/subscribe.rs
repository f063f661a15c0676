//! SUBSCRIBE and SUBACK, and what a subscription delivers.

use super::prelude::*;
use parlance_mqtt::RetainHandling;

tests! {
    subscribe_flags: ["3.8.1-1"] ["3.8.1-1"];
    wildcards_are_granted_or_refused: ["3.8.3-2"] [];
    subscribe_without_filters: ["3.8.3-3"] ["3.8.3-2"];
    reserved_subscription_bits: ["3.8.3-4"] ["3.8.3-5"];
    no_local: [] ["3.8.3-3"];
    suback_for_each_subscribe: ["3.8.4-1" "3.8.4-2" "3.8.4-5"] ["3.8.4-1" "3.8.4-6" "3.8.4-7"];
    same_filter_replaces: ["3.8.4-3"] ["3.8.4-3"];
    nothing_is_lost_while_replacing: ["3.8.4-3"] ["3.8.4-4"];
    several_filters: ["3.8.4-4"] ["3.8.4-5"];
    order_of_suback_codes: ["3.9.3-1" "3.9.3-2"] ["3.9.3-1" "3.9.3-2"];
    qos_is_the_lower_one: ["3.8.4-6"] ["3.8.4-8"];
    overlapping_subscriptions: ["3.3.5-1"] ["3.3.4-2"];
    subscription_identifiers: [] ["3.3.4-3" "3.3.4-4" "3.3.4-5"];
    subscription_identifier_is_replaced: [] ["3.8.4-3" "3.3.4-3"];
}

async fn subscribe_flags(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    for first in [0x80, 0x81, 0x84, 0x8A] {
        let packet = wire::subscribe(cx.version, first, 1, &[(topic.as_bytes(), 0)]);
        let closed = cx.rejects(&packet, MALFORMED).await;
        closed.map_err(|failure| super::data::context(failure, &format!("first byte 0x{first:02X}")))?;
    }
    Ok(())
}

async fn wildcards_are_granted_or_refused(cx: &Context) -> Outcome {
    for filter in ["a/+", "a/#"] {
        let mut client = cx.connect().await?;
        let suback = client.try_subscribe(vec![subscription(&cx.topic(filter), AtLeastOnce)], None).await?;
        if !suback.codes[0].is_error() {
            cx.publish(&cx.topic("a/b"), "x", AtLeastOnce).await?;
            client.receive_payload("x").await?;
        }
    }
    Ok(())
}

async fn subscribe_without_filters(cx: &Context) -> Outcome {
    cx.rejects(&wire::subscribe(cx.version, 0x82, 1, &[]), PROTOCOL_ERROR).await
}

async fn reserved_subscription_bits(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let wrong: &[u8] =
        if cx.is_v5() { &[0x40, 0x80, 0xC1] } else { &[0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x03] };
    for &options in wrong {
        let packet = wire::subscribe(cx.version, 0x82, 1, &[(topic.as_bytes(), options)]);
        let closed = cx.rejects(&packet, MALFORMED).await;
        closed.map_err(|failure| super::data::context(failure, &format!("options 0x{options:02X}")))?;
    }
    if cx.is_v5() {
        // QoS 3 and Retain Handling 3: Protocol Errors.
        for options in [0x03, 0x30] {
            let packet = wire::subscribe(cx.version, 0x82, 1, &[(topic.as_bytes(), options)]);
            let closed = cx.rejects(&packet, &[ReasonCode::ProtocolError, ReasonCode::MalformedPacket]).await;
            closed.map_err(|failure| super::data::context(failure, &format!("options 0x{options:02X}")))?;
        }
    }
    Ok(())
}

async fn no_local(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let filter = SubscribeFilter { no_local: true, ..subscription(&topic, AtLeastOnce) };
    let mut client = cx.connect().await?;
    client.subscribe_with(filter.clone()).await?;
    let mut other = cx.subscriber(&topic, AtLeastOnce).await?;
    client.publish(&topic, "own", AtLeastOnce).await?;
    other.receive_payload("own").await?;
    client.silent().await?;
    cx.publish(&topic, "other's", AtLeastOnce).await?;
    client.receive_payload("other's").await?;
    // It is the client id that counts, not the connection.
    let client_id = cx.client_id();
    let mut lasting = cx.session(&client_id, false).await?;
    lasting.subscribe_with(filter).await?;
    lasting.disconnect().await?;
    let mut lasting = cx.session(&client_id, true).await?;
    lasting.publish(&topic, "own", AtLeastOnce).await?;
    lasting.silent().await?;
    lasting.disconnect().await
}

async fn suback_for_each_subscribe(cx: &Context) -> Outcome {
    let mut client = cx.connect().await?;
    for qos in EVERY_QOS {
        for filter in ["a", "a/b", "+", "a/#", "a//b", "/", "+/+/#", "ä/ü"] {
            let suback = client.try_subscribe(vec![subscription(&cx.topic(filter), qos)], None).await?;
            let granted = suback.codes[0].code();
            ensure!(granted <= qos as u8, "0x{granted:02X} for {filter:?} and QoS {}", qos as u8);
        }
    }
    client.silent().await
}

async fn same_filter_replaces(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut client = cx.connect().await?;
    for qos in [AtMostOnce, ExactlyOnce, AtLeastOnce, AtMostOnce] {
        client.subscribe(&topic, qos).await?;
        cx.publish(&topic, "x", ExactlyOnce).await?;
        let message = client.receive_payload("x").await?;
        ensure!(message.qos == qos, "QoS {} after a subscription to QoS {}", message.qos as u8, qos as u8);
        client.silent().await?;
    }
    client.unsubscribe(&[&topic]).await?;
    cx.publish(&topic, "x", ExactlyOnce).await?;
    client.silent().await
}

async fn nothing_is_lost_while_replacing(cx: &Context) -> Outcome {
    const MESSAGES: usize = 60;
    let topic = cx.topic("t");
    let mut client = cx.subscriber(&topic, AtLeastOnce).await?;
    let mut publisher = cx.connect().await?;
    let publish = async {
        for n in 0..MESSAGES {
            publisher.publish(&topic, n.to_string(), AtLeastOnce).await?;
        }
        Ok(())
    };
    let replace = async {
        for _ in 0..20 {
            client.subscribe(&topic, AtLeastOnce).await?;
        }
        client.receive_many(MESSAGES).await
    };
    let (_, came) = futures_util::future::try_join(publish, replace).await?;
    let expected: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
    ensure!(payloads(&came) == expected, "{:?} came", payloads(&came));
    client.silent().await
}

async fn several_filters(cx: &Context) -> Outcome {
    let mut client = cx.connect().await?;
    let filters = ["a", "b/+", "c/#", "a"].map(|filter| subscription(&cx.topic(filter), AtLeastOnce));
    client.subscribe_many(filters.to_vec(), None).await?;
    for topic in ["a", "b/x", "c/x/y", "d"] {
        cx.publish(&cx.topic(topic), topic, AtLeastOnce).await?;
    }
    let came = payloads(&client.receive_many(3).await?);
    ensure!(came == ["a", "b/x", "c/x/y"], "{came:?} came");
    client.silent().await
}

async fn order_of_suback_codes(cx: &Context) -> Outcome {
    let mut client = cx.connect().await?;
    let order = [ExactlyOnce, AtMostOnce, AtLeastOnce, AtLeastOnce, ExactlyOnce, AtMostOnce];
    let filters: Vec<SubscribeFilter> =
        order.iter().enumerate().map(|(n, qos)| subscription(&cx.topic(&format!("t{n}")), *qos)).collect();
    client.subscribe_many(filters, None).await?;
    // The same, by what is delivered.
    for (n, qos) in order.into_iter().enumerate() {
        cx.publish(&cx.topic(&format!("t{n}")), "x", ExactlyOnce).await?;
        let came = client.receive_payload("x").await?.qos;
        ensure!(came == qos, "filter {n} delivers QoS {}, its code says {}", came as u8, qos as u8);
    }
    Ok(())
}

async fn qos_is_the_lower_one(cx: &Context) -> Outcome {
    for granted in EVERY_QOS {
        let topic = cx.topic(&format!("t{}", granted as u8));
        let mut subscriber = cx.subscriber(&topic, granted).await?;
        for published in EVERY_QOS {
            cx.publish(&topic, "x", published).await?;
            let came = subscriber.receive_payload("x").await?.qos;
            let expected = published.min(granted);
            ensure!(
                came == expected,
                "QoS {} came of a publish with {} and a subscription to {}",
                came as u8,
                published as u8,
                granted as u8
            );
        }
    }
    Ok(())
}

/// All copies of one message: the first, and what else comes before a marker.
async fn copies(cx: &Context, client: &mut Client, topic: &str) -> Outcome<Vec<Publish>> {
    cx.publish(topic, "copy", ExactlyOnce).await?;
    let mut copies = vec![client.receive_payload("copy").await?];
    let marker = cx.topic("marker");
    client.subscribe(&marker, AtMostOnce).await?;
    client.publish(&marker, "marker", AtMostOnce).await?;
    loop {
        let message = client.receive().await?;
        if message.payload == "marker" {
            client.silent().await?;
            return Ok(copies);
        }
        copies.push(message);
    }
}

async fn overlapping_subscriptions(cx: &Context) -> Outcome {
    let topic = cx.topic("a/b");
    let mut client = cx.connect().await?;
    for (filter, qos) in [("a/#", AtMostOnce), ("a/+", ExactlyOnce), ("a/b", AtLeastOnce)] {
        client.subscribe(&cx.topic(filter), qos).await?;
    }
    let copies = copies(cx, &mut client, &topic).await?;
    ensure!(copies.len() <= 3, "{} copies for three subscriptions", copies.len());
    let highest = copies.iter().map(|message| message.qos).max();
    ensure!(highest == Some(ExactlyOnce), "the highest QoS of the copies is {highest:?}");
    Ok(())
}

async fn with_identifiers(cx: &Context) -> Outcome<Client> {
    let (mut client, connack) = cx.accepted(cx.clean()).await?;
    if connack.properties.subscription_ids_available == Some(false) {
        unsupported!("no Subscription Identifiers");
    }
    client.subscribe_many(vec![subscription(&cx.topic("a/#"), AtLeastOnce)], Some(1)).await?;
    Ok(client)
}

async fn subscription_identifiers(cx: &Context) -> Outcome {
    let topic = cx.topic("a/b");
    let mut client = with_identifiers(cx).await?;
    client.subscribe_many(vec![subscription(&cx.topic("a/+"), AtLeastOnce)], Some(268_435_455)).await?;
    client.subscribe(&cx.topic("+/b"), AtLeastOnce).await?;
    client.subscribe_many(vec![subscription(&cx.topic("b/#"), AtLeastOnce)], Some(3)).await?;
    let copies = copies(cx, &mut client, &topic).await?;
    let ids: Vec<BTreeSet<u32>> =
        copies.iter().map(|copy| copy.properties.subscription_ids.iter().copied().collect()).collect();
    let expected = BTreeSet::from([1, 268_435_455]);
    if ids.len() == 1 {
        ensure!(ids[0] == expected, "one copy with {:?}, {expected:?} match", ids[0]);
        return Ok(());
    }
    ensure!(ids.len() == 3, "{} copies for three subscriptions", ids.len());
    for one in [BTreeSet::from([1]), BTreeSet::from([268_435_455]), BTreeSet::new()] {
        ensure!(ids.contains(&one), "three copies with {ids:?}, none with {one:?}");
    }
    Ok(())
}

async fn subscription_identifier_is_replaced(cx: &Context) -> Outcome {
    let (topic, filter) = (cx.topic("a/b"), cx.topic("a/#"));
    let mut client = with_identifiers(cx).await?;
    for identifier in [Some(1), Some(2), None] {
        let again = SubscribeFilter {
            retain_handling: RetainHandling::DoNotSend,
            ..subscription(&filter, AtLeastOnce)
        };
        client.subscribe_many(vec![again], identifier).await?;
        cx.publish(&topic, "x", AtLeastOnce).await?;
        let came = client.receive_payload("x").await?.properties.subscription_ids;
        ensure!(came == Vec::from_iter(identifier), "identifiers {came:?} after {identifier:?}");
    }
    Ok(())
}
