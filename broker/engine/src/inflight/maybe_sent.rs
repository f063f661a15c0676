//! What a process that is gone may have sent without anybody knowing.

/// Up to which positions messages may have been sent before this memory began, by conversation. As a rule there is
/// none, or one: the queue of a session.
pub(crate) struct MaybeSent<C>(Vec<(C, u64)>);

impl<C> Default for MaybeSent<C> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<C: Copy + Eq> MaybeSent<C> {
    /// Messages up to `seq` may have been sent.
    pub(crate) fn add(&mut self, conversation: C, seq: u64) {
        match self.0.iter_mut().find(|(of, _)| *of == conversation) {
            Some((_, upto)) => *upto = seq.max(*upto),
            None => self.0.push((conversation, seq)),
        }
    }

    /// Whether this message may have been sent. They are asked for in the order of their positions: when one is beyond
    /// the doubt, the conversation is forgotten.
    pub(super) fn includes(&mut self, conversation: C, seq: u64) -> bool {
        self.0.retain(|(of, upto)| *of != conversation || seq <= *upto);
        self.0.iter().any(|(of, _)| *of == conversation)
    }

    /// Forgets the conversations that were served beyond the doubt, as `sent` says.
    pub(super) fn settle(&mut self, sent: impl Fn(C) -> u64) {
        self.0.retain(|(conversation, upto)| sent(*conversation) < *upto);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
