//! One connection: bytes in, the session's effects out.
//!
//! A single loop waits for whatever comes first: something in the outbox, room to write, bytes to read, room in the
//! ledger's queue, a time-out. It then feeds the session and carries out what the session asks for. Nothing here is
//! held across a wait that an idle connection does not need: read buffers belong to the thread, write buffers are let go.

mod ending;
mod free;
mod handshake;
mod inbound;
mod io;
mod login;
mod outbound;
mod renewal;
mod subscribing;

use crate::{
    admission::Pace,
    context::Context,
    delivery::{ConversationInfo, Digits},
    door::Door,
    gate::LastTarget,
    ledger::{Command, Moves},
    peer::{Arrived, Control, Peer},
    session_domain::{Item, Messenger, Note, Origin},
    sessions::Owner,
    subscriptions::Subscriptions,
    sys::Tally,
    topics::Subscriber,
};
use bytes::{Bytes, BytesMut};
use io::Stream;
use parlance_engine::{Millis, Output, PublishOutcome, Session, Ticket, WillFate};
use parlance_mqtt::{
    Decoder, Disconnect, Packet, PacketId, ReasonCode, TopicName, UserProperties, Version, Will, encode,
};
use parlance_plugin_api::{ConversationId, identity::Principal};
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use subscribing::Unsettled;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep},
};

/// Bytes waiting to be written at which the session is not asked for more.
const WRITE_HIGH_BYTES: usize = 256 * 1024;
/// What a connection may have sent of a packet when all together hold more than they may: with more it is not read on.
const PARTIAL_BYTES_MAX: usize = 64 * 1024;
/// How often such a connection looks whether there is room again.
const ROOM_LOOK_MS: u64 = 100;
/// A timer that fires so long after its time tells that the process stood still.
const STOOD_MS: u64 = 500;
/// How long acknowledged positions are gathered before they are reported.
const MOVES_GATHER_MS: u64 = 100;
/// Conversations in one report at most before it is sent at once.
const MOVES_MAX: usize = 1024;
/// Calls of one connection that may be under way.
const RPC_MAX: usize = 16;
/// How long a goodbye may take to be written. Short: the next connection of the device waits for it.
const GOODBYE_MS: u64 = 1_000;
/// Conversations looked at in one step while a session is opened.
const OPEN_PAGE: usize = 128;

/// Why a connection ended, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The session said so (goodbye, protocol error, takeover, time-out …).
    Closed,
    /// The socket broke or was closed without a goodbye.
    Lost,
}

/// A connected session.
struct Connection<S> {
    context: Arc<Context>,
    stream: Stream<S>,
    decoder: Decoder,
    session: Session<Messenger>,
    version: Version,
    client_packet_max: usize,
    principal: Principal,
    owner: Owner,
    peer: Arc<Peer>,
    /// The session as free topics know it.
    subscriber: Arc<Subscriber>,
    /// What it came through, and its place there.
    door: Door,
    /// How fast the client speaks.
    pace: Pace,
    session_ms: u64,
    subscriptions: Subscriptions,
    /// Changes of them that are not written down yet.
    unsettled: BTreeMap<PacketId, Unsettled>,
    will: Option<Box<Will>>,
    out: BytesMut,
    /// A command that found the ledger's queue full: nothing is read or done before it is in.
    stalled: Option<Box<Command>>,
    /// Acknowledged positions not yet reported, sorted.
    moves: Vec<(ConversationId, u64)>,
    /// Conversations in which the device begins, and behind which position: not yet reported.
    begins: Vec<(ConversationId, u64)>,
    /// It goes on from a connection that received messages: it has a position in every conversation that there was.
    follows: bool,
    /// Entries of the session's own queue up to this number are done with, not yet reported.
    queue_moved: Option<u64>,
    /// No entry of it behind this one was sent.
    queue_sent: u64,
    /// Live messages that wait in the session, bytes.
    live_bytes: usize,
    /// A new token of the client is being looked at.
    renewing: bool,
    /// Counted since it was last told.
    tally: Tally,
    moves_due: Option<u64>,
    /// The user's conversations still to be looked at: behind this one.
    opening: Option<Bytes>,
    /// Log reads and re-reads that the session asked for.
    reads: VecDeque<Output<Messenger>>,
    rpcs: usize,
    infos: BTreeMap<ConversationId, Arc<ConversationInfo>>,
    /// Where its last message went.
    last_target: Option<Box<LastTarget>>,
    epoch: Instant,
    /// When it was last woken, milliseconds since `epoch`.
    woken_ms: u64,
    timer: Pin<Box<Sleep>>,
    timer_at: u64,
    /// The process stood still: what came meanwhile is looked at before the timer counts.
    stood: bool,
    ids: Vec<u32>,
    last_typing: Option<(ConversationId, bool, u64)>,
    /// Since when the client takes nothing of what waits to be written.
    stuck_since: Option<u64>,
    /// Read and not yet taken by the session.
    undecoded: bool,
    /// Topics of 3.1.1 publishes that are being decided: as many as may wait for their acknowledgement.
    undecided: BTreeMap<Ticket, TopicName>,
    /// Publishes that wait for their acknowledgement.
    unanswered: usize,
    /// The server stops: nothing more is read, and when everything is answered the session is closed.
    draining: bool,
    closing: Option<Closing>,
}

struct Closing {
    /// When what could not be written is given up.
    give_up_at: u64,
    will: WillFate,
    session_expiry_s: u32,
}

enum Woken {
    Arrived(Box<Arrived>),
    Read(std::io::Result<usize>),
    Wrote(std::io::Result<()>),
    Room(bool),
    Timer,
}

/// Serves one connection from its first byte to its last.
///
/// The handshake's task ends when the session is there: what follows takes the memory that an idle connection needs.
pub(crate) async fn serve<S>(context: Arc<Context>, stream: S, door: Door)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if let Some(connection) = handshake::connect(context, stream, door).await {
        tokio::spawn(live(connection));
    }
}

async fn live<S: AsyncRead + AsyncWrite + Unpin>(mut connection: Box<Connection<S>>) {
    let ended = connection.run().await;
    // On the heap, or every connection would have room for its end from the beginning.
    Box::pin(connection.finish(ended)).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Milliseconds since `epoch`. The clock is read once for each wake: all that one wake does happens at one time.
    fn now(&self) -> u64 {
        self.woken_ms
    }

    fn read_clock(&mut self) {
        self.woken_ms = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
    }

    async fn run(&mut self) -> Ended {
        self.read_clock();
        loop {
            self.pump();
            while self.undecoded && self.takes_more() {
                self.decode();
                self.pump();
            }
            if self.closing.is_some() && self.out.is_empty() {
                return Ended::Closed;
            }
            let woken = self.woken().await;
            self.read_clock();
            match woken {
                Woken::Arrived(arrived) => self.arrived(arrived),
                Woken::Read(Ok(0)) | Woken::Read(Err(_)) => return Ended::Lost,
                Woken::Read(Ok(count)) => {
                    self.tally.bytes_received += count as u64;
                    self.pace.bytes(count, self.door.permit.rates(), self.now());
                    self.decode();
                }
                Woken::Wrote(Err(_)) => return Ended::Lost,
                Woken::Wrote(Ok(())) => self.stuck_since = None,
                Woken::Room(true) => {}
                Woken::Room(false) => self.session.close(ReasonCode::ServerShuttingDown, None),
                // The runtime hears of what came only when it has waited for it again: a client that spoke in time is not
                // to be closed for its silence.
                Woken::Timer if self.stood_still() => tokio::task::yield_now().await,
                Woken::Timer => self.timer_fired(),
            }
        }
    }

    /// Whether this client may be heard now.
    fn takes_more(&self) -> bool {
        self.closing.is_none()
            && !self.draining
            && self.stalled.is_none()
            && self.session.accepts_input()
            && self.held_until().is_none()
            && !self.waits_for_room()
    }

    /// It sends a large packet while there is no memory for it. Those that hold most are closed meanwhile.
    fn waits_for_room(&self) -> bool {
        self.decoder.buffered() > PARTIAL_BYTES_MAX && self.context.admission.excess_bytes() > 0
    }

    /// It has said as much in this second as it may: when it is heard again.
    fn held_until(&self) -> Option<u64> {
        self.pace.held_until(self.door.permit.rates(), self.now())
    }

    /// Tells how much memory is held for the client.
    fn count_memory(&mut self) {
        let own_bytes = self.out.len() + self.live_bytes + self.decoder.buffered();
        self.door.permit.hold(own_bytes);
        self.peer.hold(own_bytes + self.session.ready_bytes());
    }

    /// Waits for whatever comes first. The order is the priority: what ends a session waits in the outbox.
    async fn woken(&mut self) -> Woken {
        if let Some(command) = self.stalled.take() {
            // The ledger's queue is full: nothing more is taken from this client until there is room.
            return Woken::Room(Box::pin(self.context.ledger.push(*command)).await.is_ok());
        }
        let busy = self.opening.is_some() || !self.reads.is_empty();
        if busy {
            tokio::task::yield_now().await;
        }
        if !self.out.is_empty() && self.stuck_since.is_none() {
            self.stuck_since = Some(self.now());
        }
        self.context.sys.add(std::mem::take(&mut self.tally));
        if self.reads.is_empty() {
            // Seldom used, and large for one that is idle.
            self.reads = VecDeque::new();
        }
        self.count_memory();
        self.arm_timer();
        let reading = !self.undecoded && self.takes_more();
        let Self { peer, stream, decoder, out, timer, tally, .. } = self;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(arrived) = peer.poll_arrived(cx) {
                return Poll::Ready(Woken::Arrived(arrived));
            }
            if !out.is_empty() || stream.needs_flush() {
                let before = out.len();
                let wrote = stream.poll_write(cx, out);
                tally.bytes_sent += (before - out.len()) as u64;
                if let Poll::Ready(wrote) = wrote {
                    return Poll::Ready(Woken::Wrote(wrote));
                }
            }
            if reading && let Poll::Ready(read) = stream.poll_read(cx, decoder) {
                return Poll::Ready(Woken::Read(read));
            }
            if timer.as_mut().poll(cx).is_ready() || busy {
                return Poll::Ready(Woken::Timer);
            }
            Poll::Pending
        })
        .await
    }

    fn arm_timer(&mut self) {
        let session = self.session.next_timeout().map(|at| at.0);
        let expires =
            self.principal.expires_ms.map(|at| self.now() + at.saturating_sub(crate::ledger::now_ms()));
        let closing = self.closing.as_ref().map(|closing| closing.give_up_at);
        let stuck = self.stuck_since.map(|since| since + self.context.config.limits.write_timeout_ms);
        let stuck = stuck.filter(|_| !self.session.is_closed());
        let held = self.held_until().filter(|_| !self.session.is_closed());
        let waits = !self.session.is_closed() && self.waits_for_room();
        let room = waits.then(|| self.now() + ROOM_LOOK_MS);
        let times = [session, self.moves_due, expires, closing, stuck, held, room];
        let due = times.into_iter().flatten().min().unwrap_or(u64::MAX);
        // A timer that fires too early looks again; only an earlier time needs the wheel to be touched.
        if due < self.timer_at || self.timer.is_elapsed() {
            self.timer_at = due;
            let far = Duration::from_secs(24 * 3600);
            let at = Duration::from_millis(due).min(self.epoch.elapsed() + far);
            self.timer.as_mut().reset(self.epoch + at);
        }
    }

    /// Whether the timer is so late that the sockets are to be looked at first; the second time in a row it counts.
    fn stood_still(&mut self) -> bool {
        let late = self.timer_at.saturating_add(STOOD_MS) <= self.now();
        self.stood = late && !self.stood;
        self.stood
    }

    fn timer_fired(&mut self) {
        let now = self.now();
        if self.principal.expires_ms.is_some_and(|at| at <= crate::ledger::now_ms()) {
            let words = Bytes::from_static(b"the token has expired: connect with a new one");
            self.session.close(ReasonCode::NotAuthorized, Some(words));
        }
        let patience = self.context.config.limits.write_timeout_ms;
        if self.stuck_since.is_some_and(|since| since + patience <= now) && !self.session.is_closed() {
            metrics::counter!("parlance_write_timeouts_total").increment(1);
            let words = Bytes::from_static(b"nothing of what was sent was taken in time: connect again");
            self.session.close(ReasonCode::QuotaExceeded, Some(words));
        }
        if self.pace.is_out_of_patience(self.door.permit.rates()) && !self.session.is_closed() {
            metrics::counter!("parlance_over_rate_total").increment(1);
            let words = Bytes::from_static(b"too fast for too long: slow down and connect again in 10 s");
            self.session.close(ReasonCode::MessageRateTooHigh, Some(words));
        }
        self.session.handle_timeout(Millis(now));
        if self.moves_due.is_some_and(|due| due <= now) {
            self.report_moves();
        }
        if self.closing.as_ref().is_some_and(|closing| closing.give_up_at <= now) {
            self.out.clear();
        }
    }

    fn arrived(&mut self, mut arrived: Box<Arrived>) {
        for control in arrived.control.drain(..) {
            match control {
                Control::Removed(conversation) => {
                    self.session.untrack(Origin::Conversation(conversation));
                    self.moves.retain(|(id, _)| *id != conversation);
                }
                Control::Close(ReasonCode::ServerShuttingDown, _) => self.draining = true,
                Control::Close(reason, words) => {
                    self.session.close(reason, Some(Bytes::from_static(words.as_bytes())));
                }
            }
        }
        for (ticket, outcome) in arrived.published.drain(..) {
            self.published(ticket, outcome);
        }
        for done in arrived.replies.drain(..) {
            self.rpc_done(done);
        }
        for settled in arrived.settled.drain(..) {
            self.settled(settled);
        }
        for step in arrived.steps.drain(..) {
            self.step(step);
        }
        if let Some(outcome) = arrived.renewed.take() {
            self.renewed(outcome);
        }
        if arrived.lagging {
            self.session.lagging();
        }
        for message in arrived.messages.drain(..) {
            self.announce(message);
        }
        for (number, delivery) in arrived.queued.drain(..) {
            self.queued(number, delivery);
        }
        for delivery in arrived.live.drain(..) {
            self.live(delivery);
        }
        for signal in arrived.signals.drain(..) {
            self.signal(signal);
        }
        arrived.give_back();
    }

    /// Feeds the session what was read, until it has enough for now: the rest waits in the decoder.
    fn decode(&mut self) {
        self.undecoded = true;
        while self.closing.is_none() && self.session.accepts_input() && self.held_until().is_none() {
            match self.decoder.next() {
                Ok(Some(packet)) => {
                    let now = Millis(self.now());
                    self.pace.packet(self.door.permit.rates(), now.0);
                    self.session.handle_packet(packet, now);
                }
                Ok(None) => {
                    self.undecoded = false;
                    return;
                }
                Err(error) => {
                    metrics::counter!("parlance_malformed_packets_total").increment(1);
                    self.session.close(error.reason(), Some(error.to_string().into()));
                    return;
                }
            }
        }
    }

    /// Carries out what the session asks for, until it asks for nothing more or the write buffer is full.
    fn pump(&mut self) {
        if self.draining && self.unanswered == 0 && self.stalled.is_none() {
            let words = Bytes::from_static(b"the broker is shutting down; connect again in a moment");
            let elsewhere = !self.context.config.listen.server_reference.is_empty();
            let reason =
                if elsewhere { ReasonCode::UseAnotherServer } else { ReasonCode::ServerShuttingDown };
            self.session.close(reason, Some(words));
        }
        self.open_more();
        self.read_more();
        io::lend(&mut self.out);
        // What ends a session does not wait for a client that takes nothing: little comes after that.
        while (self.out.len() < WRITE_HIGH_BYTES || self.session.is_closed()) && self.stalled.is_none() {
            let Some(output) = self.session.poll_output() else { break };
            match output {
                Output::Send(packet) => self.send(&packet),
                Output::Deliver { message: Item::Message(message), channel, qos, packet_id, dup, .. } => {
                    self.deliver(&message, channel, qos, packet_id, dup);
                }
                Output::Deliver { message: Item::Free(delivery), seq, qos, packet_id, dup, .. } => {
                    self.queue_sent = self.queue_sent.max(seq);
                    self.subscriber.set_sent(seq);
                    self.deliver_free(&delivery, qos, packet_id, dup);
                }
                Output::Note { note: Note::Free(delivery), qos, packet_id, dup } => {
                    if !dup {
                        self.live_left(&delivery);
                    }
                    self.deliver_free(&delivery, qos, packet_id, dup);
                }
                Output::Note { note: Note::Own(note), qos, packet_id, dup } => {
                    self.write_note(&note, qos, packet_id, dup);
                }
                Output::Publish { ticket, publish } => {
                    self.unanswered += usize::from(ticket.needs_answer());
                    self.tally.messages_received += 1;
                    self.publish(ticket, publish);
                }
                Output::Subscribe(subscribe) => self.subscribe(subscribe),
                Output::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe),
                read @ (Output::ReadLog { .. } | Output::Restore(_)) => {
                    self.reads.push_back(read);
                    self.read_more();
                }
                Output::Delivered { conversation, seq } => self.delivered(conversation, seq),
                Output::Release { seq, packet_id, .. } => self.release(seq, packet_id),
                Output::Complete { packet_id } => self.complete(packet_id),
                Output::Authenticate(auth) => self.authenticate(auth),
                Output::Resync => {
                    self.follow_queue();
                    self.opening = Some(Bytes::new());
                }
                Output::Close { reason, reason_string, will, session_expiry_s } => {
                    if let Some(reason) = reason.filter(|_| self.version == Version::V5) {
                        // Always with words: some clients overlook a DISCONNECT that has no properties.
                        let words =
                            reason_string.unwrap_or_else(|| Bytes::from_static(reason.text().as_bytes()));
                        let server_reference = (reason == ReasonCode::UseAnotherServer)
                            .then(|| self.context.config.listen.server_reference.clone().into());
                        let goodbye = Disconnect {
                            reason_string: Some(words),
                            server_reference,
                            ..Disconnect::with(reason)
                        };
                        self.send(&Packet::Disconnect(goodbye));
                    }
                    let give_up_at = self.now() + GOODBYE_MS;
                    self.closing = Some(Closing { give_up_at, will, session_expiry_s });
                    // Nothing more is taken: what has come of a packet does not wait for the goodbye.
                    self.decoder = Decoder::new(0);
                }
            }
        }
        if self.out.is_empty() {
            io::give_back(&mut self.out);
        }
    }

    /// A publish has its outcome.
    fn answer(&mut self, ticket: Ticket, outcome: PublishOutcome) {
        if ticket.needs_answer() {
            self.unanswered = self.unanswered.saturating_sub(1);
            self.undecided.remove(&ticket);
        }
        self.session.publish_done(ticket, outcome);
    }

    fn send(&mut self, packet: &Packet) {
        if let Err(error) = encode(packet, self.version, &mut self.out) {
            // Reason strings and properties are ours and short: this is a bug worth a line, not a crash.
            tracing::error!(%error, "a packet could not be encoded");
        }
    }

    fn delivered(&mut self, origin: Origin, seq: u64) {
        match origin {
            Origin::Conversation(conversation) => {
                match self.moves.binary_search_by_key(&conversation, |(id, _)| *id) {
                    Ok(at) => self.moves[at].1 = seq.max(self.moves[at].1),
                    Err(at) => self.moves.insert(at, (conversation, seq)),
                }
            }
            Origin::Queue => self.queue_moved = self.queue_moved.max(Some(seq)),
        }
        self.gather();
    }

    /// The device begins in a conversation: kept, so that what comes while it is away is owed to it.
    fn begins(&mut self, conversation: ConversationId, position: u64) {
        if self.owner.assigned {
            return;
        }
        self.begins.push((conversation, position));
        self.gather();
    }

    /// Reports positions soon, or now if they are many.
    fn gather(&mut self) {
        if self.moves.len() + self.begins.len() >= MOVES_MAX {
            self.report_moves();
        } else if self.moves_due.is_none() {
            self.moves_due = Some(self.now() + MOVES_GATHER_MS);
        }
    }

    fn take_moves(&mut self) -> Option<Command> {
        self.moves_due = None;
        if self.moves.is_empty() && self.begins.is_empty() && self.queue_moved.is_none() {
            return None;
        }
        let positions = std::mem::take(&mut self.moves);
        let keep_device = !self.owner.assigned;
        Some(Command::Moves(Moves {
            user: self.owner.user,
            device: self.owner.device,
            keep_device,
            positions,
            begins: std::mem::take(&mut self.begins),
            queue: self.queue_moved.take(),
        }))
    }

    fn report_moves(&mut self) {
        if self.stalled.is_some() {
            self.moves_due = Some(self.now() + MOVES_GATHER_MS);
            return;
        }
        if let Some(command) = self.take_moves() {
            self.push(command);
        }
    }

    fn push(&mut self, command: Command) {
        if let Err(command) = self.context.ledger.try_push(command) {
            metrics::counter!("parlance_ledger_queue_full_total").increment(1);
            self.stalled = Some(Box::new(command));
        }
    }
}

/// A user property.
fn property(name: &'static str, value: impl Into<Bytes>) -> (Bytes, Bytes) {
    (Bytes::from_static(name.as_bytes()), value.into())
}

thread_local! {
    /// What answers are written into: their parts are slices of it, and live as long as the answer waits to be written.
    static ANSWERS: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}
/// How much is allocated for them at once.
const ANSWERS_BYTES: usize = 4 * 1024;

fn answer_text(text: &str) -> Bytes {
    ANSWERS.with_borrow_mut(|answers| {
        if answers.capacity() - answers.len() < text.len() {
            *answers = BytesMut::with_capacity(ANSWERS_BYTES.max(text.len()));
        }
        answers.extend_from_slice(text.as_bytes());
        answers.split().freeze()
    })
}

/// The properties of an acknowledged message.
fn stored_properties(stored: &crate::ledger::Stored) -> UserProperties {
    let mut properties = Vec::with_capacity(4);
    properties.push(property("seq", answer_text(Digits::of(stored.seq).as_str())));
    properties.push(property("time", answer_text(Digits::of(stored.time_ms).as_str())));
    properties.push(property("conversation", answer_text(stored.conversation.text().as_str())));
    if stored.repeated {
        properties.push(property("repeated", "true"));
    }
    properties
}
