//! The words that the engine is generic over.

use std::fmt::Debug;
use std::hash::Hash;

use crate::Channels;

/// The messenger as the engine sees it: ids that can be compared, and contents that it only carries.
pub trait Domain {
    /// Names a conversation.
    type Conversation: Copy + Eq + Hash + Ord + Debug;
    /// Names a user.
    type User: Copy + Eq + Hash + Ord + Debug;
    /// A committed message, shared: a clone must be cheap (an `Arc`).
    type Message: Clone;
    /// An event, receipt, typing sign or reply, shared: a clone must be cheap. Kept until it is acknowledged.
    type Note: Clone;

    /// About how much memory a message holds, bytes: what is in memory is bounded by it. 0: not worth counting.
    fn message_bytes(message: &Self::Message) -> usize {
        let _ = message;
        0
    }
}

/// One record of the log, as the answer to [`Output::ReadLog`](crate::Output::ReadLog).
pub struct Entry<D: Domain> {
    /// Position in the conversation.
    pub seq: u64,
    /// The message.
    pub message: D::Message,
    /// Which channels of the device want it; empty: none, the cursor passes over it.
    pub channels: Channels,
}

impl<D: Domain> Clone for Entry<D> {
    fn clone(&self) -> Self {
        Self { seq: self.seq, message: self.message.clone(), channels: self.channels }
    }
}
