//! Conversations: whom to write to, what to write, and who is in them.

use crate::{Client, error::RpcError};
use bytes::Bytes;
use parlance_schema::{
    ConversationId, Handle, UserId,
    api::{
        AddMembersRequest, Conversations, ConversationsRequest, CreateGroupRequest, Done, Group,
        LeaveGroupRequest, Members, MembersAdded, MembersRequest, RemoveMemberRequest,
    },
    message::outgoing,
    pb,
};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// Whom or where a message, a read position or a typing notice goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A user by id.
    User(UserId),
    /// A user by handle.
    Handle(Handle),
    /// A group, or any conversation, by id.
    Conversation(ConversationId),
    /// A group by handle.
    GroupHandle(Handle),
}

impl Target {
    /// `user/{id}` or `group/{id}`: the beginning of its topics.
    pub(crate) fn root(&self) -> String {
        match self {
            Self::User(id) => format!("user/{id}"),
            Self::Handle(handle) => format!("user/@{handle}"),
            Self::Conversation(id) => format!("group/{id}"),
            Self::GroupHandle(handle) => format!("group/@{handle}"),
        }
    }
}

/// Not a target.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0} is none of @handle, group/@handle, a user id (u…) or a conversation id (g… or d…)")]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    /// `@handle` is a user, `group/@handle` a group; ids tell by themselves. `user/…` and `group/…` as in topics
    /// are accepted too.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let error = || TargetError(text.to_owned());
        let (group, name) = match text.split_once('/') {
            Some(("group", name)) => (true, name),
            Some(("user", name)) => (false, name),
            Some(_) => return Err(error()),
            None => (false, text),
        };
        if name.starts_with('@') {
            let handle = name.parse().map_err(|_| error())?;
            return Ok(if group { Self::GroupHandle(handle) } else { Self::Handle(handle) });
        }
        let user = name.parse().map(Self::User).ok().filter(|_| !group);
        user.or_else(|| name.parse().map(Self::Conversation).ok()).ok_or_else(error)
    }
}

impl fmt::Display for Target {
    /// As [`FromStr`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::Handle(handle) => write!(f, "@{handle}"),
            Self::Conversation(id) => id.fmt(f),
            Self::GroupHandle(handle) => write!(f, "group/@{handle}"),
        }
    }
}

impl From<UserId> for Target {
    fn from(user: UserId) -> Self {
        Self::User(user)
    }
}

impl From<ConversationId> for Target {
    fn from(conversation: ConversationId) -> Self {
        Self::Conversation(conversation)
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Text for people, not empty.
    Text(String),
    /// Bytes with a media type.
    Data {
        /// Media type.
        content_type: String,
        /// The bytes.
        bytes: Bytes,
    },
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Content {
    /// The message as it travels, checked as the broker checks it.
    pub(crate) fn message(self, id: String) -> Result<pb::Send, parlance_schema::PayloadError> {
        let send = match self {
            Self::Text(text) => pb::Send { id, text, data: None },
            Self::Data { content_type, bytes } => {
                pb::Send { id, text: String::new(), data: Some(pb::Data { content_type, bytes }) }
            }
        };
        outgoing(send.clone())?;
        Ok(send)
    }
}

impl Client {
    /// My conversations, a page at a time: pass `next` of a page as `after` of the following request.
    pub async fn conversations(&self, request: &ConversationsRequest) -> Result<Conversations, RpcError> {
        self.rpc("conversations", request).await
    }

    /// The members of a conversation of mine, with their positions: pass `next` of a page as `after` of the following call.
    pub async fn members(&self, conversation: &Target, after: Option<UserId>) -> Result<Members, RpcError> {
        let conversation = api_name(conversation);
        self.rpc("members", &MembersRequest { conversation, after, limit: None }).await
    }

    /// Creates a group; I am its owner.
    pub async fn create_group(&self, request: &CreateGroupRequest) -> Result<Group, RpcError> {
        self.rpc("createGroup", request).await
    }

    /// Adds users to a group, as its owner or admin.
    pub async fn add_members(&self, group: &Target, users: &[Target]) -> Result<MembersAdded, RpcError> {
        let users = users.iter().map(api_name).collect();
        self.rpc("addMembers", &AddMembersRequest { group: api_name(group), users }).await
    }

    /// Removes a user from a group, as its owner or admin.
    pub async fn remove_member(&self, group: &Target, user: &Target) -> Result<Done, RpcError> {
        let request = RemoveMemberRequest { group: api_name(group), user: api_name(user) };
        self.rpc("removeMember", &request).await
    }

    /// Leaves a group.
    pub async fn leave_group(&self, group: &Target) -> Result<Done, RpcError> {
        self.rpc("leaveGroup", &LeaveGroupRequest { group: api_name(group) }).await
    }
}

/// How the API names a target: without `group/`, as the field or the handle tells what it is.
pub(crate) fn api_name(target: &Target) -> String {
    match target {
        Target::GroupHandle(handle) => format!("@{handle}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_from_text_and_back() {
        let (user, group) = (UserId::fresh(), ConversationId::fresh_group());
        let direct = ConversationId::direct(user, UserId::fresh());
        for (text, root) in [
            (user.to_string(), format!("user/{user}")),
            ("@bob".to_owned(), "user/@bob".to_owned()),
            (group.to_string(), format!("group/{group}")),
            (direct.to_string(), format!("group/{direct}")),
            ("group/@team".to_owned(), "group/@team".to_owned()),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.root(), target.to_string()), (root, text));
        }
        assert_eq!("user/@Bob".parse::<Target>().unwrap().root(), "user/@bob");
    }

    #[test]
    fn what_is_no_target() {
        for text in ["", "bob", "@", "user/", "user/bob", "team/@a", "group/uaaaa"] {
            assert_eq!(text.parse::<Target>(), Err(TargetError(text.to_owned())));
        }
        let user = UserId::fresh();
        assert!(format!("group/{user}").parse::<Target>().is_err());
    }

    #[test]
    fn content_is_checked_before_it_travels() {
        assert!(Content::from("").message("1".into()).is_err());
        assert!(Content::from("hello").message("x".repeat(65)).is_err());
        let data = Content::Data { content_type: "image/png".into(), bytes: Bytes::from_static(b"x") };
        assert!(data.message("1".into()).is_ok());
    }
}
