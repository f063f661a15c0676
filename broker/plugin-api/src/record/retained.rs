//! `Retained`: HMAC of the topic (32) → `FreeRecord`. The key tells nothing of the topic.

use crate::store::Vault;

/// The key of a topic's retained message.
pub fn retained_key(vault: &dyn Vault, topic: &[u8]) -> [u8; 32] {
    vault.pseudonym("retained topic", topic)
}
