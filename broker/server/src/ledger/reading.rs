//! What a session still has to receive, read from its queue.

use super::{LedgerHandle, view::OpenView};
use crate::{
    session_domain::{FREE_QOS1, FREE_QOS2, Origin},
    topics::{FreeDelivery, FreeMessage, Subscriber},
};
use bytes::Bytes;
use parlance_engine::Recovered;
use parlance_mqtt::{PacketId, QoS};
use parlance_plugin_api::{
    ledger::View,
    record::{
        self, BodyId, FreeRecord, QueueRecord, SessionKey, SessionRecord, body_key, parse_queue_key,
        parse_received_key, queue_key,
    },
    store::{Direction, Entry, Scan, StoreError, Table},
};
use std::sync::Arc;

/// A page of a queue: numbers with what is to be sent, and the newest number that there was when it was read.
pub(crate) type QueuePage = (Vec<(u64, Option<Arc<FreeDelivery>>)>, u64);

/// What an earlier server left of a session's QoS 2 steps and queue.
pub(crate) type RecoveredSession = (Vec<PacketId>, Vec<Recovered<Origin>>);

/// Packet ids of QoS 2 publishes that one session can have.
const RECEIVED_MAX: usize = u16::MAX as usize;

/// The delivery that a row tells of; `None`: released, or its body is gone.
pub(super) fn delivery(view: &OpenView, row: QueueRecord) -> Result<Option<FreeDelivery>, StoreError> {
    if row.released {
        return Ok(None);
    }
    let record = match (row.message, <[u8; 16]>::try_from(&row.body[..])) {
        (Some(record), _) => Some(record),
        (None, Ok(body)) => match view.get(Table::Bodies, &body_key(BodyId(body))) {
            Ok(body) => body.and_then(record::decode::<FreeRecord>),
            // Counted and logged where it was found; what can be read is sent.
            Err(StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        },
        (None, Err(_)) => None,
    };
    let message = record.and_then(FreeMessage::new).map(Arc::new);
    Ok(message.map(|message| FreeDelivery {
        message,
        qos: if row.qos == 2 { QoS::ExactlyOnce } else { QoS::AtLeastOnce },
        retain: row.retain,
        subscription_ids: row.subscription_ids.into(),
        share: (!row.share.is_empty()).then(|| row.share.into()),
    }))
}

fn recovered(key: &[u8], value: Bytes) -> Option<Recovered<Origin>> {
    let (_, seq) = parse_queue_key(key)?;
    let row: QueueRecord = record::decode(value)?;
    let (channel, qos) = match row.qos {
        2 => (FREE_QOS2, QoS::ExactlyOnce),
        _ => (FREE_QOS1, QoS::AtLeastOnce),
    };
    Some(Recovered { conversation: Origin::Queue, seq, channel, qos, released: row.released })
}

impl LedgerHandle {
    /// Entries of a queue behind a number, as far as they fit, with what is to be sent of each: nothing where it was
    /// released, has expired, or the session may not have it any more. And the newest number: up to it, what is missing
    /// from a page that is not full is gone.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub(crate) fn queue_page(
        &self,
        who: &Subscriber,
        after: u64,
        limit: usize,
        bytes_max: usize,
    ) -> Result<QueuePage, StoreError> {
        // Looked at first: what is committed after this is handed to the connection, or read the next time.
        let head = who.queue().last;
        let now = super::now_ms();
        let mut page = Vec::new();
        let mut bytes = 0;
        for (key, value) in self.queue_rows(who.key, after, limit)? {
            let Some((_, number)) = parse_queue_key(&key).filter(|(_, number)| *number <= head) else {
                break;
            };
            let row = record::decode::<QueueRecord>(value);
            let delivery = row.map(|row| delivery(&self.view, row)).transpose()?.flatten();
            // One with QoS 2 may have been sent: then the client is told to let go of its packet id (MQTT-4.3.3-7), which the
            // session knows.
            let wanted = delivery.filter(|delivery| {
                delivery.qos == QoS::ExactlyOnce
                    || (!delivery.message.is_expired(now)
                        && self.topics.may_receive(who, delivery.message.topic.as_str()))
            });
            bytes += wanted.as_ref().map_or(0, |delivery| delivery.message.bytes());
            page.push((number, wanted.map(Arc::new)));
            if bytes >= bytes_max {
                break;
            }
        }
        if let Some((last, _)) = page.last() {
            who.set_handed(*last);
        }
        Ok((page, head))
    }

    fn queue_rows(&self, session: SessionKey, after: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let from = queue_key(session, after.saturating_add(1));
        let to = record::prefix_end(&session.bytes());
        let scan = Scan {
            table: Table::Queue,
            from: &from,
            to: &to,
            direction: Direction::Forward,
            limit: limit.max(1),
        };
        self.view.scan(scan)
    }

    /// One entry that was in flight, to be sent again: also if it has expired since. `None`: it is gone.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub(crate) fn queue_entry(
        &self,
        session: SessionKey,
        number: u64,
    ) -> Result<Option<Arc<FreeDelivery>>, StoreError> {
        let row = self.view.get(Table::Queue, &queue_key(session, number))?;
        let Some(row) = row.and_then(record::decode::<QueueRecord>) else { return Ok(None) };
        let Some(delivery) = delivery(&self.view, row)? else { return Ok(None) };
        let Some(who) = self.topics.find(session) else { return Ok(None) };
        let allowed = self.topics.may_receive(&who, delivery.message.topic.as_str());
        Ok(allowed.then(|| Arc::new(delivery)))
    }

    /// What the store knows of a session whose last connection another process held: packet ids of its QoS 2 publishes
    /// that it has not released, and the first entries of its queue, which may have been sent: so many, and all up to the
    /// last that the client is known to have.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub(crate) fn recovered(&self, who: &Subscriber, max: usize) -> Result<RecoveredSession, StoreError> {
        let key = who.key.bytes();
        let to = record::prefix_end(&key);
        let scan = Scan {
            table: Table::Received,
            from: &key,
            to: &to,
            direction: Direction::Forward,
            limit: RECEIVED_MAX,
        };
        let received = self.view.scan(scan)?;
        let received = received.iter().filter_map(|(key, _)| parse_received_key(key)).map(|(_, id)| id);
        let released = who.queue().released;
        let mut packets: Vec<Recovered<Origin>> = Vec::new();
        loop {
            let last = packets.last().map_or(0, |packet| packet.seq);
            if packets.len() >= max && last >= released {
                break;
            }
            let rows = self.queue_rows(who.key, last, max)?;
            let whole = rows.len() < max;
            packets.extend(rows.into_iter().filter_map(|(key, value)| recovered(&key, value)));
            if whole {
                break;
            }
        }
        Ok((received.collect(), packets))
    }

    /// Sessions with a will that a server before this one has left, once.
    pub(crate) fn take_wills(&self) -> Vec<(SessionKey, SessionRecord)> {
        std::mem::take(&mut *self.wills.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
