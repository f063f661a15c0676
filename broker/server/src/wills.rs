//! Last wills: published when a connection ends without a goodbye, after their delay, and not at all when the client is
//! back in time (MQTT-3.1.2.5, MQTT-3.1.3.2.2).
//!
//! Those that wait stand in one map in the order of their time; one task looks at it. Their number and their pace are
//! bounded: when many clients are lost at once, their wills go out one after the other. A will of a session that outlives
//! its connection is kept with it, so that a stop of the server does not forget it.

use crate::{
    config,
    context::Context,
    gate::{self, Routed, Sender},
    ledger::{Command, Done, SendIntent, now_ms},
    sessions::{self, Owner},
    topics::Subscriber,
    who,
};
use parlance_mqtt::{Publish, TopicName, Will};
use parlance_plugin_api::{
    identity::{AccountKind, CredentialId, Principal, Scopes},
    ledger::Ledger,
    record::{FreeRecord, SessionKey, SessionRecord, StoredWill},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// A will whose connection has ended.
pub(crate) struct LastWill {
    /// Who made it.
    pub(crate) principal: Principal,
    /// Whose session.
    pub(crate) owner: Owner,
    /// Its rights on free topics.
    pub(crate) subscriber: Arc<Subscriber>,
    /// When the session began, Unix milliseconds.
    pub(crate) session_ms: u64,
    /// How long it waits.
    pub(crate) delay_s: u32,
    /// It stands in the session's record.
    pub(crate) kept: bool,
    /// What is published.
    pub(crate) publish: Publish,
}

/// When, and which of those at the same moment.
type Turn = (u64, u64);

#[derive(Default)]
struct Waiting {
    turns: BTreeMap<Turn, LastWill>,
    /// The latest will of each session.
    of: HashMap<SessionKey, Turn>,
    next: u64,
    /// The second that is being counted, and what was published in it.
    second: u64,
    published: u32,
}

/// The wills that wait.
pub(crate) struct Wills {
    waiting: Mutex<Waiting>,
    waiting_max: usize,
    per_second_max: u32,
    changed: Notify,
}

impl Waiting {
    /// Whether one more may be published in this second.
    fn may_publish(&mut self, per_second_max: u32, now: u64) -> bool {
        if self.second != now / 1000 {
            (self.second, self.published) = (now / 1000, 0);
        }
        let may = self.published < per_second_max;
        self.published += u32::from(may);
        may
    }

    fn insert(&mut self, due: u64, will: LastWill) {
        let turn = (due, self.next);
        self.next += 1;
        self.of.insert(will.owner.key(), turn);
        self.turns.insert(turn, will);
    }

    fn take(&mut self, turn: Turn) -> Option<LastWill> {
        let will = self.turns.remove(&turn)?;
        let key = will.owner.key();
        if self.of.get(&key) == Some(&turn) {
            self.of.remove(&key);
        }
        Some(will)
    }

    /// The next that is due, or when to look again, milliseconds from now.
    fn next(&mut self, per_second_max: u32, now: u64) -> Result<LastWill, Option<u64>> {
        let Some((&turn, _)) = self.turns.first_key_value() else { return Err(None) };
        if turn.0 > now {
            return Err(Some(turn.0 - now));
        }
        if !self.may_publish(per_second_max, now) {
            return Err(Some(1000 - now % 1000));
        }
        self.take(turn).ok_or(None)
    }
}

impl Wills {
    /// None waits.
    pub(crate) fn new(topics: &config::Topics) -> Self {
        Self {
            waiting: Mutex::default(),
            waiting_max: topics.wills_waiting_max,
            per_second_max: topics.wills_per_second_max,
            changed: Notify::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere leaves a will in one map and not in the other, which is looked for.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection ended without a goodbye. Its will is published now, or waits for its delay or its turn (`true`). Where
    /// too many wait, it does not: an early will is better than none.
    pub(crate) async fn leave(&self, context: &Context, will: LastWill) -> bool {
        let now = now_ms();
        let due = now + u64::from(will.delay_s) * 1000;
        let will = {
            let mut waiting = self.waiting();
            let at_once = will.delay_s == 0 && waiting.may_publish(self.per_second_max, now);
            if !at_once && waiting.turns.len() < self.waiting_max {
                waiting.insert(due, will);
                None
            } else {
                Some(will)
            }
        };
        let Some(will) = will else {
            metrics::counter!("parlance_wills_delayed_total").increment(1);
            self.changed.notify_one();
            return true;
        };
        publish(context, &will).await;
        false
    }

    /// The session has a connection again: a will that waits for its delay is forgotten (MQTT-3.1.3-9). One that is due
    /// waits for its turn only.
    pub(crate) fn cancel(&self, key: SessionKey) {
        let mut waiting = self.waiting();
        let turn = waiting.of.get(&key).copied().filter(|(due, _)| *due > now_ms());
        if turn.and_then(|turn| waiting.take(turn)).is_some() {
            metrics::counter!("parlance_wills_cancelled_total").increment(1);
        }
    }

    /// The session has ended before the delay: its will does not wait any longer (MQTT-3.1.2-8).
    pub(crate) async fn session_ended(&self, context: &Context, key: SessionKey) {
        let will = {
            let mut waiting = self.waiting();
            waiting.of.get(&key).copied().and_then(|turn| waiting.take(turn))
        };
        if let Some(will) = will {
            publish(context, &will).await;
        }
    }

    /// Takes up the wills of sessions that a server before this one has left.
    pub(crate) fn take_up(&self, context: &Context, sessions: Vec<(SessionKey, SessionRecord)>) {
        let now = now_ms();
        let mut waiting = self.waiting();
        for (key, session) in sessions {
            // A connection that ended with the server ended now, as far as anybody could see.
            let ended_ms = if session.ended_ms == 0 { now } else { session.ended_ms };
            let Some(will) = restored(context, key, session) else { continue };
            waiting.insert(ended_ms + u64::from(will.delay_s) * 1000, will);
        }
    }

    /// Publishes what is due, until the server stops.
    pub(crate) async fn run(context: Arc<Context>) {
        let wills = context.wills.clone();
        loop {
            let next = wills.waiting().next(wills.per_second_max, now_ms());
            match next {
                Ok(will) => {
                    publish(&context, &will).await;
                    if will.kept {
                        forget(&context, will.owner.key()).await;
                    }
                }
                Err(None) => wills.changed.notified().await,
                Err(Some(wait_ms)) => {
                    // Something that is due earlier may come.
                    let _ =
                        tokio::time::timeout(Duration::from_millis(wait_ms), wills.changed.notified()).await;
                }
            }
        }
    }

    /// The server stops: what is due, and what is kept nowhere, is published now. The others wait for the next start.
    pub(crate) async fn stop(&self, context: &Context) {
        let now = now_ms();
        let due: Vec<LastWill> = {
            let mut waiting = self.waiting();
            let turns: Vec<Turn> = waiting
                .turns
                .iter()
                .filter(|((due, _), will)| *due <= now || !will.kept)
                .map(|(turn, _)| *turn)
                .collect();
            turns.into_iter().filter_map(|turn| waiting.take(turn)).collect()
        };
        for will in due {
            publish(context, &will).await;
            if will.kept {
                forget(context, will.owner.key()).await;
            }
        }
    }
}

/// A will is a publish like any other, checked when it is made; nobody waits for its outcome. It is no last word of an
/// account or credential that has ended.
async fn publish(context: &Context, will: &LastWill) {
    if will.principal.kind != AccountKind::Anonymous
        && let Err(error) = context.authenticator.still_holds(&will.principal)
    {
        tracing::debug!(%error, "a will was refused");
        return;
    }
    let sender = Sender {
        principal: &will.principal,
        owner: &will.owner,
        subscriber: &will.subscriber,
        session_ms: will.session_ms,
    };
    let command =
        match gate::route(context, &sender, will.publish.topic.as_ref(), will.publish.clone(), &mut None) {
            Ok(Routed::Send(intent)) => {
                // Also for the device that left it.
                Command::Send(Box::new(SendIntent { device: None, ..*intent }), Done::Nobody)
            }
            Ok(Routed::Free(publish)) => Command::Publish(publish, Done::Nobody),
            Ok(Routed::Live(message)) => {
                context.topics.route_live(&message, None);
                return;
            }
            Ok(Routed::Read { .. } | Routed::Typing { .. } | Routed::Rpc(_)) => return,
            Err(error) => {
                metrics::counter!("parlance_wills_refused_total").increment(1);
                tracing::debug!(code = error.code().as_str(), "a will was refused");
                return;
            }
        };
    metrics::counter!("parlance_wills_published_total").increment(1);
    // It fails only when the ledger stops.
    let _ = context.ledger.push(command).await;
}

async fn forget(context: &Context, key: SessionKey) {
    if let Err(error) = sessions::forget_will(&*context.ledger as &dyn Ledger, key).await {
        tracing::warn!(%error, "a will that was published is still kept: it may be published again");
    }
}

/// The publish that the server makes of a will.
pub(crate) fn publish_of(will: Will) -> Publish {
    Publish {
        dup: false,
        qos: will.qos,
        retain: will.retain,
        topic: Some(will.topic),
        packet_id: None,
        properties: will.properties,
        payload: will.payload,
    }
}

/// A will as it is kept with its session. One to the messenger's topics by a credential of limited scope is not: what it
/// allows is not known any more without the credential.
pub(crate) fn stored(will: &Will, principal: &Principal, client_id: &str) -> Option<StoredWill> {
    if !gate::is_free(&will.topic) && principal.scopes != Scopes::Everything {
        return None;
    }
    let publish = publish_of(will.clone());
    let credential = principal.credential.map(|credential| credential.0.to_vec()).unwrap_or_default();
    Some(StoredWill {
        message: Some(FreeRecord::of(&publish, &will.topic, bytes::Bytes::new(), now_ms())),
        delay_s: will.delay_s.unwrap_or_default(),
        client_id: client_id.to_owned(),
        credential: credential.into(),
        epoch: principal.epoch,
    })
}

fn restored(context: &Context, key: SessionKey, session: SessionRecord) -> Option<LastWill> {
    let StoredWill { message, delay_s, client_id, credential, epoch } = session.will?;
    let record = message?;
    let client_id: Arc<str> = client_id.into();
    let credential = <[u8; 16]>::try_from(&credential[..]).ok().map(CredentialId);
    let principal = if session.open {
        who::anonymous(key.user)
    } else {
        let profile = context.directory.profile(key.user).filter(|profile| !profile.disabled)?;
        Principal {
            user: key.user,
            handle: profile.handle.clone(),
            kind: profile.kind,
            scopes: Scopes::Everything,
            credential,
            bound_client_id: None,
            expires_ms: None,
            epoch,
        }
    };
    let subject = who::subject(&principal, client_id.clone());
    Some(LastWill {
        owner: Owner { user: key.user, device: key.device, client_id, assigned: false, open: session.open },
        subscriber: Arc::new(Subscriber::new(key, subject, session.open, true)),
        principal,
        session_ms: session.began_ms,
        delay_s: delay_s.min(session.expiry_s),
        kept: true,
        publish: Publish {
            dup: false,
            qos: record.qos(),
            retain: record.retain,
            topic: Some(TopicName::new(record.topic.clone()).ok()?),
            packet_id: None,
            properties: record.properties(),
            payload: record.payload,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_mqtt::{PublishProperties, QoS};
    use parlance_plugin_api::{UserId, record::DeviceId};

    fn wills(waiting_max: usize, per_second_max: u32) -> Wills {
        Wills::new(&config::Topics {
            wills_waiting_max: waiting_max,
            wills_per_second_max: per_second_max,
            ..config::Topics::default()
        })
    }

    fn key(number: u8) -> SessionKey {
        SessionKey { user: UserId([number; 16]), device: DeviceId([number; 16]) }
    }

    fn will(number: u8) -> LastWill {
        let SessionKey { user, device } = key(number);
        let (client_id, principal): (Arc<str>, _) = ("sensor".into(), who::anonymous(user));
        let subject = who::subject(&principal, client_id.clone());
        LastWill {
            principal,
            owner: Owner { user, device, client_id, assigned: false, open: true },
            subscriber: Arc::new(Subscriber::new(key(number), subject, true, true)),
            session_ms: 0,
            delay_s: 0,
            kept: true,
            publish: Publish {
                dup: false,
                qos: QoS::AtLeastOnce,
                retain: false,
                topic: Some(TopicName::new("wills/sensor").unwrap()),
                packet_id: None,
                properties: PublishProperties::default(),
                payload: vec![number].into(),
            },
        }
    }

    fn take(waiting: &mut Waiting, now: u64) -> Result<u8, Option<u64>> {
        waiting.next(2, now).map(|will| will.publish.payload[0])
    }

    #[test]
    fn wills_go_out_in_the_order_of_their_time_and_not_too_fast() {
        let mut waiting = Waiting::default();
        for (due, number) in [(5_000, 3), (1_000, 1), (1_000, 2), (1_500, 4)] {
            waiting.insert(due, will(number));
        }
        assert_eq!(take(&mut waiting, 400), Err(Some(600)));
        assert_eq!((take(&mut waiting, 1_600), take(&mut waiting, 1_600)), (Ok(1), Ok(2)));
        assert_eq!(take(&mut waiting, 1_600), Err(Some(400)), "two in a second");
        assert_eq!(take(&mut waiting, 2_000), Ok(4));
        assert_eq!(take(&mut waiting, 2_000), Err(Some(3_000)));
        assert_eq!(take(&mut waiting, 9_000), Ok(3));
        assert_eq!(take(&mut waiting, 9_000), Err(None));
        assert!(waiting.of.is_empty());
    }

    #[test]
    fn only_a_will_that_waits_for_its_delay_is_taken_back() {
        let wills = wills(10, 1);
        let now = now_ms();
        wills.waiting().insert(now + 60_000, will(1));
        wills.waiting().insert(now.saturating_sub(1), will(2));
        wills.cancel(key(1));
        wills.cancel(key(2));
        wills.cancel(key(3));
        let left: Vec<u8> = wills.waiting().turns.values().map(|will| will.publish.payload[0]).collect();
        assert_eq!(left, [2]);
    }
}
