//! The end: what must be true when nobody is away any more.

use std::rc::Rc;

use parlance_engine::Channels;
use parlance_mqtt::{Packet, QoS};

use super::client::Carried;
use super::setup::CONVERSATIONS;
use super::world::World;

/// Rounds in which everything must come to its end.
const ROUNDS_MAX: usize = 4_000;

impl World {
    /// A good client comes back and everything is answered: then nobody lacks anything, and nothing is held.
    pub(super) fn end(mut self) {
        if self.setup.hostile {
            return;
        }
        for _ in 0..ROUNDS_MAX {
            if self.session.is_closed() {
                self.reconnect();
            }
            self.client.out.push_back(Packet::PingReq);
            self.send(usize::MAX - 1);
            self.pump();
            self.answer_all();
            self.receive(usize::MAX - 1);
            self.now = self.now + 250;
            self.session.handle_timeout(self.now);
            self.pump();
            if self.is_settled() {
                break;
            }
        }
        self.check_complete();
    }

    fn answer_all(&mut self) {
        while !self.tickets.is_empty() {
            self.publish_done(0, false);
        }
        while !self.requests.is_empty() {
            self.request_done(0);
        }
        while !self.completes.is_empty() {
            self.complete(0);
        }
        while !self.releases.is_empty() {
            self.release(0);
        }
        while !self.reads.is_empty() {
            self.page(0, usize::MAX - 1, false);
        }
        self.authenticated(false);
        self.restored(0);
        if std::mem::take(&mut self.resync) {
            self.track_all();
        }
    }

    fn is_settled(&self) -> bool {
        let caught_up = (0..CONVERSATIONS).all(|it| self.cursors[it] == self.head(it));
        caught_up
            && self.client.sent.is_empty()
            && self.client.out.is_empty()
            && self.wire.is_empty()
            && self.open.is_empty()
            && self.promised.is_empty()
            && !self.session.is_closed()
    }

    fn check_complete(&mut self) {
        assert!(self.client.sent.is_empty(), "publishes without an answer: {:?}", self.client.sent.keys());
        assert!(self.promised.is_empty(), "notes {:?} were promised", self.promised);
        for (number, count) in &self.stored {
            let exact = self.client.exact.contains(number);
            assert!(!exact || *count == 1, "publish {number} was stored {count} times (MQTT-4.3.3)");
        }
        for number in self.client.settled.difference(&self.refused) {
            assert!(self.stored.contains_key(number), "publish {number} was acknowledged and not stored");
        }
        for conversation in 0..CONVERSATIONS {
            assert_eq!(self.cursors[conversation], self.head(conversation), "the cursor of {conversation}");
            for seq in self.setup.bases[conversation] + 1..=self.head(conversation) {
                self.check_delivered(conversation, seq);
            }
        }
        self.session.forget_idle();
        assert_eq!((self.session.tracked(), self.session.in_flight()), (0, 0), "nothing is held at the end");
        assert!(self.open.is_empty(), "not settled: {:?}", self.open);
        let held = self.alive.each_ref().map(|alive| Rc::strong_count(alive) - 1);
        assert_eq!(held, [0, 0], "messages and notes that the session holds");
    }

    fn check_delivered(&self, conversation: usize, seq: u64) {
        let record = self.record(conversation, seq).expect("it is in the log");
        for channel in (0..Channels::COUNT).filter(|channel| record.channels.contains(*channel)) {
            let carried = Carried::Message { conversation, seq, channel };
            let got = self.client.got.get(&carried).copied().unwrap_or(0);
            let qos = self.setup.qos(channel);
            assert!(
                qos != QoS::ExactlyOnce || got <= 1 || self.given_up.contains(&carried),
                "{carried:?} came {got} times (MQTT-4.3.3)"
            );
            let owed = qos != QoS::AtMostOnce && !record.expired && !self.given_up.contains(&carried);
            assert!(!owed || got >= 1, "{carried:?} never came");
        }
    }
}
