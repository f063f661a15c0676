//! The rules of a conversation in one place, for the one thread that decides its order.
//!
//! * `seq` is dense, and every decision that takes one moves `head` by one.
//! * `(sender, message id)` maps to one seq: what is known of an id is looked up by the caller, judged here.
//! * A member sees the interval from its `joined_seq` until it is removed.
//! * Cursors merge by maximum and never pass `head`; what is read was delivered.

use std::sync::Arc;

use thiserror::Error;

/// What a member may do, opaque here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Role(pub u8);

/// A user in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// What it may do.
    pub role: Role,
    /// The first seq it may see.
    pub joined_seq: u64,
    /// Everything up to here was read.
    pub read: u64,
    /// Everything up to here reached a device.
    pub delivered: u64,
}

impl Member {
    /// Whether a message belongs to what the member may see.
    pub const fn sees(&self, seq: u64) -> bool {
        seq >= self.joined_seq
    }
}

/// A cursor that moves by what devices and people do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// A device has it.
    Delivered,
    /// A person read it.
    Read,
}

/// Both cursors of a member after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursors {
    /// Everything up to here reached a device.
    pub delivered: u64,
    /// Everything up to here was read.
    pub read: u64,
}

/// What is known of a message id of the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// It was used in this conversation.
    pub same_conversation: bool,
    /// The seq it got.
    pub seq: u64,
    /// The message was the same.
    pub same_body: bool,
}

/// A message may go into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Append it at this seq.
    Append {
        /// The new head.
        seq: u64,
    },
    /// It is there already: answer with its seq, append nothing.
    Repeat {
        /// The seq it got the first time.
        seq: u64,
    },
}

/// A message may not go into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The sender is not in the conversation.
    #[error("the sender is not a member of the conversation")]
    NotMember,
    /// The sender used the id for another message.
    #[error("the message id was used for another message (seq {seq})")]
    IdReused {
        /// Where the id was used first (in the conversation where that was).
        seq: u64,
    },
}

/// The user is in the conversation already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("already a member of the conversation")]
pub struct AlreadyMember;

/// The user is not in the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a member of the conversation")]
pub struct NotMember;

/// A conversation: where its log ends, and who is in it.
#[derive(Debug, Clone)]
pub struct Conversation<U> {
    head: u64,
    epoch: u64,
    /// Sorted by user: two entries in a direct conversation, thousands in a large group.
    members: Vec<(U, Member)>,
    audience: Option<Arc<[U]>>,
}

impl<U: Copy + Ord> Conversation<U> {
    /// An empty conversation without members.
    pub const fn new() -> Self {
        Self { head: 0, epoch: 0, members: Vec::new(), audience: None }
    }

    /// A conversation as it was stored. Of a user that comes twice the first entry counts; cursors beyond
    /// `head` are cut, so that a head that was lost with a torn tail does no harm.
    pub fn restore(head: u64, members: impl IntoIterator<Item = (U, Member)>) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by_key(|(user, _)| *user);
        members.dedup_by_key(|(user, _)| *user);
        for (_, member) in &mut members {
            member.joined_seq = member.joined_seq.min(head + 1);
            member.delivered = member.delivered.max(member.read).min(head);
            member.read = member.read.min(head);
        }
        Self { head, epoch: 0, members, audience: None }
    }

    /// The last seq; 0 when there is none.
    pub const fn head(&self) -> u64 {
        self.head
    }

    /// Changes with each change of who is a member.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Decides on a message, given what is known of its id. `Append` moves the head, and the sender's cursors
    /// with it: who writes has read.
    ///
    /// An exact repeat is answered before membership is looked at: a member who was removed before the
    /// acknowledgement reached it must learn that its message was taken, and learns nothing but the seq of its
    /// own message. Everything else of a non-member is `NotMember`, so that reusing an id tells an outsider nothing.
    pub fn send(&mut self, sender: &U, known: Option<Known>) -> Result<Verdict, Refusal> {
        if let Some(Known { same_conversation: true, same_body: true, seq }) = known {
            return Ok(Verdict::Repeat { seq });
        }
        let index = self.find(sender).map_err(|_| Refusal::NotMember)?;
        if let Some(Known { seq, .. }) = known {
            return Err(Refusal::IdReused { seq });
        }
        let seq = self.append_system();
        let member = &mut self.members[index].1;
        member.read = seq;
        member.delivered = seq;
        Ok(Verdict::Append { seq })
    }

    /// Takes the next seq for a message of the conversation itself (membership, settings).
    pub const fn append_system(&mut self) -> u64 {
        self.head += 1;
        self.head
    }

    /// Adds a member, who sees what is appended from now on. Returns its `joined_seq`.
    pub fn add(&mut self, user: U, role: Role) -> Result<u64, AlreadyMember> {
        let Err(index) = self.find(&user) else { return Err(AlreadyMember) };
        let joined_seq = self.head + 1;
        let member = Member { role, joined_seq, read: self.head, delivered: self.head };
        self.members.insert(index, (user, member));
        self.membership_changed();
        Ok(joined_seq)
    }

    /// Removes a member, who sees nothing that is appended from now on.
    pub fn remove(&mut self, user: &U) -> Result<Member, NotMember> {
        let index = self.find(user).map_err(|_| NotMember)?;
        let (_, member) = self.members.remove(index);
        self.membership_changed();
        Ok(member)
    }

    /// Gives a member another role. Returns the former one.
    pub fn set_role(&mut self, user: &U, role: Role) -> Result<Role, NotMember> {
        let index = self.find(user).map_err(|_| NotMember)?;
        Ok(std::mem::replace(&mut self.members[index].1.role, role))
    }

    /// Moves a cursor of a member forward, not past the head. `None`: nothing changed.
    pub fn advance(&mut self, user: &U, cursor: Cursor, seq: u64) -> Result<Option<Cursors>, NotMember> {
        let index = self.find(user).map_err(|_| NotMember)?;
        let seq = seq.min(self.head);
        let member = &mut self.members[index].1;
        let before = Cursors { delivered: member.delivered, read: member.read };
        member.delivered = member.delivered.max(seq);
        if cursor == Cursor::Read {
            member.read = member.read.max(seq);
        }
        let after = Cursors { delivered: member.delivered, read: member.read };
        Ok((after != before).then_some(after))
    }

    /// How many messages a user has not read; 0 for who is no member.
    pub fn unread(&self, user: &U) -> u64 {
        self.member(user)
            .map_or(0, |it| self.head.saturating_sub(it.read.max(it.joined_seq.saturating_sub(1))))
    }

    /// A member.
    pub fn member(&self, user: &U) -> Option<&Member> {
        self.find(user).ok().map(|index| &self.members[index].1)
    }

    /// All members in the order of their ids.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (&U, &Member)> {
        self.members.iter().map(|(user, member)| (user, member))
    }

    /// The members as one shared list, made once for each epoch.
    pub fn audience(&mut self) -> Arc<[U]> {
        let members = &self.members;
        Arc::clone(self.audience.get_or_insert_with(|| members.iter().map(|(user, _)| *user).collect()))
    }

    fn find(&self, user: &U) -> Result<usize, usize> {
        self.members.binary_search_by(|(it, _)| it.cmp(user))
    }

    fn membership_changed(&mut self) {
        self.epoch += 1;
        self.audience = None;
    }
}

impl<U: Copy + Ord> Default for Conversation<U> {
    fn default() -> Self {
        Self::new()
    }
}
