//! Twenty publishers of every kind, one subscriber, two groups and a direct conversation of each publisher.

use crate::{
    book::{Book, Entry, History, missing},
    publisher::{Kind, Publisher, Target, Until},
    rng::Rng,
    watcher::Watcher,
};
use parlance_schema::api::Messages;
use parlance_tests::{Broker, Closed, User};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::task::JoinSet;

pub(crate) const PUBLISHERS: usize = 20;

pub(crate) struct World {
    pub(crate) book: Arc<Book>,
    /// Labels of the conversations, as the subscriber has them.
    pub(crate) conversations: Vec<String>,
    pub(crate) reader: User,
    publishers: Vec<Publisher>,
    watcher: Option<Watcher>,
}

/// The world at work.
pub(crate) struct Working {
    publishers: JoinSet<Publisher>,
    watcher: JoinSet<Watcher>,
    /// The server is about to be killed: from now on broken connections are no news.
    ending: Arc<AtomicBool>,
}

impl World {
    pub(crate) async fn new(broker: &Broker, mut rng: Rng) -> Self {
        let book = Arc::new(Book::default());
        let reader = broker.user("watcher").await;
        let users = broker.many_users("p", PUBLISHERS).await;
        broker.group(&reader, "team", &users.iter().collect::<Vec<_>>()).await;
        broker.group(&reader, "crew", &users.iter().step_by(3).collect::<Vec<_>>()).await;
        let group = |handle: &str| Target {
            topic: format!("group/@{handle}"),
            to: format!("@{handle}"),
            conversation: format!("@{handle}"),
        };
        let mut conversations = vec!["@team".to_owned(), "@crew".to_owned()];
        let mut publishers = Vec::new();
        for (number, user) in users.into_iter().enumerate() {
            let direct =
                Target { topic: "user/@watcher".into(), to: "@watcher".into(), conversation: user.at() };
            conversations.push(user.at());
            let mut targets = vec![group("team"), direct];
            if number % 3 == 0 {
                targets.push(group("crew"));
            }
            let kind = Kind::ALL[number % Kind::ALL.len()];
            publishers.push(Publisher::new(kind, user, targets, book.clone(), rng.split()));
        }
        let watcher = Watcher::new(reader.clone(), book.clone());
        watcher.subscribe(broker).await;
        let watcher = Some(watcher);
        Self { book, conversations, reader, publishers, watcher }
    }

    /// Everybody connects and works until the server goes.
    pub(crate) fn work(&mut self, broker: &Broker) -> Working {
        let ending = Arc::new(AtomicBool::new(false));
        let (mut publishers, mut watcher) = (JoinSet::new(), JoinSet::new());
        let ended = |who: String, book: Arc<Book>, ending: Arc<AtomicBool>| {
            move |outcome: Result<(), Closed>| match outcome {
                Err(Closed::Ended) if ending.load(Ordering::Acquire) => {}
                outcome => book.problem(format!("the connection of {who} ended by itself: {outcome:?}")),
            }
        };
        for mut publisher in self.publishers.drain(..) {
            let broker = broker.clone();
            let ended = ended(publisher.user.handle.clone(), self.book.clone(), ending.clone());
            publishers.spawn(async move {
                ended(publisher.run(&broker, Until::Broken).await);
                publisher
            });
        }
        if let Some(mut subscriber) = self.watcher.take() {
            let (broker, ended) =
                (broker.clone(), ended("the subscriber".into(), self.book.clone(), ending.clone()));
            watcher.spawn(async move {
                ended(subscriber.run(&broker, None).await);
                subscriber
            });
        }
        Working { publishers, watcher, ending }
    }

    /// Everybody is back, after the server went.
    pub(crate) async fn back(&mut self, working: Working) {
        self.publishers = working.publishers.join_all().await;
        self.watcher = working.watcher.join_all().await.pop();
    }

    /// Everything begun is acknowledged, and the subscriber has seen all there is. Answers the whole history.
    pub(crate) async fn settle(&mut self, broker: &Broker) -> HashMap<String, History> {
        let mut settling = JoinSet::new();
        for mut publisher in self.publishers.drain(..) {
            let broker = broker.clone();
            settling.spawn(async move {
                publisher.run(&broker, Until::Settled).await.expect("the server stays now");
                publisher
            });
        }
        self.publishers = settling.join_all().await;
        let histories = self.histories(broker).await;
        let heads = histories.iter().map(|(label, history)| (label.clone(), history.head)).collect();
        if let Some(watcher) = &mut self.watcher {
            let caught_up = parlance_tests::in_time(
                "the subscriber has seen everything",
                watcher.run(broker, Some(&heads)),
            );
            caught_up.await.expect("the server stays now");
        }
        histories
    }

    /// Every conversation from its first message, as the subscriber may read it.
    pub(crate) async fn histories(&self, broker: &Broker) -> HashMap<String, History> {
        let mut histories = HashMap::new();
        for label in &self.conversations {
            let mut history = History::default();
            read_on(broker, &self.reader, label, &mut history).await;
            histories.insert(label.clone(), history);
        }
        histories
    }

    /// The last word: history, acknowledgements and what the subscriber saw are the same.
    pub(crate) fn compare(&self, histories: &HashMap<String, History>) {
        for (label, history) in histories {
            self.book.compare(label, history);
            if let Some(watcher) = &self.watcher {
                watcher.compare(label, history);
            }
        }
        self.book.assert_sound();
    }

    /// What the subscriber received, and how much of it once more.
    pub(crate) fn received(&self) -> (u64, u64) {
        self.watcher.as_ref().map_or((0, 0), |watcher| (watcher.received, watcher.again))
    }
}

impl Working {
    /// The server goes now: a broken connection is no problem any more.
    pub(crate) fn ending(&self) {
        self.ending.store(true, Ordering::Release);
    }
}

/// Reads a conversation on from where the history ends.
pub(crate) async fn read_on(broker: &Broker, reader: &User, label: &str, history: &mut History) {
    loop {
        let request = json!({"conversation": label, "after": history.last, "limit": 200});
        let page = broker.call(&reader.token, "messages", request).await;
        let page: Messages = serde_json::from_value(page).expect("a page of messages");
        if !history.add(page) {
            return;
        }
    }
}

/// Which of what was acknowledged is not there.
pub(crate) fn lost(
    acknowledged: &HashMap<String, Entry>,
    histories: &HashMap<String, History>,
) -> Vec<String> {
    let empty = History::default();
    let here = |entry: &Entry| histories.get(&entry.conversation).unwrap_or(&empty);
    acknowledged.iter().flat_map(|(text, entry)| missing([(text, entry)], here(entry))).collect()
}
