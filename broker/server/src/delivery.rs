//! A committed message on its way down: one shared allocation, encoded once for each form that somebody needs.

use crate::{
    admission::{Held, Inflight},
    api::render,
};
use bytes::Bytes;
use parlance_mqtt::{EncodeError, PublishProperties, PublishTemplate, TopicName, Version};
use parlance_plugin_api::{
    ConversationId, ConversationKind, UserId,
    identity::Directory,
    record::{ConversationRecord, DeviceId, LogRecord},
};
use parlance_schema::{
    Format,
    message::Down,
    text,
    topic::{Channel, mine},
};
use std::sync::{Arc, OnceLock};

/// How a conversation is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationInfo {
    /// Its id.
    pub id: ConversationId,
    /// A group's name.
    pub name: String,
    /// A group's handle, without `@`.
    pub handle: String,
    /// A direct conversation's users.
    pub peers: Vec<UserId>,
}

impl ConversationInfo {
    /// From its record.
    pub fn new(id: ConversationId, record: &ConversationRecord) -> Self {
        let user = |bytes: &Vec<u8>| bytes.as_slice().try_into().ok().map(UserId);
        let peers = record.peers.iter().filter_map(user).collect();
        Self { id, name: record.name.clone(), handle: record.handle.clone(), peers }
    }

    /// The other user of a direct conversation as `viewer` sees it (oneself, in a conversation with oneself).
    pub fn peer_of(&self, viewer: UserId) -> Option<UserId> {
        let other = self.peers.iter().find(|peer| **peer != viewer);
        other.or(self.peers.first()).copied()
    }

    /// The topic level that names the conversation to `viewer`: `@handle` of the other person or of the group, else the group's id.
    pub fn label(&self, viewer: UserId, directory: &dyn Directory) -> String {
        match self.peer_of(viewer) {
            Some(peer) if self.id.kind() == ConversationKind::Direct => user_label(peer, directory),
            _ => text::name(&self.handle, &self.id.to_string()),
        }
    }

    /// Which of the two views of a direct conversation `viewer` has; groups have one.
    fn side(&self, viewer: UserId) -> usize {
        usize::from(self.id.kind() == ConversationKind::Direct && self.peers.first() != Some(&viewer))
    }
}

/// The topic level that names a user.
pub(crate) fn user_label(user: UserId, directory: &dyn Directory) -> String {
    let handle = directory.profile(user).map(|profile| profile.handle.to_string()).unwrap_or_default();
    text::name(&handle, &user.to_string())
}

const FORMATS: usize = 3;
const VERSIONS: usize = 2;
const SIDES: usize = 2;

type Encodings = [OnceLock<Option<PublishTemplate>>; FORMATS * VERSIONS * SIDES];

/// A message that is durable.
pub struct Committed {
    /// Where.
    pub conversation: Arc<ConversationInfo>,
    /// Its position.
    pub seq: u64,
    /// Who wrote it.
    pub sender: UserId,
    /// On which device; `None` for HTTP.
    pub device: Option<DeviceId>,
    /// What is stored; `None` when the record does not open any more.
    pub record: Option<LogRecord>,
    encodings: OnceLock<Box<Encodings>>,
    /// Its memory, counted while somebody waits for it.
    held: Option<Held>,
}

impl Committed {
    /// From the log.
    pub(crate) fn new(conversation: Arc<ConversationInfo>, seq: u64, record: Option<LogRecord>) -> Self {
        let id = |bytes: &Bytes| <[u8; 16]>::try_from(&bytes[..]).ok();
        let sender = record.as_ref().and_then(|record| id(&record.sender)).map_or(UserId([0; 16]), UserId);
        let device = record.as_ref().and_then(|record| id(&record.device)).map(DeviceId);
        Self { conversation, seq, sender, device, record, encodings: OnceLock::new(), held: None }
    }

    /// Counted among what is on its way.
    pub(crate) fn counted(mut self, inflight: &Inflight) -> Self {
        self.held = Some(inflight.hold(self.bytes()));
        self
    }

    /// About how much memory it holds, bytes.
    pub(crate) fn bytes(&self) -> usize {
        let content = self.record.as_ref().map_or(0, |record| {
            record.text.len()
                + record.data.as_ref().map_or(0, |data| data.bytes.len() + data.content_type.len())
        });
        size_of::<Self>() + content
    }

    /// Its PUBLISH in one form, as `viewer` sees it; made once and shared. `None` when it cannot be encoded (too large for MQTT).
    pub(crate) fn encoding(
        &self,
        format: Format,
        version: Version,
        viewer: UserId,
        directory: &dyn Directory,
    ) -> Option<&PublishTemplate> {
        let encodings = self.encodings.get_or_init(Box::default);
        let version_index = usize::from(version == Version::V5);
        let index = (format as usize * VERSIONS + version_index) * SIDES + self.conversation.side(viewer);
        let encoded = encodings[index].get_or_init(|| match self.encode(format, version, viewer, directory) {
            Ok(template) => Some(template),
            Err(error) => {
                tracing::error!(conversation = %self.conversation.id, seq = self.seq, %error, "a message cannot be encoded");
                None
            }
        });
        encoded.as_ref()
    }

    fn encode(
        &self,
        format: Format,
        version: Version,
        viewer: UserId,
        directory: &dyn Directory,
    ) -> Result<PublishTemplate, EncodeError> {
        let conversation = self.conversation.label(viewer, directory);
        let sender = user_label(self.sender, directory);
        let topic = mine(format, Channel::Inbox, &[&conversation, &sender]);
        // Handles and ids are topic levels by construction.
        let topic = TopicName::new(topic)
            .map_err(|_| EncodeError::InvalidString { packet: parlance_mqtt::PacketType::Publish })?;
        let properties = self.properties(format, version);
        PublishTemplate::new(version, &topic, &properties, &self.payload(format, directory), false)
    }

    fn payload(&self, format: Format, directory: &dyn Directory) -> Bytes {
        match &self.record {
            // The most frequent case needs no rendering: the text itself is the payload.
            Some(record) if format == Format::Text && !record.text.is_empty() => record.text.clone(),
            record => {
                render::message(self.conversation.id, self.seq, record.as_ref(), directory).render(format)
            }
        }
    }

    fn properties(&self, format: Format, version: Version) -> PublishProperties {
        if version == Version::V3 {
            return PublishProperties::default();
        }
        let content_type: &'static [u8] = match format {
            Format::Text => b"text/plain",
            Format::Json => b"application/json",
            Format::Pb => b"application/protobuf",
        };
        PublishProperties {
            payload_is_utf8: (format != Format::Pb).then_some(true),
            content_type: Some(Bytes::from_static(content_type)),
            user_properties: vec![
                (Bytes::from_static(b"seq"), self.seq.to_string().into()),
                (Bytes::from_static(b"conversation"), self.conversation.id.to_string().into()),
                (
                    Bytes::from_static(b"time"),
                    self.record.as_ref().map_or(0, |record| record.time_ms).to_string().into(),
                ),
            ],
            ..PublishProperties::default()
        }
    }
}
