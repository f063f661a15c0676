//! Who is here: users and their live devices, and what of a session survives its connection.
//!
//! Locks are held for a look-up only, never across an await, never one inside the other.

use crate::{
    admission::Inflight,
    delivery::{Committed, ConversationInfo},
    peer::{Control, Peer, Signal},
};
use lru::LruCache;
use parlance_engine::Parked;
use parlance_mqtt::ReasonCode;
use parlance_plugin_api::{
    UserId,
    event::Event,
    record::{CursorRecord, DeviceId},
};
use parlance_schema::pb;
use smallvec::SmallVec;
use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::session_domain::Messenger;

/// A member has come further in a conversation.
pub struct Moved {
    /// Where.
    pub conversation: Arc<ConversationInfo>,
    /// Who.
    pub user: UserId,
    /// How far.
    pub record: CursorRecord,
    /// Who is told.
    pub audience: Arc<[UserId]>,
}

/// What one batch brought.
pub(crate) struct Committing {
    pub(crate) events: Vec<Event>,
    pub(crate) messages: Vec<(Arc<Committed>, Arc<[UserId]>)>,
    pub(crate) moved: Vec<Moved>,
}

/// The live devices of one user; few.
pub(crate) type Devices = SmallVec<[Arc<Peer>; 2]>;
type Peers = HashMap<UserId, Devices>;
type ParkedKey = (UserId, DeviceId);

const SHARDS: usize = 64;

/// The registry of live devices.
pub struct Hub {
    shards: [Mutex<Peers>; SHARDS],
    watchers: Mutex<HashMap<UserId, Vec<Arc<Peer>>>>,
    parked: Mutex<LruCache<ParkedKey, Parked<Messenger>>>,
    connections: AtomicUsize,
    inflight: Inflight,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps are changed by single inserts and removals: a panic elsewhere leaves them whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// An empty hub that remembers the windows of so many disconnected sessions.
    pub fn new(parked_sessions_max: NonZeroUsize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            watchers: Mutex::default(),
            parked: Mutex::new(LruCache::new(parked_sessions_max)),
            connections: AtomicUsize::new(0),
            inflight: Inflight::default(),
        }
    }

    /// Where messages on their way are counted.
    pub(crate) fn inflight(&self) -> &Inflight {
        &self.inflight
    }

    /// Every connected device that holds something for its client, and how many bytes.
    pub(crate) fn holders(&self) -> Vec<(usize, Arc<Peer>)> {
        let mut holders = Vec::new();
        for shard in &self.shards {
            for peer in lock(shard).values().flatten() {
                holders.push((peer.held_bytes(), peer.clone()));
            }
        }
        holders.retain(|(held, _)| *held > 0);
        holders
    }

    fn shard(&self, user: UserId) -> &Mutex<Peers> {
        // User ids are random, or made by a keyed hash: their bytes spread as well as a hash of them.
        &self.shards[usize::from(user.0[15]) % SHARDS]
    }

    /// Registers a device, or answers with the one that has its place and must go first. `Ok(true)`: the user just came online.
    pub(crate) fn attach(&self, peer: &Arc<Peer>) -> Result<bool, Arc<Peer>> {
        let first = {
            let mut peers = lock(self.shard(peer.user));
            let devices = peers.entry(peer.user).or_default();
            if let Some(other) = devices.iter().find(|other| other.device == peer.device) {
                return Err(other.clone());
            }
            devices.push(peer.clone());
            devices.len() == 1
        };
        self.connections.fetch_add(1, Ordering::Relaxed);
        Ok(first)
    }

    /// Takes a device out. `true`: the user has gone offline.
    pub(crate) fn detach(&self, peer: &Arc<Peer>) -> bool {
        let mut peers = lock(self.shard(peer.user));
        let Some(devices) = peers.get_mut(&peer.user) else { return false };
        let before = devices.len();
        devices.retain(|other| !Arc::ptr_eq(other, peer));
        if devices.len() < before {
            self.connections.fetch_sub(1, Ordering::Relaxed);
        }
        let gone = devices.is_empty();
        if gone {
            peers.remove(&peer.user);
        }
        gone
    }

    /// The live devices of a user.
    pub(crate) fn peers(&self, user: UserId) -> Devices {
        lock(self.shard(user)).get(&user).cloned().unwrap_or_default()
    }

    /// How many devices of a user are connected beside one.
    pub(crate) fn other_devices(&self, user: UserId, device: DeviceId) -> usize {
        let peers = lock(self.shard(user));
        peers.get(&user).map_or(0, |devices| devices.iter().filter(|other| other.device != device).count())
    }

    /// Whether some device of the user is connected.
    pub fn is_online(&self, user: UserId) -> bool {
        lock(self.shard(user)).contains_key(&user)
    }

    /// Client ids of the user's connected devices.
    pub fn online_devices(&self, user: UserId) -> Vec<Arc<str>> {
        self.peers(user).iter().map(|peer| peer.client_id.clone()).collect()
    }

    /// Connected devices.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Keeps the window of a session for its next connection. The bound is not a loss: without it the device's positions tell what it is owed.
    pub(crate) fn park(&self, key: ParkedKey, parked: Parked<Messenger>) {
        if parked.is_empty() {
            lock(&self.parked).pop(&key);
        } else {
            lock(&self.parked).put(key, parked);
        }
    }

    /// The window of a session, if it is still known.
    pub(crate) fn unpark(&self, key: &ParkedKey) -> Option<Parked<Messenger>> {
        lock(&self.parked).pop(key)
    }

    /// Closes every connection, with a reason.
    pub(crate) fn close_all(&self, reason: ReasonCode, words: &'static str) -> Vec<Arc<Peer>> {
        let mut all: Vec<Arc<Peer>> = self
            .shards
            .iter()
            .flat_map(|shard| lock(shard).values().flatten().cloned().collect::<Vec<_>>())
            .collect();
        // In an order that does not depend on the hasher's keys: a run can be made again.
        all.sort_unstable_by_key(|peer| (peer.user, peer.device));
        for peer in &all {
            peer.control(Control::Close(reason, words));
        }
        all
    }

    /// Tells `peer` when `user` comes or goes.
    pub(crate) fn watch(&self, user: UserId, peer: &Arc<Peer>) {
        let mut watchers = lock(&self.watchers);
        let peers = watchers.entry(user).or_default();
        if !peers.iter().any(|other| Arc::ptr_eq(other, peer)) {
            peers.push(peer.clone());
        }
    }

    /// Ends [`Self::watch`].
    pub(crate) fn unwatch(&self, user: UserId, peer: &Arc<Peer>) {
        let mut watchers = lock(&self.watchers);
        if let Some(peers) = watchers.get_mut(&user) {
            peers.retain(|other| !Arc::ptr_eq(other, peer));
            if peers.is_empty() {
                watchers.remove(&user);
            }
        }
    }

    /// A user came or went: those who watch are told (each connection checks that it still may know).
    pub(crate) fn presence(&self, user: UserId, last_seen_ms: u64) {
        let watchers = lock(&self.watchers).get(&user).cloned().unwrap_or_default();
        for peer in watchers {
            peer.signal(Signal::Presence { user, last_seen_ms });
        }
    }

    /// Hands a signal to every live device of some users, except one device.
    pub(crate) fn signal(&self, audience: &[UserId], except: Option<DeviceId>, signal: &Signal) {
        for &user in audience {
            for peer in self.peers(user) {
                if Some(peer.device) != except {
                    peer.signal(signal.clone());
                }
            }
        }
    }

    /// A batch is durable: what ends ends first, then messages go out in their order, then positions.
    pub(crate) fn committed(&self, batch: Committing) {
        for event in batch.events {
            self.event(event);
        }
        let mut delivered = 0u64;
        for (message, audience) in &batch.messages {
            for &user in audience.iter() {
                for peer in self.peers(user) {
                    peer.message(message);
                    delivered += 1;
                }
            }
        }
        if delivered > 0 {
            metrics::counter!("parlance_messages_handed_out_total").increment(delivered);
        }
        for moved in batch.moved {
            let moved = Arc::new(moved);
            self.signal(&moved.audience, None, &Signal::Receipt(moved.clone()));
        }
    }

    fn event(&self, event: Event) {
        match event {
            Event::MemberAdded { conversation, user, .. } => {
                self.tell(user, "added", Some(conversation.to_string()));
            }
            Event::MemberRemoved { conversation, user } => {
                for peer in self.peers(user) {
                    peer.control(Control::Removed(conversation));
                }
                self.tell(user, "removed", Some(conversation.to_string()));
            }
            Event::UserDisabled { user } => {
                for peer in self.peers(user) {
                    peer.control(Control::Close(ReasonCode::NotAuthorized, "the account was disabled"));
                }
            }
            Event::CredentialsEnded { user, credential } => {
                for peer in self.peers(user) {
                    if credential.is_none() || peer.credential() == credential {
                        peer.control(Control::Close(ReasonCode::NotAuthorized, "logged out"));
                    }
                }
            }
            Event::DeviceRemoved { user, client_id } => {
                for peer in self.peers(user) {
                    if *peer.client_id == *client_id {
                        peer.control(Control::Close(
                            ReasonCode::AdministrativeAction,
                            "the device was removed",
                        ));
                    }
                }
            }
        }
    }

    fn tell(&self, user: UserId, event: &str, conversation: Option<String>) {
        let event = pb::Event {
            event: event.to_owned(),
            time_ms: crate::ledger::now_ms(),
            conversation: conversation.unwrap_or_default(),
            ..pb::Event::default()
        };
        self.signal(&[user], None, &Signal::Event(Arc::new(event)));
    }
}
