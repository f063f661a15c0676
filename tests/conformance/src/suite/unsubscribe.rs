//! UNSUBSCRIBE and UNSUBACK.

use super::prelude::*;

tests! {
    unsubscribe_flags: ["3.10.1-1"] ["3.10.1-1"];
    unsubscribe_without_filters: ["3.10.3-2"] ["3.10.3-2"];
    filters_are_compared_by_character: ["3.10.4-1"] ["3.10.4-1"];
    no_new_messages_after_unsubscribe: ["3.10.4-2"] ["3.10.4-2"];
    begun_deliveries_are_completed: ["3.10.4-3"] ["3.10.4-3"];
    unsuback_for_each_unsubscribe: ["3.10.4-4" "3.10.4-5"] ["3.10.4-4" "3.10.4-5"];
    several_filters_at_once: ["3.10.4-6"] ["3.10.4-6"];
    order_of_unsuback_codes: [] ["3.11.3-1" "3.11.3-2"];
}

async fn unsubscribe_flags(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    for first in [0xA0, 0xA1, 0xA4, 0xAA] {
        let packet = wire::unsubscribe(cx.version, first, 1, &[topic.as_bytes()]);
        let closed = cx.rejects(&packet, MALFORMED).await;
        closed.map_err(|failure| super::data::context(failure, &format!("first byte 0x{first:02X}")))?;
    }
    Ok(())
}

async fn unsubscribe_without_filters(cx: &Context) -> Outcome {
    cx.rejects(&wire::unsubscribe(cx.version, 0xA2, 1, &[]), PROTOCOL_ERROR).await
}

/// A filter that means the same, or more, or less, is another filter.
async fn filters_are_compared_by_character(cx: &Context) -> Outcome {
    let topic = cx.topic("a/b");
    let mut client = cx.subscriber(&cx.topic("a/+"), AtLeastOnce).await?;
    for other in ["a/b", "a/#", "+/b", "A/+", "a/+/", "a/+/#", "#"] {
        client.unsubscribe(&[&cx.topic(other)]).await?;
    }
    cx.publish(&topic, "still", AtLeastOnce).await?;
    client.receive_payload("still").await?;
    client.unsubscribe(&[&cx.topic("a/+")]).await?;
    cx.publish(&topic, "no more", AtLeastOnce).await?;
    client.silent().await
}

async fn no_new_messages_after_unsubscribe(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let client_id = cx.client_id();
    let mut client = cx.session(&client_id, false).await?;
    client.subscribe(&topic, ExactlyOnce).await?;
    cx.publish(&topic, "before", ExactlyOnce).await?;
    client.receive_payload("before").await?;
    client.unsubscribe(&[&topic]).await?;
    for qos in EVERY_QOS {
        cx.publish(&topic, "after", qos).await?;
    }
    client.silent().await?;
    client.disconnect().await?;
    cx.publish(&topic, "after", AtLeastOnce).await?;
    let mut client = cx.session(&client_id, true).await?;
    client.silent().await?;
    client.disconnect().await
}

async fn begun_deliveries_are_completed(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    let mut client = cx.session(&client_id, false).await?;
    client.subscribe(&topic, ExactlyOnce).await?;
    cx.publish(&topic, "begun", ExactlyOnce).await?;
    let message = client.delivery().await?;
    client.unsubscribe(&[&topic]).await?;
    client.vanish();
    let mut client = cx.session(&client_id, true).await?;
    let again = client.receive_payload("begun").await?;
    ensure!(again.packet_id == message.packet_id && again.dup, "not the delivery that was begun");
    client.silent().await?;
    client.disconnect().await
}

async fn unsuback_for_each_unsubscribe(cx: &Context) -> Outcome {
    let mut client = cx.subscriber(&cx.topic("t"), AtMostOnce).await?;
    for filter in ["t", "t", "never", "+/#"] {
        client.unsubscribe(&[&cx.topic(filter)]).await?;
    }
    client.silent().await
}

async fn several_filters_at_once(cx: &Context) -> Outcome {
    let mut client = cx.connect().await?;
    for filter in ["a", "b", "c"] {
        client.subscribe(&cx.topic(filter), AtLeastOnce).await?;
    }
    let filters = ["a", "never", "c"].map(|filter| cx.topic(filter));
    client.unsubscribe(&filters.each_ref().map(String::as_str)).await?;
    for topic in ["a", "b", "c"] {
        cx.publish(&cx.topic(topic), topic, AtLeastOnce).await?;
    }
    client.receive_payload("b").await?;
    client.silent().await
}

async fn order_of_unsuback_codes(cx: &Context) -> Outcome {
    let mut client = cx.connect().await?;
    for filter in ["a", "c", "d"] {
        client.subscribe(&cx.topic(filter), AtLeastOnce).await?;
    }
    let filters = ["a", "b", "c", "e", "d", "d"].map(|filter| cx.topic(filter));
    let unsuback = client.unsubscribe(&filters.each_ref().map(String::as_str)).await?;
    let none = ReasonCode::NoSubscriptionExisted;
    let expected = [ReasonCode::Success, none, ReasonCode::Success, none, ReasonCode::Success, none];
    ensure!(unsuback.codes == expected, "{:?} in the UNSUBACK, {expected:?} expected", unsuback.codes);
    Ok(())
}
