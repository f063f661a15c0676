//! What of devices and sessions is durable: opened with each connection, kept with each change, closed at its end.

use crate::{hub::Hub, ledger::now_ms};
use parlance_plugin_api::{
    UserId,
    ledger::{Ledger, LedgerError, TransactError, Transaction, View, transact},
    record::{
        self, DeviceId, DeviceRecord, SessionKey, SessionRecord, StoredSubscription, StoredWill, device_key,
    },
    store::{Direction, Scan, StoreError, Table},
};
use prost::Message as _;
use std::{collections::HashSet, sync::Arc};

/// Whose session.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) client_id: Arc<str>,
    /// The server made up the client id, or the operator connected: nothing of the device is kept.
    pub(crate) assigned: bool,
    /// It came through a listener that is open to all: there is no account, so there is no device of one either.
    pub(crate) open: bool,
}

impl Owner {
    /// Names the session.
    pub(crate) fn key(&self) -> SessionKey {
        SessionKey { user: self.user, device: self.device }
    }
}

/// What a connection asks of its session.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// An earlier session is to be discarded.
    pub(crate) clean_start: bool,
    /// Life of the session after this connection, seconds.
    pub(crate) expiry_s: u32,
    /// Devices that one user may have.
    pub(crate) devices_max: usize,
    /// The connection's will, as far as it outlives the server.
    pub(crate) will: Option<StoredWill>,
}

/// A session as a connection begins it.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub(crate) present: bool,
    /// An earlier session was discarded, or its time was up: what the ledger still has of it must go.
    pub(crate) discarded: bool,
    pub(crate) began_ms: u64,
    pub(crate) subscriptions: Vec<StoredSubscription>,
    /// No entry of its queue behind this one was sent, as far as that is known.
    pub(crate) queue_sent: u64,
    /// A device of the user that was forgotten to make room.
    pub(crate) forgotten: Option<DeviceId>,
}

impl Opened {
    fn fresh(began_ms: u64) -> Self {
        Self { began_ms, ..Self::default() }
    }

    fn resumed(session: SessionRecord) -> Self {
        Self {
            present: true,
            began_ms: session.began_ms,
            // Where the server went before the connection, nobody wrote it down.
            queue_sent: if session.ended_ms > 0 { session.queue_sent } else { u64::MAX },
            subscriptions: session.subscriptions,
            ..Self::default()
        }
    }
}

/// How a connection leaves its session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    /// Life of the session from now on, seconds.
    pub(crate) expiry_s: u32,
    /// The will waits for its delay.
    pub(crate) will_waits: bool,
    /// No entry of the queue behind this one was sent.
    pub(crate) queue_sent: u64,
}

fn flat(error: TransactError<StoreError>) -> LedgerError {
    match error {
        TransactError::Ledger(error) => error,
        TransactError::Refused(StoreError::Full) => LedgerError::Full,
        TransactError::Refused(error) => LedgerError::Store(error.to_string()),
    }
}

fn stored(view: &(impl View + ?Sized), key: SessionKey) -> Result<Option<SessionRecord>, StoreError> {
    Ok(view.get(Table::Sessions, &key.bytes())?.and_then(record::decode))
}

/// Opens a session: the earlier one if it is still there and wanted.
///
/// # Errors
/// [`LedgerError`] when the store could not be read or written.
pub(crate) async fn open(
    ledger: &dyn Ledger,
    hub: &Arc<Hub>,
    owner: &Owner,
    terms: Terms,
) -> Result<Opened, LedgerError> {
    if terms.expiry_s == 0 && (owner.assigned || owner.open) {
        // Most plain clients: nothing is there and nothing stays, so nothing is written.
        let failed = |error: StoreError| LedgerError::Store(error.to_string());
        if owner.assigned || stored(ledger, owner.key()).map_err(failed)?.is_none() {
            return Ok(Opened::fresh(now_ms()));
        }
    }
    let (writer, hub, clean_start) = (owner.clone(), hub.clone(), terms.clean_start);
    let opened = transact(ledger, move |tx| open_in(tx, &hub, &writer, terms)).await;
    match opened.map_err(flat) {
        Err(LedgerError::Full) => open_unwritten(ledger, owner, clean_start),
        opened => opened,
    }
}

/// Whether an earlier session can be gone on with. One that was to end with its connection has ended: this one has its place.
fn goes_on(session: &SessionRecord, now: u64) -> bool {
    session.expiry_s > 0 && !is_over(session, now)
}

/// A full disk does not keep people from reading: the session is opened as it is, and nothing of that is written down.
/// One that should be discarded cannot be: that stays refused.
fn open_unwritten(view: &dyn View, owner: &Owner, clean_start: bool) -> Result<Opened, LedgerError> {
    let failed = |error: StoreError| LedgerError::Store(error.to_string());
    let now = now_ms();
    let earlier = stored(view, owner.key()).map_err(failed)?.filter(|session| goes_on(session, now));
    match earlier {
        Some(_) if clean_start => Err(LedgerError::Full),
        Some(session) => Ok(Opened::resumed(session)),
        None => Ok(Opened::fresh(now)),
    }
}

fn open_in(tx: &mut dyn Transaction, hub: &Hub, owner: &Owner, terms: Terms) -> Result<Opened, StoreError> {
    let key = owner.key();
    let now = tx.now();
    let forgotten = if owner.open { None } else { keep_device(tx, hub, owner, terms.devices_max)? };
    let known = stored(&*tx, key)?;
    let earlier = known.clone().filter(|session| !terms.clean_start && goes_on(session, now));
    let mut opened = match &earlier {
        Some(session) => Opened::resumed(session.clone()),
        None => Opened { discarded: known.is_some(), ..Opened::fresh(now) },
    };
    opened.forgotten = forgotten;
    if terms.expiry_s > 0 || opened.present {
        let session = earlier.unwrap_or(SessionRecord { began_ms: now, ..SessionRecord::default() });
        let session = SessionRecord {
            expiry_s: terms.expiry_s,
            ended_ms: 0,
            open: owner.open,
            will: terms.will,
            ..session
        };
        tx.put(Table::Sessions, &key.bytes(), &session.encode_to_vec());
    } else if known.is_some() {
        tx.delete(Table::Sessions, &key.bytes());
    }
    Ok(opened)
}

/// Keeps the device; answers which other one was forgotten for it.
fn keep_device(
    tx: &mut dyn Transaction,
    hub: &Hub,
    owner: &Owner,
    devices_max: usize,
) -> Result<Option<DeviceId>, StoreError> {
    let (key, now) = (device_key(owner.user, owner.device), tx.now());
    let device: Option<DeviceRecord> = tx.get(Table::Devices, &key)?.and_then(record::decode);
    let forgotten = if device.is_none() { make_room(tx, hub, owner.user, devices_max)? } else { None };
    let created_ms = device.map_or(now, |device| device.created_ms);
    let device = DeviceRecord { client_id: owner.client_id.to_string(), created_ms, last_seen_ms: now };
    tx.put(Table::Devices, &key, &device.encode_to_vec());
    Ok(forgotten)
}

/// Whether a session's time after its last connection is up.
pub(crate) fn is_over(session: &SessionRecord, now: u64) -> bool {
    let life_ms = u64::from(session.expiry_s).saturating_mul(1000);
    session.expiry_s != u32::MAX && session.ended_ms > 0 && session.ended_ms.saturating_add(life_ms) <= now
}

/// A user has a bounded number of devices: the one that was away longest is forgotten, as if it had never been here.
fn make_room(
    tx: &mut dyn Transaction,
    hub: &Hub,
    user: UserId,
    devices_max: usize,
) -> Result<Option<DeviceId>, StoreError> {
    let to = record::prefix_end(&user.0);
    let limit = devices_max + 1;
    let scan = Scan { table: Table::Devices, from: &user.0, to: &to, direction: Direction::Forward, limit };
    let known = tx.scan(scan)?;
    if known.len() < devices_max {
        return Ok(None);
    }
    let online: HashSet<Arc<str>> = hub.online_devices(user).into_iter().collect();
    let away = known.into_iter().filter_map(|(key, value)| {
        let device: DeviceRecord = record::decode(value)?;
        (!online.contains(device.client_id.as_str())).then_some((device.last_seen_ms, key))
    });
    let Some((_, key)) = away.min() else { return Ok(None) };
    let Some(device) = key.get(16..32).and_then(|id| id.try_into().ok()).map(DeviceId) else {
        return Ok(None);
    };
    forget_in(tx, user, device)?;
    Ok(Some(device))
}

/// Positions deleted in one page while a device is forgotten.
const FORGET_PAGE: usize = 1024;

fn forget_in(tx: &mut dyn Transaction, user: UserId, device: DeviceId) -> Result<(), StoreError> {
    let key = device_key(user, device);
    tx.delete(Table::Devices, &key);
    tx.delete(Table::Sessions, &key);
    let to = record::prefix_end(&key);
    let mut from = key.to_vec();
    loop {
        let scan = Scan {
            table: Table::DeviceCursors,
            from: &from,
            to: &to,
            direction: Direction::Forward,
            limit: FORGET_PAGE,
        };
        let page = tx.scan(scan)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = last.to_vec();
        from.push(0);
        for (key, _) in page {
            tx.delete(Table::DeviceCursors, &key);
        }
    }
}

/// Forgets a device: its session and its positions. Who asks has the device's place ([`crate::places`]), so that no
/// connection of it writes them anew meanwhile.
///
/// # Errors
/// [`LedgerError`] when that could not be made durable.
pub(crate) async fn forget(ledger: &dyn Ledger, user: UserId, device: DeviceId) -> Result<(), LedgerError> {
    transact(ledger, move |tx| forget_in(tx, user, device)).await.map_err(flat)
}

/// Whether these subscriptions are what is kept of a session already. Clients subscribe anew each time they come: that
/// costs no write, and works while the disk is full.
pub(crate) fn keeps(view: &dyn View, owner: &Owner, subscriptions: &[StoredSubscription]) -> bool {
    let kept = stored(view, owner.key()).ok().flatten();
    kept.is_some_and(|session| session.subscriptions == subscriptions)
}

/// Ends a connection's part of its session.
///
/// # Errors
/// [`LedgerError`] when that could not be made durable.
pub(crate) async fn close(ledger: &dyn Ledger, owner: &Owner, left: Left) -> Result<(), LedgerError> {
    let (key, owner) = (owner.key(), owner.clone());
    let close = move |tx: &mut dyn Transaction| {
        let now = tx.now();
        if !owner.open {
            // A device that was removed while it was connected stays removed.
            let device: Option<DeviceRecord> = tx.get(Table::Devices, &key.bytes())?.and_then(record::decode);
            let Some(mut device) = device else { return Ok(()) };
            device.last_seen_ms = now;
            tx.put(Table::Devices, &key.bytes(), &device.encode_to_vec());
        }
        match stored(&*tx, key)? {
            Some(session) if left.expiry_s > 0 => {
                let session = SessionRecord {
                    expiry_s: left.expiry_s,
                    ended_ms: now,
                    will: session.will.filter(|_| left.will_waits),
                    queue_sent: left.queue_sent,
                    ..session
                };
                tx.put(Table::Sessions, &key.bytes(), &session.encode_to_vec());
            }
            Some(_) => tx.delete(Table::Sessions, &key.bytes()),
            None => {}
        }
        Ok(())
    };
    transact(ledger, close).await.map_err(flat)
}

/// A will was published: it is not kept any longer. One of a later connection stays.
///
/// # Errors
/// [`LedgerError`] when that could not be made durable.
pub(crate) async fn forget_will(ledger: &dyn Ledger, key: SessionKey) -> Result<(), LedgerError> {
    let forget = move |tx: &mut dyn Transaction| {
        if let Some(session) =
            stored(&*tx, key)?.filter(|session| session.ended_ms > 0 && session.will.is_some())
        {
            let session = SessionRecord { will: None, ..session };
            tx.put(Table::Sessions, &key.bytes(), &session.encode_to_vec());
        }
        Ok(())
    };
    transact(ledger, forget).await.map_err(flat)
}
