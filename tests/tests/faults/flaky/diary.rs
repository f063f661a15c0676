//! What one participant said and heard, and whether that agrees with the history.

use crate::rng::Rng;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

/// A longer text is cut in its middle more often.
const PADDING_BYTES_MAX: u64 = 600;

/// A message that was sent.
#[derive(Debug)]
struct Said {
    conversation: String,
    text: String,
    acked: bool,
    /// Where it was put, if its acknowledgement said so.
    seq: Option<u64>,
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) conversation: String,
    pub(super) seq: u64,
    pub(super) text: String,
    pub(super) dup: bool,
}

/// Figures of a participant.
#[derive(Default, Clone, Copy)]
pub(super) struct Figures {
    pub(super) said: usize,
    pub(super) acked: usize,
    pub(super) heard: usize,
    /// Heard before, on an earlier connection; of these, marked with DUP.
    pub(super) again: usize,
    pub(super) again_dup: usize,
    pub(super) connections: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { said, acked, heard, again, again_dup, connections } = self;
        write!(
            f,
            "{said} said, {acked} acknowledged, {heard} heard of which {again} again ({again_dup} with DUP), "
        )?;
        write!(f, "{connections} reconnects")
    }
}

/// The diary of one participant.
#[derive(Debug, Default)]
pub(super) struct Diary {
    name: String,
    /// It promises its application to hand out nothing twice.
    once: bool,
    said: Vec<Said>,
    /// With the connection on which each came.
    heard: Vec<(u64, Heard)>,
    connections: u64,
    problems: Vec<String>,
}

/// The diary as participant and test share it.
#[derive(Debug, Clone)]
pub(super) struct Book(Arc<Mutex<Diary>>);

/// The messages of a conversation in their order: seq and text.
pub(super) type History = Vec<(u64, String)>;

/// The messages of a history as the API answers it; its other entries tell who came and went.
pub(super) fn messages(history: &[Value]) -> History {
    let message = |entry: &Value| Some((entry["seq"].as_u64()?, entry["text"].as_str()?.to_owned()));
    history.iter().filter_map(message).collect()
}

impl Book {
    pub(super) fn new(name: &str, once: bool) -> Self {
        Self(Arc::new(Mutex::new(Diary { name: name.to_owned(), once, ..Diary::default() })))
    }

    fn diary(&self) -> MutexGuard<'_, Diary> {
        self.0.lock().expect("nobody panics with it")
    }

    /// Makes the next message to this conversation: its number and its text.
    pub(super) fn say(&self, conversation: &str, rng: &mut Rng) -> (usize, String) {
        let mut diary = self.diary();
        let number = diary.said.len();
        let padding = "x".repeat(rng.within(0..PADDING_BYTES_MAX) as usize);
        let text = format!("{} {number} {padding}", diary.name);
        let conversation = conversation.to_owned();
        diary.said.push(Said { conversation, text: text.clone(), acked: false, seq: None });
        (number, text)
    }

    pub(super) fn acked(&self, number: usize, seq: Option<u64>) {
        let mut diary = self.diary();
        match diary.said.get_mut(number) {
            Some(said) if !said.acked => (said.acked, said.seq) = (true, seq),
            _ => diary.problems.push(format!("{number} was acknowledged again, or was never sent")),
        }
    }

    pub(super) fn heard(&self, heard: Heard) {
        let mut diary = self.diary();
        let connection = diary.connections;
        diary.heard.push((connection, heard));
    }

    /// What follows comes on another connection.
    pub(super) fn connected(&self) {
        self.diary().connections += 1;
    }

    pub(super) fn problem(&self, problem: String) {
        self.diary().problems.push(problem);
    }

    /// So many wait for their acknowledgement.
    pub(super) fn outstanding(&self) -> usize {
        self.diary().said.iter().filter(|said| !said.acked).count()
    }

    /// Everything that it said is acknowledged, and it has heard the last of what the others said.
    pub(super) fn is_complete(&self, histories: &HashMap<String, History>) -> bool {
        let diary = self.diary();
        let newest = |id: &str| {
            let heard = diary.heard.iter().filter(|(_, heard)| heard.conversation == id);
            heard.map(|(_, heard)| heard.seq).max()
        };
        diary.said.iter().all(|said| said.acked)
            && histories
                .iter()
                .all(|(id, history)| diary.others(history).last().map(|last| last.0) <= newest(id))
    }

    /// Compares everything with the histories of its conversations.
    ///
    /// # Panics
    /// With all that is wrong.
    pub(super) fn compare(&self, histories: &HashMap<String, History>) -> Figures {
        let mut diary = self.diary();
        let mut figures = Figures {
            said: diary.said.len(),
            acked: diary.said.iter().filter(|said| said.acked).count(),
            heard: diary.heard.len(),
            connections: diary.connections,
            ..Figures::default()
        };
        let mut problems = std::mem::take(&mut diary.problems);
        problems.extend(diary.unsaid(histories));
        for (id, history) in histories {
            problems.extend(diary.unheard(id, history, &mut figures));
        }
        if diary.once && figures.again > 0 {
            problems.push(format!("{} were handed out twice", figures.again));
        }
        let shown = &problems[..problems.len().min(10)];
        assert!(problems.is_empty(), "{}: {} problems, the first: {shown:#?}", diary.name, problems.len());
        figures
    }
}

impl Diary {
    /// The messages of a conversation that others sent: those that come to this one.
    fn others<'a>(&self, history: &'a History) -> Vec<&'a (u64, String)> {
        let own = format!("{} ", self.name);
        history.iter().filter(|(_, text)| !text.starts_with(&own)).collect()
    }

    /// What it said must be in the history once, in its order, where the acknowledgement said.
    fn unsaid(&self, histories: &HashMap<String, History>) -> Vec<String> {
        let mut problems = Vec::new();
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        let own = format!("{} ", self.name);
        let stored: usize = histories
            .values()
            .map(|history| history.iter().filter(|(_, text)| text.starts_with(&own)).count())
            .sum();
        if stored != self.said.len() {
            problems.push(format!("{} were said and {stored} are stored", self.said.len()));
        }
        let places: HashMap<(&str, &str), u64> = histories
            .iter()
            .flat_map(|(id, history)| history.iter().map(move |(seq, text)| ((&**id, &**text), *seq)))
            .collect();
        for said in &self.said {
            let Said { conversation, text, acked, seq } = said;
            let name = text.trim_end_matches('x');
            let Some(place) = places.get(&(conversation.as_str(), text.as_str())) else {
                problems.push(format!("{name} (acknowledged: {acked}) is not there"));
                continue;
            };
            if seq.is_some_and(|seq| seq != *place) {
                problems.push(format!("{name} was acknowledged as {seq:?} and is at {place}"));
            }
            if last.insert(conversation, *place).is_some_and(|last| last > *place) {
                problems.push(format!("{name} is before what was said before it"));
            }
        }
        problems
    }

    /// What others said must have come in its order and without a hole, on each connection; from one connection to the
    /// next something may come again.
    fn unheard(&self, id: &str, history: &History, figures: &mut Figures) -> Vec<String> {
        let others = self.others(history);
        let index: HashMap<u64, usize> =
            others.iter().enumerate().map(|(index, (seq, _))| (*seq, index)).collect();
        let (mut problems, mut next, mut here) = (Vec::new(), 0, None);
        for (connection, heard) in self.heard.iter().filter(|(_, heard)| heard.conversation == id) {
            let Some(&at) = index.get(&heard.seq) else {
                problems.push(format!("{} came and is not in the history", heard.seq));
                continue;
            };
            if others[at].1 != heard.text {
                problems.push(format!("{} came with another text", heard.seq));
            }
            let in_order = match here.replace((*connection, at)) {
                Some((before, last)) if before == *connection => at == last + 1,
                _ => at <= next,
            };
            if !in_order {
                problems.push(format!(
                    "{} came on connection {connection} where {next} others were heard",
                    heard.seq
                ));
            }
            if at < next {
                figures.again += 1;
                figures.again_dup += usize::from(heard.dup);
            }
            next = next.max(at + 1);
        }
        if next != others.len() {
            problems.push(format!("{next} of {} were heard in {id}", others.len()));
        }
        problems
    }
}

#[test]
fn a_diary_finds_what_is_wrong() {
    let text = |seq: u64| format!("ben {seq}");
    let history: History = (1..=4).map(|seq| (seq, text(seq))).collect();
    let found = |heard: &[(u64, u64)]| {
        let heard = heard.iter().map(|&(connection, seq)| {
            (connection, Heard { conversation: "g".into(), seq, text: text(seq), dup: false })
        });
        let diary = Diary { name: "anna".into(), heard: heard.collect(), ..Diary::default() };
        let mut figures = Figures::default();
        (diary.unheard("g", &history, &mut figures).len(), figures.again)
    };
    assert_eq!(found(&[(1, 1), (1, 2), (1, 3), (1, 4)]), (0, 0));
    assert_eq!(found(&[(1, 1), (1, 2), (2, 2), (2, 3), (2, 4)]), (0, 1), "again after a reconnect");
    assert_eq!(found(&[(1, 1), (1, 2), (1, 2), (1, 3), (1, 4)]).0, 1, "again on one connection");
    assert_eq!(found(&[(1, 1), (1, 3), (1, 4)]).0, 1, "a hole");
    assert_eq!(found(&[(1, 1), (2, 3), (2, 4)]).0, 1, "a hole between two connections");
    assert_eq!(found(&[(1, 1), (1, 2), (1, 3)]).0, 1, "the last is missing");
    let said = |texts: &[&str]| {
        let said = texts.iter().map(|text| Said {
            conversation: "g".into(),
            text: (*text).to_owned(),
            acked: true,
            seq: None,
        });
        let diary = Diary { name: "ben".into(), said: said.collect(), ..Diary::default() };
        diary.unsaid(&HashMap::from([("g".to_owned(), history.clone())])).len()
    };
    assert_eq!(said(&["ben 1", "ben 2", "ben 3", "ben 4"]), 0);
    assert_eq!(said(&["ben 1", "ben 3", "ben 2", "ben 4"]), 1, "in another order");
    assert_eq!(said(&["ben 1", "ben 2", "ben 3"]), 1, "one was stored that was not said, or twice");
    assert_eq!(said(&["ben 1", "ben 2", "ben 3", "ben 4", "ben 5"]), 2, "one is lost");
}
