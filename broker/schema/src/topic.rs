//! The topics of the messenger: parsed from what clients send, built for what they receive; and what is none of
//! them, which is free.
//!
//! `me` always means the authenticated user. `{id}` is an id or `@handle`.

use crate::{ConversationId, Format, Handle, UserId};
use std::fmt;
use thiserror::Error;

/// Why a topic name or filter is none of the messenger's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TopicError {
    /// Topics that begin with `$` are the broker's own.
    #[error("only the broker publishes to topics that begin with $")]
    Reserved,
    /// A shared subscription to what is each user's own.
    #[error("what is yours is not shared: $share is for free topics")]
    NotShared,
    /// The `{id}` level is neither an id nor `@handle`.
    #[error("{0} names neither an id nor an @handle")]
    Id(String),
    /// The last levels are not known.
    #[error("{0} is not something one can publish to; try text, json, pb, read or typing")]
    Action(String),
    /// Only the broker publishes there.
    #[error("only the broker publishes to {0}/…")]
    DownOnly(&'static str),
    /// A filter outside of what may be subscribed to.
    #[error(
        "subscribe to me/{{text|json|pb}}/{{inbox|receipts|typing|events|reply}}/# or user/{{id}}/presence"
    )]
    Filter,
    /// A filter that mixes formats or channels with wildcards.
    #[error("name the format and the channel: wildcards may stand only after me/{{format}}/{{channel}}/")]
    WildcardTooEarly,
}

/// Whom a topic addresses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `user/{user id}`.
    User(UserId),
    /// `group/{group id}`, or a conversation by its id.
    Conversation(ConversationId),
    /// `user/@handle`.
    UserHandle(Handle),
    /// `group/@handle`.
    GroupHandle(Handle),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::Conversation(id) => id.fmt(f),
            Self::UserHandle(handle) | Self::GroupHandle(handle) => write!(f, "@{handle}"),
        }
    }
}

/// What a client publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up<'a> {
    /// `user/{id}/{format}`, `group/{id}/{format}`: a message.
    Message(Address, Format),
    /// `…/read`, `…/read/{format}`: read up to a seq.
    Read(Address, Format),
    /// `…/typing`, `…/typing/{format}`.
    Typing(Address, Format),
    /// `rpc/{method}`.
    Rpc(&'a str),
    /// A topic that is none of the messenger's.
    Free,
}

/// First levels of the messenger's topics.
const MESSENGER: [&str; 4] = ["user", "group", "me", "rpc"];

/// Parses a topic that a client publishes to.
pub fn parse_up(topic: &str) -> Result<Up<'_>, TopicError> {
    let mut levels = topic.split('/');
    let first = levels.next().unwrap_or_default();
    match first {
        "user" | "group" => {
            let address = address(first, levels.next().unwrap_or_default())?;
            let rest: Vec<&str> = levels.take(3).collect();
            up(address, &rest)
        }
        "rpc" => match (levels.next(), levels.next()) {
            (Some(method), None) if !method.is_empty() => Ok(Up::Rpc(method)),
            _ => Err(TopicError::Action(topic.to_owned())),
        },
        "me" => Err(TopicError::DownOnly("me")),
        _ if first.starts_with('$') => Err(TopicError::Reserved),
        _ => Ok(Up::Free),
    }
}

fn address(first: &str, id: &str) -> Result<Address, TopicError> {
    let error = || TopicError::Id(id.to_owned());
    if id.starts_with('@') {
        let handle: Handle = id.parse().map_err(|_| error())?;
        return Ok(if first == "user" { Address::UserHandle(handle) } else { Address::GroupHandle(handle) });
    }
    if first == "user" {
        id.parse().map(Address::User).map_err(|_| error())
    } else {
        id.parse().map(Address::Conversation).map_err(|_| error())
    }
}

fn up<'a>(address: Address, rest: &[&str]) -> Result<Up<'a>, TopicError> {
    let unknown = || TopicError::Action(rest.join("/"));
    let format = |level: &str| Format::from_level(level).ok_or_else(unknown);
    match rest {
        ["read"] => Ok(Up::Read(address, Format::Text)),
        ["read", level] => Ok(Up::Read(address, format(level)?)),
        ["typing"] => Ok(Up::Typing(address, Format::Text)),
        ["typing", level] => Ok(Up::Typing(address, format(level)?)),
        ["presence", ..] => Err(TopicError::DownOnly("user/{id}/presence")),
        [level] => Ok(Up::Message(address, format(level)?)),
        _ => Err(unknown()),
    }
}

/// A channel of what comes down to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Messages, `{conversation}/{sender}`.
    Inbox,
    /// Positions of others, `{conversation}/{member}`.
    Receipts,
    /// Typing, `{conversation}/{member}`.
    Typing,
    /// Events, `{event}`.
    Events,
    /// RPC replies, `{method}`.
    Reply,
}

impl Channel {
    /// The topic level.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Receipts => "receipts",
            Self::Typing => "typing",
            Self::Events => "events",
            Self::Reply => "reply",
        }
    }

    fn from_level(level: &str) -> Option<Self> {
        [Self::Inbox, Self::Receipts, Self::Typing, Self::Events, Self::Reply]
            .into_iter()
            .find(|channel| channel.as_str() == level)
    }
}

/// What a client subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interest<'a> {
    /// `me/{format}/{channel}/…`; `rest` is a filter over the levels behind it, `#` for all.
    Mine {
        /// In which format.
        format: Format,
        /// Which channel.
        channel: Channel,
        /// The filter over the remaining levels.
        rest: &'a str,
    },
    /// `user/{id}/presence` (text) or `user/{id}/presence/{format}`.
    Presence(Address, Format),
    /// Free topics, the broker's own (`$SYS/…`), or a shared subscription to them. A wildcard in the place of the first
    /// level matches free topics only.
    Free,
}

/// Parses a filter that a client subscribes to.
pub fn parse_filter(filter: &str) -> Result<Interest<'_>, TopicError> {
    let inner =
        filter.strip_prefix("$share/").and_then(|shared| shared.split_once('/')).map(|(_, inner)| inner);
    let first = inner.unwrap_or(filter).split('/').next().unwrap_or_default();
    if !MESSENGER.contains(&first) {
        return Ok(Interest::Free);
    }
    if inner.is_some() {
        return Err(TopicError::NotShared);
    }
    if let Some(mine) = filter.strip_prefix("me/") {
        let mut levels = mine.splitn(3, '/');
        let (format, channel) = (levels.next().unwrap_or_default(), levels.next().unwrap_or_default());
        if [format, channel].iter().any(|level| level.contains(['+', '#'])) {
            return Err(TopicError::WildcardTooEarly);
        }
        let format = Format::from_level(format).ok_or(TopicError::Filter)?;
        let channel = Channel::from_level(channel).ok_or(TopicError::Filter)?;
        let rest = levels.next().filter(|rest| !rest.is_empty()).ok_or(TopicError::Filter)?;
        return Ok(Interest::Mine { format, channel, rest });
    }
    let levels: Vec<&str> = filter.splitn(5, '/').collect();
    match levels[..] {
        ["user", id, "presence"] => Ok(Interest::Presence(address("user", id)?, Format::Text)),
        ["user", id, "presence", format] => {
            let format = Format::from_level(format).ok_or(TopicError::Filter)?;
            Ok(Interest::Presence(address("user", id)?, format))
        }
        _ => Err(TopicError::Filter),
    }
}

/// `me/{format}/{channel}/{rest…}`: a topic that something comes down on.
pub fn mine(format: Format, channel: Channel, rest: &[&str]) -> String {
    let length = rest.iter().map(|level| level.len() + 1).sum::<usize>();
    let mut topic = String::with_capacity(16 + length);
    topic.push_str("me/");
    topic.push_str(format.as_str());
    topic.push('/');
    topic.push_str(channel.as_str());
    for level in rest {
        topic.push('/');
        topic.push_str(level);
    }
    topic
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bob() -> Address {
        Address::UserHandle("bob".parse().unwrap())
    }

    #[test]
    fn what_a_client_publishes_to() {
        let group = ConversationId::fresh_group();
        for (topic, expected) in [
            ("user/@bob/text".to_owned(), Ok(Up::Message(bob(), Format::Text))),
            ("user/@BOB/json".to_owned(), Ok(Up::Message(bob(), Format::Json))),
            (format!("group/{group}/pb"), Ok(Up::Message(Address::Conversation(group), Format::Pb))),
            ("user/@bob/read".to_owned(), Ok(Up::Read(bob(), Format::Text))),
            ("user/@bob/read/pb".to_owned(), Ok(Up::Read(bob(), Format::Pb))),
            ("user/@bob/typing/json".to_owned(), Ok(Up::Typing(bob(), Format::Json))),
            ("rpc/messages".to_owned(), Ok(Up::Rpc("messages"))),
            ("me/text/inbox/x".to_owned(), Err(TopicError::DownOnly("me"))),
            ("user/@bob/presence".to_owned(), Err(TopicError::DownOnly("user/{id}/presence"))),
            ("user/bob/text".to_owned(), Err(TopicError::Id("bob".into()))),
            ("user/@bob/xml".to_owned(), Err(TopicError::Action("xml".into()))),
            ("user/@bob/text/more".to_owned(), Err(TopicError::Action("text/more".into()))),
            ("sensors/1".to_owned(), Ok(Up::Free)),
            ("users/@bob/text".to_owned(), Ok(Up::Free)),
            ("/user/@bob/text".to_owned(), Ok(Up::Free)),
            ("user".to_owned(), Err(TopicError::Id(String::new()))),
            ("$SYS/broker/uptime".to_owned(), Err(TopicError::Reserved)),
            ("$share/g/a".to_owned(), Err(TopicError::Reserved)),
        ] {
            assert_eq!(parse_up(&topic), expected, "{topic}");
        }
    }

    #[test]
    fn what_a_client_subscribes_to() {
        let inbox = Interest::Mine { format: Format::Text, channel: Channel::Inbox, rest: "#" };
        assert_eq!(parse_filter("me/text/inbox/#"), Ok(inbox));
        assert_eq!(parse_filter("user/@bob/presence"), Ok(Interest::Presence(bob(), Format::Text)));
        for (filter, error) in [
            ("me/#", TopicError::WildcardTooEarly),
            ("me/+/inbox/#", TopicError::WildcardTooEarly),
            ("me/text/inbox", TopicError::Filter),
            ("user/+/presence", TopicError::Id("+".into())),
            ("user/@bob/text", TopicError::Filter),
            ("me", TopicError::Filter),
            ("user/#", TopicError::Filter),
            ("rpc/#", TopicError::Filter),
            ("$share/g/me/text/inbox/#", TopicError::NotShared),
            ("$share/g/user/@bob/presence", TopicError::NotShared),
        ] {
            assert_eq!(parse_filter(filter), Err(error), "{filter}");
        }
        for filter in
            ["#", "+/+", "sensors/#", "$SYS/#", "$share/g/sensors/#", "$share/g/#", "/me", "meter/1"]
        {
            assert_eq!(parse_filter(filter), Ok(Interest::Free), "{filter}");
        }
    }

    #[test]
    fn topics_down_are_built_from_levels() {
        assert_eq!(mine(Format::Json, Channel::Inbox, &["@bob", "@bob"]), "me/json/inbox/@bob/@bob");
    }
}
