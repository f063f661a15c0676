//! The clients of one thread, and the loop that serves them.

use super::{
    LoadError,
    client::{Client, State},
    link::Endpoint,
    pace::Pace,
    publisher::Publisher,
    shared::{Shared, Stats},
    wire::{Plan, Version},
};
use crate::load::check::Faults;
use mio::{Events, Poll, Token};
use std::{
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

/// Bytes that are read at once, from whichever socket.
const READ_BUFFER_BYTES: usize = 512 * 1024;
/// Sockets that are served before the kernel is asked again.
const EVENTS: usize = 1_024;
/// The longest sleep in which a fleet does not look whether it has waited too long.
const NAP: Duration = Duration::from_millis(100);
/// Connections that may fail while clients connect: these, and one in so many.
const RETRIES: usize = 3;
const CLIENTS_PER_RETRY: usize = 5;
const TIMER: Token = Token(usize::MAX - 1);

#[derive(Debug)]
pub(super) struct Fleet {
    poll: Poll,
    events: Events,
    buffer: Box<[u8]>,
    endpoint: Endpoint,
    pub(super) clients: Vec<Client>,
    shared: Shared,
    pace: Option<Pace>,
}

impl Fleet {
    pub(super) fn new(
        endpoint: Endpoint,
        version: Version,
        payload_bytes: usize,
        origin: Instant,
    ) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            buffer: vec![0; READ_BUFFER_BYTES].into(),
            endpoint,
            clients: Vec::new(),
            shared: Shared::new(version, payload_bytes, origin),
            pace: None,
        })
    }

    /// One more client; answers which of this fleet it is.
    pub(super) fn add(&mut self, plan: Plan) -> usize {
        self.clients.push(Client::new(plan));
        self.clients.len() - 1
    }

    /// The sending side of a client, made if it has none.
    pub(super) fn publisher(&mut self, client: usize, window: u16) -> &mut Publisher {
        let version = self.shared.version;
        let publisher = &mut self.clients[client].publisher;
        publisher.get_or_insert_with(|| Box::new(Publisher::new(version, window)))
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    pub(super) fn clear_stats(&mut self) {
        self.shared.stats.clear();
    }

    pub(super) fn count_from_now(&mut self) {
        self.shared.tell_time();
        self.shared.counted_from_ns = self.shared.now_ns;
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    pub(super) fn clear_faults(&mut self) {
        self.shared.faults = Faults::default();
    }

    /// Connections that are open.
    pub(super) fn open(&self) -> u64 {
        self.shared.open
    }

    /// Clients connect to this address from now on.
    pub(super) fn point_at(&mut self, endpoint: Endpoint) {
        self.endpoint = endpoint;
    }

    /// Connects these clients, so many at once; returns when all are let in and subscribed. Who is turned away tries
    /// again, as a device would.
    pub(super) fn connect(
        &mut self,
        clients: &[usize],
        at_once: usize,
        patience: Duration,
    ) -> Result<(), LoadError> {
        let ready = self.shared.ready;
        let closed = self.shared.faults.closed;
        let mut retries = clients.len() / CLIENTS_PER_RETRY + RETRIES;
        let mut begun = 0;
        let mut watch = Watch::new(patience);
        loop {
            let done = self.shared.ready.saturating_sub(ready) as usize;
            if done >= clients.len() {
                return Ok(());
            }
            while begun < clients.len() && begun - done < at_once {
                self.open_one(clients[begun])?;
                begun += 1;
            }
            self.turn(NAP)?;
            if self.shared.faults.closed > closed {
                self.shared.faults.closed = closed;
                self.try_again(&clients[..begun], &mut retries)?;
            }
            watch.look(self.shared.progress(), "connections")?;
        }
    }

    /// Opens those that have no connection, as long as there are tries left.
    fn try_again(&mut self, clients: &[usize], retries: &mut usize) -> Result<(), LoadError> {
        for &client in clients {
            if self.clients[client].state != State::Away {
                continue;
            }
            if *retries == 0 {
                let why = self.shared.faults.closed_why.take().unwrap_or_default();
                return Err(LoadError::NotLetIn { why });
            }
            *retries -= 1;
            self.shared.stats.retries += 1;
            self.open_one(client)?;
        }
        Ok(())
    }

    fn open_one(&mut self, client: usize) -> io::Result<()> {
        self.shared.tell_time();
        let now_ns = self.shared.now_ns;
        self.clients[client].open(self.poll.registry(), Token(client), &self.endpoint, now_ns)?;
        self.shared.open += 1;
        Ok(())
    }

    /// Says goodbye for these clients.
    pub(super) fn disconnect(&mut self, clients: &[usize]) {
        for &client in clients {
            self.clients[client].hang_up(&mut self.shared);
        }
    }

    /// Closes these clients' sockets without a goodbye.
    pub(super) fn cut(&mut self, clients: &[usize]) {
        for &client in clients {
            self.clients[client].drop_link(&mut self.shared);
        }
    }

    /// Fills all windows and keeps them full from now on.
    pub(super) fn publish(&mut self) {
        self.shared.publishing = true;
        self.shared.tell_time();
        for client in self.clients.iter_mut().filter(|client| client.publisher.is_some()) {
            if let Err(broken) = client.fill(&mut self.shared) {
                self.shared.faults.closed += 1;
                self.shared.faults.closed_why = Some(broken.to_string());
                client.drop_link(&mut self.shared);
            }
        }
    }

    /// Sends so many in a second from now on, one client after the other.
    pub(super) fn publish_at(&mut self, per_second: f64) -> io::Result<()> {
        self.shared.tell_time();
        let now_ns = self.shared.now_ns;
        self.pace = Some(Pace::start(self.poll.registry(), TIMER, per_second, now_ns)?);
        Ok(())
    }

    /// Sends nothing new.
    pub(super) fn pause(&mut self) {
        self.shared.publishing = false;
        self.pace = None;
    }

    /// Serves the clients for so long.
    pub(super) fn run_for(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.turn(left.min(NAP))?;
        }
    }

    /// Until no connection is left.
    pub(super) fn run_while_open(&mut self, longest: Duration) -> io::Result<()> {
        let end = Instant::now() + longest;
        while self.shared.open > 0 && Instant::now() < end {
            self.turn(NAP)?;
        }
        Ok(())
    }

    /// Until all that was and is to be sent has been acknowledged.
    pub(super) fn run_until_acknowledged(&mut self, patience: Duration) -> Result<(), LoadError> {
        let mut watch = Watch::new(patience);
        while !self.all_acknowledged() {
            self.turn(NAP)?;
            watch.look(self.shared.progress(), "acknowledgements")?;
        }
        Ok(())
    }

    fn all_acknowledged(&self) -> bool {
        if self.shared.sent > self.shared.acknowledged {
            return false;
        }
        let publishers = self.clients.iter().filter_map(|client| client.publisher.as_deref());
        !self.shared.publishing || publishers.map(Publisher::remaining).sum::<u64>() == 0
    }

    /// What a client shall have heard in the end.
    pub(super) fn owe(&mut self, client: usize, messages: u64) {
        self.clients[client].inbound.owed += messages;
    }

    /// Forgets what was owed; to be followed by [`owe`](Self::owe) and [`count_behind`](Self::count_behind).
    pub(super) fn owe_nothing(&mut self) {
        for client in &mut self.clients {
            client.inbound.owed = 0;
        }
    }

    /// Counts who has not heard all that is owed.
    pub(super) fn count_behind(&mut self) {
        let behind = self.clients.iter().filter(|client| client.inbound.unique < client.inbound.owed);
        self.shared.behind = behind.count() as u64;
    }

    /// Until every client has heard what it was owed, or nothing came for so long.
    pub(super) fn run_until_heard(&mut self, patience: Duration) -> io::Result<bool> {
        let mut watch = Watch::new(patience);
        while self.shared.behind > 0 {
            self.turn(NAP)?;
            if watch.look(self.shared.progress(), "deliveries").is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Until nothing has come for so long.
    pub(super) fn run_until_quiet(&mut self, quiet: Duration) -> io::Result<()> {
        let mut watch = Watch::new(quiet);
        while watch.look(self.shared.progress(), "").is_ok() {
            self.turn(quiet.min(NAP))?;
        }
        Ok(())
    }

    /// Waits for sockets once and serves those that have something to say.
    fn turn(&mut self, longest: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(longest)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        let mut rang = false;
        for event in &self.events {
            if event.token() == TIMER {
                rang = true;
            } else {
                self.clients[event.token().0].wake(&mut self.buffer, &mut self.shared);
            }
        }
        if rang {
            self.keep_pace();
        }
        Ok(())
    }

    /// Sends what is due.
    fn keep_pace(&mut self) {
        let Some(pace) = &mut self.pace else { return };
        pace.rang();
        self.shared.tell_time();
        while let Some(late_ns) = pace.due(self.shared.now_ns) {
            let place = pace.turn % self.clients.len();
            pace.turn = place + 1;
            self.shared.tell_time();
            let sent = self.clients[place].publish_one(&mut self.shared);
            self.shared.stats.late.record(late_ns);
            if !matches!(sent, Ok(true)) {
                self.shared.faults.held_back += 1;
            }
        }
    }

    /// Whether this client is there.
    pub(super) fn is_ready(&self, client: usize) -> bool {
        self.clients[client].state == State::Ready
    }
}

/// Notices that nothing happens any more.
struct Watch {
    patience: Duration,
    seen: u64,
    since: Instant,
}

impl Watch {
    fn new(patience: Duration) -> Self {
        Self { patience, seen: 0, since: Instant::now() }
    }

    fn look(&mut self, progress: u64, what: &'static str) -> Result<(), LoadError> {
        if progress != self.seen {
            (self.seen, self.since) = (progress, Instant::now());
        } else if self.since.elapsed() > self.patience {
            return Err(LoadError::Stalled { what, patience: self.patience });
        }
        Ok(())
    }
}
