//! What is still owed to whom, when everything works again.

use super::{
    audit::Log,
    book::{Book, DeviceName, State},
};
use crate::people::user_id;
use parlance_plugin_api::ConversationId;

/// What each device has not got and should have, in words; nothing when all is well.
pub fn missing(book: &Book, log: &Log, devices: &[DeviceName]) -> Vec<String> {
    let state = book.state();
    let mut missing = state.free.missing();
    for device in devices {
        for conversation in log.conversations() {
            let Some(since) = log.member_since(conversation, user_id(device.user)) else { continue };
            for seq in since..=log.head(conversation) {
                if !has(&state, log, *device, conversation, seq)
                    && !has_elsewhere(&state, log, devices, *device, conversation, seq)
                {
                    missing.push(format!("{device} was never sent seq {seq} of {conversation}"));
                }
            }
        }
    }
    missing
}

/// It was sent it, or wrote it itself.
fn has(state: &State, log: &Log, device: DeviceName, conversation: ConversationId, seq: u64) -> bool {
    let held = state.held.get(&device).and_then(|held| held.get(&conversation));
    held.is_some_and(|held| held.received.contains(&seq)) || log.wrote(device, conversation, seq)
}

/// A device that had no position of its own began behind what others of its user have acknowledged: what one of them has.
fn has_elsewhere(
    state: &State,
    log: &Log,
    devices: &[DeviceName],
    device: DeviceName,
    conversation: ConversationId,
    seq: u64,
) -> bool {
    let others = || devices.iter().filter(|other| other.user == device.user && **other != device);
    others().any(|other| is_beyond(state, log, *other, conversation, seq))
        && others().any(|other| has(state, log, *other, conversation, seq))
}

/// Whether a device's position may be at a seq or behind it: it acknowledged something there, or wrote it.
pub(super) fn is_beyond(
    state: &State,
    log: &Log,
    device: DeviceName,
    conversation: ConversationId,
    seq: u64,
) -> bool {
    let held = state.held.get(&device).and_then(|held| held.get(&conversation));
    held.is_some_and(|held| held.acknowledged.range(seq..).next().is_some())
        || (seq..=log.head(conversation)).any(|seq| log.wrote(device, conversation, seq))
}
