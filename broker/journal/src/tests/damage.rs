//! What a disk can do to files that were written, and what recovery makes of it.

use std::fs::OpenOptions;

use proptest::prelude::*;

use super::*;
use crate::frame;

/// A folder with batches of these lengths in one segment; returns the file and where each frame begins.
fn written(folder: &Path, lengths: &[usize]) -> (PathBuf, Vec<usize>) {
    let (mut journal, ..) = open(folder, 0).unwrap();
    let mut starts = vec![0];
    for (length, position) in lengths.iter().zip(1..) {
        append(&mut journal, &payload(position, *length)).unwrap();
        starts.push(starts[starts.len() - 1] + frame::bytes(*length) as usize);
    }
    drop(journal);
    (files(folder, ".journal").remove(0), starts)
}

fn expected(lengths: &[usize]) -> Batches {
    lengths.iter().zip(1..).map(|(length, position)| (position, payload(position, *length))).collect()
}

/// After any damage the journal goes on, and what it appends then survives beside what was intact.
fn goes_on(folder: &Path, mut intact: Batches) {
    let (mut journal, ..) = open(folder, 0).unwrap();
    let position = append(&mut journal, b"after").unwrap();
    drop(journal);
    intact.push((position, b"after".to_vec()));
    let (_, recovery, seen) = open(folder, 0).unwrap();
    assert_eq!(seen, intact);
    assert_eq!(recovery.torn_bytes, 0, "the torn batch never comes back");
}

#[test]
fn a_last_frame_torn_at_any_byte_is_cut() {
    let lengths = [100, 3000, 61];
    let source = tempfile::tempdir().unwrap();
    let (segment, starts) = written(source.path(), &lengths);
    let name = segment.file_name().unwrap();
    for cut in starts[2]..starts[2] + frame::HEADER_BYTES + lengths[2] {
        for truncate in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            copy(source.path(), folder.path());
            let file = OpenOptions::new().read(true).write(true).open(folder.path().join(name)).unwrap();
            let mut bytes = fs::read(&segment).unwrap();
            if truncate {
                file.set_len(cut as u64).unwrap();
            } else {
                bytes[cut..].iter_mut().zip(1_u8..=255).for_each(|(byte, noise)| *byte ^= noise | 1);
                fs::write(folder.path().join(name), bytes).unwrap();
            }
            let (_, recovery, seen) = open(folder.path(), 0).unwrap();
            assert_eq!(seen, expected(&lengths)[..2], "cut at {cut}");
            assert_eq!(recovery.damaged, []);
            assert_eq!(
                recovery.torn_bytes > 0,
                cut >= starts[2] + frame::HEADER_BYTES || !truncate && cut >= starts[2] + 24
            );
            goes_on(folder.path(), seen);
        }
    }
}

#[test]
fn damage_in_the_middle_is_reported_and_the_rest_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let lengths = [500; 10];
    let (segment, starts) = written(folder.path(), &lengths);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[starts[3] + 5] ^= 1; // a length
    bytes[starts[4] + 40] ^= 1; // a payload
    bytes[starts[7]] = 0; // a magic
    fs::write(&segment, bytes).unwrap();
    let (_, recovery, seen) = open(folder.path(), 0).unwrap();
    let positions: Vec<u64> = seen.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions, [1, 2, 3, 6, 7, 9, 10]);
    let places: Vec<_> = recovery
        .damaged
        .iter()
        .map(|damage| (damage.offset as usize, damage.after_position, damage.before_position))
        .collect();
    assert_eq!(places, [(starts[3], 3, 6), (starts[7], 7, 9)]);
    assert_eq!(recovery.damaged[0].segment, segment);
    assert_eq!(open(folder.path(), 5).unwrap().1.damaged.len(), 1, "damage the store has passed is no news");
    goes_on(folder.path(), seen);
}

#[test]
fn the_end_of_a_segment_with_a_successor_is_damage_not_a_tear() {
    let folder = tempfile::tempdir().unwrap();
    let (first, starts) = written(folder.path(), &[700; 4]);
    let (mut journal, ..) = open(folder.path(), 0).unwrap();
    append(&mut journal, b"five").unwrap();
    drop(journal);
    OpenOptions::new().write(true).open(&first).unwrap().set_len(starts[3] as u64 + 50).unwrap();
    let (journal, recovery, seen) = open(folder.path(), 0).unwrap();
    assert_eq!(seen.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1, 2, 3, 5]);
    assert_eq!((recovery.damaged[0].after_position, recovery.damaged[0].before_position), (3, 5));
    assert_eq!(journal.last(), 5);
}

#[test]
fn a_missing_segment_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(folder.path(), 0).unwrap();
    for position in 1..=30 {
        append(&mut journal, &payload(position, 10_000)).unwrap();
    }
    drop(journal);
    fs::remove_file(&files(folder.path(), ".journal")[1]).unwrap();
    let (journal, recovery, seen) = open(folder.path(), 0).unwrap();
    assert_eq!(journal.last(), 30);
    assert_eq!(recovery.damaged.len(), 1);
    assert_eq!(seen.len(), 24);
}

#[test]
fn a_payload_that_looks_like_a_frame_is_never_one() {
    let folder = tempfile::tempdir().unwrap();
    let inner = b"not a batch";
    let forged = |generation| {
        let mut bytes = vec![0; 4]; // 28 bytes of header and 4: the forged frame is aligned
        bytes.extend(frame::header(inner.len() as u32, 9, generation, &[IoSlice::new(inner)]));
        bytes.extend(inner);
        bytes
    };
    let (mut journal, ..) = open(folder.path(), 0).unwrap();
    append(&mut journal, &forged(0)).unwrap();
    append(&mut journal, b"two").unwrap();
    drop(journal);
    let segment = files(folder.path(), ".journal").remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[0] ^= 1;
    fs::write(&segment, bytes).unwrap();
    assert_eq!(open(folder.path(), 0).unwrap().2, [(2, b"two".to_vec())]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Noise anywhere, in any segment: no panic, no wrong payload, no loss without a word.
    #[test]
    fn noise_never_gives_a_wrong_payload(
        lengths in prop::collection::vec(0_usize..20_000, 5..12),
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), &lengths);
        let segments = files(folder.path(), ".journal");
        for (segment, at, value) in noise {
            let segment = segment.get(&segments);
            let mut bytes = fs::read(segment).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = value;
            fs::write(segment, bytes).unwrap();
        }
        let (journal, recovery, seen) = open(folder.path(), 0).unwrap();
        let whole = expected(&lengths);
        let mut next = 1;
        for (position, payload) in &seen {
            prop_assert_eq!(&whole[*position as usize - 1].1, payload);
            for lost in next..*position {
                prop_assert!(recovery.damaged.iter().any(
                    |damage| damage.after_position < lost && lost < damage.before_position
                ));
            }
            next = position + 1;
        }
        prop_assert!(journal.last() <= lengths.len() as u64);
    }
}
