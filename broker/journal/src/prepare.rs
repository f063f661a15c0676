//! The one thread of the journal: it makes the next file while the current segment fills.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use crate::{disk::Disk, name};

/// Makes a spare in the folder: zeroed under another name, renamed when it is whole.
pub(crate) fn prepare(
    disk: &dyn Disk,
    folder: &Path,
    number: u64,
    bytes: u64,
    stop: &AtomicBool,
) -> io::Result<PathBuf> {
    let unfinished = folder.join(name::unfinished(number));
    let spare = folder.join(name::spare(number));
    let made = disk.create_zeroed(&unfinished, bytes, stop).and_then(|()| disk.rename(&unfinished, &spare));
    if made.is_err() {
        // On a full disk the part that was made must not keep the space.
        if let Err(error) = disk.remove(&unfinished)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %unfinished.display(), %error, "an unfinished journal file could not be removed");
        }
    }
    made.map(|()| spare)
}

/// A thread that prepares one file at a time; at most one request is under way. Joined on drop.
pub(crate) struct Preparer {
    requests: Option<SyncSender<u64>>,
    made: Receiver<io::Result<PathBuf>>,
    pending: bool,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    pub(crate) fn start(disk: Arc<dyn Disk>, folder: &Path, bytes: u64) -> io::Result<Self> {
        let (requests, incoming) = sync_channel::<u64>(1);
        let (outgoing, made) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let (folder, stopped) = (folder.to_owned(), Arc::clone(&stop));
        let thread = thread::Builder::new().name("journal-prepare".to_owned()).spawn(move || {
            while let Ok(number) = incoming.recv() {
                if outgoing.send(prepare(&*disk, &folder, number, bytes, &stopped)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { requests: Some(requests), made, pending: false, stop, thread: Some(thread) })
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Asks for a file; does nothing while one is under way.
    pub(crate) fn request(&mut self, number: u64) {
        if !self.pending {
            self.pending = self.requests.as_ref().is_some_and(|requests| requests.try_send(number).is_ok());
        }
    }

    /// The file that was asked for, if it is finished.
    pub(crate) fn finished(&mut self) -> Option<io::Result<PathBuf>> {
        let finished = self.made.try_recv().ok()?;
        self.pending = false;
        Some(finished)
    }

    /// The file under way, if there is one; waits for it.
    pub(crate) fn wait(&mut self) -> Option<io::Result<PathBuf>> {
        if !std::mem::take(&mut self.pending) {
            return None;
        }
        self.made.recv().ok()
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that prepares journal files panicked");
        }
    }
}

/// Removes what a crash left unfinished.
pub(crate) fn sweep(disk: &dyn Disk, path: &Path) {
    if let Err(error) = disk.remove(path) {
        tracing::warn!(path = %path.display(), %error, "an unfinished journal file could not be removed");
    }
}
