//! A subscriber with a session that stays: it sees every seq of every conversation, in order.

use crate::book::{Book, History};
use parlance_schema::pb::Message;
use parlance_tests::{Broker, Closed, Delivery, Device, User};
use std::{collections::HashMap, sync::Arc};

pub(crate) struct Watcher {
    pub(crate) user: User,
    device: Device,
    book: Arc<Book>,
    /// By conversation: the texts it has seen, seq 1 first.
    seen: HashMap<String, Vec<String>>,
    /// The last seq of each conversation on this connection.
    here: HashMap<String, u64>,
    pub(crate) received: u64,
    /// Received once more, after a broken connection.
    pub(crate) again: u64,
}

impl Watcher {
    pub(crate) fn new(user: User, book: Arc<Book>) -> Self {
        Self {
            device: Device::new("watcher-device"),
            user,
            book,
            seen: HashMap::new(),
            here: HashMap::new(),
            received: 0,
            again: 0,
        }
    }

    /// Begins its session.
    pub(crate) async fn subscribe(&self, broker: &Broker) {
        let mut client = self.device.connect(broker, &self.user).await;
        client.subscribe("me/json/inbox/#").await;
        client.disconnect().await;
    }

    /// Receives until the connection breaks, or until it has seen `heads`.
    pub(crate) async fn run(
        &mut self,
        broker: &Broker,
        heads: Option<&HashMap<String, u64>>,
    ) -> Result<(), Closed> {
        self.here.clear();
        let mut client = self.device.try_connect(broker, &self.user).await?;
        if !client.session_present() {
            self.book.problem("the session of the subscriber was lost".into());
        }
        loop {
            if heads.is_some_and(|heads| self.has_seen(heads)) {
                // Acknowledged only by what follows it: everything before is on its way.
                client.ping().await;
                return Ok(());
            }
            self.saw(&client.try_next().await?);
        }
    }

    fn has_seen(&self, heads: &HashMap<String, u64>) -> bool {
        heads.iter().all(|(label, head)| self.seen.get(label).map_or(0, Vec::len) as u64 >= *head)
    }

    fn saw(&mut self, delivery: &Delivery) {
        let topic = delivery.topic();
        let label = topic.split('/').nth(3).unwrap_or_default().to_owned();
        let message: Message = match serde_json::from_slice(&delivery.0.payload) {
            Ok(message) => message,
            Err(error) => return self.book.problem(format!("{topic}: {error}")),
        };
        self.received += 1;
        let seq = message.seq;
        let seen = self.seen.entry(label.clone()).or_default();
        let before = self.here.insert(label.clone(), seq);
        let in_order = match before {
            Some(before) => seq == before + 1,
            None => (1..=seen.len() as u64 + 1).contains(&seq),
        };
        if !in_order {
            let known = seen.len();
            return self
                .book
                .problem(format!("{label}: seq {seq} came after {before:?}, {known} were seen before"));
        }
        match seen.get(seq as usize - 1) {
            Some(text) => {
                self.again += 1;
                if *text != message.text {
                    self.book.problem(format!("{label} {seq} was {text:?} and is {:?}", message.text));
                }
            }
            None => seen.push(message.text),
        }
    }

    /// Compares what it saw of a conversation with its history.
    pub(crate) fn compare(&self, label: &str, history: &History) {
        let none = Vec::new();
        let seen = self.seen.get(label).unwrap_or(&none);
        if seen.len() as u64 != history.head {
            self.book.problem(format!("{label}: {} seen, head is {}", seen.len(), history.head));
        }
        for (text, seq) in &history.by_text {
            let at = seen.get(*seq as usize - 1);
            if at != Some(text) {
                self.book.problem(format!("{label} {seq}: history has {text:?}, the subscriber saw {at:?}"));
            }
        }
    }
}
