//! Whether what arrives is what was sent: each message once, none missing, in order.

use std::collections::BTreeMap;

/// What one client has received, flow by flow.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    tracks: Vec<Track>,
    /// Messages of a flow that were jumped over: `(flow, from) → to`. Empty as long as the broker keeps order.
    gaps: BTreeMap<(u32, u32), u32>,
    /// Where the last message was found: most clients hear one flow, and others hear flows in runs.
    last: usize,
    /// Different messages that came.
    pub(crate) unique: u64,
    /// Different messages that shall have come; 0 while nobody knows.
    pub(crate) owed: u64,
}

#[derive(Debug)]
struct Track {
    flow: u32,
    /// One above the greatest counter that came.
    next: u32,
}

/// What a message is to the client that hears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The next one.
    InOrder,
    /// A later one: others are missing now.
    Ahead,
    /// One that was missing: too late, out of order.
    Late,
    /// One that has come before.
    Duplicate,
    /// Of a flow that is not for this client.
    Foreign,
}

impl Inbound {
    /// This flow is for this client. Flows are added in ascending order.
    pub(crate) fn expect_flow(&mut self, flow: u32) {
        debug_assert!(self.tracks.last().is_none_or(|track| track.flow < flow));
        self.tracks.push(Track { flow, next: 0 });
    }

    /// Takes note of a message.
    pub(crate) fn see(&mut self, flow: u32, counter: u32) -> Seen {
        let Some(place) = self.place(flow) else { return Seen::Foreign };
        self.last = place;
        let track = &mut self.tracks[place];
        let seen = if counter == track.next {
            track.next += 1;
            Seen::InOrder
        } else if counter > track.next {
            self.gaps.insert((flow, track.next), counter);
            track.next = counter + 1;
            Seen::Ahead
        } else {
            self.fill(flow, counter)
        };
        self.unique += u64::from(seen != Seen::Duplicate);
        seen
    }

    /// The messages of a flow that did not come, as ranges, `sent` having been sent.
    pub(crate) fn missing(&self, flow: u32, sent: u32) -> impl Iterator<Item = (u32, u32)> {
        let next = self.place(flow).map_or(0, |place| self.tracks[place].next);
        let gaps = self.gaps.range((flow, 0)..=(flow, u32::MAX)).map(|(&(_, from), &to)| (from, to));
        gaps.chain((next < sent).then_some((next, sent)))
    }

    fn place(&self, flow: u32) -> Option<usize> {
        if self.tracks.get(self.last).is_some_and(|track| track.flow == flow) {
            return Some(self.last);
        }
        self.tracks.binary_search_by_key(&flow, |track| track.flow).ok()
    }

    fn fill(&mut self, flow: u32, counter: u32) -> Seen {
        let gap = self.gaps.range((flow, 0)..=(flow, counter)).next_back();
        let Some((from, to)) = gap.map(|(&(_, from), &to)| (from, to)).filter(|&(_, to)| counter < to) else {
            return Seen::Duplicate;
        };
        self.gaps.remove(&(flow, from));
        if from < counter {
            self.gaps.insert((flow, from), counter);
        }
        if counter + 1 < to {
            self.gaps.insert((flow, counter + 1), to);
        }
        Seen::Late
    }
}

/// What went wrong, of all clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Came again.
    pub duplicated: u64,
    /// Came after a later one.
    pub disordered: u64,
    /// Came to a client for which it was not meant.
    pub foreign: u64,
    /// Publishes that were answered with an error, and the last code.
    pub refused: u64,
    /// The last reason code of a refused publish.
    pub refused_code: u8,
    /// Acknowledgements of what was not waiting for one.
    pub acknowledged_twice: u64,
    /// Connections that ended by themselves.
    pub closed: u64,
    /// How the last of them ended.
    pub closed_why: Option<String>,
    /// Durable sessions that were not there at the return.
    pub sessions_lost: u64,
    /// Messages of a fixed rate that could not be sent because the window was full.
    pub held_back: u64,
}

impl Faults {
    pub(crate) fn add(&mut self, other: &Self) {
        self.duplicated += other.duplicated;
        self.disordered += other.disordered;
        self.foreign += other.foreign;
        self.refused += other.refused;
        self.refused_code = self.refused_code.max(other.refused_code);
        self.acknowledged_twice += other.acknowledged_twice;
        self.closed += other.closed;
        if other.closed_why.is_some() {
            self.closed_why.clone_from(&other.closed_why);
        }
        self.sessions_lost += other.sessions_lost;
        self.held_back += other.held_back;
    }

    /// Each in words.
    pub fn describe(&self) -> Vec<String> {
        let refused = format!("publishes refused (last 0x{:02X})", self.refused_code);
        let closed = format!("connections lost (last: {})", self.closed_why.as_deref().unwrap_or("closed"));
        let counts = [
            (self.duplicated, "messages came twice"),
            (self.disordered, "messages out of order"),
            (self.foreign, "messages to the wrong client"),
            (self.refused, &refused),
            (self.acknowledged_twice, "acknowledgements of nothing"),
            (self.closed, &closed),
            (self.sessions_lost, "sessions gone"),
            (self.held_back, "messages held back by a full window"),
        ];
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbound() -> Inbound {
        let mut inbound = Inbound::default();
        inbound.expect_flow(3);
        inbound.expect_flow(8);
        inbound
    }

    fn lost(inbound: &Inbound, flow: u32, sent: u32) -> u32 {
        inbound.missing(flow, sent).map(|(from, to)| to - from).sum()
    }

    #[test]
    fn order_kept_is_no_fault() {
        let mut inbound = inbound();
        for counter in 0..100 {
            assert_eq!(inbound.see(3, counter), Seen::InOrder);
            assert_eq!(inbound.see(8, counter), Seen::InOrder);
        }
        assert_eq!((inbound.unique, lost(&inbound, 3, 100), lost(&inbound, 8, 100)), (200, 0, 0));
    }

    #[test]
    fn loss_is_found_in_the_middle_and_at_the_end() {
        let mut inbound = inbound();
        for counter in (0..10).filter(|counter| ![4, 5, 7].contains(counter)) {
            inbound.see(8, counter);
        }
        assert_eq!(inbound.missing(8, 12).collect::<Vec<_>>(), [(4, 6), (7, 8), (10, 12)]);
        assert_eq!(lost(&inbound, 3, 6), 6);
        assert_eq!(inbound.unique, 7);
    }

    #[test]
    fn a_duplicate_is_found_and_not_counted() {
        let mut inbound = inbound();
        assert_eq!(inbound.see(3, 0), Seen::InOrder);
        assert_eq!(inbound.see(3, 0), Seen::Duplicate);
        assert_eq!(inbound.see(3, 2), Seen::Ahead);
        assert_eq!(inbound.see(3, 2), Seen::Duplicate);
        assert_eq!((inbound.unique, lost(&inbound, 3, 3)), (2, 1));
    }

    #[test]
    fn disorder_is_found_and_is_no_loss() {
        let mut inbound = inbound();
        let order = [0, 5, 3, 1, 4, 2];
        let seen: Vec<_> = order.iter().map(|&counter| inbound.see(3, counter)).collect();
        use Seen::*;
        assert_eq!(seen, [InOrder, Ahead, Late, Late, Late, Late]);
        assert_eq!((lost(&inbound, 3, 6), inbound.unique), (0, 6));
        assert_eq!(inbound.see(3, 4), Duplicate);
    }

    #[test]
    fn what_is_for_others_is_found() {
        assert_eq!(inbound().see(4, 0), Seen::Foreign);
    }

    #[test]
    fn only_what_happened_is_described() {
        assert!(Faults::default().describe().is_empty());
        let mut faults = Faults { duplicated: 2, ..Faults::default() };
        faults.add(&Faults { duplicated: 1, refused: 1, refused_code: 0x97, ..Faults::default() });
        assert_eq!(faults.describe(), ["3 messages came twice", "1 publishes refused (last 0x97)"]);
    }
}
