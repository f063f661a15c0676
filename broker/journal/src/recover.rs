//! Opening a folder: what is there, what of it counts, and what the caller still has to see.

use std::{
    error::Error,
    io::IoSlice,
    path::{Path, PathBuf},
};

use crate::{
    disk::{Disk, DiskFile},
    error::JournalError,
    frame::Frame,
    name::{self, Kind, SegmentName},
    prepare,
    scan::{Hole, scan},
};

/// What opening a journal found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Batches that were replayed.
    pub batches: u64,
    /// Payload bytes that were replayed.
    pub bytes: u64,
    /// Bytes of a batch that was begun at the end and not finished; it was never acknowledged, unless the disk
    /// spoiled it afterwards.
    pub torn_bytes: u64,
    /// Batches in the middle that are missing or do not check.
    pub damaged: Vec<Damage>,
}

/// A place where batches are lost: those between the two positions, both exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub segment: PathBuf,
    /// Where in the file the first lost frame began.
    pub offset: u64,
    /// The last position before the hole.
    pub after_position: u64,
    /// The first position behind it.
    pub before_position: u64,
}

/// A segment of the folder.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Whether it holds a frame that counts.
    pub(crate) empty: bool,
    /// A write or sync of it failed: its file is not used again.
    pub(crate) suspect: bool,
}

/// A file that waits to become a segment.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// The files of the folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Oldest first.
    pub(crate) segments: Vec<Segment>,
    pub(crate) spares: Vec<Spare>,
}

/// Lists the folder and removes what is unfinished. Files that are not the journal's are left alone.
pub(crate) fn list(disk: &dyn Disk, folder: &Path) -> Result<Listing, JournalError> {
    let mut listing = Listing::default();
    for (file, bytes) in disk.list(folder).map_err(JournalError::at(folder))? {
        let path = folder.join(&file);
        match name::classify(&file) {
            Kind::Segment(name) => {
                listing.segments.push(Segment { name, path, bytes, empty: true, suspect: false });
            }
            Kind::Spare(number) => listing.spares.push(Spare { number, path, bytes }),
            Kind::Unfinished => prepare::sweep(disk, &path),
            Kind::Foreign => tracing::warn!(path = %path.display(), "not a file of the journal; ignored"),
        }
    }
    listing.segments.sort_by_key(|segment| segment.name);
    match listing.segments.array_windows().find(|[before, after]| after.name.base < before.name.base) {
        Some([_, after]) => Err(JournalError::Disorder(after.path.clone())),
        None => Ok(listing),
    }
}

pub(crate) type Replay<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), Box<dyn Error + Send + Sync>>;

/// Replays everything after `from` and returns the last position.
pub(crate) fn recover(
    disk: &dyn Disk,
    segments: &mut [Segment],
    from: u64,
    replay: Replay<'_>,
) -> Result<(u64, Recovery), JournalError> {
    if let Some(first) = segments.first().map(|segment| segment.name.base)
        && first - 1 > from
    {
        return Err(JournalError::Gap { from, first });
    }
    let limits: Vec<Option<u64>> =
        segments.iter().skip(1).map(|next| Some(next.name.base)).chain([None]).collect();
    let mut recovery = Recovery::default();
    let mut last = 0;
    let mut bytes = Vec::new();
    for (segment, limit) in segments.iter_mut().zip(limits) {
        if limit.is_some_and(|limit| limit - 1 <= from) {
            segment.empty = false; // not read: nobody needs it
            continue;
        }
        let file = read(disk, segment, &mut bytes)?;
        let found = scan(&bytes, segment.name.base, segment.name.generation, limit);
        segment.empty = found.frames.is_empty();
        last = found.frames.last().map_or(segment.name.base - 1, |frame| frame.position);
        if limit.is_none() {
            if let Some(frame) = found.frames.last() {
                secure(&*file, &bytes, frame).map_err(JournalError::at(&segment.path))?;
            }
            report_torn(segment, found.torn_bytes, last);
            recovery.torn_bytes = found.torn_bytes;
        }
        let holes = found.holes.iter().filter(|hole| hole.before_position - 1 > from);
        recovery.damaged.extend(holes.map(|hole| report_damage(segment, hole)));
        for frame in found.frames.into_iter().filter(|frame| frame.position > from) {
            let payload = &bytes[frame.payload];
            recovery.batches += 1;
            recovery.bytes += payload.len() as u64;
            replay(frame.position, payload)
                .map_err(|source| JournalError::Replay { position: frame.position, source })?;
        }
    }
    if from > last { Err(JournalError::Behind { from, last }) } else { Ok((last, recovery)) }
}

fn read(disk: &dyn Disk, segment: &Segment, bytes: &mut Vec<u8>) -> Result<Box<dyn DiskFile>, JournalError> {
    let at = || JournalError::at(&segment.path);
    let mut file = disk.open(&segment.path).map_err(at())?;
    bytes.clear();
    file.read(bytes).map_err(at())?;
    Ok(file)
}

/// Makes the last frame durable. It may be in the page cache only: its writer was killed before the sync, or the
/// sync failed and the kernel calls the page clean. Writing the same bytes again makes the page dirty, and changes
/// nothing on disk if they were already there.
fn secure(file: &dyn DiskFile, bytes: &[u8], frame: &Frame) -> std::io::Result<()> {
    let written = &bytes[frame.start..frame.payload.end];
    file.write_at(frame.start as u64, &mut [IoSlice::new(written)])?;
    file.sync_data()
}

fn report_torn(segment: &Segment, torn_bytes: u64, last: u64) {
    if torn_bytes > 0 {
        let segment = segment.path.display();
        tracing::warn!(%segment, torn_bytes, last, "the last batch of the journal was not finished; it is cut");
    }
}

fn report_damage(segment: &Segment, hole: &Hole) -> Damage {
    let damage = Damage {
        segment: segment.path.clone(),
        offset: hole.offset as u64,
        after_position: hole.after_position,
        before_position: hole.before_position,
    };
    tracing::error!(
        segment = %damage.segment.display(),
        offset = damage.offset,
        after_position = damage.after_position,
        before_position = damage.before_position,
        "batches of the journal are damaged; the rest is replayed"
    );
    damage
}
