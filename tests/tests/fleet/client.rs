//! A client of the fleet: a program or a library, told what to do in the line protocol of `tests/clients/README.md`,
//! behind a [`Proxy`] of its own.

mod kind;
mod link;
mod rumqttc;
mod tools;

pub(crate) use self::kind::Kind;
use self::link::Link;
use crate::{broker::Login, proxy::Proxy};
use parlance_mqtt::{QoS, Version};
use parlance_tests::in_time;
use serde_json::{Value, json};
use std::{collections::VecDeque, net::SocketAddr};

/// Keep Alive where it is not what is tested, seconds.
const KEEP_ALIVE_S: u64 = 60;
/// Payloads of this length and more are told by length and hash.
const LONG_BYTES: usize = 1_024;
const LETTERS: usize = 26;

/// A client under test.
pub(crate) struct Client {
    kind: Kind,
    version: Version,
    link: Link,
    proxy: Proxy,
    id: String,
    login: Login,
    /// What the proxy had seen before it connected.
    connected: usize,
    messages: VecDeque<Value>,
    /// Publishes that were begun, and of which nothing was heard yet.
    unsettled: usize,
    /// The last one that was heard of was given up by the library, which completes it all the same.
    given_up: bool,
}

impl Client {
    /// Starts the program; it is not connected yet.
    pub(crate) async fn start(
        kind: Kind,
        version: Version,
        server: SocketAddr,
        id: String,
        login: Login,
    ) -> Self {
        let proxy = Proxy::start(server).await;
        let (link, messages) = (Link::start(kind, version, proxy.connections()), VecDeque::new());
        Self { kind, version, link, proxy, id, login, connected: 0, messages, unsettled: 0, given_up: false }
    }

    /// What stands between it and the server.
    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Connects, with `more` beside what every connection needs.
    pub(crate) async fn connect(&mut self, more: Value) {
        let address = self.proxy.address();
        let mut order = json!({
            "do": "connect", "host": address.ip().to_string(), "port": address.port(), "id": self.id,
            "user": self.login.user, "password": self.login.password, "clean": true, "keepAlive": KEEP_ALIVE_S,
            "version": if self.version == Version::V5 { 5 } else { 3 },
        });
        merge(&mut order, more);
        if self.version == Version::V3 {
            for name in ["expiry", "maxPacket", "aliases"] {
                order.as_object_mut().expect("an object").remove(name);
            }
        }
        self.proxy.open();
        self.connected = self.proxy.mark();
        self.tell(order).await;
        self.event("connected").await;
    }

    /// Whether the server had its session. mosquitto's tools are connected only once they have subscribed.
    pub(crate) async fn session_present(&self) -> bool {
        self.proxy.session_present(self.connected).await
    }

    /// Connects to a session that stays.
    pub(crate) async fn connect_to_session(&mut self) {
        self.connect(json!({"clean": false, "expiry": 3_600})).await;
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.subscribe_with(filter, qos, json!({})).await;
    }

    pub(crate) async fn subscribe_with(&mut self, filter: &str, qos: QoS, more: Value) {
        let mut order = json!({"do": "subscribe", "filter": filter, "qos": qos as u8});
        merge(&mut order, more);
        self.tell(order).await;
        let granted = self.event("subscribed").await;
        assert_eq!(granted["code"], qos as u8, "{filter}: {granted}");
    }

    pub(crate) async fn unsubscribe(&mut self, filter: &str) {
        self.tell(json!({"do": "unsubscribe", "filter": filter})).await;
        self.event("unsubscribed").await;
    }

    /// Publishes text and waits until the library says that it is done.
    pub(crate) async fn publish(&mut self, topic: &str, qos: QoS, payload: &str) {
        self.publish_with(topic, qos, json!({"payload": payload})).await;
    }

    pub(crate) async fn publish_with(&mut self, topic: &str, qos: QoS, more: Value) {
        self.begin_publish(topic, qos, more).await;
        self.settled().await;
        assert!(!self.given_up, "the library gave up a publish to {topic}");
    }

    /// Waits until the library has said of each publish that it is done, or that it will not say so.
    pub(crate) async fn settled(&mut self) {
        while self.unsettled > 0 {
            if let Some(event) = self.next("published").await {
                panic!("instead of published: {event}");
            }
        }
    }

    /// Publishes and does not wait.
    pub(crate) async fn begin_publish(&mut self, topic: &str, qos: QoS, more: Value) {
        let mut order = json!({"do": "publish", "topic": topic, "qos": qos as u8, "retain": false});
        merge(&mut order, more);
        self.unsettled += 1;
        self.tell(order).await;
    }

    /// Sends a request and answers what came back.
    pub(crate) async fn request(&mut self, topic: &str, reply: &str, payload: &str) -> Value {
        if self.kind.has_own_requests() {
            self.tell(json!({"do": "request", "topic": topic, "reply": reply, "payload": payload})).await;
        } else {
            self.subscribe(reply, QoS::AtLeastOnce).await;
            let mut more = json!({"payload": payload});
            if self.version == Version::V5 {
                merge(&mut more, json!({"responseTopic": reply, "correlation": payload}));
            }
            self.publish_with(topic, QoS::AtLeastOnce, more).await;
        }
        self.message().await
    }

    /// Leaves with a DISCONNECT; the server has closed the connection afterwards.
    pub(crate) async fn disconnect(&mut self) {
        self.tell(json!({"do": "disconnect"})).await;
        self.event("disconnected").await;
        self.proxy.ended().await;
    }

    /// Loses its connection without a word, as a dead battery does, and knows it.
    pub(crate) async fn cut(&mut self) {
        self.proxy.cut().await;
        if self.kind.tells_its_loss() {
            self.event("lost").await;
        }
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Value {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return message;
            }
            if let Some(event) = self.next("a message").await {
                panic!("unasked: {event}");
            }
        }
    }

    /// The payload of the next message.
    pub(crate) async fn text(&mut self) -> String {
        let message = self.message().await;
        message["payload"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned()
    }

    async fn event(&mut self, wanted: &str) -> Value {
        loop {
            match self.next(wanted).await {
                Some(event) if event["event"] == wanted => return event,
                Some(event) => panic!("instead of {wanted}: {event}"),
                None => {}
            }
        }
    }

    /// The next event. Messages are put where they belong, and so is the end of a publish: a library completes in its
    /// own time what a lost connection had left open.
    async fn next(&mut self, what: &str) -> Option<Value> {
        let event = in_time(&format!("{what} of {}", self.id), self.link.event()).await;
        match event["event"].as_str() {
            Some("message") => self.messages.push_back(event),
            Some(end @ ("published" | "unfinished")) => {
                self.given_up = end == "unfinished";
                self.unsettled = self.unsettled.checked_sub(1).expect("no publish ends twice");
            }
            _ => return Some(event),
        }
        None
    }

    async fn tell(&mut self, order: Value) {
        in_time(&format!("{} listens", self.id), self.link.tell(order)).await;
    }
}

/// A long payload, as the programs make it.
pub(crate) fn letters(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + u8::try_from(at % LETTERS).expect("a letter")).collect()
}

/// How the programs tell a payload, in an event of theirs.
fn put_payload(event: &mut Value, payload: &[u8]) {
    if payload.len() < LONG_BYTES {
        event["payload"] = String::from_utf8_lossy(payload).into_owned().into();
    } else {
        event["bytes"] = payload.len().into();
        event["hash"] = fnv1a(payload).into();
    }
}

/// FNV-1a, 32 bits.
pub(crate) fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |digest, byte| (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn merge(order: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("an object, not {more}") };
    order.as_object_mut().expect("an order is an object").extend(more);
}
