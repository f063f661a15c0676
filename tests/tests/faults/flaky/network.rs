//! A bad network: a TCP proxy before the server. Each connection has one weather after the other; what passes, passes
//! in order and whole, until the connection ends.

use super::{
    framing::Place,
    weather::{Deck, FAR, Left, NARROW_BYTES_PER_S, Tally, Way, Weather},
};
use crate::rng::Rng;
use bytes::{Bytes, BytesMut};
use std::{
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    task::{JoinHandle, yield_now},
    time::{Instant, sleep, sleep_until, timeout},
};

/// Read at once, and so held back at once.
const PARCEL_BYTES: usize = 4 << 10;
/// Parcels on their way in one direction; more wait in the sender's socket.
const PARCELS_MAX: usize = 16;
/// Written at once where the line is narrow.
const NARROW_BYTES: usize = 256;
/// So many single bytes, then a pause.
const DRIP_BYTES: usize = 16;
const DRIP_PAUSE: Duration = Duration::from_millis(1);
/// How long what is half-open is held, if nobody gives it up before.
const HELD_MAX: Duration = Duration::from_secs(90);

struct Shared {
    upstream: SocketAddr,
    deck: Mutex<Deck>,
    tally: Mutex<Tally>,
    rng: Mutex<Rng>,
    /// From then on the weather is fair.
    calm: watch::Sender<bool>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

/// The network between clients and the server.
pub(super) struct Network {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Network {
    /// Connections to its address go to `upstream`, in the weather of this seed.
    pub(super) async fn start(upstream: SocketAddr, mut rng: Rng) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            upstream,
            deck: Mutex::new(Deck::new(rng.split())),
            tally: Mutex::default(),
            rng: Mutex::new(rng),
            calm: watch::Sender::new(false),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Fair weather from now on; what is half-open ends.
    pub(super) fn calm(&self) {
        self.shared.calm.send_replace(true);
    }

    pub(super) fn tally(&self) -> Tally {
        locked(&self.shared.tally).clone()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (client, _) = listener.accept().await.expect("a listening socket accepts");
        locked(&shared.tally).connections += 1;
        let rng = locked(&shared.rng).split();
        tokio::spawn(carry(client, Arc::clone(&shared), rng));
    }
}

/// How a connection comes to its end.
enum End {
    /// One side has closed, or the proxy has cut: both are to know.
    Closed,
    HalfOpen(Left),
}

async fn carry(mut client: TcpStream, shared: Arc<Shared>, mut rng: Rng) {
    let Ok(mut server) = TcpStream::connect(shared.upstream).await else { return };
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let weather = watch::Sender::new(Weather::Clear);
    let end = {
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let line = |way, rng| Line { way, rng, weather: weather.subscribe(), shared: &shared };
        let up = line(Way::Up, rng.split()).pass(client_reads, server_writes);
        let down = line(Way::Down, rng).pass(server_reads, client_writes);
        tokio::select! {
            end = sky(&shared, &weather) => end,
            () = up => End::Closed,
            () = down => End::Closed,
        }
    };
    match end {
        End::Closed => {}
        End::HalfOpen(Left::Both) => drop(tokio::join!(hold(client, &shared), hold(server, &shared))),
        End::HalfOpen(Left::Client) => {
            drop(server);
            hold(client, &shared).await;
        }
        End::HalfOpen(Left::Server) => {
            drop(client);
            hold(server, &shared).await;
        }
    }
}

/// Changes the weather of one connection until that ends it.
async fn sky(shared: &Shared, weather: &watch::Sender<Weather>) -> End {
    let mut calm = shared.calm.subscribe();
    loop {
        if *calm.borrow_and_update() {
            weather.send_replace(Weather::Clear);
            return pending().await;
        }
        let spell = locked(&shared.deck).deal();
        locked(&shared.tally).count(spell.weather.kind());
        if let Weather::HalfOpen(left) = spell.weather {
            return End::HalfOpen(left);
        }
        weather.send_replace(spell.weather);
        let waited = timeout(spell.lasts, calm.wait_for(|calm| *calm)).await.is_err();
        if waited && let Weather::Cut(_) = spell.weather {
            // Nothing came that could be cut in its middle.
            return End::Closed;
        }
    }
}

/// Keeps a connection that leads nowhere: what is sent is taken, and nobody answers.
async fn hold(mut stream: TcpStream, shared: &Shared) {
    let mut calm = shared.calm.subscribe();
    let mut nowhere = vec![0; PARCEL_BYTES];
    let swallow = async { while let Ok(1..) = stream.read(&mut nowhere).await {} };
    tokio::select! {
        () = swallow => {}
        _ = calm.wait_for(|calm| *calm) => {}
        () = sleep(HELD_MAX) => {}
    }
}

/// Bytes on their way.
struct Parcel {
    due: Instant,
    bytes: Bytes,
}

/// One direction of a connection.
struct Line<'a> {
    way: Way,
    rng: Rng,
    weather: watch::Receiver<Weather>,
    shared: &'a Shared,
}

impl Line<'_> {
    /// Passes on what comes until one side closes, or it is cut.
    async fn pass(self, reads: ReadHalf<'_>, writes: WriteHalf<'_>) {
        let (sender, receiver) = mpsc::channel(PARCELS_MAX);
        let weather = self.weather.clone();
        // An error is an end of the connection like any other.
        tokio::select! {
            () = take(reads, sender, weather) => {}
            _ = self.give(receiver, writes) => {}
        }
    }

    async fn give(
        mut self,
        mut parcels: mpsc::Receiver<Parcel>,
        mut writes: WriteHalf<'_>,
    ) -> io::Result<()> {
        let mut place = Place::default();
        while let Some(parcel) = parcels.recv().await {
            sleep_until(parcel.due).await;
            let mut rest = parcel.bytes;
            while !rest.is_empty() {
                let weather = *self.weather.borrow_and_update();
                let count = match weather {
                    Weather::Stall => {
                        // The sender lives as long as the connection.
                        let _ = self.weather.changed().await;
                        continue;
                    }
                    Weather::Cut(way) if way == self.way => match self.cut(place, &rest) {
                        Some(at) => return writes.write_all(&rest[..at]).await,
                        None => whole(&rest, &mut writes).await?,
                    },
                    Weather::Narrow => narrow(&rest, &mut writes).await?,
                    Weather::Drip => drip(&rest, &mut writes).await?,
                    Weather::Clear | Weather::Far | Weather::Cut(_) | Weather::HalfOpen(_) => {
                        whole(&rest, &mut writes).await?
                    }
                };
                place = place.after_all(&rest.split_to(count));
            }
        }
        Ok(())
    }

    /// So many of the bytes that a packet is left unfinished, if that can be.
    fn cut(&mut self, place: Place, bytes: &[u8]) -> Option<usize> {
        let cuts = place.cuts(bytes);
        let index = (!cuts.is_empty()).then(|| self.rng.within(0..cuts.len() as u64) as usize)?;
        locked(&self.shared.tally).count("cut in mid-packet");
        Some(cuts[index])
    }
}

/// Reads parcels until the end, and waits for them to be given.
async fn take(mut reads: ReadHalf<'_>, parcels: mpsc::Sender<Parcel>, weather: watch::Receiver<Weather>) {
    let mut due = Instant::now();
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PARCEL_BYTES);
        match reads.read_buf(&mut buffer).await {
            Ok(1..) => {}
            // What was taken before is still given.
            Ok(0) | Err(_) => break,
        }
        let delay = if *weather.borrow() == Weather::Far { FAR } else { Duration::ZERO };
        due = due.max(Instant::now() + delay);
        if parcels.send(Parcel { due, bytes: buffer.split().freeze() }).await.is_err() {
            break;
        }
    }
    drop(parcels);
    pending().await
}

async fn whole(bytes: &[u8], writes: &mut WriteHalf<'_>) -> io::Result<usize> {
    writes.write_all(bytes).await?;
    Ok(bytes.len())
}

async fn narrow(bytes: &[u8], writes: &mut WriteHalf<'_>) -> io::Result<usize> {
    let count = bytes.len().min(NARROW_BYTES);
    writes.write_all(&bytes[..count]).await?;
    sleep(Duration::from_micros(count as u64 * 1_000_000 / NARROW_BYTES_PER_S)).await;
    Ok(count)
}

async fn drip(bytes: &[u8], writes: &mut WriteHalf<'_>) -> io::Result<usize> {
    let count = bytes.len().min(DRIP_BYTES);
    for byte in &bytes[..count] {
        writes.write_all(&[*byte]).await?;
        yield_now().await;
    }
    sleep(DRIP_PAUSE).await;
    Ok(count)
}
