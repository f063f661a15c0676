//! Opening a store: which engine, which folder, and that nobody else has it.

use crate::{
    FjallOptions, SledOptions, StoreLimits, fjall::FjallBackend, reopening::ReopeningStore, sled::SledBackend,
};
use parlance_plugin_api::store::{Store, StoreError};
use std::{
    fmt,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};
use thiserror::Error;

/// File in the store's folder that is locked while it is open.
const LOCK_FILE: &str = "store.lock";

/// Which engine keeps the data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Engine {
    /// fjall 3, the default.
    #[default]
    Fjall,
    /// sled 0.34. Read its [`Guarantees`](parlance_plugin_api::store::Guarantees).
    Sled,
}

impl Engine {
    const ALL: [Self; 2] = [Self::Fjall, Self::Sled];

    /// Name in the configuration, and of the engine's folder within the store's. Persisted.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fjall => "fjall",
            Self::Sled => "sled",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No engine has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no store engine is called {0:?}: it is \"fjall\" or \"sled\"")]
pub struct UnknownEngine(pub String);

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<Self, UnknownEngine> {
        Self::ALL.into_iter().find(|engine| engine.name() == name).ok_or_else(|| UnknownEngine(name.into()))
    }
}

/// What to open.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Which engine.
    pub engine: Engine,
    /// The store's folder; it is created.
    pub folder: PathBuf,
    /// Limits of any engine.
    pub limits: StoreLimits,
    /// How fjall is set up.
    pub fjall: FjallOptions,
    /// How sled is set up.
    pub sled: SledOptions,
}

impl StoreOptions {
    /// Defaults on a folder.
    pub fn new(engine: Engine, folder: impl Into<PathBuf>) -> Self {
        Self {
            engine,
            folder: folder.into(),
            limits: StoreLimits::default(),
            fjall: FjallOptions::default(),
            sled: SledOptions::default(),
        }
    }
}

/// Why a store does not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Somebody has it open.
    #[error("the store in {} is in use: stop the other process, or choose another folder", .0.display())]
    InUse(PathBuf),
    /// The folder holds another engine's data, which this one would not see.
    #[error(
        "{} holds a {found} store: set the engine to {found}, or choose another folder for {asked}",
        .folder.display()
    )]
    OtherEngine {
        /// The store's folder.
        folder: PathBuf,
        /// Whose data is there.
        found: Engine,
        /// What was asked for.
        asked: Engine,
    },
    /// The folder cannot be used.
    #[error("the store's folder {} cannot be used", .folder.display())]
    Folder {
        /// The store's folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The engine does not open what is in the folder.
    #[error("the {engine} store in {} does not open", .folder.display())]
    Engine {
        /// Which engine.
        engine: Engine,
        /// The store's folder.
        folder: PathBuf,
        /// Why.
        source: StoreError,
    },
}

/// Whether a folder holds a store already: with data, a key file that is missing must not be made anew.
pub fn holds_store(folder: &Path) -> bool {
    Engine::ALL.iter().any(|engine| folder.join(engine.name()).exists())
}

/// Opens or creates a store. Its folder belongs to it until the last handle is dropped.
pub fn open(options: &StoreOptions) -> Result<Arc<dyn Store>, OpenError> {
    let folder = &options.folder;
    let unusable = |source| OpenError::Folder { folder: folder.clone(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
    let lock = FolderLock::take(folder)?;
    let asked = options.engine;
    if let Some(found) =
        Engine::ALL.into_iter().find(|other| *other != asked && folder.join(other.name()).exists())
    {
        return Err(OpenError::OtherEngine { folder: folder.clone(), found, asked });
    }
    let inner = folder.join(asked.name());
    let store: Result<Arc<dyn Store>, StoreError> = match asked {
        Engine::Fjall => {
            ReopeningStore::<FjallBackend>::open(&inner, options.fjall, options.limits, Some(lock))
                .map(|store| Arc::new(store) as _)
        }
        Engine::Sled => ReopeningStore::<SledBackend>::open(&inner, options.sled, options.limits, Some(lock))
            .map(|store| Arc::new(store) as _),
    };
    let store =
        store.map_err(|source| OpenError::Engine { engine: asked, folder: folder.clone(), source })?;
    // The engines sync what is in their folder, not that the folder is there.
    sync_folder(folder).map_err(unusable)?;
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_folder(parent).map_err(unusable)?;
    }
    Ok(store)
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Holds a folder against other processes, and other stores of this one, until dropped.
pub(crate) struct FolderLock(#[expect(dead_code, reason = "held, not read")] File);

impl FolderLock {
    fn take(folder: &Path) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Folder { folder: folder.to_path_buf(), source };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(LOCK_FILE))
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_path_buf())),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_have_names() {
        for engine in Engine::ALL {
            assert_eq!(engine.name().parse(), Ok(engine));
        }
        let error = "rocksdb".parse::<Engine>().unwrap_err().to_string();
        assert!(error.contains("rocksdb") && error.contains("fjall"), "{error}");
    }

    #[test]
    fn a_folder_opens_once() {
        let folder = tempfile::tempdir().unwrap();
        for engine in Engine::ALL {
            let options = StoreOptions::new(engine, folder.path().join(format!("of {engine}")));
            assert!(!holds_store(&options.folder));
            let store = open(&options).unwrap();
            assert!(holds_store(&options.folder));
            let Err(error @ OpenError::InUse(_)) = open(&options) else { panic!("opened twice") };
            assert!(error.to_string().contains(options.folder.to_str().unwrap()));
            drop(store);
            open(&options).unwrap();
        }
    }

    #[test]
    fn another_engines_data_is_not_overlooked() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(&StoreOptions::new(Engine::Fjall, folder.path())).unwrap());
        let result = open(&StoreOptions::new(Engine::Sled, folder.path()));
        assert!(matches!(
            result,
            Err(OpenError::OtherEngine { found: Engine::Fjall, asked: Engine::Sled, .. })
        ));
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(
            open(&StoreOptions::new(Engine::Fjall, file.path())),
            Err(OpenError::Folder { .. })
        ));
    }
}
