//! The names of the files: a segment is described by its name alone.

const SEGMENT_SUFFIX: &str = ".journal";
const SPARE_SUFFIX: &str = ".spare";
const UNFINISHED_SUFFIX: &str = ".tmp";

/// What the name of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    /// Orders the segments; first, so that the derived order is theirs.
    pub(crate) sequence: u64,
    /// Position of the first frame.
    pub(crate) base: u64,
    /// What each frame must carry.
    pub(crate) generation: u64,
}

impl SegmentName {
    pub(crate) fn file(&self) -> String {
        format!("{:016x}-{:016x}-{:016x}{SEGMENT_SUFFIX}", self.sequence, self.base, self.generation)
    }
}

/// What a file in the folder is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Segment(SegmentName),
    Spare(u64),
    Unfinished,
    Foreign,
}

pub(crate) fn classify(file: &str) -> Kind {
    let segment = |stem: &str| {
        let mut fields = stem.split('-').map(number);
        let name =
            SegmentName { sequence: fields.next()??, base: fields.next()??, generation: fields.next()?? };
        (fields.next().is_none() && name.base > 0).then_some(Kind::Segment(name))
    };
    let known = if let Some(stem) = file.strip_suffix(SEGMENT_SUFFIX) {
        segment(stem)
    } else if let Some(stem) = file.strip_suffix(SPARE_SUFFIX) {
        number(stem).map(Kind::Spare)
    } else {
        file.strip_suffix(UNFINISHED_SUFFIX).and_then(number).map(|_| Kind::Unfinished)
    };
    known.unwrap_or(Kind::Foreign)
}

pub(crate) fn spare(number: u64) -> String {
    format!("{number:016x}{SPARE_SUFFIX}")
}

pub(crate) fn unfinished(number: u64) -> String {
    format!("{number:016x}{UNFINISHED_SUFFIX}")
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let name = SegmentName { sequence: 7, base: 1 << 40, generation: u64::MAX };
        assert_eq!(name.file(), "0000000000000007-0000010000000000-ffffffffffffffff.journal");
        assert_eq!(classify(&name.file()), Kind::Segment(name));
        assert_eq!(classify(&spare(9)), Kind::Spare(9));
        assert_eq!(classify(&unfinished(9)), Kind::Unfinished);
    }

    #[test]
    fn strangers_are_left_alone() {
        for file in ["lost+found", "a.tmp", "1-2-3.journal", "+000000000000001.spare", ".journal", "é.spare"]
        {
            assert_eq!(classify(file), Kind::Foreign, "{file}");
        }
    }
}
