//! A participant with paho-mqtt: `tests/clients/py/flaky.py`.

use super::{
    PAUSE_MS,
    diary::{Book, Heard},
};
use crate::rng::Rng;
use parlance_tests::{Process, User, mqtt::Version, python};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Publishes under way at once.
const WINDOW: usize = 8;

/// Says something to one conversation or another as long as `talking`, and writes down what becomes of it and what comes.
///
/// MQTT 5: JSON with ids. MQTT 3.1.1: text without any, so that DUP and the packet id are all that tells a repetition.
pub(super) async fn talk(
    network: SocketAddr,
    user: User,
    conversations: Vec<(String, String)>,
    version: Version,
    book: Book,
    talking: watch::Receiver<bool>,
    mut rng: Rng,
) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/py/flaky.py");
    let (host, port) = (network.ip().to_string(), network.port().to_string());
    let number = if version == Version::V5 { "5" } else { "3" };
    let arguments = [script, &host, &port, number, &user.handle, "paho"];
    let mut process = Process::start(python(), &arguments, &[("TOKEN", &user.token)]);
    let mut gate = Gate::default();
    let mut next = Instant::now();
    loop {
        let may_talk = *talking.borrow() && gate.is_open() && gate.outstanding < WINDOW;
        tokio::select! {
            line = process.json() => gate.note(&book, &line),
            () = sleep_until(next), if may_talk => {
                next = Instant::now() + rng.millis(PAUSE_MS);
                let (id, topic) = &conversations[rng.within(0..conversations.len() as u64) as usize];
                let (number, text) = book.say(id, &mut rng);
                let (topic, payload) = match version {
                    Version::V5 => (format!("{topic}/json"), json!({"id": format!("m{number}"), "text": text}).to_string()),
                    Version::V3 => (format!("{topic}/text"), text),
                };
                gate.outstanding += 1;
                process.tell(&json!({"number": number, "topic": topic, "payload": payload}).to_string()).await;
            }
        }
    }
}

/// When something new may be said. paho-mqtt puts what is published while it connects before what it has to repeat;
/// so nothing new is said from the loss of a connection until all that was on its way is acknowledged.
#[derive(Default)]
struct Gate {
    connected: bool,
    repeating: bool,
    outstanding: usize,
}

impl Gate {
    fn is_open(&self) -> bool {
        self.connected && !self.repeating
    }

    fn note(&mut self, book: &Book, line: &Value) {
        match line["event"].as_str().unwrap_or_default() {
            "alive" => {}
            "connected" => {
                (self.connected, self.repeating) = (true, self.outstanding > 0);
                book.connected();
            }
            "lost" => self.connected = false,
            "acked" => {
                self.outstanding -= 1;
                self.repeating &= self.outstanding > 0;
                book.acked(line["number"].as_u64().expect("a number") as usize, None);
            }
            "heard" => {
                let message = &line["message"];
                if let Some(text) = message["text"].as_str() {
                    book.heard(Heard {
                        conversation: message["conversation"].as_str().unwrap_or_default().to_owned(),
                        seq: message["seq"].as_u64().unwrap_or_default(),
                        text: text.to_owned(),
                        dup: line["dup"] == true,
                    });
                }
            }
            _ => book.problem(line.to_string()),
        }
    }
}
