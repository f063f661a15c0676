//! Pages of history.
//!
//! Seqs are dense, so the seqs of a page follow from its bounds alone; an entry that the log does not give back
//! (damaged) is answered as unreadable at its seq.

use super::{records, render};
use parlance_plugin_api::{
    ConversationId, UserId,
    identity::Directory,
    ledger::View,
    record::{LogRecord, decode, log_key, parse_log_key},
    store::{Direction, Scan, StoreError, Table},
};
use parlance_schema::{api::Messages, pb};
use std::ops::Range;

/// Most messages of a page.
pub const PAGE_MESSAGES_MAX: u32 = 200;
/// How many without being asked.
pub const PAGE_MESSAGES_DEFAULT: u32 = 50;
/// A page ends early when its contents have so many bytes; it always has one message at least.
const PAGE_BYTES_MAX: usize = 2 << 20;
/// Entries of one read of the log.
const STRIDE: u64 = 16;

/// Which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Only below this seq.
    pub before: Option<u64>,
    /// Only above this seq; turns the order round, oldest first.
    pub after: Option<u64>,
    /// At most so many (1 to [`PAGE_MESSAGES_MAX`]).
    pub limit: u32,
}

/// A page as `me` may see it: nothing before it joined. `None`: not a member (any more).
pub fn page(
    view: &dyn View,
    directory: &dyn Directory,
    me: UserId,
    conversation: ConversationId,
    wanted: Wanted,
) -> Result<Option<Messages>, StoreError> {
    let Some(member) = records::member(view, conversation, me)? else { return Ok(None) };
    let head = records::head(view, conversation)?.seq;
    let low = member.joined_seq.max(1).max(wanted.after.map_or(0, |after| after.saturating_add(1)));
    let high = head.saturating_add(1).min(wanted.before.unwrap_or(u64::MAX));
    let direction = if wanted.after.is_some() { Direction::Forward } else { Direction::Backward };
    let mut reader = Reader { view, directory, conversation, left: low..high.max(low), direction };
    let (mut messages, mut bytes) = (Vec::new(), 0);
    let limit = wanted.limit.clamp(1, PAGE_MESSAGES_MAX) as usize;
    while let Some(stride) = reader.next_stride()? {
        for message in stride {
            bytes += content_bytes(&message);
            if messages.len() == limit || (bytes > PAGE_BYTES_MAX && !messages.is_empty()) {
                return Ok(Some(Messages { conversation, head, messages, more: true }));
            }
            messages.push(message);
        }
        if messages.len() == limit {
            break;
        }
    }
    Ok(Some(Messages { conversation, head, messages, more: !reader.left.is_empty() }))
}

/// The empty page of a direct conversation that has not begun.
pub fn nothing_yet(conversation: ConversationId) -> Messages {
    Messages { conversation, head: 0, messages: Vec::new(), more: false }
}

fn content_bytes(message: &pb::Message) -> usize {
    message.text.len() + message.data.as_ref().map_or(0, |data| data.bytes.len())
}

struct Reader<'a> {
    view: &'a dyn View,
    directory: &'a dyn Directory,
    conversation: ConversationId,
    left: Range<u64>,
    direction: Direction,
}

impl Reader<'_> {
    /// The next few messages in the page's order; `None` at the end.
    fn next_stride(&mut self) -> Result<Option<Vec<pb::Message>>, StoreError> {
        let left = &mut self.left;
        let stride = match self.direction {
            _ if left.is_empty() => return Ok(None),
            Direction::Forward => left.start..left.end.min(left.start + STRIDE),
            Direction::Backward => left.start.max(left.end.saturating_sub(STRIDE))..left.end,
        };
        match self.direction {
            Direction::Forward => left.start = stride.end,
            Direction::Backward => left.end = stride.start,
        }
        let mut messages = self.read(stride)?;
        if self.direction == Direction::Backward {
            messages.reverse();
        }
        Ok(Some(messages))
    }

    fn read(&self, seqs: Range<u64>) -> Result<Vec<pb::Message>, StoreError> {
        let (from, to) = (log_key(self.conversation, seqs.start), log_key(self.conversation, seqs.end));
        let entries = self.view.scan(Scan {
            table: Table::Log,
            from: &from,
            to: &to,
            direction: Direction::Forward,
            limit: STRIDE as usize,
        })?;
        let mut entries = entries.into_iter().peekable();
        let message = |seq| {
            let record = entries
                .next_if(|(key, _)| parse_log_key(key).is_some_and(|(_, at)| at == seq))
                .and_then(|(_, value)| decode::<LogRecord>(value));
            render::message(self.conversation, seq, record.as_ref(), self.directory)
        };
        Ok(seqs.map(message).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::World;
    use proptest::prelude::*;

    fn seqs(messages: &Messages) -> Vec<u64> {
        messages.messages.iter().map(|message| message.seq).collect()
    }

    fn wanted(before: Option<u64>, after: Option<u64>, limit: u32) -> Wanted {
        Wanted { before, after, limit }
    }

    #[test]
    fn newest_first_and_back_to_where_one_joined() {
        let mut world = World::default();
        let alice = world.user("alice");
        let group = world.group("g1", &[(alice, 3)]);
        world.log(group, alice, 40, 0);
        let get = |wanted| page(&world, &world, alice, group, wanted).unwrap().unwrap();
        let first = get(wanted(None, None, 20));
        assert_eq!((seqs(&first), first.more, first.head), ((21..=40).rev().collect(), true, 40));
        let second = get(wanted(Some(21), None, 18));
        assert_eq!((seqs(&second), second.more), ((3..=20).rev().collect(), false));
        let all = get(wanted(None, None, 200));
        assert_eq!((seqs(&all), all.more), ((3..=40).rev().collect(), false));
        assert_eq!(get(wanted(Some(3), None, 5)).messages, vec![]);
        assert_eq!(get(wanted(Some(0), None, 5)).messages, vec![]);
        assert_eq!(all.messages[0].text, "40");
    }

    #[test]
    fn oldest_first_with_after() {
        let mut world = World::default();
        let alice = world.user("alice");
        let group = world.group("g1", &[(alice, 1)]);
        world.log(group, alice, 40, 0);
        let get = |wanted| page(&world, &world, alice, group, wanted).unwrap().unwrap();
        let first = get(wanted(None, Some(0), 30));
        assert_eq!((seqs(&first), first.more), ((1..=30).collect(), true));
        let rest = get(wanted(None, Some(30), 30));
        assert_eq!((seqs(&rest), rest.more), ((31..=40).collect(), false));
        let between = get(wanted(Some(8), Some(5), 30));
        assert_eq!((seqs(&between), between.more), (vec![6, 7], false));
        assert_eq!(get(wanted(None, Some(u64::MAX), 3)).messages, vec![]);
        assert_eq!(get(wanted(Some(2), Some(9), 3)).messages, vec![]);
    }

    #[test]
    fn only_members_read() {
        let mut world = World::default();
        let (alice, mallory) = (world.user("alice"), world.user("mallory"));
        let group = world.group("g1", &[(alice, 1)]);
        world.log(group, alice, 4, 0);
        assert_eq!(page(&world, &world, mallory, group, wanted(None, None, 5)).unwrap(), None);
        let nowhere = ConversationId::fresh_group();
        assert_eq!(page(&world, &world, alice, nowhere, wanted(None, None, 5)).unwrap(), None);
    }

    #[test]
    fn a_damaged_record_keeps_its_place() {
        let mut world = World::default();
        let alice = world.user("alice");
        let group = world.group("g1", &[(alice, 1)]);
        world.log(group, alice, 5, 0);
        for seq in [1, 3, 5] {
            world.damage(Table::Log, &log_key(group, seq));
        }
        let all = page(&world, &world, alice, group, wanted(None, None, 10)).unwrap().unwrap();
        assert_eq!(seqs(&all), [5, 4, 3, 2, 1]);
        let kinds: Vec<pb::Kind> = all.messages.iter().map(pb::Message::kind).collect();
        use pb::Kind::{Message, Unreadable};
        assert_eq!(kinds, [Unreadable, Message, Unreadable, Message, Unreadable]);
    }

    #[test]
    fn a_page_of_large_messages_ends_early() {
        let mut world = World::default();
        let alice = world.user("alice");
        let group = world.group("g1", &[(alice, 1)]);
        world.log(group, alice, 12, 1_000_000);
        let first = page(&world, &world, alice, group, wanted(None, None, 10)).unwrap().unwrap();
        assert_eq!((seqs(&first), first.more), (vec![12, 11], true));
        let last = page(&world, &world, alice, group, wanted(Some(2), None, 10)).unwrap().unwrap();
        assert_eq!((seqs(&last), last.more), (vec![1], false));
    }

    proptest! {
        /// Whatever the bounds: walking page by page gives each seq once, in order, and says truly whether there is more.
        #[test]
        fn pages_join_without_gap_or_repeat(head in 0u64..70, joined in 1u64..40, limit in 1u32..40, forward: bool) {
            let mut world = World::default();
            let alice = world.user("alice");
            let group = world.group("g1", &[(alice, joined)]);
            world.log(group, alice, head, 0);
            let (mut at, mut all) = (if forward { 0 } else { u64::MAX }, Vec::new());
            loop {
                let wanted = if forward { wanted(None, Some(at), limit) } else { wanted(Some(at), None, limit) };
                let next = page(&world, &world, alice, group, wanted).unwrap().unwrap();
                all.extend(seqs(&next));
                prop_assert!(next.messages.len() <= limit as usize);
                if !next.more {
                    break;
                }
                at = *all.last().unwrap();
            }
            let mut expected: Vec<u64> = (joined..=head).collect();
            if !forward {
                expected.reverse();
            }
            prop_assert_eq!(all, expected);
        }
    }
}
