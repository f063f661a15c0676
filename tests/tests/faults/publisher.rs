//! A publisher that keeps what was not acknowledged and sends it again after a broken connection, in its own way.

use crate::{
    book::{Acked, Book},
    rng::Rng,
};
use parlance_schema::api::{SendMessageRequest, Sent};
use parlance_tests::{Broker, Closed, Device, Message, User, mqtt::PacketId};
use std::{collections::VecDeque, sync::Arc};

/// Messages of one publisher on their way at once.
const WINDOW: usize = 4;
/// Acknowledged messages that are sent once more after each reconnection.
const CONFIRMED_AGAIN: usize = 2;
/// A request that finds no server is tried so often again.
const HTTP_RETRIES_MAX: u32 = 3;
/// What is appended to a text, so that messages differ in size.
const PADDING: &str = "lorem ipsum dolor sit amet consetetur sadipscing elitr sed diam nonumy eirmod tempor invidunt \
                       ut labore et dolore magna aliquyam erat sed diam voluptua at vero eos et accusam et justo duo";

/// How it talks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// MQTT 5, JSON with an id; a new session each time.
    Json5,
    /// MQTT 5, text with the user property `id`; a session that stays, DUP after a break.
    Text5,
    /// MQTT 3.1.1, text without any id; a session that stays, DUP and the same packet id after a break.
    Text3,
    /// HTTP with an id.
    Http,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Json5, Self::Text5, Self::Text3, Self::Http];

    fn keeps_its_session(self) -> bool {
        matches!(self, Self::Text5 | Self::Text3)
    }
}

/// When a publisher stops.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The connection breaks.
    Broken,
    /// Everything is acknowledged; nothing new is begun.
    Settled,
}

/// Where to write to.
#[derive(Clone)]
pub(crate) struct Target {
    /// `user/@watcher` or `group/@team`.
    pub(crate) topic: String,
    /// The same for HTTP.
    pub(crate) to: String,
    /// As the watcher names it.
    pub(crate) conversation: String,
}

#[derive(Clone)]
struct Pending {
    text: String,
    id: String,
    target: usize,
    packet_id: PacketId,
}

pub(crate) struct Publisher {
    pub(crate) kind: Kind,
    pub(crate) user: User,
    device: Device,
    targets: Vec<Target>,
    book: Arc<Book>,
    rng: Rng,
    made: u64,
    last_packet_id: PacketId,
    connected_before: bool,
    unacked: VecDeque<Pending>,
    /// Acknowledged lately.
    recent: VecDeque<Pending>,
}

impl Publisher {
    pub(crate) fn new(kind: Kind, user: User, targets: Vec<Target>, book: Arc<Book>, rng: Rng) -> Self {
        let device = Device::new(format!("{}-device", user.handle));
        let device = match kind {
            Kind::Json5 => device.clean().expiry_s(0),
            Kind::Text5 | Kind::Http => device,
            Kind::Text3 => device.v3(),
        };
        Self {
            kind,
            user,
            device,
            targets,
            book,
            rng,
            made: 0,
            last_packet_id: PacketId::MIN,
            connected_before: false,
            unacked: VecDeque::new(),
            recent: VecDeque::new(),
        }
    }

    /// Publishes until the end that was asked for. With [`Until::Broken`] that is always an error.
    pub(crate) async fn run(&mut self, broker: &Broker, until: Until) -> Result<(), Closed> {
        match self.kind {
            Kind::Http => self.run_http(broker, until).await,
            _ => self.run_mqtt(broker, until).await,
        }
    }

    fn make(&mut self) -> Pending {
        self.made += 1;
        let padding = self.rng.within(0..PADDING.len() as u64) as usize;
        let id = format!("{}-{:06}", self.user.handle, self.made);
        let target = self.rng.within(0..self.targets.len() as u64) as usize;
        let text = format!("{id} {}", &PADDING[..padding]);
        self.book.sent(&text, &self.targets[target].conversation);
        Pending { text, id, target, packet_id: self.free_packet_id() }
    }

    fn free_packet_id(&mut self) -> PacketId {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(PacketId::MIN);
            if self.unacked.iter().all(|pending| pending.packet_id != self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }

    async fn run_mqtt(&mut self, broker: &Broker, until: Until) -> Result<(), Closed> {
        let mut client = self.device.try_connect(broker, &self.user).await?;
        let keeps = self.kind.keeps_its_session();
        if self.connected_before && keeps && !client.session_present() {
            self.book.problem(format!("the session of {} was lost", self.user.handle));
        }
        self.connected_before = true;
        for pending in &self.unacked {
            self.book.resent();
            let message = self.message(pending);
            client.send(&if keeps { message.dup() } else { message }).await?;
        }
        if self.kind != Kind::Text3 && until == Until::Broken {
            while let Some(mut pending) = self.recent.pop_front() {
                pending.packet_id = self.free_packet_id();
                self.book.resent();
                let message = self.message(&pending);
                self.unacked.push_back(pending);
                client.send(&message).await?;
            }
        }
        loop {
            while until == Until::Broken && self.unacked.len() < WINDOW {
                let pending = self.make();
                let message = self.message(&pending);
                self.unacked.push_back(pending);
                client.send(&message).await?;
            }
            if until == Until::Settled && self.unacked.is_empty() {
                return Ok(());
            }
            let ack = client.next_ack().await?;
            self.acknowledged(&ack);
        }
    }

    fn message(&self, pending: &Pending) -> Message {
        let topic = &self.targets[pending.target].topic;
        let Pending { text, id, packet_id, .. } = pending;
        let message = match self.kind {
            Kind::Json5 => {
                let body = serde_json::json!({ "id": id, "text": text }).to_string();
                Message::new(&format!("{topic}/json"), body)
            }
            Kind::Text5 => Message::new(&format!("{topic}/text"), text.clone()).property("id", id),
            Kind::Text3 | Kind::Http => Message::new(&format!("{topic}/text"), text.clone()),
        };
        message.packet_id(*packet_id)
    }

    fn acknowledged(&mut self, ack: &parlance_tests::Acked) {
        let at = self.unacked.iter().position(|pending| pending.packet_id == ack.packet_id());
        let Some(pending) = at.and_then(|at| self.unacked.remove(at)) else {
            return self.book.problem(format!("{} got a PUBACK for nothing: {ack:?}", self.user.handle));
        };
        if ack.reason().is_error() {
            return self.book.problem(format!("{:?} was refused: {ack:?}", pending.text));
        }
        // 3.1.1 has no room for it: the history tells.
        let seq = (self.kind != Kind::Text3).then(|| ack.seq());
        self.book.acked(&pending.text, Acked { seq, repeated: ack.repeated() });
        self.remember(pending);
    }

    fn remember(&mut self, pending: Pending) {
        self.recent.push_back(pending);
        if self.recent.len() > CONFIRMED_AGAIN {
            self.recent.pop_front();
        }
    }

    async fn run_http(&mut self, broker: &Broker, until: Until) -> Result<(), Closed> {
        self.connected_before = true;
        if until == Until::Broken {
            self.unacked.extend(self.recent.drain(..));
        }
        for _ in &self.unacked {
            self.book.resent();
        }
        loop {
            let Some(pending) = self.unacked.front() else {
                if until == Until::Settled {
                    return Ok(());
                }
                let pending = self.make();
                self.unacked.push_back(pending);
                continue;
            };
            let Sent { seq, repeated, .. } = self.post(broker, pending).await?;
            self.book.acked(&pending.text, Acked { seq: Some(seq), repeated });
            if let Some(pending) = self.unacked.pop_front() {
                self.remember(pending);
            }
        }
    }

    async fn post(&self, broker: &Broker, pending: &Pending) -> Result<Sent, Closed> {
        let request = SendMessageRequest {
            to: self.targets[pending.target].to.clone(),
            text: Some(pending.text.clone()),
            id: Some(pending.id.clone()),
            ..SendMessageRequest::default()
        };
        let mut attempts = 0;
        loop {
            let request = broker.request(reqwest::Method::POST, "/sendMessage").json(&request);
            let answer = async {
                request.bearer_auth(&self.user.token).send().await?.error_for_status()?.json().await
            };
            match answer.await {
                Ok(sent) => return Ok(sent),
                Err(error) if error.is_status() => {
                    self.book.problem(format!("{:?} was refused: {error}", pending.text));
                    return Err(Closed::Ended);
                }
                // A connection of the pool that belonged to the server of before is noticed only by using it.
                Err(_) if attempts < HTTP_RETRIES_MAX => attempts += 1,
                Err(_) => return Err(Closed::Ended),
            }
        }
    }
}
