//! Keep alive: a client that says nothing for one and a half intervals is gone (MQTT-3.1.2-22).

use crate::Millis;

/// The silence that is granted, and when it is used up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepAlive {
    /// One and a half keep alive intervals; 0 = off.
    grace_ms: u64,
    deadline: Millis,
}

impl KeepAlive {
    pub(crate) fn new(keep_alive_ms: u64, now: Millis) -> Self {
        let grace_ms = keep_alive_ms.saturating_add(keep_alive_ms / 2);
        Self { grace_ms, deadline: now + grace_ms }
    }

    /// The client gave a sign of life, or could not be heard.
    pub(crate) fn heard(&mut self, now: Millis) {
        self.deadline = now + self.grace_ms;
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        (self.grace_ms != 0).then_some(self.deadline)
    }

    pub(crate) fn is_over(&self, now: Millis) -> bool {
        self.grace_ms != 0 && now >= self.deadline
    }
}
