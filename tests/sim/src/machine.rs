//! The machine that the server runs on: started, stopped, and cut off from its power in the middle of anything.

use crate::{
    checks::Book,
    disk::{Crash, SimDisk},
    faults::{Faults, Power},
    people::World,
    random::Random,
    tell,
    trace::Trace,
    wire::{Link, Pace, Socket},
};
use parlance_server::{
    config::Config,
    simulation::{Moment, Server, StartError},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::task::AbortHandle;

/// How fast the server's threads are.
#[derive(Debug, Clone)]
pub struct Tempo {
    /// How long the decider is held up before each moment of its round, milliseconds.
    pub decider_ms: Range<u64>,
    /// How long the applier rests, milliseconds.
    pub applier_ms: Range<u64>,
}

struct Running {
    server: Arc<Server>,
    /// The number that its power had.
    power: u64,
    tasks: Vec<AbortHandle>,
}

/// The parts of a machine.
pub struct Parts {
    /// Its disk.
    pub disk: SimDisk,
    /// What runs on it, but the server.
    pub world: World,
    /// Its power.
    pub power: Arc<Power>,
    /// What goes wrong.
    pub faults: Arc<Faults>,
    /// The server's configuration.
    pub config: Arc<Config>,
    /// How fast it is.
    pub tempo: Tempo,
    /// How its network travels.
    pub pace: Pace,
}

/// The machine.
pub struct Machine {
    parts: Parts,
    trace: Arc<Trace>,
    book: Arc<Book>,
    random: Mutex<Random>,
    running: Mutex<Option<Running>>,
    links: Mutex<(u64, Vec<Link>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machine {
    /// One that is off.
    pub fn new(parts: Parts, trace: Arc<Trace>, book: Arc<Book>, random: Random) -> Self {
        Self {
            parts,
            trace,
            book,
            random: Mutex::new(random),
            running: Mutex::default(),
            links: Mutex::default(),
        }
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.parts.faults
    }

    /// Its power.
    pub fn power(&self) -> &Arc<Power> {
        &self.parts.power
    }

    /// The server, while it runs.
    pub fn server(&self) -> Option<Arc<Server>> {
        lock(&self.running).as_ref().map(|running| running.server.clone())
    }

    /// Whether a server runs, and has its power.
    pub fn lives(&self) -> bool {
        lock(&self.running).as_ref().is_some_and(|running| self.parts.power.is_on(running.power))
    }

    /// Starts the server.
    ///
    /// # Errors
    /// [`StartError`]; the machine is on, and nothing runs.
    pub fn start(&self) -> Result<Arc<Server>, StartError> {
        let Parts { disk, world, config, tempo, power, .. } = &self.parts;
        let number = power.number();
        let opened = Server::open(config, world, Arc::new(disk.mount()));
        if !power.is_on(number) {
            // It went while the server was starting.
            drop(opened);
            self.lose(Crash::Power);
            return Err(StartError::Plugin("the power went".into()));
        }
        let (server, decisions, applying) = opened?;
        let server = Arc::new(server);
        let random = self.fork();
        let (mut decider_random, mut applier_random) = (random.fork(1), random.fork(2));
        let (decider_ms, applier_ms) = (tempo.decider_ms.clone(), tempo.applier_ms.clone());
        let (trace, book) = (self.trace.clone(), self.book.clone());
        let decider = tokio::spawn(decisions.run(move |moment| {
            if moment == Moment::Over {
                trace.mark("round", &[]);
                return std::time::Duration::ZERO;
            }
            decider_random.millis(decider_ms.clone())
        }));
        let applier = tokio::spawn(applying.run(move || applier_random.millis(applier_ms.clone())));
        let housekeeping = tokio::spawn(server.clone().housekeeping());
        let tasks = [&decider, &applier, &housekeeping].map(|task| task.abort_handle());
        for (name, task) in [("decider", decider), ("applier", applier), ("housekeeping", housekeeping)] {
            let book = book.clone();
            tokio::spawn(async move {
                if task.await.is_err_and(|error| error.is_panic()) {
                    book.violated(format_args!("the {name} panicked"));
                }
            });
        }
        *lock(&self.running) = Some(Running { server: server.clone(), power: number, tasks: tasks.into() });
        Ok(server)
    }

    fn fork(&self) -> Random {
        let mut random = lock(&self.random);
        let label = random.next();
        random.fork(label)
    }

    /// Everything that runs ends now; what was not synced is lost or torn.
    pub fn crash(&self, crash: Crash) {
        let Some(running) = lock(&self.running).take() else { return };
        if self.parts.power.is_on(running.power) {
            self.parts.power.cut();
        }
        for task in running.tasks {
            task.abort();
        }
        self.lose(crash);
    }

    /// Loses what a crash loses.
    fn lose(&self, crash: Crash) {
        let mut random = self.fork();
        for link in lock(&self.links).1.drain(..) {
            link.server_died(&mut random);
        }
        let Parts { disk, world, faults, .. } = &self.parts;
        disk.crash(crash, &mut random);
        world.store.crash(crash, &mut random);
        faults.power_is_cut();
        tell!(self.trace, "the server is dead ({crash:?})");
    }

    /// An orderly stop of the server, as far as it gets.
    pub async fn stop(&self) {
        let Some(server) = self.server() else { return };
        server.stop().await;
        // Decider and applier end by themselves; whoever is still connected hears nothing more.
        let applied = tokio::time::sleep(std::time::Duration::from_secs(1));
        applied.await;
        if self.server().is_some_and(|now| Arc::ptr_eq(&now, &server)) {
            self.crash(Crash::Process);
        }
    }

    /// A new connection to the server; `None`: nobody answers.
    pub fn connect(&self) -> Option<(Link, Socket)> {
        let server = self.server()?;
        let random = self.fork();
        let mut links = lock(&self.links);
        links.0 += 1;
        let (link, client, end) = Link::new(links.0, &self.parts.pace, &random, &self.parts.power);
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 1024 + (link.number % 60_000) as u16));
        let connection = server.connection(end, from)?;
        let book = self.book.clone();
        tokio::spawn(async move {
            if tokio::spawn(connection).await.is_err_and(|error| error.is_panic()) {
                book.violated(format_args!("a connection panicked"));
            }
        });
        links.1.retain(Link::is_open);
        links.1.push(link.clone());
        Some((link, client))
    }

    /// The connections there are.
    pub fn links(&self) -> Vec<Link> {
        let mut links = lock(&self.links);
        links.1.retain(Link::is_open);
        links.1.clone()
    }
}
