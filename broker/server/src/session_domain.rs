//! The messenger and the free topics as the engine's words.

use crate::{delivery::Committed, topics::FreeDelivery};
use parlance_engine::Domain;
use parlance_mqtt::PublishTemplate;
use parlance_plugin_api::{ConversationId, UserId};
use std::sync::Arc;

/// Where a message with a position comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// A conversation; the position is its seq.
    Conversation(ConversationId),
    /// The session's own queue of free topics; the position is the entry's number.
    Queue,
}

/// A message with a position.
#[derive(Clone)]
pub enum Item {
    /// Of a conversation.
    Message(Arc<Committed>),
    /// Of a free topic.
    Free(Arc<FreeDelivery>),
}

/// Something without a position: it is not read again.
#[derive(Clone)]
pub enum Note {
    /// An event, receipt, sign or reply of the messenger.
    Own(PublishTemplate),
    /// A message of a free topic, for a session that is not durable or with QoS 0.
    Free(Arc<FreeDelivery>),
}

/// Channel of queued deliveries with QoS 1. Channels 0 to 2 are the messenger's formats.
pub const FREE_QOS1: u8 = 3;
/// Channel of queued deliveries with QoS 2.
pub const FREE_QOS2: u8 = 4;

/// Parlance's conversations, users, messages and notes.
#[derive(Debug, Clone, Copy)]
pub struct Messenger;

impl Domain for Messenger {
    type Conversation = Origin;
    type User = UserId;
    type Message = Item;
    type Note = Note;

    fn message_bytes(message: &Item) -> usize {
        match message {
            Item::Message(message) => message.bytes(),
            Item::Free(delivery) => delivery.message.bytes(),
        }
    }
}
