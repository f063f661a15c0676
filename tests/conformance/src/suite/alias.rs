//! Topic aliases, both ways (5).

use super::prelude::*;
use std::collections::HashMap;

tests! {
    aliases_of_the_server: [] ["3.1.2-26" "3.3.2-11"];
    no_aliases_unless_asked: [] ["3.1.2-27"];
    aliases_of_the_client: [] ["3.3.2-12"];
    aliases_end_with_the_connection: [] ["3.3.2-7"];
    alias_0: [] ["3.3.2-8"];
    alias_above_the_maximum: [] ["3.2.2-17" "3.2.2-18" "3.3.2-9"];
}

const TOPICS: usize = 6;

/// Publishes three rounds on a few topics; each payload names its topic.
async fn publish_rounds(cx: &Context) -> Outcome {
    let mut publisher = cx.connect().await?;
    for _ in 0..3 {
        for n in 0..TOPICS {
            let topic = cx.topic(&format!("t{n}"));
            publisher.publish(&topic, topic.clone(), AtLeastOnce).await?;
        }
    }
    publisher.disconnect().await
}

async fn aliases_of_the_server(cx: &Context) -> Outcome {
    const MAXIMUM: u16 = 2;
    let (mut client, _) = cx.accepted(Connect { topic_alias_maximum: Some(MAXIMUM), ..cx.clean() }).await?;
    client.subscribe(&cx.topic("+"), AtLeastOnce).await?;
    publish_rounds(cx).await?;
    let mut aliases: HashMap<u16, String> = HashMap::new();
    for message in client.receive_many(3 * TOPICS).await? {
        let alias = message.properties.topic_alias;
        let topic = match (&message.topic, alias) {
            (Some(topic), _) => topic.as_str().to_owned(),
            (None, Some(alias)) => aliases.get(&alias).cloned().unwrap_or_default(),
            (None, None) => violation!("a PUBLISH with neither topic nor alias"),
        };
        if let Some(alias) = alias {
            ensure!((1..=MAXIMUM).contains(&alias), "Topic Alias {alias}, the maximum is {MAXIMUM}");
            aliases.insert(alias, topic.clone());
        }
        let expected = crate::client::text(&message.payload);
        ensure!(topic == expected, "a message of {expected:?} came on {topic:?}");
    }
    Ok(())
}

async fn no_aliases_unless_asked(cx: &Context) -> Outcome {
    for topic_alias_maximum in [None, Some(0)] {
        let (mut client, _) = cx.accepted(Connect { topic_alias_maximum, ..cx.clean() }).await?;
        client.subscribe(&cx.topic("+"), AtLeastOnce).await?;
        publish_rounds(cx).await?;
        for message in client.receive_many(3 * TOPICS).await? {
            let alias = message.properties.topic_alias;
            ensure!(alias.is_none(), "Topic Alias {alias:?} to a client that takes none");
        }
        client.disconnect().await?;
    }
    Ok(())
}

/// Connects; a server may take no aliases at all.
async fn connect(cx: &Context) -> Outcome<(Client, u16)> {
    let (client, connack) = cx.accepted(cx.clean()).await?;
    match connack.properties.topic_alias_maximum {
        None | Some(0) => unsupported!("the server takes no Topic Alias"),
        Some(maximum) => Ok((client, maximum)),
    }
}

fn aliased(topic: Option<&str>, alias: u16, payload: &str) -> Publish {
    let properties = PublishProperties { topic_alias: Some(alias), ..PublishProperties::default() };
    let publish = message("replaced", payload.to_owned(), AtLeastOnce);
    Publish { topic: topic.map(topic_name), properties, ..publish }
}

async fn aliases_of_the_client(cx: &Context) -> Outcome {
    let (mut client, maximum) = connect(cx).await?;
    let mut subscriber = cx.subscriber(&cx.topic("+"), AtLeastOnce).await?;
    let (one, two) = (cx.topic("one"), cx.topic("two"));
    for alias in BTreeSet::from([1, maximum]) {
        for (topic, expected) in [(Some(&one), &one), (None, &one), (Some(&two), &two), (None, &two)] {
            client.publish_message(aliased(topic.map(String::as_str), alias, expected)).await?;
            let message = subscriber.receive_payload(expected).await?;
            let came = message.topic.as_ref().map_or("", |topic| topic.as_str());
            ensure!(came == expected, "a message of {expected:?} by alias {alias} came on {came:?}");
            let passed_on = message.properties.topic_alias;
            ensure!(passed_on.is_none(), "the publisher's alias {passed_on:?} is passed on");
        }
    }
    Ok(())
}

async fn aliases_end_with_the_connection(cx: &Context) -> Outcome {
    let (mut client, _) = connect(cx).await?;
    client.publish_message(aliased(Some(&cx.topic("t")), 1, "x")).await?;
    client.disconnect().await?;
    let mut subscriber = cx.subscriber(&cx.topic("#"), AtLeastOnce).await?;
    let (mut client, _) = connect(cx).await?;
    let publish = Publish { packet_id: Some(id(1)), ..aliased(None, 1, "y") };
    client.send(&Packet::Publish(publish)).await?;
    client.closed_with(&[ReasonCode::ProtocolError, ReasonCode::TopicAliasInvalid]).await?;
    subscriber.silent().await
}

async fn alias_0(cx: &Context) -> Outcome {
    let publish = wire::publish(cx.version, 0, cx.topic("t"), None, &[0x23, 0, 0], b"x");
    cx.rejects(&publish, &[ReasonCode::TopicAliasInvalid, ReasonCode::ProtocolError]).await
}

/// With a server that takes none, alias 1 is above its maximum.
async fn alias_above_the_maximum(cx: &Context) -> Outcome {
    let (mut client, connack) = cx.accepted(cx.clean()).await?;
    let maximum = connack.properties.topic_alias_maximum.unwrap_or(0);
    let Some(above) = maximum.checked_add(1) else { unsupported!("every Topic Alias is allowed") };
    let property = [&[0x23][..], &above.to_be_bytes()].concat();
    client.raw(&wire::publish(cx.version, 0, cx.topic("t"), None, &property, b"x")).await?;
    client.closed_with(&[ReasonCode::TopicAliasInvalid, ReasonCode::ProtocolError]).await
}
