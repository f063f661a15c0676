//! Reading around a damaged stretch of the store: a block of the engine that does not check takes the records in it, and
//! not what lies before and behind it.

use super::overlay::Overlay;
use bytes::Bytes;
use parlance_plugin_api::{
    record,
    store::{Direction, Entry, Scan, StoreError, Table, hex},
};
use std::collections::VecDeque;

/// Entries of one read while the ends of a damaged stretch are looked for.
const PAGE: usize = 256;
/// Entries behind a damaged stretch that are looked through at most to find its end.
const BEHIND_MAX: usize = 1 << 20;
/// Records of the log that are looked for one by one in a damaged stretch.
const WITHIN_MAX: u64 = 4_096;

/// A stretch that cannot be read: what lies between two keys, both exclusive; empty where the scan ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) after: Bytes,
    pub(super) before: Bytes,
}

/// A page of the overlay without what is in a damaged stretch. At most one stretch is left out: the page ends before the next.
pub(super) fn scan_around(
    overlay: &Overlay,
    scan: Scan<'_>,
) -> Result<(Vec<Entry>, Option<Gap>), StoreError> {
    let damage = match overlay.scan(scan) {
        Err(damage @ StoreError::Damaged { .. }) => damage,
        page => return Ok((page?, None)),
    };
    let mut page = Vec::new();
    walk(overlay, scan, scan.limit, |entry| page.push(entry))?;
    let near = page.last().map(|(key, _)| key.clone()).unwrap_or_default();
    // What is behind is come upon from the other side; the nearest entries are kept.
    let room = scan.limit - page.len();
    let mut behind: VecDeque<Entry> = VecDeque::new();
    let mut far = Bytes::new();
    let rest = match scan.direction {
        Direction::Forward if near.is_empty() => Scan { direction: Direction::Backward, ..scan },
        Direction::Forward => Scan { direction: Direction::Backward, from: &near, ..scan },
        Direction::Backward if near.is_empty() => Scan { direction: Direction::Forward, ..scan },
        Direction::Backward => Scan { direction: Direction::Forward, to: &near, ..scan },
    };
    let seen = walk(overlay, rest, BEHIND_MAX, |entry| {
        far = entry.0.clone();
        behind.push_front(entry);
        behind.truncate(room);
    })?;
    if seen == BEHIND_MAX {
        return Err(damage);
    }
    let (after, before) = match scan.direction {
        Direction::Forward => (near, far),
        Direction::Backward => (far, near),
    };
    tracing::error!(
        table = %scan.table,
        after = hex(&after),
        before = hex(&before),
        "a stretch of the store is damaged: run `parlance store verify`"
    );
    let gap = Gap { after, before };
    let mut within = one_by_one(overlay, scan, &gap)?;
    if scan.direction == Direction::Backward {
        within.reverse();
    }
    page.extend(within.into_iter().chain(behind));
    page.truncate(scan.limit);
    Ok((page, Some(gap)))
}

/// Looks into a gap of the log, whose keys are known: an engine reads ahead, and fails before it comes to the damage.
fn one_by_one(overlay: &Overlay, scan: Scan<'_>, gap: &Gap) -> Result<Vec<Entry>, StoreError> {
    let begin = match record::parse_log_key(&gap.after) {
        Some((conversation, seq)) => Some((conversation, seq + 1)),
        // A scan that goes on behind a key begins at that key and a zero.
        None => match scan.from.strip_suffix(&[0]).and_then(record::parse_log_key) {
            Some((conversation, seq)) => Some((conversation, seq + 1)),
            None => record::parse_log_key(scan.from),
        },
    };
    let end = record::parse_log_key(&gap.before).or_else(|| record::parse_log_key(scan.to));
    let (Table::Log, Some((conversation, first)), Some((same, end))) = (scan.table, begin, end) else {
        return Ok(Vec::new());
    };
    if same != conversation {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for seq in first..end.min(first.saturating_add(WITHIN_MAX)) {
        let key = record::log_key(conversation, seq);
        match overlay.get(scan.table, &key) {
            Ok(Some(value)) => found.push((Bytes::copy_from_slice(&key), value)),
            Ok(None) | Err(StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Visits what can be read from one side, up to the damage, the end, or `max`. Answers how many that were.
fn walk(
    overlay: &Overlay,
    scan: Scan<'_>,
    max: usize,
    mut visit: impl FnMut(Entry),
) -> Result<usize, StoreError> {
    let (mut from, mut to) = (scan.from.to_vec(), scan.to.to_vec());
    let (mut step, mut seen) = (PAGE, 0);
    while seen < max {
        let limit = step.min(max - seen);
        let page = match overlay.scan(Scan { from: &from, to: &to, limit, ..scan }) {
            Ok(page) => page,
            Err(StoreError::Damaged { .. }) if limit > 1 => {
                step = limit / 2;
                continue;
            }
            Err(StoreError::Damaged { .. }) => break,
            Err(error) => return Err(error),
        };
        let (whole, Some((last, _))) = (page.len() < limit, page.last()) else { break };
        match scan.direction {
            Direction::Forward => {
                from = last.to_vec();
                from.push(0);
            }
            Direction::Backward => to = last.to_vec(),
        }
        seen += page.len();
        page.into_iter().for_each(&mut visit);
        if whole {
            break;
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_plugin_api::store::{Guarantees, Position, Store, Write};
    use std::{ops::Range, sync::Arc};

    /// Keys 0 to 99, of which some are in a damaged block.
    struct Damaged(Range<u8>);

    impl Store for Damaged {
        fn get(&self, _: Table, _: &[u8]) -> Result<Option<Bytes>, StoreError> {
            Ok(None)
        }

        fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
            let within = |key: &u8| {
                let key: &[u8] = std::slice::from_ref(key);
                key >= scan.from && (scan.to.is_empty() || key < scan.to)
            };
            let mut keys: Vec<u8> = (0..100).filter(within).collect();
            if scan.direction == Direction::Backward {
                keys.reverse();
            }
            let read = |key: u8| match self.0.contains(&key) {
                true => {
                    Err(StoreError::Damaged { table: scan.table, key: Bytes::new(), problem: "its block" })
                }
                false => Ok((Bytes::from(vec![key]), Bytes::new())),
            };
            keys.into_iter().take(scan.limit).map(read).collect()
        }

        fn apply(&self, _: &[Write], _: Position) -> Result<(), StoreError> {
            Ok(())
        }

        fn applied(&self) -> Result<Position, StoreError> {
            Ok(Position(0))
        }

        fn sync(&self) -> Result<Position, StoreError> {
            Ok(Position(0))
        }

        fn guarantees(&self) -> Guarantees {
            Guarantees { engine: "damaged", warning: None }
        }
    }

    fn scanned(
        damaged: Range<u8>,
        from: u8,
        to: u8,
        direction: Direction,
        limit: usize,
    ) -> (Vec<u8>, Option<Gap>) {
        let overlay = Overlay::new(Arc::new(Damaged(damaged)), Position(0));
        let scan = Scan { table: Table::Log, from: &[from], to: &[to], direction, limit };
        let (page, gap) = scan_around(&overlay, scan).unwrap();
        (page.iter().map(|(key, _)| key[0]).collect(), gap)
    }

    #[test]
    fn what_is_around_the_damage_is_read() {
        let whole = |range: Range<u8>| (0..100).filter(|key| !range.contains(key)).collect::<Vec<u8>>();
        for damaged in [0..1, 0..7, 40..41, 40..60, 93..100, 99..100] {
            let (page, gap) = scanned(damaged.clone(), 0, 100, Direction::Forward, 100);
            assert_eq!(page, whole(damaged.clone()));
            let gap = gap.unwrap();
            assert_eq!(gap.after.first().map_or(0, |key| key + 1), damaged.start);
            assert_eq!(gap.before.first().map_or(100, |key| *key), damaged.end);
            let (mut page, backward) = scanned(damaged.clone(), 0, 100, Direction::Backward, 100);
            page.reverse();
            assert_eq!((page, backward), (whole(damaged), Some(gap)));
        }
    }

    #[test]
    fn a_page_is_filled_from_behind_the_damage() {
        let (page, _) = scanned(10..20, 8, 100, Direction::Forward, 5);
        assert_eq!(page, [8, 9, 20, 21, 22]);
        let (page, _) = scanned(10..20, 0, 22, Direction::Backward, 5);
        assert_eq!(page, [21, 20, 9, 8, 7]);
        assert_eq!(scanned(10..20, 30, 40, Direction::Forward, 5), (vec![30, 31, 32, 33, 34], None));
        assert!(scanned(0..100, 0, 100, Direction::Forward, 5).0.is_empty());
    }
}
