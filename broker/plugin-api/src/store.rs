//! The store port: ordered bytes in tables, written in sorted runs, and the vault that seals every value.
//!
//! The store is what follows from the journal. It may lag behind it, never run ahead of it: each run says which journal
//! position it reaches, and after a crash the journal is replayed from [`Store::applied`].

use bytes::Bytes;
use std::{fmt, io};
use thiserror::Error;

/// A kind of record. The tags are persisted: never renumber, never reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// conversation ‖ seq → message.
    Log = 1,
    /// sender ‖ message id → where it is.
    Ids = 2,
    /// conversation → what it is.
    Conversations = 3,
    /// conversation → newest seq.
    Heads = 4,
    /// conversation ‖ user → membership.
    Members = 5,
    /// conversation ‖ user → delivered, read.
    Cursors = 6,
    /// user ‖ conversation → nothing: which conversations a user has.
    UserConversations = 7,
    /// user ‖ device ‖ conversation → acknowledged seq.
    DeviceCursors = 8,
    /// user ‖ device → device.
    Devices = 9,
    /// user ‖ device → MQTT session (subscriptions, expiry).
    Sessions = 10,
    /// user → account.
    Users = 11,
    /// HMAC of a name → whose it is.
    Names = 12,
    /// token family → refresh token state.
    TokenFamilies = 13,
    /// key id → API key.
    ApiKeys = 14,
    /// user ‖ … → an index of what belongs to a user (token families, API keys).
    UserIndex = 15,
    /// name → anything that exists once.
    Meta = 16,
    /// user ‖ device ‖ number → what a durable session still has to receive of free topics.
    Queue = 17,
    /// body id → a free message that several queues refer to.
    Bodies = 18,
    /// HMAC of a topic → its retained message.
    Retained = 19,
    /// user ‖ device ‖ packet id → nothing: QoS 2 publishes of a session that it has not released yet.
    Received = 20,
}

impl Table {
    /// Every table, in tag order.
    pub const ALL: [Self; 20] = [
        Self::Log,
        Self::Ids,
        Self::Conversations,
        Self::Heads,
        Self::Members,
        Self::Cursors,
        Self::UserConversations,
        Self::DeviceCursors,
        Self::Devices,
        Self::Sessions,
        Self::Users,
        Self::Names,
        Self::TokenFamilies,
        Self::ApiKeys,
        Self::UserIndex,
        Self::Meta,
        Self::Queue,
        Self::Bodies,
        Self::Retained,
        Self::Received,
    ];

    /// The persisted tag.
    pub const fn tag(self) -> u8 {
        self as u8
    }

    /// From the persisted tag.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.tag() == tag)
    }

    /// Name in metrics, reports and on disk. Persisted.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Ids => "ids",
            Self::Conversations => "conversations",
            Self::Heads => "heads",
            Self::Members => "members",
            Self::Cursors => "cursors",
            Self::UserConversations => "user_conversations",
            Self::DeviceCursors => "device_cursors",
            Self::Devices => "devices",
            Self::Sessions => "sessions",
            Self::Users => "users",
            Self::Names => "names",
            Self::TokenFamilies => "token_families",
            Self::ApiKeys => "api_keys",
            Self::UserIndex => "user_index",
            Self::Meta => "meta",
            Self::Queue => "queue",
            Self::Bodies => "bodies",
            Self::Retained => "retained",
            Self::Received => "received",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A position in the journal. 0 is before the first entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// One write of a run: `None` deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Which table.
    pub table: Table,
    /// Key, at most 256 bytes.
    pub key: Bytes,
    /// Sealed value, or nothing to delete.
    pub value: Option<Bytes>,
}

/// Order of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Forward,
    /// Greatest key first.
    Backward,
}

/// A bounded stretch of one table: keys `k` with `from <= k < to` (`to` empty: to the end of the table).
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// Which table.
    pub table: Table,
    /// First key, inclusive.
    pub from: &'a [u8],
    /// Last key, exclusive; empty for no bound.
    pub to: &'a [u8],
    /// In which order.
    pub direction: Direction,
    /// At most so many entries (1..).
    pub limit: usize,
}

/// A key and its value.
pub type Entry = (Bytes, Bytes);

/// Why the store could not do something.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No space is left. New writes are refused until there is.
    #[error("the disk is full")]
    Full,
    /// The operating system failed.
    #[error("store input/output failed")]
    Io(#[from] io::Error),
    /// The engine failed.
    #[error("the store engine failed: {0}")]
    Engine(Box<dyn std::error::Error + Send + Sync>),
    /// A record does not open: its bytes are damaged, or it was sealed with a key that is not here.
    #[error("record {}/{} is damaged: {problem}", .table, hex(.key))]
    Damaged {
        /// Which table.
        table: Table,
        /// Its key.
        key: Bytes,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Lower-case hexadecimal, for keys in reports.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('?'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('?'));
        text
    })
}

/// What an engine promises, in words that the program says at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarantees {
    /// `fjall` or `sled`.
    pub engine: &'static str,
    /// A warning for the operator, where it does not hold what the default holds.
    pub warning: Option<&'static str>,
}

/// The durable, ordered store. One writer ([`Store::apply`], [`Store::sync`] are called from one thread), many readers.
pub trait Store: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// A bounded page of a table.
    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError>;

    /// Applies a run: sorted by table and key, each key at most once. `reaches` is kept only when all of it is there. After
    /// an error or a crash a part of it may be there: who applies has it in its journal, applies it again, and reads
    /// through what it has not applied until then.
    fn apply(&self, run: &[Write], reaches: Position) -> Result<(), StoreError>;

    /// The position that the last applied run reached: after a crash possibly less than before it, never more than is there.
    fn applied(&self) -> Result<Position, StoreError>;

    /// Makes everything applied survive a power cut. Returns the position that is now safe.
    fn sync(&self) -> Result<Position, StoreError>;

    /// What this engine promises.
    fn guarantees(&self) -> Guarantees;
}

/// Why a value could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VaultError {
    /// Too short, or not sealed by this program.
    #[error("not a sealed value")]
    Malformed,
    /// Sealed with a master key that the key file does not hold.
    #[error("sealed with master key {0}, which the key file does not hold")]
    UnknownKey(u32),
    /// The bytes were changed, or belong to another key.
    #[error("the seal is broken: damaged or moved")]
    Broken,
    /// The cryptographic provider failed.
    #[error("the cryptographic provider failed")]
    Provider,
}

/// Seals values at rest (AES-256-GCM). The first 16 bytes of the record's key name the domain whose key is derived;
/// table and key are authenticated with the value, so that records cannot be swapped.
pub trait Vault: Send + Sync + 'static {
    /// Appends the sealed form of `plain` to `out`.
    fn seal(&self, table: Table, key: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), VaultError>;

    /// Opens a sealed value.
    fn open(&self, table: Table, key: &[u8], sealed: &[u8]) -> Result<Bytes, VaultError>;

    /// A stable keyed hash (HMAC-SHA256) of something that would name a person, for use as a key. `purpose` separates uses.
    fn pseudonym(&self, purpose: &str, name: &[u8]) -> [u8; 32];
}
