//! Sending, reading and positions.

use super::{
    ApiError, Caller,
    address::{Purpose, Resolver, Target},
    history::{self, PAGE_MESSAGES_DEFAULT, PAGE_MESSAGES_MAX},
    overview::{self, PAGE_CONVERSATIONS_DEFAULT, PAGE_CONVERSATIONS_MAX},
    page_size, reading, records,
};
use crate::{context::Context, ledger::SendIntent};
use base64::{Engine, prelude::BASE64_STANDARD};
use parlance_schema::{
    api::{
        Conversations, ConversationsRequest, MarkReadRequest, Members, MembersRequest, Messages,
        MessagesRequest, Position, SendMessageRequest, Sent,
    },
    message::{Outgoing, outgoing},
    pb,
};

fn resolve(context: &Context, caller: Caller<'_>, text: &str, purpose: Purpose) -> Result<Target, ApiError> {
    Ok(Resolver::new(&*context.ledger, &*context.directory, caller.who()?).text(text, purpose)?)
}

pub(super) async fn send(
    context: &Context,
    caller: Caller<'_>,
    request: SendMessageRequest,
) -> Result<Sent, ApiError> {
    let target = resolve(context, caller, &request.to, Purpose::Write)?;
    let message = content(request)?;
    let intent = SendIntent {
        sender: caller.who()?.user,
        device: caller.device,
        conversation: target.conversation,
        peer: target.peer,
        id: message.id.map(String::into_bytes),
        retry: None,
        received: None,
        content: message.content,
    };
    let stored = context.ledger.send(intent).await?;
    Ok(Sent {
        conversation: stored.conversation,
        seq: stored.seq,
        time_ms: stored.time_ms,
        repeated: stored.repeated,
    })
}

/// The message of a request, checked like one that came over MQTT.
fn content(request: SendMessageRequest) -> Result<Outgoing, ApiError> {
    let not_base64 = |_| ApiError::Field { field: "data.bytes", expected: "base64 (RFC 4648 §4, padded)" };
    let data = match request.data {
        Some(data) => Some(pb::Data {
            content_type: data.content_type,
            bytes: BASE64_STANDARD.decode(data.bytes).map_err(not_base64)?.into(),
        }),
        None => None,
    };
    let send = pb::Send { id: request.id.unwrap_or_default(), text: request.text.unwrap_or_default(), data };
    Ok(outgoing(send)?)
}

pub(super) async fn messages(
    context: &Context,
    caller: Caller<'_>,
    request: MessagesRequest,
) -> Result<Messages, ApiError> {
    let limit = page_size(request.limit, PAGE_MESSAGES_DEFAULT, PAGE_MESSAGES_MAX, "1 to 200")?;
    let wanted = history::Wanted { before: request.before, after: request.after, limit };
    let who = caller.who()?.clone();
    reading(context, move |view, directory| {
        let target = Resolver::new(view, directory, &who).text(&request.conversation, Purpose::Read)?;
        match history::page(view, directory, who.user, target.conversation, wanted)? {
            Some(page) => Ok(page),
            // Everybody has a conversation with everybody: nobody has said anything there yet.
            None if target.peer.is_some() => Ok(history::nothing_yet(target.conversation)),
            None => Err(ApiError::NotAMember),
        }
    })
    .await
}

pub(super) async fn mark_read(
    context: &Context,
    caller: Caller<'_>,
    request: MarkReadRequest,
) -> Result<Position, ApiError> {
    let target = resolve(context, caller, &request.conversation, Purpose::MarkRead)?;
    let (me, conversation) = (caller.who()?.user, target.conversation);
    let cursor = context.ledger.mark_read(conversation, me, request.seq).await?;
    reading(context, move |view, _| {
        let member = records::member(view, conversation, me)?.ok_or(ApiError::NotAMember)?;
        let head = records::head(view, conversation)?;
        let unread = records::unread(head, member, cursor);
        Ok(Position { conversation, delivered: cursor.delivered, read: cursor.read, unread })
    })
    .await
}

pub(super) async fn conversations(
    context: &Context,
    caller: Caller<'_>,
    request: ConversationsRequest,
) -> Result<Conversations, ApiError> {
    let limit = page_size(request.limit, PAGE_CONVERSATIONS_DEFAULT, PAGE_CONVERSATIONS_MAX, "1 to 500")?;
    let who = caller.who()?.clone();
    reading(context, move |view, directory| {
        overview::conversations(view, directory, &who, request.after, limit)
    })
    .await
}

pub(super) async fn members(
    context: &Context,
    caller: Caller<'_>,
    request: MembersRequest,
) -> Result<Members, ApiError> {
    let most = overview::PAGE_MEMBERS_MAX;
    let limit = page_size(request.limit, overview::PAGE_MEMBERS_DEFAULT, most, "1 to 1000")?;
    let who = caller.who()?.clone();
    reading(context, move |view, directory| {
        let target = Resolver::new(view, directory, &who).text(&request.conversation, Purpose::Read)?;
        let (id, after) = (target.conversation, request.after);
        overview::members(view, directory, who.user, id, after, limit)?.ok_or(ApiError::NotAMember)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Code;
    use parlance_schema::{Content, api::DataPart};

    fn request(text: Option<&str>, data: Option<(&str, &str)>) -> SendMessageRequest {
        SendMessageRequest {
            to: "@bob".into(),
            text: text.map(str::to_owned),
            data: data.map(|(content_type, bytes)| DataPart {
                content_type: content_type.into(),
                bytes: bytes.into(),
            }),
            id: None,
        }
    }

    #[test]
    fn a_message_is_text_or_data() {
        let text = content(request(Some("hello"), None)).unwrap();
        assert_eq!((text.id, text.content), (None, Content::Text("hello".into())));
        let data = content(request(None, Some(("image/png", "AP8=")))).unwrap().content;
        assert_eq!(data, Content::Data { content_type: "image/png".into(), bytes: vec![0, 255].into() });
        for (bad, code) in [
            (request(None, None), Code::BadPayload),
            (request(Some(""), None), Code::BadPayload),
            (request(Some("a"), Some(("image/png", "AP8="))), Code::BadPayload),
            (request(None, Some(("", "AP8="))), Code::BadPayload),
            (request(None, Some(("image/png", "not base64"))), Code::BadRequest),
            (SendMessageRequest { id: Some("x".repeat(65)), ..request(Some("a"), None) }, Code::BadPayload),
        ] {
            assert_eq!(content(bad).unwrap_err().code(), code);
        }
    }
}
