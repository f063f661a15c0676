//! What a person has found out about an aim that is not reached: sections of `bench/held-back.md`, beside the charts.
//! They are the one part of the report that the suite cannot write.

use std::{collections::BTreeMap, fs, io, path::Path};

/// The notes, by the id of their criterion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Notes(BTreeMap<String, String>);

impl Notes {
    /// A file that is not there has no notes.
    pub(crate) fn read(file: &Path) -> io::Result<Self> {
        match fs::read_to_string(file) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// `## id` begins a note.
    pub(crate) fn parse(text: &str) -> Self {
        let sections = text.split("\n## ").skip(usize::from(!text.starts_with("## ")));
        let sections = sections.filter_map(|section| {
            let (id, body) = section.trim_start_matches("## ").split_once('\n')?;
            Some((id.trim().to_owned(), body.trim().to_owned()))
        });
        Self(sections.collect())
    }

    pub(crate) fn get(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_what_stands_below_its_id() {
        let notes =
            Notes::parse("# What holds back\n\nRead me.\n\n## chat-16\n\nTwo\nlines.\n\n## cpu\nOne.\n");
        assert_eq!(notes.get("chat-16"), Some("Two\nlines."));
        assert_eq!(notes.get("cpu"), Some("One."));
        assert_eq!(notes.get("idle"), None);
        assert_eq!(Notes::parse("## first\nx").get("first"), Some("x"));
    }

    #[test]
    fn no_file_is_no_notes() {
        assert_eq!(Notes::read(Path::new("/nowhere/held-back.md")).unwrap(), Notes::default());
    }
}
