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
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// How a conversation is named.
#[derive(Debug)]
pub struct ConversationInfo {
    /// Its id.
    pub id: ConversationId,
    /// A group's name.
    pub name: String,
    /// A group's handle, without `@`.
    pub handle: String,
    /// A direct conversation's users.
    pub peers: Vec<UserId>,
    kinds: Mutex<Vec<Kind>>,
}

/// What all messages of one sender in one form have in common, encoded.
#[derive(Debug)]
struct Kind {
    sender: UserId,
    /// As in [`Committed::form`].
    form: usize,
    /// Of the directory that the names in it came from.
    version: u64,
    /// Without seq, time and payload.
    template: PublishTemplate,
}

/// How many kinds a conversation remembers.
const KINDS_MAX: usize = 4;

impl ConversationInfo {
    /// From its record.
    pub fn new(id: ConversationId, record: &ConversationRecord) -> Self {
        let user = |bytes: &Vec<u8>| bytes.as_slice().try_into().ok().map(UserId);
        let peers = record.peers.iter().filter_map(user).collect();
        Self { id, name: record.name.clone(), handle: record.handle.clone(), peers, kinds: Mutex::default() }
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
            _ if self.handle.is_empty() => self.id.to_string(),
            _ => text::name(&self.handle, ""),
        }
    }

    /// A message of a kind: what they have in common is made where it is not known, or may be old.
    fn message_of(
        &self,
        (sender, form, version): (UserId, usize, Option<u64>),
        make: impl FnOnce() -> Result<PublishTemplate, EncodeError>,
        message: impl FnOnce(&PublishTemplate) -> Result<PublishTemplate, EncodeError>,
    ) -> Result<PublishTemplate, EncodeError> {
        let Some(version) = version else { return message(&make()?) };
        // What is in the list is whole at any time.
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kinds.iter().position(|kind| (kind.sender, kind.form) == (sender, form));
        if let Some(known) = known {
            if kinds[known].version == version {
                return message(&kinds[known].template);
            }
            kinds.remove(known);
        }
        let template = make()?;
        let made = message(&template);
        if kinds.len() >= KINDS_MAX {
            kinds.remove(0);
        }
        kinds.push(Kind { sender, form, version, template });
        made
    }

    /// Which of the two views of a direct conversation `viewer` has; groups have one.
    fn side(&self, viewer: UserId) -> usize {
        usize::from(self.id.kind() == ConversationKind::Direct && self.peers.first() != Some(&viewer))
    }
}

/// The topic level that names a user.
pub(crate) fn user_label(user: UserId, directory: &dyn Directory) -> String {
    match directory.profile(user) {
        Some(profile) => text::name(profile.handle.as_str(), ""),
        None => user.to_string(),
    }
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
    /// The form that was asked for first: most have one reader, or readers of one kind.
    first: OnceLock<(usize, Option<PublishTemplate>)>,
    others: OnceLock<Box<Encodings>>,
    /// Its memory, counted while somebody waits for it.
    held: Option<Held>,
}

impl Committed {
    /// From the log.
    pub(crate) fn new(conversation: Arc<ConversationInfo>, seq: u64, record: Option<LogRecord>) -> Self {
        let id = |bytes: &Bytes| <[u8; 16]>::try_from(&bytes[..]).ok();
        let sender = record.as_ref().and_then(|record| id(&record.sender)).map_or(UserId([0; 16]), UserId);
        let device = record.as_ref().and_then(|record| id(&record.device)).map(DeviceId);
        Self {
            conversation,
            seq,
            sender,
            device,
            record,
            first: OnceLock::new(),
            others: OnceLock::new(),
            held: None,
        }
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
        let form = self.form(format, version, viewer);
        let encode = || match self.encode(format, version, viewer, directory) {
            Ok(template) => Some(template),
            Err(error) => {
                tracing::error!(conversation = %self.conversation.id, seq = self.seq, %error, "a message cannot be encoded");
                None
            }
        };
        let (first, encoded) = self.first.get_or_init(|| (form, encode()));
        if *first == form {
            return encoded.as_ref();
        }
        self.others.get_or_init(Box::default)[form].get_or_init(encode).as_ref()
    }

    /// Which of the encodings of a message it is.
    fn form(&self, format: Format, version: Version, viewer: UserId) -> usize {
        let version = usize::from(version == Version::V5);
        (format as usize * VERSIONS + version) * SIDES + self.conversation.side(viewer)
    }

    fn encode(
        &self,
        format: Format,
        version: Version,
        viewer: UserId,
        directory: &dyn Directory,
    ) -> Result<PublishTemplate, EncodeError> {
        let form = self.form(format, version, viewer);
        let kind = (self.sender, form, directory.version());
        let make = || self.kind(format, version, viewer, directory);
        let payload = match &self.record {
            // The most frequent case needs no rendering: the text itself is the payload.
            Some(record) if format == Format::Text && !record.text.is_empty() => Cow::Borrowed(&record.text),
            record => Cow::Owned(
                render::message(self.conversation.id, self.seq, record.as_ref(), directory).render(format),
            ),
        };
        let time_ms = self.record.as_ref().map_or(0, |record| record.time_ms);
        self.conversation.message_of(kind, make, |kind| {
            let (seq, time) = (Digits::of(self.seq), Digits::of(time_ms));
            let id = self.conversation.id.text();
            let properties = [("seq", seq.as_str()), ("conversation", id.as_str()), ("time", time.as_str())];
            kind.with_message(&properties, &payload)
        })
    }

    /// What it has in common with others of its sender, in one form.
    fn kind(
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
        PublishTemplate::new(version, &topic, &properties(format), &[], false)
    }
}

/// What all messages of a format say of their payload.
fn properties(format: Format) -> PublishProperties {
    let content_type: &'static [u8] = match format {
        Format::Text => b"text/plain",
        Format::Json => b"application/json",
        Format::Pb => b"application/protobuf",
    };
    PublishProperties {
        payload_is_utf8: (format != Format::Pb).then_some(true),
        content_type: Some(Bytes::from_static(content_type)),
        ..PublishProperties::default()
    }
}

/// A number in decimal, without an allocation.
pub(crate) struct Digits {
    bytes: [u8; Self::MAX],
    from: usize,
}

impl Digits {
    /// Of the greatest number.
    const MAX: usize = 20;

    pub(crate) fn of(mut number: u64) -> Self {
        let (mut bytes, mut from) = ([0; Self::MAX], Self::MAX);
        loop {
            from -= 1;
            bytes[from] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { bytes, from };
            }
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.from..]).expect("digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::World;
    use parlance_mqtt::{QoS, Recipient};
    use parlance_plugin_api::identity::{Named, Profile};
    use parlance_schema::Handle;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    /// A world whose names may be kept as long as a number stays.
    #[derive(Default)]
    struct Versioned(World, AtomicU64);

    impl Directory for Versioned {
        fn resolve(&self, handle: &Handle) -> Option<Named> {
            self.0.resolve(handle)
        }
        fn profile(&self, user: UserId) -> Option<Arc<Profile>> {
            self.0.profile(user)
        }
        fn version(&self) -> Option<u64> {
            Some(self.1.load(SeqCst))
        }
    }

    fn topic(message: &Committed, viewer: UserId, directory: &dyn Directory) -> String {
        let template = message.encoding(Format::Text, Version::V5, viewer, directory).unwrap();
        let recipient = Recipient {
            qos: QoS::AtMostOnce,
            dup: false,
            packet_id: None,
            subscription_ids: &[],
            topic_alias: None,
            retain: false,
        };
        let mut out = bytes::BytesMut::new();
        template.write(&recipient, &mut out);
        String::from_utf8_lossy(&out[4..4 + template.topic_len()]).into_owned()
    }

    #[test]
    fn numbers_in_decimal() {
        for number in [0, 1, 9, 10, 1_763_797_018_123, u64::MAX] {
            assert_eq!(Digits::of(number).as_str(), number.to_string());
        }
    }

    #[test]
    fn each_reader_sees_its_own_topic_and_a_new_name_at_once() {
        let mut directory = Versioned::default();
        let (alice, bob) = (directory.0.user("alice"), directory.0.user("bob"));
        let id = ConversationId::direct(alice, bob);
        let peers = [alice, bob].map(|user| user.0.to_vec()).to_vec();
        let record = ConversationRecord { peers, ..ConversationRecord::default() };
        let info = Arc::new(ConversationInfo::new(id, &record));
        let message = |seq, sender: UserId| {
            let sender = sender.0.to_vec().into();
            let text = Bytes::from_static(b"hello");
            let record = LogRecord { sender, text, ..LogRecord::default() };
            Committed::new(info.clone(), seq, Some(record))
        };
        for seq in 1..4 {
            let (from_alice, from_bob) = (message(seq, alice), message(seq, bob));
            assert_eq!(topic(&from_alice, bob, &directory), "me/text/inbox/@alice/@alice");
            assert_eq!(topic(&from_alice, alice, &directory), "me/text/inbox/@bob/@alice");
            assert_eq!(topic(&from_bob, bob, &directory), "me/text/inbox/@alice/@bob");
            assert_eq!(topic(&from_bob, alice, &directory), "me/text/inbox/@bob/@bob");
        }
        directory.0.rename(alice, "alicia");
        directory.1.fetch_add(1, SeqCst);
        assert_eq!(topic(&message(4, alice), bob, &directory), "me/text/inbox/@alicia/@alicia");
    }
}
