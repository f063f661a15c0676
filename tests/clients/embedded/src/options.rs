//! Orders in the words of rust-mqtt.

use crate::{PACKET_BYTES_MAX, Refused};
use rust_mqtt::{
    client::options::{ConnectOptions, PublicationOptions, SubscriptionOptions, TopicReference, WillOptions},
    config::{KeepAlive, SessionExpiryInterval},
    types::{MqttBinary, MqttString, MqttStringPair, QoS, TopicName, VarByteInt},
};
use serde_json::Value;
use std::num::NonZero;

pub(crate) fn text<'o>(order: &'o Value, name: &str) -> Result<&'o str, Refused> {
    order[name].as_str().ok_or_else(|| format!("no {name}").into())
}

pub(crate) fn number(order: &Value, name: &str) -> Option<u64> {
    order[name].as_u64()
}

fn string<'o>(order: &'o Value, name: &str) -> Result<MqttString<'o>, Refused> {
    MqttString::try_from(text(order, name)?).map_err(|error| format!("{name}: {error:?}").into())
}

fn binary<'o>(order: &'o Value, name: &str) -> Result<MqttBinary<'o>, Refused> {
    MqttBinary::try_from(text(order, name)?).map_err(|error| format!("{name}: {error:?}").into())
}

fn topic<'o>(order: &'o Value, name: &str) -> Result<TopicName<'o>, Refused> {
    TopicName::new(string(order, name)?).ok_or_else(|| format!("{name} is no topic name").into())
}

fn qos(order: &Value) -> QoS {
    match number(order, "qos") {
        Some(1) => QoS::AtLeastOnce,
        Some(2) => QoS::ExactlyOnce,
        _ => QoS::AtMostOnce,
    }
}

fn has(order: &Value, name: &str) -> bool {
    !order[name].is_null()
}

pub(crate) fn connect(order: &Value) -> Result<ConnectOptions<'_>, Refused> {
    let packet = NonZero::new(PACKET_BYTES_MAX).ok_or("a device without memory")?;
    let keep_alive =
        number(order, "keepAlive").and_then(|seconds| NonZero::new(u16::try_from(seconds).ok()?));
    let mut options = ConnectOptions::new()
        .maximum_packet_size(packet)
        .keep_alive(keep_alive.map_or(KeepAlive::Infinite, KeepAlive::Seconds))
        .user_name(string(order, "user")?)
        .password(binary(order, "password")?);
    if order["clean"] == true {
        options = options.clean_start();
    }
    let expiry = number(order, "expiry").and_then(|seconds| NonZero::new(u32::try_from(seconds).ok()?));
    if let Some(expiry) = expiry {
        options = options.session_expiry_interval(SessionExpiryInterval::Seconds(expiry));
    }
    let told = &order["will"];
    if has(order, "will") {
        let mut will = WillOptions::new(topic(told, "topic")?, binary(told, "payload")?).qos(qos(told));
        if told["retain"] == true {
            will = will.retain();
        }
        options = options.will(will);
    }
    Ok(options)
}

pub(crate) fn subscribe(order: &Value) -> Result<SubscriptionOptions<'_>, Refused> {
    let options = SubscriptionOptions::new().qos(qos(order));
    match number(order, "subscriptionId") {
        Some(id) => {
            let id = VarByteInt::try_from(u32::try_from(id)?).map_err(|error| format!("{error:?}"))?;
            Ok(options.subscription_identifier(id))
        }
        None => Ok(options),
    }
}

/// The user properties of a publish.
pub(crate) fn user(order: &Value) -> Result<Vec<MqttStringPair<'_>>, Refused> {
    let pairs = order["user"].as_object().into_iter().flatten();
    let string = |text: &'_ str| MqttString::try_from(text.to_owned()).map_err(|error| format!("{error:?}"));
    let pair = |(name, value): (&String, &Value)| {
        let value = value.as_str().ok_or("a user property is text")?;
        Ok(MqttStringPair::new(string(name)?, string(value)?))
    };
    pairs.map(pair).collect()
}

pub(crate) fn publish<'o>(
    order: &'o Value,
    user: &'o [MqttStringPair<'o>],
) -> Result<PublicationOptions<'o>, Refused> {
    let alias = number(order, "alias").and_then(|alias| NonZero::new(u16::try_from(alias).ok()?));
    let reference = match alias {
        Some(alias) if text(order, "topic")?.is_empty() => TopicReference::Alias(alias),
        Some(alias) => TopicReference::Mapping(topic(order, "topic")?, alias),
        None => TopicReference::Name(topic(order, "topic")?),
    };
    let mut options = PublicationOptions::new(reference).qos(qos(order)).user_properties(user);
    if order["retain"] == true {
        options = options.retain();
    }
    if order["utf8"] == true {
        options = options.payload_format_indicator(true);
    }
    if let Some(seconds) = number(order, "expiry") {
        options = options.message_expiry_interval(u32::try_from(seconds)?);
    }
    if has(order, "responseTopic") {
        options = options.response_topic(topic(order, "responseTopic")?);
    }
    if has(order, "correlation") {
        options = options.correlation_data(binary(order, "correlation")?);
    }
    if has(order, "contentType") {
        options = options.content_type(string(order, "contentType")?);
    }
    Ok(options)
}

pub(crate) fn payload(order: &Value) -> Result<Vec<u8>, Refused> {
    match number(order, "bytes") {
        Some(length) => Ok((b'a'..=b'z').cycle().take(usize::try_from(length)?).collect()),
        None => Ok(text(order, "payload")?.as_bytes().to_vec()),
    }
}
