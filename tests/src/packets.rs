//! What a device sends and gets, with the fields that tests look at.

use bytes::Bytes;
use parlance_mqtt::{Ack, PacketId, Publish, PublishProperties, QoS, ReasonCode, TopicName, UserProperties};
use serde_json::Value;

/// A user property by its name.
pub fn property<'a>(properties: &'a UserProperties, name: &str) -> Option<&'a str> {
    let (_, value) = properties.iter().find(|(key, _)| key == name.as_bytes())?;
    std::str::from_utf8(value).ok()
}

/// A publish to be sent: QoS 1 without anything special, unless told otherwise.
#[derive(Debug, Clone)]
pub struct Message {
    pub(crate) publish: Publish,
}

impl Message {
    /// To a topic.
    pub fn new(topic: &str, payload: impl Into<Bytes>) -> Self {
        let topic = TopicName::new(topic.to_owned()).unwrap_or_else(|error| panic!("{topic}: {error}"));
        let properties = PublishProperties::default();
        let (qos, packet_id, payload) = (QoS::AtLeastOnce, None, payload.into());
        Self {
            publish: Publish {
                dup: false,
                qos,
                retain: false,
                topic: Some(topic),
                packet_id,
                properties,
                payload,
            },
        }
    }

    /// QoS 0.
    #[must_use]
    pub fn qos0(mut self) -> Self {
        self.publish.qos = QoS::AtMostOnce;
        self
    }

    /// QoS 2.
    #[must_use]
    pub fn qos2(mut self) -> Self {
        self.publish.qos = QoS::ExactlyOnce;
        self
    }

    /// With a topic alias (5) beside its topic.
    #[must_use]
    pub fn topic_alias(mut self, alias: u16) -> Self {
        self.publish.properties.topic_alias = Some(alias);
        self
    }

    /// With this packet id, and not the next free one.
    #[must_use]
    pub fn packet_id(mut self, id: PacketId) -> Self {
        self.publish.packet_id = Some(id);
        self
    }

    /// As a retransmission.
    #[must_use]
    pub fn dup(mut self) -> Self {
        self.publish.dup = true;
        self
    }

    /// With RETAIN.
    #[must_use]
    pub fn retain(mut self) -> Self {
        self.publish.retain = true;
        self
    }

    /// With a Message Expiry Interval (MQTT 5), seconds.
    #[must_use]
    pub fn expiry_s(mut self, seconds: u32) -> Self {
        self.publish.properties.message_expiry_s = Some(seconds);
        self
    }

    /// With any change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Publish)) -> Self {
        change(&mut self.publish);
        self
    }

    /// With a user property (MQTT 5), such as `id`.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.publish.properties.user_properties.push((name.to_owned().into(), value.to_owned().into()));
        self
    }

    /// With a Response Topic and Correlation Data (MQTT 5).
    #[must_use]
    pub fn answer_to(mut self, topic: &str, correlation: &str) -> Self {
        self.publish.properties.response_topic = Some(topic.to_owned().into());
        self.publish.properties.correlation_data = Some(correlation.to_owned().into());
        self
    }
}

/// A PUBACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acked(pub Ack);

impl Acked {
    /// Which publish.
    pub fn packet_id(&self) -> PacketId {
        self.0.packet_id
    }

    /// The reason code (5).
    pub fn reason(&self) -> ReasonCode {
        self.0.reason
    }

    /// Where the message was put (5).
    ///
    /// # Panics
    /// If it was refused.
    pub fn seq(&self) -> u64 {
        let seq = property(&self.0.user_properties, "seq").and_then(|seq| seq.parse().ok());
        seq.unwrap_or_else(|| panic!("no seq in {:?}", self.0))
    }

    /// The conversation (5).
    pub fn conversation(&self) -> Option<&str> {
        property(&self.0.user_properties, "conversation")
    }

    /// It had been stored before (5).
    pub fn repeated(&self) -> bool {
        property(&self.0.user_properties, "repeated") == Some("true")
    }

    /// Why it was refused (5).
    pub fn code(&self) -> Option<&str> {
        property(&self.0.user_properties, "code")
    }
}

/// A publish that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery(pub Publish);

impl Delivery {
    /// Its topic.
    pub fn topic(&self) -> &str {
        self.0.topic.as_ref().map_or("", |topic| topic.as_str())
    }

    /// Its packet id; none with QoS 0.
    pub fn packet_id(&self) -> Option<PacketId> {
        self.0.packet_id
    }

    /// Came before.
    pub fn dup(&self) -> bool {
        self.0.dup
    }

    /// Its payload as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.0.payload).unwrap_or_else(|_| panic!("no text: {:?}", self.0))
    }

    /// Its payload as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.0.payload).unwrap_or_else(|error| panic!("{error}: {:?}", self.0))
    }

    /// Its seq, from the user properties (5) or from the JSON payload.
    ///
    /// # Panics
    /// If neither has one.
    pub fn seq(&self) -> u64 {
        match self.property("seq") {
            Some(seq) => seq.parse().unwrap_or_else(|_| panic!("seq is {seq}")),
            None => self.json()["seq"].as_u64().unwrap_or_else(|| panic!("no seq in {:?}", self.0)),
        }
    }

    /// A user property (5).
    pub fn property(&self, name: &str) -> Option<&str> {
        property(&self.0.properties.user_properties, name)
    }
}
