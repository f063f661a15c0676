//! A message of a free topic on its way: one shared allocation, encoded once for each protocol version.

use crate::admission::{Held, Inflight};
use bytes::Bytes;
use parlance_mqtt::{PublishProperties, PublishTemplate, QoS, TopicName, Version};
use parlance_plugin_api::record::{FreeRecord, SessionKey};
use std::sync::{Arc, OnceLock};

/// A message that was published to a free topic.
#[derive(Debug)]
pub struct FreeMessage {
    /// Where.
    pub topic: TopicName,
    /// What is stored of it, too.
    pub record: FreeRecord,
    /// When it expires, Unix milliseconds.
    pub expires_ms: Option<u64>,
    encodings: [OnceLock<Option<PublishTemplate>>; 2],
    held: Option<Held>,
}

impl FreeMessage {
    /// From its record; `None` if that holds no topic name.
    pub fn new(record: FreeRecord) -> Option<Self> {
        let topic = record.topic_name().ok()?;
        let expires_ms = record.expires_ms();
        Some(Self { topic, record, expires_ms, encodings: [OnceLock::new(), OnceLock::new()], held: None })
    }

    /// Counted among what is on its way. A retained message stays: it has bounds of its own.
    pub(crate) fn counted(mut self, inflight: &Inflight) -> Self {
        self.held = (!self.record.retain).then(|| inflight.hold(self.bytes()));
        self
    }

    /// Who published it.
    pub fn publisher(&self) -> Option<SessionKey> {
        SessionKey::parse(&self.record.publisher)
    }

    /// Its payload.
    pub fn payload(&self) -> &Bytes {
        &self.record.payload
    }

    /// About how much memory it holds, bytes.
    pub fn bytes(&self) -> usize {
        let user: usize = self.record.user_properties.iter().map(|p| p.name.len() + p.value.len() + 64).sum();
        size_of::<Self>() + self.topic.as_str().len() + self.record.payload.len() + user
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|at| at <= now_ms)
    }

    /// Its PUBLISH in one version, with what is left of its expiry; made once and shared. `None`: too large for MQTT.
    pub fn encoding(&self, version: Version, now_ms: u64) -> Option<PublishTemplate> {
        let index = usize::from(version == Version::V5);
        let made = self.encodings[index].get_or_init(|| {
            let properties = match version {
                Version::V3 => PublishProperties::default(),
                Version::V5 => self.record.properties(),
            };
            let made = PublishTemplate::new(version, &self.topic, &properties, &self.record.payload, true);
            made.inspect_err(|error| tracing::warn!(%error, "a free message cannot be encoded")).ok()
        });
        let left = self.expires_ms.map(|at| {
            let seconds = at.saturating_sub(now_ms).div_ceil(1000);
            u32::try_from(seconds).unwrap_or(u32::MAX)
        });
        made.as_ref().map(|template| template.clone().with_message_expiry(left))
    }
}

/// A free message for one session.
#[derive(Debug, Clone)]
pub struct FreeDelivery {
    /// The message.
    pub message: Arc<FreeMessage>,
    /// QoS of this delivery.
    pub qos: QoS,
    /// RETAIN flag of this delivery.
    pub retain: bool,
    /// Identifiers of the subscriptions that led to it.
    pub subscription_ids: Box<[u32]>,
    /// `{group}/{filter}` of the shared subscription that it comes from.
    pub share: Option<Arc<str>>,
}
