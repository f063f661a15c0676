//! One client: its socket, where its conversation with the broker stands, what it sends and what it hears.

use super::{
    check::{Inbound, Seen},
    link::{Endpoint, Link},
    packet::{Malformed, Packet, next},
    publisher::{Acked, Publisher},
    shared::Shared,
    stamp::Stamp,
    wire::{self, Plan},
};
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind};

/// Reason codes from here on refuse (MQTT 5, 2.4).
const REFUSED: u8 = 0x80;

/// Where the conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No connection.
    Away,
    /// The socket connects.
    Opening,
    /// CONNECT was said.
    Greeting,
    /// SUBSCRIBE was said.
    Subscribing,
    /// Let in, and subscribed.
    Ready,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("closed by the broker")]
    Closed,
    #[error("closed by the broker, 0x{0:02X}")]
    Disconnected(u8),
    #[error("not let in, 0x{0:02X}")]
    NotLetIn(u8),
    #[error("subscription refused, 0x{0:02X}")]
    NotSubscribed(u8),
    #[error("a packet of more than the read buffer")]
    TooLarge,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) plan: Box<Plan>,
    pub(super) state: State,
    link: Option<Link>,
    /// The beginning of a packet whose end has not come.
    rest: Vec<u8>,
    /// What is to be written, from `written` on.
    out: Vec<u8>,
    written: usize,
    pub(super) publisher: Option<Box<Publisher>>,
    pub(super) inbound: Inbound,
    /// It has been subscribed before: its session should be there.
    known: bool,
    began_ns: u64,
}

impl Client {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan: Box::new(plan),
            state: State::Away,
            link: None,
            rest: Vec::new(),
            out: Vec::new(),
            written: 0,
            publisher: None,
            inbound: Inbound::default(),
            known: false,
            began_ns: 0,
        }
    }

    /// Begins to connect.
    pub(super) fn open(
        &mut self,
        registry: &Registry,
        token: Token,
        endpoint: &Endpoint,
        now_ns: u64,
    ) -> io::Result<()> {
        let mut link = Link::open(endpoint)?;
        registry.register(link.stream(), token, Interest::READABLE | Interest::WRITABLE)?;
        self.link = Some(link);
        self.state = State::Opening;
        self.began_ns = now_ns;
        self.rest.clear();
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Says goodbye, if that can be said, and hangs up.
    pub(super) fn hang_up(&mut self, shared: &mut Shared) {
        if self.state == State::Ready && self.out.is_empty() {
            self.out.extend_from_slice(&wire::DISCONNECT);
            // An error means that the broker was faster.
            let _ = self.flush();
        }
        self.drop_link(shared);
    }

    /// Hangs up without a word.
    pub(super) fn drop_link(&mut self, shared: &mut Shared) {
        if self.link.take().is_some() {
            shared.open -= 1;
            shared.ready -= u64::from(self.state == State::Ready);
        }
        self.state = State::Away;
    }

    /// The socket has something to say.
    pub(super) fn wake(&mut self, buffer: &mut [u8], shared: &mut Shared) {
        if self.link.is_none() {
            return;
        }
        if let Err(broken) = self.serve(buffer, shared) {
            shared.faults.closed += 1;
            shared.faults.closed_why = Some(broken.to_string());
            self.drop_link(shared);
        }
    }

    /// Fills the window.
    pub(super) fn fill(&mut self, shared: &mut Shared) -> Result<(), Broken> {
        self.refill(shared);
        self.flush()
    }

    /// Sends one message, whether or not the fleet is publishing. Answers whether the window had room.
    pub(super) fn publish_one(&mut self, shared: &mut Shared) -> Result<bool, Broken> {
        let Some(publisher) = self.publisher.as_mut().filter(|_| self.state == State::Ready) else {
            return Ok(false);
        };
        let sent = publisher.publish(&mut self.out, &shared.payload, shared.now_ns);
        shared.sent += u64::from(sent);
        self.flush()?;
        Ok(sent)
    }

    fn serve(&mut self, buffer: &mut [u8], shared: &mut Shared) -> Result<(), Broken> {
        if self.state == State::Opening && !self.greet(shared)? {
            return Ok(());
        }
        self.read(buffer, shared)?;
        self.flush()
    }

    /// Says CONNECT once the socket is connected.
    fn greet(&mut self, shared: &Shared) -> Result<bool, Broken> {
        let Some(link) = &mut self.link else { return Ok(false) };
        if let Some(error) = link.stream().take_error()? {
            return Err(error.into());
        }
        match link.stream().peer_addr() {
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            connected => connected?,
        };
        wire::connect(&mut self.out, shared.version, &self.plan);
        self.state = State::Greeting;
        self.flush()?;
        Ok(true)
    }

    /// Reads until nothing is left: the poll tells of new bytes only.
    fn read(&mut self, buffer: &mut [u8], shared: &mut Shared) -> Result<(), Broken> {
        loop {
            let Some(link) = &mut self.link else { return Ok(()) };
            let kept = self.rest.len();
            buffer[..kept].copy_from_slice(&self.rest);
            let read = match link.read(&mut buffer[kept..]) {
                Ok(0) => return Err(Broken::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let is_all = link.short_read_is_the_end() && kept + read < buffer.len();
            let filled = kept + read;
            shared.tell_time();
            let taken = self.take_all(&buffer[..filled], shared)?;
            if taken == 0 && filled == buffer.len() {
                return Err(Broken::TooLarge);
            }
            self.rest.clear();
            self.rest.extend_from_slice(&buffer[taken..filled]);
            self.refill(shared);
            if is_all {
                return Ok(());
            }
            self.flush()?;
        }
    }

    /// Takes the whole packets; answers how many bytes they were.
    fn take_all(&mut self, bytes: &[u8], shared: &mut Shared) -> Result<usize, Broken> {
        let mut taken = 0;
        while let Some((packet, size)) = next(&bytes[taken..], shared.version)? {
            taken += size;
            self.take(packet, shared)?;
        }
        Ok(taken)
    }

    fn take(&mut self, packet: Packet<'_>, shared: &mut Shared) -> Result<(), Broken> {
        match packet {
            Packet::Publish { qos, packet_id, payload, .. } => {
                if qos > 0 {
                    wire::puback(&mut self.out, packet_id);
                }
                self.hear(payload, shared);
            }
            Packet::Puback { packet_id, code } => self.acknowledged(packet_id, code, shared),
            Packet::Connack { session_present, code, receive_maximum } => {
                if code != 0 {
                    return Err(Broken::NotLetIn(code));
                }
                self.let_in(session_present, receive_maximum, shared);
            }
            Packet::Suback { code } => {
                if code >= REFUSED {
                    return Err(Broken::NotSubscribed(code));
                }
                self.become_ready(shared);
            }
            Packet::Disconnect { code } => return Err(Broken::Disconnected(code)),
            Packet::Other => {}
        }
        Ok(())
    }

    fn let_in(&mut self, session_present: bool, receive_maximum: u16, shared: &mut Shared) {
        shared.stats.connect.record(shared.now_ns.saturating_sub(self.began_ns));
        if let Some(publisher) = &mut self.publisher {
            publisher.allow(receive_maximum);
        }
        match &self.plan.filter {
            Some(filter) if !session_present => {
                shared.faults.sessions_lost += u64::from(self.known && self.plan.durable);
                wire::subscribe(&mut self.out, shared.version, filter);
                self.state = State::Subscribing;
            }
            _ => self.become_ready(shared),
        }
    }

    fn become_ready(&mut self, shared: &mut Shared) {
        if self.state != State::Ready {
            self.state = State::Ready;
            self.known = true;
            shared.ready += 1;
        }
    }

    fn hear(&mut self, payload: &[u8], shared: &mut Shared) {
        let Some(stamp) = Stamp::read(payload) else {
            shared.stats.others += 1;
            return;
        };
        match self.inbound.see(stamp.flow, stamp.counter) {
            Seen::InOrder | Seen::Ahead => {}
            Seen::Late => shared.faults.disordered += 1,
            Seen::Duplicate => {
                shared.faults.duplicated += 1;
                return;
            }
            Seen::Foreign => {
                shared.faults.foreign += 1;
                return;
            }
        }
        shared.stats.delivered += 1;
        shared.stats.end_to_end.record(shared.now_ns.saturating_sub(stamp.sent_ns));
        if self.inbound.unique == self.inbound.owed {
            shared.behind -= 1;
            shared.stats.caught_up.record(shared.now_ns.saturating_sub(self.began_ns));
            shared.stats.returned.record(shared.now_ns.saturating_sub(shared.counted_from_ns));
        }
    }

    fn acknowledged(&mut self, packet_id: u16, code: u8, shared: &mut Shared) {
        let success = code < REFUSED;
        match self.publisher.as_mut().map_or(Acked::Nothing, |publisher| publisher.acked(packet_id, success))
        {
            Acked::Nothing => shared.faults.acknowledged_twice += 1,
            Acked::Message { sent_ns } => {
                shared.acknowledged += 1;
                shared.stats.acked += 1;
                shared.stats.ack.record(shared.now_ns.saturating_sub(sent_ns));
            }
        }
        if !success {
            shared.faults.refused += 1;
            shared.faults.refused_code = code;
        }
    }

    fn refill(&mut self, shared: &mut Shared) {
        if !shared.publishing || self.state != State::Ready {
            return;
        }
        if let Some(publisher) = &mut self.publisher {
            while publisher.publish(&mut self.out, &shared.payload, shared.now_ns) {
                shared.sent += 1;
            }
        }
    }

    /// Writes as much as the socket takes.
    fn flush(&mut self) -> Result<(), Broken> {
        let Some(link) = &mut self.link else { return Ok(()) };
        link.flush()?;
        while self.written < self.out.len() {
            match link.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }
}
