//! The exchanges of QoS 1 and 2, with the server as receiver and as sender.

use super::prelude::*;

tests! {
    receiver_of_qos_1: ["4.3.2-2"] ["4.3.2-4"];
    same_id_after_puback_is_new: ["4.3.2-2"] ["4.3.2-5"];
    receiver_of_qos_2: ["4.3.3-2"] ["4.3.3-8" "4.3.3-11"];
    repeated_publish_before_pubrel: ["4.3.3-2"] ["4.3.3-10"];
    same_id_after_pubcomp_is_new: ["4.3.3-2"] ["4.3.3-12"];
    pubrel_without_publish: [] ["4.3.3-11"];
    refused_qos_2_frees_the_id: [] ["4.3.3-9"];
    sender_of_qos_1: ["4.3.2-1"] ["4.3.2-2" "4.3.2-3"];
    sender_of_qos_2: ["4.3.3-1"] ["4.3.3-2" "4.3.3-4"];
    repeated_pubrec: ["4.3.3-1"] ["4.3.3-4"];
    pubrel_flags: ["3.6.1-1"] ["3.6.1-1"];
}

async fn receiver_of_qos_1(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let mut sender = cx.connect().await?;
    for number in [1, 2, 40_000] {
        let publish =
            Publish { packet_id: Some(id(number)), ..message(&topic, number.to_string(), AtLeastOnce) };
        sender.send(&Packet::Publish(publish)).await?;
        let puback = sender.puback(id(number)).await?;
        ensure!(puback.reason == ReasonCode::Success, "PUBACK {}", puback.reason);
        subscriber.receive_payload(number.to_string()).await?;
    }
    sender.silent().await
}

async fn same_id_after_puback_is_new(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let mut sender = cx.connect().await?;
    for (payload, dup) in [("one", false), ("two", true), ("two", true), ("three", false)] {
        let publish = Publish { dup, packet_id: Some(id(7)), ..message(&topic, payload, AtLeastOnce) };
        sender.send(&Packet::Publish(publish)).await?;
        sender.puback(id(7)).await?;
    }
    let came = payloads(&subscriber.receive_many(4).await?);
    ensure!(came == ["one", "two", "two", "three"], "{came:?} came");
    subscriber.silent().await
}

async fn receiver_of_qos_2(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    let mut sender = cx.connect().await?;
    // Two exchanges, each step of one between the steps of the other.
    for number in [7, 8] {
        let publish =
            Publish { packet_id: Some(id(number)), ..message(&topic, number.to_string(), ExactlyOnce) };
        sender.send(&Packet::Publish(publish)).await?;
        let pubrec = sender.pubrec(id(number)).await?;
        ensure!(pubrec.reason == ReasonCode::Success, "PUBREC {}", pubrec.reason);
    }
    for number in [7, 8] {
        sender.send(&Packet::PubRel(Ack::success(id(number)))).await?;
        let pubcomp = sender.pubcomp(id(number)).await?;
        ensure!(pubcomp.reason == ReasonCode::Success, "PUBCOMP {}", pubcomp.reason);
    }
    let came = payloads(&subscriber.receive_many(2).await?);
    ensure!(came == ["7", "8"], "{came:?} came");
    sender.silent().await?;
    subscriber.silent().await
}

async fn repeated_publish_before_pubrel(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    let mut sender = cx.connect().await?;
    let publish = Publish { packet_id: Some(id(7)), ..message(&topic, "once", ExactlyOnce) };
    for dup in [false, true, true] {
        sender.send(&Packet::Publish(Publish { dup, ..publish.clone() })).await?;
        let pubrec = sender.pubrec(id(7)).await?;
        ensure!(!pubrec.reason.is_error(), "PUBREC {} with DUP {dup}", pubrec.reason);
    }
    sender.send(&Packet::PubRel(Ack::success(id(7)))).await?;
    sender.pubcomp(id(7)).await?;
    subscriber.receive_payload("once").await?;
    subscriber.silent().await
}

async fn same_id_after_pubcomp_is_new(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    let mut sender = cx.connect().await?;
    for (payload, dup) in [("one", false), ("one", true), ("two", false)] {
        let publish = Publish { dup, packet_id: Some(id(7)), ..message(&topic, payload, ExactlyOnce) };
        sender.publish_message(publish).await?;
    }
    let came = payloads(&subscriber.receive_many(3).await?);
    ensure!(came == ["one", "one", "two"], "{came:?} came");
    subscriber.silent().await
}

async fn pubrel_without_publish(cx: &Context) -> Outcome {
    let mut sender = cx.connect().await?;
    sender.send(&Packet::PubRel(Ack::success(id(321)))).await?;
    let pubcomp = sender.pubcomp(id(321)).await?;
    let known = [ReasonCode::Success, ReasonCode::PacketIdentifierNotFound];
    ensure!(known.contains(&pubcomp.reason), "PUBCOMP {}", pubcomp.reason);
    sender.ping().await
}

async fn refused_qos_2_frees_the_id(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    let mut sender = cx.connect().await?;
    let refused = Publish { packet_id: Some(id(7)), ..message("$SYS/conformance", "x", ExactlyOnce) };
    sender.send(&Packet::Publish(refused)).await?;
    if !sender.pubrec(id(7)).await?.reason.is_error() {
        unsupported!("no publish is refused, not even one to $SYS");
    }
    let publish = Publish { packet_id: Some(id(7)), ..message(&topic, "new", ExactlyOnce) };
    sender.publish_message(publish).await?;
    subscriber.receive_payload("new").await?;
    Ok(())
}

async fn sender_of_qos_1(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    cx.publish(&topic, "x", AtLeastOnce).await?;
    let message = subscriber.delivery().await?;
    ensure!(message.qos == AtLeastOnce && !message.dup, "not a first delivery with QoS 1");
    subscriber.silent().await?;
    subscriber.acknowledge(&message).await?;
    subscriber.silent().await
}

async fn sender_of_qos_2(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    cx.publish(&topic, "x", ExactlyOnce).await?;
    let message = subscriber.delivery().await?;
    ensure!(message.qos == ExactlyOnce && !message.dup, "not a first delivery with QoS 2");
    // No PUBREL before the PUBREC, and then one.
    subscriber.silent().await?;
    let Some(packet_id) = message.packet_id else { violation!("no packet id") };
    subscriber.send(&Packet::PubRec(Ack::success(packet_id))).await?;
    subscriber.pubrel(packet_id).await?;
    subscriber.silent().await?;
    subscriber.send(&Packet::PubComp(Ack::success(packet_id))).await?;
    subscriber.silent().await
}

/// A PUBREC that comes twice is answered twice.
async fn repeated_pubrec(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    cx.publish(&topic, "x", ExactlyOnce).await?;
    let Some(packet_id) = subscriber.delivery().await?.packet_id else { violation!("no packet id") };
    for _ in 0..2 {
        subscriber.send(&Packet::PubRec(Ack::success(packet_id))).await?;
        let pubrel = subscriber.pubrel(packet_id).await?;
        ensure!(!pubrel.reason.is_error(), "PUBREL {}", pubrel.reason);
    }
    subscriber.send(&Packet::PubComp(Ack::success(packet_id))).await?;
    subscriber.silent().await
}

async fn pubrel_flags(cx: &Context) -> Outcome {
    for first in [0x60, 0x61, 0x64, 0x6A] {
        let mut client = cx.connect().await?;
        let publish = Publish { packet_id: Some(id(1)), ..message(&cx.topic("t"), "x", ExactlyOnce) };
        client.send(&Packet::Publish(publish)).await?;
        client.pubrec(id(1)).await?;
        client.raw(&wire::packet(first, &[0, 1])).await?;
        let closed = client.closed_with(MALFORMED).await;
        closed.map_err(|failure| super::data::context(failure, &format!("first byte 0x{first:02X}")))?;
    }
    Ok(())
}
