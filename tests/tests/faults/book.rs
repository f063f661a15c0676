//! What was sent and what was answered, and whether a history agrees with it.

use parlance_schema::{
    api::Messages,
    pb::{Kind, Message},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Where a message was sent and what its acknowledgements said.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// `@handle` of the group, or of the sender: how the subscriber names the conversation.
    pub(crate) conversation: String,
    pub(crate) acked: bool,
    /// The seq of the first acknowledgement that named one.
    pub(crate) seq: Option<u64>,
}

#[derive(Default)]
struct State {
    /// By text: every text is sent as one message only.
    sent: HashMap<String, Entry>,
    /// Acknowledged since they were last taken.
    fresh: Vec<String>,
    counts: Counts,
    problems: Vec<String>,
}

/// Figures of a run.
#[derive(Default, Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) acked: u64,
    /// Sent once more: after a broken connection, or on purpose although acknowledged.
    pub(crate) resent: u64,
    /// Acknowledgements that said "repeated".
    pub(crate) repeated: u64,
    /// Acknowledged, sent once more, and given the same seq again.
    pub(crate) confirmed: u64,
}

/// The book of one run.
#[derive(Default)]
pub(crate) struct Book(Mutex<State>);

/// What an acknowledgement said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acked {
    pub(crate) seq: Option<u64>,
    pub(crate) repeated: bool,
}

impl Book {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sent(&self, text: &str, conversation: &str) {
        let mut state = self.state();
        state.counts.sent += 1;
        let entry = Entry { conversation: conversation.to_owned(), acked: false, seq: None };
        assert!(
            state.sent.insert(text.to_owned(), entry).is_none(),
            "the test sent {text:?} as two messages"
        );
    }

    pub(crate) fn resent(&self) {
        self.state().counts.resent += 1;
    }

    pub(crate) fn acked(&self, text: &str, acked: Acked) {
        let mut state = self.state();
        let State { sent, fresh, counts, problems } = &mut *state;
        let Some(entry) = sent.get_mut(text) else {
            return problems.push(format!("{text:?} was never sent"));
        };
        counts.repeated += u64::from(acked.repeated);
        if entry.acked {
            counts.confirmed += 1;
            if acked.seq.is_some() && !acked.repeated {
                problems
                    .push(format!("{text:?} was acknowledged before, and its retry is not called repeated"));
            }
        } else {
            counts.acked += 1;
            entry.acked = true;
            fresh.push(text.to_owned());
        }
        match (entry.seq, acked.seq) {
            (Some(first), Some(now)) if first != now => {
                problems.push(format!("{text:?} had seq {first} and has {now} after a retry"));
            }
            (None, now) => entry.seq = now,
            _ => {}
        }
    }

    pub(crate) fn problem(&self, problem: String) {
        self.state().problems.push(problem);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// What is acknowledged now.
    pub(crate) fn acknowledged(&self) -> HashMap<String, Entry> {
        let sent = &self.state().sent;
        sent.iter()
            .filter(|(_, entry)| entry.acked)
            .map(|(text, entry)| (text.clone(), entry.clone()))
            .collect()
    }

    /// What was acknowledged since this was last asked.
    pub(crate) fn take_fresh(&self) -> HashMap<String, Entry> {
        let mut state = self.state();
        let fresh = std::mem::take(&mut state.fresh);
        fresh.into_iter().filter_map(|text| Some((text.clone(), state.sent.get(&text)?.clone()))).collect()
    }

    /// Fails with everything that was noticed so far.
    pub(crate) fn assert_sound(&self) {
        let problems = &self.state().problems;
        assert!(
            problems.is_empty(),
            "{} problems, the first: {:#?}",
            problems.len(),
            &problems[..problems.len().min(10)]
        );
    }

    /// Compares a conversation's whole history with what was sent there: dense, each message once, each at its seq.
    pub(crate) fn compare(&self, conversation: &str, history: &History) {
        let mut state = self.state();
        let State { sent, problems, .. } = &mut *state;
        for (text, seq) in &history.by_text {
            match sent.get(text) {
                None => problems.push(format!("{conversation} {seq}: {text:?} was never sent")),
                Some(entry) if entry.conversation != conversation => {
                    problems
                        .push(format!("{conversation} {seq}: {text:?} was sent to {}", entry.conversation));
                }
                Some(entry) if entry.seq.is_some_and(|named| named != *seq) => {
                    problems
                        .push(format!("{conversation} {seq}: {text:?} was acknowledged as {:?}", entry.seq));
                }
                Some(_) => {}
            }
        }
        problems.extend(history.problems.iter().map(|problem| format!("{conversation} {problem}")));
        let missing = missing(sent.iter().filter(|(_, entry)| entry.conversation == conversation), history);
        problems.extend(missing);
    }
}

/// Which of these acknowledged messages a history does not have at their seq.
pub(crate) fn missing<'a>(
    sent: impl IntoIterator<Item = (&'a String, &'a Entry)>,
    history: &History,
) -> Vec<String> {
    let lost = |(text, entry): (&String, &Entry)| match history.by_text.get(text) {
        Some(seq) if entry.seq.is_none_or(|named| named == *seq) => None,
        found => Some(format!(
            "{}: {text:?} was acknowledged ({:?}), found at {found:?}",
            entry.conversation, entry.seq
        )),
    };
    sent.into_iter().filter(|(_, entry)| entry.acked).filter_map(lost).collect()
}

/// A conversation's history, read page by page.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) head: u64,
    pub(crate) by_text: BTreeMap<String, u64>,
    pub(crate) unreadable: Vec<u64>,
    /// The last seq that was read.
    pub(crate) last: u64,
    problems: Vec<String>,
}

impl History {
    /// Adds the page that follows (asked for with `after = last`). Answers whether there is more.
    pub(crate) fn add(&mut self, page: Messages) -> bool {
        self.head = page.head;
        for message in page.messages {
            self.add_message(message);
        }
        if !page.more && self.last != self.head {
            self.problems.push(format!("ends at {} and its head is {}", self.last, self.head));
        }
        page.more
    }

    fn add_message(&mut self, message: Message) {
        let Message { seq, kind, text, .. } = message;
        if seq != self.last + 1 {
            self.problems.push(format!("{seq} follows {}", self.last));
        }
        self.last = seq;
        match Kind::try_from(kind) {
            Ok(Kind::Message) => {
                if let Some(first) = self.by_text.insert(text.clone(), seq) {
                    self.problems.push(format!("{text:?} is at {first} and at {seq}"));
                }
            }
            Ok(Kind::Change) => {}
            Ok(Kind::Unreadable) | Err(_) => self.unreadable.push(seq),
        }
    }

    /// Whether nothing was wrong with it: dense, nothing twice.
    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }
}
