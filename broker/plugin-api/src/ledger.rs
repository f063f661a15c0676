//! The ledger port: reading a consistent view, and deciding changes one at a time.

use crate::{
    ConversationId, UnixMillis, UserId,
    event::Event,
    record::{LogRecord, MemberRecord},
    store::{Entry, Scan, StoreError, Table},
};
use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

/// Reads: values are opened (plain), and everything that was committed is seen, applied to the store or not.
pub trait View {
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// A bounded page of a table. A damaged record is left out, counted and logged with its key.
    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError>;
}

/// A transaction in progress. Reads see its own writes. Nothing is visible to others before it is durable.
pub trait Transaction: View {
    /// When this is decided.
    fn now(&self) -> UnixMillis;

    /// Writes a value (plain; it is sealed on its way).
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]);

    /// Deletes a key.
    fn delete(&mut self, table: Table, key: &[u8]);

    /// Makes `user` a member from the next entry of the log on (sets `joined_seq`), with its cursors in front of it.
    /// Keeps the user's index of conversations and emits [`Event::MemberAdded`]: callers do neither.
    /// `false`: was a member already.
    fn add_member(
        &mut self,
        conversation: ConversationId,
        user: UserId,
        role: u32,
    ) -> Result<bool, StoreError>;

    /// Ends a membership. From this moment nothing more is delivered to the user. Keeps the user's index of
    /// conversations and emits [`Event::MemberRemoved`]: callers do neither. `None`: was no member.
    fn remove_member(
        &mut self,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<MemberRecord>, StoreError>;

    /// The membership of a user, if it is a member now.
    fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<MemberRecord>, StoreError>;

    /// Appends an entry that the broker itself says (a membership change) to a conversation's log. Returns its seq.
    fn append(&mut self, conversation: ConversationId, entry: LogRecord) -> Result<u64, StoreError>;

    /// Tells the rest of the program once this is durable.
    fn emit(&mut self, event: Event);
}

/// Why the ledger did not commit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// The disk is full: nothing was changed.
    #[error("the disk is full: nothing was changed; free space and try again")]
    Full,
    /// Too much waits already.
    #[error("the broker is busy: try again")]
    Busy,
    /// The store or the disk failed.
    #[error("the store failed: {0}")]
    Store(String),
    /// The server stops.
    #[error("the broker is shutting down")]
    Stopping,
}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            other => Self::Store(other.to_string()),
        }
    }
}

/// Reads and decodes one record.
///
/// # Errors
/// When the store fails, or the record is damaged.
pub fn read<T: prost::Message + Default>(
    view: &dyn View,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, LedgerError> {
    let Some(value) = view.get(table, key)? else { return Ok(None) };
    let damaged = || StoreError::Damaged {
        table,
        key: Bytes::copy_from_slice(key),
        problem: "its value does not decode",
    };
    Ok(Some(crate::record::decode(value).ok_or_else(damaged)?))
}

/// What a job decided: keep its writes, or drop them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Make them durable, then answer.
    Commit,
    /// Forget them.
    Abort,
}

/// A decision that runs alone on the decider thread. It must be quick: no IO of its own, no waiting.
pub type Job = Box<dyn FnOnce(&mut dyn Transaction) -> Decision + Send>;

/// Where all durable state changes.
#[async_trait]
pub trait Ledger: View + Send + Sync + 'static {
    /// Runs `job` and answers when what it wrote is durable.
    async fn submit(&self, job: Job) -> Result<(), LedgerError>;
}

/// Runs a transaction and brings its answer back: an `Err` of the closure drops its writes.
///
/// # Errors
/// [`TransactError::Ledger`] when nothing could be committed, [`TransactError::Refused`] with the closure's own error.
pub async fn transact<T, E, F>(ledger: &dyn Ledger, decide: F) -> Result<T, TransactError<E>>
where
    T: Send + 'static,
    E: Send + 'static,
    F: FnOnce(&mut dyn Transaction) -> Result<T, E> + Send + 'static,
{
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let job: Job = Box::new(move |transaction| {
        let answer = decide(transaction);
        let decision = if answer.is_ok() { Decision::Commit } else { Decision::Abort };
        // The receiver is gone only when the caller is: nobody waits for the answer then.
        let _ = sender.send(answer);
        decision
    });
    ledger.submit(job).await?;
    match receiver.try_recv() {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(refused)) => Err(TransactError::Refused(refused)),
        Err(_) => Err(TransactError::Ledger(LedgerError::Stopping)),
    }
}

/// Why a transaction had no effect.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransactError<E> {
    /// It could not be committed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The closure refused.
    #[error("refused")]
    Refused(E),
}
