//! A decider over a store in memory and a journal in a folder.

use crate::{
    config,
    hub::Hub,
    ledger::{
        Command, Done, FreePublish, Health, LedgerHandle, Moves, Published, SendRefusal, Subscribing, batch,
        conversations::Conversations,
        decider::{Decider, Limits, Shared},
        load::{Loaded, load},
        overlay::Overlay,
        queue::queue,
        view::OpenView,
    },
    peer::{Arrived, OutboxLimits, Peer, Settled},
    topics::{FreeMessage, Subscriber, Topics},
};
use bytes::Bytes;
use parlance_engine::SubscriptionOptions;
use parlance_journal::{Journal, JournalOptions};
use parlance_mqtt::{PacketId, QoS, ReasonCode, RetainHandling, TopicFilter};
use parlance_plugin_api::{
    UserId,
    access::Subject,
    identity::AccountKind,
    ledger::{Decision, Job, LedgerError},
    record::{DeviceId, FreeRecord, SessionKey, SessionRecord, StoredSubscription},
    store::{Direction, Entry, Guarantees, Position, Scan, Store, StoreError, Table, Write},
    testing::PlainVault,
};
use prost::Message as _;
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A store in memory.
#[derive(Default)]
pub(super) struct MemoryStore(Mutex<BTreeMap<(Table, Vec<u8>), Bytes>>);

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.lock().unwrap().get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        let rows = self.0.lock().unwrap();
        let all = rows.range((scan.table, scan.from.to_vec())..).take_while(|((table, key), _)| {
            *table == scan.table && (scan.to.is_empty() || &key[..] < scan.to)
        });
        let mut all: Vec<_> =
            all.map(|((_, key), value)| (Bytes::from(key.clone()), value.clone())).collect();
        if scan.direction == Direction::Backward {
            all.reverse();
        }
        all.truncate(scan.limit);
        Ok(all)
    }

    fn apply(&self, run: &[Write], _: Position) -> Result<(), StoreError> {
        let mut rows = self.0.lock().unwrap();
        for write in run {
            let key = (write.table, write.key.to_vec());
            match &write.value {
                Some(value) => rows.insert(key, value.clone()),
                None => rows.remove(&key),
            };
        }
        Ok(())
    }

    fn applied(&self) -> Result<Position, StoreError> {
        Ok(Position(0))
    }

    fn sync(&self) -> Result<Position, StoreError> {
        Ok(Position(0))
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees { engine: "memory", warning: None }
    }
}

pub(super) fn view_over(store: Arc<MemoryStore>) -> OpenView {
    OpenView { overlay: Arc::new(Overlay::new(store, Position(0))), vault: Arc::new(PlainVault) }
}

fn journal(folder: &Path, mut replay: impl FnMut(u64, Vec<Write>)) -> Journal {
    let options = JournalOptions {
        segment_bytes: 16 << 20,
        segments_spare_max: 1,
        batch_bytes_max: 64 << 20,
        prepare_ahead: false,
    };
    let mut each = |position: u64, entry: &[u8]| -> Result<(), batch::EntryError> {
        replay(position, batch::decode(entry, &PlainVault)?);
        Ok(())
    };
    Journal::open(folder, options, 0, &mut each).unwrap().0
}

/// Every entry of a journal.
pub(super) fn entries(folder: &Path) -> Vec<(u64, Vec<Write>)> {
    let mut all = Vec::new();
    journal(folder, |position, writes| all.push((position, writes)));
    all
}

pub(super) struct Rig {
    pub(super) folder: TempDir,
    pub(super) decider: Decider,
    pub(super) topics: Arc<Topics>,
    pub(super) view: OpenView,
    pub(super) settings: config::Topics,
    _nudges: std::sync::mpsc::Receiver<()>,
}

pub(super) fn session(number: u8) -> SessionKey {
    SessionKey { user: UserId([number; 16]), device: DeviceId([number; 16]) }
}

pub(super) fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}

/// QoS 2, nothing else.
pub(super) const EXACTLY: SubscriptionOptions =
    SubscriptionOptions { qos: QoS::ExactlyOnce, no_local: false, retain_as_published: false, id: 0 };

/// A message from nobody.
pub(super) fn message(topic: &str, payload: &str, qos: QoS, retain: bool) -> Arc<FreeMessage> {
    sized(topic, payload.as_bytes().to_vec(), qos, retain)
}

pub(super) fn sized(topic: &str, payload: Vec<u8>, qos: QoS, retain: bool) -> Arc<FreeMessage> {
    let record = FreeRecord {
        topic: Bytes::copy_from_slice(topic.as_bytes()),
        payload: payload.into(),
        qos: qos as u32,
        retain,
        time_ms: crate::ledger::now_ms(),
        ..FreeRecord::default()
    };
    Arc::new(FreeMessage::new(record).unwrap())
}

pub(super) fn publish(message: &Arc<FreeMessage>) -> Command {
    received(message, None)
}

pub(super) fn received(message: &Arc<FreeMessage>, received: Option<(SessionKey, PacketId)>) -> Command {
    Command::Publish(Box::new(FreePublish { message: message.clone(), received }), Done::Nobody)
}

impl Rig {
    pub(super) fn new(settings: config::Topics) -> Self {
        Self::open(tempfile::tempdir().unwrap(), settings)
    }

    fn open(folder: TempDir, settings: config::Topics) -> Self {
        let view = view_over(Arc::default());
        let journal =
            journal(folder.path(), |position, writes| view.overlay.publish(writes, Position(position)));
        let topics = Arc::new(Topics::new(&settings));
        let Loaded { free, .. } = load(&view, topics.clone(), crate::ledger::now_ms()).unwrap();
        let shared = Shared {
            health: Arc::new(Mutex::new(Health::Ready)),
            low_space: AtomicBool::new(false),
            journal_full: AtomicBool::new(false),
            store_fails: AtomicBool::new(false),
            safe: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        };
        let limits = Limits {
            batch_commands_max: 4096,
            batch_bytes_max: 4 << 20,
            run_bytes_max: 1 << 20,
            overlay_bytes_max: 1 << 30,
            message_bytes_max: 1 << 20,
            receipts_live_members_max: 100,
        };
        let (nudge, nudges) = std::sync::mpsc::sync_channel(1);
        let hub = Arc::new(Hub::new(NonZeroUsize::MIN));
        let decider = Decider::new(
            view.clone(),
            Conversations::new(100),
            free,
            limits,
            hub,
            journal,
            Arc::new(shared),
            nudge,
        );
        Self { folder, decider, topics, view, settings, _nudges: nudges }
    }

    /// Another process after this one: nothing but the journal is left.
    pub(super) fn restarted(self) -> Self {
        let Self { folder, decider, settings, .. } = self;
        drop(decider);
        Self::open(folder, settings)
    }

    /// Decides and commits commands as one batch.
    pub(super) fn batch(&mut self, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            assert!(self.decider.decide(command).is_none());
        }
        self.decider.commit();
    }

    pub(super) fn run(&mut self, command: Command) {
        self.batch([command]);
    }

    /// The same, and the disk does not take it.
    pub(super) fn fail(&mut self, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            assert!(self.decider.decide(command).is_none());
        }
        self.decider.running.broken = Some(LedgerError::Full);
        self.decider.commit();
    }

    /// Does what waits, as far as it can be done.
    pub(super) fn work(&mut self) {
        while self.decider.free.rest().is_some() {
            self.decider.work();
            let stuck = self.decider.running.free.stepped.is_empty();
            self.decider.commit();
            if stuck {
                return;
            }
        }
    }

    /// How a publish was answered.
    pub(super) fn outcome(&mut self, message: &Arc<FreeMessage>) -> Result<Published, SendRefusal> {
        let (reply, mut outcome) = oneshot::channel();
        let publish = Box::new(FreePublish { message: message.clone(), received: None });
        self.run(Command::Publish(publish, Done::Reply(reply)));
        outcome.try_recv().unwrap()
    }

    /// A session that is known, of a listener that is open to all.
    pub(super) fn enter(&self, key: SessionKey, durable: bool) -> Arc<Subscriber> {
        let subject =
            Subject { user: key.user, handle: None, kind: AccountKind::Anonymous, client_id: "".into() };
        self.topics.enter(key, subject, true, durable)
    }

    /// A durable session that is written down.
    pub(super) fn durable(&mut self, number: u8) -> Arc<Subscriber> {
        let key = session(number);
        let record = SessionRecord { began_ms: 1, expiry_s: 60, open: true, ..SessionRecord::default() };
        self.job(move |tx| tx.put(Table::Sessions, &key.bytes(), &record.encode_to_vec()));
        self.enter(key, true)
    }

    pub(super) fn job(
        &mut self,
        change: impl FnOnce(&mut dyn parlance_plugin_api::ledger::Transaction) + Send + 'static,
    ) {
        let (done, mut outcome) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            change(tx);
            Decision::Commit
        });
        self.run(Command::Job(job, done));
        outcome.try_recv().unwrap().unwrap();
    }

    pub(super) fn subscribing(who: &Arc<Subscriber>, begin: &[&str], end: &[&str]) -> Subscribing {
        let mut filters: Vec<String> = who.filters().iter().map(|known| known.as_str().to_owned()).collect();
        filters.retain(|known| !end.contains(&known.as_str()) && !begin.contains(&known.as_str()));
        filters.extend(begin.iter().map(|text| (*text).to_owned()));
        let stored = filters.into_iter().map(|filter| StoredSubscription {
            filter,
            qos: 2,
            ..StoredSubscription::default()
        });
        Subscribing {
            subscriber: who.clone(),
            begin: begin.iter().map(|text| (filter(text), EXACTLY, RetainHandling::Send)).collect(),
            end: end.iter().map(|text| filter(text)).collect(),
            stored: who.is_durable().then(|| stored.collect()),
            done: who.peer().map(|peer| {
                let settled = Settled {
                    packet_id: PacketId::MIN,
                    codes: vec![ReasonCode::Success],
                    unsubscribe: false,
                };
                (peer, settled)
            }),
        }
    }

    pub(super) fn subscribe(&mut self, who: &Arc<Subscriber>, filters: &[&str]) {
        self.run(Command::Subscribe(Box::new(Self::subscribing(who, filters, &[]))));
    }

    pub(super) fn unsubscribe(&mut self, who: &Arc<Subscriber>, filters: &[&str]) {
        self.run(Command::Subscribe(Box::new(Self::subscribing(who, &[], filters))));
    }

    pub(super) fn acknowledge(&mut self, who: &Subscriber, number: u64) {
        self.run(acknowledged(who.key, number));
    }

    /// A handle that reads what this decider has committed.
    pub(super) fn handle(&self) -> LedgerHandle {
        let (entrance, _) = queue(1, 1);
        LedgerHandle {
            queue: entrance,
            view: self.view.clone(),
            health: Arc::new(Mutex::new(Health::Ready)),
            topics: self.topics.clone(),
            wills: Mutex::default(),
        }
    }

    /// What a session is owed: numbers and payloads; `-`: passed over.
    pub(super) fn owed(&self, who: &Subscriber) -> Vec<(u64, String)> {
        let (page, head) = self.handle().queue_page(who, 0, 100_000, usize::MAX).unwrap();
        assert_eq!(head, who.queue().last);
        let text = |delivery: Option<Arc<crate::topics::FreeDelivery>>| {
            delivery.map_or("-".into(), |it| String::from_utf8_lossy(it.message.payload()).into_owned())
        };
        page.into_iter().map(|(number, delivery)| (number, text(delivery))).collect()
    }

    pub(super) fn rows(&self, table: Table) -> usize {
        let scan = Scan { table, from: &[], to: &[], direction: Direction::Forward, limit: 1_000_000 };
        self.view.overlay.scan(scan).unwrap().len()
    }
}

pub(super) fn acknowledged(key: SessionKey, number: u64) -> Command {
    Command::Moves(Moves {
        user: key.user,
        device: key.device,
        keep_device: true,
        begins: Vec::new(),
        positions: Vec::new(),
        queue: Some(number),
    })
}

/// A connection of a session.
pub(super) fn connect(who: &Arc<Subscriber>) -> Arc<Peer> {
    connect_with(who, 1000)
}

pub(super) fn connect_with(who: &Arc<Subscriber>, messages_max: usize) -> Arc<Peer> {
    let limits = OutboxLimits { messages_max, bytes_max: 1 << 20, signals_max: 10 };
    let peer = Arc::new(Peer::new(who.key.user, who.key.device, "".into(), None, limits));
    who.attach(peer.clone());
    peer
}

/// What came to a connection.
pub(super) fn arrived(peer: &Peer) -> Box<Arrived> {
    match peer.poll_arrived(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(arrived) => arrived,
        Poll::Pending => Box::default(),
    }
}

/// The payloads of what is told live.
pub(super) fn live(arrived: &Arrived) -> Vec<String> {
    let text =
        |it: &Arc<crate::topics::FreeDelivery>| String::from_utf8_lossy(it.message.payload()).into_owned();
    arrived.live.iter().map(text).collect()
}

pub(super) fn expiring(topic: &str, payload: &str, expiry: Duration) -> Arc<FreeMessage> {
    let record = FreeRecord {
        expiry_s: Some(u32::try_from(expiry.as_secs()).unwrap()),
        ..message(topic, payload, QoS::AtLeastOnce, true).record.clone()
    };
    Arc::new(FreeMessage::new(record).unwrap())
}
