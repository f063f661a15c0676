//! A TCP proxy between a client and the server that reads the packets of both: the ground truth of what was sent, and
//! the way to end a connection at an exact packet. What it passes on are the bytes as they came.

use bytes::{Bytes, BytesMut};
use parlance_mqtt::{Connect, Packet, PacketType, Version, decode};
use parlance_tests::in_time;
use std::{
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, OnceLock},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

const PACKET_BYTES_MAX: u32 = 16 << 20;
const READ_BYTES: usize = 16 << 10;

/// Who sent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Client,
    Server,
}

/// A packet that was read.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) from: From,
    pub(crate) packet: Packet,
    /// It was passed on. What is held back was not.
    pub(crate) passed: bool,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    /// The packet after which nothing more goes this way, itself included.
    hold: Option<(From, PacketType)>,
    open: bool,
    live: usize,
}

struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    /// Told at each change of the state.
    changed: watch::Sender<()>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let answer = change(&mut self.state());
        self.changed.send_replace(());
        answer
    }

    async fn wait<T>(&self, what: &str, mut find: impl FnMut(&State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let search = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = find(&self.state()) {
                    return found;
                }
                changed.changed().await.expect("the proxy lives");
            }
        };
        in_time(what, search).await
    }
}

/// The connections of a proxy, as they come and go.
pub(crate) struct Connections(Arc<Shared>);

impl Connections {
    /// Waits until each of them has ended on both sides.
    pub(crate) async fn ended(&self) {
        self.0.wait("the connections end", |state| (state.live == 0).then_some(())).await;
    }
}

/// The proxy of one client: its address stays while connections and servers come and go.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Connections to its address go to `upstream`.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let state = Mutex::new(State { open: true, ..State::default() });
        let shared = Arc::new(Shared { upstream, state, changed: watch::Sender::new(()) });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next packet of this kind is held back, and all that would follow it on its way.
    pub(crate) fn hold(&self, from: From, kind: PacketType) {
        self.shared.change(|state| state.hold = Some((from, kind)));
    }

    /// Waits until the packet was held back that [`hold`](Self::hold) named.
    pub(crate) async fn held(&self) {
        self.wait("a packet is held back", |seen| seen.iter().any(|seen| !seen.passed).then_some(())).await;
    }

    /// Ends the connections of this moment without a word, and refuses others until [`open`](Self::open).
    pub(crate) async fn cut(&self) {
        self.shared.change(|state| state.open = false);
        self.ended().await;
    }

    /// Lets connections through again, and holds nothing back any more.
    pub(crate) fn open(&self) {
        self.shared.change(|state| (state.open, state.hold) = (true, None));
    }

    /// Waits until each connection has ended on both sides.
    pub(crate) async fn ended(&self) {
        self.connections().ended().await;
    }

    /// For whoever wants to know only when they end.
    pub(crate) fn connections(&self) -> Connections {
        Connections(Arc::clone(&self.shared))
    }

    /// How many packets were seen: where to look from, later.
    pub(crate) fn mark(&self) -> usize {
        self.shared.state().seen.len()
    }

    /// The packets from this mark on.
    pub(crate) fn seen(&self, mark: usize) -> Vec<Seen> {
        self.shared.state().seen[mark..].to_vec()
    }

    /// Waits until `find` finds something in all that was seen.
    pub(crate) async fn wait<T>(&self, what: &str, mut find: impl FnMut(&[Seen]) -> Option<T>) -> T {
        self.shared.wait(what, |state| find(&state.seen)).await
    }

    /// Waits until a packet of this kind has passed since the mark.
    pub(crate) async fn passed(&self, mark: usize, from: From, kind: PacketType) -> Seen {
        let what = format!("{} of the {from:?}", kind.name());
        self.wait(&what, |seen| {
            let is_it = |seen: &&Seen| seen.passed && seen.from == from && seen.packet.packet_type() == kind;
            seen[mark..].iter().find(is_it).cloned()
        })
        .await
    }

    /// The Session Present of the first CONNACK since the mark.
    pub(crate) async fn session_present(&self, mark: usize) -> bool {
        match self.passed(mark, From::Server, PacketType::ConnAck).await.packet {
            Packet::ConnAck(connack) => connack.session_present,
            other => panic!("no CONNACK: {other:?}"),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.change(|state| state.open = false);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (client, _) = listener.accept().await.expect("a listening socket accepts");
        let open = shared.change(|state| {
            state.live += usize::from(state.open);
            state.open
        });
        if !open {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut changed = shared.changed.subscribe();
            let closed = changed.wait_for(|()| !shared.state().open);
            tokio::select! {
                // An error of a socket is an end of the connection like any other.
                _ = join(client, &shared) => {}
                _ = closed => {}
            }
            shared.change(|state| state.live -= 1);
        });
    }
}

async fn join(client: TcpStream, shared: &Shared) -> io::Result<()> {
    let server = TcpStream::connect(shared.upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let version = OnceLock::new();
    let way = |from| Way { from, shared, version: &version };
    let up = way(From::Client).pass(client_reads, server_writes);
    let down = way(From::Server).pass(server_reads, client_writes);
    tokio::try_join!(up, down).map(drop)
}

/// One direction of a connection.
struct Way<'a> {
    from: From,
    shared: &'a Shared,
    /// As the CONNECT says, which passes before anything comes back.
    version: &'a OnceLock<Version>,
}

impl Way<'_> {
    /// Passes packets on until this side ends; then tells the other side, and lets it end in its own time.
    async fn pass(self, mut reads: OwnedReadHalf, mut writes: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(READ_BYTES);
            if reads.read_buf(&mut buffer).await? == 0 {
                return writes.shutdown().await;
            }
            let mut rest = buffer.split().freeze();
            loop {
                let whole = rest.clone();
                let Some(packet) = self.next(&mut rest) else { break };
                let bytes = whole.slice(..whole.len() - rest.len());
                if !self.may_pass(&packet) {
                    pending::<()>().await;
                }
                writes.write_all(&bytes).await?;
                self.note(packet, true);
            }
            buffer = BytesMut::from(&rest[..]);
        }
    }

    fn next(&self, rest: &mut Bytes) -> Option<Packet> {
        let version = *self.version.get().unwrap_or(&Version::V5);
        let packet = decode(rest, version, PACKET_BYTES_MAX)
            .unwrap_or_else(|error| panic!("the {:?} sent no MQTT: {error}", self.from))?;
        if let Packet::Connect(connect) = &packet {
            let Connect { version, .. } = **connect;
            self.version.get_or_init(|| version);
        }
        Some(packet)
    }

    /// Whether the packet goes on; noted here if it does not.
    fn may_pass(&self, packet: &Packet) -> bool {
        let held = self.shared.state().hold == Some((self.from, packet.packet_type()));
        if held {
            self.note(packet.clone(), false);
        }
        !held
    }

    fn note(&self, packet: Packet, passed: bool) {
        let from = self.from;
        self.shared.change(|state| state.seen.push(Seen { from, packet, passed }));
    }
}
