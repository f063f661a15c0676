//! The load generator against a broker that does as it is told: what goes wrong there is found here.

use parlance_bench::load::{
    Crew, Endpoint, Losses,
    wire::{Plan, Version},
};
use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_millis(500);
const MESSAGES: u32 = 300;

/// What the broker does to the hundredth message of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mischief {
    None,
    Lose,
    Double,
    Swap,
    Refuse,
    HangUp,
}

type Readers = Arc<Mutex<HashMap<Vec<u8>, TcpStream>>>;

/// As much of a broker as is needed: one reader for each topic, MQTT 3.1.1 or 5 without properties.
fn broker(mischief: Mischief, version: Version) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let readers = Readers::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection =
                Connection { stream, readers: readers.clone(), mischief, version, heard: 0, held: None };
            thread::spawn(move || connection.run());
        }
    });
    address
}

struct Connection {
    stream: TcpStream,
    readers: Readers,
    mischief: Mischief,
    version: Version,
    heard: u32,
    held: Option<(Vec<u8>, Vec<u8>)>,
}

impl Connection {
    fn run(mut self) {
        while let Some((first, body)) = self.packet() {
            let goes_on = match first >> 4 {
                1 => {
                    self.say(if self.version == Version::V5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] })
                }
                8 => self.subscribe(&body),
                3 => self.publish(first, &body),
                14 => false,
                _ => true,
            };
            if !goes_on {
                return;
            }
        }
    }

    fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).ok()?;
        let first = byte[0];
        let (mut length, mut shift) = (0, 0);
        loop {
            self.stream.read_exact(&mut byte).ok()?;
            length |= usize::from(byte[0] & 0x7F) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some((first, body))
    }

    fn say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    fn subscribe(&mut self, body: &[u8]) -> bool {
        let v5 = self.version == Version::V5;
        let topic = body[2 + usize::from(v5) + 2..body.len() - 1].to_vec();
        let stream = self.stream.try_clone().expect("a descriptor");
        self.readers.lock().expect("no panics").insert(topic, stream);
        self.say(if v5 { &[0x90, 4, 0, 1, 0, 1] } else { &[0x90, 3, 0, 1, 1] })
    }

    fn publish(&mut self, first: u8, body: &[u8]) -> bool {
        let topic_bytes = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = body[2..2 + topic_bytes].to_vec();
        let packet_id = [body[2 + topic_bytes], body[3 + topic_bytes]];
        let length = [(body.len() & 0x7F | 0x80) as u8, (body.len() >> 7) as u8];
        let packet = [&[first][..], &length, body].concat();
        self.heard += 1;
        let hundredth = self.heard == 100;
        match self.mischief {
            Mischief::Lose if hundredth => {}
            Mischief::HangUp if hundredth => {
                self.stream.shutdown(Shutdown::Both).expect("it is open");
                return false;
            }
            Mischief::Refuse if hundredth => {
                self.deliver(&topic, &packet);
                return self.say(&[0x40, 3, packet_id[0], packet_id[1], 0x97]);
            }
            Mischief::Swap if hundredth => self.held = Some((topic, packet)),
            mischief => {
                self.deliver(&topic, &packet);
                if mischief == Mischief::Double && hundredth {
                    self.deliver(&topic, &packet);
                }
                if let Some((topic, packet)) = self.held.take() {
                    self.deliver(&topic, &packet);
                }
            }
        }
        self.say(&[0x40, 2, packet_id[0], packet_id[1]])
    }

    fn deliver(&self, topic: &[u8], packet: &[u8]) {
        if let Some(reader) = self.readers.lock().expect("no panics").get_mut(topic) {
            // An error means that it has hung up.
            let _ = reader.write_all(packet);
        }
    }
}

/// Ten clients in a ring, on two threads.
fn ring(mischief: Mischief, version: Version) -> Crew {
    let endpoint = Endpoint { address: broker(mischief, version), tls: None };
    let mut crew = Crew::new(&endpoint, version, 2, 200, PATIENCE).expect("epoll");
    for client in 0..10 {
        crew.add(Plan {
            client_id: format!("c{client}"),
            user_name: None,
            password: None,
            filter: Some(format!("chat/{client}")),
            durable: true,
        });
    }
    for client in 0..10 {
        let reader = (client + 1) % 10;
        crew.flow(client, 4, &format!("chat/{reader}"), MESSAGES, reader..reader + 1);
    }
    crew.connect(0..10, 3).expect("the broker takes everybody");
    crew
}

fn chat(mischief: Mischief, version: Version) -> Crew {
    let mut crew = ring(mischief, version);
    crew.publish();
    crew.run_until_acknowledged().expect("all is acknowledged");
    crew.drain().expect("nothing waits for an acknowledgement");
    crew
}

#[test]
fn an_honest_broker_has_no_faults() {
    for version in [Version::V311, Version::V5] {
        let crew = chat(Mischief::None, version);
        let stats = crew.stats();
        assert_eq!((stats.acked, stats.delivered, stats.others), (3_000, 3_000, 0));
        assert_eq!((stats.ack.total(), stats.end_to_end.total()), (3_000, 3_000));
        assert_eq!(crew.faults().describe(), Vec::<String>::new());
        assert_eq!(crew.losses(), Losses { sent: 3_000, acknowledged: 3_000, lost: 0, unpromised: 0 });
    }
}

#[test]
fn a_message_that_is_acknowledged_and_not_delivered_is_lost() {
    let crew = chat(Mischief::Lose, Version::V5);
    assert_eq!((crew.losses().lost, crew.losses().acknowledged), (10, 3_000));
    assert!(crew.faults().describe().is_empty());
}

#[test]
fn a_message_that_comes_twice_is_found() {
    let crew = chat(Mischief::Double, Version::V5);
    assert_eq!((crew.faults().duplicated, crew.faults().disordered, crew.losses().lost), (10, 0, 0));
    assert_eq!(crew.stats().delivered, 3_000);
}

#[test]
fn messages_that_change_places_are_found() {
    let crew = chat(Mischief::Swap, Version::V311);
    assert_eq!((crew.faults().duplicated, crew.faults().disordered, crew.losses().lost), (0, 10, 0));
}

#[test]
fn a_publish_that_is_refused_is_found() {
    let faults = chat(Mischief::Refuse, Version::V5).faults();
    assert_eq!((faults.refused, faults.refused_code), (10, 0x97));
}

#[test]
fn what_was_never_acknowledged_is_not_lost() {
    let mut crew = ring(Mischief::HangUp, Version::V5);
    crew.publish();
    crew.run_while_open(Duration::from_secs(10), || ()).expect("epoll");
    let losses = crew.losses();
    assert_eq!((crew.open(), crew.faults().closed), (0, 10));
    assert!(losses.sent > losses.acknowledged && losses.acknowledged <= 990, "{losses:?}");
    assert!(losses.unpromised >= 10, "{losses:?}");
}

#[test]
fn who_is_turned_away_tries_again_but_not_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = Endpoint { address: listener.local_addr().expect("bound"), tls: None };
    let mut crew = Crew::new(&endpoint, Version::V5, 1, 200, PATIENCE).expect("epoll");
    crew.add(Plan {
        client_id: "c".to_owned(),
        user_name: None,
        password: None,
        filter: None,
        durable: false,
    });
    let away = thread::spawn(move || {
        let mut come = 0;
        for stream in listener.incoming().flatten().take(4) {
            stream.shutdown(Shutdown::Both).expect("it is open");
            come += 1;
        }
        come
    });
    let error = crew.connect(0..1, 1).expect_err("nobody is let in");
    assert!(error.to_string().contains("could not connect"), "{error}");
    assert_eq!(away.join().expect("no panics"), 4);
    assert_eq!(crew.stats().retries, 3);
}

#[test]
fn a_fixed_rate_is_kept() {
    let mut crew = ring(Mischief::None, Version::V5);
    crew.publish_at(500.0).expect("a timer");
    crew.run_for(Duration::from_secs(1)).expect("epoll");
    crew.drain().expect("all is acknowledged");
    let sent = crew.losses().sent;
    assert!((450..=510).contains(&sent), "{sent}");
    assert_eq!(crew.stats().late.total(), sent);
}
