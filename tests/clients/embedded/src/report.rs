//! What happened, as lines.

use crate::{ALIASES, USER_PROPERTIES};
use rust_mqtt::{
    client::{event::Publish, options::TopicReference},
    types::{MqttString, QoS},
};
use serde_json::{Map, Value, json};
use std::io::{Write, stdout};

/// Tells it to the test.
pub(crate) fn say(event: Value) {
    let mut out = stdout().lock();
    // Without a reader there is nobody to tell: standard input ends as well then, and the program with it.
    let _ = writeln!(out, "{event}").and_then(|()| out.flush());
}

/// The topic of a message, whose aliases the library leaves to its user.
pub(crate) fn topic(aliases: &mut [String; ALIASES], reference: &TopicReference<'_>) -> String {
    let name = reference.name().map(|name| name.as_ref().as_str().to_owned());
    let slot = reference.alias().and_then(|alias| aliases.get_mut(usize::from(alias.get()) - 1));
    match (name, slot) {
        (Some(name), Some(slot)) => {
            slot.clone_from(&name);
            name
        }
        (Some(name), None) => name,
        (None, Some(slot)) => slot.clone(),
        (None, None) => String::new(),
    }
}

pub(crate) fn message(topic: &str, publish: &Publish<'_, 2, USER_PROPERTIES>) {
    let qos = match QoS::from(publish.identified_qos) {
        QoS::AtMostOnce => 0,
        QoS::AtLeastOnce => 1,
        QoS::ExactlyOnce => 2,
    };
    // No payload is so long that it would be told by its hash.
    let payload = String::from_utf8_lossy(&publish.message);
    let mut event = json!({
        "event": "message", "topic": topic, "qos": qos, "retain": publish.retain, "payload": payload,
    });
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            event[name] = value;
        }
    };
    let text = |text: &MqttString<'_>| Value::from(text.as_str());
    put("contentType", publish.content_type.as_ref().map(text));
    put("responseTopic", publish.response_topic.as_ref().map(|topic| text(topic.as_ref())));
    let correlation = publish.correlation_data.as_ref();
    put("correlation", correlation.map(|data| String::from_utf8_lossy(data.as_bytes()).into()));
    put("utf8", publish.payload_format_indicator.map(Value::from));
    put("expiry", publish.message_expiry_interval.map(Value::from));
    let pairs = publish.user_properties.iter();
    let user: Map<String, Value> =
        pairs.map(|pair| (pair.name.as_str().to_owned(), text(&pair.value))).collect();
    put("user", (!user.is_empty()).then_some(Value::Object(user)));
    let ids: Vec<u32> = publish.subscription_identifiers.iter().map(|id| id.value()).collect();
    put("subscriptionIds", (!ids.is_empty()).then(|| json!(ids)));
    say(event);
}
