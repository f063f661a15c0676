//! An entry of the log as clients see it.

use bytes::Bytes;
use parlance_plugin_api::{
    ConversationId, UserId,
    identity::Directory,
    record::{ChangeRecord, LogRecord},
};
use parlance_schema::pb;

/// An entry as it is sent and listed: names come from the directory as they are now. `record: None` is an entry that
/// cannot be read; it keeps its place, so that seqs stay dense.
pub fn message(
    conversation: ConversationId,
    seq: u64,
    record: Option<&LogRecord>,
    directory: &dyn Directory,
) -> pb::Message {
    let place = pb::Message { conversation: conversation.to_string(), seq, ..pb::Message::default() };
    let Some(record) = record else {
        return pb::Message { kind: pb::Kind::Unreadable as i32, ..place };
    };
    let (sender, sender_handle) = person(&record.sender, directory);
    let kind = if record.change.is_some() { pb::Kind::Change } else { pb::Kind::Message };
    pb::Message {
        kind: kind as i32,
        id: text(&record.id),
        sender,
        sender_handle,
        time_ms: record.time_ms,
        text: text(&record.text),
        data: record
            .data
            .as_ref()
            .map(|data| pb::Data { content_type: data.content_type.clone(), bytes: data.bytes.clone() }),
        change: record.change.as_ref().map(|record| change(record, directory)),
        ..place
    }
}

fn change(record: &ChangeRecord, directory: &dyn Directory) -> pb::Change {
    let (user, user_handle) = person(&record.user, directory);
    pb::Change { action: record.action.clone(), user, user_handle, name: record.name.clone() }
}

/// User id and handle, each empty where it is not known.
fn person(id: &[u8], directory: &dyn Directory) -> (String, String) {
    let Ok(id) = id.try_into().map(UserId) else { return Default::default() };
    let handle = directory.profile(id).map(|profile| profile.handle.as_str().to_owned());
    (id.to_string(), handle.unwrap_or_default())
}

/// Checked when it came in; what is not UTF-8 all the same is shown as far as it is.
fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::World;
    use parlance_plugin_api::record::DataRecord;

    #[test]
    fn names_come_from_the_directory() {
        let mut world = World::default();
        let (alice, bob) = (world.user("alice"), world.user("bob"));
        let group = ConversationId::fresh_group();
        let record = LogRecord {
            sender: alice.0.to_vec().into(),
            time_ms: 5,
            change: Some(ChangeRecord {
                action: "member_added".into(),
                user: bob.0.to_vec().into(),
                name: String::new(),
            }),
            ..LogRecord::default()
        };
        let message = message(group, 4, Some(&record), &world);
        assert_eq!(message.kind(), pb::Kind::Change);
        assert_eq!((message.sender, message.sender_handle), (alice.to_string(), "alice".to_owned()));
        assert_eq!(message.change.map(|change| change.user_handle), Some("bob".to_owned()));
        assert_eq!((message.seq, message.time_ms, message.conversation), (4, 5, group.to_string()));
    }

    #[test]
    fn data_and_ids_are_kept() {
        let world = World::default();
        let stranger = UserId::fresh();
        let record = LogRecord {
            sender: stranger.0.to_vec().into(),
            id: Bytes::from_static(b"m-1"),
            data: Some(DataRecord { content_type: "image/png".into(), bytes: Bytes::from_static(&[0, 255]) }),
            ..LogRecord::default()
        };
        let message = message(ConversationId::fresh_group(), 1, Some(&record), &world);
        assert_eq!((message.id.as_str(), message.sender_handle.as_str()), ("m-1", ""));
        assert_eq!(message.sender, stranger.to_string());
        assert_eq!(message.data.map(|data| data.bytes), Some(Bytes::from_static(&[0, 255])));
    }
}
