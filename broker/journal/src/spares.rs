//! The files that wait to become segments: recycled ones, and one made ahead of need.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use crate::{
    disk::Disk,
    name,
    options::JournalOptions,
    prepare::{Preparer, prepare},
    recover::Spare,
};

pub(crate) struct Spares {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    file_bytes: u64,
    files_max: usize,
    next_number: u64,
    ready: Vec<PathBuf>,
    /// `None`: a file is made when it is needed.
    preparer: Option<Preparer>,
    /// How often an append had to make its file itself or wait for it.
    pub(crate) waits: u64,
}

impl Spares {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        folder: &Path,
        options: &JournalOptions,
        found: Vec<Spare>,
    ) -> io::Result<Self> {
        let (file_bytes, files_max) = (options.segment_bytes, options.segments_spare_max);
        let preparer = options.prepare_ahead.then(|| Preparer::start(Arc::clone(&disk), folder, file_bytes));
        let next_number = found.iter().map(|spare| spare.number + 1).max().unwrap_or(0);
        let mut spares = Self {
            disk,
            folder: folder.to_owned(),
            file_bytes,
            files_max,
            next_number,
            ready: Vec::new(),
            preparer: preparer.transpose()?,
            waits: 0,
        };
        for spare in found {
            // The size may have been configured anew since.
            if spares.ready.len() < files_max && spare.bytes == file_bytes {
                spares.ready.push(spare.path);
            } else {
                spares.disk.remove(&spare.path)?;
            }
        }
        Ok(spares)
    }

    pub(crate) fn len(&self) -> usize {
        self.ready.len()
    }

    /// Has a file made in the background, if none is ready or under way.
    pub(crate) fn refill(&mut self) {
        let number = self.next_number + 1;
        if let Some(preparer) = self.preparer.as_mut().filter(|preparer| !preparer.is_pending())
            && self.ready.is_empty()
        {
            self.next_number = number;
            preparer.request(number);
        }
    }

    /// A file of `bytes`. Makes one on the spot if none is ready, or if the size is not the usual one.
    pub(crate) fn take(&mut self, bytes: u64) -> io::Result<PathBuf> {
        if bytes != self.file_bytes {
            return self.make(bytes);
        }
        if let Some(path) = self.ready.pop() {
            return Ok(path);
        }
        let waits = &mut self.waits;
        let made = self.preparer.as_mut().and_then(|preparer| {
            preparer.finished().or_else(|| {
                *waits += 1;
                preparer.wait()
            })
        });
        match made {
            Some(Ok(path)) => return Ok(path),
            Some(Err(error)) => {
                tracing::warn!(%error, "a journal file could not be prepared ahead; trying again")
            }
            None => {}
        }
        self.make(self.file_bytes)
    }

    fn make(&mut self, bytes: u64) -> io::Result<PathBuf> {
        let number = self.number();
        prepare(&*self.disk, &self.folder, number, bytes, &AtomicBool::new(false))
    }

    /// Gives back what `take` gave.
    pub(crate) fn put_back(&mut self, path: PathBuf, bytes: u64) {
        if bytes == self.file_bytes {
            self.ready.push(path);
        } else if let Err(error) = self.disk.remove(&path) {
            tracing::warn!(path = %path.display(), %error, "a journal file could not be removed");
        }
    }

    /// Keeps a segment that is no longer needed as a spare, or removes it.
    pub(crate) fn recycle(&mut self, path: &Path, bytes: u64) -> io::Result<()> {
        if self.ready.len() >= self.files_max || bytes != self.file_bytes {
            return self.disk.remove(path);
        }
        let number = self.number();
        let spare = self.folder.join(name::spare(number));
        self.disk.rename(path, &spare)?;
        self.ready.push(spare);
        Ok(())
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}
