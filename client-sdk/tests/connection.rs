//! A client against a broker that is played by the test.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod fake;

use fake::{CONVERSATION, FakeBroker, Socket, next, soon};
use parlance_client::{
    Client, ConnectError, Event, Failure, Refusal, RpcError, SendError, Target,
    api::{Done, LeaveGroupRequest},
    pb,
};
use parlance_mqtt::{ConnAckProperties, Packet, Publish, ReasonCode};
use prost::Message;
use std::time::Duration;

fn bob() -> Target {
    "@bob".parse().unwrap()
}

fn sent(publish: &Publish) -> pb::Send {
    pb::Send::decode(publish.payload.clone()).unwrap()
}

/// Sends in the background.
fn sending(client: &Client, text: &str) -> tokio::task::JoinHandle<Result<parlance_client::Sent, SendError>> {
    let (client, text) = (client.clone(), text.to_owned());
    tokio::spawn(async move { client.send(bob(), text).await })
}

async fn deliver(socket: &mut Socket, packet_id: u16, seq: u64) {
    let message = pb::Message {
        conversation: CONVERSATION.into(),
        seq,
        sender_handle: "bob".into(),
        text: seq.to_string(),
        ..Default::default()
    };
    let topic = format!("me/pb/inbox/{CONVERSATION}/@bob");
    socket.deliver(&topic, packet_id, message.encode_to_vec(), None).await;
}

fn seq_of(event: Event) -> u64 {
    match event {
        Event::Message { message, mine: false } => message.seq,
        other => panic!("a message expected, not {other:?}"),
    }
}

#[tokio::test]
async fn says_who_it_is_and_subscribes() {
    let broker = FakeBroker::start().await;
    let playing = async {
        let mut socket = broker.accept().await;
        let connect = socket.connect().await;
        socket.connack(false, ReasonCode::Success, ConnAckProperties::default()).await;
        let subscribe = socket.subscribe().await;
        socket.suback(&subscribe).await;
        (connect, subscribe)
    };
    let (client, (connect, subscribe)) = tokio::join!(Client::connect(broker.options()), playing);
    client.unwrap();
    assert_eq!(connect.username.as_deref(), Some(&b"alice"[..]));
    assert_eq!(connect.password.as_deref(), Some(&b"secret"[..]));
    assert_eq!((connect.clean_start, &connect.client_id[..]), (false, &b"laptop"[..]));
    assert!(connect.receive_maximum.is_some() && connect.maximum_packet_size > Some(1 << 20));
    let filters: Vec<_> = subscribe.filters.iter().map(|f| f.filter.as_str().to_owned()).collect();
    let expected =
        ["me/json/reply/#", "me/pb/inbox/#", "me/pb/receipts/#", "me/pb/typing/#", "me/pb/events/#"];
    assert_eq!(filters, expected);
}

#[tokio::test]
async fn a_visitor_leaves_nothing_behind() {
    let broker = FakeBroker::start().await;
    let playing = async {
        let mut socket = broker.accept().await;
        let connect = socket.connect().await;
        socket.connack(false, ReasonCode::Success, ConnAckProperties::default()).await;
        let subscribe = socket.subscribe().await;
        socket.suback(&subscribe).await;
        connect
    };
    let options = broker.visitor();
    let (client, connect) = tokio::join!(Client::connect(options), playing);
    client.unwrap();
    assert_eq!((connect.clean_start, connect.client_id.len()), (true, 0));
    assert_eq!(connect.session_expiry_s.unwrap_or_default(), 0);
    let nameless = parlance_client::Options::new("mqtt://localhost", "alice", "secret", "");
    assert!(matches!(Client::connect(nameless).await, Err(ConnectError::NoClientId)));
}

#[tokio::test]
async fn a_send_resolves_with_its_position() {
    let broker = FakeBroker::start().await;
    let (client, _events, mut socket) = broker.client(broker.options()).await;
    let send = sending(&client, "hello");
    let publish = socket.publish().await;
    assert_eq!(publish.topic.as_ref().unwrap().as_str(), "user/@bob/pb");
    assert_eq!(sent(&publish).text, "hello");
    socket.stored(&publish, 7).await;
    let stored = soon("the position", send).await.unwrap().unwrap();
    assert_eq!((stored.seq, stored.time_ms), (7, 1_700_000_000_000));
    assert_eq!((stored.conversation.to_string().as_str(), stored.id), (CONVERSATION, sent(&publish).id));
}

#[tokio::test]
async fn acknowledgements_out_of_order_go_to_the_right_sends() {
    let broker = FakeBroker::start().await;
    let (client, _events, mut socket) = broker.client(broker.options()).await;
    let mut sends = Vec::new();
    let mut publishes = Vec::new();
    for n in 0..10 {
        sends.push(sending(&client, &n.to_string()));
        publishes.push(socket.publish().await);
    }
    for (n, publish) in publishes.iter().enumerate().rev() {
        socket.stored(publish, n as u64 + 1).await;
    }
    for (n, send) in sends.into_iter().enumerate() {
        assert_eq!(soon("a position", send).await.unwrap().unwrap().seq, n as u64 + 1);
    }
}

#[tokio::test]
async fn a_refused_send_tells_the_code() {
    let broker = FakeBroker::start().await;
    let (client, _events, mut socket) = broker.client(broker.options()).await;
    let send = sending(&client, "hello");
    let publish = socket.publish().await;
    socket.refused(&publish, ReasonCode::NotAuthorized, "unknown_recipient").await;
    let refusal = Refusal { code: "unknown_recipient".into(), reason: "not there".into() };
    let expected = SendError::Failed(Failure::Refused(refusal));
    assert_eq!(soon("the refusal", send).await.unwrap(), Err(expected));
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_under_its_id_where_the_session_was_kept() {
    let broker = FakeBroker::start().await;
    let (client, mut events, mut socket) = broker.client(broker.options()).await;
    let (first, second) = (sending(&client, "one"), socket.publish().await);
    drop(socket);
    assert!(matches!(next(&mut events).await, Event::Disconnected { .. }));
    let new = sending(&client, "two");

    let mut socket = broker.accept().await;
    assert!(!socket.connect().await.clean_start);
    socket.connack(true, ReasonCode::Success, ConnAckProperties::default()).await;
    assert!(matches!(next(&mut events).await, Event::Connected { session_present: true }));
    // No SUBSCRIBE: the session has them. The old one comes first, as it was, with DUP (MQTT-4.4.0-1).
    let again = socket.publish().await;
    assert!(again.dup);
    assert_eq!((again.packet_id, sent(&again)), (second.packet_id, sent(&second)));
    socket.stored(&again, 1).await;
    assert_eq!(soon("the first", first).await.unwrap().unwrap().seq, 1);
    let publish = socket.publish().await;
    assert_eq!((publish.dup, sent(&publish).text.as_str()), (false, "two"));
    socket.stored(&publish, 2).await;
    assert_eq!(soon("the second", new).await.unwrap().unwrap().seq, 2);
}

#[tokio::test]
async fn what_was_not_acknowledged_is_published_anew_where_the_session_was_lost() {
    let broker = FakeBroker::start().await;
    let (client, _events, mut socket) = broker.client(broker.options()).await;
    let send = sending(&client, "one");
    let before = socket.publish().await;
    drop(socket);
    let mut socket = broker.welcome(false).await;
    let again = socket.publish().await;
    assert_eq!((again.dup, sent(&again)), (false, sent(&before)));
    socket.stored(&again, 1).await;
    assert_eq!(soon("the position", send).await.unwrap().unwrap().seq, 1);
}

#[tokio::test]
async fn sends_respect_the_window_and_the_packet_size_of_the_broker() {
    let broker = FakeBroker::start().await;
    let playing = async {
        let mut socket = broker.accept().await;
        socket.connect().await;
        let properties = ConnAckProperties {
            receive_maximum: Some(2),
            maximum_packet_size: Some(500),
            ..Default::default()
        };
        socket.connack(false, ReasonCode::Success, properties).await;
        let subscribe = socket.subscribe().await;
        socket.suback(&subscribe).await;
        socket
    };
    let (connected, mut socket) = tokio::join!(Client::connect(broker.options()), playing);
    let (client, _events) = connected.unwrap();
    let large = sending(&client, &"x".repeat(1000));
    let outcome = soon("the failure", large).await.unwrap();
    assert!(matches!(outcome, Err(SendError::Failed(Failure::TooLarge { bytes_max: 500, .. }))));

    let sends: Vec<_> = (0..5).map(|n| sending(&client, &n.to_string())).collect();
    let mut window = vec![socket.publish().await, socket.publish().await];
    socket.assert_silent().await;
    for seq in 1..=5 {
        let publish = window.remove(0);
        socket.stored(&publish, seq).await;
        if seq <= 3 {
            window.push(socket.publish().await);
        }
    }
    for send in sends {
        soon("a position", send).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_message_is_acknowledged_when_it_is_taken() {
    let broker = FakeBroker::start().await;
    let (_client, mut events, mut socket) = broker.client(broker.options()).await;
    deliver(&mut socket, 1, 1).await;
    deliver(&mut socket, 2, 2).await;
    socket.assert_silent().await;
    assert_eq!(seq_of(next(&mut events).await), 1);
    assert_eq!(socket.puback().await.get(), 1);
    socket.assert_silent().await;
    assert_eq!(seq_of(next(&mut events).await), 2);
    assert_eq!(socket.puback().await.get(), 2);
}

#[tokio::test]
async fn what_was_taken_is_not_handed_out_again_and_what_was_not_is() {
    let broker = FakeBroker::start().await;
    let (_client, mut events, mut socket) = broker.client(broker.options()).await;
    deliver(&mut socket, 1, 1).await;
    deliver(&mut socket, 2, 2).await;
    assert_eq!(seq_of(next(&mut events).await), 1);
    drop(socket);
    let mut socket = broker.accept().await;
    socket.connect().await;
    socket.connack(true, ReasonCode::Success, ConnAckProperties::default()).await;
    for seq in 1..=3 {
        deliver(&mut socket, seq, u64::from(seq)).await;
    }
    let mut seqs = Vec::new();
    while seqs.last() != Some(&3) {
        if let Event::Message { message, .. } = next(&mut events).await {
            seqs.push(message.seq);
        }
    }
    assert_eq!(seqs, [2, 3]);
    // The repeated one is acknowledged too.
    for packet_id in 1..=3 {
        assert_eq!(socket.puback().await.get(), packet_id);
    }
}

#[tokio::test]
async fn a_full_inbox_does_not_hold_up_sends() {
    let broker = FakeBroker::start().await;
    let (client, mut events, mut socket) = broker.client(broker.options()).await;
    for seq in 1..=256 {
        deliver(&mut socket, seq, u64::from(seq)).await;
    }
    let send = sending(&client, "still there?");
    let publish = socket.publish().await;
    socket.stored(&publish, 257).await;
    assert_eq!(soon("the position", send).await.unwrap().unwrap().seq, 257);
    for seq in 1..=256 {
        assert_eq!(seq_of(next(&mut events).await), seq);
        assert_eq!(u64::from(socket.puback().await.get()), seq);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_acknowledged_and_skipped() {
    let broker = FakeBroker::start().await;
    let (_client, mut events, mut socket) = broker.client(broker.options()).await;
    socket.deliver("me/pb/inbox/a/b", 1, vec![0xff], None).await;
    assert_eq!(socket.puback().await.get(), 1);
    deliver(&mut socket, 2, 1).await;
    assert_eq!(seq_of(next(&mut events).await), 1);
}

#[tokio::test]
async fn a_request_finds_its_answer_by_correlation() {
    let broker = FakeBroker::start().await;
    let (client, _events, mut socket) = broker.client(broker.options()).await;
    let request = LeaveGroupRequest { group: "@team".into() };
    let playing = async {
        let publish = socket.publish().await;
        assert_eq!(publish.topic.as_ref().unwrap().as_str(), "rpc/leaveGroup");
        assert_eq!(&publish.payload[..], br#"{"group":"@team"}"#);
        let reply_topic = publish.properties.response_topic.clone().unwrap();
        assert_eq!(&reply_topic[..], b"me/json/reply/leaveGroup");
        socket.deliver("me/json/reply/leaveGroup", 1, b"{}".to_vec(), Some("of another".into())).await;
        let correlation = publish.properties.correlation_data.clone();
        socket.deliver("me/json/reply/leaveGroup", 2, b"{}".to_vec(), correlation).await;
        socket.write(&Packet::PubAck(parlance_mqtt::Ack::success(publish.packet_id.unwrap()))).await;
        assert_eq!((socket.puback().await.get(), socket.puback().await.get()), (1, 2));
    };
    let (answer, ()) = tokio::join!(client.rpc::<_, Done>("leaveGroup", &request), playing);
    assert_eq!(answer, Ok(Done {}));
}

#[tokio::test]
async fn a_request_under_way_is_interrupted_and_not_repeated() {
    let broker = FakeBroker::start().await;
    let (client, _events, mut socket) = broker.client(broker.options()).await;
    let asking = {
        let client = client.clone();
        tokio::spawn(async move { client.rpc::<_, Done>("leaveGroup", &LeaveGroupRequest::default()).await })
    };
    let publish = socket.publish().await;
    socket.write(&Packet::PubAck(parlance_mqtt::Ack::success(publish.packet_id.unwrap()))).await;
    drop(socket);
    let mut socket = broker.welcome(false).await;
    assert_eq!(soon("the end", asking).await.unwrap(), Err(RpcError::Failed(Failure::Interrupted)));
    socket.assert_silent().await;
}

#[tokio::test]
async fn what_cannot_get_better_ends_it() {
    let broker = FakeBroker::start().await;
    for (reason, banned) in [(ReasonCode::BadUserNameOrPassword, false), (ReasonCode::Banned, true)] {
        let error = broker.refuse(broker.options().patient(), reason).await;
        assert_eq!(matches!(error, ConnectError::Banned), banned);
        assert!(error.is_fatal());
    }
    broker.assert_left_alone().await;
}

#[tokio::test]
async fn a_takeover_ends_the_stream_and_fails_what_is_under_way() {
    let broker = FakeBroker::start().await;
    let (client, mut events, mut socket) = broker.client(broker.options()).await;
    let send = sending(&client, "hello");
    socket.publish().await;
    socket.disconnect(ReasonCode::SessionTakenOver).await;
    assert!(matches!(next(&mut events).await, Event::Closed { reason: Some(ConnectError::TakenOver) }));
    assert!(soon("the end", events.next()).await.is_none());
    assert_eq!(soon("the failure", send).await.unwrap(), Err(SendError::Failed(Failure::Closed)));
    assert_eq!(client.send(bob(), "again").await, Err(SendError::Failed(Failure::Closed)));
    broker.assert_left_alone().await;
}

#[tokio::test]
async fn a_broker_that_cannot_be_reached_is_an_error_at_once_or_waited_for() {
    let broker = FakeBroker::start().await;
    let error = broker.refuse(broker.options(), ReasonCode::ServerUnavailable).await;
    assert!(matches!(error, ConnectError::Refused("server unavailable")) && !error.is_fatal());
    let options = broker.options().patient();
    let playing = async {
        let mut socket = broker.accept().await;
        socket.connect().await;
        socket.connack(false, ReasonCode::ServerUnavailable, ConnAckProperties::default()).await;
        broker.welcome(false).await
    };
    let (connected, _socket) = tokio::join!(Client::connect(options), playing);
    let (_client, mut events) = connected.unwrap();
    assert!(matches!(next(&mut events).await, Event::Disconnected { .. }));
    assert!(matches!(next(&mut events).await, Event::Connected { .. }));
}

#[tokio::test]
async fn a_send_that_nobody_acknowledges_times_out_and_is_not_sent_again() {
    let broker = FakeBroker::start().await;
    let options = broker.options().send_timeout(Duration::from_millis(50));
    let (client, _events, mut socket) = broker.client(options).await;
    let send = sending(&client, "hello");
    let publish = socket.publish().await;
    let outcome = soon("the time-out", send).await.unwrap();
    assert!(matches!(outcome, Err(SendError::TimedOut { id, .. }) if id == sent(&publish).id));
    drop(socket);
    broker.welcome(false).await.assert_silent().await;
}

#[tokio::test]
async fn closing_waits_for_acknowledgements_and_says_goodbye() {
    let broker = FakeBroker::start().await;
    let (client, mut events, mut socket) = broker.client(broker.options()).await;
    let send = sending(&client, "last words");
    let publish = socket.publish().await;
    let closing = tokio::spawn(client.clone().close());
    socket.assert_silent().await;
    socket.stored(&publish, 1).await;
    assert_eq!(soon("the position", send).await.unwrap().unwrap().seq, 1);
    assert!(matches!(socket.read().await, Some(Packet::Disconnect(_))));
    assert_eq!(soon("the close", closing).await.unwrap(), Ok(()));
    assert!(matches!(next(&mut events).await, Event::Closed { reason: None }));
}

#[tokio::test]
async fn the_connection_ends_with_its_last_handle() {
    let broker = FakeBroker::start().await;
    let (client, events, mut socket) = broker.client(broker.options()).await;
    drop(client);
    socket.assert_silent().await;
    drop(events);
    assert!(socket.read().await.is_none());
    broker.assert_left_alone().await;
}

#[tokio::test]
async fn typing_is_sent_when_connected_and_dropped_otherwise() {
    let broker = FakeBroker::start().await;
    let (client, mut events, mut socket) = broker.client(broker.options()).await;
    client.typing(&bob(), true);
    let publish = socket.publish().await;
    assert_eq!((publish.packet_id, publish.topic.unwrap().as_str()), (None, "user/@bob/typing/pb"));
    drop(socket);
    assert!(matches!(next(&mut events).await, Event::Disconnected { .. }));
    client.typing(&bob(), false);
    broker.welcome(false).await.assert_silent().await;
}
