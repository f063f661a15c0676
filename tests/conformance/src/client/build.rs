//! Packets with the usual values.

use bytes::Bytes;
use parlance_mqtt::{
    Publish, PublishProperties, QoS, RetainHandling, SubscribeFilter, TopicFilter, TopicName,
};

/// A PUBLISH. A packet id is given when it is sent.
pub(crate) fn message(topic: &str, payload: impl Into<Bytes>, qos: QoS) -> Publish {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: Some(topic_name(topic)),
        packet_id: None,
        properties: PublishProperties::default(),
        payload: payload.into(),
    }
}

/// A retained one.
pub(crate) fn retained(topic: &str, payload: impl Into<Bytes>, qos: QoS) -> Publish {
    Publish { retain: true, ..message(topic, payload, qos) }
}

/// A filter with default options.
pub(crate) fn subscription(filter: &str, qos: QoS) -> SubscribeFilter {
    SubscribeFilter {
        filter: topic_filter(filter),
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

pub(crate) fn topic_name(topic: &str) -> TopicName {
    TopicName::new(topic.to_owned()).expect("the suite's topic names are valid")
}

pub(super) fn topic_filter(filter: &str) -> TopicFilter {
    TopicFilter::new(filter.to_owned()).expect("the suite's topic filters are valid")
}
