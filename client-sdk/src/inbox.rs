//! What arrived and was not taken yet.
//!
//! A message is acknowledged when it is taken, so the broker's window ([`RECEIVE_MAX`]) bounds how many wait here. When
//! the connection is lost, messages that were not taken are let go: they were not acknowledged and come again.
//! Everything else (receipts, events) may not come again and stays, up to [`EVENTS_MAX`].
//!
//! [`RECEIVE_MAX`]: crate::limits::RECEIVE_MAX

use crate::{
    event::Event,
    limits::{EVENTS_MAX, SEEN_MAX},
};
use std::{
    collections::{HashSet, VecDeque},
    task::Waker,
};

/// What to acknowledge when an event is taken: valid only on the connection that brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) connection: u64,
    pub(crate) packet_id: u16,
}

#[derive(Debug)]
struct Waiting {
    event: Event,
    ack: Option<Ack>,
}

/// What [`Inbox::take`] found.
#[derive(Debug)]
pub(crate) enum Taken {
    /// For the application.
    Event(Event, Option<Ack>),
    /// A message that it had before: acknowledge only.
    Repeated(Option<Ack>),
    /// Nothing waits.
    Nothing,
    /// Nothing waits and nothing will come.
    End,
}

/// The queue between the connection and the application.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: VecDeque<Waiting>,
    /// How many of them are not messages.
    others: usize,
    seen: Seen,
    ended: bool,
    waker: Option<Waker>,
}

impl Inbox {
    /// Queues an event and wakes who waits for it.
    pub(crate) fn put(&mut self, event: Event, ack: Option<Ack>) {
        if self.ended {
            return;
        }
        if !is_message(&event) {
            self.make_room(&event);
            self.others += 1;
        }
        self.waiting.push_back(Waiting { event, ack });
        self.wake();
    }

    /// A broker that stays away makes one `Disconnected` after the other: only the newest says something.
    /// Beyond that the oldest goes when there are too many.
    fn make_room(&mut self, event: &Event) {
        let newest = self.waiting.back().map(|waiting| &waiting.event);
        if let (Event::Disconnected { .. }, Some(Event::Disconnected { .. })) = (event, newest) {
            self.waiting.pop_back();
            self.others -= 1;
        } else if self.others >= EVENTS_MAX
            && let Some(oldest) = self.waiting.iter().position(|waiting| !is_message(&waiting.event))
        {
            self.waiting.remove(oldest);
            self.others -= 1;
            tracing::warn!(limit = EVENTS_MAX, "the application takes no events: the oldest is dropped");
        }
    }

    /// Lets go of messages that were not taken.
    pub(crate) fn connection_lost(&mut self) {
        self.waiting.retain(|waiting| !is_message(&waiting.event));
    }

    /// Nothing more will come.
    pub(crate) fn end(&mut self, last: Event) {
        self.put(last, None);
        self.ended = true;
        self.wake();
    }

    /// The next event. With `Nothing`, `waker` is called when there is more.
    pub(crate) fn take(&mut self, waker: &Waker) -> Taken {
        let Some(Waiting { event, ack }) = self.waiting.pop_front() else {
            if self.ended {
                return Taken::End;
            }
            self.waker = Some(waker.clone());
            return Taken::Nothing;
        };
        match &event {
            Event::Message { message, .. } if !self.seen.insert(&message.conversation, message.seq) => {
                return Taken::Repeated(ack);
            }
            Event::Message { .. } => {}
            _ => self.others -= 1,
        }
        Taken::Event(event, ack)
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn is_message(event: &Event) -> bool {
    matches!(event, Event::Message { .. })
}

/// The newest positions that were taken.
#[derive(Debug, Default)]
struct Seen {
    known: HashSet<(String, u64)>,
    order: VecDeque<(String, u64)>,
}

impl Seen {
    /// False if it was there.
    fn insert(&mut self, conversation: &str, seq: u64) -> bool {
        let position = (conversation.to_owned(), seq);
        if !self.known.insert(position.clone()) {
            return false;
        }
        self.order.push_back(position);
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ConnectError;
    use parlance_schema::pb;
    use std::time::Duration;

    fn message(seq: u64) -> Event {
        let message = pb::Message { conversation: "g1".into(), seq, ..Default::default() };
        Event::Message { message: Box::new(message), mine: false }
    }

    fn ack(packet_id: u16) -> Option<Ack> {
        Some(Ack { connection: 1, packet_id })
    }

    fn take(inbox: &mut Inbox) -> Taken {
        inbox.take(Waker::noop())
    }

    fn taken_seq(inbox: &mut Inbox) -> Option<(u64, Option<Ack>)> {
        match take(inbox) {
            Taken::Event(Event::Message { message, .. }, ack) => Some((message.seq, ack)),
            _ => None,
        }
    }

    #[test]
    fn a_message_that_was_taken_is_not_handed_out_again() {
        let mut inbox = Inbox::default();
        inbox.put(message(1), ack(1));
        inbox.put(message(1), ack(2));
        inbox.put(message(2), ack(3));
        assert_eq!(taken_seq(&mut inbox), Some((1, ack(1))));
        assert!(matches!(take(&mut inbox), Taken::Repeated(again) if again == ack(2)));
        assert_eq!(taken_seq(&mut inbox), Some((2, ack(3))));
        assert!(matches!(take(&mut inbox), Taken::Nothing));
    }

    #[test]
    fn what_was_not_taken_comes_again_and_is_handed_out_then() {
        let mut inbox = Inbox::default();
        inbox.put(message(1), ack(1));
        inbox.put(Event::Receipt(pb::Receipt::default()), ack(2));
        inbox.connection_lost();
        inbox.put(message(1), Some(Ack { connection: 2, packet_id: 1 }));
        assert!(matches!(take(&mut inbox), Taken::Event(Event::Receipt(_), _)));
        assert_eq!(taken_seq(&mut inbox), Some((1, Some(Ack { connection: 2, packet_id: 1 }))));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut inbox = Inbox::default();
        for seq in 0..=SEEN_MAX as u64 {
            inbox.put(message(seq), None);
            assert!(taken_seq(&mut inbox).is_some());
        }
        assert_eq!(inbox.seen.known.len(), SEEN_MAX);
        assert_eq!(inbox.seen.order.len(), SEEN_MAX);
    }

    #[test]
    fn events_are_bounded_and_messages_keep_their_place() {
        let mut inbox = Inbox::default();
        inbox.put(message(1), None);
        for read in 0..=EVENTS_MAX as u64 {
            inbox.put(Event::Receipt(pb::Receipt { read, ..Default::default() }), None);
        }
        assert_eq!(inbox.waiting.len(), EVENTS_MAX + 1);
        assert!(taken_seq(&mut inbox).is_some());
        assert!(matches!(take(&mut inbox), Taken::Event(Event::Receipt(receipt), _) if receipt.read == 1));
    }

    #[test]
    fn of_many_failed_attempts_the_newest_counts() {
        let mut inbox = Inbox::default();
        for s in 1..100 {
            let retry_in = Duration::from_secs(s);
            inbox.put(Event::Disconnected { reason: ConnectError::Banned, retry_in }, None);
        }
        assert!(
            matches!(take(&mut inbox), Taken::Event(Event::Disconnected { retry_in, .. }, _) if retry_in.as_secs() == 99)
        );
        assert!(matches!(take(&mut inbox), Taken::Nothing));
    }

    #[test]
    fn after_the_last_event_comes_the_end() {
        let mut inbox = Inbox::default();
        inbox.end(Event::Closed { reason: None });
        inbox.put(message(1), None);
        assert!(matches!(take(&mut inbox), Taken::Event(Event::Closed { .. }, _)));
        assert!(matches!(take(&mut inbox), Taken::End));
    }
}
