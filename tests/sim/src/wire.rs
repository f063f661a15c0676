//! One connection of the simulated network: two streams of bytes, each with its own delays, and what can happen to them.

use crate::{faults::Power, random::Random};
use std::{
    collections::VecDeque,
    io,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// Most bytes that one read brings. Whoever reads has that much room, always: otherwise the room that happens to be left
/// would show.
const READ_BYTES_MAX: usize = 4096;

/// How a stream of bytes travels.
#[derive(Debug, Clone)]
pub struct Pace {
    /// From one end to the other.
    pub latency_ms: Range<u64>,
    /// Bytes that may be on their way before the writer has to wait.
    pub capacity_bytes: usize,
    /// Bytes that travel together at most.
    pub grain_bytes: usize,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The writer closed it.
    Closed(Instant),
    /// It broke.
    Reset(Instant),
}

impl End {
    fn at(self) -> Instant {
        match self {
            Self::Closed(at) | Self::Reset(at) => at,
        }
    }
}

#[derive(Debug)]
struct State {
    pace: Pace,
    random: Random,
    chunks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    newest: Instant,
    /// Nothing arrives before.
    frozen_until: Instant,
    end: Option<End>,
    /// Nobody reads any more.
    deaf: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    fn push(&mut self, now: Instant, bytes: &[u8]) {
        for chunk in bytes.chunks(self.pace.grain_bytes) {
            // In order: nothing overtakes within a stream.
            self.newest = self.newest.max(now + self.random.millis(self.pace.latency_ms.clone()));
            self.chunks.push_back((self.newest, chunk.to_vec()));
            self.bytes += chunk.len();
        }
    }

    fn take(&mut self, now: Instant, into: &mut ReadBuf<'_>) -> usize {
        let mut taken = 0;
        while let Some((due, chunk)) = self.chunks.front_mut() {
            let room = into.remaining().min(READ_BYTES_MAX - taken);
            if *due > now || room == 0 {
                break;
            }
            let count = room.min(chunk.len());
            into.put_slice(&chunk[..count]);
            chunk.drain(..count);
            taken += count;
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        self.bytes -= taken;
        taken
    }

    /// When the reader should look again.
    fn next(&self) -> Option<Instant> {
        let next = self.chunks.front().map(|(due, _)| *due).or(self.end.map(End::at))?;
        Some(next.max(self.frozen_until))
    }
}

/// One direction.
#[derive(Debug, Clone)]
struct Stream(Arc<Mutex<State>>);

impl Stream {
    fn new(pace: &Pace, random: Random) -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State {
            pace: pace.clone(),
            random,
            chunks: VecDeque::new(),
            bytes: 0,
            newest: now,
            frozen_until: now,
            end: None,
            deaf: false,
            reader: None,
            writer: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.state();
        let at = state.newest;
        state.end.get_or_insert(End::Closed(at));
        state.wake();
    }

    fn go_deaf(&self) {
        let mut state = self.state();
        state.deaf = true;
        state.wake();
    }

    /// Breaks it: of what is on its way, so much still arrives, and the reader hears of it so much later.
    fn reset(&self, arrives_bytes: usize, after: Duration) {
        let mut state = self.state();
        let mut left = arrives_bytes;
        for (_, chunk) in &mut state.chunks {
            chunk.truncate(left);
            left -= chunk.len();
        }
        state.chunks.retain(|(_, chunk)| !chunk.is_empty());
        state.bytes = state.chunks.iter().map(|(_, chunk)| chunk.len()).sum();
        let last = state.chunks.back().map_or_else(Instant::now, |(due, _)| *due);
        state.end = Some(End::Reset(last.max(Instant::now() + after)));
        state.wake();
    }

    fn freeze(&self, until: Instant) {
        let mut state = self.state();
        state.frozen_until = until;
        state.wake();
    }
}

/// A connection, as the network sees it.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its number in the run.
    pub number: u64,
    up: Stream,
    down: Stream,
}

/// One end of a connection. Dropping it closes the connection.
#[derive(Debug)]
pub struct Socket {
    incoming: Stream,
    outgoing: Stream,
    timer: Pin<Box<Sleep>>,
    /// The server's end is dead with the server.
    alive: Option<(Arc<Power>, u64)>,
}

impl Link {
    /// A connection with its ends: the client's and the server's.
    pub fn new(number: u64, pace: &Pace, random: &Random, power: &Arc<Power>) -> (Self, Socket, Socket) {
        let (up, down) = (Stream::new(pace, random.fork(1)), Stream::new(pace, random.fork(2)));
        let socket = |incoming: &Stream, outgoing: &Stream, alive| Socket {
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
            timer: Box::pin(tokio::time::sleep_until(Instant::now())),
            alive,
        };
        let client = socket(&down, &up, None);
        let server = socket(&up, &down, Some((power.clone(), power.number())));
        (Self { number, up, down }, client, server)
    }

    /// Whether both ends still use it.
    pub fn is_open(&self) -> bool {
        [&self.up, &self.down].iter().all(|stream| {
            let state = stream.state();
            !state.deaf && state.end.is_none()
        })
    }

    /// Breaks it in the middle of whatever is on its way.
    pub fn cut(&self, random: &mut Random) {
        for stream in [&self.up, &self.down] {
            let bytes = stream.state().bytes;
            let arrives = if random.chance(500) { random.index(bytes + 1) } else { 0 };
            stream.reset(arrives, random.millis(0..3000));
        }
    }

    /// Nothing arrives in the directions given before a moment.
    pub fn freeze(&self, up: bool, down: bool, until: Instant) {
        if up {
            self.up.freeze(until);
        }
        if down {
            self.down.freeze(until);
        }
    }

    /// The server has died: what it sent arrives, then the client hears of it.
    pub fn server_died(&self, random: &mut Random) {
        let bytes = self.down.state().bytes;
        self.down.reset(bytes, random.millis(0..2000));
        self.up.reset(0, Duration::ZERO);
    }
}

impl Socket {
    fn is_dead(&self) -> bool {
        self.alive.as_ref().is_some_and(|(power, number)| !power.is_on(*number))
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_dead() {
            return Poll::Ready(Err(reset()));
        }
        let this = &mut *self;
        loop {
            let now = Instant::now();
            let mut state = this.incoming.state();
            if state.frozen_until <= now {
                if state.take(now, into) > 0 {
                    state.writer.take().into_iter().for_each(Waker::wake);
                    return Poll::Ready(Ok(()));
                }
                match state.end.filter(|end| state.chunks.is_empty() && end.at() <= now) {
                    Some(End::Closed(_)) => return Poll::Ready(Ok(())),
                    Some(End::Reset(_)) => return Poll::Ready(Err(reset())),
                    None => {}
                }
            }
            state.reader = Some(cx.waker().clone());
            let Some(next) = state.next() else { return Poll::Pending };
            drop(state);
            this.timer.as_mut().reset(next);
            if this.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_dead() {
            return Poll::Ready(Err(reset()));
        }
        let now = Instant::now();
        let mut state = self.outgoing.state();
        if state.deaf || state.end.is_some_and(|end| end.at() <= now) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.end.is_some() {
            // It is broken, and nobody has noticed.
            return Poll::Ready(Ok(bytes.len()));
        }
        let room = state.pace.capacity_bytes.saturating_sub(state.bytes);
        if room == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = room.min(bytes.len());
        state.push(now, &bytes[..count]);
        state.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_dead() {
            self.outgoing.close();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.is_dead() {
            self.outgoing.close();
            self.incoming.go_deaf();
        }
    }
}
