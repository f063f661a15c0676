//! A publisher that keeps what was not acknowledged and sends it again after a broken connection, in its own way.

use crate::{
    book::{Acked, Book},
    rng::Rng,
    wire::{Login, Wire, property, publish},
    world::Place,
};
use parlance_mqtt::{Ack, Packet, Version};
use parlance_schema::api::{SendMessageRequest, Sent};
use std::{collections::VecDeque, io, sync::Arc};

/// Messages of one publisher on their way at once.
const WINDOW: usize = 4;
/// Acknowledged messages that are sent once more after each reconnection.
const CONFIRMED_AGAIN: usize = 2;
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
    packet_id: u16,
}

pub(crate) struct Publisher {
    pub(crate) kind: Kind,
    login: Login,
    targets: Vec<Target>,
    book: Arc<Book>,
    rng: Rng,
    made: u64,
    last_packet_id: u16,
    connected_before: bool,
    unacked: VecDeque<Pending>,
    /// Acknowledged lately.
    recent: VecDeque<Pending>,
}

impl Publisher {
    pub(crate) fn new(kind: Kind, handle: &str, token: String, targets: Vec<Target>, book: Arc<Book>, rng: Rng) -> Self {
        let login = Login {
            version: if kind == Kind::Text3 { Version::V3 } else { Version::V5 },
            handle: handle.to_owned(),
            token,
            client_id: format!("{handle}-device"),
            persistent: kind.keeps_its_session(),
        };
        Self {
            kind,
            login,
            targets,
            book,
            rng,
            made: 0,
            last_packet_id: 0,
            connected_before: false,
            unacked: VecDeque::new(),
            recent: VecDeque::new(),
        }
    }

    /// Publishes until the end that was asked for. Of [`Until::Broken`] every end is the right one.
    pub(crate) async fn run(&mut self, place: &Place, until: Until) -> io::Result<()> {
        match self.kind {
            Kind::Http => self.run_http(place, until).await,
            _ => self.run_mqtt(place, until).await,
        }
    }

    fn make(&mut self) -> Pending {
        self.made += 1;
        let padding = self.rng.within(0..PADDING.len() as u64) as usize;
        let id = format!("{}-{:06}", self.login.handle, self.made);
        let target = self.rng.within(0..self.targets.len() as u64) as usize;
        let text = format!("{id} {}", &PADDING[..padding]);
        self.book.sent(&text, &self.targets[target].conversation);
        Pending { text, id, target, packet_id: self.free_packet_id() }
    }

    fn free_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if self.unacked.iter().all(|pending| pending.packet_id != self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }

    async fn run_mqtt(&mut self, place: &Place, until: Until) -> io::Result<()> {
        let (mut wire, ack) = Wire::connect(place.mqtt, &self.login).await?;
        if self.connected_before && self.kind.keeps_its_session() && !ack.session_present {
            self.book.problem(format!("the session of {} was lost", self.login.handle));
        }
        self.connected_before = true;
        for pending in &self.unacked {
            self.book.resent();
            wire.send(&self.packet(pending, self.kind.keeps_its_session()));
        }
        if self.kind != Kind::Text3 && until == Until::Broken {
            for mut pending in self.recent.drain(..).collect::<Vec<_>>() {
                pending.packet_id = self.free_packet_id();
                self.book.resent();
                wire.send(&self.packet(&pending, false));
                self.unacked.push_back(pending);
            }
        }
        loop {
            while until == Until::Broken && self.unacked.len() < WINDOW {
                let pending = self.make();
                wire.send(&self.packet(&pending, false));
                self.unacked.push_back(pending);
            }
            if until == Until::Settled && self.unacked.is_empty() {
                return Ok(());
            }
            if let Packet::PubAck(ack) = wire.next().await? {
                self.acknowledged(&ack);
            }
        }
    }

    fn packet(&self, pending: &Pending, dup: bool) -> Packet {
        let topic = &self.targets[pending.target].topic;
        let Pending { text, id, packet_id, .. } = pending;
        match self.kind {
            Kind::Json5 => {
                let body = serde_json::json!({ "id": id, "text": text }).to_string();
                publish(&format!("{topic}/json"), body, *packet_id, dup, None)
            }
            Kind::Text5 => publish(&format!("{topic}/text"), text.clone(), *packet_id, dup, Some(id)),
            Kind::Text3 | Kind::Http => publish(&format!("{topic}/text"), text.clone(), *packet_id, dup, None),
        }
    }

    fn acknowledged(&mut self, ack: &Ack) {
        let at = self.unacked.iter().position(|pending| pending.packet_id == ack.packet_id.get());
        let Some(pending) = at.and_then(|at| self.unacked.remove(at)) else {
            return self.book.problem(format!("{} got a PUBACK for nothing: {ack:?}", self.login.handle));
        };
        if ack.reason.is_error() {
            return self.book.problem(format!("{:?} was refused: {ack:?}", pending.text));
        }
        let seq = property(ack, "seq").and_then(|seq| seq.parse().ok());
        if seq.is_none() && self.login.version == Version::V5 {
            self.book.problem(format!("the PUBACK of {:?} names no seq: {ack:?}", pending.text));
        }
        self.book.acked(&pending.text, Acked { seq, repeated: property(ack, "repeated") == Some("true") });
        self.remember(pending);
    }

    fn remember(&mut self, pending: Pending) {
        self.recent.push_back(pending);
        if self.recent.len() > CONFIRMED_AGAIN {
            self.recent.pop_front();
        }
    }

    async fn run_http(&mut self, place: &Place, until: Until) -> io::Result<()> {
        let again = self.unacked.len();
        if until == Until::Broken {
            self.unacked.extend(self.recent.drain(..));
        }
        for _ in 0..again {
            self.book.resent();
        }
        loop {
            if self.unacked.is_empty() {
                if until == Until::Settled {
                    return Ok(());
                }
                let pending = self.make();
                self.unacked.push_back(pending);
            }
            let Some(pending) = self.unacked.front().cloned() else { continue };
            let request = SendMessageRequest {
                to: self.targets[pending.target].to.clone(),
                text: Some(pending.text.clone()),
                id: Some(pending.id.clone()),
                ..SendMessageRequest::default()
            };
            let Sent { seq, repeated, .. } = place.call(&self.login.token, "sendMessage", &request).await?;
            self.book.acked(&pending.text, Acked { seq: Some(seq), repeated });
            self.unacked.pop_front();
            self.remember(pending);
        }
    }
}
