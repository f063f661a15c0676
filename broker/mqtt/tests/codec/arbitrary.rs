//! Strategies for every packet that may be encoded, in either version.

use bytes::Bytes;
use parlance_mqtt::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn text() -> impl Strategy<Value = Bytes> {
    "[a-zA-Z0-9 /+#$éß語😀\u{1}\u{feff}]{0,12}".prop_map(Bytes::from)
}

pub(crate) fn binary() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..24).prop_map(Bytes::from)
}

/// Mostly small, now and then large enough for two or three bytes of Remaining Length.
fn payload() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => binary(),
        1 => (any::<u8>(), 100..300_usize).prop_map(|(byte, len)| Bytes::from(vec![byte; len])),
        1 => (any::<u8>(), 16_300..16_500_usize).prop_map(|(byte, len)| Bytes::from(vec![byte; len])),
    ]
}

pub(crate) fn topic() -> impl Strategy<Value = TopicName> {
    "[a-z0-9$/é ]{1,16}".prop_map(|name| TopicName::new(name).unwrap())
}

pub(crate) fn filter() -> impl Strategy<Value = TopicFilter> {
    let level = prop_oneof![3 => "[a-z0-9é]{0,5}", 1 => Just("+".to_owned())];
    let share = prop_oneof![3 => Just(String::new()), 1 => "[a-z]{1,4}".prop_map(|g| format!("$share/{g}/"))];
    (share, "[a-z+]", vec(level, 0..4), any::<bool>()).prop_map(|(share, first, levels, rest)| {
        let mut levels: Vec<String> = std::iter::once(first).chain(levels).collect();
        if rest {
            levels.push("#".to_owned());
        }
        TopicFilter::new(share + &levels.join("/")).unwrap()
    })
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|id| PacketId::new(id).unwrap())
}

pub(crate) fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn users() -> impl Strategy<Value = UserProperties> {
    vec((text(), text()), 0..4)
}

pub(crate) fn subscription_id() -> impl Strategy<Value = u32> {
    prop_oneof![1..200_u32, 1..=268_435_455_u32]
}

fn reason(packet: PacketType) -> impl Strategy<Value = ReasonCode> {
    let codes = ReasonCode::ALL.iter().copied().filter(|code| code.is_allowed_in(packet));
    select(codes.collect::<Vec<_>>())
}

fn response_topic() -> impl Strategy<Value = Bytes> {
    topic().prop_map(Bytes::from)
}

pub(crate) fn message_properties() -> impl Strategy<Value = PublishProperties> {
    (of(any::<bool>()), of(any::<u32>()), of(response_topic()), of(binary()), of(text()), users()).prop_map(
        |(utf8, expiry, response_topic, correlation_data, content_type, user_properties)| PublishProperties {
            payload_is_utf8: utf8,
            message_expiry_s: expiry,
            topic_alias: None,
            response_topic,
            correlation_data,
            content_type,
            subscription_ids: Vec::new(),
            user_properties,
        },
    )
}

fn properties_of(version: Version) -> BoxedStrategy<PublishProperties> {
    match version {
        Version::V3 => Just(PublishProperties::default()).boxed(),
        Version::V5 => message_properties().boxed(),
    }
}

fn publish(version: Version) -> impl Strategy<Value = Publish> {
    let own = match version {
        Version::V3 => Just((None, Vec::new(), false)).boxed(),
        Version::V5 => (of(1..=u16::MAX), vec(subscription_id(), 0..3), any::<bool>()).boxed(),
    };
    (properties_of(version), own, topic(), qos(), packet_id(), any::<[bool; 2]>(), payload()).prop_map(
        |(mut properties, (alias, ids, nameless), topic, qos, id, [dup, retain], payload)| {
            properties.topic_alias = alias;
            properties.subscription_ids = ids;
            let acknowledged = qos != QoS::AtMostOnce;
            Publish {
                dup: dup && acknowledged,
                qos,
                retain,
                topic: (alias.is_none() || !nameless).then_some(topic),
                packet_id: acknowledged.then_some(id),
                properties,
                payload,
            }
        },
    )
}

fn will(version: Version) -> impl Strategy<Value = Will> {
    let delay = match version {
        Version::V3 => Just(None).boxed(),
        Version::V5 => of(any::<u32>()).boxed(),
    };
    (topic(), binary(), qos(), any::<bool>(), delay, properties_of(version)).prop_map(
        |(topic, payload, qos, retain, delay_s, properties)| Will {
            topic,
            payload,
            qos,
            retain,
            delay_s,
            properties,
        },
    )
}

fn connect(version: Version) -> impl Strategy<Value = Connect> {
    (any::<bool>(), any::<u16>(), text(), of(will(version)), of(text()), of(binary())).prop_flat_map(
        move |(clean_start, keep_alive_s, client_id, will, username, password)| {
            let v5 = version == Version::V5;
            let password = password.filter(|_| v5 || username.is_some());
            let plain = Connect {
                version,
                clean_start,
                keep_alive_s,
                client_id,
                will,
                username,
                password,
                session_expiry_s: None,
                receive_maximum: None,
                maximum_packet_size: None,
                topic_alias_maximum: None,
                request_response_information: None,
                request_problem_information: None,
                authentication_method: None,
                authentication_data: None,
                user_properties: Vec::new(),
            };
            if v5 { with_connect_properties(plain).boxed() } else { Just(plain).boxed() }
        },
    )
}

fn with_connect_properties(plain: Connect) -> impl Strategy<Value = Connect> {
    let numbers = (of(any::<u32>()), of(1..=u16::MAX), of(1..=u32::MAX), of(any::<u16>()));
    let flags = (of(any::<bool>()), of(any::<bool>()));
    (numbers, flags, of((text(), of(binary()))), users()).prop_map(
        move |((expiry, receive, size, alias), (response, problem), auth, user_properties)| {
            let (method, data) = auth.map_or((None, None), |(method, data)| (Some(method), data));
            Connect {
                session_expiry_s: expiry,
                receive_maximum: receive,
                maximum_packet_size: size,
                topic_alias_maximum: alias,
                request_response_information: response,
                request_problem_information: problem,
                authentication_method: method,
                authentication_data: data,
                user_properties,
                ..plain.clone()
            }
        },
    )
}

fn connack(version: Version) -> BoxedStrategy<ConnAck> {
    let present = |reason| reason == ReasonCode::Success;
    if version == Version::V3 {
        let codes = (0..=5).map(|code| ReasonCode::from_v3_connack(code).unwrap()).collect::<Vec<_>>();
        return (any::<bool>(), select(codes))
            .prop_map(move |(session, reason)| ConnAck {
                session_present: session && present(reason),
                reason,
                properties: ConnAckProperties::default(),
            })
            .boxed();
    }
    (any::<bool>(), reason(PacketType::ConnAck), connack_properties())
        .prop_map(move |(session, reason, properties)| ConnAck {
            session_present: session && present(reason),
            reason,
            properties,
        })
        .boxed()
}

fn connack_properties() -> impl Strategy<Value = ConnAckProperties> {
    let numbers = (
        of(any::<u32>()),
        of(1..=u16::MAX),
        of(0..=1_u8),
        of(1..=u32::MAX),
        of(any::<u16>()),
        of(any::<u16>()),
    );
    let flags = any::<[Option<bool>; 4]>();
    let texts = (of(text()), of(text()), of(text()), of(text()), of(text()), of(binary()));
    (numbers, flags, texts, users()).prop_map(|(numbers, flags, texts, user_properties)| {
        let (session_expiry_s, receive_maximum, maximum_qos, size, alias, keep_alive) = numbers;
        let [retain_available, wildcard, ids, shared] = flags;
        let (assigned, reason_string, response, server_reference, method, data) = texts;
        ConnAckProperties {
            session_expiry_s,
            receive_maximum,
            maximum_qos,
            retain_available,
            maximum_packet_size: size,
            assigned_client_id: assigned,
            topic_alias_maximum: alias,
            reason_string,
            user_properties,
            wildcard_subscription_available: wildcard,
            subscription_ids_available: ids,
            shared_subscription_available: shared,
            server_keep_alive_s: keep_alive,
            response_information: response,
            server_reference,
            authentication_method: method,
            authentication_data: data,
        }
    })
}

/// Reason String and user properties, absent in 3.1.1.
fn explanation(version: Version) -> BoxedStrategy<(Option<Bytes>, UserProperties)> {
    match version {
        Version::V3 => Just((None, Vec::new())).boxed(),
        Version::V5 => (of(text()), users()).boxed(),
    }
}

fn ack(version: Version, packet: PacketType) -> impl Strategy<Value = Ack> {
    let reason = match version {
        Version::V3 => Just(ReasonCode::Success).boxed(),
        Version::V5 => reason(packet).boxed(),
    };
    (packet_id(), reason, explanation(version)).prop_map(
        |(packet_id, reason, (reason_string, user_properties))| Ack {
            packet_id,
            reason,
            reason_string,
            user_properties,
        },
    )
}

fn subscribe(version: Version) -> impl Strategy<Value = Subscribe> {
    let v5 = version == Version::V5;
    let handling = [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
    let wanted = (filter(), qos(), any::<[bool; 2]>(), select(handling.to_vec())).prop_map(
        move |(filter, qos, [no_local, retain_as_published], retain_handling)| SubscribeFilter {
            no_local: v5 && no_local && filter.shared().is_none(),
            filter,
            qos,
            retain_as_published: v5 && retain_as_published,
            retain_handling: if v5 { retain_handling } else { RetainHandling::Send },
        },
    );
    (packet_id(), vec(wanted, 1..4), of(subscription_id()), users()).prop_map(
        move |(packet_id, filters, id, user_properties)| Subscribe {
            packet_id,
            filters,
            subscription_id: id.filter(|_| v5),
            user_properties: if v5 { user_properties } else { Vec::new() },
        },
    )
}

fn suback(version: Version) -> impl Strategy<Value = SubAck> {
    let code = match version {
        Version::V3 => {
            select([0, 1, 2, 0x80].map(|code| ReasonCode::from_v3_suback(code).unwrap()).to_vec()).boxed()
        }
        Version::V5 => reason(PacketType::SubAck).boxed(),
    };
    (packet_id(), vec(code, 1..5), explanation(version)).prop_map(
        |(packet_id, codes, (reason_string, user_properties))| SubAck {
            packet_id,
            codes,
            reason_string,
            user_properties,
        },
    )
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Unsubscribe> {
    (packet_id(), vec(filter(), 1..4), explanation(version)).prop_map(
        |(packet_id, filters, (_, user_properties))| Unsubscribe { packet_id, filters, user_properties },
    )
}

fn unsuback(version: Version) -> impl Strategy<Value = UnsubAck> {
    let codes = match version {
        Version::V3 => Just(Vec::new()).boxed(),
        Version::V5 => vec(reason(PacketType::UnsubAck), 1..5).boxed(),
    };
    (packet_id(), codes, explanation(version)).prop_map(
        |(packet_id, codes, (reason_string, user_properties))| UnsubAck {
            packet_id,
            codes,
            reason_string,
            user_properties,
        },
    )
}

fn disconnect(version: Version) -> BoxedStrategy<Disconnect> {
    if version == Version::V3 {
        return Just(Disconnect::with(ReasonCode::Success)).boxed();
    }
    (reason(PacketType::Disconnect), of(any::<u32>()), of(text()), of(text()), users())
        .prop_map(|(reason, session_expiry_s, reason_string, server_reference, user_properties)| Disconnect {
            reason,
            session_expiry_s,
            reason_string,
            server_reference,
            user_properties,
        })
        .boxed()
}

fn auth() -> impl Strategy<Value = Auth> {
    let bare = Auth {
        reason: ReasonCode::Success,
        method: None,
        data: None,
        reason_string: None,
        user_properties: Vec::new(),
    };
    let whole = (reason(PacketType::Auth), text(), of(binary()), of(text()), users()).prop_map(
        |(reason, method, data, reason_string, user_properties)| Auth {
            reason,
            method: Some(method),
            data,
            reason_string,
            user_properties,
        },
    );
    prop_oneof![1 => Just(bare), 6 => whole]
}

/// Any packet that this version can express.
pub(crate) fn packet(version: Version) -> BoxedStrategy<Packet> {
    let shared = prop_oneof![
        connect(version).prop_map(|connect| Packet::Connect(Box::new(connect))),
        connack(version).prop_map(|connack| Packet::ConnAck(Box::new(connack))),
        publish(version).prop_map(Packet::Publish),
        ack(version, PacketType::PubAck).prop_map(Packet::PubAck),
        ack(version, PacketType::PubRec).prop_map(Packet::PubRec),
        ack(version, PacketType::PubRel).prop_map(Packet::PubRel),
        ack(version, PacketType::PubComp).prop_map(Packet::PubComp),
        subscribe(version).prop_map(Packet::Subscribe),
        suback(version).prop_map(Packet::SubAck),
        unsubscribe(version).prop_map(Packet::Unsubscribe),
        unsuback(version).prop_map(Packet::UnsubAck),
        prop_oneof![Just(Packet::PingReq), Just(Packet::PingResp)],
        disconnect(version).prop_map(Packet::Disconnect),
    ];
    match version {
        Version::V3 => shared.boxed(),
        Version::V5 => prop_oneof![12 => shared, 1 => auth().prop_map(Packet::Auth)].boxed(),
    }
}

/// A version and a packet of it.
pub(crate) fn versioned() -> impl Strategy<Value = (Version, Packet)> {
    select(vec![Version::V3, Version::V5])
        .prop_flat_map(|version| packet(version).prop_map(move |packet| (version, packet)))
}
