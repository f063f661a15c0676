//! The journal itself: one writer, one frame and one sync for each batch.

use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    disk::{Disk, DiskFile, DiskFolder, FileSystem},
    error::{AppendError, JournalError},
    frame,
    name::SegmentName,
    options::{JournalOptions, PAGE_BYTES},
    recover::{self, Listing, Recovery, Replay, Segment},
    spares::Spares,
};

const ZEROS: &[u8] = &[0; PAGE_BYTES as usize];

/// The journal of one folder. See the crate's head for what it promises.
pub struct Journal {
    folder: PathBuf,
    /// Holds the lock, and syncs names.
    folder_file: Box<dyn DiskFolder>,
    options: JournalOptions,
    disk: Arc<dyn Disk>,
    /// Oldest first. The last one is being written while `active` is there.
    segments: VecDeque<Segment>,
    active: Option<Active>,
    spares: Spares,
    next_sequence: u64,
    last: u64,
    stats: Stats,
}

/// The segment that is being written.
struct Active {
    file: Box<dyn DiskFile>,
    generation: u64,
    offset: u64,
    capacity: u64,
}

/// Counters since the journal was opened, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches written and synced.
    pub batches: u64,
    /// Their payload bytes.
    pub payload_bytes: u64,
    /// Appends that failed on the disk.
    pub failures: u64,
    /// Segments begun.
    pub rotations: u64,
    /// Segments whose file was not ready in time, so that an append waited for it.
    pub rotation_waits: u64,
    /// Segments held now.
    pub segments: usize,
    /// Spare files held now.
    pub spares: usize,
}

impl Journal {
    /// Opens the journal of a folder, making the folder if it is not there, and calls `replay(position, payload)`
    /// for every batch with a position above `from`, in order. `from` is what the store has safely reached.
    ///
    /// # Errors
    ///
    /// [`JournalError::Gap`] and [`JournalError::Behind`] when journal and store do not fit each other,
    /// [`JournalError::Locked`] when the folder is in use, [`JournalError::Replay`] when `replay` refuses.
    /// Damaged batches are no error: they are in the [`Recovery`].
    pub fn open<E>(
        folder: &Path,
        options: JournalOptions,
        from: u64,
        replay: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(Self, Recovery), JournalError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self::open_on(Arc::new(FileSystem), folder, options, from, replay)
    }

    /// The same on a disk of the caller's.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::open`].
    pub fn open_on<E>(
        disk: Arc<dyn Disk>,
        folder: &Path,
        options: JournalOptions,
        from: u64,
        mut replay: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(Self, Recovery), JournalError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let replay: Replay<'_> = &mut |position, payload| replay(position, payload).map_err(Into::into);
        let (mut segments, mut journal) = Self::prepare(disk, folder, options)?;
        let (last, recovery) = recover::recover(&*journal.disk, &mut segments, from, replay)?;
        journal.next_sequence = segments.last().map_or(1, |newest| newest.name.sequence + 1);
        journal.segments = segments.into();
        journal.last = last;
        journal.spares.refill();
        Ok((journal, recovery))
    }

    /// Begins an empty journal whose first batch gets the position `after + 1`: for a store whose journal is lost.
    ///
    /// # Errors
    ///
    /// [`JournalError::NotEmpty`] when the folder has segments.
    pub fn create(folder: &Path, options: JournalOptions, after: u64) -> Result<Self, JournalError> {
        let (listing, mut journal) = Self::prepare(Arc::new(FileSystem), folder, options)?;
        if !listing.is_empty() {
            return Err(JournalError::NotEmpty(folder.to_owned()));
        }
        journal.last = after;
        journal.rotate(0).map_err(JournalError::at(folder))?;
        Ok(journal)
    }

    /// Locks and lists the folder.
    fn prepare(
        disk: Arc<dyn Disk>,
        folder: &Path,
        options: JournalOptions,
    ) -> Result<(Vec<Segment>, Self), JournalError> {
        options.validate()?;
        let at = || JournalError::at(folder);
        let folder_file = disk.take_folder(folder).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => JournalError::Locked(folder.to_owned()),
            _ => at()(error),
        })?;
        let Listing { segments, spares } = recover::list(&*disk, folder)?;
        // A name that is only in memory must not be relied on.
        folder_file.sync().map_err(at())?;
        let spares = Spares::new(Arc::clone(&disk), folder, &options, spares).map_err(at())?;
        let journal = Self {
            folder: folder.to_owned(),
            folder_file,
            options,
            disk,
            segments: VecDeque::new(),
            active: None,
            spares,
            next_sequence: 1,
            last: 0,
            stats: Stats::default(),
        };
        Ok((segments, journal))
    }

    /// Writes one batch, given as slices, and syncs it. Returns its position.
    ///
    /// # Errors
    ///
    /// On an error the batch is not written, and its position goes to the next one that succeeds; only if the
    /// process ends before that may it be replayed. Later appends may succeed, whatever the error.
    pub fn append(&mut self, payload: &[IoSlice<'_>]) -> Result<u64, AppendError> {
        let (bytes, bytes_max) =
            (payload.iter().map(|slice| slice.len()).sum(), self.options.batch_bytes_max);
        if bytes > bytes_max {
            return Err(AppendError::TooLarge { bytes, bytes_max });
        }
        if let Err(error) = self.write(payload, bytes) {
            self.stats.failures += 1;
            return Err(error.into());
        }
        self.last += 1;
        self.stats.batches += 1;
        self.stats.payload_bytes += bytes as u64;
        Ok(self.last)
    }

    fn write(&mut self, payload: &[IoSlice<'_>], length: usize) -> io::Result<()> {
        let frame_bytes = frame::bytes(length);
        let fits = |active: &Active| active.offset + frame_bytes <= active.capacity;
        if !self.active.as_ref().is_some_and(fits) {
            self.rotate(frame_bytes)?;
        }
        let (Some(active), Some(newest)) = (&mut self.active, self.segments.back_mut()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let written =
            write_frame(active, self.last + 1, length, payload).and_then(|()| active.file.sync_data());
        if let Err(error) = written {
            tracing::error!(segment = %newest.path.display(), %error, "a batch failed; its segment is left");
            newest.suspect = true;
            self.active = None;
            return Err(error);
        }
        newest.empty = false;
        active.offset += frame_bytes;
        Ok(())
    }

    /// Begins a new segment for the next position, with room for a frame of `frame_bytes`. Whatever the present one
    /// holds from there on is taken back.
    fn rotate(&mut self, frame_bytes: u64) -> io::Result<()> {
        self.active = None;
        let bytes = self.options.segment_bytes.max(frame_bytes.next_multiple_of(PAGE_BYTES));
        let source = match self.segments.back() {
            Some(newest) if newest.empty && !newest.suspect && newest.bytes == bytes => newest.path.clone(),
            _ => self.spares.take(bytes)?,
        };
        let generation = self.disk.fresh_number();
        let name = SegmentName { sequence: self.next_sequence, base: self.last + 1, generation };
        let path = self.folder.join(name.file());
        if let Err(error) = self.disk.rename(&source, &path) {
            if self.segments.back().is_none_or(|newest| newest.path != source) {
                self.spares.put_back(source, bytes);
            }
            return Err(error);
        }
        self.next_sequence += 1;
        // An empty newest segment is begun anew: other name, other generation.
        self.segments.pop_back_if(|newest| newest.path == source);
        let segment = Segment { name, path, bytes, empty: true, suspect: false };
        let opened = self.disk.open(&segment.path);
        self.segments.push_back(segment);
        let file = opened?;
        self.folder_file.sync()?;
        self.forget_superseded();
        self.active = Some(Active { file, generation: name.generation, offset: 0, capacity: bytes });
        self.stats.rotations += 1;
        self.spares.refill();
        Ok(())
    }

    /// Removes the segment before the newest if it holds nothing, so that failing appends do not pile up files.
    fn forget_superseded(&mut self) {
        let Some(index) = self.segments.len().checked_sub(2) else { return };
        if !self.segments[index].empty {
            return;
        }
        if let Some(segment) = self.segments.remove(index)
            && let Err(error) = self.disk.remove(&segment.path)
        {
            tracing::warn!(segment = %segment.path.display(), %error, "an empty segment could not be removed");
        }
    }

    /// Gives up the segments that hold nothing above `position`: they are kept as spares or removed.
    ///
    /// # Errors
    ///
    /// When the file system refuses. The journal is whole all the same; the next trim tries again.
    pub fn trim(&mut self, position: u64) -> Result<(), JournalError> {
        while self.segments.get(1).is_some_and(|next| next.name.base - 1 <= position)
            && let Some(oldest) = self.segments.front()
        {
            let freed = if oldest.suspect {
                self.disk.remove(&oldest.path)
            } else {
                self.spares.recycle(&oldest.path, oldest.bytes)
            };
            freed.map_err(JournalError::at(&oldest.path))?;
            self.segments.pop_front();
        }
        Ok(())
    }

    /// The position of the last batch; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Bytes of disk held by segments and spares.
    pub fn bytes(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        segments + self.spares.len() as u64 * self.options.segment_bytes
    }

    /// Counters for metrics.
    pub fn stats(&self) -> Stats {
        Stats {
            segments: self.segments.len(),
            spares: self.spares.len(),
            rotation_waits: self.spares.waits,
            ..self.stats
        }
    }
}

fn write_frame(active: &Active, position: u64, length: usize, payload: &[IoSlice<'_>]) -> io::Result<()> {
    let announced = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
    let header = frame::header(announced, position, active.generation, payload);
    // Filling the page spares the kernel from reading what a recycled file had there.
    let end = active.offset + frame::HEADER_BYTES as u64 + length as u64;
    let fill = (end.next_multiple_of(PAGE_BYTES) - end) as usize;
    let mut slices = Vec::with_capacity(payload.len() + 2);
    slices.push(IoSlice::new(&header));
    slices.extend_from_slice(payload);
    slices.push(IoSlice::new(&ZEROS[..fill]));
    active.file.write_at(active.offset, &mut slices)
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("folder", &self.folder)
            .field("last", &self.last)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
