//! What may happen.

use proptest::prelude::*;

use crate::world::{CONVERSATIONS, DEVICES, USERS};

/// One step. Numbers that count something (how many, which) are taken modulo what there is.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A device sends; small ids and bodies, so that retries and reuses are common.
    Send {
        device: usize,
        conversation: usize,
        id: Option<u8>,
        body: u8,
    },
    Add {
        user: u8,
        conversation: usize,
    },
    Remove {
        user: u8,
        conversation: usize,
    },
    MarkRead {
        user: u8,
        conversation: usize,
        seq: u64,
    },
    Expire {
        conversation: usize,
        seq: u64,
    },
    /// Connects, taking over what is connected. `track_first`: heads are known before anything else happens.
    Connect {
        device: usize,
        clean: bool,
        track_first: bool,
    },
    /// The connection breaks; what is on the wire is lost.
    Break {
        device: usize,
    },
    /// The outbox is emptied into the session.
    Drain {
        device: usize,
    },
    /// Packets reach the client.
    Receive {
        device: usize,
        count: usize,
    },
    /// The client acknowledges, from `start` on, one after the other.
    Ack {
        device: usize,
        start: usize,
        count: usize,
    },
    /// A log read is answered, with at most `cut` records.
    AnswerRead {
        device: usize,
        which: usize,
        cut: usize,
        fails: bool,
    },
    AnswerRestore {
        device: usize,
    },
    Note {
        device: usize,
        acknowledged: bool,
    },
    Forget {
        device: usize,
    },
    SaveCursors {
        device: usize,
    },
    Wait,
    /// The server loses its memory; log, members and saved cursors stay.
    Restart,
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    let device = || 0..DEVICES;
    let conversation = || 0..CONVERSATIONS;
    let user = || 0..USERS;
    prop_oneof![
        24 => (device(), conversation(), proptest::option::of(0..6_u8), 0..2_u8)
            .prop_map(|(device, conversation, id, body)| Step::Send { device, conversation, id, body }),
        2 => (user(), conversation()).prop_map(|(user, conversation)| Step::Add { user, conversation }),
        2 => (user(), conversation()).prop_map(|(user, conversation)| Step::Remove { user, conversation }),
        2 => (user(), conversation(), 0..40_u64)
            .prop_map(|(user, conversation, seq)| Step::MarkRead { user, conversation, seq }),
        2 => (conversation(), 1..40_u64).prop_map(|(conversation, seq)| Step::Expire { conversation, seq }),
        6 => (device(), proptest::bool::weighted(0.15), any::<bool>())
            .prop_map(|(device, clean, track_first)| Step::Connect { device, clean, track_first }),
        2 => device().prop_map(|device| Step::Break { device }),
        16 => device().prop_map(|device| Step::Drain { device }),
        12 => (device(), 1..5_usize).prop_map(|(device, count)| Step::Receive { device, count }),
        12 => (device(), 0..3_usize, 1..4_usize).prop_map(|(device, start, count)| Step::Ack { device, start, count }),
        14 => (device(), 0..3_usize, 1..4_usize, proptest::bool::weighted(0.15))
            .prop_map(|(device, which, cut, fails)| Step::AnswerRead { device, which, cut, fails }),
        5 => device().prop_map(|device| Step::AnswerRestore { device }),
        4 => (device(), any::<bool>()).prop_map(|(device, acknowledged)| Step::Note { device, acknowledged }),
        3 => device().prop_map(|device| Step::Forget { device }),
        4 => device().prop_map(|device| Step::SaveCursors { device }),
        2 => Just(Step::Wait),
        1 => Just(Step::Restart),
    ]
}
