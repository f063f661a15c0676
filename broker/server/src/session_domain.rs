//! The messenger as the engine's words.

use crate::delivery::Committed;
use parlance_engine::Domain;
use parlance_mqtt::PublishTemplate;
use parlance_plugin_api::{ConversationId, UserId};
use std::sync::Arc;

/// Parlance's conversations, users, messages and notes.
#[derive(Debug, Clone, Copy)]
pub struct Messenger;

impl Domain for Messenger {
    type Conversation = ConversationId;
    type User = UserId;
    type Message = Arc<Committed>;
    type Note = PublishTemplate;

    fn message_bytes(message: &Arc<Committed>) -> usize {
        message.bytes()
    }
}
