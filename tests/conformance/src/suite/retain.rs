//! Retained messages.

use super::prelude::*;
use parlance_mqtt::RetainHandling;

tests! {
    retained_message_is_kept: ["3.3.1-5" "3.3.1-6" "3.3.1-8"] ["3.3.1-5" "3.3.1-9"];
    retained_message_is_replaced: ["3.3.1-5"] ["3.3.1-5"];
    retained_qos_0_replaces: ["3.3.1-7"] ["3.3.1-5"];
    retained_on_every_matching_topic: ["3.3.1-6"] ["3.3.1-9"];
    live_message_is_not_retained: ["3.3.1-9"] ["3.3.1-12"];
    retain_as_published: [] ["3.3.1-13" "3.3.1-12"];
    empty_message_clears: ["3.3.1-10" "3.3.1-11"] ["3.3.1-6" "3.3.1-7"];
    plain_message_changes_nothing: ["3.3.1-12"] ["3.3.1-8"];
    retain_handling_send: [] ["3.3.1-9" "3.8.4-4"];
    retain_handling_send_if_new: [] ["3.3.1-10"];
    retain_handling_do_not_send: [] ["3.3.1-11"];
    subscribing_again_sends_again: ["3.8.4-3"] ["3.8.4-4"];
}

async fn retained_message_is_kept(cx: &Context) -> Outcome {
    for (n, qos) in EVERY_QOS.into_iter().enumerate() {
        let topic = cx.topic(&format!("t{n}"));
        cx.retain(&topic, "kept", qos).await?;
        let found = cx.retained_on(&topic).await?;
        ensure!(payloads(&found) == ["kept"], "{:?} is retained", payloads(&found));
        ensure!(found[0].retain, "a retained message comes to a new subscriber without RETAIN");
        ensure!(found[0].qos == qos, "retained with QoS {}, sent with QoS {}", qos as u8, found[0].qos as u8);
        ensure!(!found[0].dup, "DUP in a first delivery");
    }
    Ok(())
}

async fn retained_message_is_replaced(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    cx.retain(&topic, "old", AtLeastOnce).await?;
    cx.retain(&topic, "new", ExactlyOnce).await?;
    let found = cx.retained_on(&topic).await?;
    ensure!(payloads(&found) == ["new"], "{:?} is retained", payloads(&found));
    ensure!(found[0].qos == ExactlyOnce, "the QoS of the older message");
    Ok(())
}

/// The new one may be dropped at any time; the old one must be gone.
async fn retained_qos_0_replaces(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    cx.retain(&topic, "old", AtLeastOnce).await?;
    cx.retain(&topic, "new", AtMostOnce).await?;
    let found = payloads(&cx.retained_on(&topic).await?);
    ensure!(found.is_empty() || found == ["new"], "{found:?} is retained");
    Ok(())
}

async fn retained_on_every_matching_topic(cx: &Context) -> Outcome {
    for topic in ["a/b", "a/c", "a/b/d", "b"] {
        cx.retain(&cx.topic(topic), topic, AtLeastOnce).await?;
    }
    let expected: [(&str, &[&str]); 5] = [
        ("a/+", &["a/b", "a/c"]),
        ("a/#", &["a/b", "a/b/d", "a/c"]),
        ("#", &["a/b", "a/b/d", "a/c", "b"]),
        ("+", &["b"]),
        ("c", &[]),
    ];
    for (filter, expected) in expected {
        let mut found = payloads(&cx.retained_on(&cx.topic(filter)).await?);
        found.sort();
        ensure!(found == expected, "{found:?} is retained on {filter}, {expected:?} matches");
    }
    Ok(())
}

async fn live_message_is_not_retained(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    cx.retain(&topic, "live", AtLeastOnce).await?;
    let message = subscriber.receive_payload("live").await?;
    ensure!(!message.retain, "RETAIN in a message for a subscription that was there");
    subscriber.silent().await
}

async fn retain_as_published(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let as_published = SubscribeFilter { retain_as_published: true, ..subscription(&topic, AtLeastOnce) };
    let mut keeps = cx.connect().await?;
    keeps.subscribe_with(as_published).await?;
    let mut clears = cx.subscriber(&topic, AtLeastOnce).await?;
    for retain in [true, false] {
        cx.will_be_retained(&topic);
        cx.publish_message(Publish { retain, ..message(&topic, "x", AtLeastOnce) }).await?;
        let kept = keeps.receive_payload("x").await?.retain;
        ensure!(kept == retain, "RETAIN {kept} to Retain As Published, {retain} was published");
        ensure!(!clears.receive_payload("x").await?.retain, "RETAIN without Retain As Published");
    }
    Ok(())
}

async fn empty_message_clears(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    cx.retain(&topic, "kept", AtLeastOnce).await?;
    let mut live = cx.connect().await?;
    live.subscribe(&topic, AtLeastOnce).await?;
    live.receive_payload("kept").await?;
    cx.retain(&topic, "", AtLeastOnce).await?;
    let empty = live.receive_payload("").await?;
    ensure!(!empty.retain, "RETAIN in a live message");
    let found = payloads(&cx.retained_on(&topic).await?);
    ensure!(found.is_empty(), "{found:?} is retained after an empty message");
    // Where nothing was retained, an empty message is not retained either.
    let other = cx.topic("other");
    cx.retain(&other, "", AtLeastOnce).await?;
    let found = cx.retained_on(&other).await?.len();
    ensure!(found == 0, "an empty message is retained");
    Ok(())
}

async fn plain_message_changes_nothing(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    cx.publish(&topic, "plain", AtLeastOnce).await?;
    ensure!(cx.retained_on(&topic).await?.is_empty(), "a message without RETAIN is retained");
    cx.retain(&topic, "kept", AtLeastOnce).await?;
    cx.publish(&topic, "plain", AtLeastOnce).await?;
    cx.publish(&topic, "", AtLeastOnce).await?;
    let found = payloads(&cx.retained_on(&topic).await?);
    ensure!(found == ["kept"], "{found:?} is retained");
    Ok(())
}

fn handling(topic: &str, retain_handling: RetainHandling) -> SubscribeFilter {
    SubscribeFilter { retain_handling, ..subscription(topic, AtLeastOnce) }
}

async fn retain_handling_send(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    cx.retain(&topic, "kept", AtLeastOnce).await?;
    let mut client = cx.connect().await?;
    for _ in 0..2 {
        client.subscribe_with(handling(&topic, RetainHandling::Send)).await?;
        ensure!(client.receive_payload("kept").await?.retain, "a retained message without RETAIN");
        client.silent().await?;
    }
    Ok(())
}

async fn retain_handling_send_if_new(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    cx.retain(&topic, "kept", AtLeastOnce).await?;
    let mut client = cx.connect().await?;
    client.subscribe_with(handling(&topic, RetainHandling::SendIfNew)).await?;
    client.receive_payload("kept").await?;
    client.subscribe_with(handling(&topic, RetainHandling::SendIfNew)).await?;
    client.silent().await?;
    // After an UNSUBSCRIBE it is new.
    client.unsubscribe(&[&topic]).await?;
    client.subscribe_with(handling(&topic, RetainHandling::SendIfNew)).await?;
    client.receive_payload("kept").await?;
    client.silent().await
}

async fn retain_handling_do_not_send(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    cx.retain(&topic, "kept", AtLeastOnce).await?;
    let mut client = cx.connect().await?;
    client.subscribe_with(handling(&topic, RetainHandling::DoNotSend)).await?;
    client.silent().await?;
    cx.publish(&topic, "live", AtLeastOnce).await?;
    client.receive_payload("live").await?;
    Ok(())
}

async fn subscribing_again_sends_again(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    cx.retain(&topic, "kept", AtLeastOnce).await?;
    let mut client = cx.connect().await?;
    for qos in [AtMostOnce, AtLeastOnce, AtMostOnce] {
        client.subscribe(&topic, qos).await?;
        let message = client.receive_payload("kept").await?;
        ensure!(message.qos == qos, "QoS {} for a subscription to QoS {}", message.qos as u8, qos as u8);
        client.silent().await?;
    }
    Ok(())
}
