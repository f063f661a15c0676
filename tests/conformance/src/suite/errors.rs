//! Packets that are wrong, DISCONNECT in both directions, and what closes a connection.

use super::{data::context, prelude::*};

tests! {
    malformed_packets: ["4.8.0-1"] ["4.13.1-1"];
    packets_that_only_a_server_sends: ["4.8.0-1"] ["4.13.1-1"];
    wrong_properties: [] ["4.13.1-1"];
    disconnect_flags: ["3.14.1-1"] ["3.14.1-1"];
    disconnect_of_the_server: [] ["3.14.2-1" "3.14.2-2" "3.14.4-1" "3.14.4-2"];
    others_are_not_disturbed: ["4.8.0-1"] ["4.13.1-1"];
}

async fn all_rejected(cx: &Context, wrong: Vec<(&str, Vec<u8>)>, reasons: &[ReasonCode]) -> Outcome {
    for (what, packet) in wrong {
        cx.rejects(&packet, reasons).await.map_err(|failure| context(failure, what))?;
    }
    Ok(())
}

async fn malformed_packets(cx: &Context) -> Outcome {
    let v = cx.version;
    let mut wrong = vec![
        ("packet type 0", wire::packet(0x00, &[])),
        ("PINGREQ with a body", wire::packet(0xC0, &[0])),
        ("PUBLISH without a topic", wire::packet(0x30, &[])),
        ("PUBLISH with a topic that is cut off", wire::packet(0x30, &[0, 9, b't'])),
        ("PUBLISH of QoS 1 without a packet id", wire::packet(0x32, &[0, 1, b't'])),
        ("PUBACK with half a packet id", wire::packet(0x40, &[1])),
        ("PUBREL without a packet id", wire::packet(0x62, &[])),
        ("SUBSCRIBE without a packet id", wire::packet(0x82, &[])),
        ("SUBSCRIBE with a filter without options", {
            let mut packet = wire::subscribe(v, 0x82, 1, &[(b"t", 0)]);
            packet.pop();
            packet[1] -= 1;
            packet
        }),
        ("UNSUBSCRIBE with a filter that is cut off", {
            let mut packet = wire::unsubscribe(v, 0xA2, 1, &[b"topic"]);
            packet.pop();
            packet[1] -= 1;
            packet
        }),
    ];
    if v == Version::V3 {
        wrong.push(("AUTH in 3.1.1", wire::packet(0xF0, &[])));
        wrong.push(("PUBACK with a reason code in 3.1.1", wire::packet(0x40, &[0, 1, 0])));
        wrong.push(("DISCONNECT with a reason code in 3.1.1", wire::packet(0xE0, &[0])));
    }
    all_rejected(cx, wrong, MALFORMED).await
}

async fn packets_that_only_a_server_sends(cx: &Context) -> Outcome {
    let properties = if cx.is_v5() { &[0][..] } else { &[] };
    let code = if cx.is_v5() { &[0][..] } else { &[] };
    let wrong = vec![
        ("CONNACK", wire::packet(0x20, &[&[0, 0], properties].concat())),
        ("SUBACK", wire::packet(0x90, &[&[0, 1], properties, &[0]].concat())),
        ("UNSUBACK", wire::packet(0xB0, &[&[0, 1], properties, code].concat())),
        ("PINGRESP", wire::packet(0xD0, &[])),
    ];
    all_rejected(cx, wrong, PROTOCOL_ERROR).await
}

async fn wrong_properties(cx: &Context) -> Outcome {
    let publish = |properties: &[u8]| wire::publish(cx.version, 0, cx.topic("t"), None, properties, b"x");
    let subscribe = |properties: &[u8]| {
        let mut body = vec![0, 1];
        body.extend(wire::properties(cx.version, properties));
        body.extend(wire::field("t"));
        body.push(0);
        wire::packet(0x82, &body)
    };
    let twice = vec![
        ("Payload Format Indicator twice", publish(&[0x01, 0, 0x01, 0])),
        ("Message Expiry Interval twice", publish(&[0x02, 0, 0, 0, 9, 0x02, 0, 0, 0, 9])),
        ("Topic Alias twice", publish(&[0x23, 0, 1, 0x23, 0, 1])),
        ("Response Topic twice", publish(&[0x08, 0, 1, b'r', 0x08, 0, 1, b'r'])),
        ("Correlation Data twice", publish(&[0x09, 0, 1, b'r', 0x09, 0, 1, b'r'])),
        ("Content Type twice", publish(&[0x03, 0, 1, b'r', 0x03, 0, 1, b'r'])),
        ("Subscription Identifier 0", subscribe(&[0x0B, 0])),
        ("Subscription Identifier twice", subscribe(&[0x0B, 1, 0x0B, 2])),
        ("Session Expiry Interval twice", wire::packet(0xE0, &[0, 10, 0x11, 0, 0, 0, 0, 0x11, 0, 0, 0, 0])),
    ];
    all_rejected(cx, twice, PROTOCOL_ERROR).await?;
    let wrong = vec![
        ("a property that does not exist", publish(&[0x7F, 0])),
        ("a property of another packet", publish(&[0x21, 0, 9])),
        ("a property of PUBLISH in SUBSCRIBE", subscribe(&[0x01, 0])),
        ("a property that is cut off", publish(&[0x02, 0, 0])),
        ("a Property Length beyond the packet", wire::packet(0x30, &[0, 1, b't', 90, 0x01, 0])),
        ("a Reason Code of DISCONNECT that does not exist", wire::packet(0xE0, &[0x03])),
    ];
    all_rejected(cx, wrong, &[ReasonCode::MalformedPacket, ReasonCode::ProtocolError]).await
}

async fn disconnect_flags(cx: &Context) -> Outcome {
    let topic = cx.topic("w");
    let mut subscriber = cx.subscriber(&topic, AtMostOnce).await?;
    for first in [0xE1, 0xE2, 0xE8] {
        let connect = Connect { will: Some(will(&topic, "w", AtMostOnce)), ..cx.clean() };
        let (mut client, _) = cx.accepted(connect).await?;
        client.raw(&wire::packet(first, &[])).await?;
        let closed = client.closed_with(MALFORMED).await;
        closed.map_err(|failure| context(failure, &format!("first byte 0x{first:02X}")))?;
        // It was no DISCONNECT, so the will is published.
        subscriber.receive_payload("w").await?;
    }
    Ok(())
}

/// The client refuses a DISCONNECT with a code that it cannot have or with a Session Expiry Interval, and everything
/// that comes behind it. Here it is provoked in several ways.
async fn disconnect_of_the_server(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let wrong = [
        wire::packet(0x00, &[]),
        wire::packet(0x36, &[0, 1, b't', 0, 1, 0]),
        wire::subscribe(cx.version, 0x82, 1, &[]),
        wire::publish(cx.version, 0, &topic, None, &[0x23, 0, 0], b"x"),
    ];
    let mut told = 0;
    for packet in wrong {
        let (mut client, _) = cx.accepted(cx.lasting(&cx.client_id())).await?;
        // Packets behind the wrong one: nothing of them may be answered.
        client.raw(&[packet, wire::packet(0xC0, &[]), wire::packet(0xC0, &[])].concat()).await?;
        told += usize::from(client.closed().await?.is_some());
    }
    let connect = cx.clean();
    let (mut first, _) = cx.accepted(connect.clone()).await?;
    let (_second, _) = cx.accepted(connect).await?;
    told += usize::from(first.closed().await?.is_some());
    if told == 0 {
        unsupported!("the server closes without a DISCONNECT");
    }
    Ok(())
}

/// A connection with rubbish costs nobody else theirs, and nothing of it is delivered.
async fn others_are_not_disturbed(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, AtLeastOnce).await?;
    let mut publisher = cx.connect().await?;
    for n in 0..10_u8 {
        let mut rubbish = cx.connect().await?;
        let bytes: Vec<u8> = (0..200_u8).map(|byte| byte.wrapping_mul(n).wrapping_add(byte ^ n)).collect();
        rubbish.raw(&[&[0x00, n], &bytes[..]].concat()).await?;
        publisher.publish(&topic, n.to_string(), AtLeastOnce).await?;
        rubbish.closed().await?;
    }
    let came = payloads(&subscriber.receive_many(10).await?);
    ensure!(came == Vec::from_iter((0..10).map(|n| n.to_string())), "{came:?} came");
    subscriber.silent().await
}
