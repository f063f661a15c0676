//! A script against a broker.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parlance_mqtt::{
    Connect as ConnectPacket, Disconnect, Packet, PacketId, Publish as PublishPacket, PublishProperties, QoS,
    ReasonCode, Subscribe, SubscribeFilter, TopicName, Unsubscribe, Version, Will,
};

use crate::brokers::Place;
use crate::client::{Came, Client, PATIENCE};
use crate::script::{CLIENTS, Connect, Publish, Script, Step, Subscription, TOPICS};
use crate::trace::{Event, Stream, Trace, event};

/// Rounds without anything new after which everybody is taken to be quiet.
const QUIET_ROUNDS: usize = 2;
/// How long a broker may take to close after a mistake.
const END: Duration = Duration::from_millis(400);
/// Rounds after which a broker is taken to send for ever.
const ROUNDS_MAX: usize = 60;

struct Player<'a> {
    script: &'a Script,
    place: &'a Place,
    /// Between two rounds.
    pause: Duration,
    prefix: String,
    clients: [Option<Client>; CLIENTS],
    connections: [usize; CLIENTS],
    answers: [bool; CLIENTS],
    payloads: u32,
    packet_id: u16,
    trace: Trace,
}

/// Plays a script and writes down what its clients got. `pause`: how long to wait between two rounds of PINGREQ.
/// Afterwards nothing is left of it in the broker.
pub fn play(script: &Script, place: &Place, pause: Duration) -> Trace {
    let mut player = Player {
        script,
        place,
        pause,
        prefix: script.prefix(),
        clients: std::array::from_fn(|_| None),
        connections: [0; CLIENTS],
        answers: [true; CLIENTS],
        payloads: 0,
        packet_id: 100,
        trace: Trace::default(),
    };
    for (client, step) in &script.steps {
        player.take(*client, step);
    }
    let trace = std::mem::take(&mut player.trace);
    player.clean_up();
    trace
}

impl Player<'_> {
    fn take(&mut self, client: usize, step: &Step) {
        if let Step::Connect(connect) = step {
            return self.connect(client, connect);
        }
        if let Step::Answer(answers) = step {
            self.answers[client] = *answers;
            if let Some(client) = &mut self.clients[client] {
                client.answers = *answers;
            }
            return;
        }
        if self.clients[client].is_none() {
            return;
        }
        match step {
            Step::Connect(_) | Step::Answer(_) => {}
            Step::Subscribe(subscriptions) => {
                let packet = self.subscribe(subscriptions);
                self.ask(client, &packet, |packet| matches!(packet, Packet::SubAck(_)));
            }
            Step::Unsubscribe(filters) => {
                let packet = self.unsubscribe(filters);
                self.ask(client, &packet, |packet| matches!(packet, Packet::UnsubAck(_)));
            }
            Step::Publish(publish) => self.publish(client, publish),
            Step::Disconnect { with_will } => {
                let reason = if *with_will { ReasonCode::DisconnectWithWill } else { ReasonCode::Success };
                self.tell(client, &Packet::Disconnect(Disconnect::with(reason)));
                self.hang_up(client);
            }
            Step::Drop => self.hang_up(client),
            Step::Break(kind) => {
                let version = self.script.versions[client];
                if let Some(client) = &mut self.clients[client] {
                    client.write(&kind.bytes(version));
                }
                if kind.is_error() {
                    self.await_end(client);
                }
            }
        }
        self.settle();
    }

    fn connect(&mut self, client: usize, connect: &Connect) {
        if self.clients[client].is_some() {
            self.tell(client, &Packet::Disconnect(Disconnect::with(ReasonCode::Success)));
            self.hang_up(client);
            self.settle();
        }
        let version = self.script.versions[client];
        self.connections[client] += 1;
        let Ok(mut made) = Client::connect(self.place.address(version), version) else {
            return self.note(client, Stream::End, Event::Closed);
        };
        made.answers = self.answers[client];
        self.clients[client] = Some(made);
        let packet = self.connect_packet(client, connect);
        self.ask(client, &packet, |packet| matches!(packet, Packet::ConnAck(_)));
        self.settle();
    }

    fn connect_packet(&self, client: usize, connect: &Connect) -> Packet {
        let version = self.script.versions[client];
        let v5 = version == Version::V5;
        let will = connect.will.map(|(qos, retain)| Will {
            topic: self.topic("w"),
            payload: Bytes::from(format!("will of {client}")),
            qos,
            retain,
            delay_s: None,
            properties: PublishProperties::default(),
        });
        Packet::Connect(Box::new(ConnectPacket {
            version,
            clean_start: connect.clean,
            keep_alive_s: 60,
            client_id: self.script.client_id(client).into(),
            will,
            username: None,
            password: None,
            session_expiry_s: v5.then_some(connect.expiry_s),
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: None,
            request_response_information: None,
            request_problem_information: None,
            authentication_method: None,
            authentication_data: None,
            user_properties: Vec::new(),
        }))
    }

    fn topic(&self, topic: &str) -> TopicName {
        format!("{}/{topic}", self.prefix).parse().expect("a topic name")
    }

    fn next_id(&mut self) -> PacketId {
        self.packet_id += 1;
        PacketId::MIN.saturating_add(self.packet_id - 1)
    }

    fn subscribe(&mut self, subscriptions: &[Subscription]) -> Packet {
        let filters = subscriptions.iter().map(|it| {
            let share = if it.shared { "$share/one/" } else { "" };
            SubscribeFilter {
                filter: format!("{share}{}/{}", self.prefix, it.filter).parse().expect("a filter"),
                qos: it.qos,
                no_local: it.no_local,
                retain_as_published: it.retain_as_published,
                retain_handling: it.handling,
            }
        });
        let filters = filters.collect();
        Packet::Subscribe(Subscribe {
            packet_id: self.next_id(),
            filters,
            subscription_id: subscriptions.first().and_then(|it| it.id),
            user_properties: Vec::new(),
        })
    }

    fn unsubscribe(&mut self, filters: &[&str]) -> Packet {
        let filters = filters.iter().map(|it| format!("{}/{it}", self.prefix).parse().expect("a filter"));
        let filters = filters.collect();
        Packet::Unsubscribe(Unsubscribe { packet_id: self.next_id(), filters, user_properties: Vec::new() })
    }

    fn publish(&mut self, client: usize, publish: &Publish) {
        self.payloads += 1;
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        let mut properties = PublishProperties::default();
        if publish.properties {
            properties.payload_is_utf8 = Some(true);
            properties.content_type = Some(text("text/plain"));
            properties.response_topic = Some(text("answers"));
            properties.correlation_data = Some(text("17"));
            properties.user_properties =
                vec![(text("b"), text("1")), (text("a"), text("2")), (text("b"), text("3"))];
        }
        let payload = if publish.empty { Bytes::new() } else { Bytes::from(self.payloads.to_string()) };
        let packet = Packet::Publish(PublishPacket {
            dup: false,
            qos: publish.qos,
            retain: publish.retain,
            topic: Some(self.topic(publish.topic)),
            packet_id: (publish.qos != QoS::AtMostOnce).then(|| self.next_id()),
            properties,
            payload,
        });
        match publish.qos {
            QoS::AtMostOnce => self.tell(client, &packet),
            QoS::AtLeastOnce => self.ask(client, &packet, |packet| matches!(packet, Packet::PubAck(_))),
            // To its end, or to a PUBREC that refuses.
            QoS::ExactlyOnce => self.ask(client, &packet, |packet| match packet {
                Packet::PubComp(_) => true,
                Packet::PubRec(ack) => ack.reason.is_error(),
                _ => false,
            }),
        }
    }

    fn tell(&mut self, client: usize, packet: &Packet) {
        if let Some(client) = &mut self.clients[client] {
            client.send(packet);
        }
    }

    /// Sends and waits for the answer, at most [`PATIENCE`].
    fn ask(&mut self, client: usize, packet: &Packet, is_answer: impl Fn(&Packet) -> bool) {
        self.tell(client, packet);
        self.take_until(client, is_answer);
    }

    /// Takes what comes until something is there. Returns how much came.
    fn take_until(&mut self, client: usize, is_enough: impl Fn(&Packet) -> bool) -> usize {
        self.take_for(client, PATIENCE, is_enough)
    }

    fn take_for(&mut self, client: usize, patience: Duration, is_enough: impl Fn(&Packet) -> bool) -> usize {
        let until = Instant::now() + patience;
        let mut count = 0;
        while let Some(connection) = &mut self.clients[client] {
            match connection.next(until) {
                Came::Packet(packet) => {
                    count += usize::from(!matches!(*packet, Packet::PingResp));
                    if let Some((stream, event)) = event(&packet, self.script.versions[client], &self.prefix)
                    {
                        self.note(client, stream, event);
                    }
                    if is_enough(&packet) {
                        return count;
                    }
                }
                Came::Closed => {
                    self.note(client, Stream::End, Event::Closed);
                    self.clients[client] = None;
                    return count + 1;
                }
                Came::Nothing => return count,
            }
        }
        count
    }

    /// The broker must close: waits for it. If it does not, the client does, so that what follows can be compared.
    fn await_end(&mut self, client: usize) {
        self.take_for(client, END, |_| false);
        if self.clients[client].is_some() {
            self.note(client, Stream::End, Event::Tolerated);
        }
        self.hang_up(client);
    }

    fn hang_up(&mut self, client: usize) {
        self.clients[client] = None;
        // The broker has to notice before the others are asked whether there is something.
        thread::sleep(self.pause * 2);
    }

    fn note(&mut self, client: usize, stream: Stream, event: Event) {
        self.trace.add((client, self.connections[client]), stream, event);
    }

    /// Rounds of PINGREQ to everybody until nothing but PINGRESP comes.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..ROUNDS_MAX {
            let mut came = 0;
            for client in 0..CLIENTS {
                self.tell(client, &Packet::PingReq);
                came += self.take_until(client, |packet| matches!(packet, Packet::PingResp));
            }
            quiet = if came == 0 { quiet + 1 } else { 0 };
            if quiet == QUIET_ROUNDS {
                return;
            }
            thread::sleep(self.pause);
        }
    }

    /// Sessions and retained messages of the script go.
    fn clean_up(&mut self) {
        let clean = Connect { clean: true, expiry_s: 0, will: None };
        self.answers = [true; CLIENTS];
        for client in 0..CLIENTS {
            self.connect(client, &clean);
        }
        for topic in TOPICS {
            let delete =
                Publish { topic, qos: QoS::AtLeastOnce, retain: true, empty: true, properties: false };
            self.publish(0, &delete);
        }
        for client in 0..CLIENTS {
            self.tell(client, &Packet::Disconnect(Disconnect::with(ReasonCode::Success)));
            self.clients[client] = None;
        }
    }
}
