//! Real files: round trips, trimming, locking, limits.

use super::*;

#[test]
fn batches_come_back_in_order_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for run in 0..4 {
        let (mut journal, recovery, seen) = open(folder.path(), 0).unwrap();
        assert_eq!(seen, expected, "run {run}");
        assert_eq!(recovery.damaged, []);
        assert_eq!(recovery.torn_bytes, 0);
        for _ in 0..20 {
            let position = journal.last() + 1;
            let payload = payload(position, position as usize * 97 % 9000);
            assert_eq!(append(&mut journal, &payload).unwrap(), position);
            expected.push((position, payload));
        }
    }
    let (journal, recovery, seen) = open(folder.path(), 30).unwrap();
    assert_eq!(seen, expected[30..]);
    assert_eq!(recovery.batches, 50);
    assert_eq!(recovery.bytes, seen.iter().map(|(_, payload)| payload.len() as u64).sum::<u64>());
    assert_eq!(journal.last(), 80);
}

#[test]
fn a_batch_larger_than_a_segment_gets_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = JournalOptions { batch_bytes_max: 1 << 20, ..options() };
    let lengths = [10, 300_000, 1 << 20, 20, 65_536 - 28, 30];
    let (mut journal, _) = Journal::open(folder.path(), options, 0, |_, _| Ok::<(), Infallible>(())).unwrap();
    for (length, position) in lengths.into_iter().zip(1..) {
        append(&mut journal, &payload(position, length)).unwrap();
    }
    assert!(journal.bytes() > 1_300_000);
    drop(journal);
    let (mut journal, _, seen) = open(folder.path(), 0).unwrap();
    assert_eq!(seen.iter().map(|(_, payload)| payload.len()).collect::<Vec<_>>(), lengths);
    journal.trim(5).unwrap();
    assert!(journal.bytes() <= 4 << 16, "large files are not kept");
}

#[test]
fn many_slices_are_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    let whole = payload(1, 5000);
    let (mut journal, ..) = open(folder.path(), 0).unwrap();
    let slices: Vec<IoSlice<'_>> = whole.chunks(1).map(IoSlice::new).collect();
    journal.append(&slices).unwrap();
    journal.append(&[]).unwrap();
    drop(journal);
    assert_eq!(open(folder.path(), 0).unwrap().2, [(1, whole), (2, Vec::new())]);
}

#[test]
fn opening_and_closing_makes_no_segments() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let (mut journal, ..) = open(folder.path(), 0).unwrap();
        assert!(matches!(append(&mut journal, &[0; 110_000]), Err(AppendError::TooLarge { .. })));
        drop(journal);
    }
    assert_eq!(files(folder.path(), ".journal").len(), 0);
    assert!(files(folder.path(), ".spare").len() <= 1);
}

#[test]
fn trimmed_segments_are_used_again_and_the_last_position_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(folder.path(), 0).unwrap();
    for position in 1..=60 {
        append(&mut journal, &payload(position, 10_000)).unwrap();
        journal.trim(position.saturating_sub(3)).unwrap();
        assert!(journal.stats().segments <= 3, "{journal:?}");
    }
    assert!(journal.stats().rotations >= 10);
    assert!(files(folder.path(), "").len() <= 6, "files are recycled, not piled up");
    journal.trim(u64::MAX).unwrap();
    assert_eq!(journal.stats().segments, 1);
    assert!(journal.bytes() <= 4 * options().segment_bytes);
    drop(journal);
    let (journal, _, seen) = open(folder.path(), 60).unwrap();
    assert_eq!((journal.last(), seen), (60, vec![]));
}

#[test]
fn a_store_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(open(folder.path(), 7), Err(JournalError::Behind { from: 7, last: 0 })));
    let (mut journal, ..) = open(folder.path(), 0).unwrap();
    for position in 1..=20 {
        append(&mut journal, &payload(position, 10_000)).unwrap();
    }
    journal.trim(12).unwrap();
    drop(journal);
    assert!(matches!(open(folder.path(), 3), Err(JournalError::Gap { from: 3, first: 7..=13 })));
    assert!(matches!(open(folder.path(), 21), Err(JournalError::Behind { from: 21, last: 20 })));
    assert_eq!(open(folder.path(), 12).unwrap().2.len(), 8);
}

#[test]
fn a_lost_journal_is_begun_anew_at_the_position_of_its_store() {
    let folder = tempfile::tempdir().unwrap();
    drop(Journal::create(folder.path(), options(), 1000).unwrap());
    let (mut journal, _, seen) = open(folder.path(), 1000).unwrap();
    assert_eq!(seen, []);
    assert_eq!(append(&mut journal, b"next").unwrap(), 1001);
    drop(journal);
    assert!(matches!(Journal::create(folder.path(), options(), 1), Err(JournalError::NotEmpty(_))));
    assert_eq!(open(folder.path(), 1000).unwrap().2, [(1001, b"next".to_vec())]);
}

#[test]
fn a_folder_has_one_journal_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, ..) = open(folder.path(), 0).unwrap();
    assert!(matches!(open(folder.path(), 0), Err(JournalError::Locked(_))));
    drop(journal);
    open(folder.path(), 0).unwrap();
}

#[test]
fn the_segment_size_may_change_between_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for (run, segment_bytes) in [64 << 10, 128 << 10, 64 << 10].into_iter().enumerate() {
        let options = JournalOptions { segment_bytes, ..options() };
        let mut seen = Vec::new();
        let (mut journal, _) = Journal::open(folder.path(), options, 0, |position, payload| {
            seen.push((position, payload.to_vec()));
            Ok::<(), Infallible>(())
        })
        .unwrap();
        assert_eq!(seen, expected, "run {run}");
        for _ in 0..12 {
            let position = journal.last() + 1;
            expected.push((position, payload(position, 20_000)));
            append(&mut journal, &payload(position, 20_000)).unwrap();
        }
    }
}

#[test]
fn a_replay_that_refuses_ends_the_opening() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, ..) = open(folder.path(), 0).unwrap();
    append(&mut journal, b"one").unwrap();
    drop(journal);
    let refused = Journal::open(folder.path(), options(), 0, |_, _| Err("no"));
    assert!(matches!(refused, Err(JournalError::Replay { position: 1, .. })));
    open(folder.path(), 0).unwrap();
}

#[test]
fn senseless_options_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = [
        JournalOptions { segment_bytes: 4096, ..options() },
        JournalOptions { segment_bytes: (64 << 10) + 1, ..options() },
        JournalOptions { segment_bytes: 2 << 30, ..options() },
        JournalOptions { segments_spare_max: 0, ..options() },
        JournalOptions { batch_bytes_max: 1 << 30, ..options() },
    ];
    for options in wrong {
        let refused = Journal::open(folder.path(), options.clone(), 0, |_, _| Ok::<(), Infallible>(()));
        assert!(matches!(refused, Err(JournalError::Options(_))), "{options:?}");
    }
    JournalOptions::default().validate().unwrap();
}

#[test]
fn strangers_and_leftovers_in_the_folder_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("0000000000000009.tmp"), b"half").unwrap();
    fs::write(folder.path().join("0000000000000003.spare"), b"wrong size").unwrap();
    fs::write(folder.path().join("note.journal"), b"mine").unwrap();
    let (mut journal, ..) = open(folder.path(), 0).unwrap();
    append(&mut journal, b"one").unwrap();
    drop(journal);
    assert_eq!(open(folder.path(), 0).unwrap().2, [(1, b"one".to_vec())]);
    assert!(folder.path().join("note.journal").exists());
    assert!(!folder.path().join("0000000000000009.tmp").exists());
}
