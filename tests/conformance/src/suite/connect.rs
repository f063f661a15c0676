//! CONNECT and CONNACK: what is accepted, what is refused, and how.

use super::{data::context, prelude::*};
use crate::wire::{RawConnect, flag};

tests! {
    first_packet_is_connect: ["3.1.0-1"] ["3.1.0-1"];
    second_connect: ["3.1.0-2"] ["3.1.0-2" "3.2.0-2"];
    protocol_name: ["3.1.2-1"] ["3.1.2-1"];
    protocol_level: ["3.1.2-2"] ["3.1.2-2"];
    reserved_connect_flag: ["3.1.2-3"] ["3.1.2-3"];
    will_flag_without_will: ["3.1.2-9"] ["3.1.2-9"];
    will_fields_without_will_flag: ["3.1.2-11" "3.1.2-13" "3.1.2-15"] ["3.1.2-11" "3.1.2-13"];
    will_qos_3: ["3.1.2-14"] ["3.1.2-12"];
    user_name_flag: ["3.1.2-18" "3.1.2-19"] ["3.1.2-16" "3.1.2-17"];
    password_flag: ["3.1.2-20" "3.1.2-21"] ["3.1.2-18" "3.1.2-19"];
    password_without_user_name: ["3.1.2-22"] [];
    order_of_the_payload: ["3.1.3-1" "3.1.3-3"] ["3.1.3-1" "3.1.3-3"];
    malformed_connect: ["3.1.4-1" "3.2.2-6"] ["3.1.4-1"];
    accepted: ["3.1.4-4" "3.2.0-1" "7.0.0-2" "7.1.1-1"] ["3.1.4-5" "3.2.0-1" "3.2.2-8" "4.2.0-1"];
    connack_comes_before_messages: ["3.2.0-1"] ["3.2.0-1"];
    connack_flags: ["3.2.2-1"] ["3.2.2-1" "3.2.2-2"];
    refusal_has_no_session_present: ["3.2.2-4" "3.2.2-5"] ["3.2.2-6" "3.2.2-7"];
    nothing_behind_a_refused_connect: ["3.1.4-5"] ["3.1.4-6"];
    no_disconnect_before_connack: [] ["3.14.0-1"];
    maximum_qos: [] ["3.2.2-9" "3.2.2-10" "3.2.2-12"];
    retain_available: [] ["3.2.2-13"];
    response_information: [] ["3.1.2-28"];
}

async fn first_packet_is_connect(cx: &Context) -> Outcome {
    let (v, topic) = (cx.version, cx.topic("t"));
    let mut subscriber = cx.subscriber(&topic, AtMostOnce).await?;
    let first = [
        wire::packet(0xC0, &[]),
        wire::publish(v, 0, &topic, None, &[], b"x"),
        wire::publish(v, 2, &topic, Some(1), &[], b"x"),
        wire::subscribe(v, 0x82, 1, &[(topic.as_bytes(), 0)]),
        wire::packet(0xE0, &[]),
    ];
    for packet in first {
        let mut client = cx.open().await?;
        client.raw(&packet).await?;
        // The client would refuse any packet that came before a CONNACK.
        let closed = client.closed().await;
        closed.map_err(|failure| context(failure, &format!("first byte 0x{:02X}", packet[0])))?;
    }
    subscriber.silent().await
}

async fn second_connect(cx: &Context) -> Outcome {
    let connect = cx.clean();
    let (mut client, _) = cx.accepted(connect.clone()).await?;
    client.send(&Packet::Connect(Box::new(connect))).await?;
    client.closed_with(PROTOCOL_ERROR).await?;
    let (mut client, _) = cx.accepted(cx.clean()).await?;
    client.send(&Packet::Connect(Box::new(cx.clean()))).await?;
    client.closed_with(PROTOCOL_ERROR).await
}

async fn protocol_name(cx: &Context) -> Outcome {
    for name in ["MQTX", "mqtt", "MQTTT", ""] {
        let connect = RawConnect { name: name.into(), ..RawConnect::new(cx.version, cx.client_id()) };
        if let Some(connack) = cx.refused(&connect.bytes()).await? {
            ensure!(
                connack.reason == ReasonCode::UnsupportedProtocolVersion,
                "CONNACK {} for the protocol name {name:?}",
                connack.reason
            );
        }
    }
    Ok(())
}

async fn protocol_level(cx: &Context) -> Outcome {
    // Level 3 is that of a name that is not MQTT. A level above 5 may be answered in either form.
    let levels: &[u8] = if cx.is_v5() { &[6, 9, 255] } else { &[3, 0] };
    for &level in levels {
        let connect = RawConnect { level, ..RawConnect::new(cx.version, cx.client_id()) }.bytes();
        let mut client = cx.open().await?;
        client.raw(&connect).await?;
        let answer = client.any_bytes().await?;
        let old: &[u8] = &[0x20, 2, 0, 1];
        let new = answer.len() >= 5 && answer[0] == 0x20 && answer[2..4] == [0, 0x84];
        match cx.version {
            Version::V3 => ensure!(answer == old, "level {level} is answered {answer:02X?}, not 20 02 00 01"),
            Version::V5 => {
                ensure!(answer.is_empty() || answer == old || new, "level {level} is answered {answer:02X?}");
            }
        }
    }
    Ok(())
}

async fn reserved_connect_flag(cx: &Context) -> Outcome {
    let connect = RawConnect::new(cx.version, cx.client_id()).flags(flag::RESERVED);
    cx.malformed(&connect.bytes(), MALFORMED).await
}

async fn will_flag_without_will(cx: &Context) -> Outcome {
    let base = || RawConnect::new(cx.version, cx.client_id()).flags(flag::WILL);
    cx.malformed(&base().bytes(), MALFORMED).await?;
    // The topic alone is not enough.
    let mut connect = base();
    if cx.is_v5() {
        connect.payload.push(0);
    }
    cx.malformed(&connect.with(cx.topic("w")).bytes(), MALFORMED).await
}

async fn will_fields_without_will_flag(cx: &Context) -> Outcome {
    let base = || RawConnect::new(cx.version, cx.client_id());
    for flags in [flag::WILL_QOS_1, flag::WILL_QOS_2, flag::WILL_RETAIN] {
        let refused = cx.malformed(&base().flags(flags).bytes(), MALFORMED).await;
        refused.map_err(|failure| context(failure, &format!("flags 0x{flags:02X}")))?;
    }
    let mut connect = base().will(cx.topic("w"), b"x");
    connect.flags &= !flag::WILL;
    cx.malformed(&connect.bytes(), MALFORMED).await
}

async fn will_qos_3(cx: &Context) -> Outcome {
    let connect = RawConnect::new(cx.version, cx.client_id()).will(cx.topic("w"), b"x");
    cx.malformed(&connect.flags(flag::WILL_QOS_1 | flag::WILL_QOS_2).bytes(), MALFORMED).await
}

async fn user_name_flag(cx: &Context) -> Outcome {
    let base = || RawConnect::new(cx.version, cx.client_id());
    cx.malformed(&base().with("user").bytes(), MALFORMED).await?;
    cx.malformed(&base().flags(flag::USER_NAME).bytes(), MALFORMED).await
}

async fn password_flag(cx: &Context) -> Outcome {
    let base = || RawConnect::new(cx.version, cx.client_id()).flags(flag::USER_NAME).with("user");
    cx.malformed(&base().with("password").bytes(), MALFORMED).await?;
    cx.malformed(&base().flags(flag::PASSWORD).bytes(), MALFORMED).await
}

async fn password_without_user_name(cx: &Context) -> Outcome {
    let connect = RawConnect::new(cx.version, cx.client_id()).flags(flag::PASSWORD).with("password");
    cx.malformed(&connect.bytes(), MALFORMED).await
}

/// Client id, will topic, will message, user name, password. Each must be what stands in its place.
async fn order_of_the_payload(cx: &Context) -> Outcome {
    let topic = cx.topic("w");
    let mut subscriber = cx.subscriber(&topic, AtMostOnce).await?;
    let client_id = cx.client_id();
    let mut connect = RawConnect::new(cx.version, &client_id).will(&topic, b"will message");
    if let Some((user, password)) = &cx.target.credentials {
        connect = connect.flags(flag::USER_NAME | flag::PASSWORD).with(user).with(password);
    }
    let mut client = cx.open().await?;
    client.raw(&connect.bytes()).await?;
    let Some(Packet::ConnAck(connack)) = client.next().await? else { violation!("no CONNACK") };
    ensure!(connack.reason == ReasonCode::Success, "refused: {}", connack.reason);
    // The client id is the first field: another connection with it takes over, which publishes the will.
    let (mut other, _) = cx.accepted(Connect { client_id: client_id.into(), ..cx.clean() }).await?;
    client.closed().await?;
    subscriber.receive_payload("will message").await?;
    other.ping().await?;
    // Without a client id there is no CONNECT.
    let mut connect = RawConnect::new(cx.version, "");
    connect.payload = Vec::new();
    cx.malformed(&connect.bytes(), MALFORMED).await
}

async fn malformed_connect(cx: &Context) -> Outcome {
    let base = || RawConnect::new(cx.version, cx.client_id());
    let mut cut = base().bytes();
    // The last byte of the client id is missing, and the Remaining Length agrees with that.
    cut.pop();
    cut[1] -= 1;
    cx.malformed(&cut, MALFORMED).await?;
    let mut trailing = base();
    trailing.payload.push(0);
    cx.malformed(&trailing.bytes(), MALFORMED).await?;
    cx.malformed(&wire::packet(0x10, &[]), MALFORMED).await?;
    cx.malformed(&wire::packet(0x10, b"\x00\x04MQ"), MALFORMED).await?;
    if !cx.is_v5() {
        return Ok(());
    }
    // Receive Maximum 0, twice; Maximum Packet Size 0; a property of PUBLISH; none that exists; a boolean of 2; a
    // property that is cut off; a Property Length beyond the packet.
    let wrong: [(&[u8], &[ReasonCode]); 9] = [
        (&[0x21, 0, 0], PROTOCOL_ERROR),
        (&[0x21, 0, 1, 0x21, 0, 1], PROTOCOL_ERROR),
        (&[0x27, 0, 0, 0, 0], PROTOCOL_ERROR),
        (&[0x23, 0, 1], MALFORMED),
        (&[0x7F, 0], MALFORMED),
        (&[0x19, 2], PROTOCOL_ERROR),
        (&[0x17, 2], PROTOCOL_ERROR),
        (&[0x11, 0, 0], MALFORMED),
        (&[0x16, 0, 1, 0], PROTOCOL_ERROR),
    ];
    for (properties, reasons) in wrong {
        let refused = cx.malformed(&base().properties(properties).bytes(), reasons).await;
        refused.map_err(|failure| context(failure, &format!("properties {properties:02X?}")))?;
    }
    let mut long = base();
    long.properties = vec![0x7F];
    cx.malformed(&long.bytes(), MALFORMED).await
}

async fn accepted(cx: &Context) -> Outcome {
    let (mut client, connack) = cx.accepted(cx.clean()).await?;
    ensure!(!connack.session_present, "Session Present for a client id that was never used");
    client.ping().await
}

async fn connack_comes_before_messages(cx: &Context) -> Outcome {
    let (client_id, topic) = (cx.client_id(), cx.topic("t"));
    cx.leave_session(&client_id, &topic, AtLeastOnce).await?;
    for n in 0..20 {
        cx.publish(&topic, n.to_string(), AtLeastOnce).await?;
    }
    // The client wants CONNACK first.
    let mut client = cx.session(&client_id, true).await?;
    client.receive_many(20).await?;
    client.disconnect().await
}

async fn connack_flags(cx: &Context) -> Outcome {
    let client_id = cx.client_id();
    let flags = async |connect: Connect| {
        let (client, _) = cx.accepted(connect).await?;
        let flags = client.last_frame()[2];
        client.disconnect().await?;
        Ok(flags)
    };
    let first = flags(cx.lasting(&client_id)).await?;
    ensure!(first == 0, "acknowledge flags 0x{first:02X} for a new session");
    let second = flags(cx.lasting(&client_id)).await?;
    ensure!(second == 1, "acknowledge flags 0x{second:02X} for a session that is resumed");
    let clean = flags(Connect { clean_start: true, ..cx.lasting(&client_id) }).await?;
    ensure!(clean == 0, "acknowledge flags 0x{clean:02X} for a clean start");
    Ok(())
}

/// A CONNECT that is well-formed and must be refused with a CONNACK or by closing.
fn refused_connect(cx: &Context, client_id: &str) -> RawConnect {
    if cx.is_v5() {
        let method = [&[0x15][..], &wire::field("no such method")].concat();
        let mut connect = RawConnect::new(cx.version, client_id).properties(&method);
        connect.flags &= !flag::CLEAN;
        connect
    } else {
        let mut connect = RawConnect::new(cx.version, "");
        connect.flags = 0;
        connect
    }
}

async fn refusal_has_no_session_present(cx: &Context) -> Outcome {
    let client_id = cx.client_id();
    cx.session(&client_id, false).await?.disconnect().await?;
    // `refused` wants Session Present 0 and the end of the connection.
    let connack = cx.refused(&refused_connect(cx, &client_id).bytes()).await?;
    ensure!(cx.is_v5() || connack.is_some(), "an empty client id without Clean Session needs a CONNACK");
    cx.session(&client_id, true).await?.disconnect().await
}

async fn nothing_behind_a_refused_connect(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut subscriber = cx.subscriber(&topic, AtMostOnce).await?;
    let mut bytes = refused_connect(cx, &cx.client_id()).bytes();
    bytes.extend(wire::publish(cx.version, 0, &topic, None, &[], b"x"));
    cx.refused(&bytes).await?;
    subscriber.silent().await
}

/// The client refuses a DISCONNECT that comes before an accepting CONNACK.
async fn no_disconnect_before_connack(cx: &Context) -> Outcome {
    cx.refused(&refused_connect(cx, &cx.client_id()).bytes()).await?;
    cx.refused(&RawConnect::new(cx.version, cx.client_id()).flags(flag::RESERVED).bytes()).await?;
    for first in [wire::packet(0xC0, &[]), wire::packet(0x00, &[]), wire::packet(0xF0, &[])] {
        let mut client = cx.open().await?;
        client.raw(&first).await?;
        client.closed().await?;
    }
    Ok(())
}

/// A server that names no Maximum QoS takes QoS 2; one that names it grants subscriptions all the same.
async fn maximum_qos(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let (mut client, connack) = cx.accepted(cx.clean()).await?;
    let maximum = connack.properties.maximum_qos.unwrap_or(2);
    for qos in EVERY_QOS {
        let suback = client.try_subscribe(vec![subscription(&topic, qos)], None).await?;
        ensure!(!suback.codes[0].is_error(), "a subscription to QoS {} gets {}", qos as u8, suback.codes[0]);
    }
    for qos in EVERY_QOS.into_iter().filter(|qos| *qos as u8 <= maximum) {
        client.publish(&cx.topic("other"), "x", qos).await?;
        let connect = Connect { will: Some(will(&topic, "w", qos)), ..cx.clean() };
        cx.accepted(connect).await?.0.disconnect().await?;
    }
    for qos in EVERY_QOS.into_iter().filter(|qos| *qos as u8 > maximum) {
        let mut client = cx.open().await?;
        let connack = client.handshake(Connect { will: Some(will(&topic, "w", qos)), ..cx.clean() }).await?;
        ensure!(
            connack.reason == ReasonCode::QoSNotSupported,
            "CONNACK {} for a will above Maximum QoS",
            connack.reason
        );
        client.closed().await?;
    }
    Ok(())
}

async fn retain_available(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let (_, connack) = cx.accepted(cx.clean()).await?;
    let mut retained_will = will(&topic, "w", AtMostOnce);
    retained_will.retain = true;
    let connect = Connect { will: Some(retained_will), ..cx.clean() };
    if connack.properties.retain_available != Some(false) {
        return cx.accepted(connect).await?.0.disconnect().await;
    }
    let mut client = cx.open().await?;
    let connack = client.handshake(connect).await?;
    ensure!(
        connack.reason == ReasonCode::RetainNotSupported,
        "CONNACK {} for a retained will",
        connack.reason
    );
    client.closed().await?;
    Ok(())
}

async fn response_information(cx: &Context) -> Outcome {
    for asked in [None, Some(false)] {
        let connect = Connect { request_response_information: asked, ..cx.clean() };
        let (_, connack) = cx.accepted(connect).await?;
        let given = connack.properties.response_information;
        ensure!(given.is_none(), "Response Information {given:?} though nobody asked");
    }
    Ok(())
}
