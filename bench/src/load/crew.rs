//! All clients of a case, on as many threads as it wants.

use super::{
    Endpoint, LoadError, Stats,
    check::Faults,
    fleet::Fleet,
    wire::{Plan, Version},
};
use std::{
    io,
    ops::{AddAssign, Range},
    thread,
    time::{Duration, Instant},
};

/// The clients, the flows between them, and what is known of both.
///
/// Clients are numbered in the order in which they are added. Each call returns when its phase is over; between two
/// calls nothing is read or written.
#[derive(Debug)]
pub struct Crew {
    fleets: Vec<Fleet>,
    clients: usize,
    flows: Vec<Flow>,
    payload_bytes: usize,
    patience: Duration,
}

/// One sender's messages to one topic.
#[derive(Debug)]
struct Flow {
    sender: usize,
    lane: usize,
    readers: Range<usize>,
}

/// What became of all messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Publishes that were made.
    pub sent: u64,
    /// Those that the broker acknowledged.
    pub acknowledged: u64,
    /// Deliveries that an acknowledged publish promised and that did not come.
    pub lost: u64,
    /// Deliveries of publishes that were never acknowledged and did not come: nothing was promised.
    pub unpromised: u64,
}

impl AddAssign for Losses {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.unpromised += other.unpromised;
    }
}

impl Crew {
    /// On so many threads.
    ///
    /// # Errors
    /// If the kernel gives no poll.
    pub fn new(
        endpoint: &Endpoint,
        version: Version,
        threads: usize,
        payload_bytes: usize,
        patience: Duration,
    ) -> io::Result<Self> {
        let origin = Instant::now();
        let fleet = |_| Fleet::new(endpoint.clone(), version, payload_bytes, origin);
        let fleets = (0..threads.max(1)).map(fleet).collect::<io::Result<_>>()?;
        Ok(Self { fleets, clients: 0, flows: Vec::new(), payload_bytes, patience })
    }

    /// One more client; answers its number.
    pub fn add(&mut self, plan: Plan) -> usize {
        let client = self.clients;
        let (fleet, _) = self.place(client);
        self.fleets[fleet].add(plan);
        self.clients += 1;
        client
    }

    /// More clients, numbered in their order.
    pub fn add_all(&mut self, plans: impl IntoIterator<Item = Plan>) {
        for plan in plans {
            self.add(plan);
        }
    }

    /// `sender` writes to `topic`, `limit` messages at most, and `readers` hear it. The window is the sender's,
    /// whose first flow sets it.
    pub fn flow(
        &mut self,
        sender: usize,
        window: u16,
        topic: &str,
        limit: u32,
        readers: Range<usize>,
    ) -> usize {
        let flow = self.flows.len();
        let number = u32::try_from(flow).expect("fewer flows than stamps can name");
        let (fleet, place) = self.place(sender);
        let payload_bytes = self.payload_bytes;
        let lane = self.fleets[fleet].publisher(place, window).add(number, topic, payload_bytes, limit);
        for reader in readers.clone() {
            let (fleet, place) = self.place(reader);
            self.fleets[fleet].clients[place].inbound.expect_flow(number);
        }
        self.flows.push(Flow { sender, lane, readers });
        flow
    }

    /// So many messages more than were sent, for these flows.
    pub fn send_more(&mut self, flows: Range<usize>, messages: u32) {
        for flow in flows {
            let (sender, lane) = (self.flows[flow].sender, self.flows[flow].lane);
            let (fleet, place) = self.place(sender);
            let publisher = self.fleets[fleet].publisher(place, 1);
            let limit = publisher.sent(lane).saturating_add(messages);
            publisher.limit(lane, limit);
        }
    }

    /// Connects these, so many at once, and waits until all are let in and subscribed.
    ///
    /// # Errors
    /// If one is not let in, or nothing happens for too long.
    pub fn connect(&mut self, clients: Range<usize>, at_once: usize) -> Result<(), LoadError> {
        let (patience, count) = (self.patience, self.fleets.len());
        self.each(move |number, fleet| {
            let mine = share(&clients, number, count);
            fleet.connect(&mine, at_once.div_ceil(count), patience)
        })
    }

    /// Says goodbye for these.
    pub fn disconnect(&mut self, clients: Range<usize>) {
        let count = self.fleets.len();
        for (number, fleet) in self.fleets.iter_mut().enumerate() {
            fleet.disconnect(&share(&clients, number, count));
        }
    }

    /// Closes the sockets of these without a goodbye.
    pub fn cut(&mut self, clients: Range<usize>) {
        let count = self.fleets.len();
        for (number, fleet) in self.fleets.iter_mut().enumerate() {
            fleet.cut(&share(&clients, number, count));
        }
    }

    /// Connections that are open.
    pub fn open(&self) -> u64 {
        self.fleets.iter().map(Fleet::open).sum()
    }

    /// Whether a client is let in and subscribed.
    pub fn is_ready(&self, client: usize) -> bool {
        let (fleet, place) = self.place(client);
        self.fleets[fleet].is_ready(place)
    }

    /// Clients connect there from now on.
    pub fn point_at(&mut self, endpoint: &Endpoint) {
        for fleet in &mut self.fleets {
            fleet.point_at(endpoint.clone());
        }
    }

    /// All windows are kept full from the next phase on.
    pub fn publish(&mut self) {
        self.fleets.iter_mut().for_each(Fleet::publish);
    }

    /// So many messages leave in a second from the next phase on.
    ///
    /// # Errors
    /// If the kernel gives no timer.
    pub fn publish_at(&mut self, per_second: f64) -> io::Result<()> {
        let each = per_second / self.fleets.len() as f64;
        self.fleets.iter_mut().try_for_each(|fleet| fleet.publish_at(each))
    }

    /// Nothing new is sent.
    pub fn pause(&mut self) {
        self.fleets.iter_mut().for_each(Fleet::pause);
    }

    /// Serves the clients for so long; answers how long it was.
    ///
    /// # Errors
    /// If the poll fails.
    pub fn run_for(&mut self, time: Duration) -> Result<Duration, LoadError> {
        let begin = Instant::now();
        self.each(move |_, fleet| Ok(fleet.run_for(time)?))?;
        Ok(begin.elapsed())
    }

    /// Serves the clients until no connection is left, and does something meanwhile on this thread.
    ///
    /// # Errors
    /// If the poll fails.
    pub fn run_while_open<R>(
        &mut self,
        longest: Duration,
        meanwhile: impl FnOnce() -> R,
    ) -> Result<R, LoadError> {
        thread::scope(|scope| {
            let run = |fleet| scope.spawn(move || Fleet::run_while_open(fleet, longest));
            let running: Vec<_> = self.fleets.iter_mut().map(run).collect();
            let answer = meanwhile();
            for thread in running {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(answer)
        })
    }

    /// Until all that is to be sent has been acknowledged.
    ///
    /// # Errors
    /// If nothing happens for too long.
    pub fn run_until_acknowledged(&mut self) -> Result<(), LoadError> {
        let patience = self.patience;
        self.each(move |_, fleet| fleet.run_until_acknowledged(patience))
    }

    /// Until nothing has come for so long.
    ///
    /// # Errors
    /// If the poll fails.
    pub fn run_until_quiet(&mut self, quiet: Duration) -> Result<(), LoadError> {
        self.each(move |_, fleet| Ok(fleet.run_until_quiet(quiet)?))
    }

    /// From now on every reader waits for all that was sent to it; [`Stats::caught_up`] tells when it has it.
    pub fn expect_all(&mut self) {
        let fleets = self.fleets.len();
        self.fleets.iter_mut().for_each(Fleet::owe_nothing);
        for flow in &self.flows {
            let sent = self.fleets[flow.sender % fleets].publisher(flow.sender / fleets, 1).sent(flow.lane);
            for reader in flow.readers.clone() {
                self.fleets[reader % fleets].owe(reader / fleets, sent.into());
            }
        }
        self.fleets.iter_mut().for_each(Fleet::count_behind);
    }

    /// Until every reader has what [`expect_all`](Self::expect_all) found; `false` if nothing came for too long.
    ///
    /// # Errors
    /// If the poll fails.
    pub fn run_until_heard(&mut self) -> Result<bool, LoadError> {
        let patience = self.patience;
        let mut all = true;
        for heard in self.each_answer(move |_, fleet| Ok(fleet.run_until_heard(patience)?))? {
            all &= heard;
        }
        Ok(all)
    }

    /// Stops sending and waits until everything has been acknowledged and has arrived.
    ///
    /// # Errors
    /// If acknowledgements do not come. What does not arrive is found by [`losses`](Self::losses).
    pub fn drain(&mut self) -> Result<(), LoadError> {
        self.pause();
        self.run_until_acknowledged()?;
        self.expect_all();
        self.run_until_heard()?;
        Ok(())
    }

    /// What happened since [`clear_stats`](Self::clear_stats).
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.fleets.iter().for_each(|fleet| stats.add(fleet.stats()));
        stats
    }

    /// Begins to count again.
    pub fn clear_stats(&mut self) {
        self.fleets.iter_mut().for_each(Fleet::clear_stats);
    }

    /// [`Stats::returned`] is counted from now on.
    pub fn count_from_now(&mut self) {
        self.fleets.iter_mut().for_each(Fleet::count_from_now);
    }

    /// What went wrong.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        self.fleets.iter().for_each(|fleet| faults.add(fleet.faults()));
        faults
    }

    /// Forgives what went wrong so far.
    pub fn clear_faults(&mut self) {
        self.fleets.iter_mut().for_each(Fleet::clear_faults);
    }

    /// What was sent and what of it did not arrive.
    pub fn losses(&self) -> Losses {
        self.losses_of(0..self.flows.len())
    }

    /// The same, of these flows.
    pub fn losses_of(&self, flows: Range<usize>) -> Losses {
        let mut losses = Losses::default();
        let mut open = vec![Vec::new(); self.flows.len()];
        for publisher in
            self.fleets.iter().flat_map(|fleet| &fleet.clients).filter_map(|c| c.publisher.as_deref())
        {
            for (flow, counter) in publisher.unacknowledged() {
                open[flow as usize].push(counter);
            }
        }
        for number in flows {
            let flow = &self.flows[number];
            let (fleet, place) = self.place(flow.sender);
            let publisher = self.fleets[fleet].clients[place].publisher.as_deref();
            let sent = publisher.map_or(0, |publisher| publisher.sent(flow.lane));
            let open = &open[number];
            losses.sent += u64::from(sent);
            losses.acknowledged += u64::from(sent) - open.len() as u64;
            for reader in flow.readers.clone() {
                let (fleet, place) = self.place(reader);
                let inbound = &self.fleets[fleet].clients[place].inbound;
                for (from, to) in inbound.missing(number as u32, sent) {
                    let unpromised =
                        open.iter().filter(|&&counter| (from..to).contains(&counter)).count() as u64;
                    losses.unpromised += unpromised;
                    losses.lost += u64::from(to - from) - unpromised;
                }
            }
        }
        losses
    }

    fn place(&self, client: usize) -> (usize, usize) {
        (client % self.fleets.len(), client / self.fleets.len())
    }

    fn each(
        &mut self,
        phase: impl Fn(usize, &mut Fleet) -> Result<(), LoadError> + Sync,
    ) -> Result<(), LoadError> {
        self.each_answer(phase).map(drop)
    }

    /// Runs a phase on all fleets at the same time.
    fn each_answer<R: Send>(
        &mut self,
        phase: impl Fn(usize, &mut Fleet) -> Result<R, LoadError> + Sync,
    ) -> Result<Vec<R>, LoadError> {
        if let [fleet] = &mut self.fleets[..] {
            return Ok(vec![phase(0, fleet)?]);
        }
        thread::scope(|scope| {
            let phase = &phase;
            let running: Vec<_> = self
                .fleets
                .iter_mut()
                .enumerate()
                .map(|(number, fleet)| scope.spawn(move || phase(number, fleet)))
                .collect();
            let joined = running.into_iter().map(|thread| thread.join());
            joined.map(|answer| answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }
}

/// Those among the clients that are on this thread, by their places there.
fn share(clients: &Range<usize>, number: usize, count: usize) -> Vec<usize> {
    clients.clone().filter(|client| client % count == number).map(|client| client / count).collect()
}
