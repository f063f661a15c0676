//! A device that does what a test says.

use crate::{
    checks::{DeviceName, Draft},
    device::{Dialogue, Heard},
    stage::Stage,
};
use parlance_mqtt::{Packet, ReasonCode};
use parlance_plugin_api::ConversationId;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long something may take that does not wait for anything to be mended.
const SOON: Duration = Duration::from_secs(5);

/// What became of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is stored.
    Stored(ConversationId, u64),
    /// It was refused, with the code that programs read.
    Refused(ReasonCode, String),
    /// The connection ended first, with the server's words if it had some.
    Ended(Option<ReasonCode>),
}

/// See the module.
pub struct Probe {
    stage: Arc<Stage>,
    name: DeviceName,
    dialogue: Dialogue,
    written: usize,
    acknowledges: bool,
    /// Messages that came while something else was waited for.
    inbox: VecDeque<(ConversationId, u64)>,
}

impl Probe {
    /// Connects as a device of a user and subscribes to all messages. `Err`: how it was refused.
    ///
    /// # Errors
    /// The CONNACK's or SUBACK's reason; `None` where there was none.
    pub async fn connect(stage: &Arc<Stage>, user: usize, number: usize) -> Result<Self, Option<ReasonCode>> {
        let mut probe = Self::resume(stage, user, number).await?;
        probe.subscribe().await?;
        Ok(probe)
    }

    /// Connects, and leaves the subscriptions of its session as they are.
    ///
    /// # Errors
    /// The CONNACK's reason; `None` where there was none.
    pub async fn resume(stage: &Arc<Stage>, user: usize, number: usize) -> Result<Self, Option<ReasonCode>> {
        let name = DeviceName { user, number };
        let (link, socket) = stage.machine.connect().ok_or(None)?;
        let mut dialogue = Dialogue::new(name, link.number, socket);
        dialogue.connect();
        match timeout(SOON, dialogue.next()).await {
            Ok(Some(Packet::ConnAck(ack))) if ack.reason == ReasonCode::Success => {}
            Ok(Some(Packet::ConnAck(ack))) => return Err(Some(ack.reason)),
            _ => return Err(None),
        }
        let inbox = VecDeque::new();
        Ok(Self { stage: stage.clone(), name, dialogue, written: 0, acknowledges: true, inbox })
    }

    /// Subscribes to all messages, and waits for the answer.
    ///
    /// # Errors
    /// The SUBACK's reason; `None` where there was none.
    pub async fn subscribe(&mut self) -> Result<(), Option<ReasonCode>> {
        self.dialogue.subscribe();
        match self.until(|packet| matches!(packet, Packet::SubAck(_))).await {
            Some(Packet::SubAck(ack)) => match ack.codes.iter().find(|code| code.is_error()) {
                Some(refused) => Err(Some(*refused)),
                None => Ok(()),
            },
            _ => Err(None),
        }
    }

    /// Ends the subscription, and does not wait for the answer.
    pub fn unsubscribe(&mut self) {
        self.dialogue.unsubscribe();
    }

    /// Whether it acknowledges what comes.
    pub fn set_acknowledges(&mut self, acknowledges: bool) {
        self.acknowledges = acknowledges;
    }

    /// Listens for a while to who does not write.
    pub async fn listen(&mut self, lasts: Duration) {
        // It ends with its time.
        let _ = timeout(lasts, self.until(|_| false)).await;
    }

    /// The next packet of a kind; deliveries meanwhile are acknowledged and noted.
    async fn until(&mut self, wanted: impl Fn(&Packet) -> bool) -> Option<Packet> {
        loop {
            let packet = timeout(SOON, self.dialogue.next()).await.ok()??;
            if wanted(&packet) {
                return Some(packet);
            }
            match packet {
                Packet::Publish(publish) => {
                    let message = self.take(&publish);
                    self.inbox.extend(message);
                }
                Packet::Disconnect(_) => return Some(packet),
                _ => {}
            }
        }
    }

    fn take(&mut self, publish: &parlance_mqtt::Publish) -> Option<(ConversationId, u64)> {
        let heard = self.dialogue.take(publish, self.acknowledges);
        let Some(Heard::Message(delivery)) = heard else { return None };
        let (conversation, seq) = (delivery.conversation, delivery.seq);
        self.stage.book.delivered(self.name, self.dialogue.connection(), &delivery);
        if self.acknowledges {
            self.stage.book.device_acknowledged(self.name, conversation, seq);
        }
        Some((conversation, seq))
    }

    /// A message that says something new.
    pub fn draft(&mut self, topic: &str, conversation: ConversationId, bytes: usize) -> Draft {
        self.written += 1;
        let id = format!("{}-{}", self.name, self.written);
        let text = format!("{id} #{}", "x".repeat(bytes));
        Draft { device: self.name, topic: topic.to_owned(), conversation, id: Some(id), text, free: false }
    }

    /// Sends a message, and waits for what becomes of it.
    pub async fn publish(&mut self, draft: &Draft) -> Told {
        self.stage.book.sent(draft);
        self.dialogue.publish(draft);
        match self.until(|packet| matches!(packet, Packet::PubAck(_))).await {
            Some(Packet::PubAck(ack)) if ack.reason.is_error() => {
                Told::Refused(ack.reason, Dialogue::code(&ack).unwrap_or_default())
            }
            Some(Packet::PubAck(ack)) => {
                let place = Dialogue::place(&ack);
                self.stage.book.acknowledged(draft, place);
                place.map_or(Told::Ended(None), |(conversation, seq)| Told::Stored(conversation, seq))
            }
            Some(Packet::Disconnect(goodbye)) => Told::Ended(Some(goodbye.reason)),
            _ => Told::Ended(None),
        }
    }

    /// The next message. `Err`: the connection ended, or nothing came.
    ///
    /// # Errors
    /// The reason of the goodbye; `None` where there was none.
    pub async fn receive(&mut self) -> Result<(ConversationId, u64), Option<ReasonCode>> {
        if let Some(message) = self.inbox.pop_front() {
            return Ok(message);
        }
        loop {
            let packet = self.until(|packet| matches!(packet, Packet::Publish(_))).await;
            match packet {
                Some(Packet::Publish(publish)) => {
                    if let Some(message) = self.take(&publish) {
                        return Ok(message);
                    }
                }
                Some(Packet::Disconnect(goodbye)) => return Err(Some(goodbye.reason)),
                _ => return Err(None),
            }
        }
    }
}
