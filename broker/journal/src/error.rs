//! What can go wrong, one enum for each operation.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why a journal could not be opened, created or trimmed.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A limit makes no sense; the text names it.
    #[error("journal options: {0}")]
    Options(&'static str),
    /// Another process, or another journal of this one, has the folder.
    #[error("the journal in {0} is in use by another process")]
    Locked(PathBuf),
    /// The store asks for batches that were already trimmed: it is older than this journal.
    #[error(
        "the journal begins at position {first}, but the store needs everything after {from}: \
         the store is older than its journal, or segments were removed"
    )]
    Gap {
        /// The position the store has reached.
        from: u64,
        /// The first position the journal still has.
        first: u64,
    },
    /// The store is ahead of everything the journal knows: the two do not belong together.
    #[error(
        "the store has reached position {from}, but the journal ends at {last}: \
         the journal is older than its store, or was removed or damaged at its end"
    )]
    Behind {
        /// The position the store has reached.
        from: u64,
        /// The last position of the journal.
        last: u64,
    },
    /// The names of the segments contradict each other.
    #[error("the segment {0} begins before the one it follows")]
    Disorder(PathBuf),
    /// A new journal was asked for in a folder that has one.
    #[error("{0} already holds a journal")]
    NotEmpty(PathBuf),
    /// The caller refused a batch during recovery.
    #[error("replay of position {position} failed")]
    Replay {
        /// The batch that was refused.
        position: u64,
        /// The caller's error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file system refused.
    #[error("{}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl JournalError {
    /// For `map_err`: adds the path to an I/O error.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Why a batch was not written. Its position is given to the next batch that succeeds.
#[derive(Debug, Error)]
pub enum AppendError {
    /// No space or no quota. Later appends work again when there is space.
    #[error("no space left for the journal")]
    Full(#[source] io::Error),
    /// The batch is larger than `batch_bytes_max`; nothing was tried.
    #[error("a batch of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge {
        /// Size of the payload.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The disk refused. The segment is left; the next append goes to a new one.
    #[error("the journal could not be written")]
    Io(#[source] io::Error),
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(error),
            _ => Self::Io(error),
        }
    }
}
