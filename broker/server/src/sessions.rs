//! What of devices and sessions is durable: opened with each connection, kept with each change, closed at its end.

use crate::{hub::Hub, ledger::now_ms};
use parlance_plugin_api::{
    UserId,
    ledger::{Ledger, LedgerError, TransactError, Transaction, View, transact},
    record::{self, DeviceId, DeviceRecord, SessionRecord, StoredSubscription, device_key},
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
}

/// A session as a connection begins it.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub(crate) present: bool,
    pub(crate) began_ms: u64,
    pub(crate) subscriptions: Vec<StoredSubscription>,
}

fn flat(error: TransactError<StoreError>) -> LedgerError {
    match error {
        TransactError::Ledger(error) => error,
        TransactError::Refused(StoreError::Full) => LedgerError::Full,
        TransactError::Refused(error) => LedgerError::Store(error.to_string()),
    }
}

/// Opens a session: the earlier one if it is still there and wanted.
///
/// # Errors
/// [`LedgerError`] when the store could not be read or written.
pub(crate) async fn open(
    ledger: &dyn Ledger,
    hub: &Arc<Hub>,
    owner: &Owner,
    clean_start: bool,
    expiry_s: u32,
    devices_max: usize,
) -> Result<Opened, LedgerError> {
    if owner.assigned && expiry_s == 0 {
        return Ok(Opened { began_ms: now_ms(), ..Opened::default() });
    }
    let (writer, hub) = (owner.clone(), hub.clone());
    let opened =
        transact(ledger, move |tx| open_in(tx, &hub, &writer, clean_start, expiry_s, devices_max)).await;
    match opened.map_err(flat) {
        Err(LedgerError::Full) => open_unwritten(ledger, owner, clean_start),
        opened => opened,
    }
}

/// A full disk does not keep people from reading: the session is opened as it is, and nothing of that is written down.
/// One that should be discarded cannot be: that stays refused.
fn open_unwritten(view: &dyn View, owner: &Owner, clean_start: bool) -> Result<Opened, LedgerError> {
    let failed = |error: StoreError| LedgerError::Store(error.to_string());
    let stored = view.get(Table::Sessions, &device_key(owner.user, owner.device)).map_err(failed)?;
    let now = now_ms();
    let earlier = stored.and_then(record::decode::<SessionRecord>).filter(|session| !is_over(session, now));
    match earlier {
        Some(_) if clean_start => Err(LedgerError::Full),
        Some(session) => {
            Ok(Opened { present: true, began_ms: session.began_ms, subscriptions: session.subscriptions })
        }
        None => Ok(Opened { began_ms: now, ..Opened::default() }),
    }
}

fn open_in(
    tx: &mut dyn Transaction,
    hub: &Hub,
    owner: &Owner,
    clean_start: bool,
    expiry_s: u32,
    devices_max: usize,
) -> Result<Opened, StoreError> {
    let key = device_key(owner.user, owner.device);
    let now = tx.now();
    let device: Option<DeviceRecord> = tx.get(Table::Devices, &key)?.and_then(record::decode);
    if device.is_none() {
        make_room(tx, hub, owner.user, devices_max)?;
    }
    let created_ms = device.map_or(now, |device| device.created_ms);
    let device = DeviceRecord { client_id: owner.client_id.to_string(), created_ms, last_seen_ms: now };
    tx.put(Table::Devices, &key, &device.encode_to_vec());

    let earlier: Option<SessionRecord> = tx.get(Table::Sessions, &key)?.and_then(record::decode);
    let earlier = earlier.filter(|session| !clean_start && !is_over(session, now));
    let present = earlier.is_some();
    let mut session = earlier.unwrap_or(SessionRecord { began_ms: now, ..SessionRecord::default() });
    session.expiry_s = expiry_s;
    session.ended_ms = 0;
    if expiry_s > 0 {
        tx.put(Table::Sessions, &key, &session.encode_to_vec());
    } else {
        tx.delete(Table::Sessions, &key);
    }
    Ok(Opened { present, began_ms: session.began_ms, subscriptions: session.subscriptions })
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
) -> Result<(), StoreError> {
    let to = record::prefix_end(&user.0);
    let limit = devices_max + 1;
    let scan = Scan { table: Table::Devices, from: &user.0, to: &to, direction: Direction::Forward, limit };
    let known = tx.scan(scan)?;
    if known.len() < devices_max {
        return Ok(());
    }
    let online: HashSet<Arc<str>> = hub.online_devices(user).into_iter().collect();
    let away = known.into_iter().filter_map(|(key, value)| {
        let device: DeviceRecord = record::decode(value)?;
        (!online.contains(device.client_id.as_str())).then_some((device.last_seen_ms, key))
    });
    let Some((_, key)) = away.min() else { return Ok(()) };
    if let Some(device) = key.get(16..32).and_then(|id| id.try_into().ok()) {
        forget_in(tx, user, DeviceId(device))?;
    }
    Ok(())
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

/// Keeps what a session has subscribed to.
///
/// # Errors
/// [`LedgerError`] when that could not be made durable.
pub(crate) async fn save_subscriptions(
    ledger: &dyn Ledger,
    owner: &Owner,
    subscriptions: Vec<StoredSubscription>,
) -> Result<(), LedgerError> {
    let key = device_key(owner.user, owner.device);
    // Clients subscribe anew each time they come: what is kept already is not written again, whatever the disk says.
    let kept = ledger.get(Table::Sessions, &key).ok().flatten().and_then(record::decode::<SessionRecord>);
    if kept.is_some_and(|session| session.subscriptions == subscriptions) {
        return Ok(());
    }
    let save = move |tx: &mut dyn Transaction| {
        let session: Option<SessionRecord> = tx.get(Table::Sessions, &key)?.and_then(record::decode);
        if let Some(mut session) = session {
            session.subscriptions = subscriptions;
            tx.put(Table::Sessions, &key, &session.encode_to_vec());
        }
        Ok(())
    };
    transact(ledger, save).await.map_err(flat)
}

/// Ends a connection's part of its session.
///
/// # Errors
/// [`LedgerError`] when that could not be made durable.
pub(crate) async fn close(ledger: &dyn Ledger, owner: &Owner, expiry_s: u32) -> Result<(), LedgerError> {
    let key = device_key(owner.user, owner.device);
    let close = move |tx: &mut dyn Transaction| {
        let now = tx.now();
        // A device that was removed while it was connected stays removed.
        let device: Option<DeviceRecord> = tx.get(Table::Devices, &key)?.and_then(record::decode);
        let Some(mut device) = device else { return Ok(()) };
        device.last_seen_ms = now;
        tx.put(Table::Devices, &key, &device.encode_to_vec());
        let session: Option<SessionRecord> = tx.get(Table::Sessions, &key)?.and_then(record::decode);
        match session {
            Some(mut session) if expiry_s > 0 => {
                session.expiry_s = expiry_s;
                session.ended_ms = now;
                tx.put(Table::Sessions, &key, &session.encode_to_vec());
            }
            Some(_) => tx.delete(Table::Sessions, &key),
            None => {}
        }
        Ok(())
    };
    transact(ledger, close).await.map_err(flat)
}
