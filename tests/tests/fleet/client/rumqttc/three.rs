//! rumqttc's client of MQTT 3.1.1.

use super::{Library, Once, PACKET_BYTES_MAX, REQUESTS_MAX, flag, number, payload, text};
use crate::client::put_payload;
use rumqttc::{
    AsyncClient, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, Publish, QoS, SubscribeReasonCode,
};
use serde_json::{Value, json};
use std::time::Duration;

pub(in crate::client) struct Three(AsyncClient);

impl Library for Three {
    type Events = EventLoop;

    fn make(order: &Value) -> (Self, EventLoop) {
        let port = number(order, "port").expect("a port");
        let mut options = MqttOptions::new(text(order, "id"), text(order, "host"), port);
        options.set_credentials(text(order, "user"), text(order, "password"));
        options.set_clean_session(flag(order, "clean"));
        options.set_keep_alive(Duration::from_secs(number(order, "keepAlive").expect("seconds")));
        options.set_max_packet_size(PACKET_BYTES_MAX as usize, PACKET_BYTES_MAX as usize);
        if let will @ Value::Object(_) = &order["will"] {
            let (topic, payload) = (text(will, "topic"), text(will, "payload"));
            options.set_last_will(LastWill::new(topic, payload, qos(will), flag(will, "retain")));
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
            Some("subscribe") => self.0.subscribe(text(order, "filter"), qos(order)).await,
            Some("unsubscribe") => self.0.unsubscribe(text(order, "filter")).await,
            Some("publish") => {
                let topic = text(order, "topic");
                self.0.publish(topic, qos(order), flag(order, "retain"), payload(order)).await
            }
            _ => self.0.disconnect().await,
        };
        done.map_err(|error| error.to_string())
    }
}

fn qos(order: &Value) -> QoS {
    rumqttc::qos(number(order, "qos").expect("a QoS")).expect("0, 1 or 2")
}

fn incoming(packet: Packet, once: &mut Once) -> Option<Value> {
    Some(match packet {
        Packet::ConnAck(_) => json!({"event": "connected"}),
        Packet::SubAck(suback) => {
            let code = match suback.return_codes[0] {
                SubscribeReasonCode::Success(qos) => qos as u8,
                SubscribeReasonCode::Failure => 0x80,
            };
            json!({"event": "subscribed", "code": code})
        }
        Packet::UnsubAck(_) => json!({"event": "unsubscribed"}),
        Packet::PubAck(_) | Packet::PubComp(_) => json!({"event": "published"}),
        Packet::PubRel(release) => {
            once.released(release.pkid);
            return None;
        }
        Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce && !once.is_new(publish.pkid) => {
            return None;
        }
        Packet::Publish(publish) => message(&publish),
        _ => return None,
    })
}

fn message(publish: &Publish) -> Value {
    let (topic, qos, retain) = (&publish.topic, publish.qos as u8, publish.retain);
    let mut event = json!({"event": "message", "topic": topic, "qos": qos, "retain": retain});
    put_payload(&mut event, &publish.payload);
    event
}
