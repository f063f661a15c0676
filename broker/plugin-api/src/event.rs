//! What happened, told after it is durable.

use crate::{ConversationId, UserId};

/// A change that the rest of the program acts on: sessions are tracked, closed, or told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A user became a member and sees the log from `joined_seq` on.
    MemberAdded {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// First seq it may see.
        joined_seq: u64,
    },
    /// A user is no member any more: nothing more is delivered to it.
    MemberRemoved {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// The account was disabled: its connections are closed (0x87).
    UserDisabled {
        /// Who.
        user: UserId,
    },
    /// Credentials ended: connections that were made with them are closed (0x87).
    CredentialsEnded {
        /// Whose.
        user: UserId,
        /// Which; `None` for all of the user's.
        credential: Option<crate::identity::CredentialId>,
    },
    /// A device was removed: its connection is closed, its session and positions are forgotten.
    DeviceRemoved {
        /// Whose.
        user: UserId,
        /// Its MQTT client id.
        client_id: String,
    },
}
