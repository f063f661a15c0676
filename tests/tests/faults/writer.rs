//! A publisher that is refused now and then, and the check that nothing it was promised is lost.

use crate::{
    book::{Acked, Book, History, missing},
    world::read_on,
};
use parlance_tests::{Broker, Client, Device, Message, User, mqtt::ReasonCode};
use reqwest::Method;

/// A publisher that writes to `@carol` and notes in the book what became of each message.
pub(crate) struct Writer {
    client: Client,
    user: User,
    made: usize,
    padding: String,
}

impl Writer {
    pub(crate) async fn new(broker: &Broker, user: User, client_id: &str, padding_bytes: usize) -> Self {
        let client = Device::new(client_id).connect(broker, &user).await;
        Self { client, user, made: 0, padding: "x".repeat(padding_bytes) }
    }

    /// Answers the code of the refusal.
    pub(crate) async fn write(&mut self, book: &Book) -> Result<(), String> {
        self.made += 1;
        let text = format!("{} {}", self.made, self.padding);
        book.sent(&text, &self.user.at());
        let id = format!("m-{}", self.made);
        let message = Message::new("user/@carol/text", text.clone()).property("id", &id);
        let ack = self.client.publish_message(&message).await;
        if !ack.reason().is_error() {
            book.acked(&text, Acked { seq: Some(ack.seq()), repeated: ack.repeated() });
            return Ok(());
        }
        let code = ack.code().unwrap_or_default().to_owned();
        let reason = if code == "disk_full" { ReasonCode::QuotaExceeded } else { ack.reason() };
        assert_eq!(ack.reason(), reason, "{ack:?}");
        Err(code)
    }
}

/// Whether it takes writes.
pub(crate) async fn is_ready(broker: &Broker) -> bool {
    let answer = broker.request(Method::GET, "/ready").send().await.expect("the server lives");
    assert!(answer.status() == 200 || answer.status() == 503, "{}", answer.status());
    answer.status() == 200
}

/// Everything acknowledged is in the history of `@carol` at its seq. Answers how much that is.
pub(crate) async fn nothing_lost(broker: &Broker, carol: &User, book: &Book) -> u64 {
    book.assert_sound();
    let mut history = History::default();
    read_on(broker, carol, "@alice", &mut history).await;
    let acknowledged = book.acknowledged();
    let lost = missing(&acknowledged, &history);
    assert!(lost.is_empty(), "{} of {} lost", lost.len(), acknowledged.len());
    assert!(history.problems().is_empty() && history.unreadable.is_empty(), "{:?}", history.problems());
    history.head
}
