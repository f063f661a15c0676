//! The plain-text rendering: what `mosquitto_sub -v` shows.

use crate::{
    message::Down,
    pb::{Event, Kind, Message, Presence, Receipt, Typing},
};
use bytes::Bytes;

/// How a person is named in text: `@handle`, or the id of one without a handle.
pub fn name(handle: &str, id: &str) -> String {
    if handle.is_empty() { id.to_owned() } else { format!("@{handle}") }
}

impl Down for Message {
    fn text(&self) -> Bytes {
        match self.kind() {
            Kind::Unreadable => format!("[message {} cannot be read]", self.seq).into(),
            Kind::Change => change(self).into(),
            Kind::Message => match &self.data {
                Some(data) => format!("[{}, {} bytes]", data.content_type, data.bytes.len()).into(),
                None => Bytes::copy_from_slice(self.text.as_bytes()),
            },
        }
    }
}

fn change(message: &Message) -> String {
    let who = name(&message.sender_handle, &message.sender);
    let Some(change) = &message.change else { return format!("* {who} changed the conversation") };
    let whom = name(&change.user_handle, &change.user);
    match change.action.as_str() {
        "group_created" => format!("* {who} created the group {}", change.name),
        "member_added" => format!("* {who} added {whom}"),
        "member_removed" => format!("* {who} removed {whom}"),
        "member_left" => format!("* {whom} left"),
        other => format!("* {who}: {other}"),
    }
}

impl Down for Receipt {
    fn text(&self) -> Bytes {
        format!("delivered {} read {}", self.delivered, self.read).into()
    }
}

impl Down for Typing {
    fn text(&self) -> Bytes {
        Bytes::from_static(if self.typing { b"typing" } else { b"stopped" })
    }
}

impl Down for Presence {
    fn text(&self) -> Bytes {
        match (self.online, self.last_seen_ms) {
            (true, _) => Bytes::from_static(b"online"),
            (false, 0) => Bytes::from_static(b"offline"),
            (false, at) => format!("last seen {at}").into(),
        }
    }
}

impl Down for Event {
    fn text(&self) -> Bytes {
        match self.event.as_str() {
            "error" => format!("{}: {} ({})", self.code, self.message, self.topic).into(),
            _ if self.message.is_empty() => format!("{} {}", self.event, self.conversation).into(),
            _ => self.message.clone().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, pb};

    #[test]
    fn each_format_says_the_same() {
        let message =
            Message { seq: 7, text: "hello".into(), sender_handle: "alice".into(), ..Default::default() };
        assert_eq!(&message.render(Format::Text)[..], b"hello");
        let json: Message = serde_json::from_slice(&message.render(Format::Json)).unwrap();
        let proto = <Message as prost::Message>::decode(message.render(Format::Pb)).unwrap();
        assert_eq!((json, proto), (message.clone(), message));
    }

    #[test]
    fn json_leaves_out_what_is_absent_and_names_the_kind() {
        let change =
            pb::Change { action: "member_added".into(), user_handle: "bob".into(), ..Default::default() };
        let message = Message {
            seq: 2,
            kind: Kind::Change as i32,
            sender_handle: "alice".into(),
            change: Some(change),
            ..Default::default()
        };
        let json = serde_json::to_value(&message).unwrap();
        assert_eq!(json["kind"], "change");
        assert!(json.get("text").is_none());
        assert_eq!(&message.text()[..], b"* @alice added @bob");
    }

    #[test]
    fn data_is_described_in_text_and_whole_in_json() {
        let data = pb::Data { content_type: "image/png".into(), bytes: Bytes::from_static(&[0, 255]) };
        let message = Message { data: Some(data), ..Default::default() };
        assert_eq!(&message.text()[..], b"[image/png, 2 bytes]");
        let json = serde_json::to_value(&message).unwrap();
        assert_eq!(json["data"]["bytes"], "AP8=");
        assert_eq!(serde_json::from_value::<Message>(json).unwrap(), message);
    }
}
