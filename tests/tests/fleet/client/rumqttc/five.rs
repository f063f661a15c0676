//! rumqttc's client of MQTT 5.

use super::{Library, Once, PACKET_BYTES_MAX, REQUESTS_MAX, flag, number, payload, text};
use crate::client::put_payload;
use rumqttc::{
    Outgoing,
    v5::{
        AsyncClient, Event, EventLoop, Incoming, MqttOptions,
        mqttbytes::{
            QoS, qos as qos_of,
            v5::{
                ConnectProperties, LastWill, PubAckReason, PubCompReason, Publish, PublishProperties,
                SubscribeProperties, SubscribeReasonCode,
            },
        },
    },
};
use serde_json::{Map, Value, json};
use std::time::Duration;

pub(in crate::client) struct Five(AsyncClient);

impl Library for Five {
    type Events = EventLoop;

    fn make(order: &Value) -> (Self, EventLoop) {
        let port = number(order, "port").expect("a port");
        let mut options = MqttOptions::new(text(order, "id"), text(order, "host"), port);
        options.set_credentials(text(order, "user"), text(order, "password"));
        options.set_clean_start(flag(order, "clean"));
        options.set_keep_alive(Duration::from_secs(number(order, "keepAlive").expect("seconds")));
        options.set_connect_properties(ConnectProperties {
            session_expiry_interval: number(order, "expiry"),
            max_packet_size: Some(number(order, "maxPacket").unwrap_or(PACKET_BYTES_MAX)),
            topic_alias_max: number(order, "aliases"),
            ..ConnectProperties::new()
        });
        if let will @ Value::Object(_) = &order["will"] {
            let (topic, payload) = (text(will, "topic"), text(will, "payload"));
            options.set_last_will(LastWill::new(topic, payload, qos(will), flag(will, "retain"), None));
        }
        let (client, events) = AsyncClient::new(options, REQUESTS_MAX);
        (Self(client), events)
    }

    async fn poll(events: &mut EventLoop, once: &mut Once) -> Result<Option<Value>, String> {
        Ok(match events.poll().await.map_err(|error| error.to_string())? {
            Event::Incoming(packet) => incoming(packet, once),
            // QoS 0: nobody answers.
            Event::Outgoing(Outgoing::Publish(0)) => Some(json!({"event": "published"})),
            Event::Outgoing(_) => None,
        })
    }

    async fn obey(&self, order: &Value) -> Result<(), String> {
        let done = match order["do"].as_str() {
            Some("subscribe") => self.subscribe(order).await,
            Some("unsubscribe") => self.0.unsubscribe(text(order, "filter")).await,
            Some("publish") => {
                let (topic, retain, properties) =
                    (text(order, "topic"), flag(order, "retain"), carried(order));
                let body = payload(order);
                self.0.publish_with_properties(topic, qos(order), retain, body, properties).await
            }
            _ => self.0.disconnect().await,
        };
        done.map_err(|error| error.to_string())
    }
}

impl Five {
    async fn subscribe(&self, order: &Value) -> Result<(), rumqttc::v5::ClientError> {
        let (filter, qos) = (text(order, "filter"), qos(order));
        match number(order, "subscriptionId") {
            Some(id) => {
                let properties = SubscribeProperties { id: Some(id), user_properties: Vec::new() };
                self.0.subscribe_with_properties(filter, qos, properties).await
            }
            None => self.0.subscribe(filter, qos).await,
        }
    }
}

fn qos(order: &Value) -> QoS {
    qos_of(number(order, "qos").expect("a QoS")).expect("0, 1 or 2")
}

fn carried(order: &Value) -> PublishProperties {
    let maybe = |name: &str| order[name].as_str().map(str::to_owned);
    let pair =
        |(name, value): (&String, &Value)| (name.clone(), value.as_str().unwrap_or_default().to_owned());
    PublishProperties {
        payload_format_indicator: flag(order, "utf8").then_some(1),
        message_expiry_interval: number(order, "expiry"),
        topic_alias: number(order, "alias"),
        response_topic: maybe("responseTopic"),
        correlation_data: maybe("correlation").map(Into::into),
        user_properties: order["user"].as_object().into_iter().flatten().map(pair).collect(),
        subscription_identifiers: Vec::new(),
        content_type: maybe("contentType"),
    }
}

fn incoming(packet: Incoming, once: &mut Once) -> Option<Value> {
    Some(match packet {
        Incoming::ConnAck(_) => json!({"event": "connected"}),
        Incoming::SubAck(suback) => {
            let code = match suback.return_codes[0] {
                SubscribeReasonCode::Success(qos) => qos as u8,
                _ => 0x80,
            };
            json!({"event": "subscribed", "code": code})
        }
        Incoming::UnsubAck(_) => json!({"event": "unsubscribed"}),
        Incoming::PubAck(ack)
            if !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) =>
        {
            json!({"event": "error", "text": format!("{ack:?}")})
        }
        Incoming::PubComp(ack) if ack.reason != PubCompReason::Success => {
            json!({"event": "error", "text": format!("{ack:?}")})
        }
        Incoming::PubAck(_) | Incoming::PubComp(_) => json!({"event": "published"}),
        Incoming::PubRel(release) => {
            once.released(release.pkid);
            return None;
        }
        Incoming::Publish(publish) if publish.qos == QoS::ExactlyOnce && !once.is_new(publish.pkid) => {
            return None;
        }
        Incoming::Publish(publish) => message(&publish),
        _ => return None,
    })
}

fn message(publish: &Publish) -> Value {
    let topic = String::from_utf8_lossy(&publish.topic);
    let mut event = json!({
        "event": "message", "topic": topic, "qos": publish.qos as u8, "retain": publish.retain,
    });
    put_payload(&mut event, &publish.payload);
    let Some(properties) = &publish.properties else { return event };
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            event[name] = value;
        }
    };
    put("contentType", properties.content_type.clone().map(Value::from));
    put("responseTopic", properties.response_topic.clone().map(Value::from));
    let correlation = properties.correlation_data.as_ref();
    put("correlation", correlation.map(|bytes| String::from_utf8_lossy(bytes).into()));
    put("utf8", properties.payload_format_indicator.map(|utf8| (utf8 == 1).into()));
    put("expiry", properties.message_expiry_interval.map(Value::from));
    let user = properties.user_properties.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    let user: Map<String, Value> = user.collect();
    put("user", (!user.is_empty()).then_some(Value::Object(user)));
    let ids = &properties.subscription_identifiers;
    put("subscriptionIds", (!ids.is_empty()).then(|| json!(ids)));
    event
}
