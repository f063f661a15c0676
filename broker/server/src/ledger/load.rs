//! What of free topics a server before this one has left, read once when it starts: the subscriptions of durable sessions,
//! their queues, and the retained messages. What belongs to nothing is cleared away later, a slice at a time.

use super::{
    free::Free,
    queues::{Entry, Queue},
    view::OpenView,
    work::{Work, orphan},
};
use crate::topics::{FreeMessage, Subscriber, Topics};
use bytes::Bytes;
use parlance_engine::SubscriptionOptions;
use parlance_mqtt::{QoS, TopicFilter};
use parlance_plugin_api::{
    access::Subject,
    identity::AccountKind,
    ledger::View,
    record::{
        self, BodyId, DeviceRecord, FreeRecord, QueueHeadRecord, QueueRecord, SessionKey, SessionRecord,
        StoredSubscription, parse_queue_key, parse_received_key,
    },
    store::{Direction, Scan, StoreError, Table},
};
use parlance_schema::topic::{Interest, parse_filter};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

/// Records of one read.
const PAGE: usize = 4096;

/// What was found.
pub(super) struct Loaded {
    pub(super) free: Free,
    /// Sessions that have left a will.
    pub(super) wills: Vec<(SessionKey, SessionRecord)>,
}

/// Reads everything.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub(super) fn load(view: &OpenView, topics: Arc<Topics>, now: u64) -> Result<Loaded, StoreError> {
    let began = Instant::now();
    let mut loading = Loading {
        view,
        free: Free::new(topics),
        known: HashSet::new(),
        unsure: Vec::new(),
        wills: Vec::new(),
    };
    loading.sessions()?;
    loading.queues()?;
    for who in std::mem::take(&mut loading.unsure) {
        // All that was there may have been sent, and nothing that comes from now on.
        who.set_sent(who.queue().last);
    }
    loading.retained(now)?;
    loading.received()?;
    let Loading { free, known, wills, .. } = loading;
    free.tell_counts();
    tracing::info!(
        sessions = known.len(),
        subscriptions = free.topics.subscriptions(),
        queues = free.queues.len(),
        queue_messages = free.queues.messages(),
        retained = free.retained.len(),
        wills = wills.len(),
        milliseconds = began.elapsed().as_millis() as u64,
        "sessions, queues and retained messages were read"
    );
    Ok(Loaded { free, wills })
}

struct Loading<'a> {
    view: &'a OpenView,
    free: Free,
    /// Sessions that there are.
    known: HashSet<SessionKey>,
    /// Those of which nobody wrote down what was sent: a connection that ended together with the server may have sent
    /// anything.
    unsure: Vec<Arc<Subscriber>>,
    wills: Vec<(SessionKey, SessionRecord)>,
}

impl Loading<'_> {
    /// Visits every record of a table.
    fn each(
        &mut self,
        table: Table,
        mut visit: impl FnMut(&mut Self, Bytes, Bytes),
    ) -> Result<(), StoreError> {
        let mut from = Vec::new();
        loop {
            let scan = Scan { table, from: &from, to: &[], direction: Direction::Forward, limit: PAGE };
            let page = self.view.scan(scan)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            from = last.to_vec();
            from.push(0);
            let whole = page.len() < PAGE;
            for (key, value) in page {
                visit(self, key, value);
            }
            if whole {
                return Ok(());
            }
        }
    }

    fn sessions(&mut self) -> Result<(), StoreError> {
        let mut failed = None;
        self.each(Table::Sessions, |loading, key, value| {
            let Some(key) = SessionKey::parse(&key) else { return };
            let Some(session) = record::decode::<SessionRecord>(value) else { return };
            loading.known.insert(key);
            if let Err(error) = loading.session(key, &session) {
                failed.get_or_insert(error);
            }
            if session.will.is_some() {
                loading.wills.push((key, session));
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn session(&mut self, key: SessionKey, session: &SessionRecord) -> Result<(), StoreError> {
        let filters: Vec<_> = session.subscriptions.iter().filter_map(free_subscription).collect();
        if filters.is_empty() {
            return Ok(());
        }
        let who = self.subscriber(key, session.open)?;
        match session.queue_sent {
            sent if session.ended_ms > 0 && sent < u64::MAX => who.set_sent(sent),
            _ => self.unsure.push(who.clone()),
        }
        for (filter, options) in filters {
            self.free.topics.subscribe(&filter, &who, options);
        }
        Ok(())
    }

    /// A session of which only the store tells: whose it is, is looked up when its rights are needed.
    fn subscriber(&self, key: SessionKey, open: bool) -> Result<Arc<Subscriber>, StoreError> {
        let device: Option<DeviceRecord> =
            if open { None } else { self.view.get(Table::Devices, &key.bytes())?.and_then(record::decode) };
        let client_id = device.map(|device| device.client_id).unwrap_or_default();
        let kind = if open { AccountKind::Anonymous } else { AccountKind::Person };
        let subject = Subject { user: key.user, handle: None, kind, client_id: client_id.into() };
        Ok(self.free.topics.enter(key, subject, open, true))
    }

    fn queues(&mut self) -> Result<(), StoreError> {
        let mut bodies = HashMap::new();
        // Only the keys are needed; the values may be large, and are read without being opened.
        self.keys(Table::Bodies, |free, key| {
            if let Ok(id) = <[u8; 16]>::try_from(&key[..]) {
                bodies.insert(BodyId(id), free.queues.load_body(BodyId(id)));
            }
        })?;
        let mut current: Option<(SessionKey, Queue)> = None;
        let mut failed = None;
        self.each(Table::Queue, |loading, key, value| {
            let Some((session, number)) = parse_queue_key(&key) else { return };
            if current.as_ref().is_none_or(|(known, _)| *known != session) {
                if let Some((key, queue)) = current.take() {
                    loading.keep(key, queue);
                }
                match loading.queue(session) {
                    Ok(queue) => current = Some((session, queue)),
                    Err(error) => {
                        failed.get_or_insert(error);
                        return;
                    }
                }
            }
            let Some((_, queue)) = &mut current else { return };
            if number == 0 {
                let head: QueueHeadRecord = record::decode(value).unwrap_or_default();
                queue.load_reserved(head.reserved);
                queue.subscriber.add_dropped(head.dropped);
                return;
            }
            let Some(row) = record::decode::<QueueRecord>(value) else { return };
            let body = <[u8; 16]>::try_from(&row.body[..]).ok();
            let body = body.and_then(|body| bodies.get(&BodyId(body)).copied());
            if let Some(body) = body {
                loading.free.queues.load_ref(body);
            }
            queue.load(Entry {
                number,
                bytes: u32::try_from(row.bytes).unwrap_or(u32::MAX),
                body,
                exact: row.qos == 2,
                released: row.released,
                shared: !row.share.is_empty(),
            });
        })?;
        if let Some((key, queue)) = current {
            self.keep(key, queue);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let unreferred = self.free.queues.load_unreferred();
        let unreferred = unreferred.iter().map(|body| Bytes::copy_from_slice(&body.0)).collect();
        self.clear_away(Table::Bodies, unreferred);
        Ok(())
    }

    fn queue(&mut self, key: SessionKey) -> Result<Queue, StoreError> {
        let who = match self.free.topics.find(key) {
            Some(who) => who,
            None => {
                let who = self.subscriber(key, false)?;
                self.unsure.push(who.clone());
                who
            }
        };
        Ok(Queue::new(who))
    }

    fn keep(&mut self, key: SessionKey, queue: Queue) {
        if !self.known.contains(&key) {
            self.free.later.push_back(orphan(key, &queue));
        }
        self.free.queues.load(key, queue);
    }

    fn retained(&mut self, now: u64) -> Result<(), StoreError> {
        let mut expired = Vec::new();
        self.each(Table::Retained, |loading, key, value| {
            let message = record::decode::<FreeRecord>(value).and_then(FreeMessage::new);
            match message.filter(|message| !message.is_expired(now)) {
                Some(message) => {
                    loading.free.retained_bytes += message.bytes();
                    loading.free.retained.insert(&message.topic.clone(), Arc::new(message));
                }
                None => expired.push(key),
            }
        })?;
        self.clear_away(Table::Retained, expired);
        Ok(())
    }

    fn received(&mut self) -> Result<(), StoreError> {
        let mut orphans = Vec::new();
        let known = std::mem::take(&mut self.known);
        self.keys(Table::Received, |_, key| {
            if parse_received_key(&key).is_none_or(|(session, _)| !known.contains(&session)) {
                orphans.push(key);
            }
        })?;
        self.known = known;
        self.clear_away(Table::Received, orphans);
        Ok(())
    }

    /// Visits the keys of a table.
    fn keys(&mut self, table: Table, mut visit: impl FnMut(&mut Free, Bytes)) -> Result<(), StoreError> {
        let view = self.view;
        let mut from = Vec::new();
        loop {
            let scan = Scan { table, from: &from, to: &[], direction: Direction::Forward, limit: PAGE };
            let (page, _) = super::around::scan_around(&view.overlay, scan)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            from = last.to_vec();
            from.push(0);
            for (key, _) in page {
                visit(&mut self.free, key);
            }
        }
    }

    fn clear_away(&mut self, table: Table, keys: Vec<Bytes>) {
        if !keys.is_empty() {
            tracing::info!(%table, rows = keys.len(), "rows that belong to nothing are cleared away");
            self.free.later.push_back(Work::Rows(table, keys));
        }
    }
}

/// A subscription to free topics.
fn free_subscription(stored: &StoredSubscription) -> Option<(TopicFilter, SubscriptionOptions)> {
    if parse_filter(&stored.filter) != Ok(Interest::Free) {
        return None;
    }
    let filter = TopicFilter::new(stored.filter.clone()).ok()?;
    let qos = u8::try_from(stored.qos).ok().and_then(|qos| QoS::try_from(qos).ok());
    let options = SubscriptionOptions {
        qos: qos.unwrap_or(QoS::AtLeastOnce),
        no_local: stored.no_local,
        retain_as_published: stored.retain_as_published,
        id: stored.subscription_id,
    };
    Some((filter, options))
}
