//! Whether the deliveries of one device come in their order and without a hole.

use std::collections::{BTreeSet, HashMap};

/// Own messages that are remembered in each conversation; what comes again after a reconnect is younger than these.
const OWN_MAX: usize = 1_000;

#[derive(Default)]
struct Conversation {
    /// The newest that came.
    newest: u64,
    /// The last that came on this connection.
    here: Option<u64>,
    /// Sent by this device, to which they do not come.
    own: BTreeSet<u64>,
}

impl Conversation {
    /// The one that comes after this one.
    fn after(&self, seq: u64) -> u64 {
        (seq + 1..).find(|seq| !self.own.contains(seq)).expect("numbers do not end")
    }
}

/// What one device has received.
#[derive(Default)]
pub(super) struct Order(HashMap<String, Conversation>);

impl Order {
    /// It is connected anew: some may come again.
    pub(super) fn reconnected(&mut self) {
        self.0.values_mut().for_each(|conversation| conversation.here = None);
    }

    /// The device has sent this one itself.
    pub(super) fn sent(&mut self, conversation: &str, seq: u64) {
        let own = &mut self.0.entry(conversation.to_owned()).or_default().own;
        own.insert(seq);
        if own.len() > OWN_MAX {
            own.pop_first();
        }
    }

    /// This one has come.
    ///
    /// # Panics
    /// If another one should have.
    pub(super) fn came(&mut self, conversation: &str, seq: u64) {
        let known = self.0.entry(conversation.to_owned()).or_default();
        match known.here {
            Some(last) => assert_eq!(seq, known.after(last), "{conversation}: after {last}"),
            None => {
                let next = known.after(known.newest);
                assert!(seq <= next, "{conversation}: {seq} comes where {next} is to come");
            }
        }
        known.here = Some(seq);
        known.newest = known.newest.max(seq);
    }
}

#[test]
fn holes_and_repetitions_are_found() {
    let fails = |steps: &[&str]| {
        let steps = steps.to_vec();
        std::panic::catch_unwind(move || {
            let mut order = Order::default();
            for step in steps {
                match step.split_once(' ') {
                    Some(("sent", seq)) => order.sent("c", seq.parse().expect("a seq")),
                    Some((_, seq)) => order.came("c", seq.parse().expect("a seq")),
                    None => order.reconnected(),
                }
            }
        })
        .is_err()
    };
    assert!(!fails(&["came 1", "sent 2", "sent 3", "came 4", "reconnected", "came 1", "came 4", "came 5"]));
    assert!(fails(&["came 1", "came 3"]));
    assert!(fails(&["came 1", "came 1"]));
    assert!(fails(&["came 1", "reconnected", "came 3"]));
    assert!(fails(&["came 1", "came 2", "reconnected", "came 1", "came 3"]));
}
