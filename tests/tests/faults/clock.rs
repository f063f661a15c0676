//! The clock jumps, an hour forward and then to an hour behind, while the server runs (libfaketime).
//!
//! **Expected**
//! * Order, seqs and message ids know no clock: they go on, and a retry gets its first seq, before and after.
//! * Times of messages follow the clock forward. They never go back while the server runs: after a jump back they stand
//!   still until the clock has caught up. After a restart they may be earlier than those before; the seqs are not.
//! * Keep alive, time-outs and rates count on a clock that does not jump: no connection ends because of it.
//! * What has an end at a time ends by the clock as it is: an access token is refused an hour later and its connections
//!   are closed (0x87) at their next sign of life; a session and a free message expire. A clock that is set back lets a
//!   token in again that has an hour more by it: whoever sets the clock can do that.
//! * Messages of conversations never expire: the device whose session did gets them from its position.

use parlance_tests::{
    Client, Closed, Device, Message, Options, Server, User,
    mqtt::{Packet, QoS, ReasonCode},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const HOUR_MS: u64 = 3_600_000;
/// Messages in each stretch.
const EACH: u64 = 20;
/// How far two clocks of this machine may be apart when they are compared: the time that the test takes.
const APART_MS: u64 = 120_000;
/// Ends within the hour, and not within the test.
const HALF_HOUR_S: u32 = 1_800;
/// Devices that are away, and how long their sessions stay, seconds.
const AWAY: [(&str, u32); 2] = [("short", HALF_HOUR_S), ("long", 3 * 3_600)];
/// Nothing comes.
const QUIET: Duration = Duration::from_millis(500);

/// The library, wherever the architecture puts it.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("libraries").filter_map(Result::ok);
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.exists()).expect("libfaketime is not there: cargo xtask setup")
}

/// The clock of the server: what it shows is the machine's time and so many seconds.
struct Clock(tempfile::TempDir);

impl Clock {
    fn new() -> Self {
        let clock = Self(tempfile::tempdir().expect("a temporary folder"));
        clock.jump(0);
        clock
    }

    fn jump(&self, seconds: i64) {
        let (file, fresh) = (self.0.path().join("time"), self.0.path().join("time.new"));
        fs::write(&fresh, format!("{seconds:+}")).expect("a file");
        fs::rename(&fresh, &file).expect("a file");
    }

    /// Only the time of day jumps: the clock that counts from the machine's start cannot.
    fn options(&self) -> Options {
        Server::options()
            .open()
            .env("LD_PRELOAD", library().display())
            .env("FAKETIME_TIMESTAMP_FILE", self.0.path().join("time").display())
            .env("FAKETIME_NO_CACHE", 1)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", 1)
            .env("NO_FAKE_STAT", 1)
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("before the year 584,556,019")
}

/// A talk from alice to bob's phone, through all jumps.
struct Talk {
    server: Server,
    alice: User,
    bob: User,
    laptop: Client,
    phone: Client,
    /// Messages so far, and the time of the newest.
    head: u64,
    time_ms: u64,
}

impl Talk {
    async fn begin(clock: &Clock) -> Self {
        let server = Server::start(clock.options()).await;
        let (alice, bob) = (server.user("alice").await, server.user("bob").await);
        // Keep alive is shorter than every jump.
        let laptop = Device::new("laptop").keep_alive_s(600).connect(&server, &alice).await;
        let mut phone = Device::new("phone").keep_alive_s(600).connect(&server, &bob).await;
        phone.subscribe("me/json/inbox/#").await;
        Self { server, alice, bob, laptop, phone, head: 0, time_ms: 0 }
    }

    fn message(number: u64) -> Message {
        Message::new("user/@bob/text", format!("message {number}")).property("id", &format!("m-{number}"))
    }

    /// Some messages, each with the next seq and a time that is not before the last one's.
    async fn goes_on(&mut self) {
        for _ in 0..EACH {
            self.head += 1;
            let ack = self.laptop.publish_message(&Self::message(self.head)).await;
            assert_eq!((ack.seq(), ack.repeated()), (self.head, false));
            let came = self.phone.next().await.json();
            assert_eq!(came["seq"], self.head, "{came}");
            let time_ms = came["timeMs"].as_u64().expect("a time");
            assert!(time_ms >= self.time_ms, "{time_ms} after {}", self.time_ms);
            self.time_ms = time_ms;
        }
    }

    /// What was sent long ago is known: its first seq, and nobody gets it again.
    async fn knows_the_past(&mut self) {
        for number in [1, self.head / 2, self.head] {
            let ack = self.laptop.publish_message(&Self::message(number)).await;
            assert_eq!((ack.seq(), ack.repeated()), (number, true));
        }
        assert_eq!(self.phone.next_within(QUIET).await, None, "a retry is not delivered");
    }

    async fn whole_history(&self) {
        let history = self.server.history(&self.bob.token, "@alice").await;
        let texts: Vec<&str> = history.iter().filter_map(|message| message["text"].as_str()).collect();
        let expected: Vec<String> = (1..=self.head).map(|number| format!("message {number}")).collect();
        assert_eq!(texts, expected);
    }

    async fn login(&self, user: &User) -> String {
        let request = json!({"handle": user.handle, "password": user.password});
        let tokens = self.server.call("", "login", request).await;
        tokens["accessToken"].as_str().expect("a token").to_owned()
    }
}

async fn let_in(server: &Server, user: &User, token: &str) -> Result<Client, Option<ReasonCode>> {
    let device = Device::new("tablet").login(Some(&user.handle), Some(token));
    device.try_connect(server, user).await.map_err(|closed| match closed {
        Closed::Refused(connack) => Some(connack.reason),
        other => panic!("{other:?}"),
    })
}

/// A device of the open listener whose session waits on a topic.
async fn leave_a_session(server: &Server, name: &str, expiry_s: u32) -> Device {
    let device = Device::new(name).at(server.open()).expiry_s(expiry_s);
    let mut client = device.connect_open().await;
    assert_eq!(client.try_subscribe("clock/#", QoS::AtLeastOnce).await, ReasonCode::GrantedQoS1);
    client.disconnect().await;
    device
}

async fn publish_free(server: &Server, text: &str, expiry_s: Option<u32>) {
    let mut client = Device::new("publisher").at(server.open()).clean().expiry_s(0).connect_open().await;
    let message = Message::new("clock/face", text.to_owned());
    client.publish_message(&expiry_s.map_or(message.clone(), |seconds| message.expiry_s(seconds))).await;
}

fn about(time_ms: u64, expected_ms: u64) -> bool {
    time_ms.abs_diff(expected_ms) < APART_MS
}

#[tokio::test]
async fn the_clock_jumps_an_hour_forward_and_back() {
    let clock = Clock::new();
    let mut talk = Talk::begin(&clock).await;
    let rita = talk.server.register("rita").await;
    let first_token = rita.token.clone();
    let mut tablet = let_in(&talk.server, &rita, &first_token).await.expect("a fresh token");
    // Of bob's devices that are away one has a session that ends within the hour.
    let mut away = Vec::new();
    for (name, expiry_s) in AWAY {
        let mut device = Device::new(name).expiry_s(expiry_s).connect(&talk.server, &talk.bob).await;
        device.subscribe("me/json/inbox/#").await;
        away.push(device);
    }
    talk.goes_on().await;
    for mut device in away {
        assert_eq!(device.next_many(EACH as usize).await.len() as u64, talk.head);
        device.disconnect().await;
    }
    let seen = talk.head;
    let shelf = leave_a_session(&talk.server, "shelf", 3 * 3_600).await;
    publish_free(&talk.server, "expires", Some(HALF_HOUR_S)).await;
    publish_free(&talk.server, "stays", None).await;
    talk.goes_on().await;
    assert!(about(talk.time_ms, now_ms()), "{}", talk.time_ms);

    clock.jump(3_600);
    talk.goes_on().await;
    assert!(
        about(talk.time_ms, now_ms() + HOUR_MS),
        "the clock of the server did not jump: {}",
        talk.time_ms
    );
    talk.knows_the_past().await;
    // The token: its connection at the next sign of life, and at the door.
    tablet.send_packet(&Packet::PingReq).await;
    assert_eq!(tablet.closed().await.reason(), Some(ReasonCode::NotAuthorized));
    let refused = let_in(&talk.server, &rita, &first_token).await.map(drop);
    assert_eq!(refused, Err(Some(ReasonCode::NotAuthorized)));
    let later_token = talk.login(&rita).await;
    let_in(&talk.server, &rita, &later_token).await.expect("a token of now").disconnect().await;
    // Sessions and what expires.
    let expected = talk.head;
    for (name, expiry_s) in AWAY {
        let stays = expiry_s > HALF_HOUR_S;
        let mut back = Device::new(name).connect(&talk.server, &talk.bob).await;
        assert_eq!(back.session_present(), stays, "{name}");
        back.subscribe("me/json/inbox/#").await;
        for seq in seen + 1..=expected {
            assert_eq!(back.next().await.seq(), seq, "{name}: conversations do not expire");
        }
        back.disconnect().await;
    }
    let mut back = shelf.connect_open().await;
    assert!(back.session_present());
    assert_eq!(back.next().await.text(), "stays", "what has expired is not sent");
    assert_eq!(back.next_within(QUIET).await, None);
    back.disconnect().await;
    publish_free(&talk.server, "made an hour ahead", Some(HALF_HOUR_S)).await;

    clock.jump(-3_600);
    let ahead_ms = talk.time_ms;
    talk.goes_on().await;
    assert!(about(talk.time_ms, ahead_ms), "times stand still: {} after {ahead_ms}", talk.time_ms);
    talk.knows_the_past().await;
    let again = let_in(&talk.server, &rita, &first_token).await.is_ok();
    for token in [later_token, talk.login(&rita).await] {
        let_in(&talk.server, &rita, &token).await.expect("a token that has not expired").disconnect().await;
    }
    let mut back = shelf.connect_open().await;
    assert_eq!(back.next().await.text(), "made an hour ahead", "set back, the clock leaves it more time");
    back.disconnect().await;
    talk.whole_history().await;

    // A server that starts behind its own past.
    talk.server.restart().await;
    talk.laptop = Device::new("laptop").connect(&talk.server, &talk.alice).await;
    talk.phone = Device::new("phone").connect(&talk.server, &talk.bob).await;
    assert!(talk.phone.session_present());
    let ahead_ms = std::mem::take(&mut talk.time_ms);
    talk.goes_on().await;
    talk.knows_the_past().await;
    talk.whole_history().await;
    let behind_s = ahead_ms.saturating_sub(talk.time_ms) / 1_000;
    assert_eq!(damage(&talk.server).await, Vec::<Value>::new());
    println!(
        "clock +1 h, -1 h, restart: {} messages, seqs dense, ids known; after the restart times are {behind_s} s \
         behind those before; an expired token is let in again when the clock is set back: {again}",
        talk.head
    );
}

/// What `verify` finds.
async fn damage(server: &Server) -> Vec<Value> {
    let found = server.admin("verifyStore", json!({})).await;
    found["damage"].as_array().expect("a list").clone()
}
