//! Publishes that are not acknowledged yet, in the order in which they were asked for.
//!
//! rumqttc tells the packet id of a publish only when it writes it, in the order in which publishes were handed to
//! it, and forgets everything when the broker lost the session. So this table, not rumqttc, is what remembers:
//!
//! ```text
//! add ─ waiting ─ handed ─ in flight (packet id) ─ acknowledged
//!          └──── connection lost ─┘
//! ```
//!
//! Where the broker kept the session, what was in flight goes out again under its packet id with DUP
//! (MQTT-4.4.0-1), before anything new; where it did not, it goes out as a new publish. The message id in its payload
//! is the same either way.

use crate::error::{Failure, Refusal};
use rumqttc::v5::mqttbytes::v5::{PubAck, PubAckReason, Publish};
use std::collections::{BTreeMap, HashMap, VecDeque};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// User properties of a PUBACK.
pub(crate) type AckProperties = Vec<(String, String)>;

/// How a publish ended.
pub(crate) type Outcome = Result<AckProperties, Failure>;

/// Names an entry for as long as the client lives.
pub(crate) type Ticket = u64;

/// A publish and who waits for its end.
#[derive(Debug)]
pub(crate) struct Entry {
    publish: Publish,
    /// It is not repeated after a lost connection: doing it twice is not the same as once.
    once: bool,
    waiter: oneshot::Sender<Outcome>,
    /// Its place among [`SENDS_MAX`](crate::limits::SENDS_MAX).
    _permit: Option<OwnedSemaphorePermit>,
    /// Sent again under its old packet id.
    resent: bool,
}

impl Entry {
    pub(crate) fn new(
        publish: Publish,
        once: bool,
        waiter: oneshot::Sender<Outcome>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { publish, once, waiter, _permit: permit, resent: false }
    }

    fn end(self, outcome: Outcome) {
        // Nobody may be waiting any more: then there is nobody to tell.
        let _ = self.waiter.send(outcome);
    }

    /// Whoever wanted it gave up.
    fn abandoned(&self) -> bool {
        self.waiter.is_closed()
    }
}

/// What the connection allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Publishes that may be unacknowledged at once.
    pub(crate) in_flight_max: usize,
    /// Greatest packet that the broker accepts.
    pub(crate) packet_bytes_max: usize,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    next: Ticket,
    entries: BTreeMap<Ticket, Entry>,
    waiting: VecDeque<Ticket>,
    handed: VecDeque<Ticket>,
    in_flight: HashMap<u16, Ticket>,
    /// One that rumqttc holds back because its packet id is still taken.
    held_back: Option<(u16, Ticket)>,
    /// Resent ones that are not acknowledged. Until it is 0 nothing new goes out, so that no new packet id
    /// can meet an old one.
    resent: usize,
}

impl Table {
    pub(crate) fn add(&mut self, entry: Entry) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        self.entries.insert(ticket, entry);
        self.waiting.push_back(ticket);
        ticket
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn contains(&self, ticket: Ticket) -> bool {
        self.entries.contains_key(&ticket)
    }

    /// The next publish to hand to rumqttc, while the window has room.
    pub(crate) fn next_to_hand(&mut self, window: Window) -> Option<Publish> {
        while self.resent == 0 && self.outstanding() < window.in_flight_max {
            let ticket = self.waiting.pop_front()?;
            if self.dismiss(ticket, window) {
                continue;
            }
            self.handed.push_back(ticket);
            return self.entries.get(&ticket).map(|entry| entry.publish.clone());
        }
        None
    }

    fn outstanding(&self) -> usize {
        self.handed.len() + self.in_flight.len() + usize::from(self.held_back.is_some())
    }

    /// Ends an entry that is not to be sent: nobody wants it, or the broker could not take it. A packet that is
    /// too large would otherwise end the connection, again after each reconnect.
    fn dismiss(&mut self, ticket: Ticket, window: Window) -> bool {
        let Some(entry) = self.entries.get(&ticket) else { return true };
        // rumqttc leaves the packet id out of the size of a publish that has none yet.
        let bytes = entry.publish.size() + size_of::<u16>();
        let too_large = bytes > window.packet_bytes_max;
        if !too_large && !entry.abandoned() {
            return false;
        }
        if let Some(entry) = self.entries.remove(&ticket) {
            entry.end(Err(Failure::TooLarge { bytes, bytes_max: window.packet_bytes_max }));
        }
        true
    }

    /// rumqttc wrote a publish under this packet id.
    pub(crate) fn written(&mut self, packet_id: u16) {
        if self.in_flight.contains_key(&packet_id) {
            return; // One of the resent.
        }
        let held_back = self.held_back.take_if(|(id, _)| *id == packet_id).map(|(_, ticket)| ticket);
        if let Some(ticket) = held_back.or_else(|| self.handed.pop_front()) {
            self.in_flight.insert(packet_id, ticket);
        }
    }

    /// rumqttc keeps a publish back until this packet id is free.
    pub(crate) fn held_back(&mut self, packet_id: u16) {
        self.held_back = self.handed.pop_front().map(|ticket| (packet_id, ticket));
    }

    pub(crate) fn acknowledged(&mut self, ack: PubAck) {
        let ticket = self.in_flight.remove(&ack.pkid);
        if let Some(entry) = ticket.and_then(|ticket| self.entries.remove(&ticket)) {
            self.resent -= usize::from(entry.resent);
            entry.end(outcome(ack));
        }
    }

    /// The connection is gone: what was under way waits again, before what waited already.
    pub(crate) fn connection_lost(&mut self) {
        let mut in_flight = HashMap::new();
        for (packet_id, ticket) in self.in_flight.drain() {
            in_flight.insert(ticket, packet_id);
        }
        let handed = self.handed.drain(..).chain(self.held_back.take().map(|(_, ticket)| ticket));
        let mut again: Vec<Ticket> = handed.chain(in_flight.keys().copied()).collect();
        again.sort_unstable();
        self.resent = 0;
        for ticket in again.into_iter().rev() {
            let Some(entry) = self.entries.get_mut(&ticket) else { continue };
            entry.resent = false;
            // One that was never written keeps packet id 0.
            entry.publish.pkid = in_flight.get(&ticket).copied().unwrap_or(entry.publish.pkid);
            if !entry.once && !entry.abandoned() {
                self.waiting.push_front(ticket);
            } else if let Some(entry) = self.entries.remove(&ticket) {
                entry.end(Err(Failure::Interrupted));
            }
        }
    }

    /// A new connection. Answers what is to be resent under its packet id, in order: nothing, unless the broker
    /// kept the session.
    pub(crate) fn connected(&mut self, session_kept: bool, window: Window) -> Vec<Publish> {
        let sent_before =
            |table: &Self, ticket: &Ticket| table.entries.get(ticket).is_some_and(|e| e.publish.pkid != 0);
        let before: Vec<Ticket> = self.waiting.iter().copied().filter(|t| sent_before(self, t)).collect();
        if !session_kept {
            for ticket in before {
                self.entries.entry(ticket).and_modify(|entry| entry.publish.pkid = 0);
            }
            return Vec::new();
        }
        self.waiting.retain(|ticket| !before.contains(ticket));
        before.into_iter().filter_map(|ticket| self.resend(ticket, window)).collect()
    }

    fn resend(&mut self, ticket: Ticket, window: Window) -> Option<Publish> {
        if self.dismiss(ticket, window) {
            return None;
        }
        let entry = self.entries.get_mut(&ticket)?;
        entry.resent = true;
        self.resent += 1;
        self.in_flight.insert(entry.publish.pkid, ticket);
        Some(Publish { dup: true, ..entry.publish.clone() })
    }

    /// The end: nothing of this will be sent.
    pub(crate) fn fail_all(&mut self, failure: &Failure) -> usize {
        let table = std::mem::replace(self, Self { next: self.next, ..Self::default() });
        let count = table.entries.len();
        for entry in table.entries.into_values() {
            entry.end(Err(failure.clone()));
        }
        count
    }
}

fn outcome(ack: PubAck) -> Outcome {
    let properties = ack.properties;
    let name = match ack.reason {
        // Nobody subscribed to it: stored and done all the same.
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {
            return Ok(properties.map(|p| p.user_properties).unwrap_or_default());
        }
        PubAckReason::UnspecifiedError => "unspecified_error",
        PubAckReason::ImplementationSpecificError => "implementation_specific_error",
        PubAckReason::NotAuthorized => "not_authorized",
        PubAckReason::TopicNameInvalid => "topic_name_invalid",
        PubAckReason::PacketIdentifierInUse => "packet_identifier_in_use",
        PubAckReason::QuotaExceeded => "quota_exceeded",
        PubAckReason::PayloadFormatInvalid => "payload_format_invalid",
    };
    let (reason, user) = properties.map(|p| (p.reason_string, p.user_properties)).unwrap_or_default();
    let code = user.into_iter().find(|(key, _)| key == "code").map(|(_, code)| code);
    Err(Failure::Refused(Refusal {
        code: code.unwrap_or_else(|| name.to_owned()),
        reason: reason.unwrap_or_else(|| "the broker refused it".to_owned()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::v5::mqttbytes::{QoS, v5::PubAckProperties};

    const WINDOW: Window = Window { in_flight_max: 2, packet_bytes_max: 1000 };

    struct Fixture {
        table: Table,
        waiters: Vec<oneshot::Receiver<Outcome>>,
    }

    impl Fixture {
        /// A table with `count` publishes of the payloads "0", "1", …
        fn with(count: usize) -> Self {
            let mut fixture = Self { table: Table::default(), waiters: Vec::new() };
            (0..count).for_each(|n| fixture.add(n.to_string().into_bytes(), false));
            fixture
        }

        fn add(&mut self, payload: Vec<u8>, once: bool) {
            let (waiter, waits) = oneshot::channel();
            let publish = Publish::new("user/@bob/pb", QoS::AtLeastOnce, payload, None);
            self.table.add(Entry::new(publish, once, waiter, None));
            self.waiters.push(waits);
        }

        fn hand(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.table.next_to_hand(WINDOW)).map(|publish| payload(&publish)).collect()
        }

        fn outcome(&mut self, n: usize) -> Option<Outcome> {
            self.waiters[n].try_recv().ok()
        }
    }

    fn payload(publish: &Publish) -> String {
        String::from_utf8(publish.payload.to_vec()).unwrap()
    }

    fn ack(packet_id: u16) -> PubAck {
        PubAck::new(packet_id, None)
    }

    #[test]
    fn goes_out_in_order_within_the_window() {
        let mut fixture = Fixture::with(3);
        assert_eq!(fixture.hand(), ["0", "1"]);
        fixture.table.written(1);
        fixture.table.written(2);
        assert!(fixture.hand().is_empty());
        fixture.table.acknowledged(ack(1));
        assert_eq!(fixture.outcome(0), Some(Ok(Vec::new())));
        assert_eq!(fixture.hand(), ["2"]);
    }

    #[test]
    fn an_acknowledgement_ends_the_publish_of_its_packet_id() {
        let mut fixture = Fixture::with(2);
        fixture.hand();
        fixture.table.written(7);
        fixture.table.written(8);
        fixture.table.acknowledged(ack(8));
        fixture.table.acknowledged(ack(8));
        assert_eq!((fixture.outcome(0), fixture.outcome(1)), (None, Some(Ok(Vec::new()))));
        assert_eq!(fixture.table.len(), 1);
    }

    #[test]
    fn with_the_session_kept_it_is_resent_as_it_was_and_before_anything_new() {
        let mut fixture = Fixture::with(3);
        fixture.hand();
        fixture.table.written(5);
        fixture.table.connection_lost();
        let resent = fixture.table.connected(true, WINDOW);
        assert_eq!(
            resent.iter().map(|p| (payload(p), p.pkid, p.dup)).collect::<Vec<_>>(),
            [("0".into(), 5, true)]
        );
        assert!(fixture.hand().is_empty(), "nothing new while a resent one is outstanding");
        fixture.table.written(5);
        fixture.table.acknowledged(ack(5));
        assert_eq!(fixture.outcome(0), Some(Ok(Vec::new())));
        assert_eq!(fixture.hand(), ["1", "2"]);
    }

    #[test]
    fn with_the_session_lost_it_goes_out_anew_in_the_same_order() {
        let mut fixture = Fixture::with(3);
        fixture.hand();
        fixture.table.written(5);
        fixture.table.written(6);
        fixture.table.connection_lost();
        assert!(fixture.table.connected(false, WINDOW).is_empty());
        let again = fixture.table.next_to_hand(WINDOW).unwrap();
        assert_eq!((payload(&again).as_str(), again.pkid, again.dup), ("0", 0, false));
        assert_eq!(fixture.hand(), ["1"]);
    }

    #[test]
    fn a_connection_lost_twice_before_it_was_of_use() {
        let mut fixture = Fixture::with(1);
        fixture.hand();
        fixture.table.written(5);
        fixture.table.connection_lost();
        fixture.table.connection_lost();
        assert_eq!(fixture.table.connected(true, WINDOW).len(), 1);
        fixture.table.connection_lost();
        assert_eq!(fixture.table.connected(true, WINDOW).len(), 1);
        fixture.table.acknowledged(ack(5));
        assert_eq!(fixture.outcome(0), Some(Ok(Vec::new())));
    }

    #[test]
    fn what_may_be_done_once_only_is_interrupted_if_it_was_under_way() {
        let mut fixture = Fixture::with(0);
        fixture.add(b"a".to_vec(), true);
        fixture.add(b"b".to_vec(), true);
        fixture.table.next_to_hand(WINDOW);
        fixture.table.connection_lost();
        assert_eq!(fixture.outcome(0), Some(Err(Failure::Interrupted)));
        assert_eq!(fixture.hand(), ["b"]);
    }

    #[test]
    fn what_nobody_waits_for_is_not_sent() {
        let mut fixture = Fixture::with(2);
        fixture.waiters.remove(0);
        assert_eq!(fixture.hand(), ["1"]);
        fixture.waiters.clear();
        fixture.table.connection_lost();
        assert_eq!(fixture.table.len(), 0);
    }

    #[test]
    fn what_is_too_large_fails_and_does_not_end_the_connection() {
        let mut fixture = Fixture::with(0);
        fixture.add(vec![0; 1000], false);
        fixture.add(b"small".to_vec(), false);
        assert_eq!(fixture.hand(), ["small"]);
        assert!(matches!(fixture.outcome(0), Some(Err(Failure::TooLarge { bytes_max: 1000, .. }))));
    }

    #[test]
    fn one_that_is_held_back_gets_its_packet_id_later() {
        let mut fixture = Fixture::with(2);
        fixture.hand();
        fixture.table.written(1);
        fixture.table.held_back(1);
        fixture.table.acknowledged(ack(1));
        fixture.table.written(1);
        fixture.table.acknowledged(ack(1));
        assert_eq!((fixture.outcome(0), fixture.outcome(1)), (Some(Ok(Vec::new())), Some(Ok(Vec::new()))));
    }

    #[test]
    fn a_refusal_names_the_code_of_the_broker_or_of_mqtt() {
        let refusal = |user_properties: AckProperties, reason_string: Option<String>| {
            let properties = PubAckProperties { reason_string, user_properties };
            match outcome(PubAck {
                pkid: 1,
                reason: PubAckReason::NotAuthorized,
                properties: Some(properties),
            }) {
                Err(Failure::Refused(refusal)) => (refusal.code, refusal.reason),
                other => panic!("{other:?}"),
            }
        };
        let full = refusal(vec![("code".into(), "not_member".into())], Some("You are not a member".into()));
        assert_eq!(full, ("not_member".into(), "You are not a member".into()));
        assert_eq!(refusal(Vec::new(), None).0, "not_authorized");
    }

    #[test]
    fn at_the_end_everybody_hears_of_it() {
        let mut fixture = Fixture::with(3);
        fixture.hand();
        fixture.table.written(1);
        assert_eq!(fixture.table.fail_all(&Failure::Closed), 3);
        for n in 0..3 {
            assert_eq!(fixture.outcome(n), Some(Err(Failure::Closed)));
        }
    }
}
