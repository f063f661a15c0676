//! rust-mqtt in the fleet: the line protocol of `tests/clients/README.md`, MQTT 5 only.
//!
//! The library is `no_std` and keeps no more than a microcontroller has: what a packet brings must fit into
//! [`PACKET_BYTES_MAX`] bytes, and a handful of messages are in flight.

mod budget;
mod options;
mod report;

use budget::Budget;
use embedded_io_adapters::tokio_1::FromTokio;
use report::say;
use rust_mqtt::{
    Bytes,
    client::{
        Client, MqttError,
        event::Event,
        options::{DisconnectOptions, UnsubscriptionOptions},
    },
    types::{MqttString, PacketIdentifier, TopicFilter},
};
use serde_json::{Value, json};
use std::{error::Error, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    net::TcpStream,
    time::{Instant, sleep_until},
};

/// The largest packet that the device takes, as it tells the server.
const PACKET_BYTES_MAX: u32 = 256;
/// Messages in flight, each way.
const IN_FLIGHT: usize = 4;
/// User properties of a packet.
const USER_PROPERTIES: usize = 4;
/// Topic aliases, each way.
const ALIASES: usize = 10;

type Library<'c> = Client<
    'c,
    'c,
    FromTokio<TcpStream>,
    Budget,
    1,
    IN_FLIGHT,
    IN_FLIGHT,
    2,
    USER_PROPERTIES,
    ALIASES,
    ALIASES,
>;
/// What makes an order impossible.
type Refused = Box<dyn Error>;

/// The device around the library: what that leaves to its user.
struct Device<'c> {
    client: Library<'c>,
    connected: bool,
    ping_every: Duration,
    ping_at: Instant,
    /// The newest publish that is not done, to be sent again after a lost connection.
    open: Option<(PacketIdentifier, Value)>,
    /// The topics of the aliases that the server uses.
    aliases: [String; ALIASES],
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Refused> {
    let mut budget = Budget::default();
    let mut device = Device::new(&mut budget);
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        device.client.buffer_mut().refill();
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                let order: Value = serde_json::from_str(&line)?;
                if let Err(error) = device.obey(&order).await {
                    say(json!({"event": "error", "text": error.to_string()}));
                }
            }
            header = device.client.poll_header(), if device.connected => {
                let event = match header {
                    Ok(header) => told(device.client.poll_body(header).await),
                    Err(error) => told(Err(error)),
                };
                match event {
                    Ok(event) => device.happened(event),
                    Err(error) => device.lost(&error.to_string()).await,
                }
            }
            () = sleep_until(device.ping_at), if device.connected => {
                if let Err(error) = told(device.client.ping().await) {
                    device.lost(&error.to_string()).await;
                }
                device.ping_at = Instant::now() + device.ping_every;
            }
        }
    }
}

impl<'c> Device<'c> {
    fn new(budget: &'c mut Budget) -> Self {
        Self {
            client: Client::new(budget),
            connected: false,
            ping_every: Duration::ZERO,
            ping_at: Instant::now(),
            open: None,
            aliases: Default::default(),
        }
    }

    async fn obey(&mut self, order: &Value) -> Result<(), Refused> {
        match order["do"].as_str() {
            Some("connect") => self.connect(order).await,
            Some("subscribe") => {
                let filter = filter(order)?;
                told(self.client.subscribe(filter, &options::subscribe(order)?).await).map(drop)
            }
            Some("unsubscribe") => {
                let filter = filter(order)?;
                told(self.client.unsubscribe(filter, &UnsubscriptionOptions::new()).await).map(drop)
            }
            Some("publish") => self.publish(order).await,
            _ => {
                let socket = told(self.client.disconnect(&DisconnectOptions::new()).await)?;
                drop(socket);
                self.connected = false;
                say(json!({"event": "disconnected"}));
                Ok(())
            }
        }
    }

    async fn connect(&mut self, order: &Value) -> Result<(), Refused> {
        let port = u16::try_from(options::number(order, "port").ok_or("no port")?)?;
        let socket = TcpStream::connect((options::text(order, "host")?, port)).await?;
        socket.set_nodelay(true)?;
        let id = MqttString::try_from(options::text(order, "id")?).map_err(|error| format!("{error:?}"))?;
        let options = options::connect(order)?;
        let connected = self.client.connect(FromTokio::new(socket), &options, Some(id)).await;
        if let Err(error) = connected {
            self.lost("CONNECT").await;
            return Err(format!("{error:?}").into());
        }
        self.ping_every = Duration::from_secs(options::number(order, "keepAlive").ok_or("no keepAlive")?) / 2;
        self.ping_at = Instant::now() + self.ping_every;
        self.connected = true;
        say(json!({"event": "connected"}));
        self.complete().await
    }

    /// Goes on where the last connection ended: PUBLISH again, or PUBREL again, as the session says.
    async fn complete(&mut self) -> Result<(), Refused> {
        let Some((id, order)) = &self.open else { return Ok(()) };
        let user = options::user(order)?;
        let options = options::publish(order, &user)?;
        let body = options::payload(order)?;
        match self.client.republish(*id, &options, Bytes::from(&body[..])).await {
            Ok(()) | Err(MqttError::PacketIdentifierNotInFlight) => Ok(()),
            Err(MqttError::HandshakeStateMismatched) => told(self.client.rerelease().await),
            Err(error) => Err(format!("{error:?}").into()),
        }
    }

    async fn publish(&mut self, order: &Value) -> Result<(), Refused> {
        let user = options::user(order)?;
        let options = options::publish(order, &user)?;
        let body = options::payload(order)?;
        match told(self.client.publish(&options, Bytes::from(&body[..])).await)? {
            Some(id) => self.open = Some((id, order.clone())),
            None => say(json!({"event": "published"})),
        }
        Ok(())
    }

    fn happened(&mut self, event: Event<'_, 2, USER_PROPERTIES>) {
        match event {
            Event::Publish(publish) => {
                let topic = report::topic(&mut self.aliases, &publish.topic);
                report::message(&topic, &publish);
            }
            Event::PublishAcknowledged(_) | Event::PublishComplete(_) => {
                self.open = None;
                say(json!({"event": "published"}));
            }
            Event::PublishRejected(refusal) => {
                say(json!({"event": "error", "text": format!("{:?}", refusal.reason_code)}));
            }
            Event::Suback(suback) => {
                say(json!({"event": "subscribed", "code": suback.reason_code.value()}));
            }
            Event::Unsuback(_) => say(json!({"event": "unsubscribed"})),
            _ => {}
        }
    }

    async fn lost(&mut self, why: &str) {
        // The socket is of no use any more, whatever the library still says of it.
        let _ = self.client.abort().await;
        self.connected = false;
        say(json!({"event": "lost", "text": why}));
    }
}

fn filter(order: &Value) -> Result<TopicFilter<'_>, Refused> {
    let filter =
        MqttString::try_from(options::text(order, "filter")?).map_err(|error| format!("{error:?}"))?;
    TopicFilter::new(filter).ok_or_else(|| "no topic filter".into())
}

/// The library's errors as words.
fn told<T, const N: usize>(answer: Result<T, MqttError<'_, N>>) -> Result<T, Refused> {
    answer.map_err(|error| format!("{error:?}").into())
}
